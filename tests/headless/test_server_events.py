"""The events of a server: what is heard, what ends it, and what is said where nothing can be."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import queue
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from avatarvideo.headless import server_events
from avatarvideo.headless.server_events import (
    MAX_MESSAGE,
    ConnectionLostError,
    WebSocketEvents,
    listen,
    websocket_library,
)

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
Talk = Callable[[socket.socket, bytes, str], object]
Connect = Callable[[str], WebSocketEvents]
websocket = pytest.importorskip("websocket")


def frame(content: bytes, kind: int = 1, final: bool = True) -> bytes:
    head = bytes([(0x80 if final else 0) | kind])
    if len(content) < 126:
        return head + bytes([len(content)]) + content
    if len(content) < 1 << 16:
        return head + bytes([126]) + struct.pack(">H", len(content)) + content
    return head + bytes([127]) + struct.pack(">Q", len(content)) + content


def unmasked(data: bytes) -> tuple[int, bytes]:
    """Read one short masked frame of a client: kind and content."""
    length = data[1] & 0x7F
    assert data[1] & 0x80, "a client must mask"
    mask, body = data[2:6], data[6 : 6 + length]
    return data[0] & 0x0F, bytes(b ^ mask[i % 4] for i, b in enumerate(body))


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serve one connection by a function of its socket; returns the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def start(talk: Talk, accept: bool = True) -> str:
        def work() -> None:
            connection, _ = listener.accept()
            with connection:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += connection.recv(4096)
                lines = request.decode().split("\r\n")
                key = next(x for x in lines if x.startswith("Sec-WebSocket-Key")).split(": ")[1]
                digest = hashlib.sha1((key + GUID).encode()).digest()
                answer = base64.b64encode(digest if accept else b"other").decode()
                head = (
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    f"Connection: Upgrade\r\nSec-WebSocket-Accept: {answer}\r\n\r\n"
                )
                talk(connection, head.encode(), request.decode())

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        threads.append(thread)
        return f"ws://127.0.0.1:{listener.getsockname()[1]}/ws?clientId=me"

    yield start
    listener.close()
    for thread in threads:
        thread.join(5)


@pytest.fixture
def connected() -> Iterator[Connect]:
    """Make connections without waiting for a greeting; they end with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda url: stack.enter_context(
            contextlib.closing(WebSocketEvents(websocket, url, 10))
        )


