"""Peak memory against length: every run in a process of its own, its largest resident size printed.

    python benchmarks/memory.py --json
    python benchmarks/memory.py --mode musetalk --avatar video --avatar-seconds 120
    AVATAR_MODELS=FOLDER python benchmarks/memory.py --people --avatar video --sizes 1280x720

MuseTalk runs with tiny random networks: what grows with length does not depend on their size.
With --people two speak at a time, found by the face mesh.
Passes when 120 s take at most 5 % more than 30 s, at every picture size.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from avatarvideo.media import LipCorners

ROOT = Path(__file__).resolve().parent.parent
SIZES = ((512, 512), (1280, 720), (1920, 1080))
SECONDS = (5, 30, 120)
ALLOWED_GROWTH = 1.05  # of the longest run against the one before it
PORTRAIT = ROOT / "web" / "samples" / "portrait.png"
PAIR = ROOT / "web" / "samples" / "two_people.jpg"
PORTRAIT_LIPS = (352.0, 437.0, 441.0, 440.0)  # corners in pixels of the bundled portrait
AVATAR_SECONDS = 4  # of a video avatar, so that longer speech plays it to and fro


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--mode", choices=("musetalk", "puppet", "static"), default="puppet")
    parser.add_argument("--avatar", choices=("still", "video"), default="still")
    parser.add_argument("--avatar-seconds", type=int, default=AVATAR_SECONDS)
    parser.add_argument("--seconds", type=int, nargs="+", default=SECONDS)
    parser.add_argument("--people", action="store_true", help="two people speak")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each; the median counts")
    parser.add_argument("--sizes", nargs="+", default=[f"{w}x{h}" for w, h in SIZES])
    parser.add_argument("--child", nargs=3, metavar=("SIZE", "SECONDS", "FOLDER"))
    options = parser.parse_args()
    if options.child:
        size, seconds, folder = options.child
        measured = run_one(parse(size), int(seconds), Path(folder), options)
        print(json.dumps(measured))
        return 0
    rows = [
        median_of([measure(size, seconds, options) for _ in range(options.rounds)])
        for size in options.sizes
        for seconds in options.seconds
    ]
    growth = {size: growth_of(rows, size) for size in options.sizes}
    passed = all(value <= ALLOWED_GROWTH for value in growth.values())
    if options.json:
        print(json.dumps({"rows": rows, "growth": growth, "passed": passed}, indent=2))
    else:
        for size, value in growth.items():
            print(f"{size}: the longest run takes {value:.3f} of the one before it")
    return 0 if passed else 1


def parse(size: str) -> tuple[int, int]:
    width, height = size.split("x")
    return int(width), int(height)


def measure(size: str, seconds: int, options: argparse.Namespace) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--mode", options.mode, "--avatar", options.avatar]
        command += ["--avatar-seconds", str(options.avatar_seconds)]
        command += ["--people"] * options.people
        done = subprocess.run(
            [*command, "--child", size, str(seconds), folder],
            check=True,
            capture_output=True,
            text=True,
        )
    row = json.loads(done.stdout.splitlines()[-1])
    if not options.json:
        print(
            f"{size:>9} {seconds:>4} s: {row['peak_mib']:7.1f} MiB, {row['frames']} frames, "
            f"{row['wall_seconds']:.1f} s",
            flush=True,
        )
    return row


def median_of(rows: list[dict[str, object]]) -> dict[str, object]:
    """Return the row with the median peak; one run's varies by some hundredths."""
    return sorted(rows, key=lambda row: float(str(row["peak_mib"])))[len(rows) // 2]


def growth_of(rows: list[dict[str, object]], size: str) -> float:
    peaks = [float(row["peak_mib"]) for row in rows if row["size"] == size]  # type: ignore[arg-type]
    return peaks[-1] / peaks[-2] if len(peaks) > 1 else 1.0


def run_one(
    size: tuple[int, int], seconds: int, folder: Path, options: argparse.Namespace
) -> dict[str, object]:
    """Make one video in this process and return what it took."""
    import clone  # noqa: F401

    from avatarvideo.host.machine import peak_memory
    from avatarvideo.musetalk.engine import MuseTalkLipSync
    from avatarvideo.musetalk.interfaces import LipSyncConfig
    from avatarvideo.musetalk.speaker import Speaker

    models = None
    if options.mode == "musetalk":
        from support.tiny_models import tiny_models

        models = tiny_models()
    speech = write_speech(seconds, folder / "speech.wav")
    if options.people:
        avatar, corners = write_pair(size, folder, options), None
        reply = write_speech(seconds, folder / "reply.wav", pitch=170)
        whose = {"face": "left 0", "speakers": (Speaker(audio=reply, face="left 1"),)}
    else:
        (avatar, corners), whose = write_avatar(size, folder, options), {}
    config = LipSyncConfig(
        mode=options.mode,
        mouth=None if models else corners,
        quality="low",
        residency="unload",
        **whose,
    )
    began = time.perf_counter()
    result = MuseTalkLipSync(models=models).generate(avatar, speech, folder / "out.mp4", config)
    if not result.success:
        raise SystemExit(result.error)
    return {
        "size": f"{size[0]}x{size[1]}",
        "seconds": seconds,
        "avatar": options.avatar,
        "mode": result.mode,
        "frames": result.frame_count,
        "speakers": len(result.report.get("speakers", [None])),
        "frames_synced": result.report["frames_synced"],
        "peak_mib": round(peak_memory() / (1 << 20), 1),
        "wall_seconds": round(time.perf_counter() - began, 2),
    }


def write_avatar(
    size: tuple[int, int], folder: Path, options: argparse.Namespace
) -> tuple[Path, LipCorners]:
    """Write the bundled portrait at a size, as a picture or a swaying clip; return its lips too.

    For MuseTalk it is darkened, and what the tiny detector takes for a face is drawn in.
    """
    from PIL import Image

    from avatarvideo.media import LipCorners

    width, height = size
    portrait = Image.open(PORTRAIT).convert("RGB").resize((height, height))
    picture = Image.new("RGB", size, portrait.getpixel((2, 2)))
    left = (width - height) // 2
    picture.paste(portrait, (left, 0))
    scale = height / Image.open(PORTRAIT).height
    x0, y0, x1, y1 = (edge * scale for edge in PORTRAIT_LIPS)
    corners = LipCorners(left + x0, y0, left + x1, y1)
    pixels = np.asarray(picture)
    if options.mode == "musetalk":
        pixels = (pixels * 0.35).astype(np.uint8)
        from support.tiny_models import plant_face

        plant_face(pixels, width // 32, height // 32)
    return write_clip(pixels, folder, options), corners


def write_pair(size: tuple[int, int], folder: Path, options: argparse.Namespace) -> Path:
    """Write the bundled picture of two people at a size, as a picture or a swaying clip."""
    from PIL import Image

    pixels = np.asarray(Image.open(PAIR).convert("RGB").resize(size))
    return write_clip(pixels, folder, options)


def write_clip(pixels: np.ndarray, folder: Path, options: argparse.Namespace) -> Path:
    from fractions import Fraction

    from PIL import Image

    from avatarvideo.encoders.encoder import encode_frames

    if options.avatar != "video":
        Image.fromarray(pixels).save(folder / "avatar.png")
        return folder / "avatar.png"
    sway, count = (16 if options.mode == "musetalk" else 6), options.avatar_seconds * 25
    frames = (np.roll(pixels, round(sway * np.sin(i / 12)), axis=1) for i in range(count))
    encode_frames(frames, folder / "avatar.mp4", frame_rate=Fraction(25))
    return folder / "avatar.mp4"


def write_speech(seconds: int, path: Path, *, pitch: float = 120) -> Path:
    """Write something that opens and shuts a mouth: bursts of a buzz with pauses."""
    import wave

    rate = 16000
    time_axis = np.arange(seconds * rate) / rate
    buzz = sum(np.sin(2 * np.pi * pitch * k * time_axis) / k for k in range(1, 12))
    syllables = np.clip(np.sin(2 * np.pi * 3 * time_axis), 0, 1) * (time_axis % 4 < 3)
    samples = (buzz * syllables * 6000).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


if __name__ == "__main__":
    sys.exit(main())
