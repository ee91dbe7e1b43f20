"""Run things in turns and compare them, with a gauge of what else keeps the machine busy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import clone  # noqa: F401

from avatarvideo.host.machine import WorkOfOthers, own_seconds

QUIET = 0.15  # processors that others may use in a round that counts
GAUGE_ERROR = 0.03  # seconds: the system counts in hundredths, for every processor
LEAST_QUIET = 3  # with fewer such rounds all of them count, and the result says so
TRIES = 2  # rounds made for each that is asked for, while they are not quiet


@dataclass(frozen=True)
class Sample:
    """One run, in seconds. others: of all processors, by other processes or machines.

    error: how far ``others`` may be off.
    """

    wall: float
    cpu: float
    others: float | None  # None where the system does not say
    error: float = GAUGE_ERROR

    @property
    def is_quiet(self) -> bool:
        """Whether others left the machine alone, as far as the gauge can tell."""
        return (self.others or 0.0) <= QUIET * self.wall + self.error

    def of_one(self, times: int) -> Sample:
        """Return one of so many runs that were measured together."""
        others = None if self.others is None else self.others / times
        return Sample(self.wall / times, self.cpu / times, others, self.error / times)


@dataclass
class Comparison:
    """Runs taken in turns: name -> one sample a round."""

    samples: dict[str, list[Sample]]
    rounds: int
    quiet_rounds: int

    def wall(self, name: str) -> float:
        """Return the median seconds of one run."""
        return statistics.median(s.wall for s in self.samples[name])

    def cpu(self, name: str) -> float:
        """Return the median processor seconds of one run, its children included."""
        return statistics.median(s.cpu for s in self.samples[name])

    def ratio(self, name: str, other: str, less: float = 0.0) -> dict[str, float]:
        """Return how many times as fast one run is as another: of each round, then the median.

        less: seconds taken from the other's time first.
        """
        pairs = zip(self.samples[name], self.samples[other], strict=True)
        ratios = [(b.wall - less) / a.wall for a, b in pairs]
        return {
            "median": round(statistics.median(ratios), 3),
            "least": round(min(ratios), 3),
            "most": round(max(ratios), 3),
        }

    def contention(self) -> dict[str, float | int | bool | None]:
        """Return what the gauge showed: processors used by others, in the rounds that count."""
        every = [s for samples in self.samples.values() for s in samples]
        known = [s.others / s.wall for s in every if s.others is not None]
        return {
            "rounds": self.rounds,
            "quiet_rounds": self.quiet_rounds,
            "counted_rounds": len(next(iter(self.samples.values()))),
            "processors_used_by_others": round(statistics.mean(known), 3) if known else None,
            "contended": self.quiet_rounds < LEAST_QUIET,
        }


def in_turns(rounds: int, runs: dict[str, Callable[[], object]]) -> Comparison:
    """Run all once to warm up, then in rounds that each begin with another of them."""
    for run in runs.values():
        run()
    made: list[dict[str, Sample]] = []
    quiet: list[dict[str, Sample]] = []
    names = list(runs)
    while len(quiet) < rounds and len(made) < TRIES * rounds:
        begin = len(made) % len(names)
        samples = {name: measured(runs[name]) for name in names[begin:] + names[:begin]}
        made.append(samples)
        if all(sample.is_quiet for sample in samples.values()):
            quiet.append(samples)
    counted = quiet if len(quiet) >= LEAST_QUIET else made
    by_name = {name: [samples[name] for samples in counted] for name in names}
    return Comparison(by_name, len(made), len(quiet))


def measured(run: Callable[[], object]) -> Sample:
    """Run once and say what it took."""
    others, cpu, wall = WorkOfOthers(), own_seconds(), time.perf_counter()
    run()
    wall, cpu = time.perf_counter() - wall, own_seconds() - cpu
    return Sample(wall, cpu, others.seconds())
