"""How far a followed face is from one that is looked for in every frame, in pixels.

Portraits pan, zoom and turn a little, so the truth is known. Without weights: corners of the lips
by the tracker and by a full search in each frame, both against the truth. With the face networks'
schedule: landmarks that are right to the pixel and a detector that is right to four (its finest
stride), on the whole frame and on the detected box; what is measured is what the schedule adds,
not the networks, whose weights are not needed. With --models, a folder that has the face mesh:
the puppet's lips by the mesh, steadied, in clean and in noisy frames, against the truth and from
frame to frame, and the time of a frame.

    python benchmarks/tracking.py [--json] [--frames 16] [--models FOLDER] [PORTRAIT ...]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from avatarvideo.encoders.read.picture import read_image
from avatarvideo.media import Avatar
from avatarvideo.musetalk.face.finder import locate_again, locate_face
from avatarvideo.musetalk.face.key_frames import FollowedFace
from avatarvideo.musetalk.lips.tracking import LipTracker
from avatarvideo.musetalk.networks.s3fd import ScoredBox
from avatarvideo.musetalk.puppet.lip_track import track_lips

PORTRAIT = Path(__file__).resolve().parent.parent / "web" / "samples" / "portrait.png"
STRIDE = 4  # pixels of the detector's finest level
PAN, ZOOM, TURN = 12.0, 0.06, 4.0  # pixels, share and degrees, to either side
PERIOD = 40  # frames
NOISE = 4.0  # levels, deviation, of a noisy frame
SHAKE = 0.6  # pixels, deviation of the landmarks' own noise


def motion(size: tuple[int, int], frame: int) -> np.ndarray:
    """Return the matrix (2, 3) that takes the portrait to its place in a frame."""
    phase = 2 * math.pi * frame / PERIOD
    middle = (size[0] / 2, size[1] / 2)
    turn = cv2.getRotationMatrix2D(middle, TURN * math.sin(phase), 1 + ZOOM * math.sin(1.3 * phase))
    turn[:, 2] += (PAN * math.sin(phase), PAN * math.sin(0.7 * phase))
    return turn


def frames(picture: np.ndarray, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield frames and their matrices."""
    size = picture.shape[1], picture.shape[0]
    for number in range(count):
        turn = motion(size, number)
        yield cv2.warpAffine(picture, turn, size, borderMode=cv2.BORDER_REPLICATE), turn


