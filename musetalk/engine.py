"""The lip-sync engine: chooses the mode, prepares everything, hands out frames or a file.

Ladder of modes: ``musetalk`` when its files are there, else ``puppet`` when the lips are found,
else ``static``. Whatever made the result is named in the log, the report and the file's tags.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..encoders.encoder import encode_frames
from ..encoders.interfaces import EncodingConfig, EncodingResult
from ..encoders.write.codecs import container_for
from ..encoders.write.make_plan import result_path
from ..encoders.write.output_file import refuse_sources
from ..errors import (
    AvatarVideoError,
    Cancelled,
    CheckpointError,
    DeviceMemoryError,
    MediaError,
    NoFaceError,
)
from ..host.contract import POLL_SECONDS, Host
from ..host.current import current_host
from ..host.environment import cache_directory
from ..media import (
    Avatar,
    Box,
    FaceLocation,
    FramesOfFiles,
    LipCorners,
    Mel,
    frame_count_for,
)
from .background_encode import BackgroundEncode
from .face.finder import locate_face
from .inputs import load_avatar, load_speech
from .interfaces import LipSyncConfig, LipSyncEngineInterface, LipSyncResult, LipSyncRun
from .job import Job
from .pipeline.avatar_cache import PreparedCache
from .pipeline.memory import Ladder, VRAMManager, dtype_for
from .pipeline.run import Spoken, speak, total_steps
from .puppet.driver import mouth_motion
from .puppet.playback import PuppetPlayback, track_lips
from .puppet.puppet import Puppet
from .report import Made, report_of
from .source_frames import read_frames, source_indices
from .weights.search import MissingFiles, find
from .weights.session import ModelFiles, ModelSource
from .work import Work

log = logging.getLogger("avatarvideo.musetalk.engine")

PREPARED = "musetalk avatars"  # our entry among what the host keeps between runs


class MuseTalkLipSync(LipSyncEngineInterface):
    """Makes a person in a picture or video speak.

    config: options that every run starts from, by the names of LipSyncConfig.
    vram_manager: answers what fits on the device; None makes one for the host's device.
    host: folders, progress and cancel; None takes the current one.
    models: networks to use instead of the files that are found.
    cache: where prepared avatars are kept between processes; None takes the folder that
        AVATAR_CACHE names, and without it memory only.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        vram_manager: VRAMManager | None = None,
        host: Host | None = None,
        *,
        models: ModelSource | None = None,
        cache: Path | None = None,
    ) -> None:
        self._defaults = LipSyncConfig(**(config or {}))
        self._host = host or current_host()
        self._models = models
        self._cache_directory = cache or cache_directory()
        self._vram = vram_manager or VRAMManager(
            self._host.device(), free_bytes=self._host.free_memory
        )

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
            check = self._host.check_cancelled
            container = container_for(Path(output_path).suffix, None)
            refuse_sources(result_path(output_path, container), (avatar_image, audio_file))
            avatar = load_avatar(
                avatar_image, corners=options.mouth, face_index=options.face_index, check=check
            )
            mel = load_speech(
                audio_file, start=options.start, duration=options.duration, check=check
            )
            with BackgroundEncode(partial(_encode, Path(output_path), options)) as encode:
                run = self.run(avatar, mel, options, encode=encode)
                return self._write(run, Path(output_path), encode, began)
        except Cancelled:
            raise
        except AvatarVideoError as error:  # said by the caller, not also by the log
            return LipSyncResult(
                success=False,
                error=str(error),
                processing_seconds=time.perf_counter() - began,
            )

    def _write(
        self, run: LipSyncRun, path: Path, encode: BackgroundEncode, began: float
    ) -> LipSyncResult:
        try:
            with self._host.progress(run.frame_count, "Encoding") as bar:
                encoded = encode.finish(run, bar.update, poll_seconds=POLL_SECONDS)
        finally:
            encode.stop()  # before what its frames are made from goes
            if run.release is not None:
                run.release()
        return LipSyncResult(
            success=True,
            output_path=path,
            duration_seconds=float(run.frame_count / run.frame_rate),
            frame_count=run.frame_count,
            resolution=encoded.resolution,
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
        encode: BackgroundEncode | None = None,
    ) -> LipSyncRun:
        """Do all work that needs a network or the whole sound; frames are made when read.

        mask: float32 (H, W), 0..1, where the user lets the picture change; None finds it.
        encode: is started while a GPU makes the faces; whoever gives it finishes it.
        Raises MediaError, NoFaceError, CheckpointError, or what the host raises on cancel.
        """
        options = config or self._defaults
        if not avatar.face_index:
            avatar = replace(avatar, face_index=options.face_index)
        count, frame_rate = self.length(avatar, mel, options)
        indices = source_indices(
            count,
            frame_rate,
            source_count=avatar.frame_count,
            source_rate=avatar.frame_rate,
            loop=options.loop,
        )
        job = Job(avatar, mel, options, frame_rate, indices, mask)
        ladder = Ladder(self._vram, options.quality)
        mode, reason, location, made = self._made(job, ladder, encode)
        log.info("mode %s: %s", mode, reason)
        return _run_of(job, ladder, mode, reason, location, made)

    def _made(
        self, job: Job, ladder: Ladder, encode: BackgroundEncode | None
    ) -> tuple[str, str, FaceLocation, Made]:
        """Return the best possible mode, why it was taken, where the face is, and what it made."""
        wanted = job.options.mode
        why_not = "a puppet was asked for"
        if wanted in ("auto", "musetalk"):
            spoken, why_not = self._spoken(job, ladder, encode)
            if spoken is not None:
                return "musetalk", why_not, _location_of(spoken), _made_of(spoken)
        with job.timed("locate"):
            location = _locate(job, self._host.check_cancelled)
        if wanted == "static":
            return "static", "a still picture was asked for", location, _static(job)
        reason = f"{why_not}; {location.reason}"
        if location.lips is not None:
            return "puppet", reason, location, self._puppet(job, location)
        if wanted == "puppet":
            raise NoFaceError(
                f"Expected lips to move, but {location.reason}: give the two lip corners "
                '("mouth") or choose the mode static.'
            )
        return "static", reason, location, _static(job)

    def _spoken(
        self, job: Job, ladder: Ladder, encode: BackgroundEncode | None
    ) -> tuple[Spoken | None, str]:
        """Return what MuseTalk made, or None where auto goes on without it; and why."""
        only = job.options.mode == "musetalk"
        source = self._source(job.options)
        if isinstance(source, MissingFiles):
            if only:
                raise CheckpointError(source.message)
            return None, "MuseTalk's files are not installed"
        reason = f"MuseTalk {job.options.model.removeprefix('v')} "
        reason += "was asked for" if only else "is installed"

        def start(spoken: Spoken) -> None:
            if encode is not None:
                made, location = _made_of(spoken), _location_of(spoken)
                encode.start(_run_of(job, ladder, "musetalk", reason, location, made))

        def check() -> None:
            self._host.check_cancelled()
            if encode is not None:
                encode.check()

        try:
            spoken = self._speak(job, source, ladder, check, start)
        except (CheckpointError, DeviceMemoryError) as error:
            if only:
                raise
            log.warning("going on without MuseTalk: %s", error)
            ladder.steps.append(
                {"stage": "all", "reason": str(error), "from": "musetalk", "to": "another mode"}
            )
            return None, f"MuseTalk could not be used ({error})"
        found = spoken.track.found.any()
        if not found and not only:
            return None, "MuseTalk found no face"
        nothing = "" if found else "; no face was found, so every frame passes through"
        return spoken, reason + nothing

    def _source(self, options: LipSyncConfig) -> ModelSource | MissingFiles:
        if self._models is not None:
            return self._models
        exact = dtype_for(options.quality, self._vram.device).itemsize == 4
        found = find(
            options.model, self._host.model_directories, precision="full" if exact else "half"
        )
        return found if isinstance(found, MissingFiles) else ModelFiles(found)

    def _speak(
        self,
        job: Job,
        source: ModelSource,
        ladder: Ladder,
        check: Callable[[], None],
        start_encode: Callable[[Spoken], None],
    ) -> Spoken:
        key = f"{PREPARED} {self._cache_directory or ''}"
        cache = self._host.kept.setdefault(key, PreparedCache(self._cache_directory))
        with self._host.progress(total_steps(job), "Speaking") as bar:

            def poll(work: Work) -> None:
                check()
                bar.update(work.done, preview=work.preview)

            return speak(
                job,
                source,
                self._host,
                ladder,
                cache=cache,
                work=Work(poll, poll_seconds=POLL_SECONDS),
                start_encode=start_encode,
            )

    def _puppet(self, job: Job, location: FaceLocation) -> Made:
        last = int(job.indices.max()) + 1
        with job.timed("track"), self._host.progress(last, "Following the lips") as bar:
            shapes = track_lips(job.avatar, location, last, on_frame=bar.update)
        with job.timed("driver"):
            motion = mouth_motion(
                job.mel.speech, frame_rate=job.frame_rate, frame_count=job.indices.size
            )
        playback = PuppetPlayback(job.avatar, job.indices, motion, shapes, job.mask)
        assert location.lips is not None
        reach = Puppet(job.avatar.first_frame(), location.lips).mask()
        mask = reach if job.mask is None else reach * job.mask
        return Made(playback.frames, mask, playback.passed_through())


