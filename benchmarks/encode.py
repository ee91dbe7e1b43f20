"""How near an encode comes to x264's own speed, and to a piped and a copying ffmpeg.

Ours starts from float frames in memory and ends with a finished mp4, and so does the pipe. Two
limits do less: libx264 as PyAV ships it, the one that ours calls, fed with ready YUV frames, its
packets thrown away ("x264", the limit of the goals); and the ffmpeg program's own libx264, which
may be another version, fed with a raw YUV file ("ffmpeg_x264"). Preset, crf, threads and pictures
are the same everywhere, and the settings that x264 wrote into the files are compared. All take
turns; what counts is the median of each round's ratio, in rounds in which nothing else kept the
machine busy.

    python benchmarks/encode.py [--json] [--rounds 5] [--sizes 512x512] [--ffmpeg PATH]
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from alternating import in_turns, measured

from avatarvideo.encoders.color import FrameConverter, plane_view, to_integers
from avatarvideo.encoders.encoder import FFmpegEncoder
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.write.codecs import CODECS, encoder_options
from avatarvideo.encoders.write.plan import PictureFacts
from avatarvideo.encoders.write.writer import VideoWriter
from avatarvideo.media import AudioClip

RATE = Fraction(25)
DISTINCT = 24  # frames held in memory; they are played to and fro
# Without the flags for exact rounding, which would cost the pipe a few per cent.
SCALE = "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"
X264 = ["-c:v", "libx264", "-preset", "medium", "-crf", "23"]
COPIED_SECONDS = 60


@dataclass(frozen=True)
class Size:
    """Pictures to encode. goal: the least share of x264's own speed."""

    width: int
    height: int
    count: int
    goal: float

    @property
    def name(self) -> str:
        return f"{self.width}x{self.height}"


SIZES = {size.name: size for size in (Size(512, 512, 250, 0.75), Size(1920, 1080, 100, 0.85))}


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


def in_yuv(frames: list[np.ndarray]) -> list[av.VideoFrame]:
    """Return the frames ready for x264."""
    height, width = frames[0].shape[:2]
    convert = FrameConverter(width, height, "yuv420p")
    integers = np.empty((height, width, 3), np.uint8)
    ready = []
    for frame in frames:
        to_integers(frame, integers)
        ready.append(convert(integers))
    return ready


def x264_alone(frames: list[av.VideoFrame], order: list[int]) -> bytes:
    """Run libx264 alone, its packets thrown away; return the first."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height = frames[0].width, frames[0].height
    context.pix_fmt, context.time_base, context.framerate = "yuv420p", 1 / RATE, RATE
    context.thread_type = "AUTO"  # FFmpeg's own choice; PyAV's is slower
    context.options = encoder_options(CODECS["h264"], EncodingConfig())
    packets = []
    for pts, index in enumerate(order):
        frames[index].pts, frames[index].time_base = pts, 1 / RATE
        packets += context.encode(frames[index])
    packets += context.encode(None)
    assert len(packets) == len(order)
    return bytes(packets[0])


def ours(frames: list[np.ndarray], order: list[int], path: Path) -> None:
    """Go from float frames to the finished file."""
    height, width = frames[0].shape[:2]
    with VideoWriter(path, PictureFacts((width, height), RATE)) as writer:
        for index in order:
            writer.write(frames[index])


def piped(ffmpeg: str, frames: list[np.ndarray], order: list[int], path: Path) -> None:
    """Do the same through the standard input of an ffmpeg, rounded in our fastest way."""
    integers = np.empty(frames[0].shape, np.uint8)
    source = [*_raw("rgb24", frames[0].shape[1], frames[0].shape[0]), "-i", "-"]
    flags = ["-vf", SCALE, *X264, "-movflags", "+faststart"]
    command = [ffmpeg, "-v", "error", "-y", *source, *flags, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for index in order:
            to_integers(frames[index], integers)
            process.stdin.write(integers)
    if process.returncode:
        raise SystemExit(f"{ffmpeg} failed")


def ffmpegs_x264(ffmpeg: str, raw: Path, size: Size) -> None:
    """Run the ffmpeg program's own libx264 on a raw YUV file, packets thrown away."""
    source = ["-stream_loop", "-1", *_raw("yuv420p", size.width, size.height), "-i", str(raw)]
    command = [ffmpeg, "-v", "error", *source, *X264, "-frames:v", str(size.count), "-f", "null"]
    subprocess.run([*command, "-"], check=True)


def _raw(pixel_format: str, width: int, height: int) -> list[str]:
    size = f"{width}x{height}"
    return ["-f", "rawvideo", "-pix_fmt", pixel_format, "-s", size, "-r", str(RATE)]


def write_raw(frames: list[av.VideoFrame], path: Path) -> None:
    """Write one time to and fro, to be looped."""
    with path.open("wb") as file:
        for index in played(2 * DISTINCT - 2):
            for plane in range(3):
                file.write(plane_view(frames[index], plane).tobytes())


def x264_settings(stream: bytes) -> tuple[str, str]:
    """Return the version and the options that x264 writes into its first packet."""
    found = re.search(rb"x264 - core (\d+[^-]*) - .*?options: ([^\0\x80]+)", stream)
    if found is None:
        return "unknown", "unknown"
    return found[1].decode().strip(), found[2].decode("latin-1").strip()


