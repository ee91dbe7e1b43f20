"""Quality low's half rate: every second face is not generated.

Its latents are the mean of the faces' beside it, which the small decoder turns into a picture as it
does theirs. A decoder as large as MuseTalk's own would leave little to save. Of a video that is
done where the avatar's own picture is nearly the mean of those beside it; then it is not encoded
either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..interfaces import Report
from ..job import Job

NOT_LOW = "it belongs to quality low"
NO_SMALL_DECODER = "no small decoder (vae_approx/taesd_decoder) was found"
ON_A_GPU = "a GPU generates every face"
OF_SEVERAL = "several people speak, or one who was chosen"
MOVES = "no three frames in a row show nearly the same face of the avatar"
# How far a face may be from the mean of those beside it, in levels of 255 on average.
NEARLY_THE_MEAN = 4.0
BETWEEN = -2  # in the place of a source frame's latents: they were not computed


@dataclass(frozen=True, eq=False)
class Batch:
    """Faces that are made together, by their numbers.

    generated: those of them that the UNet makes. pairs: int64 (2, F), the generated faces of whose
        latents each face's are the mean: 1 is the first, 0 the last one of the batch before; None
        where all are generated.
    """

    faces: np.ndarray
    generated: np.ndarray
    pairs: Tensor | None = None


def batches(faces: np.ndarray, size: int, between: np.ndarray | None = None) -> Iterator[Batch]:
    """Yield faces, int64 (F,), in batches of which at most ``size`` are generated.

    between: bool (F,), those that are not; the first and the last one are, and no two in a row are
        not. None: all are generated.
    """
    if between is None:
        for first in range(0, faces.size, size):
            part = faces[first : first + size]
            yield Batch(part, part)
        return
    generated, begin = np.flatnonzero(~between), 0
    for first in range(0, generated.size, size):
        chosen = generated[first : first + size]
        places = np.arange(begin, int(chosen[-1]) + 1)
        right = np.searchsorted(chosen, places) + 1
        pairs = torch.as_tensor(np.stack([right - between[places], right]))
        yield Batch(faces[places], faces[chosen], pairs)
        begin = int(chosen[-1]) + 1


def faces_between(faces: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """Return bool (F,): faces that need not be generated, as those beside them are.

    faces: int64 (F,), ascending; a frame's number is its face's, other faces are negative.
    slots: int64 (T,), the source frame that each frame shows: all three have to show the same one.
    """
    follows = np.zeros(faces.size, bool)
    follows[1:] = (faces[:-1] >= 0) & (np.diff(faces) == 1)
    follows[1:] &= slots[faces[1:]] == slots[faces[:-1]]
    places = np.arange(faces.size)
    starts = np.maximum.accumulate(np.where(follows, 0, places))
    return ((places - starts) % 2 == 1) & np.append(follows[1:], False)


def sources_between(slots: np.ndarray, speaks: np.ndarray) -> np.ndarray:
    """Return bool (N,): source frames always shown while speaking, between their two neighbours.

    slots: int64 (T,), the source frame that each frame shows, each of 0..N-1 at least once.
    speaks: bool (T,), frames whose face is generated.
    """
    between = np.zeros(slots.size, bool)
    if slots.size > 2:
        before, here, after = slots[:-2], slots[1:-1], slots[2:]
        between[1:-1] = (before + after == 2 * here) & (np.abs(after - here) == 1)
        between[1:-1] &= speaks[:-2] & speaks[1:-1] & speaks[2:]
    always = np.ones(int(slots.max(initial=-1)) + 1, bool)
    always[slots[~between]] = False
    return always


def from_the_mean(before: np.ndarray, crop: np.ndarray, after: np.ndarray) -> float:
    """Return how far a crop is from the mean of two others, in levels on average. uint8 all."""
    twice = before.astype(np.int16) + after - 2 * crop.astype(np.int16)
    return float(np.abs(twice).mean()) / 2


def crops_between(crops: Sequence[np.ndarray], may: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which crops in a row need not be encoded, bool (B,), and how far each is from a mean.

    crops: uint8 (256, 256, 3) each. may: bool (B,), those which may be left out; the first and the
        last one never are, and no two in a row.
    """
    between, apart = np.zeros(len(crops), bool), np.zeros(len(crops), np.float32)
    for place in range(1, len(crops) - 1):
        if may[place] and not between[place - 1]:
            apart[place] = from_the_mean(*crops[place - 1 : place + 2])
            between[place] = apart[place] <= NEARLY_THE_MEAN
    return between, np.where(between, apart, np.float32(0))


class MeanLatents:
    """Puts latents between those of a batch, and between them and the batch before."""

    def __init__(self) -> None:
        self._last: Tensor | None = None

    def __call__(self, made: Tensor, pairs: Tensor) -> Tensor:
        """Return (F, 4, h, w) of latents (B, 4, h, w). pairs: as in ``Batch``."""
        before = torch.zeros_like(made[:1]) if self._last is None else self._last
        known = torch.cat([before, made])
        self._last = made[-1:].clone()
        return (known[pairs[0]] + known[pairs[1]]) / 2


def why_every_face(job: Job, *, has_small: bool, device: str) -> str:
    """Return why every face of a job has to be generated; empty where not.

    has_small: whether there is a small decoder.
    """
    if job.options.quality != "low":
        return NOT_LOW
    if job.woven is not None:
        return OF_SEVERAL
    if not has_small:
        return NO_SMALL_DECODER
    return "" if device.startswith("cpu") else ON_A_GPU


def half_rate_report(
    why_every_face: str, between: int, faces: int, apart: np.ndarray | None = None
) -> Report:
    """Say how many of the faces were not generated, and why where it is none.

    apart: float32 (F,), how far each picture that was not encoded is from the mean of those beside
        it, in levels.
    """
    reason = why_every_face or ("" if between else MOVES)
    told = {"applied": not reason, "faces": faces, "faces_between": between, "reason": reason}
    if apart is None or not apart.size:
        return told
    levels = {"mean": round(float(apart.mean()), 2), "largest": round(float(apart.max()), 2)}
    return {**told, "pictures_between": apart.size, "levels_from_their_mean": levels}
