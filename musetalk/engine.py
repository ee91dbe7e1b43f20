"""The lip-sync engine: the first possible mode makes the frames of a run or a file."""

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
from ..encoders.write.output_file import refuse_sources, refuse_url
from ..errors import AvatarVideoError, Cancelled, MediaError, SourceEndsEarlyError
from ..host.contract import POLL_SECONDS, Host
from ..host.current import current_host
from ..host.environment import cache_directory
from ..media import Avatar, Mel, frame_count_for
from .background_encode import BackgroundEncode
from .face.wish import parse_wish
from .inputs import load_avatar, load_speech
from .interfaces import LipSyncConfig, LipSyncEngineInterface, LipSyncResult, LipSyncRun
from .job import Job, Made
from .modes import MODES
from .modes.context import Context, maker_of
from .pipeline.cpu_features import Tuning
from .pipeline.memory import FallbackPlan, VRAMManager
from .source_frames import (
    own_rate,
    pictures_wait,
    result_length,
    source_indices,
    time_notes,
)
from .speeches import (
    clips_of,
    files_of,
    loaded,
    mixed,
    of_channel,
    sound_length,
    speeches_of,
)
from .upscale.file import load_descriptor
from .upscale.model import UpscaleModel
from .weights.session import ModelSource

log = logging.getLogger("avatarvideo.musetalk.engine")


