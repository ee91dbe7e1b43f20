"""Damaged files, thousands of them: an error of ours or a result, never a crash or a hang."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.media import AudioClip

MakeVideo = Callable[..., Path]
ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "tests" / "support" / "fuzz_target.py"
SECONDS = float(os.environ.get("AVATAR_FUZZ_SECONDS", "10"))  # CI has a minute more in a step
FIRST = int(os.environ.get("AVATAR_FUZZ_FIRST", "0"))
MOST_FINDINGS = 10


@pytest.fixture
def seeds(
    tmp_path: Path,
    make_video: MakeVideo,
    tone: Callable[..., AudioClip],
    pictures: Callable[..., list[np.ndarray]],
) -> Path:
    """A folder with one small valid file of each kind; kept beside it are the damaged ones."""
    folder = tmp_path / "seeds"
    folder.mkdir()
    for suffix, codec in (("mp4", "h264"), ("mkv", "h264"), ("webm", "vp9"), ("mov", "h265")):
        config = EncodingConfig(quality="fast", codec=codec)
        sound = tone(4000, 16000)
        make_video(folder / f"a.{suffix}", 6, size=(32, 32), audio=sound, config=config)
    surround = EncodingConfig(quality="fast", audio_codec="aac")
    make_video(folder / "b.mkv", 2, size=(32, 32), audio=tone(2000, 48000, 8), config=surround)
    for suffix in ("gif", "webp"):
        make_video(folder / f"a.{suffix}", 4, size=(32, 32))
    _remuxed(folder / "a.mp4", folder / "a.ts")
    _avi(folder / "a.avi", pictures(4, 32, 32))
    stills = [Image.fromarray(frame) for frame in pictures(3, 32, 32)]
    stills[0].save(folder / "a.png")
    stills[0].save(folder / "a.jpg")
    stills[0].save(folder / "b.png", save_all=True, append_images=stills[1:], duration=40)
    (folder / "b.png").rename(folder / "a.apng")
    with wave.open(str(folder / "a.wav"), "wb") as file:
        file.setparams((2, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(range(256)) * 8)
    return folder


def _remuxed(source: Path, to: Path) -> None:
    with av.open(str(source)) as given, av.open(str(to), "w") as made:
        copies = {s.index: made.add_stream_from_template(s) for s in given.streams}
        for packet in given.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                made.mux(packet)


def _avi(path: Path, frames: list[np.ndarray]) -> None:
    with av.open(str(path), "w") as made:
        stream = made.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for frame in frames:
            made.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        made.mux(stream.encode(None))


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="memory limits are POSIX's")
def test_damaged_files_end_in_an_error_or_a_result(seeds: Path) -> None:
    folder, number, executions = seeds.parent, FIRST, 0
    findings: list[str] = []
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends and len(findings) < MOST_FINDINGS:
        left = ends - time.monotonic()
        command = [sys.executable, str(TARGET), str(ROOT), str(folder), str(number), f"{left:.1f}"]
        environment = dict(os.environ, OMP_NUM_THREADS="1")
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=left + 180
        )
        last = int((folder / "current").read_text())
        executions += last + 1 - number
        number = last + 1
        said = [json.loads(line) for line in done.stdout.splitlines()]
        findings += [json.dumps(line, indent=1) for line in said if "finding" in line]
        if done.returncode:
            findings.append(f"{last} ended the process, {done.returncode}:\n{done.stderr[-4000:]}")

    sys.stdout.write(f"{executions} damaged files, {len(findings)} findings\n")
    assert not findings, "\n".join(findings)
    assert executions >= 10  # a loaded machine does a tenth of the usual hundred a second
