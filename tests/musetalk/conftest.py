"""Random weights, reference libraries, and engines over tiny networks."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image

from avatarvideo.musetalk import MuseTalkLipSync
from support.optional_library import library
from support.small_clips import Clips


@pytest.fixture(scope="session")
def oracle() -> Callable[[str], ModuleType]:
    """Import a module of a reference library; whoever asks for this is slow."""
    return library


@pytest.fixture
def noise() -> Callable[..., torch.Tensor]:
    """``noise(shape, seed=0, dtype=float64)``: standard normal values."""

    def make(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(*shape, generator=generator, dtype=dtype)

    return make


@pytest.fixture
def clips(tmp_path: Path) -> Clips:
    """Small clips whose temporary files go below ``tmp_path``."""
    return Clips(tmp_path)


@pytest.fixture
def engine(clips: Any) -> Any:
    """Make an engine over tiny networks; ``clips.models`` are the last one's."""

    def make(replaced: dict[str, Any] | None = None, **options: Any) -> MuseTalkLipSync:
        clips.models = clips.CountingModels(None, replaced)
        options.setdefault("tuning", clips.tuning)
        return MuseTalkLipSync(host=clips.host, models=clips.models, **options)

    return make


@pytest.fixture
def on_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute on the processor, on a machine with a GPU too."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def picture(clips: Any, tmp_path: Path) -> Path:
    Image.fromarray(clips.frames("f", width=240, height=180)[0]).save(tmp_path / "face.png")
    return tmp_path / "face.png"


@pytest.fixture
def tone(clips: Any, tmp_path: Path) -> Path:
    with wave.open(str(tmp_path / "tone.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((clips.speech(0.2) * 32000).astype("<i2").tobytes())
    return tmp_path / "tone.wav"
