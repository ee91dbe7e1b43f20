"""A picture of the mouth's opening against what the speech makes plausible, over time."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

from ...encoders.write.output_file import PendingFile, checked_output, refuse_sources
from .numbers import OF
from .score import Score

LEAST_WIDTH, MOST_WIDTH, HEIGHT = 1200, 8000, 460  # pixels
SECOND_WIDTH = 40  # pixels, of a second of a longer video
LEFT, RIGHT, TOP, BOTTOM = 84, 24, 84, 62  # margins
INK, GRID, PAPER = (40, 40, 40), (225, 225, 225), (255, 255, 255)  # RGB
OPENING, EXPECTED = (200, 70, 20), (30, 100, 190)
FONT, SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.5
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)  # s between ticks
TICK_WIDTH = 75  # pixels at least
SCALE_STEP = (
    0.04  # mouth widths: the top is a multiple, so that the lines between have round values
)
LEAST_SCALE = 0.08
TITLE = "Mouth opening and speech"


def check_plot(path: Path, sources: tuple[Path, ...]) -> None:
    """Refuse a name that cannot be written, or is a source's, before anything is measured."""
    refuse_sources(checked_output(path), sources)


def write_plot(score: Score, path: Path, sources: tuple[Path, ...] = ()) -> None:
    """Write the picture as a PNG, whole or not at all; it replaces no source. EncodeError."""
    pending = PendingFile(checked_output(path), sources=sources)
    with pending.explaining(pending.remove):
        fine, data = cv2.imencode(".png", drawn(score)[..., ::-1])
        if not fine:
            raise ValueError("the picture could not be compressed")
        pending.temporary.write_bytes(data.tobytes())
        pending.place()


def drawn(score: Score) -> np.ndarray:
    """Return the picture, uint8 RGB (HEIGHT, at least LEAST_WIDTH, 3)."""
    seconds = float(score.times[-1] + score.times[0])
    width = min(max(round(LEFT + RIGHT + SECOND_WIDTH * seconds), LEAST_WIDTH), MOST_WIDTH)
    picture = np.full((HEIGHT, width, 3), PAPER, np.uint8)
    known = score.opening[np.isfinite(score.opening)]
    peak = float(known.max()) if known.size else 0.0
    most = math.ceil(max(peak * 1.05, LEAST_SCALE) / SCALE_STEP - 1e-9) * SCALE_STEP
    _axes(picture, seconds, most)
    if score.expected is not None:
        scaled = score.expected * ((peak or most) / max(float(score.expected.max()), 1e-6))
        _curve(picture, score.times / seconds, scaled / most, EXPECTED)
    _curve(picture, score.times / seconds, score.opening / most, OPENING)
    _legend(picture, has_speech=score.expected is not None)
    _text(picture, f"{TITLE}: {_said(score)}", (LEFT, 30), scale=0.62)
    return picture


def _said(score: Score) -> str:
    """Return the title's second half: what was found of offset and correlation."""
    offset, correlation = (score.numbers[name] for name in ("offset", "correlation"))
    if offset is None or correlation is None:
        return "offset not measured"
    return f"offset {OF['offset'].shown(offset)}, correlation {correlation:.2f}"


def _axes(picture: np.ndarray, seconds: float, most: float) -> None:
    bottom, right = HEIGHT - BOTTOM, picture.shape[1] - RIGHT
    most_ticks = (right - LEFT) / TICK_WIDTH
    step = next((one for one in STEPS if seconds / one <= most_ticks), STEPS[-1])
    for tick in np.arange(0, seconds + step / 1000, step):
        x = LEFT + round((right - LEFT) * tick / seconds)
        cv2.line(picture, (x, TOP), (x, bottom), GRID, 1)
        _text(picture, f"{tick:g}", (x, bottom + 20), middle=True)
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = bottom - round((bottom - TOP) * share)
        cv2.line(picture, (LEFT, y), (right, y), GRID, 1)
        _text(picture, f"{most * share:.2f}", (LEFT - 44, y + 5))
    cv2.rectangle(picture, (LEFT, TOP), (right, bottom), INK, 1)
    _text(picture, "time (seconds)", ((LEFT + right) // 2, HEIGHT - 14), middle=True)
    label = np.full((LEFT, bottom - TOP, 3), PAPER, np.uint8)[:24]
    _text(label, "opening (mouth widths)", ((bottom - TOP) // 2, 16), middle=True)
    picture[TOP:bottom, 6:30] = cv2.rotate(label, cv2.ROTATE_90_COUNTERCLOCKWISE)


def _curve(
    picture: np.ndarray, across: np.ndarray, up: np.ndarray, colour: tuple[int, int, int]
) -> None:
    """Draw shares of the field, broken where one is not known."""
    x = LEFT + across * (picture.shape[1] - RIGHT - LEFT)
    y = HEIGHT - BOTTOM - np.clip(up, 0, 1) * (HEIGHT - BOTTOM - TOP)
    known = np.isfinite(y)
    for run in np.split(np.arange(len(y)), np.flatnonzero(np.diff(known)) + 1):
        if len(run) and known[run[0]]:
            points = np.rint(np.stack([x[run], y[run]], axis=1) * 8).astype(np.int32)
            cv2.polylines(picture, [points], False, colour, 2, cv2.LINE_AA, shift=3)


def _legend(picture: np.ndarray, *, has_speech: bool) -> None:
    entries = [("opening of the mouth", OPENING)]
    entries += [("plausible by the speech (scaled)", EXPECTED)] if has_speech else []
    x = LEFT
    for text, colour in entries:
        cv2.line(picture, (x, 58), (x + 34, 58), colour, 3, cv2.LINE_AA)
        _text(picture, text, (x + 44, 63))
        x += 90 + cv2.getTextSize(text, FONT, SIZE, 1)[0][0]


def _text(
    picture: np.ndarray,
    text: str,
    place: tuple[int, int],
    *,
    middle: bool = False,
    scale: float = SIZE,
) -> None:
    x, y = place
    if middle:
        x -= cv2.getTextSize(text, FONT, scale, 1)[0][0] // 2
    cv2.putText(picture, text, (x, y), FONT, scale, INK, 1, cv2.LINE_AA)
