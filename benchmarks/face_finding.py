"""How many faces are found, how far off their lip corners are, and what is taken for a face.

    python benchmarks/face_finding.py FOLDER CORNERS.json [--models FOLDER] [--json]

CORNERS.json holds an object: the path of each picture inside FOLDER against its two lip corners,
[[x, y], [x, y]] in pixels, the left one in the picture first; or against null where the picture
shows no face. Prints a row for each way to find a face (the face mesh, if its file is in the folder
of models, and what is left without it) and group (the name up to the first underscore), then each
face that was missed or is off by more than 0.15 mouth widths, and each place without a face that
was taken for one. Errors are those of the corner that is further off, if nothing else is said.
Times are of the processor, all threads together, so that what else runs does not count.

How to make a collection: take pictures that no finder was tuned on, from packages and test data
of other libraries, at most 1600 pixels a side, drawn, painted and photographed, some with the face
small. Mark the corners by eye, in an enlarged picture, before any finder has run on it, and look
at the marks once more. Corners lie where the lips' red ends, also where teeth show. Add pictures
without people, and the parts of portraits below the chin. Animals' faces are faces: leave them out.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from avatarvideo.encoders.read.picture import read_image
from avatarvideo.media import FaceLocation
from avatarvideo.musetalk.face.finder import FINDERS, FaceFinder, OwnMesh, locate_face
from avatarvideo.musetalk.face.mesh_networks import mesh_networks

FAR = 0.15  # mouth widths
Corners = list[list[float]]


@dataclass(frozen=True)
class Result:
    """What one way made of one picture.

    error, mean_error: of the corner that is further off and of both, in mouth widths; None where no
    lips were found, and in a picture without a face. milliseconds: of processor time.
    """

    picture: str
    has_face: bool
    is_found: bool
    error: float | None
    mean_error: float | None
    milliseconds: float
    reason: str

    @property
    def group(self) -> str:
        return Path(self.picture).name.partition("_")[0] if self.has_face else "no face"

    @property
    def is_wrong(self) -> bool:
        if not self.has_face:
            return self.is_found
        return self.error is None or self.error > FAR


def corner_errors(found: FaceLocation, truth: Corners | None) -> np.ndarray | None:
    """Return how far each corner is off, in mouth widths."""
    if found.lips is None or truth is None:
        return None
    places = np.array(found.lips.corners, float).reshape(2, 2)
    wanted = np.array(truth, float)
    return np.hypot(*(places - wanted).T) / math.dist(*truth)


def looked_at(
    folder: Path, name: str, truth: Corners | None, finders: Sequence[FaceFinder], models: Path
) -> Result:
    """Look for the face of one picture."""
    picture = read_image(folder / name)
    began = time.process_time()
    found = locate_face(picture, finders=finders, model_folders=[models])
    took = 1000 * (time.process_time() - began)
    errors = corner_errors(found, truth)
    worst, mean = (None, None) if errors is None else (float(errors.max()), float(errors.mean()))
    is_found = found.lips is not None
    return Result(name, truth is not None, is_found, worst, mean, took, found.reason)


def ways(models: Path) -> dict[str, list[FaceFinder]]:
    """Return the finders of each way; the mesh is one where its file is."""
    without: list[FaceFinder] = [one for one in FINDERS if not isinstance(one, OwnMesh)]
    if mesh_networks([models]) is None:
        return {"without the mesh": without}
    return {"face mesh": list(FINDERS), "without the mesh": without}


def row(results: list[Result]) -> str:
    """Return the figures of one group."""
    took = np.median([one.milliseconds for one in results])
    found = sum(one.is_found for one in results)
    text = f"{len(results):4d} pictures, found {found:3d} ({found / len(results):4.0%})"
    errors = [one.error for one in results if one.error is not None]
    if errors:
        middle, high = np.percentile(errors, (50, 95))
        text += f", off {middle:.3f} (median) {high:.3f} (95 %) {max(errors):.3f} (most)"
        means = [one.mean_error for one in results if one.mean_error is not None]
        far, far_by_mean = (sum(error > FAR for error in kind) for kind in (errors, means))
        text += f", over {FAR}: {far} (by the mean of both corners {far_by_mean})"
    return f"{text}, {took:.0f} ms a picture"


def table(way: str, results: list[Result]) -> list[str]:
    """Return the lines of one way: its groups, all faces, and what went wrong."""
    groups: dict[str, list[Result]] = {}
    for one in results:
        groups.setdefault(one.group, []).append(one)
    faces = [one for one in results if one.has_face]
    lines = [way, *(f"  {name:10s} {row(rows)}" for name, rows in groups.items())]
    if faces:
        lines.append(f"  {'all faces':10s} {row(faces)}")
    for one in results:
        if one.is_wrong:
            what = "no face there" if not one.has_face else "missed"
            what = what if one.error is None else f"off by {one.error:.2f}"
            lines.append(f"    {one.picture}: {what}: {one.reason}")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("corners", type=Path)
    parser.add_argument("--models", type=Path, default=Path("models"), help="with the mesh")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    truth: dict[str, Corners | None] = json.loads(options.corners.read_text())
    everything: dict[str, list[Result]] = {}
    for way, finders in ways(options.models).items():
        everything[way] = [
            looked_at(options.folder, name, corners, finders, options.models)
            for name, corners in truth.items()
        ]
    if options.json:
        print(json.dumps({way: [asdict(one) for one in rows] for way, rows in everything.items()}))
        return
    for way, rows in everything.items():
        print("\n".join(table(way, rows)))


if __name__ == "__main__":
    main()
