"""Answers of servers that break off, announce another length, or none."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from avatarvideo.headless.http_body import CHUNK, BrokenBody, file_body, json_body

BLOCKS = bytes(range(256)) * (2 * CHUNK // 256)
CONTENT = BLOCKS + b"the end"
Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Answer one request with these very bytes."""
    listener = socket.create_server(("127.0.0.1", 0))
    released = threading.Event()

    def answer(head: str, body: bytes, keep: bool) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(ConnectionError):  # who refuses does not listen on
            connection.recv(65536)
            connection.sendall(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body)
            if keep:
                released.wait(10)

    def start(head: str, body: bytes, *, keep: bool = False) -> str:
        threading.Thread(target=answer, args=(head, body, keep), daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield start
    released.set()
    listener.close()


def chunks(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def received(url: str, read: Callable[..., Iterator[bytes]] = file_body) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return b"".join(read(answer))


LENGTH = f"Content-Length: {len(CONTENT)}\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    ("head", "body"), [(LENGTH, CONTENT), (CHUNKED, chunks(CONTENT) + chunks(b""))]
)
def test_a_whole_file_arrives(serve: Serve, head: str, body: bytes) -> None:
    assert received(serve(head, body)) == CONTENT


def test_an_empty_file_arrives(serve: Serve) -> None:
    assert received(serve("Content-Length: 0\r\n", b"")) == b""


@pytest.mark.slow
def test_a_server_that_keeps_the_connection_open_is_not_waited_for(serve: Serve) -> None:
    began = time.monotonic()
    assert received(serve(LENGTH, CONTENT, keep=True)) == CONTENT
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    ("head", "body", "sentence"),
    [
        (LENGTH, CONTENT[:60_000], "ended after 60,000 of 2,097,159 bytes"),
        (LENGTH, b"", "ended after 0 of 2,097,159 bytes"),
        (LENGTH, BLOCKS, "ended after 2,097,152 of 2,097,159 bytes"),
        (f"Content-Length: {CHUNK}\r\n", CONTENT, "more came than the 1,048,576 bytes"),
        ("Content-Length: 0\r\n", CONTENT, "more came than the 0 bytes"),
        ("", CONTENT, "does not say how many bytes"),
        ("Content-Length: many\r\n", CONTENT, "does not say how many bytes"),
        ("Content-Length: -7\r\n", CONTENT, "does not say how many bytes"),
        (CHUNKED, chunks(CONTENT)[:60_000], "ended after 59,992 bytes"),
        (CHUNKED, chunks(CONTENT), "ended after 2,097,159 bytes"),
        (CHUNKED, b"", "ended after 0 bytes"),
    ],
)
def test_a_file_that_is_not_whole_is_refused(
    serve: Serve, head: str, body: bytes, sentence: str
) -> None:
    with pytest.raises(BrokenBody, match=sentence):
        received(serve(head, body))


@pytest.mark.parametrize("read", [file_body, json_body])
@pytest.mark.parametrize("how", ["gzip", "BR"])
def test_a_packed_answer_is_refused(
    serve: Serve, read: Callable[..., Iterator[bytes]], how: str
) -> None:
    url = serve(f"{LENGTH}Content-Encoding: {how}\r\n", CONTENT)
    with pytest.raises(BrokenBody, match=f"packed as '{how}', which was not asked for"):
        received(url, read)


def test_an_answer_that_says_it_is_not_packed_arrives(serve: Serve) -> None:
    assert received(serve(f"{LENGTH}Content-Encoding: identity\r\n", CONTENT)) == CONTENT


def test_json_needs_no_length_but_keeps_to_the_one_it_has(serve: Serve) -> None:
    assert received(serve("", b"{}"), json_body) == b"{}"
    with pytest.raises(BrokenBody, match="ended after 2 of 9 bytes"):
        received(serve("Content-Length: 9\r\n", b"{}"), json_body)
