"""Draw and speak the files in ``web/samples``; nothing in them comes from anybody else.

``portrait.png`` (768x768) is an invented person: an implicit surface, traced, lit and then
painted with curves and strands. ``speech.flac`` (mono, 22.05 kHz) is eSpeak NG's voice, softened.
Needs numpy, opencv-python, av and the program ``espeak-ng``. The same library versions give the
same pixels; another eSpeak NG gives another voice.

    python benchmarks/make_samples.py [portrait] [speech]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
from samples.portrait import render
from samples.speech import write_speech

FOLDER = Path(__file__).resolve().parent.parent / "web" / "samples"
SIDE, WORK_SIDE = 768, 1152  # pixels kept, and drawn


def write_portrait(path: Path) -> None:
    """Draw the portrait, reduce it and write it as PNG."""
    drawn = render(WORK_SIDE)
    picture = cv2.resize(drawn, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])


WRITERS = {"portrait": ("portrait.png", write_portrait), "speech": ("speech.flac", write_speech)}


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
