"""What a ComfyUI server tells over its WebSocket while a run goes on.

The library websocket-client speaks the protocol. Where it is missing nothing is heard, and whoever
listens asks the server's history instead.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import time
from collections.abc import Generator
from types import ModuleType
from typing import Any

from ..errors import AvatarVideoError

logger = logging.getLogger("avatarvideo.headless.server_events")

MAX_MESSAGE = 16 * 1024 * 1024  # bytes; previews come as messages too
GREETING_SECONDS = 2.0  # a server greets who listens; without a greeting go on after this


class ConnectionLostError(AvatarVideoError):
    """The server closed the connection, it broke, or it never was a WebSocket."""


@contextlib.contextmanager
def listen(url: str, *, timeout: float) -> Generator[WebSocketEvents | NoEvents]:
    """Yield the events of a server; ``url`` is ws:// or wss://. Raises ConnectionLostError.

    timeout: seconds for one answer while the connection is made.
    """
    library = websocket_library()
    if library is None:
        yield NoEvents()
        return
    events = WebSocketEvents(library, url, timeout)
    try:
        # Before its greeting the server does not send us a run's events.
        events.receive(GREETING_SECONDS)
        yield events
    finally:
        events.close()


@functools.cache
def websocket_library() -> ModuleType | None:
    """Return websocket-client's module, or None where it is missing, which is said once."""
    with contextlib.suppress(ImportError):
        library = importlib.import_module("websocket")
        if hasattr(library, "create_connection"):  # another package has the same name
            return library
    logger.warning(
        "Expected the library websocket-client, did not find it: runs are followed by the server's "
        "history, without progress; pip install websocket-client."
    )
    return None


class NoEvents:
    """What is heard without the library: nothing."""

    hears = False

    def receive(self, timeout: float) -> None:
        """Wait as long as a listener would."""
        time.sleep(timeout)


class WebSocketEvents:
    """The messages of one connection. library: websocket-client's module."""

    hears = True

    def __init__(self, library: Any, url: str, timeout: float) -> None:  # it has no complete types
        self._library = library
        self._taken = 0
        try:
            self._connection = library.create_connection(
                url,
                timeout=timeout,
                redirect_limit=0,
                suppress_origin=True,  # a server behind a proxy goes by another name
                skip_utf8_validation=True,  # slow, and json finds the same
            )
        except library.WebSocketBadStatusException as error:
            raise ConnectionLostError(
                f"Expected a WebSocket at {url}, got status {error.status_code}."
            ) from error
        except (library.WebSocketException, OSError, ValueError) as error:
            raise ConnectionLostError(f"Expected a WebSocket at {url}, got: {error}.") from error
        # The library takes messages of any length.
        self._receive_part = self._connection.frame_buffer.recv
        self._connection.frame_buffer.recv = self._receive_limited

    def receive(self, timeout: float) -> str | bytes | None:
        """Return the next message, or None when none came within ``timeout`` seconds.

        Raises ConnectionLostError when no more will come.
        """
        self._connection.settimeout(timeout)
        try:
            kind, content = self._connection.recv_data()
        except self._library.WebSocketTimeoutException:
            return None
        except (self._library.WebSocketException, OSError) as error:
            raise ConnectionLostError(f"The connection broke: {error}.") from error
        if kind == self._library.ABNF.OPCODE_CLOSE:
            raise ConnectionLostError("The other side closed the connection.")
        self._taken = 0
        is_text = kind == self._library.ABNF.OPCODE_TEXT
        return bytes(content).decode("utf-8", "replace") if is_text else bytes(content)

    def _receive_limited(self, size: int) -> bytes:
        part: bytes = self._receive_part(size)
        self._taken += len(part)
        if self._taken > MAX_MESSAGE:
            raise ConnectionLostError(f"Expected messages up to {MAX_MESSAGE} bytes, got more.")
        return part

    def close(self) -> None:
        """Say goodbye without waiting for an answer."""
        with contextlib.suppress(self._library.WebSocketException, OSError):
            self._connection.send_close()
        self._connection.shutdown()
