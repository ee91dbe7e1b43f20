"""Phones come with times, in pieces of bounded length, and only where the package is."""

from __future__ import annotations

import os
import sys
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from avatarvideo.musetalk.puppet import phones
from avatarvideo.musetalk.puppet.phones import CHUNK_SECONDS, SAMPLE_RATE, phones_heard

SECOND = np.zeros(SAMPLE_RATE, np.float32)


@pytest.fixture
def pocketsphinx() -> None:
    """The optional package; it must be there in CI."""
    if not phones.can_hear_phones():
        if os.environ.get("CI"):
            pytest.fail("pocketsphinx is needed in CI: install the extra standalone")
        pytest.skip("pocketsphinx is not installed")


def test_without_the_package_there_are_no_phones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "pocketsphinx", raising=False)
    assert phones_heard(SECOND) is None


def test_a_package_that_does_not_import_is_said_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "pocketsphinx").mkdir()
    (tmp_path / "pocketsphinx" / "__init__.py").write_text("raise ImportError('no library')")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "pocketsphinx", raising=False)
    assert phones_heard(SECOND) is None
    assert caplog.messages == [
        "Expected pocketsphinx to import, but no library: the mouth follows the sound alone."
    ]


def test_a_long_speech_is_cut_where_it_is_quiet() -> None:
    speech = np.ones(60 * SAMPLE_RATE, np.float32)
    quiet = round(17.5 * SAMPLE_RATE)
    speech[quiet : quiet + SAMPLE_RATE // 10] = 0
    end = phones._chunk_end(speech, 0)
    assert quiet <= end <= quiet + SAMPLE_RATE // 10
    assert phones._chunk_end(speech, 50 * SAMPLE_RATE) == len(speech)
    assert end <= CHUNK_SECONDS * SAMPLE_RATE


@pytest.mark.slow
@pytest.mark.usefixtures("pocketsphinx")
def test_speech_is_heard_in_order(real_data: Path) -> None:
    speech = recording(real_data / "jfk.flac")
    told: list[float] = []
    heard = phones_heard(speech, on_seconds=told.append)
    assert heard
    assert "M" in {phone.name for phone in heard if 0.8 < phone.start < 1.2}  # "my"
    assert all(one.start < one.end <= other.end for one, other in pairwise(heard))
    assert told == [len(speech) / SAMPLE_RATE]


@pytest.mark.slow
@pytest.mark.usefixtures("pocketsphinx")
def test_a_cancel_between_chunks_stops_the_hearing() -> None:
    def stop(done: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        phones_heard(np.tile(SECOND, 50), on_seconds=stop)


def recording(path: Path) -> np.ndarray:
    with av.open(path) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
        parts = [p for f in container.decode(audio=0) for p in resampler.resample(f)]
        parts += resampler.resample(None)
    return np.concatenate([p.to_ndarray()[0] for p in parts])
