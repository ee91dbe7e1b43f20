"""Signals at random moments: a command ends at once, and what is left is whole or nothing."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from functools import cache
from pathlib import Path

from . import commands
from .commands import COMMAND, Place, half_results

COMMANDS = {
    "lipsync static": commands.lipsync,
    "lipsync puppet": commands.puppet,
    "encode": commands.encode,
    "run": commands.run,
    "run --server": commands.run_on_server,
    "models download": commands.download,
}
# A killed process is asked nothing; the next one sweeps up.
SIGNALS = (signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGTERM, signal.SIGKILL)
LOADING_SECONDS, LOADING_LIMIT = 0.3, 1.0
LIMIT = 2.0
STRETCHES = ((0, 1.05), (0, 1.05), (0, 0.2), (0.85, 1.02))  # of a command's time
TRIES = 3  # a busy machine may hold a process up
ENDED = 60.0


def signal_trial(number: int, folder: Path) -> list[str]:
    """Interrupt one command at one moment; return what went wrong."""
    dice = random.Random(number)
    name, sent = dice.choice(sorted(COMMANDS)), dice.choice(SIGNALS)
    first, last = dice.choice(STRETCHES)
    moment = dice.uniform(first, last) * seconds_of(name, folder)
    again = dice.choice((None, None, None, 0.2 * dice.random()))
    found: list[str] = []
    for _ in range(TRIES):
        found, is_late = _interrupted(name, sent, moment, again, folder)
        if not is_late:
            break
    twice = "" if again is None else f" and {again:.3f} s later"
    when = f"{sent.name} after {moment:.3f} s{twice}"
    return [f"{name} at {when} (dice {number}): {one}" for one in found]


@cache
def seconds_of(name: str, folder: Path) -> float:
    """Return how long a command takes that nobody interrupts, libraries included."""
    place = Place(folder)
    with COMMANDS[name](place) as start:
        process = start()
        began = time.monotonic()
        _, said = process.communicate(timeout=ENDED)
        seconds = time.monotonic() - began
    wanted = 1 if name == "models download" else 0  # not every file is there
    if process.returncode != wanted or half_results(place) or not commands.results(place):
        raise AssertionError(f"{name} ended with {process.returncode}: {said}")
    return seconds


def _interrupted(
    name: str, sent: signal.Signals, moment: float, again: float | None, folder: Path
) -> tuple[list[str], bool]:
    """Return what went wrong, and whether it was only late. again: seconds to a second signal."""
    place = Place(folder)
    before = place.sources()
    with COMMANDS[name](place) as start, start() as process:
        time.sleep(moment)
        process.send_signal(sent)
        began = time.monotonic()
        if again is not None:
            time.sleep(again)
            process.send_signal(sent)
        _, said = process.communicate(timeout=ENDED)
        seconds = time.monotonic() - began
    found = _wrong_end(process, sent, said)
    if half_results(place):
        found.append(f"half a result has its name: {half_results(place)}")
    if place.sources() != before:
        found.append("changed its sources")
    is_asked = sent != signal.SIGKILL and again is None  # to end by itself
    if is_asked and (left := _hidden(place)):
        found.append(f"left {left}")
    found += _left_after_the_next(place)
    limit = LOADING_LIMIT if moment < LOADING_SECONDS else LIMIT
    is_late = not found and seconds > limit
    return [*found, *([f"ended only after {seconds:.1f} s"] if is_late else [])], is_late


def _wrong_end(process: subprocess.Popen[str], sent: signal.Signals, said: str) -> list[str]:
    code, found = process.returncode, []
    if code not in (0, 1, 128 + sent, -sent):
        found.append(f"exit code {code}: {said}")
    if "Traceback" in said or "Exception ignored" in said:
        found.append(f"a traceback:\n{said}")
    if code == 1 and len(said.strip().split("Error: ")) != 2:
        found.append(f"failed without a sentence: {said}")
    return found


def _hidden(place: Place) -> list[str]:
    """Return what lies in the folder of results without a final name, and locks."""
    models = (place.folder / "models").rglob("*.lock")
    out = (place.folder / "out").iterdir()
    return [path.name for path in (*out, *models) if path.name.startswith(".")]


def _left_after_the_next(place: Place) -> list[str]:
    """Return what the next command leaves of the temporary folder of this one."""
    if not any((place.folder / "tmp").iterdir()):
        return []
    place.start(COMMAND, "models", "list").communicate(timeout=ENDED)
    left = [path.name for path in (place.folder / "tmp").rglob("*")]
    return [f"the next run leaves {left} of it"] if left else []
