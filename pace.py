"""How slow a transfer may be: a server that sends a byte now and then would hold it for ever."""

from __future__ import annotations

import time
from dataclasses import dataclass


class TooSlowError(TimeoutError):
    """Bytes come, but so few that the end is not worth waiting for."""


@dataclass(frozen=True)
class Pace:
    """least: bytes that must come within so many ``seconds``."""

    least: int = 60 << 10
    seconds: float = 60.0


USUAL = Pace()


class PaceKeeper:
    """Watches one transfer from now on."""

    def __init__(self, pace: Pace, done: int = 0) -> None:
        self._pace = pace
        self._done, self._since = done, time.monotonic()

    def at(self, done: int) -> None:
        """Say how many bytes came so far. Raises TooSlowError when they are too few."""
        came = done - self._done
        now = time.monotonic()
        if came >= self._pace.least or came < 0:  # enough, or it started over
            self._done, self._since = done, now
        elif now - self._since > self._pace.seconds:
            raise TooSlowError(f"only {came:,} bytes came in {self._pace.seconds:g} seconds")
