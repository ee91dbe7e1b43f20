"""Files to a ComfyUI server and back."""

from __future__ import annotations

import contextlib
import logging
import mimetypes
import re
import secrets
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlencode

from ..errors import EncodeError, MediaError
from ..json_values import JSON, text_in
from ..pace import USUAL, Pace
from ..texts import one_line
from .http_body import file_body
from .patient_socket import Patience
from .server_requests import (
    ANSWER_SECONDS,
    TIMEOUT,
    BrokenAnswerError,
    ServerError,
    ServerRequests,
    StatusError,
)

logger = logging.getLogger("avatarvideo.headless.server_files")

DOWNLOAD_ATTEMPTS = 3  # of a result that comes broken
CHUNK = 1 << 20
LONGEST_NAME = 150  # bytes of a part of a path, which leaves room for a number
LONGEST_PLACE = 1000  # characters of a sub-folder
_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
_FORBIDDEN = frozenset('<>:"|?*\\/')


class ServerFiles:
    """Uploads to and downloads from one server."""

    def __init__(self, requests: ServerRequests, pace: Pace = USUAL) -> None:
        self._requests = requests
        self._check = requests.check
        self._pace = pace
        self._numbers: dict[Path, int] = {}  # target -> the last number that was given out

    def upload(self, path: Path) -> str:
        """Put a file into the server's input folder and return its name there.

        A file of the same name and content is used as it is; one of other content stays and
        ours gets another name.
        """
        boundary = uuid.uuid4().hex
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        named = one_line(path.name).replace('"', "_")
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; '
            f'filename="{named}"\r\nContent-Type: {kind}\r\n\r\n'
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        size = 0
        patience = Patience(self._check, TIMEOUT, pace=self._pace)
        try:
            size = path.stat().st_size
            headers = {
                "Content-Type": f"multipart/form-data; boundary={boundary}",
                "Content-Length": str(len(head) + size + len(tail)),
            }
            with path.open("rb") as file:
                body = self._sent(head, file, size, tail, patience)
                answer = self._requests.chunks("/upload/image", patience, body, headers)
                saved = self._requests.parsed(b"".join(answer))
        except OSError as error:
            raise MediaError(f"Cannot read {path}: {error.strerror}.") from error
        except StatusError as error:
            raise ServerError(
                f"The server {self._requests.url} refused the file {path.name} of {size} bytes "
                f"({error.status}): a larger one needs its option --max-upload-size."
            ) from error
        name, folder = text_in(saved, "name"), text_in(saved, "subfolder")
        if not name or len(name) + len(folder) > LONGEST_PLACE:
            raise ServerError(f"Expected the name of the file sent to {self._requests.url}.")
        return f"{folder}/{name}" if folder else name

    def _sent(
        self, head: bytes, file: BinaryIO, size: int, tail: bytes, patience: Patience
    ) -> Iterator[bytes]:
        patience.for_file()
        yield head
        left = size
        while chunk := file.read(CHUNK):
            self._check()
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
        if left:  # the server was told another length
            raise MediaError(
                f"Expected {size:,} bytes in {file.name}, but it changed while it was sent: "
                "wait until it is written."
            )
        yield tail
        patience.only(ANSWER_SECONDS)

    def download(self, entry: Mapping[str, JSON], folder: Path) -> Path:
        """Fetch a file that a node wrote and return where it lies: under its own name if free."""
        filename, subfolder = text_in(entry, "filename"), text_in(entry, "subfolder")
        kind = text_in(entry, "type") or "output"
        target = self._target(folder, filename, subfolder)
        query = {"filename": filename, "subfolder": subfolder, "type": kind[:LONGEST_NAME]}
        # Nothing of a result that does not come stays, its folder included.
        place = next(one for one in target.parents if one.is_dir())
        try:
            temporary = place / f".avatarvideo-{secrets.token_hex(6)}.part"
            try:
                self._fetch(f"/view?{urlencode(query, errors='surrogatepass')}", temporary)
                target.parent.mkdir(parents=True, exist_ok=True)
                return self._with_free_name(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise EncodeError(f"Could not write {target}: {error.strerror}.") from error
        except StatusError as error:
            raise ServerError(
                f"The server {self._requests.url} does not deliver {target.name}: {error.status}."
            ) from error

    def _target(self, folder: Path, filename: str, subfolder: str) -> Path:
        outside = (
            f"The server {self._requests.url} named a file outside of its folder: "
            f"{one_line(subfolder)!r}, {one_line(filename)!r}."
        )
        if not filename or len(filename) + len(subfolder) > LONGEST_PLACE:
            raise ServerError(outside)
        parts = subfolder.replace("\\", "/").split("/")
        if subfolder.startswith(("/", "\\")) or ".." in parts:
            raise ServerError(outside)
        parts = [_harmless(part) for part in (*parts, Path(filename).name) if part not in ("", ".")]
        target = folder.resolve().joinpath(*parts)
        with contextlib.suppress(OSError):
            if parts and target.resolve().is_relative_to(folder.resolve()):
                return target
        raise ServerError(outside)

    def _fetch(self, path: str, temporary: Path) -> None:
        """Write a file of the server whole, or raise; one that comes broken is asked for again."""
        for attempt in range(1, DOWNLOAD_ATTEMPTS + 1):
            patience = Patience(self._check, TIMEOUT, ANSWER_SECONDS, self._pace)
            try:
                with temporary.open("wb") as file:
                    for chunk in self._requests.chunks(path, patience, read=file_body):
                        self._check()
                        file.write(chunk)
                return
            except BrokenAnswerError as error:
                if attempt == DOWNLOAD_ATTEMPTS:
                    raise
                logger.info("%s Retrying.", error)

    def _with_free_name(self, temporary: Path, target: Path) -> Path:
        """Give a finished file its name, or the next free one: nothing is overwritten."""
        number = self._numbers.get(target, 0)  # what was taken before need not be tried again
        while True:
            number += 1
            name = target if number == 1 else target.with_stem(f"{target.stem}-{number}")
            with contextlib.suppress(FileExistsError):
                name.touch(exist_ok=False)
                self._numbers[target] = number
                return temporary.replace(name)


def _harmless(part: str) -> str:
    """Return a part of a path that means nothing to a system or a terminal."""
    kept = "".join("_" if c in _FORBIDDEN or not c.isprintable() else c for c in part)
    kept = kept.rstrip(" .") or "_"
    if kept.startswith(".") or _DEVICE.match(kept):  # hidden files may be settings
        kept = f"_{kept.lstrip('.')}"
    stem, dot, suffix = kept.rpartition(".")
    while len(kept.encode()) > LONGEST_NAME:
        if dot and len(stem) > 1 and len(suffix) < 20:
            stem = stem[:-1]
            kept = f"{stem}.{suffix}"
        else:
            kept = kept[:-1]
    return kept
