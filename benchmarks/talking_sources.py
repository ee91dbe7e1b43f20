"""Videos of people who talk, made of pictures: sources whose own mouth has to be taken out.

    python benchmarks/talking_sources.py PICTURE ... --output FOLDER [--models FOLDER]

Each picture says other sentences of mouth_sentences.py than the ruler's, posed by the puppet, while
its head sways, nods, tilts and comes nearer (a planted affine motion of the whole picture). So the
mouths are the puppet's own and not photographed ones. 25 fps, H.264 at crf 16. Needs espeak-ng.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from espeak import SAMPLE_RATE
from mesh_ruler import networks_in
from mouth_ruler import said
from mouth_sentences import FIT
from mouth_truth import RATE

from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.picture import read_image
from avatarvideo.musetalk.face.finder import locate_face
from avatarvideo.musetalk.puppet.phones import can_hear_phones, phones_heard
from avatarvideo.musetalk.puppet.puppet import Puppet
from avatarvideo.musetalk.puppet.shapes import mouth_shapes

LARGEST_SIDE = 512  # pixels
SENTENCES = 4  # of each picture's own
CYCLE = 90  # frames of the head's slowest motion
SWAY, NOD, SWELL = 0.02, 0.015, 0.03  # of the picture's side, and of its size
TILT = 3.0  # degrees


def head_motion(frame: int, width: int, height: int) -> np.ndarray:
    """Return the matrix (2, 3) that moves the picture in a frame."""
    phase = 2 * math.pi * frame / CYCLE
    angle, size = TILT * math.sin(1.7 * phase), 1 + SWELL * math.sin(0.8 * phase)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, size)
    turn[:, 2] += SWAY * width * math.sin(phase), NOD * height * math.sin(1.3 * phase + 1)
    return turn


def talking(
    picture: np.ndarray, models: list[Path], sentences: tuple[str, ...]
) -> Iterator[np.ndarray]:
    """Yield uint8 RGB frames of a picture, uint8 RGB (H, W, 3), that says the sentences."""
    found = locate_face(picture, model_folders=models)
    if found.lips is None:
        raise SystemExit(f"Expected a face with lips, but {found.reason}.")
    puppet = Puppet(picture, found.lips, points=found.points, is_still=True)
    speech = said("en-us", sentences).speech
    shapes = mouth_shapes(
        speech,
        frame_rate=RATE,
        frame_count=round(len(speech) * RATE / SAMPLE_RATE),
        phones=phones_heard(speech) if can_hear_phones() else None,
    )
    height, width = picture.shape[:2]
    for number in range(len(shapes.opening)):
        turn = head_motion(number, width, height)
        posed = puppet.render(shapes.at(number))
        yield cv2.warpAffine(
            posed, turn, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )


def reduced(picture: np.ndarray) -> np.ndarray:
    """Return a picture of even sides, none over LARGEST_SIDE pixels."""
    scale = min(1.0, LARGEST_SIDE / max(picture.shape))
    height, width = (2 * round(side * scale / 2) for side in picture.shape[:2])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def main() -> None:
    """Make the videos."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--models", type=Path, help="folder of models that holds the face mesh")
    options = parser.parse_args()
    networks_in(options.models)
    models = [options.models or Path("models")]
    options.output.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(options.pictures):
        first = number * SENTENCES % (len(FIT["en-us"]) - SENTENCES)
        sentences = FIT["en-us"][first : first + SENTENCES]
        picture = reduced(read_image(path))
        encode_frames(
            talking(picture, models, sentences),
            options.output / f"{path.stem}.mp4",
            frame_rate=RATE,
            config=EncodingConfig(crf=16),
        )


if __name__ == "__main__":
    main()
