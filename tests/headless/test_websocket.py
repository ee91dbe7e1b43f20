"""The WebSocket client against a server that sends every kind of frame."""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
import threading

import pytest

from avatarvideo.headless.websocket import WebSocket, WebSocketError

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(content, kind=1, final=True):
    head = bytes([(0x80 if final else 0) | kind])
    if len(content) < 126:
        return head + bytes([len(content)]) + content
    if len(content) < 1 << 16:
        return head + bytes([126]) + struct.pack(">H", len(content)) + content
    return head + bytes([127]) + struct.pack(">Q", len(content)) + content


def unmasked(data):
    """Read one masked frame of a client: kind and content."""
    length, start = data[1] & 0x7F, 2
    assert data[1] & 0x80, "a client must mask"
    if length == 126:
        length, start = struct.unpack(">H", data[2:4])[0], 4
    if length == 127:
        length, start = struct.unpack(">Q", data[2:10])[0], 10
    mask = data[start : start + 4]
    body = data[start + 4 : start + 4 + length]
    return data[0] & 0x0F, bytes(b ^ mask[i % 4] for i, b in enumerate(body))


@pytest.fixture
def serve():
    """Serve one connection by a function of its socket; returns the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def start(talk, accept=True):
        def work():
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
                talk(connection, head.encode(), lines[0])

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        threads.append(thread)
        return f"http://127.0.0.1:{listener.getsockname()[1]}/ws?clientId=me"

    yield start
    listener.close()
    for thread in threads:
        thread.join(5)


@pytest.mark.parametrize("length", [0, 5, 125, 126, 65535, 65536, 300_000])
def test_messages_of_every_length_arrive(serve, length):
    text = "é" * (length // 2) + "x" * (length % 2)
    url = serve(lambda s, head, _: s.sendall(head + frame(text.encode()) + frame(b"\0\1", 2)))
    with WebSocket(url) as client:
        assert client.receive(5) == text
        assert client.receive(5) == b"\0\1"


def test_the_path_and_query_are_asked_for(serve):
    asked = []

    def talk(connection, head, line):
        asked.append(line)
        connection.sendall(head + frame(b"hello"))

    with WebSocket(serve(talk)) as client:
        client.receive(5)
    assert asked == ["GET /ws?clientId=me HTTP/1.1"]


def test_fragments_are_joined_and_pings_between_them_answered(serve):
    answered = []

    def talk(connection, head, _):
        connection.sendall(head + frame(b"one ", 1, final=False) + frame(b"p", 9))
        answered.append(unmasked(connection.recv(4096)))
        connection.sendall(frame(b"two ", 0, final=False) + frame(b"three", 0))

    with WebSocket(serve(talk)) as client:
        assert client.receive(5) == "one two three"
    assert answered == [(10, b"p")]


def test_a_message_that_comes_in_pieces_waits_for_the_rest(serve):
    whole = frame(b"late but whole")
    go_on = threading.Event()

    def talk(connection, head, _):
        connection.sendall(head + whole[:5])
        go_on.wait(5)
        connection.sendall(whole[5:])

    with WebSocket(serve(talk)) as client:
        assert client.receive(0.05) is None
        go_on.set()
        assert client.receive(5) == "late but whole"


@pytest.mark.parametrize("length", [3, 200, 70_000])
def test_what_is_sent_is_masked(serve, length):
    got = []

    def talk(connection, head, _):
        connection.sendall(head)
        data = b""
        while len(data) < length + 6:
            data += connection.recv(1 << 17)
        got.append(unmasked(data))
        connection.sendall(frame(b"thanks"))

    with WebSocket(serve(talk)) as client:
        client.send("a" * length)
        assert client.receive(5) == "thanks"
    assert got == [(1, b"a" * length)]


@pytest.mark.parametrize(
    ("ending", "sentence"),
    [(frame(b"", 8), "closed the connection"), (b"", "was closed"), (b"\x81\x85", "unmasked")],
)
def test_an_end_is_an_error(serve, ending, sentence):
    url = serve(lambda s, head, _: s.sendall(head + ending))
    with WebSocket(url) as client, pytest.raises(WebSocketError, match=sentence):
        client.receive(5)


def test_another_answer_than_a_websockets_is_refused(serve):
    refusal = b"HTTP/1.1 404 Not Found\r\n\r\n"
    with pytest.raises(WebSocketError, match=r"got 'HTTP/1\.1 404 Not Found'"):
        WebSocket(serve(lambda s, _head, _line: s.sendall(refusal)))
    with pytest.raises(WebSocketError, match="Expected a WebSocket"):
        WebSocket(serve(lambda s, head, _: s.sendall(head), accept=False))


def test_nobody_there_is_a_sentence():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(WebSocketError, match=f"Could not reach 127.0.0.1:{port}"):
        WebSocket(f"ws://127.0.0.1:{port}/ws")
