"""A host of our own with folders of its own, and things to feed to nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from avatarvideo.host.current import set_host
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.nodes.widgets import SAMPLES_DIRECTORY

PORTRAIT_LIPS = "352,437,441,440"  # corners in pixels of the bundled portrait


@pytest.fixture
def host(tmp_path: Path) -> Iterator[StandaloneHost]:
    for name in ("input", "output", "temp"):
        (tmp_path / name).mkdir()
    standalone = StandaloneHost(
        input_directory=tmp_path / "input",
        output_directory=tmp_path / "output",
        temp_directory=tmp_path / "temp",
    )
    set_host(standalone)
    yield standalone
    set_host(None)


@pytest.fixture
def portrait() -> str:
    return "samples/portrait.png"


@pytest.fixture
def speech() -> dict[str, object]:
    """One second of a buzz that comes and goes, as AUDIO."""
    time = np.arange(22050) / 22050
    buzz = sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 10))
    wave = 0.2 * buzz * (np.sin(2 * np.pi * 2 * time) > 0)
    return {"waveform": torch.from_numpy(wave.astype(np.float32))[None, None], "sample_rate": 22050}


@pytest.fixture
def samples() -> Path:
    return SAMPLES_DIRECTORY
