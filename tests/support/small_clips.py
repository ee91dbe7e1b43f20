"""Small clips for the pipeline's tests: drawn frames, planted faces, tiny networks."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.media import AudioClip, Avatar, LipCorners, frame_count_for
from avatarvideo.musetalk.audio import prepare_mel
from avatarvideo.musetalk.interfaces import LipSyncConfig
from avatarvideo.musetalk.job import Job
from avatarvideo.musetalk.networks.vae import AutoencoderKL
from avatarvideo.musetalk.pipeline.avatar_cache import AvatarCache
from avatarvideo.musetalk.pipeline.cpu_features import Tuning
from avatarvideo.musetalk.pipeline.memory import FallbackPlan, VRAMManager
from avatarvideo.musetalk.pipeline.run import Spoken, speak
from avatarvideo.musetalk.source_frames import source_indices
from avatarvideo.musetalk.weights.catalogue import Role
from avatarvideo.musetalk.weights.session import ModelSource
from avatarvideo.musetalk.work import Work
from support import tiny_models

WIDTH, HEIGHT = 243, 181
# The planted landmarks in a frame of that size: RTMPose is shown 303.75 x 405 pixels around the
# middle; left 0.15625, right 0.4375, bridge 0.40625, chin 0.5 of them; the margin is 10 pixels.
BOX = (17, 14, 102, 100)


TINY = tiny_models.tiny_models()  # only ever copied: every run loads its own
TINY.identities = "tiny"  # hashing them takes longer than using them


class CountingModels:
    """The tiny networks; knows which were loaded, and which of them are still alive."""

    between_tensors: Callable[[], None] | None = None

    def __init__(
        self,
        models: ModelSource | None = None,
        model_of: Mapping[Role, type[nn.Module]] | None = None,
    ) -> None:
        self.models = models or copy(TINY)  # a test may add to it
        self.loaded: list[str] = []
        self._replaced = model_of or {}
        self._made: list[tuple[str, weakref.ref[nn.Module]]] = []

    def has(self, role: Role) -> bool:
        return self.models.has(role)

    def identity(self, role: Role) -> str:
        return self.models.identity(role)

    def skeleton(self, role: Role) -> nn.Module:
        return self.models.skeleton(role)

    def load(self, role: Role, dtype: torch.dtype) -> nn.Module:
        self.loaded.append(role)
        network = self.models.load(role, dtype)
        if role in self._replaced:
            network.__class__ = self._replaced[role]
        self._made.append((role, weakref.ref(network)))
        return network

    def alive(self) -> list[str]:
        """Return the roles of networks that somebody still holds."""
        gc.collect()
        return [role for role, made in self._made if made() is not None]


class FreeMemory(VRAMManager):
    """A device with a stated amount of free memory, MiB."""

    def __init__(self, free: float, device: str = "cpu") -> None:
        super().__init__(device)
        self.free = free

    def free_mb(self) -> float:
        return self.free


class Clips:
    """Makes frames, jobs and finished clips; everything temporary goes below ``folder``."""

    tiny = tiny_models
    box = BOX
    everywhere = np.ones((HEIGHT, WIDTH), np.float32)  # a mask; spares the face parser's time
    CountingModels = CountingModels
    FreeMemory = FreeMemory

    def __init__(self, folder: Path) -> None:
        self.temp = folder / "temp"
        self.host = StandaloneHost(temp_directory=self.temp)
        self.tuning = Tuning()  # of every run that is given no other

    def counting_encodes(self) -> tuple[CountingModels, list[int]]:
        """Return networks, and how many pictures their VAE encoded at a time: two a face."""
        sizes: list[int] = []

        class Counting(AutoencoderKL):
            def encode_moments(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
                sizes.append(len(images))
                return super().encode_moments(images)

        return CountingModels(None, {"vae": Counting}), sizes

    def frames(
        self, faces: str = "f.f", width: int = WIDTH, height: int = HEIGHT
    ) -> list[np.ndarray]:
        """Return a frame per letter: "f" has a face, "." has none."""
        source = np.random.default_rng(5)
        drawn = []
        for place, kind in enumerate(faces):
            rough = source.integers(0, 100, (height // 4, width // 4, 3), np.uint8)
            frame = cv2.resize(rough, (width, height))
            if kind == "f":
                tiny_models.plant_face(frame, 3 + place % 3, 3)
            drawn.append(frame)
        return drawn

    def avatar(
        self,
        frames: list[np.ndarray],
        *,
        name: str = "avatar",
        rate: Fraction = Fraction(25),
        corners: LipCorners | None = None,
        face_index: int = 0,
    ) -> Avatar:
        """Return drawn frames as an avatar; ``name`` stands for their content."""

        def open_frames(start: int) -> Iterator[np.ndarray]:
            return iter(frames[start:])

        height, width = frames[0].shape[:2]
        return Avatar(
            open_frames=open_frames,
            frame_rate=rate,
            width=width,
            height=height,
            frame_count=len(frames),
            hash_of=lambda: name,
            corners=corners,
            face_index=face_index,
        )

    def speech(self, seconds: float) -> np.ndarray:
        """Return float32 (N,) at 16 kHz: a tone that comes and goes, and some noise."""
        times = np.arange(round(seconds * 16000)) / 16000
        tone = np.sin(2 * np.pi * 180 * times) * np.sin(2 * np.pi * 3 * times)
        noise = np.random.default_rng(6).normal(0, 0.02, times.size)
        return (0.4 * tone + noise).astype(np.float32)

    def job(
        self,
        avatar: Avatar | str = "f.f",
        *,
        seconds: float = 0.12,
        mask: np.ndarray | None = None,
        **options: Any,
    ) -> Job:
        """Return a job; ``avatar`` may be the letters of its frames."""
        person = self.avatar(self.frames(avatar)) if isinstance(avatar, str) else avatar
        config = LipSyncConfig(**{"quality": "high", "residency": "unload", **options})
        rate = config.frame_rate(person.frame_rate)
        speech = self.speech(seconds)
        indices = source_indices(
            frame_count_for(speech.size, 16000, rate),
            rate,
            source_count=person.frame_count,
            source_rate=person.frame_rate,
            loop=config.loop,
        )
        mel = prepare_mel(AudioClip(speech[None], 16000))
        return Job(person, mel, config, rate, indices, mask)

    def speak(
        self,
        job: Job,
        models: ModelSource | None = None,
        *,
        vram: VRAMManager | None = None,
        tuning: Tuning | None = None,
        cache: AvatarCache | None = None,
        poll: Callable[[Any], None] = lambda work: None,
        poll_seconds: float = 0.01,
    ) -> Spoken:
        """Run the pipeline."""
        self.fallback = FallbackPlan(
            vram or VRAMManager("cpu"), job.options.quality, tuning or self.tuning
        )
        return speak(
            job,
            models or TINY,
            self.host,
            self.fallback,
            cache=cache or AvatarCache(),
            work=Work(poll, poll_seconds=poll_seconds),
        )

    def shown(self, job: Job, models: ModelSource | None = None, **options: Any) -> np.ndarray:
        """Run the pipeline and return all frames, uint8 (T, H, W, 3)."""
        clip = self.speak(job, models, **options)
        frames = np.stack(list(clip.playback.frames()))
        clip.playback.release()
        return frames

    def left_over(self) -> list[Path]:
        """Return what lies in the temporary folder."""
        return list(self.temp.glob("*")) if self.temp.exists() else []
