"""The lip-sync engine: chooses the mode, prepares everything, hands out frames or a file.

Ladder of modes: ``musetalk`` when its files are there, else ``puppet`` when the lips are found,
else ``static``. Whatever made the result is named in the log, the report and the file's tags.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..encoders.ffmpeg import encode_frames
from ..encoders.interfaces import EncodingConfig
from ..errors import AvatarVideoError, Cancelled, CheckpointError, MediaError, NoFaceError
from ..host import Host, current_host
from ..inputs import load_avatar, load_speech
from ..media import AudioClip, Avatar, FaceLocation, LipCorners, Mel, frame_count_for
from ..system_memory import peak_memory
from .face.locate import locate_face
from .fallback.driver import mouth_motion
from .fallback.playback import PuppetPlayback, track_lips
from .fallback.puppet import Puppet
from .interfaces import LipSyncConfig, LipSyncEngineInterface, LipSyncResult
from .model_search import MissingFiles, find
from .residency import VRAMManager
from .source_frames import read_frames, source_indices

log = logging.getLogger("avatarvideo.musetalk.engine")

REPORT_TAG = "avatarvideo"  # the tag of a video file that says which mode made it


@dataclass(frozen=True, eq=False)
class LipSyncRun:
    """A finished run whose frames are made when they are read.

    open_frames: returns a new iterator over exactly ``frame_count`` uint8 RGB (H, W, 3) frames.
    clip: the original sound, untouched.
    mask: float32 (H, W), where the first frame may differ from the source.
    report: everything worth knowing, ready for JSON.
    """

    open_frames: Callable[[], Iterator[np.ndarray]] = field(repr=False)
    frame_count: int
    frame_rate: Fraction
    width: int
    height: int
    mode: str
    clip: AudioClip
    mask: np.ndarray = field(repr=False)
    report: dict[str, Any] = field(repr=False)
    release: Callable[[], None] | None = field(default=None, repr=False)

    def metadata(self) -> dict[str, str]:
        """Return the tags that a file made of this run carries."""
        kept = ("mode", "requested_mode", "reason", "frames", "frames_synced")
        return {REPORT_TAG: json.dumps({key: self.report[key] for key in kept})}


class MuseTalkLipSync(LipSyncEngineInterface):
    """Makes a person in a picture or video speak.

    config: options that every run starts from, by the names of LipSyncConfig.
    vram_manager: answers what fits on the device; None makes one for the host's device.
    host: folders, progress and cancel; None takes the current one.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        vram_manager: VRAMManager | None = None,
        host: Host | None = None,
    ) -> None:
        self._defaults = LipSyncConfig(**(config or {}))
        self._host = host or current_host()
        self._vram = vram_manager or VRAMManager(self._host.device())

    def get_supported_formats(self) -> dict[str, list[str]]:
        """Return the file extensions accepted: keys "image", "video", "audio" and "output"."""
        return {
            "image": ["bmp", "jpeg", "jpg", "png", "tif", "tiff", "webp"],
            "video": ["avi", "m4v", "mkv", "mov", "mp4", "webm"],
            "audio": ["aac", "flac", "m4a", "mp3", "ogg", "opus", "wav"],
            "output": ["mkv", "mov", "mp4"],
        }

    def generate(
        self,
        avatar_image: str | Path,
        audio_file: str | Path,
        output_path: str | Path,
        config: LipSyncConfig | None = None,
    ) -> LipSyncResult:
        """Write a lip-synced video file. Operational failures come back as ``success=False``.

        A cancelled run raises Cancelled (or the host's own interruption) and leaves no file.
        """
        began = time.perf_counter()
        options = config or self._defaults
        try:
            avatar = load_avatar(avatar_image, corners=options.mouth, face_index=options.face_index)
            mel = load_speech(audio_file, start=options.start, duration=options.duration)
            run = self.run(avatar, mel, options)
            return self._write(run, Path(output_path), options, began)
        except Cancelled:
            raise
        except AvatarVideoError as error:
            log.error("%s", error)
            return LipSyncResult(
                success=False,
                error=str(error),
                processing_seconds=time.perf_counter() - began,
            )

    def _write(
        self, run: LipSyncRun, path: Path, options: LipSyncConfig, began: float
    ) -> LipSyncResult:
        try:
            with self._host.progress(run.frame_count, "Encoding") as bar:
                encode_frames(
                    run.open_frames(),
                    path,
                    frame_rate=run.frame_rate,
                    config=EncodingConfig(quality=options.quality),
                    audio=run.clip,
                    metadata=run.metadata(),
                    on_frame=bar.update,
                )
        finally:
            if run.release is not None:
                run.release()
        return LipSyncResult(
            success=True,
            output_path=path,
            duration_seconds=float(run.frame_count / run.frame_rate),
            frame_count=run.frame_count,
            resolution=(run.width, run.height),
            fps=float(run.frame_rate),
            mode=run.mode,
            processing_seconds=time.perf_counter() - began,
            report=run.report,
        )

    def length(self, avatar: Avatar, mel: Mel, config: LipSyncConfig) -> tuple[int, Fraction]:
        """Return the number of frames of the result and its exact rate.

        Raises MediaError when the speech is shorter than 20 ms or longer than the limit.
        """
        seconds = float(mel.clip.duration)
        if seconds > config.max_duration:
            raise MediaError(
                f"Expected at most {config.max_duration:g} s of speech, got {seconds:.1f} s: "
                "raise max_duration or choose a part with start and duration."
            )
        frame_rate = config.frame_rate(avatar.frame_rate)
        samples = mel.clip.samples.shape[1]
        return frame_count_for(samples, mel.clip.sample_rate, frame_rate), frame_rate

    def run(
        self,
        avatar: Avatar,
        mel: Mel,
        config: LipSyncConfig | None = None,
        *,
        mask: np.ndarray | None = None,
    ) -> LipSyncRun:
        """Do all work that needs a network or the whole sound; frames are made when read.

        mask: float32 (H, W), 0..1, where the user lets the picture change; None finds it.
        Raises MediaError, NoFaceError, CheckpointError, or what the host raises on cancel.
        """
        options = config or self._defaults
        count, frame_rate = self.length(avatar, mel, options)
        indices = source_indices(
            count,
            frame_rate,
            source_count=avatar.frame_count,
            source_rate=avatar.frame_rate,
            loop=options.loop,
        )
        plan = _Plan(avatar, mel, options, mask, frame_rate, indices)
        with plan.timed("locate"):
            location = _locate(plan)
        self._host.check_cancelled()
        mode, reason = self._choose_mode(plan, location)
        log.info("mode %s: %s", mode, reason)
        made = self._puppet(plan, location) if mode == "puppet" else _static(plan)
        return LipSyncRun(
            open_frames=made.open_frames,
            frame_count=count,
            frame_rate=frame_rate,
            width=avatar.width,
            height=avatar.height,
            mode=mode,
            clip=mel.clip,
            mask=made.mask,
            report=_report(plan, location, mode, reason, made),
        )

    def _choose_mode(self, plan: _Plan, location: FaceLocation) -> tuple[str, str]:
        wanted = plan.options.mode
        if wanted == "static":
            return "static", "a still picture was asked for"
        if wanted == "musetalk":
            raise CheckpointError(self._missing_files(plan.options))
        missing = "MuseTalk's files are not installed"
        if location.lips is not None:
            why = "a puppet was asked for" if wanted == "puppet" else missing
            return "puppet", f"{why}; {location.reason}"
        if wanted == "puppet":
            raise NoFaceError(
                f"Expected lips to move, but {location.reason}: give the two lip corners "
                '("mouth") or choose the mode static.'
            )
        return "static", f"{missing}; {location.reason}"

    def _missing_files(self, options: LipSyncConfig) -> str:
        found = find(options.model, self._host.model_directories)
        return found.message if isinstance(found, MissingFiles) else ""

    def _puppet(self, plan: _Plan, location: FaceLocation) -> _Made:
        last = int(plan.indices.max()) + 1
        with plan.timed("track"), self._host.progress(last, "Following the lips") as bar:
            shapes = track_lips(plan.avatar, location, last, on_frame=bar.update)
        with plan.timed("driver"):
            motion = mouth_motion(
                plan.mel.speech, frame_rate=plan.frame_rate, frame_count=plan.indices.size
            )
        playback = PuppetPlayback(plan.avatar, plan.indices, motion, shapes, plan.mask)
        assert location.lips is not None
        reach = Puppet(plan.avatar.first_frame(), location.lips).mask()
        mask = reach if plan.mask is None else reach * plan.mask
        return _Made(playback.frames, mask, playback.passed_through())


