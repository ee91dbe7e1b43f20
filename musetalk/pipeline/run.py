"""MuseTalk over a whole clip: faces, latents and masks, audio features, generated faces.

What grows with the clip goes to one temporary file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from ...host.contract import Host
from ...media import Mel
from ..face.detect import FaceTrack
from ..interfaces import Report
from ..job import Job
from ..networks.taesd import ComparedDecoder
from ..networks.vae import AutoencoderKL
from ..networks.whisper import WhisperEncoder
from ..report import silence_report
from ..weights.catalogue import BISENET, CATALOGUE, TAESD, UNET, VAE, WHISPER, Role
from ..weights.session import ModelSession, ModelSource
from ..work import Work
from .avatar_cache import AvatarCache
from .compose import CROP_SHAPE, NOWHERE, SpeakingPlayback
from .generate import FaceGenerator, one_thread
from .generated_faces import GeneratedFaces
from .half_rate import (
    BETWEEN,
    NO_SMALL_DECODER,
    half_rate_report,
    sources_between,
    why_every_face,
)
from .memory import FallbackPlan, Placement, dtype_name
from .own_lips import generated_share
from .prepare_avatar import FacePreparation, FaceSearch, prepared_bytes
from .sharpen import NOT_OF_SEVERAL, FaceSharpener, not_sharpened
from .speech_features import (
    FeatureStore,
    SeveralFeatures,
    hidden_states,
    segment_count,
    silent_window,
    speech_segments,
)
from .spool import Spool
from .stages import AvatarNetworks, GenerateNetworks, Load, StageRunner

log = logging.getLogger("avatarvideo.musetalk.pipeline.run")

CROP_BYTES = int(np.prod(CROP_SHAPE))


@dataclass(frozen=True, eq=False)
class Spoken:
    """A finished clip, or one whose faces are still being generated."""

    playback: SpeakingPlayback
    report: Report


def total_steps(job: Job) -> int:
    """Return how far ``Work.done`` counts: source frames twice, 30 s of audio, output frames."""
    segments = sum(map(segment_count, speeches_in(job)))
    return 2 * job.numbers.size + segments + job.indices.size


def speeches_in(job: Job) -> tuple[Mel, ...]:
    return (job.mel,) if job.woven is None else job.woven.mels


def speak(
    job: Job,
    source: ModelSource,
    host: Host,
    fallback: FallbackPlan,
    *,
    cache: AvatarCache,
    work: Work,
    start_encode: Callable[[Spoken], None] | None = None,
) -> Spoken:
    """Do all work of a clip that needs a network.

    start_encode: called before a GPU generates the faces, which leaves the CPU idle. Another thread
        may read the clip's frames then: each waits for its face, and raises Stopped if the run
        ends without it.
    Raises CheckpointError, MediaError, DeviceMemoryError. Whatever happens, the networks are
    released (or kept, as the residency says) and nothing is left in the temporary folder.
    """
    session = ModelSession(
        source, host.kept, job.options.residency, free_memory=fallback.tuning.free_memory
    )
    try:
        stages = StageRunner(work, session, fallback, host)
        return _Run(job, source, stages, cache, start_encode).spoken(host.temp_directory)
    finally:
        session.close()


@dataclass(eq=False)
class _Run:
    job: Job
    source: ModelSource
    stages: StageRunner
    cache: AvatarCache
    start_encode: Callable[[Spoken], None] | None
    decoder: Report = field(default_factory=dict[str, Any])  # Any: as in Report
    is_recorded: bool = False
    notes: list[str] = field(default_factory=list[str])
    half_rate: Report | None = None  # of quality low
    apart: np.ndarray | None = None  # float32, of its pictures, once they are prepared
    upscale: Report | None = None  # of the user's upscale model, once it is known

    def spoken(self, temp_directory: Path) -> Spoken:
        job, track = self.job, self._faces()
        # Frames without a face need none of the later stages.
        self.stages.work.done = job.numbers.size + int((~track.found).sum())
        playback = SpeakingPlayback(
            job.avatar,
            job.indices,
            job.slots,
            track,
            mask_places=np.full(job.numbers.size, NOWHERE, np.int64),
            crop_places=np.full(job.indices.size, NOWHERE, np.int64),
            spool=None,
        )
        if not track.found.any():
            log.warning("no face was found in any of %d frames: they pass through", len(job.slots))
            return Spoken(playback, self._report(track, None))
        expected = job.indices.size * CROP_BYTES + prepared_bytes(track)
        spool = Spool(temp_directory, expected_bytes=expected)
        try:
            prepared = self._prepare(track, spool)
            self._say_unreplaced(track, prepared.replaced)
            if not prepared.replaced.any():
                spool.release()
                return Spoken(playback, self._report(track, None))
            features = self._audio_features(spool)
            people = 1 if job.woven is None else len(job.woven.mels)
            at_rest = generated_share(prepared.shut, people)
            faces = GeneratedFaces(job, prepared.latent_places, features, spool, at_rest == 0)
            self.apart = prepared.apart[prepared.latent_places == BETWEEN]
            playback = replace(
                playback,
                mask_places=prepared.mask_places,
                crop_places=faces.places,
                spool=spool,
                shares=_shares(job, at_rest),
                sharp_places=faces.sharp_places,
            )
            sharpener = self._sharpener(track, prepared, temp_directory)
            placement = self._generate(faces, playback, sharpener) if faces.batches(1) else None
        except BaseException:
            spool.release()
            raise
        return Spoken(playback, self._report(track, placement))

    def _faces(self) -> FaceTrack:
        if self.job.woven is not None:
            return self.job.woven.track
        search = FaceSearch(self.job, self.source, self.cache)
        track = search.cached()
        if track is not None:
            log.info("the faces of this avatar are known")
            return search.steadied(track)

        def on_frame(done: int) -> None:
            self.stages.work.check()
            self.stages.work.done = done

        def choose(load: Load) -> dict[Role, nn.Module]:
            return {role: load(CATALOGUE[role]) for role in search.roles}

        def task(networks: dict[Role, nn.Module], _placement: Placement) -> FaceTrack:
            return search.find(networks, on_frame, self.stages.work.show)

        with self.job.timed("faces"):
            track, _ = self.stages.run("faces", choose, task, frame_size=search.seen_size)
        if missing := search.without_numbers:
            self._say(
                f"In {missing} of {len(self.job.numbers)} source frames the face's landmarks are "
                "not finite: these frames stay as they are."
            )
        return search.steadied(track)

    def _prepare(self, track: FaceTrack, spool: Spool) -> FacePreparation:
        may = self._sources_between()
        # Of an odd number of faces every second one has two beside it.
        chunk = self.stages.fallback.tuning.chunk | int(may.any())
        prepared = FacePreparation(self.job, self.source, track, self.cache, spool, chunk, may)
        work = self.stages.work

        def on_faces(count: int) -> None:
            work.check()
            work.done += count

        def on_face(crop: np.ndarray) -> None:
            work.preview = crop
            on_faces(1)

        def choose(load: Load) -> AvatarNetworks:
            return AvatarNetworks(load(VAE), load(BISENET) if self.job.mask is None else None)

        def task(networks: AvatarNetworks, placement: Placement) -> None:
            prepared.compute(
                networks,
                placement,
                on_face=on_face,
                on_full_precision=lambda: self.stages.widened("prepare", placement),
            )

        with self.job.timed("prepare"):
            placement = self.stages.place("prepare")
            self.stages.work.run(lambda: prepared.take_cached(placement, on_faces))
            if not prepared.is_complete:
                self.stages.run("prepare", choose, task, placement=placement)
        return prepared

    def _sources_between(self) -> np.ndarray:
        # Bool (N,): source frames that need no latents where they look like their neighbours' mean.
        job, has_small = self.job, self.source.has(TAESD.role)
        if why_every_face(job, has_small=has_small, device=self.stages.fallback.device):
            return np.zeros(job.numbers.size, bool)
        speaks = np.ones(job.indices.size, bool) if job.gate is None else job.gate.weight > 0
        return sources_between(job.slots, speaks)

    def _say_unreplaced(self, track: FaceTrack, replaced: np.ndarray) -> None:
        found = int(track.found.sum())
        if missing := found - int(replaced.sum()):
            whose = "the mask" if self.job.mask is not None else "the face parser's mask"
            self._say(
                f"In {missing} of {found} source frames with a face {whose} is empty: these frames "
                "stay as they are."
            )

    def _say(self, note: str) -> None:
        self.notes.append(note)
        log.warning("%s", note)

    def _audio_features(self, spool: Spool) -> FeatureStore | SeveralFeatures:
        mels, model = speeches_in(self.job), self.job.options.model

        def choose(load: Load) -> WhisperEncoder:
            return load(WHISPER)

        def task(whisper: WhisperEncoder, _placement: Placement) -> list[FeatureStore]:
            silence = None if self.job.gate is None else silent_window(whisper, model)
            return [self._features_of(mel, whisper, spool, silence) for mel in mels]

        with self.job.timed("audio"):
            before = self.stages.work.done
            stores, _ = self.stages.run("audio", choose, task)
            self.stages.work.done = before + sum(map(segment_count, mels))
        return stores[0] if self.job.woven is None else SeveralFeatures(tuple(stores))

    def _features_of(
        self, mel: Mel, whisper: WhisperEncoder, spool: Spool, silence: Tensor | None
    ) -> FeatureStore:
        model = self.job.options.model
        place, length = NOWHERE, 0
        with spool.writer() as writer:
            for cells, kept in speech_segments(mel, model):
                states = hidden_states(whisper, cells, kept, model)
                start = writer.append(states.numpy())
                place = start if place == NOWHERE else place
                length += kept
                self.stages.work.done += 1
        return FeatureStore(place, length, whisper.config.width, model == "v1.0", silence)

    def _sharpener(
        self, track: FaceTrack, prepared: FacePreparation, folder: Path
    ) -> FaceSharpener | None:
        """Return what sharpens the faces; None where none is asked for or it has nothing to do."""
        if self.job.upscaler is None:
            return None
        if self.job.woven is not None:
            self.upscale = not_sharpened(self.job.upscaler, NOT_OF_SEVERAL)
            return None
        check, places = self.stages.work.check, prepared.mask_places
        sharpener = FaceSharpener(self.job, self.job.upscaler, track, places, check)
        reason = sharpener.why_not(folder, self.job.indices.size * CROP_BYTES)
        if reason:
            self.upscale = not_sharpened(self.job.upscaler, reason)
            return None
        return sharpener

    def _generate(
        self, faces: GeneratedFaces, playback: SpeakingPlayback, sharpener: FaceSharpener | None
    ) -> Placement:
        track, work, low = playback.track, self.stages.work, self.job.options.quality == "low"
        work.done += faces.passing

        def choose(load: Load) -> GenerateNetworks:
            unet, vae = load(UNET), load(VAE)
            small = low and self.source.has(TAESD.role)
            return GenerateNetworks(unet, ComparedDecoder(load(TAESD), vae) if small else vae)

        if sharpener is not None:
            self.stages.guests["generate"] = sharpener
            # As it will be, if memory lasts: what is encoded meanwhile says so in its file.
            self.upscale = {"applied": sharpener.model.kind, "reason": ""}

        def task(networks: GenerateNetworks, placement: Placement) -> None:
            sharpen = sharpener.sharpened if sharpener and placement.sharp else None
            generator = FaceGenerator(
                networks.unet,
                networks.decoder,
                on_full_precision=lambda: self.stages.widened("generate", placement),
                repeats=faces.batches(placement.batch),
            )
            has_small = isinstance(networks.decoder, ComparedDecoder)
            every = why_every_face(self.job, has_small=has_small, device=placement.device)
            faces.half_rate = not every
            with closing(generator):
                on_gpu = placement.device.startswith("cuda")
                with one_thread() if on_gpu else nullcontext():
                    ahead = int(on_gpu)
                    faces.make(generator, placement.batch, work, ahead=ahead, sharpen=sharpen)
                self.is_recorded = generator.is_recorded
            self.decoder = _decoder_report(networks.decoder, low=low)
            self.half_rate = half_rate_report(every, faces.between, faces.made, self.apart)

        with self.job.timed("generate"):
            placement = self.stages.place("generate")
            try:
                idle_on = self.stages.fallback.tuning.leaves_cpu_idle
                if self.start_encode is not None and placement.device.startswith(idle_on):
                    unfinished = replace(playback, wait_for=faces.final.wait_for)
                    self.start_encode(Spoken(unfinished, self._report(track, placement)))
                _, placement = self.stages.run("generate", choose, task, placement=placement)
            finally:
                faces.final.close()
                if sharpener is not None:
                    sharpener.release()
        if sharpener is not None:
            self.upscale = sharpener.report(faces.sharp_places, placement)
            for note in sharpener.notes():
                self._say(note)
        if faces.unusable:
            self._say(f"{faces.unusable} faces were not finite: these frames stay as they are.")
        return placement

    def _report(self, track: FaceTrack, placement: Placement | None) -> Report:
        shift = track.shift_range()
        return {
            "model": self.job.options.model,
            "device": placement.device if placement else self.stages.fallback.device,
            "dtype": dtype_name(placement.dtype) if placement else None,
            "batch": placement.batch if placement else None,
            "recorded": self.is_recorded,
            "decoder": None,
            **self.decoder,
            **({"half_rate": self.half_rate} if self.job.options.quality == "low" else {}),
            "peak_device_bytes": self.stages.peak_device_bytes(),
            "source_frames": int(self.job.numbers.size),
            "source_frames_with_face": int(track.found.sum()),
            "face_method": track.method,
            **_landmarks_report(track),
            "bbox_shift_range": list(shift) if shift else None,
            "steadiness": self._steadiness_report(track),
            "silence": silence_report(self.job.gate),
            **self._upscale_report(),
            "notes": self.notes,
        }

    def _upscale_report(self) -> Report:
        if self.job.upscaler is None:
            return {}
        nothing = not_sharpened(self.job.upscaler, "no face is generated")
        return {"upscale": self.upscale or nothing}

    def _steadiness_report(self, track: FaceTrack) -> Report:
        is_steadied = track.exact is not None
        shots = 1 + int(track.begins.sum()) if track.begins is not None else None
        return {"applied": self.job.options.steadiness if is_steadied else 0, "shots": shots}


def _shares(job: Job, at_rest: np.ndarray) -> np.ndarray | None:
    """Return float32 (T,): the generated pixels' share where they cross to the source's own.

    at_rest: float32 (N,), of a mouth at rest, as from ``generated_share``.
    """
    if job.gate is None:
        return None
    return np.maximum(job.gate.crossing(), at_rest[job.slots])


def _landmarks_report(track: FaceTrack) -> Report:
    if track.unmirrored is None:
        return {}
    return {"landmarks_difference": {"mean_pixels": round(track.unmirrored, 2)}}


def _decoder_report(decoder: AutoencoderKL | ComparedDecoder, *, low: bool) -> Report:
    if not isinstance(decoder, ComparedDecoder):
        note = NO_SMALL_DECODER if low else None
        return {"decoder": "full", **({"decoder_note": note} if note else {})}
    decoder.compare()
    mean, psnr = decoder.mean_difference, decoder.psnr
    if mean is None or psnr is None:
        return {"decoder": "small"}
    message = "the small decoder differs from the full one by %.2f levels on average (%.1f dB)"
    log.info(message, mean, psnr)
    difference = {"mean_levels": round(mean, 2), "psnr_db": round(psnr, 1)}
    return {"decoder": "small", "decoder_difference": difference}
