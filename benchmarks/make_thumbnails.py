"""Draw the pictures that the template browser shows: ``python benchmarks/make_thumbnails.py``.

Each is made of what its workflow makes of the bundled samples, and replaces the one that lies
beside the workflow, unless ``--output`` names another folder. The one with two people needs the
face mesh (``avatar models download face-mesh``).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import clone  # noqa: F401
import numpy as np
from PIL import Image, ImageDraw

from avatarvideo.encoders.read.probe import probe, table
from avatarvideo.media import Avatar, Mel
from avatarvideo.musetalk.engine import MuseTalkLipSync
from avatarvideo.musetalk.face.finder import locate_face
from avatarvideo.musetalk.face.overlay import draw_overlay
from avatarvideo.musetalk.inputs import load_avatar, load_speech
from avatarvideo.musetalk.interfaces import LipSyncConfig
from avatarvideo.musetalk.speaker import Speaker
from avatarvideo.nodes.widgets import SAMPLES_DIRECTORY

ROOT = Path(__file__).resolve().parent.parent
SIZE = 400  # pixels; the browser shows squares
QUALITY = 82
DARK, LIGHT, RED = (24, 26, 32), (226, 230, 238), (255, 77, 109)
STRIP = 76  # height of the sound under a picture
LEFT, RIGHT = (0.08, 0.02, 0.42, 1.0), (0.6, 0.02, 0.94, 1.0)  # of the picture of two people
FACE = (0.28, 0.14, 0.72, 0.68)  # part of the portrait's frame that its face fills


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--output",
        type=Path,
        default=ROOT / "workflows",
        metavar="FOLDER",
        help="Where the pictures go, replacing what is there.",
    )
    folder = parser.parse_args().output
    still = load_avatar(SAMPLES_DIRECTORY / "portrait.png")
    clip = load_avatar(SAMPLES_DIRECTORY / "talking_head.mp4")
    speech = load_speech(SAMPLES_DIRECTORY / "speech.flac")
    spoken, dubbed = frames_of(still, speech), frames_of(clip, speech)
    widest = max(range(len(spoken)), key=lambda i: differs(spoken[i], spoken[0]))
    found = draw_overlay(still.first_frame(), locate_face(still.first_frame()))
    reply = load_speech(SAMPLES_DIRECTORY / "speech_reply.flac")
    pair = load_avatar(SAMPLES_DIRECTORY / "two_people.jpg")
    pictures = {
        "talking_avatar": with_sound(spoken[widest], speech),
        "talking_avatar_app": form(found, part(spoken[widest], FACE), speech),
        "dub_a_video": with_sound(row([dubbed[i] for i in (4, 40, 76)]), speech),
        "check_face_and_speech": with_sound(found, speech),
        "frames_for_other_nodes": film([part(f, FACE) for f in spoken[8:88:8]][:9]),
        "compare_modes": row([part(spoken[0], FACE), part(spoken[widest], FACE)]),
        "two_speakers": two_speakers(pair, (speech, reply)),
        "encode_and_inspect": card(table(probe(SAMPLES_DIRECTORY / "talking_head.mp4"))),
    }
    for name, picture in pictures.items():
        path = folder / f"{name}.jpg"
        Image.fromarray(picture).resize((SIZE, SIZE), Image.Resampling.LANCZOS).save(
            path, quality=QUALITY, optimize=True
        )
    return 0


def two_speakers(pair: Avatar, speeches: tuple[Mel, Mel]) -> np.ndarray:
    """Draw both people, each where the mouth is open widest, over the speech of each."""
    speaker = Speaker(audio=speeches[1], face="left 1")
    options = LipSyncConfig(mode="puppet", face="left 0", speakers=(speaker,))
    frames = list(MuseTalkLipSync().run(pair, speeches[0], options).open_frames())
    canvas = Image.new("RGB", (SIZE, SIZE), DARK)
    pen, half, height = ImageDraw.Draw(canvas), SIZE // 2, SIZE - STRIP
    for number, (share, speech) in enumerate(zip((LEFT, RIGHT), speeches, strict=True)):
        parts = [part(frame, share) for frame in frames]
        widest = max(parts, key=lambda one: differs(one, parts[0]))
        canvas.paste(covering(widest, half - 2, height), (number * (half + 2), 0))
        draw_sound(pen, speech, (number * half + 4, height, number * half + half - 4, SIZE))
    return np.asarray(canvas)


def frames_of(avatar: Avatar, speech: Mel) -> list[np.ndarray]:
    run = MuseTalkLipSync().run(avatar, speech, LipSyncConfig(mode="puppet"))
    return [np.asarray(Image.fromarray(frame).resize((SIZE, SIZE))) for frame in run.open_frames()]


def differs(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


def part(picture: np.ndarray, share: tuple[float, float, float, float]) -> np.ndarray:
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = share
    return picture[int(y0 * height) : int(y1 * height), int(x0 * width) : int(x1 * width)]


def with_sound(picture: np.ndarray, speech: Mel) -> np.ndarray:
    """Put the sound's outline under a picture."""
    canvas = Image.new("RGB", (SIZE, SIZE), DARK)
    height = SIZE - STRIP
    canvas.paste(covering(picture, SIZE, height), (0, 0))
    draw_sound(ImageDraw.Draw(canvas), speech, (0, height, SIZE, SIZE))
    return np.asarray(canvas)


