"""Which faces of a clip are generated, batch by batch, and where they lie in the spool."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from ..audio import window_starts
from ..background_encode import FinalFrames
from ..job import Job
from ..work import Work
from .compose import NOWHERE
from .generate import LATENT_SHAPE, FaceGenerator, MadeFaces
from .half_rate import BETWEEN, batches, faces_between
from .speech_features import FeatureStore, SeveralFeatures
from .spool import Spool, SpoolReader, SpoolWriter

# Takes a face's number, its crop and what reads the spool; returns it at its box's size, or None.
Sharpen = Callable[[int, np.ndarray, SpoolReader], np.ndarray | None]


@dataclass(eq=False)
class GeneratedFaces:
    """The generated faces of a clip, written batch by batch; an interrupted pass can continue.

    A face's number is that of its frame; ~slot stands for the face at rest of a source frame.

    own: bool (N,), source frames in which a mouth at rest shows the picture's own lips and no
        others. In the rest they are generated once a source frame, from silence.
    """

    job: Job
    latent_places: np.ndarray  # int64 (N,), in the spool; NOWHERE, or BETWEEN those beside it
    features: FeatureStore | SeveralFeatures
    spool: Spool
    own: np.ndarray
    half_rate: bool = False  # every second face is made of those beside it where that is possible
    between: int = 0  # faces that were
    unusable: int = 0  # faces that were left out because their values are not finite
    final: FinalFrames = field(default_factory=FinalFrames)

    def __post_init__(self) -> None:
        count, slots = self.job.indices.size, self.job.slots
        self.places = np.full(count, NOWHERE, np.int64)  # of the faces in the spool
        self.sharp_places = np.full(count, NOWHERE, np.int64)  # likewise of the sharpened ones
        woven, rate = self.job.woven, self.job.frame_rate
        self._starts = window_starts(count, rate) if woven is None else woven.starts(count, rate)
        self._weight = np.ones(count, np.float32) if self.job.gate is None else self.job.gate.weight
        replaced, rests = self.latent_places[slots] != NOWHERE, self._weight == 0
        self._at_rest = replaced & rests & ~self.own[slots]  # these show their slot's shared face
        self._todo = np.concatenate(
            [~np.unique(slots[self._at_rest]), np.flatnonzero(replaced & ~rests)]
        )
        self.passing = count - int(
            (replaced & ~rests).sum()
        )  # frames that nothing is generated for
        self._advance()

    @property
    def made(self) -> int:
        """Return how many faces are in the spool."""
        return np.unique(self.places[self.places != NOWHERE]).size

    def batches(self, batch: int) -> int:
        return -(-self._todo.size // batch)

    def make(
        self,
        generator: FaceGenerator,
        batch: int,
        work: Work,
        *,
        ahead: int = 0,
        sharpen: Sharpen | None = None,
    ) -> None:
        """Generate the faces that are left, ``batch`` at a time.

        ahead: batches started before the oldest is waited for: 1 keeps a GPU busy.
        sharpen: without one all are shown as they were generated, also those sharpened before.
        """
        if sharpen is None:
            self.sharp_places[:] = NOWHERE
        with self.spool.writer() as writer, self.spool.reader() as reader:
            begun: deque[tuple[np.ndarray, Callable[[], MadeFaces]]] = deque()
            if self._has_no_latents(self._todo[:1]).any():  # an interrupted pass ended before it
                self._todo = np.append(self._todo[0] - 1, self._todo)
                work.done -= 1
            todo, between = self._todo, None
            if self.half_rate:
                between = faces_between(todo, self.job.slots) | self._has_no_latents(todo)
            for some in batches(todo, batch, between):
                work.check()
                latents = self._latents(reader, self._slots(some.generated))
                windows, hears = self._windows(reader, some.generated)
                begin = (latents, windows, torch.as_tensor(hears), some.pairs)
                begun.append((some.faces, generator.begin(*begin)))
                self.between += some.faces.size - some.generated.size
                if len(begun) > ahead:
                    self._write((writer, reader), *begun.popleft(), work, sharpen)
            while begun:
                self._write((writer, reader), *begun.popleft(), work, sharpen)

    def _has_no_latents(self, faces: np.ndarray) -> np.ndarray:
        return self.latent_places[self._slots(faces)] == BETWEEN

    def _slots(self, faces: np.ndarray) -> np.ndarray:
        return np.where(faces < 0, ~faces, self.job.slots[faces])

    def _windows(self, reader: SpoolReader, faces: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
        """Return the distinct windows of some faces, and which each of them hears."""
        weight = np.where(faces < 0, np.float32(0), self._weight[faces])
        # Above 50 frames a second some frames share a window.
        starts, hears = np.unique(self._starts[faces.clip(0)], return_inverse=True)
        windows = self.features.windows(reader, starts)
        if (weight == 1).all():
            return windows, hears
        return self.features.faded(windows[hears], weight), np.arange(faces.size)

    def _write(
        self,
        files: tuple[SpoolWriter, SpoolReader],
        faces: np.ndarray,
        wait: Callable[[], MadeFaces],
        work: Work,
        sharpen: Sharpen | None,
    ) -> None:
        crops, usable = wait()
        writer, reader = files
        for face, crop, good in zip(faces.tolist(), crops, usable, strict=True):
            if good:
                shown = face if face >= 0 else self._at_rest & (self.job.slots == ~face)
                sharp = None if sharpen is None else sharpen(face, crop, reader)
                self.places[shown] = writer.append(crop)
                if sharp is not None:
                    self.sharp_places[shown] = writer.append(sharp)
                work.preview = crop
        self.unusable += int((~usable).sum())
        writer.flush()
        self._todo = self._todo[faces.size :]
        self._advance()
        work.done += int((faces >= 0).sum())

    def _advance(self) -> None:
        first = int(self._todo[0]) if self._todo.size else self.places.size
        self.final.advance(max(first, 0))  # nothing is final before the faces at rest are

    def _latents(self, reader: SpoolReader, slots: np.ndarray) -> torch.Tensor:
        distinct, rows = np.unique(slots, return_inverse=True)
        places = self.latent_places[distinct].tolist()
        read = [reader.read(place, LATENT_SHAPE, np.float32) for place in places]
        return torch.as_tensor(np.stack(read)[rows])
