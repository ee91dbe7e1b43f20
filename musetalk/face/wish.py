"""Which face a speech belongs to, as a user says it: in words, by a point, or by a file of boxes.

A track file is JSON: {"width": 1920, "height": 1080, "frames": [[x0, y0, x1, y1], null, ...]}, with
the face's box in pixels in every frame of the avatar, null where it is not to speak.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import MediaError
from ...json_values import MOST_BYTES, is_list, is_object, parse_json
from ...media import Box
from ...texts import shown
from ..speaker import is_track_file

MOST_FACES = 100
POINT_REACH = 0.75  # sides of a face from its middle to a point on it
NOTATION = (
    "largest, a number (0 is the largest), left N (left 0 is the leftmost), a point x,y, or a "
    "track file (.json)"
)


@dataclass(frozen=True)
class FaceWish:
    """One face: number ``index`` by size or from the left, or the one at ``point``, or ``track``.

    is_open: the user did not say, so that it is the largest that nobody else has.
    text: as the user wrote it, for messages.
    """

    text: str = ""
    index: int = 0
    from_left: bool = False
    point: tuple[float, float] | None = None
    track: Path | None = None
    is_open: bool = False

    @property
    def least_faces(self) -> int:
        """How many faces a frame needs for this to mean one."""
        return 1 if self.point or self.track else self.index + 1


def parse_wish(text: str, *, index: int = 0) -> FaceWish:
    """Return which face a text means; index: by size, what an empty one does. Raises MediaError."""
    words = text.strip()
    if not words:
        return FaceWish(f"face {index} by size", index)
    if words.lower() == "largest":
        return FaceWish(words)
    if number := re.fullmatch(r"(?:(left)\s*)?(\d{1,4})", words.lower()):
        wish = FaceWish(words, int(number[2]), from_left=bool(number[1]))
        if wish.index < MOST_FACES:
            return wish
    elif (point := _point_in(words)) is not None:
        return FaceWish(words, point=point)
    elif is_track_file(words):
        return FaceWish(words, track=Path(words))
    raise MediaError(f"Expected face to be {NOTATION}, got {shown(text)}.")


def parse_point(text: str) -> tuple[float, float] | None:
    """Return a point of the face written as "x,y"; None for an empty text. Raises MediaError."""
    words = text.strip()
    if not words:
        return None
    if (point := _point_in(words)) is None:
        raise MediaError(
            f"Expected face at as a point x,y, got {shown(text)}: click a face in the preview, or "
            "clear it."
        )
    return point


def is_point(text: str) -> bool:
    """Say whether a text is a point as x,y."""
    return _point_in(text.strip()) is not None


def _point_in(words: str) -> tuple[float, float] | None:
    number = r"(\d{1,6}(?:\.\d{1,6})?)"
    found = re.fullmatch(rf"{number}\s*[,;\s]\s*{number}", words)
    return (float(found[1]), float(found[2])) if found else None


def is_at(box: Box, point: tuple[float, float]) -> bool:
    """Say whether a point is one of a face's."""
    return chosen_box(FaceWish(point=point), [box]) is not None


def chosen_box(wish: FaceWish, boxes: Sequence[Box]) -> int | None:
    """Return which of the faces of a frame is meant, None where none of them is."""
    if wish.point is not None:
        x, y = wish.point
        away = [
            math.hypot((box.x0 + box.x1) / 2 - x, (box.y0 + box.y1) / 2 - y)
            / max(box.width, box.height, 1.0)
            for box in boxes
        ]
        best = int(np.argmin(away)) if away else -1
        return best if away and away[best] <= POINT_REACH else None
    by_size = sorted(range(len(boxes)), key=lambda n: -boxes[n].width * boxes[n].height)
    from_left = sorted(range(len(boxes)), key=lambda n: boxes[n].x0 + boxes[n].x1)
    order = from_left if wish.from_left else by_size
    return order[wish.index] if wish.index < len(order) else None


def read_track(path: Path, *, size: tuple[int, int], count: int) -> np.ndarray:
    """Return float64 (count, 4): the box in every frame of an avatar, NaN where there is none.

    size: width and height of the avatar. Raises MediaError for a file that is not of it.
    """
    values = _json_of(path)
    if not is_object(values) or not is_list(frames := values.get("frames")):
        raise _broken(path, 'an object with a list of "frames"')
    stated = (values.get("width"), values.get("height"))
    if None in stated:
        raise _broken(path, '"width" and "height"')
    if stated != size:
        raise MediaError(
            f"Expected boxes for the avatar's size {size[0]}x{size[1]} in {path.name!r}, got "
            f"{shown(stated[0], 20)}x{shown(stated[1], 20)}: make the track from this avatar."
        )
    if len(frames) < count:
        raise MediaError(
            f"Expected a box, or null, for each of the avatar's {count} frames that are shown in "
            f"{path.name!r}, got {len(frames)}: make the track for the whole avatar."
        )
    boxes = np.full((count, 4), np.nan)
    for number, given in enumerate(frames[:count]):
        if given is not None:
            boxes[number] = _box(path, number, given, size)
    return boxes


def _json_of(path: Path) -> object:
    try:
        if not path.is_file():
            raise MediaError(f"Expected a track file at {str(path)!r}, found none: check its name.")
        if path.stat().st_size > MOST_BYTES:
            most = MOST_BYTES >> 20
            raise MediaError(
                f"Expected a track file of at most {most} MiB, but {path.name!r} is larger."
            )
        return parse_json(path.read_bytes())
    except OSError as error:
        raise MediaError(f"Cannot read the track file {path.name!r}: {error.strerror}.") from error
    except ValueError as error:
        raise _broken(path, "JSON") from error


def _box(path: Path, number: int, given: object, size: tuple[int, int]) -> list[float]:
    numbers = [
        float(edge)
        for edge in (given if is_list(given) else ())
        if isinstance(edge, (int, float)) and not isinstance(edge, bool) and abs(edge) < 1e7
    ]
    whole = is_list(given) and len(given) == len(numbers) == 4
    if not whole or not (numbers[0] < numbers[2] and numbers[1] < numbers[3]):
        raise _broken(path, f"[x0, y0, x1, y1] or null as frame {number}")
    x, y = (numbers[0] + numbers[2]) / 2, (numbers[1] + numbers[3]) / 2
    if not (0 <= x < size[0] and 0 <= y < size[1]):
        raise _broken(path, f"the middle of its box inside the picture in frame {number}")
    return numbers


def _broken(path: Path, wanted: str) -> MediaError:
    return MediaError(
        f"Expected {wanted} in the track file {path.name!r}, got something else: "
        'see "track file" in docs/LIPSYNC.md.'
    )
