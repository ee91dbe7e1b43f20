"""Blend generated faces into their frames when the frames are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from ...media import Avatar
from ..face.blend import Backdrop
from ..face.crop import CROP_SIZE, FaceBox
from ..face.detect import FaceTrack
from ..source_frames import read_frames
from .spool import Spool, SpoolReader

NOWHERE = -1  # the place of what is not in the spool
CROP_SHAPE = (CROP_SIZE, CROP_SIZE, 3)


@dataclass(frozen=True, eq=False)
class SpeakingPlayback:
    """A lip-synced clip whose frames are composed when read; memory holds a few numbers a frame.

    shares: float32 (T,), how much of the generated pixels each frame shows; None is all.
    sharp_places: int64 (T,), where each sharpened face lies, of its box's size; NOWHERE or None: as
        generated.
    wait_for: blocks until the face of the frame with this number is generated; None when all are.
    """

    avatar: Avatar
    indices: np.ndarray  # int64 (T,), the avatar's frame shown in every output frame
    slots: np.ndarray  # int64 (T,), that frame's number among the distinct ones, N of them
    track: FaceTrack  # of the N frames
    mask_places: np.ndarray  # int64 (N,), of each frame's mask in the spool, or NOWHERE
    crop_places: np.ndarray  # int64 (T,), where each face lies; NOWHERE lets the frame pass through
    spool: Spool | None = field(repr=False)
    wait_for: Callable[[int], None] | None = field(default=None, repr=False)
    shares: np.ndarray | None = field(default=None, repr=False)
    sharp_places: np.ndarray | None = field(default=None, repr=False)

    def frames(self) -> Iterator[np.ndarray]:
        """Iterate from the start, any number of times, also at once: uint8 RGB (H, W, 3)."""
        sources = read_frames(self.avatar, self.indices)
        if self.spool is None:
            yield from sources
            return
        backdrop: Backdrop | None = None
        shown = NOWHERE
        with self.spool.reader() as reader:
            for number, frame in enumerate(sources):
                if self.wait_for is not None:
                    self.wait_for(number)
                if self.crop_places[number] == NOWHERE:
                    yield frame
                    continue
                slot = int(self.slots[number])
                if backdrop is None or slot != shown:
                    exact = self.track.exact_box(slot)
                    backdrop = Backdrop(frame, *self._box_and_mask(reader, slot), exact)
                    shown = slot
                share = 1.0 if self.shares is None else float(self.shares[number])
                yield self._with_face(backdrop, number, share, reader)

    def _with_face(
        self, backdrop: Backdrop, number: int, share: float, reader: SpoolReader
    ) -> np.ndarray:
        sharp = NOWHERE if self.sharp_places is None else int(self.sharp_places[number])
        if sharp != NOWHERE:
            shape = (backdrop.box.height, backdrop.box.width, 3)
            return backdrop.with_fitted(reader.read(sharp, shape, np.uint8), share)
        crop = reader.read(int(self.crop_places[number]), CROP_SHAPE, np.uint8)
        return backdrop.with_face(crop, share)

    def _box_and_mask(self, reader: SpoolReader, slot: int) -> tuple[FaceBox, np.ndarray]:
        box = self.track.box(slot)
        assert box is not None
        mask = reader.read(int(self.mask_places[slot]), (box.height, box.width), np.uint8)
        return box, mask

    def mask(self) -> np.ndarray:
        """Return float32 (H, W), 0..1: where the first frame may differ from the source."""
        whole = np.zeros((self.avatar.height, self.avatar.width), np.float32)
        if self.spool is not None and not self.passed_through()[0]:
            with self.spool.reader() as reader:
                box, mask = self._box_and_mask(reader, int(self.slots[0]))
            whole[box.area] = mask / np.float32(255)
        return whole

    def passed_through(self) -> np.ndarray:
        """Return bool (T,): output frames that are the source's, unchanged.

        While faces are still being generated: those with nothing to replace.
        """
        if self.wait_for is not None:
            return self.mask_places[self.slots] == NOWHERE
        return self.crop_places == NOWHERE

    def release(self) -> None:
        if self.spool is not None:
            self.spool.release()
