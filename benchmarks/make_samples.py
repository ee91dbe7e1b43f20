"""Draw and speak the files in ``web/samples``; nothing in them comes from anybody else.

``portrait.png`` (768x768) is an invented person: an implicit surface, traced, lit and then
painted with curves, strands and brush strokes. ``speech.flac`` (mono, 22.05 kHz) is eSpeak NG's
voice, softened. ``talking_head.mp4`` (512x512, 25 fps, 3 s, no sound) is the portrait moving a
little; it is made from ``portrait.png`` as it lies there. ``two_people.jpg`` (1024x576) is that
portrait beside a second invented person, and ``speech_reply.flac`` is her voice: silent while
``speech.flac`` lasts, then answering. Needs numpy, opencv-python, Pillow, av
and the program ``espeak-ng``. The same library versions give the same pixels; another eSpeak NG
gives another voice. Takes some three minutes on one core.

    python benchmarks/make_samples.py [portrait] [speech] [clip] [pair] [reply]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from samples.clip import write_clip
from samples.pair import side_by_side
from samples.portrait import render
from samples.sitter import SECOND
from samples.speech import write_reply, write_speech

FOLDER = Path(__file__).resolve().parent.parent / "web" / "samples"
SIDE, WORK_SIDE = 768, 1152  # pixels kept, and drawn
PAIR_SIDE = 864  # drawn of the second person
QUALITY = 92  # of JPEG


def write_portrait(path: Path) -> None:
    """Draw the portrait, reduce it and write it as PNG."""
    drawn = render(WORK_SIDE)
    picture = cv2.resize(drawn, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.int32)
    # Steps too small to see take a third off the file: 2 in green, 7 in red and blue against it.
    green = (picture[..., 1:2] + 1) // 2 * 2
    coarse = green + (picture - picture[..., 1:2] + 3) // 7 * 7
    coarse[..., 1:2] = green
    Image.fromarray(coarse.clip(0, 255).astype(np.uint8)).save(path, "PNG", optimize=True)


def write_talking_head(path: Path) -> None:
    """Move the portrait that was drawn before and write the frames as a video."""
    with Image.open(FOLDER / "portrait.png") as portrait:
        write_clip(np.array(portrait.convert("RGB")), path)


def write_pair(path: Path) -> None:
    """Draw the second person and put her beside the portrait that was drawn before."""
    with Image.open(FOLDER / "portrait.png") as portrait:
        pair = side_by_side(np.array(portrait.convert("RGB")), render(PAIR_SIDE, SECOND))
    Image.fromarray(pair).save(path, "JPEG", quality=QUALITY, optimize=True)


WRITERS = {
    "portrait": ("portrait.png", write_portrait),
    "speech": ("speech.flac", write_speech),
    "clip": ("talking_head.mp4", write_talking_head),
    "pair": ("two_people.jpg", write_pair),
    "reply": ("speech_reply.flac", write_reply),
}


def main() -> None:
    """Make the files that were named, or all."""
    parser = argparse.ArgumentParser(description="Make the bundled samples again.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(WRITERS)}")
    for name in parser.parse_args().names or WRITERS:
        file, write = WRITERS[name]
        write(FOLDER / file)
        print(f"{FOLDER / file}: {(FOLDER / file).stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
