"""Generated faces through the user's upscale model, before they go into the spool."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from ...media import Avatar
from ..face.aligned import (
    ALIGNED_SIDE,
    aligned_face,
    alignment,
    points_in_box,
    put_back,
)
from ..face.blend import Backdrop
from ..face.crop import CROP_SIZE, FaceBox, fit_face
from ..face.detect import FaceTrack
from ..interfaces import Report
from ..job import Job
from ..source_frames import read_frames
from ..upscale.cuts import Area
from ..upscale.model import UpscaleModel
from ..weights.catalogue import MIB
from .compose import NOWHERE
from .memory import SLACK, MemoryPlan, Placement, dtype_name
from .spool import SpoolReader

log = logging.getLogger("avatarvideo.musetalk.pipeline.sharpen")

NOT_OF_SEVERAL = (
    "it sharpens one speaker chosen by size, and here several people or a chosen face speak"
)
WORKSPACE = 64 * MIB  # of its convolutions, beside those of the stage's own networks
# Pixels on each side that ``fit_face`` makes one from, of the coarser picture: a box to parts of a
# pixel is up to one pixel away.
FITTED_FROM = 2


@dataclass(eq=False)
class FaceSharpener:
    """The upscale model of a clip: whether its faces need it, and each face through it.

    Super-resolution sees the generated crop, or as much of it as makes what the mask shows. It is
    asked as often as the clip's largest face needs, and for as many pixels: a face that comes
    nearer shall not change its look. A face restorer sees the whole face, upright, with the
    generated crop in its place.

    mask_places: int64 (N,), of each source frame's mask in the spool; NOWHERE: nothing of it is
        generated.
    check: called before every pass through the model; may raise to stop.
    """

    job: Job
    model: UpscaleModel
    track: FaceTrack
    mask_places: np.ndarray
    check: Callable[[], None]
    is_widened: bool = False  # half precision overflowed
    unusable: int = 0  # faces whose pixels it made no numbers
    guessed: set[int] = field(default_factory=set[int])  # source frames without landmarks

    def __post_init__(self) -> None:
        self._frames = _FramesInTurn(self.job)
        sides = self.track.boxes[self.mask_places != NOWHERE]
        self.largest = int((sides[:, 2:] - sides[:, :2]).max()) if sides.size else 0
        self.passes = 1 if self.model.is_restorer else self.model.passes_for(self.largest)

    def why_not(self, folder: Path, others: int) -> str:
        """Return why the faces stay as they are generated, part of a sentence, or nothing.

        folder: the spool's. others: bytes that it takes besides.
        """
        if not self.passes:
            return (
                f"the largest face takes {self.largest} pixels of the frame, no more than the "
                f"{CROP_SIZE} that MuseTalk makes"
            )
        sides = self.track.boxes.astype(np.int64)
        areas = (sides[:, 2] - sides[:, 0]) * (sides[:, 3] - sides[:, 1])
        areas *= self.mask_places != NOWHERE
        needed, free = int(areas[self.job.slots].sum()) * 3, shutil.disk_usage(folder).free
        if needed + others > free:
            return (
                f"{needed / 1e6:.0f} MB of room for them are needed in {folder} and "
                f"{max(0, free - others) / 1e6:.0f} MB are free"
            )
        return ""

    def plan(self, dtype: torch.dtype) -> MemoryPlan:
        side = ALIGNED_SIDE if self.model.is_restorer else CROP_SIZE
        weights, work = self.model.bytes_needed(side, self.passes, dtype)
        return MemoryPlan(weights, int(work * SLACK) + WORKSPACE)

    def module(self, dtype: torch.dtype) -> nn.Module:
        return self.model.module(dtype, cuts=not self.model.is_restorer)

    def release(self) -> None:
        self.model.release()

    def sharpened(self, face: int, crop: np.ndarray, reader: SpoolReader) -> np.ndarray | None:
        """Return a generated crop as its box shows it, uint8 RGB (h, w, 3), or None: as it is.

        face: its number, as in ``GeneratedFaces``. reader: of the spool, for its mask.
        """
        slot = ~face if face < 0 else int(self.job.slots[face])
        box = self.track.box(slot)
        assert box is not None
        if self.model.is_restorer:
            picture = self._restored(face, slot, crop, box, reader)
        else:
            mask = self._mask(slot, box, reader)
            picture = self._through(crop, shown_part(mask))
            if picture is not None:
                picture = fit_face(picture, box, self.track.exact_box(slot))
        self.unusable += picture is None
        return picture

    def _restored(
        self, face: int, slot: int, crop: np.ndarray, box: FaceBox, reader: SpoolReader
    ) -> np.ndarray | None:
        points = self.track.five_points(slot)
        if points is None:
            self.guessed.add(slot)
            points = points_in_box(box)
        mask = self._mask(slot, box, reader)
        backdrop = Backdrop(self._frames.at(face), box, mask, self.track.exact_box(slot))
        matrix = alignment(points)
        restored = self._through(aligned_face(backdrop.with_face(crop), matrix))
        return None if restored is None else put_back(restored, matrix, box)

    def _mask(self, slot: int, box: FaceBox, reader: SpoolReader) -> np.ndarray:
        return reader.read(int(self.mask_places[slot]), (box.height, box.width), np.uint8)

    def _through(self, picture: np.ndarray, kept: Area | None = None) -> np.ndarray | None:
        return self.model.sharpened(
            picture,
            self.passes,
            wanted=self.largest,
            kept=kept,
            check=self.check,
            on_full_precision=self._widened,
        )

    def _widened(self) -> None:
        self.is_widened = True
        log.warning("the upscale model left the range of half precision: continuing in float32")

    def report(self, sharp_places: np.ndarray, placement: Placement) -> Report:
        """Return what was done. sharp_places: as in ``GeneratedFaces``, when all are made."""
        if not placement.sharp:
            return not_sharpened(
                self.model, "there is not enough memory for it; the report's ladder says more"
            )
        dtype = torch.float32 if self.is_widened else self.model.dtype_for(placement.dtype)
        return {
            "applied": self.model.kind,
            "model": self.model.name,
            "scale": self.model.scale,
            "passes": self.passes,
            "dtype": dtype_name(dtype),
            "frames": int((sharp_places != NOWHERE).sum()),
            "reason": "",
        }

    def notes(self) -> list[str]:
        """Return what else the user should know, a sentence each."""
        notes: list[str] = []
        if self.guessed:
            notes.append(
                f"In {len(self.guessed)} source frames there are no landmarks: the face restorer "
                "takes its position from the face box."
            )
        if self.unusable:
            notes.append(
                f"The upscale model returned values that are not finite for {self.unusable} faces: "
                "they are shown as they were generated."
            )
        return notes


def shown_part(mask: np.ndarray) -> Area:
    """Return the pixels of a generated crop that a mask, uint8 (h, w) over its box, shows.

    Also those that fitting the crop to the box mixes into them.
    """
    x, y, width, height = cv2.boundingRect(mask)
    across, down = CROP_SIZE / mask.shape[1], CROP_SIZE / mask.shape[0]
    margin_x, margin_y = (math.ceil(FITTED_FROM * max(step, 1)) for step in (across, down))
    area = Area(
        math.floor(x * across) - margin_x,
        math.floor(y * down) - margin_y,
        math.ceil((x + width) * across) + margin_x,
        math.ceil((y + height) * down) + margin_y,
    )
    return area.within(CROP_SIZE, CROP_SIZE)


def not_sharpened(model: UpscaleModel, reason: str) -> Report:
    """Return the report of an upscale model that was not used."""
    return {"applied": "none", "model": model.name, "scale": model.scale, "reason": reason}


class _FramesInTurn:
    """The avatar's frames by the number of the face in them; faces come in runs that ascend."""

    def __init__(self, job: Job) -> None:
        self._avatar: Avatar = job.avatar
        self._runs = {True: job.numbers, False: job.indices}  # of faces at rest, and of frames
        self._at_rest: bool | None = None
        self._next = 0
        self._frames: Iterator[np.ndarray] = iter(())
        self._shown = np.empty(0, np.uint8)

    def at(self, face: int) -> np.ndarray:
        """Return uint8 RGB (H, W, 3)."""
        at_rest, number = face < 0, ~face if face < 0 else face
        if at_rest != self._at_rest or number < self._next - 1:
            self._at_rest, self._next = at_rest, number
            self._frames = read_frames(self._avatar, self._runs[at_rest][number:])
        while self._next <= number:
            self._shown = next(self._frames)
            self._next += 1
        return self._shown
