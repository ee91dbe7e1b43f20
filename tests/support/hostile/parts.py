"""The parts of the harness, each a stream of trials."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from .company import company_trial
from .lying_server import ENDLESS, LIES
from .signals import signal_trial
from .trials import server_trial
from .values import value_trial

Trial = Callable[[Path], list[str]]
MOST_FINDINGS = 20


def servers(dice: random.Random) -> Iterator[Trial]:
    for name in dice.sample(sorted(LIES), len(LIES)):
        yield lambda folder, name=name: server_trial(name, LIES[name], folder, cancel=False)


def cancels(dice: random.Random) -> Iterator[Trial]:
    for name in dice.sample(sorted(ENDLESS), len(ENDLESS)):
        yield lambda folder, name=name: server_trial(name, ENDLESS[name], folder, cancel=True)


def _by_number(trial: Callable[[int, Path], list[str]], dice: random.Random) -> Iterator[Trial]:
    for _ in range(100):
        number = dice.randrange(1 << 30)
        yield lambda folder, number=number: trial(number, folder)


PARTS: dict[str, Callable[[random.Random], Iterator[Trial]]] = {
    "servers": servers,
    "cancels": cancels,
    "values": partial(_by_number, value_trial),
    "signals": partial(_by_number, signal_trial),
    "company": partial(_by_number, company_trial),
}


def try_all(seconds: float, names: list[str], seed: int = 0) -> list[str]:
    """Run the parts, each for its share of the time; print the counts and return the findings."""
    findings: list[str] = []
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        for name in names:
            tried, found = _try(name, seconds / len(names), Path(folder), seed)
            failed = len({line.partition(": ")[0] for line in found})
            counts = f"{tried} tried, {tried - failed} survived, {failed} failed"
            sys.stdout.write(f"{name}: {counts}\n")
            sys.stdout.flush()
            findings += [f"{name} {line}" for line in found]
    sys.stderr.writelines(f"{line}\n" for line in findings)
    return findings


def _try(name: str, seconds: float, folder: Path, seed: int) -> tuple[int, list[str]]:
    tried, found, ends = 0, list[str](), time.monotonic() + seconds
    while time.monotonic() < ends and len(found) < MOST_FINDINGS:
        for trial in PARTS[name](random.Random(seed)):
            if time.monotonic() > ends or len(found) >= MOST_FINDINGS:
                break
            found += trial(folder / name)
            tried += 1
        seed += 1
    return tried, found
