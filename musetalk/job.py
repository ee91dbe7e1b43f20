"""A clip to make, what its options mean for every stage, and what a mode made of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AvatarVideoError
from ..media import Avatar, FaceLocation, LipCorners, Mel
from .audio import window_starts
from .face.blend import MaskSettings
from .face.choice import FaceChoice
from .face.detect import FaceTrack
from .face.wish import POINT_REACH
from .interfaces import LipSyncConfig, Report
from .speeches import Speech
from .upscale.model import UpscaleModel
from .voice.gate import Gate

SPEECH_STEP = 1 << 40  # between the window starts of one speech and those of the next


@dataclass(frozen=True, eq=False)
class Woven:
    """A job whose every frame stands there once for each speaker, one after the other.

    mels: of the speakers, P of them. track: of the N x P frames, their faces found already.
    """

    mels: tuple[Mel, ...]
    track: FaceTrack

    def starts(self, count: int, frame_rate: Fraction) -> np.ndarray:
        """Return int64 (count,): where the windows of frames begin, each in its own speech."""
        people = len(self.mels)
        starts = np.repeat(window_starts(count // people, frame_rate), people)
        return starts + np.arange(count) % people * SPEECH_STEP


@dataclass(frozen=True, eq=False)
class Job:
    """One clip to make."""

    avatar: Avatar
    mel: Mel
    options: LipSyncConfig
    frame_rate: Fraction
    indices: np.ndarray  # int64 (T,), the avatar's frame shown in every output frame
    mask: np.ndarray | None = None  # float32 (H, W), 0..1, where the picture may change
    notes: tuple[str, ...] = ()  # for the report: how the avatar's time became the result's
    model_folders: tuple[Path, ...] = ()  # where a face finder may look for its file
    speeches: tuple[Speech, ...] = ()  # of several, or of a face that was chosen where it is
    woven: Woven | None = None  # where the frames are of several speakers in turn
    gate: Gate | None = None  # how far the mouth follows the speech; None: everywhere
    upscaler: UpscaleModel | None = None  # sharpens what is generated
    seconds: dict[str, float] = field(default_factory=dict[str, float])  # spent in each stage

    @contextmanager
    def timed(self, stage: str) -> Generator[None, None, None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began

    @property
    def is_asked_for(self) -> bool:
        return self.options.mode != "auto"

    @cached_property
    def numbers(self) -> np.ndarray:
        """The distinct frames of the avatar that are shown, int64 (N,), ascending."""
        return np.unique(self.indices)

    @cached_property
    def slots(self) -> np.ndarray:
        """The place of every output frame's source among ``numbers``, int64 (T,)."""
        return np.searchsorted(self.numbers, self.indices)

    @property
    def extra_margin(self) -> int:
        """Pixels below the chin; MuseTalk 1.0 was trained without them."""
        return self.options.extra_margin if self.options.model == "v1.5" else 0

    @property
    def mask_settings(self) -> MaskSettings:
        """How the replaced part is chosen; MuseTalk 1.0 knew only one way."""
        options = self.options
        mode = options.parsing_mode if options.model == "v1.5" else "raw"
        return MaskSettings(mode, options.left_cheek_width, options.right_cheek_width)

    @property
    def corners(self) -> LipCorners | None:
        return self.avatar.corners or self.options.mouth

    @property
    def known_face(self) -> FaceLocation | None:
        """The face that came with the avatar, unless the options or the mask ask for another."""
        face, options = self.avatar.face, self.options
        if options.face_index or self.corners != self.avatar.corners:
            return None
        if self.mask is not None and face is not None and face.lips is None:
            return None
        return face

    @property
    def face_choice(self) -> FaceChoice:
        """Which face speaks: the one at the user's points, or else in the mask, else by size."""
        if (lips := self.corners) is not None:
            return FaceChoice(point=((lips.x0 + lips.x1) / 2, (lips.y0 + lips.y1) / 2))
        if self.avatar.face_point is not None:
            return FaceChoice(point=self.avatar.face_point, reach=POINT_REACH)
        if self.mask is not None and self.avatar.face_index == 0:
            rows, columns = np.nonzero(self.mask > 0.5)
            if rows.size:
                # A mask is often drawn generously: it points at the nearest face, however far.
                center = (float(columns.mean()), float(rows.mean()))
                return FaceChoice(point=center, reach=math.inf)
        return FaceChoice(self.avatar.face_index)


@dataclass(frozen=True, eq=False)
class Made:
    """What a mode made of a job.

    reason: why this mode made them, part of a sentence; empty where the reasons against the other
        modes are enough.
    details: what only this mode adds to the report.
    """

    open_frames: Callable[[], Iterator[np.ndarray]]
    mask: np.ndarray  # float32 (H, W), where the first frame may differ from the source
    passed_through: np.ndarray  # bool (T,), frames that are the source's
    location: FaceLocation
    reason: str
    details: Report = field(default_factory=dict[str, Any])  # Any: as in Report
    release: Callable[[], None] | None = None  # frees what the frames are made from


@dataclass(frozen=True)
class NotPossible:
    """Why a mode cannot make a job."""

    reason: str  # part of a sentence for the report, where another mode makes it
    error: AvatarVideoError | None = None  # raised where this mode was chosen; None: of the reason
