"""Damage small valid files and send them through probe, read and encode, in this process.

Run by test_fuzz.py in a process of its own, because a crash of a native library ends it:

    python fuzz_target.py ROOT FOLDER FIRST SECONDS

FOLDER holds ``seeds``; the file under test lies in ``work``, its number in ``current``. What is
not an error of the package's own is a finding, one JSON line each on stdout; so is a picture that
takes more memory than the budget. An input that takes too long ends the process with a traceback.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import json
import logging
import random
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from itertools import count, islice
from pathlib import Path

SECONDS_EACH = 60  # a loaded machine needs seconds for the largest pictures that are let through
BUDGET_BYTES = 3 << 30  # resident: the interpreter, a decoder's pictures of 80 million pixels, RGB
ADDRESS_SPACE = 12 << 30
FRAMES_READ = 8
FRAMES_ENCODED = 40
ENCODED_PIXELS = 1_000_000
INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 30000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(seeds: list[bytes], number: int) -> tuple[int, bytes]:
    """Return which seed was damaged and the damaged bytes, the same for the same number."""
    dice = random.Random(number)
    which = dice.randrange(len(seeds))
    data = bytearray(seeds[which])
    for _ in range(dice.choice((1, 1, 2, 3, 5, 8, 20))):
        _damage(data, dice, seeds)
    return which, bytes(data)


def _damage(data: bytearray, dice: random.Random, seeds: list[bytes]) -> None:
    # Most of what decides lies in the first kilobyte, in moov, EBML headers and chunk heads.
    reach = len(data) if dice.random() < 0.6 else min(len(data), 1024)
    at = dice.randrange(max(1, reach))
    length = min(len(data) - at, 1 << dice.randrange(9))
    kind = dice.randrange(8)
    if kind == 0 and data:
        data[at] ^= 1 << dice.randrange(8)
    elif kind == 1 and data:
        data[at] = dice.randrange(256)
    elif kind in (2, 3):
        width = dice.choice((1, 2, 3, 4, 8))
        value = dice.choice(INTERESTING) & ((1 << 8 * width) - 1)
        data[at : at + width] = value.to_bytes(width, dice.choice(("big", "little")))
    elif kind == 4:
        del data[at : at + length]
    elif kind == 5:
        to = dice.randrange(len(data) + 1)
        data[to:to] = data[at : at + length]
    elif kind == 6:
        other = dice.choice(seeds)
        start = dice.randrange(len(other))
        data[at : at + length] = other[start : start + length]
    elif dice.random() < 0.3:
        del data[at:]
    else:
        data[at : at + length] = dice.randbytes(length)


def main(root: Path, folder: Path, first: int, seconds: float) -> None:
    """Work through numbered inputs until the time is over; say on stdout what was found."""
    faulthandler.enable()
    logging.disable(logging.WARNING)  # thousands of warnings are what is expected
    try_file = _target(root)
    names = sorted((folder / "seeds").iterdir())
    seeds = [path.read_bytes() for path in names]
    work = folder / "work"
    ends = time.monotonic() + seconds
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    done = 0
    for number in count(first):
        if time.monotonic() >= ends:
            break
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        which, data = mutated(seeds, number)
        path = work / f"in{names[which].suffix}"
        path.write_bytes(data)
        (folder / "current").write_text(str(number))
        faulthandler.dump_traceback_later(SECONDS_EACH, exit=True)
        problem = try_file(path)
        faulthandler.cancel_dump_traceback_later()
        done += 1
        if peak_bytes() > BUDGET_BYTES:
            problem = problem or f"{peak_bytes() >> 20} MiB resident"
        if problem:
            _say(finding=number, seed=names[which].name, problem=problem)
            if peak_bytes() > BUDGET_BYTES:
                break  # the highest mark never sinks again in this process
    _say(executions=done)


def peak_bytes() -> int:
    """Return the most memory this process ever had, resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _say(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def _target(root: Path) -> Callable[[Path], str | None]:
    spec = importlib.util.spec_from_file_location("avatarvideo", root / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules["avatarvideo"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)

    from avatarvideo.encoders.encoder import FFmpegEncoder
    from avatarvideo.encoders.interfaces import EncodingConfig
    from avatarvideo.encoders.read.audio import read_audio
    from avatarvideo.encoders.read.picture import is_image, read_image
    from avatarvideo.encoders.read.probe import probe, table
    from avatarvideo.encoders.read.video import VideoReader
    from avatarvideo.errors import AvatarVideoError, Cancelled

    def stop(frames: int) -> None:
        if frames >= FRAMES_ENCODED:
            raise Cancelled("enough")

    def encode(path: Path) -> None:
        reader = VideoReader(path)
        if reader.width * reader.height > ENCODED_PIXELS:
            return
        config = EncodingConfig(quality="fast")
        encoder = FFmpegEncoder(stop)
        encoder.encode(path, path.with_name("out.mp4"), config)
        encoder.add_audio(path, path, path.with_name("out.mkv"))

    steps: tuple[Callable[[Path], object], ...] = (
        lambda path: table(probe(path)),
        lambda path: read_image(path) if is_image(path) else None,
        lambda path: list(islice(VideoReader(path).frames(), FRAMES_READ)),
        read_audio,
        encode,
    )

    def run(path: Path) -> str | None:
        for step in steps:
            try:
                step(path)
            except AvatarVideoError:
                continue
            except Exception:  # noqa: BLE001 - whatever else comes out is what is looked for
                return traceback.format_exc()
        # What there is of a source that ends early is kept under a name that says so.
        results = {"out.mp4", "out.mkv", "out.partial.mp4", "out.partial.mkv"}
        left = {entry.name for entry in path.parent.iterdir()} - {path.name, *results}
        return f"left behind: {sorted(left)}" if left else None

    return run


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
