"""How fast the puppet speaks, from a still to a finished mp4, against the encoder alone.

Every round runs the whole (warp, colour conversion, quality ``fast``, sound), the frames without
an encoder, and libx264 fed with the same pictures ready in memory; the medians count, and the
ratio is the median of the rounds' own. The bundled portrait speaks the bundled speech, once as
wide as the frame is high and once ("close") as wide as the frame.

    python benchmarks/puppet.py [--json] [--rounds 5] [--frames 150] [--sizes 512x512 1920x1080]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from avatarvideo.encoders.color import FrameConverter
from avatarvideo.encoders.ffmpeg import encode_frames
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.pictures import read_image
from avatarvideo.encoders.presets import CODECS, encoder_options
from avatarvideo.inputs import load_speech
from avatarvideo.media import AudioClip, Avatar, LipCorners, Mel
from avatarvideo.musetalk.face.locate import locate_face
from avatarvideo.musetalk.fallback.driver import mouth_motion
from avatarvideo.musetalk.fallback.playback import PuppetPlayback

SAMPLES = Path(__file__).resolve().parent.parent / "web" / "samples"
PORTRAIT_LIPS = (352.0, 437.0, 441.0, 440.0)  # corners in pixels of the bundled portrait
RATE = Fraction(25)
FAST = EncodingConfig(quality="fast")
GOALS = {"512x512": 100, "1920x1080": 25, "1920x1080 close": 25}  # frames/s
SHARE = 0.8  # of the encoder's own speed is enough where the goal is out of its reach


def portrait(size: str) -> tuple[np.ndarray, LipCorners]:
    """Return the bundled portrait in a frame of that size, and its lip corners there."""
    numbers, _, close = size.partition(" ")
    width, height = (int(part) for part in numbers.split("x"))
    picture = read_image(SAMPLES / "portrait.png")
    side = picture.shape[0]
    scale = (width if close else height) / side
    shift = np.array([[scale, 0, (width - side * scale) / 2], [0, scale, 0]])
    if close:
        lips_at = scale * (PORTRAIT_LIPS[1] + PORTRAIT_LIPS[3]) / 2
        shift[1, 2] = 0.6 * height - lips_at
    turned = cv2.warpAffine(
        picture, shift, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    corners = np.array(PORTRAIT_LIPS).reshape(2, 2) * scale + shift[:, 2]
    return turned, LipCorners(*corners.ravel().tolist())


def playback(size: str, mel: Mel, count: int) -> PuppetPlayback:
    """Return the clip to be played."""
    picture, corners = portrait(size)
    height, width = picture.shape[:2]
    avatar = Avatar(lambda start: iter([picture][start:]), RATE, width, height, 1, "portrait")
    lips = locate_face(picture, corners=corners).lips
    motion = mouth_motion(mel.speech, frame_rate=RATE, frame_count=count)
    return PuppetPlayback(avatar, np.zeros(count, np.int64), motion, [lips])


def encoder_alone(frames: list[av.VideoFrame]) -> None:
    """Run libx264 with the options of quality fast, packets thrown away."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height = frames[0].width, frames[0].height
    context.pix_fmt, context.time_base, context.framerate = "yuv420p", 1 / RATE, RATE
    context.options = encoder_options(CODECS["h264"], FAST)
    for pts, frame in enumerate(frames):
        frame.pts, frame.time_base = pts, 1 / RATE
        context.encode(frame)
    context.encode(None)


def whole(clip: PuppetPlayback, sound: AudioClip, path: Path) -> None:
    """Make the finished file."""
    encode_frames(clip.frames(), path, frame_rate=RATE, config=FAST, audio=sound)


def drain(clip: PuppetPlayback) -> None:
    """Make every frame and look at none."""
    for _ in clip.frames():
        pass


def measure(size: str, mel: Mel, count: int, rounds: int, folder: Path) -> dict[str, object]:
    """Compare at one size."""
    clip = playback(size, mel, count)
    to_yuv = FrameConverter(clip.avatar.width, clip.avatar.height, "yuv420p")
    ready = [to_yuv(np.ascontiguousarray(frame)) for frame in clip.frames()]
    runs: dict[str, Callable[[], None]] = {
        "encoder": lambda: encoder_alone(ready),
        "whole": lambda: whole(clip, mel.clip, folder / "puppet.mp4"),
        "frames": lambda: drain(clip),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    rates = {name: count / statistics.median(times) for name, times in seconds.items()}
    pairs = zip(seconds["encoder"], seconds["whole"], strict=True)
    ratio = statistics.median(alone / ours for alone, ours in pairs)
    goal = GOALS.get(size)
    return {
        "size": size,
        "frames": count,
        "frames_per_second": {name: round(rate, 1) for name, rate in rates.items()},
        "of_encoder": round(ratio, 3),
        "goal": goal,
        "reached": goal is None or rates["whole"] >= goal or ratio >= SHARE,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--sizes", nargs="+", default=list(GOALS))
    options = parser.parse_args()
    mel = load_speech(SAMPLES / "speech.flac", duration=Fraction(options.frames) / RATE)
    with tempfile.TemporaryDirectory() as name:
        rows = [
            measure(size, mel, options.frames, options.rounds, Path(name)) for size in options.sizes
        ]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        for row in rows:
            rates = row["frames_per_second"]
            assert isinstance(rates, dict)
            print(
                f"{row['size']:>16}: {rates['whole']:6.1f} frames/s to mp4, encoder alone "
                f"{rates['encoder']:6.1f} (ratio {row['of_encoder']}), frames alone "
                f"{rates['frames']:6.1f}; goal {row['goal']}"
            )
    return 0 if all(row["reached"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
