"""Connections that never wait longer than a moment without asking whether to go on.

The system's own calls wait as long as they were told to, whatever the user does meanwhile. These
wait in small steps, so that a cancel ends a server's silence as well as its endless talk.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from ..pace import USUAL, Pace, PaceKeeper

STEP_SECONDS = 0.05  # how long one wait takes at the most
MOST_AT_ONCE = 1 << 20  # bytes that are sent before the next look at the patience

_T = TypeVar("_T")
Buffer = Any  # whatever the standard library's sockets take as bytes


@dataclass
class Patience:
    """How long a connection may take, and who may end it before.

    check: called at every step; may raise. silence: seconds without a byte that end it.
    seconds: in all from now on, None for as long as bytes come. pace: how slow a file may be.
    """

    check: Callable[[], None]
    silence: float
    seconds: float | None = None
    pace: Pace = USUAL
    _began: float = field(default_factory=time.monotonic)
    _heard: float = field(default_factory=time.monotonic)
    _keeper: PaceKeeper | None = None
    _moved: int = 0  # bytes of the file

    def lasts(self) -> None:
        """Allow another step of waiting. Raises TimeoutError at its end, and what check raises."""
        self.check()
        now = time.monotonic()
        if now - self._heard > self.silence:
            raise TimeoutError(f"nothing came for {self.silence:g} seconds")
        if self.seconds is not None and now - self._began > self.seconds:
            raise TimeoutError(f"it did not end within {self.seconds:g} seconds")
        if self._keeper is not None:
            self._keeper.at(self._moved)

    def only(self, seconds: float) -> None:
        """Allow so many seconds from now on."""
        self._began, self.seconds, self._keeper = time.monotonic(), seconds, None

    def for_file(self) -> None:
        """Allow from now on as long as a file comes or goes at its pace."""
        self.seconds, self._keeper = None, PaceKeeper(self.pace, self._moved)

    def moved(self, count: int) -> None:
        """Count bytes of a file."""
        self._moved += count

    def patiently(self, once: Callable[[], _T]) -> _T:
        """Return what a call returns that gives up after a step, however many it takes."""
        while True:
            self.lasts()
            with contextlib.suppress(TimeoutError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                result = once()
                self._heard = time.monotonic()
                return result


class _Steps(socket.socket):
    """A socket that waits in steps while it has a patience, and as usual without one."""

    patience: Patience | None = None

    def recv_into(self, buffer: Buffer, nbytes: int | None = None, flags: int = 0) -> int:
        size = nbytes or 0
        return _in_steps(self, lambda: super(_Steps, self).recv_into(buffer, size, flags))

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        return _in_steps(self, lambda: super(_Steps, self).recv(buflen, flags))

    def send(self, data: Buffer, flags: int = 0) -> int:
        return _counted(self, _in_steps(self, lambda: super(_Steps, self).send(data, flags)))

    def sendall(self, data: Buffer, flags: int = 0) -> None:
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self.send(rest[:MOST_AT_ONCE]) :]


class _SecureSteps(ssl.SSLSocket):
    """The same over TLS."""

    patience: Patience | None = None

    def recv_into(self, buffer: Buffer, nbytes: int | None = None, flags: int = 0) -> int:
        size = nbytes or 0
        return _in_steps(self, lambda: super(_SecureSteps, self).recv_into(buffer, size, flags))

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        return _in_steps(self, lambda: super(_SecureSteps, self).recv(buflen, flags))

    def send(self, data: Buffer, flags: int = 0) -> int:
        return _counted(self, _in_steps(self, lambda: super(_SecureSteps, self).send(data, flags)))

    def sendall(self, data: Buffer, flags: int = 0) -> None:
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self.send(rest[:MOST_AT_ONCE]) :]


PatientSocket: TypeAlias = "_Steps | _SecureSteps"


def _in_steps(one: PatientSocket, once: Callable[[], _T]) -> _T:
    return once() if one.patience is None else one.patience.patiently(once)


def _counted(one: PatientSocket, sent: int) -> int:
    if one.patience is not None:
        one.patience.moved(sent)
    return sent


def connect(host: str, port: int, patience: Patience) -> PatientSocket:
    """Return a connection. Raises OSError, and what the patience raises."""
    problem: OSError = OSError(f"no address is known for {host}")
    for family, kind, protocol, _, address in _addresses(host, port, patience):
        one = _Steps(family, kind, protocol)
        try:
            one.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                one.connect(address)
            patience.patiently(lambda one=one: _wait_for(one))
            code = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            one.settimeout(STEP_SECONDS)
            one.patience = patience
            return one
        except OSError as error:
            one.close()
            problem = error
        except BaseException:
            one.close()
            raise
    raise problem


def _wait_for(one: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_WRITE)
        if not selector.select(STEP_SECONDS):
            raise TimeoutError


def _addresses(host: str, port: int, patience: Patience) -> list[Any]:
    """Ask for a name's addresses in a thread: the system's call cannot be ended."""
    found: list[Any] = []

    def ask() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()

    def joined() -> list[Any]:
        thread.join(STEP_SECONDS)
        if not found:
            raise TimeoutError
        if isinstance(found[0], Exception):
            raise OSError(str(found[0]))
        return found[0]

    return patience.patiently(joined)


def secured(plain: socket.socket, host: str, patience: Patience) -> PatientSocket:
    """Return the connection with TLS over it, the server's certificate checked."""
    context = ssl.create_default_context()
    context.sslsocket_class = _SecureSteps
    secure: Any = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    try:
        secure.settimeout(STEP_SECONDS)
        patience.patiently(secure.do_handshake)
        secure.patience = patience
    except BaseException:
        secure.close()
        raise
    return secure
