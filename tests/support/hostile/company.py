"""Two processes on one folder: both finish, or one says why not; no result is lost or half."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from . import commands
from .commands import Place, Starts, half_results, results


class _Pair(NamedTuple):
    start: Callable[[Place], AbstractContextManager[Starts]]
    made: int  # how many results there are when both finish
    ends_with: int = 0


PAIRS = {
    "lipsync": _Pair(commands.puppet, 1),
    "encode": _Pair(commands.encode, 1),
    "run": _Pair(commands.run, 2),
    "run --server": _Pair(commands.run_on_server, 2),
    "models download": _Pair(commands.download, 1, ends_with=1),  # the next file is not there
    "one cache": _Pair(commands.cached_avatar, 0),
}
ENDED = 120.0


def company_trial(number: int, folder: Path) -> list[str]:
    """Run a command twice, the second a random moment later; return what went wrong."""
    dice = random.Random(number)
    name, delay = dice.choice(sorted(PAIRS)), dice.choice((0.0, 0.05, 0.3, 1.0)) * dice.random()
    pair, place = PAIRS[name], Place(folder)
    before = place.sources()
    with pair.start(place) as start, start() as first:
        time.sleep(delay)
        with start() as second:
            ends = [(p.communicate(timeout=ENDED)[1], p.returncode) for p in (first, second)]
    found = [problem for said, code in ends for problem in _wrong_end(said, code, pair.ends_with)]
    whole = len(results(place)) - len(half_results(place))
    finished = sum(code == pair.ends_with for _, code in ends)
    if half_results(place):
        found.append(f"half a result has its name: {half_results(place)}")
    if not finished or whole < min(pair.made, finished):
        found.append(f"{finished} finished, but there are {whole} results: {ends}")
    if place.sources() != before:
        found.append("changed its sources")
    found += [f"left {left}" for left in _left(place)]
    return [f"two of {name}, {delay:.2f} s apart (dice {number}): {one}" for one in found]


def _wrong_end(said: str, code: int, usual: int) -> list[str]:
    if "Traceback" in said or "Exception ignored" in said:
        return [f"a traceback:\n{said}"]
    if code not in (usual, 1):
        return [f"exit code {code}: {said}"]
    if code == 1 and len(said.split("Error: ")) != 2:
        return [f"failed without a sentence: {said}"]
    return []


def _left(place: Place) -> list[str]:
    folders = (place.folder / name for name in ("out", "tmp", "cache", "models"))
    left = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [p.name for p in left if p.name.startswith(".") or p.suffix in (".part", ".lock")]
