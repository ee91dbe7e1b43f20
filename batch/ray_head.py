"""Whether a Ray cluster's head still answers: Ray says nothing for a minute, then ends us."""

from __future__ import annotations

import socket
import threading
import time

ASK_SECONDS = 2.0


class HeadWatch:
    """Asks for connections to the head in a thread of its own. address: HOST:PORT.

    every: seconds from one to the next, and the most that one may take.
    """

    def __init__(self, address: str, every: float = ASK_SECONDS) -> None:
        host, _, port = address.rpartition(":")
        self._place = host.strip("[]"), int(port)
        self._every = every
        self._answered = time.monotonic()
        self._ended = threading.Event()
        threading.Thread(target=self._ask, daemon=True).start()

    def _ask(self) -> None:
        while not self._ended.wait(self._every):
            try:
                socket.create_connection(self._place, self._every).close()
            except OSError:
                continue
            self._answered = time.monotonic()

    def silent_seconds(self) -> float:
        """Return since when it has not answered; below twice ``every`` it is there."""
        return time.monotonic() - self._answered

    def stop(self) -> None:
        self._ended.set()
