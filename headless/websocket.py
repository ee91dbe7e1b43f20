"""A small WebSocket client (RFC 6455): text and binary messages, fragments, ping, close.

ComfyUI tells what a run does over a WebSocket only; this is the little that following it needs.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import ssl
import struct
from urllib.parse import urlsplit

from ..errors import AvatarVideoError

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
MAX_HEADER = 64 * 1024
MAX_MESSAGE = 16 * 1024 * 1024  # previews come as messages too
CHUNK = 64 * 1024


class WebSocketError(AvatarVideoError):
    """The other side closed the connection, or it broke."""


class WebSocket:
    """One connection. ``url``: ws://, wss://, or the http forms of them."""

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        self._received = b""
        self._parts: list[bytes] = []
        self._kind = _TEXT
        self._socket = _connect(url, timeout)
        try:
            self._handshake(url)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye without waiting for an answer."""
        try:
            self._send(_CLOSE, struct.pack(">H", 1000))
        except (OSError, WebSocketError):
            pass
        finally:
            self._socket.close()

    def receive(self, timeout: float) -> str | bytes | None:
        """Return the next message, or None when none came within ``timeout`` seconds.

        Raises WebSocketError when no more will come.
        """
        self._socket.settimeout(timeout)
        while True:
            frame = self._take_frame()
            if frame is None:
                if not self._read_more():
                    return None
                continue
            message = self._take_message(*frame)
            if message is not None:
                return message

    def send(self, text: str) -> None:
        """Send a text message. Raises WebSocketError."""
        try:
            self._send(_TEXT, text.encode())
        except OSError as error:
            raise WebSocketError(f"The connection broke: {error}.") from error

    def _handshake(self, url: str) -> None:
        parts = urlsplit(url)
        key = base64.b64encode(os.urandom(16))
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        request = (
            f"GET {target} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key.decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        try:
            self._socket.sendall(request.encode("ascii"))
            while b"\r\n\r\n" not in self._received:
                if len(self._received) > MAX_HEADER or not self._read_more():
                    raise WebSocketError(f"Expected a WebSocket at {url}, got no answer.")
        except OSError as error:
            raise WebSocketError(f"The connection to {url} broke: {error}.") from error
        head, self._received = self._received.split(b"\r\n\r\n", 1)
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {n.strip().lower(): v.strip() for n, _, v in (x.partition(":") for x in lines)}
        expected = base64.b64encode(hashlib.sha1(key + _MAGIC).digest()).decode()
        if status.split(" ")[1:2] != ["101"] or headers.get("sec-websocket-accept") != expected:
            raise WebSocketError(f"Expected a WebSocket at {url}, got {status[:80]!r}.")

    def _read_more(self) -> bool:
        """Read what is there; False when nothing came in time."""
        try:
            received = self._socket.recv(CHUNK)
        except TimeoutError:
            return False
        except OSError as error:
            raise WebSocketError(f"The connection broke: {error}.") from error
        if not received:
            raise WebSocketError("The connection was closed.")
        self._received += received
        return True

    def _take_frame(self) -> tuple[bool, int, bytes] | None:
        """Cut one frame off what was received: final or not, kind, content."""
        head = self._received
        if len(head) < 2:
            return None
        final, kind, length, start = bool(head[0] & 0x80), head[0] & 0x0F, head[1] & 0x7F, 2
        if length in (126, 127):
            size = 2 if length == 126 else 8
            start += size
            if len(head) < start:
                return None
            length = int.from_bytes(head[2:start], "big")
        if head[1] & 0x80:
            raise WebSocketError("Expected unmasked frames from a server, got a masked one.")
        if length + sum(map(len, self._parts)) > MAX_MESSAGE:
            raise WebSocketError(f"Expected messages up to {MAX_MESSAGE} bytes, got more.")
        if len(head) < start + length:
            return None
        self._received = head[start + length :]
        return final, kind, head[start : start + length]

    def _take_message(self, final: bool, kind: int, content: bytes) -> str | bytes | None:
        """Answer control frames, join fragments; return a message when it is complete."""
        if kind == _CLOSE:
            raise WebSocketError("The other side closed the connection.")
        if kind in (_PING, _PONG):
            if kind == _PING:
                self._send(_PONG, content)
            return None
        if kind != _CONTINUATION:
            self._parts, self._kind = [], kind
        self._parts.append(content)
        if not final:
            return None
        whole, self._parts = b"".join(self._parts), []
        return whole.decode("utf-8", "replace") if self._kind == _TEXT else whole

    def _send(self, kind: int, content: bytes) -> None:
        length = len(content)
        head = bytes([0x80 | kind])
        if length < 126:
            head += bytes([0x80 | length])
        elif length < 1 << 16:
            head += bytes([0x80 | 126]) + struct.pack(">H", length)
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", length)
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(content))
        self._socket.sendall(head + mask + masked)


def _connect(url: str, timeout: float) -> socket.socket:
    parts = urlsplit(url)
    secure = parts.scheme in ("wss", "https")
    host = parts.hostname or ""
    port = parts.port or (443 if secure else 80)
    try:
        plain = socket.create_connection((host, port), timeout)
        if not secure:
            return plain
        return ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    except OSError as error:
        raise WebSocketError(f"Could not reach {host}:{port}: {error}.") from error
