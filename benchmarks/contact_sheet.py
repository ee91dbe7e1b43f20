"""Contact sheets of what the puppet makes of pictures and videos, to be judged by eye.

    python benchmarks/contact_sheet.py FOLDER_OR_FILE ... --output FOLDER [--models FOLDER]
                                       [--keep FOLDER] [--life blink] [--part face] [--columns 4]
                                       [--least 320]

Each file speaks one sentence that has every shape, through to a finished mp4, whose frames are
decoded again. A PNG for each file shows the face at full size (faces under --least pixels are
enlarged): the source, at rest, the most open frame, the longest f or v, a round vowel, a wide one,
m b or p, and where the option ``life`` is known and the file is a still, the frame with the eyes
most shut. The source of a video is what it shows at the time of the most open frame. Beneath stand
the frame's number and what the face mesh reads: the gap between the lips above that at rest and
the mouth's width, in mouth widths at rest. With --part mouth the crops are of the mouth and what is
around it alone. Needs espeak-ng and the face mesh.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from espeak import SAMPLE_RATE, Phone
from mesh_ruler import CORNERS, Readings, frames_of, networks_in, read_mouths
from mouth_ruler import Said, at_rest, rendered, said, write_sound
from mouth_truth import LIPS, RATE, ROUND, TEETH, WIDE

from avatarvideo.media import Box
from avatarvideo.musetalk.face.mesh_networks import MeshNetworks
from avatarvideo.musetalk.face.mesh_search import find_meshes
from avatarvideo.musetalk.inputs import load_avatar
from avatarvideo.musetalk.interfaces import LipSyncConfig

SENTENCE = "Maybe Bob put five papers by the pool."
SILENCE = 4.0  # s after it, so that there is time for a blink
ROOM = 0.3  # of the face's longer side, around it
MOUTH_ROOM = 1.1  # mouth widths to every side of the mouth's middle
LINE = 0.05  # of a crop's width: the text beneath it
FILES = (".bmp", ".jpeg", ".jpg", ".mov", ".mp4", ".png", ".webm", ".webp")


def sentence() -> Said:
    """Return the sentence with silence after it."""
    what = said("en-us", (SENTENCE,))
    silence = np.zeros(round(SILENCE * SAMPLE_RATE), np.float32)
    end = len(what.speech) / SAMPLE_RATE
    phones = [*what.phones, Phone("", end, end + SILENCE)]
    return Said(np.concatenate([what.speech, silence]), phones)


def frame_of(phones: list[Phone], names: str, count: int) -> int:
    """Return the frame in the middle of the longest phone whose name begins so."""
    wanted = [phone for phone in phones if phone.name[:1] in tuple(names)]
    start, end = max(wanted, key=lambda phone: phone.end - phone.start).held
    return min(int((start + end) / 2 * float(RATE)), count - 1)


def chosen(phones: list[Phone], seen: Readings, *, with_blink: bool) -> dict[str, int]:
    """Return which frame shows what."""
    count = len(seen.gap)
    rest = int(np.flatnonzero(at_rest(phones, count))[0])
    frames = {"rest": rest, "most open": int(seen.gap.argmax())}
    sounds = (("f or v", TEETH), ("round", ROUND), ("wide", WIDE), ("m b p", LIPS))
    frames.update((name, frame_of(phones, names, count)) for name, names in sounds)
    if with_blink:
        frames["eyes shut"] = int(seen.lids.argmin())
    return frames


def part_box(networks: MeshNetworks, picture: np.ndarray, part: str) -> Box:
    """Return the largest face or its mouth, with room around it; the picture without one."""
    height, width = picture.shape[:2]
    face = next(iter(find_meshes(networks, picture)), None)
    if face is None:
        return Box(0, 0, width, height)
    low, high = np.reshape(face.box, (2, 2))
    room = ROOM * max(face.box.width, face.box.height)
    if part == "mouth":
        corners = face.points[list(CORNERS)]
        low = high = corners.mean(axis=0)
        room = MOUTH_ROOM * np.hypot(*(corners[1] - corners[0]))
    x0, y0 = (max(int(edge - room), 0) for edge in low)
    x1, y1 = (int(edge + room) for edge in high)
    return Box(x0, y0, min(x1, width), min(y1, height))


def cell(picture: np.ndarray, box: Box, text: str, least: int) -> np.ndarray:
    """Return the crop with a line of text beneath it, uint8 RGB."""
    x0, y0, x1, y1 = (int(edge) for edge in box)
    crop = picture[y0:y1, x0:x1]
    scale = max(1.0, least / min(crop.shape[:2]))
    if scale > 1:
        crop = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    line = round(LINE * crop.shape[1])
    shown = cv2.copyMakeBorder(crop, 0, line, 0, 2, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    place, size, thick = (4, shown.shape[0] - line // 4), line / 40, max(1, line // 22)
    cv2.putText(shown, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 0), thick)
    return shown


def pasted(cells: list[np.ndarray], columns: int) -> np.ndarray:
    """Return cells in rows, uint8 RGB; the cells of a video may differ in size."""
    high, wide = (max(one.shape[axis] for one in cells) for axis in (0, 1))
    rows = -(-len(cells) // columns)
    sheet = np.zeros((rows * high, min(columns, len(cells)) * wide, 3), np.uint8)
    for number, one in enumerate(cells):
        y, x = number // columns * high, number % columns * wide
        sheet[y : y + one.shape[0], x : x + one.shape[1]] = one
    return sheet


def sheet_of(
    networks: MeshNetworks, avatar: Path, folder: Path, options: argparse.Namespace
) -> tuple[np.ndarray, str]:
    """Return the sheet of one file, uint8 RGB, and a line about it."""
    what, loaded = sentence(), load_avatar(avatar)
    is_still = loaded.frame_count == 1
    sound = folder / "sentence.wav"
    write_sound(sound, what.speech)
    life = options.life if is_still else "none"
    made = rendered(avatar, sound, folder / f"{avatar.stem}.mp4", "puppet", life=life)
    readings = read_mouths(networks, made, is_still=is_still)
    seen, shut = readings.in_widths(at_rest(what.phones, len(readings.gap)))
    has_life = is_still and life != "none" and "life" in LipSyncConfig.__dataclass_fields__
    frames = chosen(what.phones, seen, with_blink=has_life)
    if is_still:
        before = dict.fromkeys(frames, loaded.first_frame())
    else:
        before = _pictures(rendered(avatar, sound, folder / "static.mp4", "static"), frames)
    after = _pictures(made, frames)
    first = before["most open"]
    box = part_box(networks, first, options.part)
    cells = [cell(first, box, f"source, {first.shape[1]}x{first.shape[0]}", options.least)]
    for name, number in frames.items():
        place = box if is_still else part_box(networks, before[name], options.part)
        text = f"{name} {number}: {seen.gap[number]:.2f}, {seen.width[number]:.2f}"
        cells.append(cell(after[name], place, text, options.least))
    line = f"shut lips read {shut:.3f}, most open {seen.gap.max():.3f} mouth widths"
    return pasted(cells, options.columns), line


def _pictures(path: Path, frames: dict[str, int]) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for number, picture in enumerate(frames_of(path)):
        found.update((name, picture) for name, wanted in frames.items() if wanted == number)
    return found


def files_of(paths: list[Path]) -> Iterator[Path]:
    """Yield files, and those in folders that are pictures or videos."""
    for path in paths:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        yield from (one for one in inside if one.suffix.lower() in FILES)


def main() -> None:
    """Make the sheets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("avatars", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--models", type=Path, help="folder of models that holds the face mesh")
    parser.add_argument("--keep", type=Path, help="folder for the videos")
    parser.add_argument("--life", default="blink", help="that option's value for stills")
    parser.add_argument("--part", choices=("face", "mouth"), default="face")
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--least", type=int, default=320, help="pixels of a crop's shorter side")
    options = parser.parse_args()
    networks = networks_in(options.models)
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        for avatar in files_of(options.avatars):
            try:
                sheet, line = sheet_of(networks, avatar, folder, options)
            except SystemExit as refusal:  # one file does not keep the others from theirs
                print(f"{avatar.name}: no sheet: {refusal}", flush=True)
                continue
            path = options.output / f"{avatar.stem}.png"
            cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
            print(f"{path}: {line}", flush=True)


if __name__ == "__main__":
    main()