def _run_of(
    job: Job, ladder: Ladder, mode: str, reason: str, location: FaceLocation, made: Made
) -> LipSyncRun:
    sources = (*job.avatar.sources, *job.mel.clip.sources)
    return LipSyncRun(
        open_frames=lambda: FramesOfFiles(made.open_frames(), sources),
        frame_count=job.indices.size,
        frame_rate=job.frame_rate,
        width=job.avatar.width,
        height=job.avatar.height,
        mode=mode,
        clip=job.mel.clip,
        mask=made.mask,
        report=report_of(job, location, mode, reason, made, ladder.steps),
        release=made.release,
        sources=sources,
    )


def _encode(
    path: Path,
    options: LipSyncConfig,
    run: LipSyncRun,
    frames: Iterator[np.ndarray],
    on_frame: Callable[[int], None],
) -> EncodingResult:
    return encode_frames(
        frames,
        path,
        frame_rate=run.frame_rate,
        config=EncodingConfig(quality=options.quality),
        audio=run.clip,
        metadata=run.metadata(),
        sources=run.sources,
        on_frame=on_frame,
    )


def _location_of(spoken: Spoken) -> FaceLocation:
    faces = np.flatnonzero(spoken.track.found)
    if not faces.size:
        return FaceLocation(None, None, 0.0, spoken.track.method, "no face was found")
    box = Box(*map(float, spoken.track.boxes[faces[0]]))
    return FaceLocation(box, None, 1.0, spoken.track.method, "MuseTalk's own face box")


def _made_of(spoken: Spoken) -> Made:
    playback = spoken.playback
    return Made(
        playback.frames,
        playback.mask(),
        playback.passed_through(),
        details=spoken.report,
        release=playback.release,
    )


def _locate(job: Job, check: Callable[[], None]) -> FaceLocation:
    frame = job.avatar.first_frame()
    corners = job.avatar.corners or job.options.mouth
    location = locate_face(frame, face_index=job.avatar.face_index, corners=corners, check=check)
    if location.lips is None and corners is None and job.mask is not None and job.mask.any():
        return locate_face(frame, corners=_corners_of(job.mask))
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


def _static(job: Job) -> Made:
    empty = np.zeros((job.avatar.height, job.avatar.width), np.float32)
    return Made(
        open_frames=lambda: read_frames(job.avatar, job.indices),
        mask=empty,
        passed_through=np.ones(job.indices.size, bool),
    )
