"""How fast a still becomes a finished mp4 once no network is asked, against the encoder alone.

Every round runs the whole (frames, colour conversion, quality ``fast``, sound), the frames without
an encoder, and libx264 fed with the same pictures ready in memory; the medians count, and the
ratio is the median of the rounds' own. The bundled portrait speaks the bundled speech, once as
wide as the frame is high and once ("close") as wide as the frame. The "puppet" warps it; "faces"
are MuseTalk's crops, made before and waiting in their file: a GPU can make no run faster than that.

    python benchmarks/playback.py [--json] [--rounds 5] [--frames 150] [--sizes 512x512 1920x1080]
    python benchmarks/playback.py --kinds faces --clips 2    # two files at once, by one process

"colours" converts ready frames to the encoder's. Where the parts alone take about as long
together as the whole, they do not overlap: on two processors the encoder keeps both busy.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from avatarvideo.encoders.color import FrameConverter
from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.picture import read_image
from avatarvideo.encoders.write.codecs import CODECS, encoder_options
from avatarvideo.media import AudioClip, Avatar, LipCorners, Mel
from avatarvideo.musetalk.face.blend import (
    PARSING_SIZE,
    SKIN,
    MaskSettings,
    face_mask,
    replaced_region,
)
from avatarvideo.musetalk.face.crop import CROP_SIZE, FaceBox
from avatarvideo.musetalk.face.detect import FaceTrack
from avatarvideo.musetalk.face.finder import locate_face
from avatarvideo.musetalk.inputs import load_speech
from avatarvideo.musetalk.pipeline.compose import SpeakingPlayback
from avatarvideo.musetalk.pipeline.spool import Spool
from avatarvideo.musetalk.puppet.playback import PuppetPlayback
from avatarvideo.musetalk.puppet.shapes import mouth_shapes

SAMPLES = Path(__file__).resolve().parent.parent / "web" / "samples"
PORTRAIT_LIPS = (352.0, 437.0, 441.0, 440.0)  # corners in pixels of the bundled portrait
RATE = Fraction(25)
FAST = EncodingConfig(quality="fast")
GOALS = {"512x512": 100, "1920x1080": 25, "1920x1080 close": 25}  # frames/s of the puppet
SHARE = 0.8  # of the encoder's own speed is enough where the goal is out of its reach
# A face box about the lips, in their widths: to the left, up, to the right and down.
FACE_AROUND_LIPS = (-1.5, -2.6, 1.5, 1.2)

Clip = PuppetPlayback | SpeakingPlayback


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


def still(picture: np.ndarray) -> Avatar:
    """Return an avatar of one picture."""
    height, width = picture.shape[:2]
    return Avatar(
        open_frames=lambda start: iter([picture][start:]),
        frame_rate=RATE,
        width=width,
        height=height,
        frame_count=1,
    )


def puppet(size: str, mel: Mel, count: int, folder: Path) -> PuppetPlayback:
    """Return a clip whose frames are warped."""
    picture, corners = portrait(size)
    lips = locate_face(picture, corners=corners).lips
    motion = mouth_shapes(mel.speech, frame_rate=RATE, frame_count=count)
    return PuppetPlayback(still(picture), np.zeros(count, np.int64), motion, [lips])


def faces(size: str, mel: Mel, count: int, folder: Path) -> SpeakingPlayback:
    """Return a clip whose faces, the portrait's own in changing light, wait in a file."""
    picture, corners = portrait(size)
    height, width = picture.shape[:2]
    middle = np.array([corners.x0 + corners.x1, corners.y0 + corners.y1] * 2) / 2
    edges = middle + np.array(FACE_AROUND_LIPS) * (corners.x1 - corners.x0)
    limits = [width, height] * 2
    box = FaceBox(*np.rint(edges.clip(0, limits)).astype(int).tolist())
    parts = np.zeros((PARSING_SIZE, PARSING_SIZE), np.uint8)
    half = PARSING_SIZE // 2
    cv2.ellipse(parts, (half, half), (half // 2, half * 2 // 3), 0, 0, 360, SKIN, -1)
    spool, zeros = Spool(folder), np.zeros(count, np.int64)
    crop = cv2.resize(picture[box.area], (CROP_SIZE, CROP_SIZE)).astype(np.float32)
    with spool.writer() as writer:
        mask = writer.append(face_mask(replaced_region(parts, MaskSettings()), box))
        lights = 1 + 0.1 * np.sin(np.arange(count))
        places = [writer.append((crop * light).clip(0, 255).astype(np.uint8)) for light in lights]
    one = np.array([[box.x0, box.y0, box.x1, box.y1]], np.int32)
    track = FaceTrack(one, np.array([True]), np.zeros((1, 2), np.int32), "landmarks")
    crops = np.array(places, np.int64)
    return SpeakingPlayback(still(picture), zeros, zeros, track, np.array([mask]), crops, spool)


KINDS = {"puppet": puppet, "faces": faces}


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


def whole(clip: Clip, sound: AudioClip, path: Path) -> None:
    """Make the finished file."""
    encode_frames(clip.frames(), path, frame_rate=RATE, config=FAST, audio=sound)


def at_once(clips: int, make: Callable[[int], None]) -> None:
    """Make so many files at the same time."""
    with ThreadPoolExecutor(clips) as threads:
        list(threads.map(make, range(clips)))


def drain(clip: Clip) -> None:
    """Make every frame and look at none."""
    for _ in clip.frames():
        pass


def measure(
    kind: str, size: str, mel: Mel, count: int, folder: Path, options: argparse.Namespace
) -> dict[str, object]:
    """Compare at one size."""
    clip = KINDS[kind](size, mel, count, folder)
    to_yuv = FrameConverter(clip.avatar.width, clip.avatar.height, "yuv420p")
    shown = [np.ascontiguousarray(frame) for frame in clip.frames()]
    ready = [to_yuv(frame) for frame in shown]
    runs: dict[str, Callable[[], None]] = {
        "encoder": lambda: encoder_alone(ready),
        "whole": lambda: whole(clip, mel.clip, folder / "out.mp4"),
        "frames": lambda: drain(clip),
        "colours": lambda: [to_yuv(frame) for frame in shown].clear(),
    }
    if options.clips > 1:
        runs["at once"] = lambda: at_once(
            options.clips, lambda number: whole(clip, mel.clip, folder / f"out{number}.mp4")
        )
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    rates = {name: count / statistics.median(times) for name, times in seconds.items()}
    if options.clips > 1:
        rates["at once"] *= options.clips
    pairs = zip(seconds["encoder"], seconds["whole"], strict=True)
    ratio = statistics.median(alone / ours for alone, ours in pairs)
    goal = GOALS.get(size) if kind == "puppet" else None
    return {
        "kind": kind,
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
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--sizes", nargs="+", default=list(GOALS))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--clips", type=int, default=1, help="files made at once, besides one")
    options = parser.parse_args()
    mel = load_speech(SAMPLES / "speech.flac", duration=Fraction(options.frames) / RATE)
    with tempfile.TemporaryDirectory() as name:
        rows = [
            measure(kind, size, mel, options.frames, Path(name), options)
            for kind in options.kinds
            for size in options.sizes
        ]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        for row in rows:
            rates = row["frames_per_second"]
            assert isinstance(rates, dict)
            goal = f"; goal {row['goal']}" if row["goal"] else ""
            if options.clips > 1:
                goal += f"; {options.clips} at once {rates['at once']:6.1f}"
            print(
                f"{row['kind']:>6} {row['size']:>15}: {rates['whole']:6.1f} frames/s to mp4, "
                f"encoder alone {rates['encoder']:6.1f} (ratio {row['of_encoder']}), frames alone "
                f"{rates['frames']:6.1f}, colours alone {rates['colours']:6.1f}{goal}"
            )
    return 0 if all(row["reached"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