def measure_encode(size: Size, rounds: int, ffmpeg: str, folder: Path) -> dict:
    """Compare all of them at one size."""
    frames, order = pictures(size.width, size.height), played(size.count)
    ready = in_yuv(frames)
    raw, made, through_pipe = (folder / n for n in ("raw.yuv", "ours.mp4", "pipe.mp4"))
    write_raw(ready, raw)
    compared = in_turns(
        rounds,
        {
            "x264": lambda: x264_alone(ready, order),
            "ours": lambda: ours(frames, order, made),
            "pipe": lambda: piped(ffmpeg, frames, order, through_pipe),
            "ffmpeg_x264": lambda: ffmpegs_x264(ffmpeg, raw, size),
        },
    )
    raw.unlink()
    alone = x264_settings(x264_alone(ready, order[:60]))
    of_ours = x264_settings(made.read_bytes())
    of_pipe = x264_settings(through_pipe.read_bytes())
    start = start_seconds(ffmpeg)
    return {
        "size": size.name,
        "frames": size.count,
        "goal": size.goal,
        "fps": {name: round(size.count / compared.wall(name), 1) for name in compared.samples},
        "cpu_ms_per_frame": {
            name: round(compared.cpu(name) / size.count * 1000, 2) for name in compared.samples
        },
        "of_limit": compared.ratio("ours", "x264"),
        "of_ffmpeg_x264": compared.ratio("ours", "ffmpeg_x264"),
        "of_pipe": compared.ratio("ours", "pipe"),
        "of_pipe_without_its_start": compared.ratio("ours", "pipe", start),
        "x264_version": {"ours": of_ours[0], "limit": alone[0], "ffmpeg": of_pipe[0]},
        "same_x264_settings": len({alone[1], of_ours[1], of_pipe[1]}) == 1,
        "x264_settings": of_ours[1],
        "bytes": {"ours": made.stat().st_size, "pipe": through_pipe.stat().st_size},
        "contention": compared.contention(),
    }


def start_seconds(ffmpeg: str) -> float:
    """Return what the program takes to start and end."""
    runs = [
        measured(lambda: subprocess.run([ffmpeg, "-version"], check=True, capture_output=True))
        for _ in range(7)
    ]
    return statistics.median(run.wall for run in runs)


def measure_add_audio(rounds: int, ffmpeg: str, folder: Path) -> dict:
    """Compare putting new sound under a minute of 720p with ``ffmpeg -c copy``."""
    video, sound, output = folder / "silent.mp4", folder / "tone.mp4", folder / "out.mp4"
    _make_inputs(video, sound)

    def ours_copied() -> None:
        result = FFmpegEncoder().add_audio(video, sound, output)
        assert result.success, result.error

    def theirs() -> None:
        inputs = ["-i", str(video), "-i", str(sound), "-map", "0:v", "-map", "1:a"]
        flags = ["-c", "copy", "-movflags", "+faststart"]
        subprocess.run([ffmpeg, "-v", "error", "-y", *inputs, *flags, str(output)], check=True)

    compared = in_turns(3 * rounds, {"ours": ours_copied, "copy": theirs})
    start = start_seconds(ffmpeg)
    return {
        "video_seconds": COPIED_SECONDS,
        "seconds": {name: round(compared.wall(name), 4) for name in compared.samples},
        "cpu_seconds": {name: round(compared.cpu(name), 3) for name in compared.samples},
        "ffmpeg_start_seconds": round(start, 4),
        "of_copy": compared.ratio("ours", "copy"),
        "of_copy_without_its_start": compared.ratio("ours", "copy", start),
        "contention": compared.contention(),
    }


def _make_inputs(video: Path, sound: Path) -> None:
    order = played(int(COPIED_SECONDS * RATE))
    frames = pictures(1280, 720)
    fast = EncodingConfig(quality="fast")
    time = np.arange(COPIED_SECONDS * 48000)
    tone = 0.3 * np.sin(time * 0.05).astype(np.float32)[None].repeat(2, 0)
    for path, audio, shown in (
        (video, None, order),
        (sound, AudioClip(tone, 48000), order[:2]),
    ):
        with VideoWriter(path, PictureFacts((1280, 720), RATE), fast, audio) as writer:
            for index in shown:
                writer.write(frames[index])


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", nargs="*", choices=SIZES, default=list(SIZES))
    parser.add_argument("--ffmpeg", default=shutil.which("ffmpeg"), help="the ffmpeg to compare")
    options = parser.parse_args()
    if not options.ffmpeg:
        parser.error("no ffmpeg on the PATH to compare with")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        encode = [
            measure_encode(SIZES[size], options.rounds, options.ffmpeg, folder)
            for size in options.sizes
        ]
        audio = measure_add_audio(options.rounds, options.ffmpeg, folder)
    if options.json:
        print(json.dumps({"encode": encode, "add_audio": audio}, indent=2))
        return
    for row in encode:
        _print_encode(row)
    print(
        f"add_audio: {audio['of_copy']['median']:.2f} of ffmpeg -c copy, "
        f"{audio['of_copy_without_its_start']['median']:.2f} without the "
        f"{audio['ffmpeg_start_seconds']:.2f} s that ffmpeg takes to start{_flag(audio)}"
    )


def _print_encode(row: dict) -> None:
    fps = ", ".join(f"{name} {value:.1f}" for name, value in row["fps"].items())
    print(
        f"{row['size']}: {fps} frames/s; {row['of_limit']['median']:.2f} of x264 alone (goal "
        f"{row['goal']}), {row['of_ffmpeg_x264']['median']:.2f} of ffmpeg's x264, "
        f"{row['of_pipe']['median']:.2f} of the pipe{_flag(row)}"
    )


def _flag(row: dict) -> str:
    return "; NOT ALONE on the machine" if row["contention"]["contended"] else ""


if __name__ == "__main__":
    main()
