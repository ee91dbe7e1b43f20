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
import urllib.request
from collections.abc import Callable, Generator
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from ..errors import AvatarVideoError
from ..texts import one_line
from .patient_socket import Patience, PatientSocket, connect, secured

logger = logging.getLogger("avatarvideo.headless.server_events")

MAX_MESSAGE = 16 * 1024 * 1024  # bytes; previews come as messages too
GREETING_SECONDS = 2.0  # a server greets who listens; without a greeting go on after this


class ConnectionLostError(AvatarVideoError):
    """The server closed the connection, it broke, or it never was a WebSocket."""


@contextlib.contextmanager
def listen(
    url: str, *, timeout: float, check: Callable[[], None] = lambda: None
) -> Generator[WebSocketEvents | NoEvents]:
    """Yield the events of a server; ``url`` is ws:// or wss://. Raises ConnectionLostError.

    timeout: seconds while the connection is made. check: called while waiting; may raise.
    """
    library = websocket_library()
    if library is None:
        yield NoEvents()
        return
    events = WebSocketEvents(library, url, timeout, check)
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
        "Expected the library websocket-client, but it is not installed: runs are followed by the "
        "server's history, without progress; pip install websocket-client."
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

    def __init__(
        self,
        library: Any,  # it has no complete types
        url: str,
        timeout: float,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._library = library
        self._check = check
        self._taken = 0
        try:
            socket = _direct(url, Patience(check, timeout, timeout))
            self._connection = library.create_connection(
                url,
                socket=socket,
                timeout=timeout,
                redirect_limit=0,
                suppress_origin=True,  # a server behind a proxy goes by another name
                skip_utf8_validation=True,  # slow, and json finds the same
            )
        except library.WebSocketBadStatusException as error:
            raise ConnectionLostError(
                f"Expected a WebSocket at {url}, got status {error.status_code}."
            ) from error
        except (library.WebSocketException, OSError, ValueError, LookupError, TypeError) as error:
            # The library takes the head that it reads for a right one.
            raise ConnectionLostError(
                f"Expected a WebSocket at {url}, got: {one_line(error)}."
            ) from error
        if socket is not None:
            socket.patience = None  # from now on the library's own time limit holds
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
            raise ConnectionLostError(f"The connection broke: {one_line(error)}.") from error
        if kind == self._library.ABNF.OPCODE_CLOSE:
            raise ConnectionLostError("The other side closed the connection.")
        self._taken = 0
        is_text = kind == self._library.ABNF.OPCODE_TEXT
        return bytes(content).decode("utf-8", "replace") if is_text else bytes(content)

    def _receive_limited(self, size: int) -> bytes:
        self._check()  # a message that never ends, or pings that do not, return from nowhere else
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


def _direct(url: str, patience: Patience) -> PatientSocket | None:
    """Return a connection that hears a cancel, None where the library must go through a proxy."""
    parts = urlsplit(url)
    host, is_secure = parts.hostname or "", parts.scheme == "wss"
    proxies = urllib.request.getproxies()
    is_local = host in ("localhost", "127.0.0.1")  # as the library has it
    if proxies.keys() & {"http", "https"} and not is_local:
        return None
    plain = connect(host, parts.port or (443 if is_secure else 80), patience)
    return secured(plain, host, patience) if is_secure else plain