class MuseTalkLipSync(LipSyncEngineInterface):
    """Makes a person in a picture or video speak.

    config: options that every run starts from, by the names of LipSyncConfig.
    vram_manager: answers what fits on the device; None makes one for the host's device.
    host: folders, progress and cancel; None takes the current one.
    models: networks to use instead of the files that are found.
    cache: the folder of the avatar cache; None takes the one that AVATAR_CACHE names, and without
        it memory only.
    tuning: how the machine is used; None takes what is best for this one.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,  # Any: each option has its own type
        vram_manager: VRAMManager | None = None,
        host: Host | None = None,
        *,
        models: ModelSource | None = None,
        cache: Path | None = None,
        tuning: Tuning | None = None,
    ) -> None:
        self._defaults = LipSyncConfig(**(config or {}))
        self._host = host or current_host()
        self._models = models
        self._tuning = tuning or Tuning()
        self._cache_directory = cache or cache_directory()
        self._vram = vram_manager or VRAMManager(
            self._host.device(), free_bytes=self._host.free_memory
        )

    def get_supported_formats(self) -> dict[str, list[str]]:
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
        began = time.perf_counter()
        options = config or self._defaults
        try:
            check = self._host.check_cancelled
            refuse_url(output_path)
            container = container_for(Path(output_path).suffix, None)
            sources = (avatar_image, audio_file, *files_of(options))
            refuse_sources(result_path(output_path, container), sources)
            avatar = load_avatar(
                avatar_image,
                corners=options.mouth,
                face_index=options.face_index,
                check=check,
                speech=audio_file,
            )
            mel = load_speech(
                audio_file, start=options.start, duration=options.duration, check=check
            )
            with BackgroundEncode(partial(_encode, Path(output_path), options)) as encode:
                run = self.run(avatar, mel, options, encode=encode)
                result = self._write(run, Path(output_path), encode, began)
            # What reading its frames found is known only now.
            notes = [note for note in avatar.notes() if note not in result.report["notes"]]
            result.report["notes"] += notes
            return result
        except Cancelled:
            raise
        except AvatarVideoError as error:  # reported by the caller, not also logged
            return LipSyncResult(
                success=False,
                output_path=error.kept if isinstance(error, SourceEndsEarlyError) else None,
                error=str(error),
                processing_seconds=time.perf_counter() - began,
                report={"error_type": type(error).__name__},
            )

    def _write(
        self, run: LipSyncRun, path: Path, encode: BackgroundEncode, began: float
    ) -> LipSyncResult:
        try:
            with self._host.progress(run.frame_count, "Encoding") as bar:
                encoded = encode.finish(run, bar.update, poll_seconds=POLL_SECONDS)
        finally:
            encode.stop()  # before the run releases what its frames are made from
            if run.release is not None:
                run.release()
        return LipSyncResult(
            success=True,
            output_path=result_path(path, container_for(path.suffix, None)),
            duration_seconds=float(run.frame_count / run.frame_rate),
            frame_count=run.frame_count,
            resolution=encoded.resolution,
            fps=float(run.frame_rate),
            mode=run.mode,
            processing_seconds=time.perf_counter() - began,
            report=run.report,
        )

    def length(self, avatar: Avatar, mel: Mel, config: LipSyncConfig) -> tuple[int, Fraction]:
        samples, sample_rate = sound_length(clips_of(mel, loaded(config)))
        seconds, most = samples / sample_rate, f"{float(config.max_duration):g} s"
        if seconds > config.max_duration:
            raise MediaError(
                f"Expected at most {most} of speech, got {seconds:.1f} s: "
                "raise max duration or choose a part with start and duration."
            )
        frame_rate = config.frame_rate(own_rate(avatar))
        spoken = frame_count_for(samples, sample_rate, frame_rate)
        wait = pictures_wait(avatar, mel.clip)
        count = result_length(spoken, frame_rate, avatar=avatar, loop=config.loop, wait=wait)
        if count > spoken and count > config.max_duration * frame_rate:
            raise MediaError(
                f"Expected at most {most}, but with loop silence the avatar "
                f"plays on for {float(count / frame_rate):.1f} s: raise max duration or choose cut."
            )
        return count, frame_rate

    def run(
        self,
        avatar: Avatar,
        mel: Mel,
        config: LipSyncConfig | None = None,
        *,
        mask: np.ndarray | None = None,
        upscale_model: object = None,
        encode: BackgroundEncode | None = None,
    ) -> LipSyncRun:
        """See the interface. encode: started while a GPU generates; the caller finishes it."""
        check = self._host.check_cancelled
        options = loaded(config or self._defaults, check)
        upscaler = _upscaler(upscale_model, options)
        if not avatar.face_index:
            avatar = replace(avatar, face_index=options.face_index)
        speeches = speeches_of(mel, options, avatar, avatar.corners or options.mouth, check)
        if options.face.strip() and not speeches:
            index = parse_wish(options.face).index
            avatar = replace(avatar, face_index=index, face_point=None, face=None)
        count, frame_rate = self.length(avatar, mel, options)
        indices = source_indices(
            count,
            frame_rate,
            source_count=avatar.frame_count,
            source_rate=avatar.frame_rate,
            loop=options.loop,
            times=avatar.frame_times,
            wait=(wait := pictures_wait(avatar, mel.clip)),
        )
        context = Context(
            self._host,
            FallbackPlan(self._vram, options.quality, self._tuning),
            self._models,
            self._cache_directory,
            encode,
        )
        heard = mixed(clips_of(mel, options))
        mel = replace(of_channel(mel, options, check), clip=heard)
        mel = _ended(mel, count / frame_rate, 1 / (2 * frame_rate))
        notes = (*time_notes(avatar, wait), *_missing(mel))
        folders = tuple(self._host.model_directories)
        job = Job(
            avatar,
            mel,
            options,
            frame_rate,
            indices,
            mask,
            notes,
            folders,
            speeches,
            upscaler=upscaler,
        )
        return _first_possible(job, context)


def _upscaler(given: object, options: LipSyncConfig) -> UpscaleModel | None:
    """Return the user's upscale model: the one that is given, else that of the option's file."""
    if given is None and options.upscale_model:
        given = load_descriptor(options.upscale_model)
    return None if given is None else UpscaleModel(given, seed=options.sample_seed)


def _ended(mel: Mel, seconds: Fraction, half_a_frame: Fraction) -> Mel:
    """Return speech whose sound ends with a result that is cut; all of it is still listened to."""
    if mel.clip.duration - seconds < half_a_frame:
        return mel
    return replace(mel, clip=mel.clip.trimmed(Fraction(0), seconds))


def _missing(mel: Mel) -> tuple[str, ...]:
    return () if mel.clip.lack is None else (mel.clip.lack.note,)


def _first_possible(job: Job, context: Context) -> LipSyncRun:
    wanted, error = job.options.mode, None
    for mode in (wanted,) if job.is_asked_for else MODES:
        made = maker_of(mode)(job, context)
        if isinstance(made, Made):
            run = context.run_of(job, mode, made)
            log.info("mode %s: %s", mode, run.report["reason"])
            return run
        context.refused.append(made.reason)
        error = made.error
    why = "; ".join(context.refused)
    raise error or AvatarVideoError(
        f"Expected the mode {wanted} to be possible, but {why}: choose another one."
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
