"""Make the pictures of README, gallery and help pages: ``python benchmarks/make_gallery.py``.

All come from the project's own drawn portrait and synthesised speech, by the project's own
commands. Needs the face mesh (``avatar models download face-mesh``). Pictures of the help pages go
to ``web/docs/pictures``, the README's first one to ``docs/pictures``; ``--output`` names another
folder for all of them. Names after it make only those.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import clone  # noqa: F401
import cv2
import numpy as np
from make_thumbnails import DARK, LIGHT, RED, covering
from PIL import Image, ImageDraw

from avatarvideo.cli.main import main as avatar
from avatarvideo.encoders.read.picture import read_image
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.media import Mel
from avatarvideo.musetalk.audio import prepare_mel
from avatarvideo.musetalk.face.finder import locate_face
from avatarvideo.musetalk.face.overlay import draw_overlay
from avatarvideo.musetalk.inputs import load_speech
from avatarvideo.musetalk.interfaces import Loop
from avatarvideo.musetalk.source_frames import source_indices
from avatarvideo.nodes.audio_to_mel import draw_spectrogram
from avatarvideo.nodes.widgets import SAMPLES_DIRECTORY

ROOT = Path(__file__).resolve().parent.parent
HELP, PAGE = ROOT / "web" / "docs" / "pictures", ROOT / "docs" / "pictures"
PORTRAIT, SPEECH = SAMPLES_DIRECTORY / "portrait.png", SAMPLES_DIRECTORY / "speech.flac"
FACE = (210, 130, 580, 580)  # of the portrait, pixels
CAPTION = 30  # pixels of height under a picture
LOOPS: tuple[Loop, ...] = ("pingpong", "loop", "hold", "cut", "stretch", "silence")


def command(*words: str | Path) -> None:
    """Run the command ``avatar``; a failure ends the script."""
    if code := avatar([str(word) for word in words]):
        raise SystemExit(f"avatar {' '.join(map(str, words))} ended with {code}")


def frames_of(video: Path) -> list[np.ndarray]:
    return list(VideoReader(video).frames())


def speak(folder: Path, *options: str | Path, portrait: Path = PORTRAIT) -> list[np.ndarray]:
    """Return the frames of a portrait that speaks the sample's sentence."""
    video = folder / "spoken.mp4"
    command("video", "lipsync", portrait, SPEECH, "-o", video, "--mode", "puppet", *options)
    return frames_of(video)


def widest(frames: Sequence[np.ndarray], box: tuple[int, int, int, int]) -> int:
    """Return the frame that differs most from the first one inside a box x0, y0, x1, y1."""
    x0, y0, x1, y1 = box
    first = frames[0][y0:y1, x0:x1].astype(float)
    changes = [np.abs(frame[y0:y1, x0:x1] - first).mean() for frame in frames]
    return int(np.argmax(changes))


def captioned(pictures: Sequence[tuple[str, np.ndarray]], width: int, height: int) -> Image.Image:
    """Set pictures side by side, each with its caption."""
    canvas = Image.new("RGB", (len(pictures) * width, height + CAPTION), DARK)
    pen = ImageDraw.Draw(canvas)
    for number, (text, picture) in enumerate(pictures):
        canvas.paste(covering(picture, width - 4, height), (number * width + 2, 0))
        middle = number * width + width / 2
        pen.text((middle, height + CAPTION / 2), text, LIGHT, anchor="mm", font_size=16)
    return canvas


def face(picture: np.ndarray) -> np.ndarray:
    x0, y0, x1, y1 = FACE
    return picture[y0:y1, x0:x1]


def draw_modes(folder: Path) -> Image.Image:
    spoken = speak(folder)
    still = read_image(PORTRAIT)
    loud = face(spoken[widest(spoken, (330, 400, 460, 560))])
    return captioned([("static", face(still)), ("puppet", loud)], 320, 380)


def draw_life(folder: Path) -> Image.Image:
    frames = speak(folder, "--life", "blink")
    shut = frames[widest(frames, (300, 285, 500, 335))]
    eyes = [frame[240:370, 270:520] for frame in (frames[0], shut)]
    return captioned([("none", eyes[0]), ("blink", eyes[1])], 380, 198)


def draw_lips(folder: Path) -> Image.Image:
    picture = read_image(PORTRAIT)
    found = draw_overlay(picture, locate_face(picture))
    return captioned([("the picture", face(picture)), ("face output", face(found))], 320, 380)


def draw_people(folder: Path) -> Image.Image:
    """Two people, of whom the left one speaks and then the right one."""
    one = read_image(PORTRAIT)
    large, small = (cv2.resize(one, None, fx=size, fy=size) for size in (0.6, 0.48))
    both = np.zeros((large.shape[0], 860, 3), np.uint8)
    both[:] = one[40, 700]
    both[: large.shape[0], 400:860] = large[:, :460]
    both[-small.shape[0] :, : small.shape[1]] = small[:, ::-1]
    source = folder / "two.png"
    Image.fromarray(both).save(source)
    shown: list[tuple[str, np.ndarray]] = []
    mouths = {"left 0": (130, 270, 240, 380), "0": (580, 230, 700, 340)}
    for chosen, mouth in mouths.items():
        frames = speak(folder, "--face", chosen, portrait=source)
        shown.append((f"face: {chosen}", frames[widest(frames, mouth)]))
    return captioned(shown, 440, 230)


