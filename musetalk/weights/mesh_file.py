"""The networks of Google's face mesh, out of the archive ``face_landmarker.task``.

Only bytes whose hash stands in the catalogue leave this module, wherever the file was found.
"""

from __future__ import annotations

import hashlib
import io
import logging
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import CheckpointError
from .catalogue import FACE_MESH
from .download_command import download_command
from .search import Caches, list_files, present_files

log = logging.getLogger("avatarvideo.musetalk.weights.mesh_file")

DOWNLOAD_COMMAND = download_command("face-mesh")
MISSING = f"its file is not installed: get it with `{DOWNLOAD_COMMAND}`"
_PUBLISHED = FACE_MESH.files[0]
_DETECTOR, _DETECTOR_BYTES = "face_detector.tflite", 229_746
_LANDMARKS, _LANDMARKS_BYTES = "face_landmarks_detector.tflite", 2_553_590


@dataclass(frozen=True)
class MeshModels:
    """Two networks as TensorFlow Lite files: the face detector and the mesh."""

    detector: bytes
    landmarks: bytes


def find_mesh(folders: Sequence[Path], *, caches: Caches | None = None) -> Path | None:
    """Return the first file that is Google's, byte for byte; None where there is none.

    folders: of models. caches: None for the user's, with installed packages.
    """
    for path in present_files("face mesh", folders, caches=caches):
        try:
            read_mesh(path)
        except CheckpointError as error:
            log.warning("%s", error)
        else:
            return path
    return None


def mesh_file_problem(folders: Sequence[Path], *, caches: Caches | None = None) -> str | None:
    """Return whether the file is missing or damaged, and what helps; None where it can be used.

    folders, caches: as of ``find_mesh``.
    """
    if find_mesh(folders, caches=caches) is not None:
        return None
    rows = list_files(folders, caches=caches)
    damaged = next(row.path for row in rows if row.role == FACE_MESH.role)
    if damaged is None:
        return MISSING
    return f"its file {damaged} is damaged or another one: get it with `{DOWNLOAD_COMMAND}`"


def read_mesh(path: Path) -> MeshModels:
    """Return the networks of a file. CheckpointError for any other file."""
    content = _checked_content(path)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sizes = {one.filename: one.file_size for one in archive.infolist()}
        wanted = {_DETECTOR: _DETECTOR_BYTES, _LANDMARKS: _LANDMARKS_BYTES}
        assert wanted.items() <= sizes.items()  # the hash is right, so the archive is
        return MeshModels(archive.read(_DETECTOR), archive.read(_LANDMARKS))


def _checked_content(path: Path) -> bytes:
    """Return the file's bytes, read once: what is checked is what is used."""
    size = _PUBLISHED.size or 0
    try:
        with path.open("rb") as file:
            content = file.read(size + 1)
    except OSError as error:
        raise CheckpointError(
            f"Expected to read the face mesh {path}, but {error.strerror or error}: "
            f"run `{DOWNLOAD_COMMAND}`."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != _PUBLISHED.sha256:
        raise CheckpointError(
            f"Expected the face mesh in {path}, found another or a damaged file (SHA-256 "
            f"{found[:12]}...): delete it and run `{DOWNLOAD_COMMAND}`."
        )
    return content
