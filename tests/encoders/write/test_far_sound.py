"""A file whose sound lies far behind its pictures: neither waits for the other in memory."""

from __future__ import annotations

import io
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

RATE = 8
SECONDS = 80
SAMPLE_RATE = 16000
BEHIND_SECONDS = 60

ENCODE = """
import resource, sys
from avatarvideo.encoders import EncodingConfig, FFmpegEncoder
config = EncodingConfig(quality="fast", width=64, height=48, audio_codec="aac", channels=1)
result = FFmpegEncoder().encode(sys.argv[1], sys.argv[2], config)
assert result.success, result.error
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def write(path: Path, behind: int) -> Path:
    """Write pictures of 60 kB each, and their sound ``behind`` seconds further on in the file."""
    noise = np.random.default_rng(1).integers(0, 255, (192, 256, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=95)
    with av.open(str(path), "w", options={"max_interleave_delta": "1"}) as container:
        pictures = container.add_stream("mjpeg", rate=RATE)
        pictures.width, pictures.height, pictures.pix_fmt = 256, 192, "yuvj444p"
        sound = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        for second in range(SECONDS + behind):
            for number in range(second * RATE, min(second + 1, SECONDS) * RATE):
                packet = av.Packet(buffer.getvalue())
                packet.stream, packet.time_base = pictures, Fraction(1, RATE)
                packet.pts = packet.dts = number
                packet.duration, packet.is_keyframe = 1, True
                container.mux(packet)
            if second < behind:
                continue
            frame = av.AudioFrame.from_ndarray(
                np.full((1, SAMPLE_RATE), second - behind, np.int16), "s16", "mono"
            )
            frame.sample_rate, frame.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
            frame.pts = (second - behind) * SAMPLE_RATE
            container.mux(sound.encode(frame))
    return path


def pictures_before_sound(path: Path) -> float:
    """Return the share of the file that lies before the first of the sound."""
    with av.open(str(path)) as container:
        first = next(container.demux(container.streams.audio[0]))
        assert first.pos is not None
        return first.pos / path.stat().st_size


def peak_bytes(path: Path, load_clone: str) -> int:
    command = [
        sys.executable,
        "-c",
        load_clone + ENCODE,
        str(path),
        str(path.with_suffix(".out.mp4")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert not done.returncode, done.stderr
    return int(done.stdout)


@pytest.mark.one_in(2)
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts otherwise elsewhere")
@pytest.mark.parametrize("suffix", ["mov", "mkv"])
def test_sound_a_minute_behind_takes_no_more_memory(
    tmp_path: Path, load_clone: str, suffix: str
) -> None:
    beside = write(tmp_path / f"beside.{suffix}", 0)
    behind = write(tmp_path / f"behind.{suffix}", BEHIND_SECONDS)
    assert pictures_before_sound(beside) < 0.05
    assert pictures_before_sound(behind) > 0.7
    assert peak_bytes(behind, load_clone) < 1.1 * peak_bytes(beside, load_clone)