def draw_loops(folder: Path) -> Image.Image:
    """Which frame of a video of 3 s is shown when, under 8 s of speech, and under 2 s."""
    rows, left, row = len(LOOPS), 110, 62
    canvas = Image.new("RGB", (760, rows * row + 74), DARK)
    pen = ImageDraw.Draw(canvas)
    axes = "right: time; up: a later frame of the video; red: somebody speaks; white: shut lips"
    pen.text((10, rows * row + 46), axes, LIGHT, font_size=14)
    for column, (seconds, x0) in enumerate(((8.0, left), (2.0, left + 420))):
        pen.text((x0, 10), f"{seconds:.0f} s of speech, a video of 3 s", LIGHT, font_size=15)
        for number, loop in enumerate(LOOPS):
            top = 40 + number * row
            if not column:
                pen.text((10, top + 12), loop, RED, font_size=17)
            length = {"cut": min(seconds, 3), "silence": max(seconds, 3)}.get(loop, seconds)
            draw_way(pen, loop, length, seconds, (x0, top))
    return canvas


def draw_way(
    pen: ImageDraw.ImageDraw, loop: Loop, length: float, spoken: float, at: tuple[int, int]
) -> None:
    """Draw the avatar's frame over time; red where somebody speaks."""
    count, rate, wide, high = round(length * 25), Fraction(25), 48, 44
    shown = source_indices(count, rate, source_count=75, source_rate=rate, loop=loop)
    points = [(at[0] + i / 25 * wide, at[1] + high - n / 75 * high) for i, n in enumerate(shown)]
    for number in range(1, count):
        if abs(int(shown[number]) - int(shown[number - 1])) < 5:  # a jump is no line
            colour = RED if number < spoken * 25 else LIGHT
            pen.line([points[number - 1], points[number]], fill=colour, width=3)


def draw_fit(folder: Path) -> Image.Image:
    pictures: list[tuple[str, np.ndarray]] = []
    for fit in ("contain", "cover", "stretch", "pad"):
        video = folder / f"{fit}.mp4"
        size = ("--width", "320", "--height", "180", "--fit", fit)
        command("video", "encode", SAMPLES_DIRECTORY / "talking_head.mp4", "-o", video, *size)
        canvas = np.full((200, 340, 3), LIGHT, np.uint8)
        frame = frames_of(video)[0]
        top, left = (200 - frame.shape[0]) // 2, (340 - frame.shape[1]) // 2
        canvas[top : top + frame.shape[0], left : left + frame.shape[1]] = frame
        pictures.append((f"{fit}: {frame.shape[1]}x{frame.shape[0]}", canvas))
    return captioned(pictures, 250, 146)


def draw_crf(folder: Path) -> Image.Image:
    command("video", "lipsync", PORTRAIT, SPEECH, "-o", folder / "fine.mkv", "--mode", "puppet")
    pictures: list[tuple[str, np.ndarray]] = []
    for crf in (18, 28, 40):
        video = folder / f"{crf}.mp4"
        command("video", "encode", folder / "fine.mkv", "-o", video, "--crf", str(crf))
        part = frames_of(video)[60][230:380, 250:440]
        large = cv2.resize(part, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        pictures.append((f"crf {crf}: {video.stat().st_size / 1024:.0f} KiB", large))
    return captioned(pictures, 380, 300)


def draw_sound(folder: Path) -> Image.Image:
    mels: tuple[tuple[str, Mel], ...] = (
        ("start 0, duration 0", load_speech(SPEECH)),
        (
            "start 1, duration 1.5",
            prepare_mel(load_speech(SPEECH).clip.trimmed(Fraction(1), Fraction(3, 2))),
        ),
    )
    heard = [
        (text, cv2.resize(draw_spectrogram(mel.log_mel[:, : mel.speech.size // 160]), (396, 200)))
        for text, mel in mels
    ]
    return captioned(heard, 400, 200)


def draw_score(folder: Path) -> Image.Image:
    speak(folder)
    plot = folder / "plot.png"
    command("video", "score", folder / "spoken.mp4", "--plot", plot)
    with Image.open(plot) as drawn:
        picture = drawn.convert("RGB")
    picture.thumbnail((800, 800))
    return picture


PICTURES: dict[str, Callable[[Path], Image.Image]] = {
    "modes": draw_modes,
    "life": draw_life,
    "lips": draw_lips,
    "people": draw_people,
    "loop": draw_loops,
    "fit": draw_fit,
    "crf": draw_crf,
    "sound": draw_sound,
    "score": draw_score,
}


def make_the_first(folder: Path) -> None:
    """The README's first picture, by the two commands that the gallery names."""
    video, picture = folder / "talking_avatar.mp4", folder / "talking_avatar.webp"
    command(
        "video", "lipsync", PORTRAIT, SPEECH, "-o", video, "--life", "blink", "--mode", "puppet"
    )
    command("video", "encode", video, "-o", picture, "--width", "384")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of: first, {', '.join(PICTURES)}")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="Where the pictures go.")
    asked = parser.parse_args()
    names = asked.names or ["first", *PICTURES]
    for name in names:
        if name == "first":
            make_the_first(asked.output or PAGE)
            continue
        path = (asked.output or HELP) / f"{name}.webp"
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory() as folder:
            PICTURES[name](Path(folder)).save(path, quality=82, method=6)
        print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
