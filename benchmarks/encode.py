"""How near an encode comes to x264's own speed, and to a piped and a copying ffmpeg.

The limit is libx264 fed with raw YUV pictures that lie ready in memory. Ours starts from a float
tensor and ends with a finished mp4; so does the pipe, with the same conversion flags. Each round
runs all three, so that a busy machine slows them alike; the best round of each counts.

    python benchmarks/encode.py [--json] [--rounds 5] [--frames 200]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from avatarvideo.encoders.color import FrameConverter
from avatarvideo.encoders.ffmpeg import FFmpegEncoder
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.presets import CODECS, encoder_options
from avatarvideo.encoders.writer import VideoWriter
from avatarvideo.media import AudioClip

SIZES = {"512x512": (512, 512, 0.75), "1920x1080": (1920, 1080, 0.85)}  # with the goal
RATE = Fraction(25)
DISTINCT = 24  # frames held in memory; they are played to and fro
SCALE = "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_inp"


def pictures(width: int, height: int) -> list[np.ndarray]:
    """Return float32 RGB (H, W, 3) frames of a soft texture that drifts, with a little grain."""
    random = np.random.default_rng(0)
    coarse = random.random((height // 32 + 8, width // 32 + 8, 3)).astype(np.float32)
    texture = cv2.resize(coarse, (width + 64, height + 64), interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(random.random(texture.shape).astype(np.float32), (0, 0), 2) - 0.5
    texture = np.clip(texture * 0.8 + fine + 0.1, 0, 1)
    grain = (random.random((height, width, 1)).astype(np.float32) - 0.5) * 0.01
    frames = []
    for index in range(DISTINCT):
        x, y = index, index // 2
        frames.append(np.ascontiguousarray(texture[y : y + height, x : x + width] + grain))
    return frames


def played(count: int) -> list[int]:
    """Return which of the distinct frames to show: to and fro."""
    there_and_back = [*range(DISTINCT), *range(DISTINCT - 2, 0, -1)]
    return [there_and_back[i % len(there_and_back)] for i in range(count)]


def x264_alone(frames: list[av.VideoFrame], order: list[int]) -> None:
    """Run libx264 alone, packets thrown away."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height = frames[0].width, frames[0].height
    context.pix_fmt, context.time_base, context.framerate = "yuv420p", 1 / RATE, RATE
    context.options = encoder_options(CODECS["h264"], EncodingConfig())
    for pts, index in enumerate(order):
        frames[index].pts, frames[index].time_base = pts, 1 / RATE
        context.encode(frames[index])
    context.encode(None)


def ours(frames: list[np.ndarray], order: list[int], path: Path) -> None:
    """Go from float frames to the finished file."""
    height, width = frames[0].shape[:2]
    with VideoWriter(path, width=width, height=height, frame_rate=RATE) as writer:
        for index in order:
            writer.write_float(frames[index])


