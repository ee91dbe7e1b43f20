"""One speech and one face, rendered by this tree and by another one: are all frames equal?

    python benchmarks/one_face.py TREE [--now TREE] [--only CASE ...] [--models FOLDER] [--json]

TREE: an unpacked earlier version, such as git worktree makes; --now compares another one with it.
Cases: "puppet still", "puppet video", "musetalk video". Both render the bundled portrait
and a video of it that moves as puppets, and the video of a drawn face with MuseTalk's networks at
a hundredth of their size. Each tree runs in a process of its own with its own test support; both
get the same pixels and the same sound. --models has the face mesh. Exits with 1 for a difference.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

RATE, FRAMES = 16000, 10
CASES = ("puppet still", "puppet video", "musetalk video")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--now", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--only", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        render(given.tree, given.child, given.models, given.only)
        return 0
    rows = compared((given.now, given.tree), given.models, given.only)
    for row in [json.dumps(rows)] if given.json else map(shown, rows):
        print(row)
    return int(any(row["different"] for row in rows))


def compared(
    trees: tuple[Path, Path], models: Path | None, cases: Sequence[str]
) -> list[dict[str, Any]]:
    """Return for each case how many frames differ, and by how many levels at most."""
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name, which) for which in ("now", "before")]
        for folder, each in zip(folders, trees, strict=True):
            folder.mkdir()
            command = [sys.executable, __file__, str(each.resolve()), "--child", str(folder)]
            command += ["--only", *cases]
            subprocess.run(
                command + (["--models", str(models.resolve())] if models else []), check=True
            )
        return [
            difference(case, *(np.load(folder / f"{case}.npy") for folder in folders))
            for case in cases
        ]


def difference(case: str, now: np.ndarray, before: np.ndarray) -> dict[str, Any]:
    """Return what two renders, uint8 (T, H, W, 3), have that is not equal."""
    if now.shape != before.shape:
        raise SystemExit(f"{case}: {now.shape} now, {before.shape} before: no frames to compare.")
    levels = np.abs(now.astype(np.int16) - before).reshape(len(now), -1).max(axis=1)
    return {
        "case": case,
        "frames": len(now),
        "different": int(np.count_nonzero(levels)),
        "levels": int(levels.max()),
        "moving": int(np.count_nonzero((now[1:] != now[:-1]).reshape(len(now) - 1, -1).any(1))),
    }


def shown(row: dict[str, Any]) -> str:
    return (
        f"{row['case']}: {row['different']} of {row['frames']} frames differ, by {row['levels']} "
        f"levels at most; {row['moving']} differ from the frame before them"
    )


def render(tree: Path, folder: Path, models: Path | None, cases: Sequence[str]) -> None:
    """Write the frames of each case that a tree makes into a folder."""
    sys.path.insert(0, str(tree / "tests"))
    import conftest  # noqa: F401  # that tree becomes ``avatarvideo``

    from avatarvideo.host.standalone import StandaloneHost
    from avatarvideo.media import AudioClip, Avatar, Clip
    from avatarvideo.musetalk.audio import prepare_mel
    from avatarvideo.musetalk.engine import MuseTalkLipSync
    from avatarvideo.musetalk.interfaces import LipSyncConfig
    from support.tiny_models import tiny_models

    class Host(StandaloneHost):
        @property
        def model_directories(self) -> list[Path]:
            return [models] if models else []

    host = Host(temp_directory=folder / "temp")
    mel = prepare_mel(AudioClip(speech()[None], RATE))
    for case in cases:
        pictures = avatar_frames(case)
        height, width = pictures[0].shape[:2]
        clip = Clip(
            open_frames=lambda start, pictures=pictures: iter(pictures[start:]),
            width=width,
            height=height,
            frame_rate=Fraction(25),
            frame_count=len(pictures),
            hash_of=lambda case=case: case,
        )
        mode: Any = case.split()[0]
        tiny = tiny_models() if mode == "musetalk" else None
        config = LipSyncConfig(mode=mode, quality="high", residency="unload")
        mask = np.ones((height, width), np.float32) if tiny else None
        run = MuseTalkLipSync(host=host, models=tiny).run(Avatar.of(clip), mel, config, mask=mask)
        np.save(folder / f"{case}.npy", np.stack(list(run.open_frames())))
        if run.release is not None:
            run.release()


def speech() -> np.ndarray:
    """Return a buzzing voice that grows and fades four times a second, float32 mono."""
    times = np.arange(RATE * FRAMES // 25) / RATE
    buzz = sum(np.sin(2 * np.pi * 120 * k * times) / k for k in range(1, 12))
    return (0.2 * buzz * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * times))).astype(np.float32)


def avatar_frames(case: str) -> list[np.ndarray]:
    """Return the avatar of a case, uint8 RGB (H, W, 3) a frame, drawn alike by every tree."""
    from support.tiny_models import plant_face

    if case == "musetalk video":
        source = np.random.default_rng(5)
        frames = [source.integers(0, 100, (181, 243, 3), np.uint8) for _ in range(FRAMES)]
        for number, frame in enumerate(frames):
            plant_face(frame, 3 + number % 3, 3)
        return frames
    from avatarvideo.encoders.read.picture import read_image

    sample = Path(__file__).resolve().parent.parent / "web" / "samples" / "portrait.png"
    portrait = read_image(sample)
    steps = range(FRAMES) if case == "puppet video" else [0]
    return [np.roll(portrait, step, axis=1) for step in steps]


if __name__ == "__main__":
    sys.exit(main())