def draw_sound(pen: ImageDraw.ImageDraw, speech: Mel, box: tuple[int, int, int, int]) -> None:
    """Draw the sound's outline: a bar every six pixels of the box (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = box
    middle = (y0 + y1) / 2
    for number, bar in enumerate(np.array_split(np.abs(speech.speech), (x1 - x0) // 6)):
        reach = min(1.0, 3 * float(np.sqrt((bar**2).mean()))) * ((y1 - y0) / 2 - 10) + 1
        x = x0 + 6 * number + 3
        pen.line([(x, middle - reach), (x, middle + reach)], fill=RED, width=3)


def form(avatar: np.ndarray, result: np.ndarray, speech: Mel) -> np.ndarray:
    """Draw a form: the avatar, the speech and a button, and beside them what it makes."""
    canvas = Image.new("RGB", (SIZE, SIZE), DARK)
    pen = ImageDraw.Draw(canvas)
    left, side, gap = 14, 130, 14
    canvas.paste(covering(result, SIZE - side - 3 * gap, SIZE - 2 * gap), (side + 2 * gap, gap))
    canvas.paste(covering(avatar, side, side + 40), (left, gap))
    for top in (200, 292):
        pen.rounded_rectangle((left, top, left + side, top + 78), 10, outline=LIGHT, width=2)
    draw_sound(pen, speech, (left + 8, 200, left + side - 4, 278))
    for row in range(3):
        y = 308 + 20 * row
        pen.rounded_rectangle((left + 14, y, left + 50 + 24 * row, y + 6), 3, LIGHT)
    return np.asarray(canvas)


def row(pictures: list[np.ndarray]) -> np.ndarray:
    """Set pictures side by side, each cut to its share of the width."""
    canvas = Image.new("RGB", (SIZE, SIZE), DARK)
    width = SIZE // len(pictures)
    for number, picture in enumerate(pictures):
        canvas.paste(covering(picture, width - 4, SIZE), (number * width + 2, 0))
    return np.asarray(canvas)


def film(pictures: list[np.ndarray]) -> np.ndarray:
    canvas = Image.new("RGB", (SIZE, SIZE), DARK)
    cell = SIZE // 3
    for number, picture in enumerate(pictures):
        down, across = divmod(number, 3)
        canvas.paste(covering(picture, cell - 6, cell - 6), (across * cell + 4, down * cell + 4))
    return np.asarray(canvas)


def card(text: str) -> np.ndarray:
    """Draw a table of two columns that are parted by more than one space."""
    canvas = Image.new("RGB", (SIZE, SIZE), DARK)
    pen = ImageDraw.Draw(canvas)
    for number, line in enumerate(text.splitlines()[:10]):
        name, value = line.split("  ", 1)
        top = 20 + 37 * number
        pen.text((20, top), name, fill=RED, font_size=19)
        short = value.strip().split(", ")[0].split(" (")[0][:24]
        pen.text((150, top), short.rstrip(" /"), fill=LIGHT, font_size=19)
    return np.asarray(canvas)


def covering(picture: np.ndarray, width: int, height: int) -> Image.Image:
    """Return the middle of a picture, as large as covers the given size."""
    image = Image.fromarray(picture)
    scale = max(width / image.width, height / image.height)
    grown = image.resize(
        (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
    )
    left, top = (grown.width - width) // 2, (grown.height - height) // 4
    return grown.crop((left, top, left + width, top + height))


if __name__ == "__main__":
    sys.exit(main())
