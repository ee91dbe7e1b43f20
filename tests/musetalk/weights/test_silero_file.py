"""The voice activity network is the package's own, and the package is never imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from avatarvideo.errors import CheckpointError
from avatarvideo.musetalk.inputs import load_speech
from avatarvideo.musetalk.networks.silero_vad import CHUNK, CONTEXT, State
from avatarvideo.musetalk.weights.silero_file import find_silero, load_silero

SAMPLE = Path(__file__).resolve().parents[3] / "web" / "samples" / "speech.flac"
# The package's own network, in a process of its own: torch.jit.load warns, and so it may here.
REFERENCE = """
import json, sys, warnings
import numpy as np, torch
warnings.simplefilter("ignore")
network = torch.jit.load(sys.argv[1])
samples = torch.as_tensor(np.load(sys.argv[2]))
with torch.no_grad():
    print(json.dumps([float(network(chunk[None], 16000)) for chunk in samples.split(512)]))
"""


@pytest.fixture
def silero() -> Path:
    path = find_silero()
    if path is None:
        pytest.skip("silero-vad is not installed")
    return path


@pytest.mark.slow
def test_it_equals_the_packages_own(silero: Path, tmp_path: Path) -> None:
    samples = load_speech(SAMPLE).speech[: 40 * CHUNK]
    np.save(tmp_path / "samples.npy", samples)
    command = [sys.executable, "-c", REFERENCE, str(silero), str(tmp_path / "samples.npy")]
    theirs = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    network, state = load_silero(silero), None
    padded = torch.as_tensor(np.pad(samples, (CONTEXT, 0)))
    ours: list[float] = []
    for first in range(0, 40, 16):  # whatever the pieces are
        last = min(first + 16, 40)
        part, state = network(padded[first * CHUNK : last * CHUNK + CONTEXT], state)
        assert isinstance(state, State)
        ours += part.tolist()
    assert len(ours) == len(theirs) == 40
    assert np.abs(np.array(ours) - theirs).max() <= 1e-5
    assert max(theirs) > 0.9


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "silero_vad.jit").write_bytes(b"something else")
    with pytest.raises(CheckpointError, match=r"silero-vad>=6\.2,<6\.3"):
        load_silero(tmp_path / "silero_vad.jit")
