"""Quality low's half rate: every second face of a still is not generated.

Its latents are the mean of the faces' beside it, which the small decoder turns into a picture as it
does theirs. A decoder as large as MuseTalk's own would leave little to save.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..interfaces import Report
from ..job import Job
from ..networks.taesd import ComparedDecoder
from ..networks.vae import AutoencoderKL
from .memory import Placement

NOT_LOW = "it belongs to quality low"
NO_SMALL_DECODER = "no small decoder (vae_approx/taesd_decoder) was found"
ON_A_GPU = "a GPU generates every face"
OF_SEVERAL = "several people speak, or one who was chosen"
MOVES = "no three frames in a row show the same picture of the avatar"


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


def why_every_face(job: Job, decoder: AutoencoderKL | ComparedDecoder, placement: Placement) -> str:
    """Return why every face of a job has to be generated; empty where not."""
    if job.options.quality != "low":
        return NOT_LOW
    if job.woven is not None:
        return OF_SEVERAL
    if not isinstance(decoder, ComparedDecoder):
        return NO_SMALL_DECODER
    return "" if placement.device.startswith("cpu") else ON_A_GPU


def half_rate_report(why_every_face: str, between: int, faces: int) -> Report:
    """Say how many of the faces were not generated, and why where it is none."""
    reason = why_every_face or ("" if between else MOVES)
    return {"applied": not reason, "faces": faces, "faces_between": between, "reason": reason}