def carried(points: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Return points (N, 2) of the portrait in the frame."""
    return points @ turn[:, :2].T + turn[:, 2]


def scale_of(turn: np.ndarray) -> float:
    """Return how much larger a matrix makes things."""
    return float(np.hypot(turn[0, 0], turn[1, 0]))


def without_weights(picture: np.ndarray, count: int) -> dict[str, float]:
    """Return the errors of lip corners, pixels: means and largest, followed and searched."""
    first = locate_face(picture)
    if first.lips is None:
        raise SystemExit(f"no lips were found in a portrait: {first.reason}")
    corners = np.array(first.lips.corners).reshape(2, 2)
    tracker: LipTracker | None = None
    errors: dict[str, list[float]] = {"followed": [], "searched": [], "between": []}
    lost = 0
    for frame, turn in frames(picture, count):
        searched = locate_face(frame)
        if tracker is None:
            tracker = LipTracker(frame, searched, locate_again)
            followed = searched
        else:
            followed = tracker.follow(frame)
        truth = carried(corners, turn)
        if followed.lips is None or searched.lips is None:
            lost += 1
            continue
        places = [np.array(one.lips.corners).reshape(2, 2) for one in (followed, searched)]  # type: ignore[union-attr]
        for name, one, other in (
            ("followed", places[0], truth),
            ("searched", places[1], truth),
            ("between", places[0], places[1]),
        ):
            errors[name] += np.hypot(*(one - other).T).tolist()
    return {"mouth_width": round(first.lips.width, 1), "lost": lost, **_summary(errors)}


def on_key_frames(picture: np.ndarray, count: int) -> dict[str, float]:
    """Return what the schedule adds to the detector's box, pixels, and how often it looked."""
    location = locate_face(picture)
    assert location.box is not None
    box = np.array(location.box).reshape(2, 2)
    rng = np.random.default_rng(1)
    landmarks = box[0] + rng.random((68, 2)) * (box[1] - box[0])
    last: FollowedFace | None = None
    errors: dict[str, list[float]] = {"box": []}
    looks = 0
    for frame, turn in frames(picture, count):
        points = carried(landmarks, turn) + rng.normal(0, SHAKE, landmarks.shape)
        middle, size = carried(box.mean(axis=0)[None], turn), (box[1] - box[0]) * scale_of(turn)
        truth = np.concatenate([middle - size / 2, middle + size / 2])
        every = np.round(truth / STRIDE) * STRIDE
        last = last.moved(frame, points) if last is not None and not last.is_due() else None
        if last is None:
            looks += 1
            x0, y0, x1, y1 = every.ravel().tolist()
            last = FollowedFace.seen(frame, ScoredBox(x0, y0, x1, y1, 1.0), points, alone=True)
            assert last is not None
        errors["box"] += np.abs(np.array(last.face[:4]) - every.ravel()).tolist()
    return {"detections": looks, **_summary(errors)}


def by_mesh(picture: np.ndarray, count: int, models: Path) -> dict[str, float]:
    """Return the errors of the puppet's lip corners, pixels, and milliseconds of processor a frame.

    The truth is the mesh's own answer to the unmoved picture. "shaken" is what noise adds to the
    motion from one frame to the next.
    """
    first = locate_face(picture, model_folders=[models])
    if first.method != "face mesh" or first.lips is None:
        raise SystemExit(f"the face mesh found no lips in a portrait: {first.reason}")
    corners = np.array(first.lips.corners).reshape(2, 2)
    rng = np.random.default_rng(2)
    table: dict[str, float] = {"mouth_width": round(first.lips.width, 1)}
    for name, deviation in (("clean", 0.0), ("noisy", NOISE)):
        errors: dict[str, list[float]] = {name: [], f"{name}_shaken": []}
        clip, truth = [], []
        for frame, turn in frames(picture, count):
            grainy = frame + rng.normal(0, deviation, frame.shape)
            clip.append(np.clip(grainy, 0, 255).astype(np.uint8))
            truth.append(carried(corners, turn))
        located = locate_face(clip[0], model_folders=[models])
        began = time.process_time()
        track = track_lips(_avatar(clip), located, count, model_folders=[models])
        spent = time.process_time() - began
        places = [np.array(lips.corners).reshape(2, 2) for lips in track.shapes if lips is not None]
        if len(places) < count:
            raise SystemExit(f"the face mesh lost {count - len(places)} of {count} frames")
        apart = np.array(places) - np.array(truth)
        errors[name] = np.hypot(*apart.T).ravel().tolist()
        errors[f"{name}_shaken"] = np.hypot(*np.diff(apart, axis=0).T).ravel().tolist()
        table |= {**_summary(errors), f"{name}_ms": round(1000 * spent / count, 1)}
    return table


def _avatar(clip: list[np.ndarray]) -> Avatar:
    height, width = clip[0].shape[:2]
    return Avatar(
        open_frames=lambda start: iter(clip[start:]),
        width=width,
        height=height,
        frame_rate=Fraction(25),
        frame_count=len(clip),
    )


def _summary(errors: dict[str, list[float]]) -> dict[str, float]:
    table = {}
    for name, values in errors.items():
        table[f"{name}_mean"] = round(float(np.mean(values)), 2) if values else math.nan
        table[f"{name}_most"] = round(float(np.max(values)), 2) if values else math.nan
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("portraits", nargs="*", type=Path, default=[PORTRAIT])
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--models", type=Path, help="a folder that has the face mesh")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    rows = []
    for path in options.portraits:
        picture = read_image(path)
        row = {
            "portrait": path.name,
            "frames": options.frames,
            "without_weights": without_weights(picture, options.frames),
            "key_frames": on_key_frames(picture, options.frames),
        }
        if options.models is not None:
            row["face_mesh"] = by_mesh(picture, options.frames, options.models)
        rows.append(row)
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print(f"{row['portrait']}, {row['frames']} frames")
        for name in [key for key in row if key not in ("portrait", "frames")]:
            print(f"  {name}: " + ", ".join(f"{k} {v}" for k, v in row[name].items()))


if __name__ == "__main__":
    main()