def piped(ffmpeg: str, frames: list[np.ndarray], order: list[int], path: Path) -> None:
    """Do the same through the standard input of an ffmpeg."""
    height, width = frames[0].shape[:2]
    size = ["-s", f"{width}x{height}", "-r", str(RATE)]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", *size, "-i", "-"]
    codec = ["-c:v", "libx264", "-preset", "medium", "-crf", "23", "-movflags", "+faststart"]
    command = [ffmpeg, "-v", "error", "-y", *source, "-vf", f"{SCALE},format=yuv420p", *codec]
    with subprocess.Popen([*command, str(path)], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for index in order:
            process.stdin.write(cv2.multiply(frames[index], (255.0,) * 4, dtype=cv2.CV_8U))


@dataclass
class Cost:
    """What the best round took: seconds by the clock, and by all processors together."""

    wall: float = math.inf
    cpu: float = math.inf


def best_of(rounds: int, runs: dict[str, Callable[[], None]]) -> dict[str, Cost]:
    """Return each run's best round, taken in turns."""
    best = {name: Cost() for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), _cpu_seconds()
            run()
            best[name].wall = min(best[name].wall, time.perf_counter() - wall)
            best[name].cpu = min(best[name].cpu, _cpu_seconds() - cpu)
    return best


def _cpu_seconds() -> float:
    usage = os.times()
    return usage.user + usage.system + usage.children_user + usage.children_system


def measure_encode(size: str, count: int, rounds: int, ffmpeg: str, folder: Path) -> dict:
    """Compare the three at one size."""
    width, height, goal = SIZES[size]
    frames, order = pictures(width, height), played(count)
    to_yuv = FrameConverter(width, height, "yuv420p")
    ready = [to_yuv((np.clip(f, 0, 1) * 255 + 0.5).astype(np.uint8)) for f in frames]
    costs = best_of(
        rounds,
        {
            "x264": lambda: x264_alone(ready, order),
            "ours": lambda: ours(frames, order, folder / "ours.mp4"),
            "pipe": lambda: piped(ffmpeg, frames, order, folder / "pipe.mp4"),
        },
    )
    return {
        "size": size,
        "frames": count,
        "fps": {name: count / cost.wall for name, cost in costs.items()},
        "of_limit": costs["x264"].wall / costs["ours"].wall,
        "goal": goal,
        "of_pipe": costs["pipe"].wall / costs["ours"].wall,
        "cpu_of_limit": costs["x264"].cpu / costs["ours"].cpu,
        "cpu_of_pipe": costs["pipe"].cpu / costs["ours"].cpu,
    }


def measure_add_audio(rounds: int, ffmpeg: str, folder: Path) -> dict:
    """Compare putting new sound under a minute of 720p with ``ffmpeg -c copy``."""
    video, sound, output = folder / "silent.mp4", folder / "tone.mp4", folder / "out.mp4"
    order = played(1500)
    frames = pictures(1280, 720)
    fast = EncodingConfig(quality="fast")
    tone = 0.3 * np.sin(np.arange(60 * 48000) * 0.05).astype(np.float32)[None].repeat(2, 0)
    for path, audio, shown in (
        (video, None, order),
        (sound, AudioClip(tone, 48000), order[:2]),
    ):
        with VideoWriter(
            path, width=1280, height=720, frame_rate=RATE, config=fast, audio=audio
        ) as writer:
            for index in shown:
                writer.write_float(frames[index])

    def ours_copied() -> None:
        result = FFmpegEncoder().add_audio(video, sound, output)
        assert result.success, result.error

    def theirs() -> None:
        inputs = ["-i", str(video), "-i", str(sound), "-map", "0:v", "-map", "1:a"]
        flags = ["-c", "copy", "-movflags", "+faststart"]
        subprocess.run([ffmpeg, "-v", "error", "-y", *inputs, *flags, str(output)], check=True)

    costs = best_of(rounds, {"ours": ours_copied, "copy": theirs})
    return {
        "seconds": {name: cost.wall for name, cost in costs.items()},
        "of_copy": costs["copy"].wall / costs["ours"].wall,
        "cpu_of_copy": costs["copy"].cpu / costs["ours"].cpu,
    }


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--ffmpeg", default=shutil.which("ffmpeg"), help="the ffmpeg to compare")
    options = parser.parse_args()
    if not options.ffmpeg:
        parser.error("no ffmpeg on the PATH to compare with")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        encode = [
            measure_encode(size, options.frames, options.rounds, options.ffmpeg, folder)
            for size in SIZES
        ]
        audio = measure_add_audio(options.rounds, options.ffmpeg, folder)
    if options.json:
        print(json.dumps({"encode": encode, "add_audio": audio}, indent=2))
        return
    for row in encode:
        fps = ", ".join(f"{name} {value:.1f}" for name, value in row["fps"].items())
        print(
            f"{row['size']}: {fps} frames/s; {row['of_limit']:.2f} of x264 alone "
            f"(goal {row['goal']}), {row['of_pipe']:.2f} of the pipe; by processor time "
            f"{row['cpu_of_limit']:.2f} and {row['cpu_of_pipe']:.2f}"
        )
    print(
        f"add_audio: {audio['of_copy']:.2f} of ffmpeg -c copy; by processor time "
        f"{audio['cpu_of_copy']:.2f}"
    )


if __name__ == "__main__":
    main()
