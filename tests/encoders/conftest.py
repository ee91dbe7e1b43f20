"""Small synthesised clips: moving gradients with a number of frames, a tone with a beginning."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.write.plan import Extras, PictureFacts
from avatarvideo.encoders.write.writer import VideoWriter
from avatarvideo.media import AudioClip

MakeVideo = Callable[..., Path]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def load_clone() -> str:
    """Code that makes a child process import this very clone, whatever its folder is called."""
    return (
        "import importlib.util as util, sys\n"
        f"spec = util.spec_from_file_location('avatarvideo', {str(ROOT / '__init__.py')!r})\n"
        "sys.modules['avatarvideo'] = module = util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
    )


@pytest.fixture(scope="session")
def tone() -> Callable[..., AudioClip]:
    """Make (samples, rate, channels) -> a swelling tone with noise, on the 16-bit grid."""

    def make(samples: int, rate: int = 16000, channels: int = 1) -> AudioClip:
        random = np.random.default_rng(samples)
        time = np.arange(samples) / rate
        wave = 0.3 * np.sin(2 * np.pi * 440 * time) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))
        noise = 0.02 * random.standard_normal((channels, samples))
        grid = np.rint((wave + noise) * 32768) / 32768
        return AudioClip(grid.astype(np.float32), rate)

    return make


@pytest.fixture(scope="session")
def pictures() -> Callable[..., list[np.ndarray]]:
    """Make (count, width, height) -> uint8 RGB gradients that move and brighten."""

    def make(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
        x = np.linspace(0, 150, width)[None, :]
        y = np.linspace(0, 90, height)[:, None]
        frames = []
        for index in range(count):
            shift = 100 * index / max(1, count)
            red, green = x + 0 * y + shift, y + 0 * x + shift
            blue = (x + y) / 2 + 30
            frames.append(np.stack([red, green, blue], -1).astype(np.uint8))
        return frames

    return make


@pytest.fixture(scope="session")
def make_video(pictures: Callable[..., list[np.ndarray]]) -> MakeVideo:
    """Write (path, count, rate, ...) -> a video file."""

    def make(
        path: Path,
        count: int = 10,
        rate: Fraction | int = 25,
        *,
        size: tuple[int, int] = (64, 48),
        audio: AudioClip | None = None,
        config: EncodingConfig | None = None,
        metadata: dict[str, str] | None = None,
    ) -> Path:
        with VideoWriter(
            path,
            PictureFacts(size, Fraction(rate)),
            config or EncodingConfig(quality="fast"),
            audio,
            Extras(metadata or {}),
        ) as writer:
            for frame in pictures(count, *size):
                writer.write(frame)
        return path

    return make