@dataclass(frozen=True, eq=False)
class _Plan:
    """What one run works on, and how long its stages took."""

    avatar: Avatar
    mel: Mel
    options: LipSyncConfig
    mask: np.ndarray | None
    frame_rate: Fraction
    indices: np.ndarray
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began


@dataclass(frozen=True, eq=False)
class _Made:
    open_frames: Callable[[], Iterator[np.ndarray]]
    mask: np.ndarray
    passed_through: np.ndarray


def _locate(plan: _Plan) -> FaceLocation:
    frame = plan.avatar.first_frame()
    corners = plan.avatar.corners or plan.options.mouth
    location = locate_face(frame, face_index=plan.avatar.face_index, corners=corners)
    if location.lips is None and corners is None and plan.mask is not None and plan.mask.any():
        return locate_face(frame, corners=_corners_of(plan.mask))
    return location


def _corners_of(mask: np.ndarray) -> LipCorners:
    """Return the ends of a mouth mask's widest extent as lip corners."""
    rows, columns = np.nonzero(mask > 0.5)
    if not rows.size:
        raise MediaError("Expected a mask with a masked part (above 0.5), got none.")
    left, right = columns.min(), columns.max()
    return LipCorners(
        float(left),
        float(rows[columns == left].mean()),
        float(right),
        float(rows[columns == right].mean()),
    )


def _static(plan: _Plan) -> _Made:
    empty = np.zeros((plan.avatar.height, plan.avatar.width), np.float32)
    return _Made(
        open_frames=lambda: read_frames(plan.avatar, plan.indices),
        mask=empty,
        passed_through=np.ones(plan.indices.size, bool),
    )


def _report(
    plan: _Plan, location: FaceLocation, mode: str, reason: str, made: _Made
) -> dict[str, Any]:
    passed = made.passed_through
    return {
        "mode": mode,
        "requested_mode": plan.options.mode,
        "reason": reason,
        "frames": int(passed.size),
        "frame_rate": str(plan.frame_rate),
        "width": plan.avatar.width,
        "height": plan.avatar.height,
        "frames_synced": int((~passed).sum()),
        "frames_passed_through": int(passed.sum()),
        "passed_through_ranges": ranges(passed),
        "face": {
            "method": location.method,
            "confidence": round(location.confidence, 3),
            "box": [round(edge, 1) for edge in location.box] if location.box else None,
            "lip_corners": (
                [round(edge, 1) for edge in location.lips.corners] if location.lips else None
            ),
        },
        "seconds": {stage: round(value, 3) for stage, value in plan.seconds.items()},
        "peak_memory_bytes": peak_memory(),
    }


def ranges(flags: np.ndarray) -> list[list[int]]:
    """Return the runs of True as [first, last] pairs, both included."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [[int(first), int(end) - 1] for first, end in edges.reshape(-1, 2)]
