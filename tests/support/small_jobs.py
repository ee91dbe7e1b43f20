"""Short jobs for batches: pictures of noise with a mouth that is given, tones, a list of them."""

from __future__ import annotations

import json
import os
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

SIDE, RATE, SECONDS, FRAMES = 64, 16000, 0.2, 5
MOUTH = "20,42,44,42"


def write_inputs(folder: Path, *, avatars: int = 2, speeches: int = 3) -> None:
    """Write avatar0.png ... and speech0.wav ... into a folder."""
    source = np.random.default_rng(1)
    for number in range(avatars):
        picture = source.integers(60, 200, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(picture).save(folder / f"avatar{number}.png")
    for number in range(speeches):
        write_speech(folder / f"speech{number}.wav", 5 + number)


def write_planted(path: Path) -> None:
    """Write a picture in which the tiny networks see a face, and a smaller one on its right."""
    from support.tiny_models import RED, plant_face

    picture = np.random.default_rng(2).integers(0, 60, (192, 256, 3), np.uint8)
    plant_face(picture, 4, 6)
    plant_face(picture, 12, 6, RED)
    Image.fromarray(picture).save(path)


def tiny_environment() -> dict[str, str]:
    """Return an environment whose Python processes have MuseTalk's tiny networks."""
    tests = Path(__file__).resolve().parent.parent
    folders = [str(tests / "support" / "tiny_everywhere"), str(tests)]
    kept = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join([*folders, *([kept] if kept else [])])}


def write_speech(path: Path, divisor: float = 5, seconds: float = SECONDS) -> None:
    tone = 0.3 * np.sin(np.arange(round(RATE * seconds)) / divisor)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((tone * 32767).astype("<i2").tobytes())


def row(output: str, avatar: int = 0, speech: int = 0, **more: Any) -> dict[str, Any]:
    """Return a row of a still with sound, which is the fastest job there is."""
    files = {"avatar": f"avatar{avatar}.png", "audio": f"speech{speech}.wav", "output": output}
    return {**files, "mode": "static", "quality": "low", **more}


def write_list(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


def frames_of(path: Path) -> np.ndarray:
    """Return the frames of a video, uint8 (T, H, W, 3)."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def left_over(output_directory: Path) -> list[str]:
    """Return what lies in the folders for unfinished work; nothing should."""
    state = output_directory / ".avatar-batch"
    found = [*(state / "work").rglob("*"), *(state / "leases").rglob("*")]
    return sorted(str(path.relative_to(state)) for path in found)