@pytest.mark.parametrize("length", [0, 125, 126, 65536, 300_000])
def test_messages_of_every_length_arrive(
    connected: Connect, serve: Callable[..., str], length: int
) -> None:
    text = "é" * (length // 2) + "x" * (length % 2)
    url = serve(lambda s, head, _: s.sendall(head + frame(text.encode()) + frame(b"\0\1", 2)))
    with listen(url, timeout=10) as events:  # which takes the first as the greeting
        assert events.receive(5) == b"\0\1"
    url = serve(lambda s, head, _: s.sendall(head + frame(text.encode())))
    assert connected(url).receive(5) == text


def test_the_request_names_path_and_query_and_no_origin(
    connected: Connect, serve: Callable[..., str]
) -> None:
    """ComfyUI compares an origin with its own name, which is another behind a proxy."""
    asked = []

    def talk(connection: socket.socket, head: bytes, request: str) -> None:
        asked.append(request)
        connection.sendall(head)

    connected(serve(talk))
    assert asked[0].startswith("GET /ws?clientId=me HTTP/1.1\r\n")
    assert "Origin" not in asked[0]


def test_fragments_are_joined_and_pings_between_them_answered(
    connected: Connect, serve: Callable[..., str]
) -> None:
    answered = []

    def talk(connection: socket.socket, head: bytes, _: str) -> None:
        connection.sendall(head + frame(b"one ", 1, final=False) + frame(b"p", 9))
        answered.append(unmasked(connection.recv(4096)))
        connection.sendall(frame(b"two ", 0, final=False) + frame(b"three", 0))

    assert connected(serve(talk)).receive(5) == "one two three"
    assert answered == [(10, b"p")]


def test_a_message_that_comes_in_pieces_waits_for_the_rest(
    connected: Connect, serve: Callable[..., str]
) -> None:
    whole = frame(b"late but whole")
    go_on = threading.Event()

    def talk(connection: socket.socket, head: bytes, _: str) -> None:
        connection.sendall(head + whole[:5])
        go_on.wait(5)
        connection.sendall(whole[5:])

    events = connected(serve(talk))
    assert events.receive(0.05) is None
    go_on.set()
    assert events.receive(5) == "late but whole"


@pytest.mark.parametrize(
    ("ending", "sentence"),
    [
        (frame(b"", 8), "closed the connection"),
        (b"", "The connection broke"),
        (frame(b"", 0), "The connection broke: Illegal frame"),
        (b"\x81\x7f" + struct.pack(">Q", 1 << 40), f"up to {MAX_MESSAGE} bytes"),
        (frame(b"x" * (1 << 20), 1, final=False), f"up to {MAX_MESSAGE} bytes"),
    ],
)
def test_an_end_is_one_sentence(
    connected: Connect, serve: Callable[..., str], ending: bytes, sentence: str
) -> None:
    def talk(connection: socket.socket, head: bytes, _key: str) -> None:
        connection.sendall(head + ending)
        if "bytes" in sentence:  # a message, or a fragment of it, that never ends
            more = ending[:10] if len(ending) > 1 << 20 else b""
            more = more.replace(b"\x01", b"\0", 1) + b"x" * (1 << 20)
            for _ in range(MAX_MESSAGE >> 20):
                connection.sendall(more)
        connection.shutdown(socket.SHUT_WR)

    events = connected(serve(talk))
    with pytest.raises(ConnectionLostError, match=sentence) as found:
        events.receive(5)
    assert "\n" not in str(found.value)


def test_a_goodbye_waits_for_no_answer(serve: Callable[..., str]) -> None:
    heard, done = queue.Queue[tuple[int, bytes]](), threading.Event()

    def talk(connection: socket.socket, head: bytes, _: str) -> None:
        connection.sendall(head + frame(b"hello"))
        heard.put(unmasked(connection.recv(4096)))
        done.wait(5)

    began = time.monotonic()
    with listen(serve(talk), timeout=10):
        pass
    assert time.monotonic() - began < 2
    done.set()
    assert heard.get(timeout=5) == (8, struct.pack(">H", 1000))


@pytest.mark.parametrize("status", ["404 Not Found", "302 Found"])
def test_another_answer_than_a_websockets_is_refused(
    connected: Connect, serve: Callable[..., str], status: str
) -> None:
    """Also one that sends us elsewhere: nobody is asked whom the user did not name."""
    answer = f"HTTP/1.1 {status}\r\nLocation: ws://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(ConnectionLostError, match=r"Expected a WebSocket at ws:.*(404|Redirect)"):
        connected(serve(lambda s, _head, _request: s.sendall(answer.encode())))


def test_a_wrong_handshake_is_refused(connected: Connect, serve: Callable[..., str]) -> None:
    with pytest.raises(ConnectionLostError, match="Expected a WebSocket"):
        connected(serve(lambda s, head, _: s.sendall(head), accept=False))


def test_nobody_there_is_a_sentence(connected: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(ConnectionLostError, match=f"Expected a WebSocket at ws://127.0.0.1:{port}"):
        connected(f"ws://127.0.0.1:{port}/ws")


@pytest.mark.parametrize("module", [None, ModuleType("websocket")])
def test_without_the_library_it_is_said_once_and_nothing_is_heard(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, module: ModuleType | None
) -> None:
    """Another package is imported by the same name."""
    monkeypatch.setitem(sys.modules, "websocket", module)
    websocket_library.cache_clear()
    try:
        with caplog.at_level(logging.WARNING, logger=server_events.logger.name):
            for _ in range(2):
                with listen("ws://127.0.0.1:9/ws", timeout=1) as events:
                    assert not events.hears
                    assert events.receive(0.01) is None
    finally:
        websocket_library.cache_clear()
    (said,) = caplog.messages
    assert "pip install websocket-client" in said
