"""A loopback server that speaks ComfyUI's protocol but for one lie.

It knows two node classes, ``Load`` (a file) and ``Save``, and a run makes the file ``talk.txt``.
``LIES`` maps names to what is told instead: path of the request -> the bytes of the answer, or a
function that talks to the connection itself. ``ENDLESS`` names those that only a cancel ends.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import itertools
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
RUN = "run-1"
CONTENT = b"what the server made"
JSON = Any
Talk = Callable[["LyingServer", socket.socket, str], None]
Lie = Mapping[str, "bytes | Talk"]

OBJECT_INFO: JSON = {
    "Load": {
        "input": {"required": {"file": [["other.txt"], {}]}},
        "output": ["TEXT"],
        "output_node": False,
        "display_name": "Load",
    },
    "Save": {
        "input": {"required": {"text": ["TEXT"]}},
        "output": [],
        "output_node": True,
        "display_name": "Save",
    },
}
WORKFLOW: JSON = {
    "1": {"class_type": "Load", "inputs": {"file": "speech.txt"}},
    "2": {"class_type": "Save", "inputs": {"text": ["1", 0]}},
}


def http(body: bytes, status: str = "200 OK", *heads: str) -> bytes:
    given = "".join(f"{head}\r\n" for head in heads)
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{given}\r\n".encode() + body


def answer(value: JSON) -> bytes:
    return http(json.dumps(value).encode())


def history(outputs: JSON, **more: JSON) -> bytes:
    return answer({RUN: {"outputs": outputs, "status": {"messages": []}, **more}})


def results(*entries: JSON, **more: JSON) -> bytes:
    return history({"2": {"images": list(entries), **more}})


def named(filename: JSON, subfolder: JSON = "", kind: JSON = "output") -> bytes:
    return results({"filename": filename, "subfolder": subfolder, "type": kind})


class LyingServer:
    """Serves until it is closed. lie: request path -> what is said instead of the truth."""

    def __init__(self, lie: Lie) -> None:
        self.lie = lie
        self.closed = threading.Event()
        self.stopped = False  # whether the client told it to stop its run
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._listeners: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self.closed.set()
        self._listener.close()

    def _serve(self) -> None:
        while not self.closed.is_set():
            with contextlib.suppress(OSError):
                connection, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError):
            connection.settimeout(30)
            request = _request(connection)
            path = urlsplit(request.split(" ")[1]).path
            lie = next((self.lie[p] for p in self.lie if path.startswith(p)), None)
            if lie is None:
                self.truth(connection, request)
            elif isinstance(lie, bytes):
                connection.sendall(lie)
            else:
                lie(self, connection, request)

    def truth(self, connection: socket.socket, request: str) -> None:
        parts = urlsplit(request.split(" ")[1])
        if parts.path == "/ws":
            self.events(connection, request, EVENTS)
        elif parts.path == "/interrupt" or (parts.path == "/queue" and request[:4] == "POST"):
            self.stopped = True
            connection.sendall(answer({}))
        elif parts.path == "/view":
            assert parse_qs(parts.query)["filename"]
            connection.sendall(http(CONTENT))
        else:
            known = next((path for path in TRUTHS if parts.path.startswith(path)), None)
            connection.sendall(TRUTHS[known] if known else http(b"", "404 Not Found"))

    def events(self, connection: socket.socket, request: str, messages: list[bytes]) -> None:
        connection.sendall(handshake(request))
        connection.sendall(frame(json.dumps({"type": "status", "data": {}}).encode()))
        self._wait_for_run()
        for message in messages:
            connection.sendall(message)
        self.closed.wait(20)

    def _wait_for_run(self) -> None:
        time.sleep(0.05)


TRUTHS = {
    "/object_info": answer(OBJECT_INFO),
    "/upload/image": answer({"name": "speech.txt", "subfolder": "", "type": "input"}),
    "/prompt": answer({"prompt_id": RUN, "number": 1, "node_errors": {}}),
    "/queue": answer({"queue_running": [], "queue_pending": []}),
    "/history": named("talk.txt"),
}


def _request(connection: socket.socket) -> str:
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            break
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    text = head.decode("latin-1")
    size = next(
        (
            int(line[15:])
            for line in text.split("\r\n")
            if line.lower().startswith("content-length")
        ),
        0,
    )
    while len(body) < size:
        part = connection.recv(65536)
        if not part:
            break
        body += part
    return text


def handshake(request: str) -> bytes:
    key = next(x for x in request.split("\r\n") if x.lower().startswith("sec-websocket-key"))
    digest = hashlib.sha1((key.split(": ")[1] + GUID).encode()).digest()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}\r\n\r\n"
    ).encode()


def frame(content: bytes, kind: int = 1, *, final: bool = True, claims: int | None = None) -> bytes:
    size = len(content) if claims is None else claims
    first = bytes([kind | (0x80 if final else 0)])
    if size < 126:
        return first + bytes([size]) + content
    if size < 65536:
        return first + struct.pack(">BH", 126, size) + content
    return first + struct.pack(">BQ", 127, size) + content


def event(kind: JSON, data: JSON) -> bytes:
    return frame(json.dumps({"type": kind, "data": data}).encode())


EVENTS = [
    event("executing", {"node": "1", "prompt_id": RUN}),
    event("executing", {"node": "2", "prompt_id": RUN}),
    event("execution_success", {"prompt_id": RUN}),
]


def slowly(
    start: bytes,
    part: bytes,
    times: int | None = None,
    pause: float = 0.0,
    end: bytes = b"",
) -> Talk:
    """Say something, then the same part again and again, without end where ``times`` is None."""

    def talk(server: LyingServer, connection: socket.socket, request: str) -> None:
        connection.sendall(start)
        for _ in itertools.count() if times is None else range(times):
            if server.closed.wait(pause) if pause else server.closed.is_set():
                return
            connection.sendall(part)
        connection.sendall(end)

    return talk


def silence(start: bytes = b"") -> Talk:
    def talk(server: LyingServer, connection: socket.socket, request: str) -> None:
        connection.sendall(start)
        server.closed.wait(60)

    return talk


def reset(server: LyingServer, connection: socket.socket, request: str) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def events(*messages: bytes, honest: bool = True) -> Talk:
    told = [*messages, *(EVENTS if honest else [])]
    return lambda server, connection, request: server.events(connection, request, told)


def endless_events(message: bytes, first: bytes = b"") -> Talk:
    def talk(server: LyingServer, connection: socket.socket, request: str) -> None:
        connection.sendall(handshake(request) + event("status", {}) + first)
        while not server.closed.is_set():
            connection.sendall(message * 50)

    return talk


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ESC = "\x1b]0;owned\x07\x1b[2J\u202e\ud800\r\n"
STRANGE: tuple[JSON, ...] = (None, 7, -1.5, True, "x", ESC, [], [[]], {}, {"a": {"b": []}}, [None])
BLOCK = b"10000\r\n" + b" " * 0x10000 + b"\r\n"


def redirect(to: str, status: str = "302 Found") -> bytes:
    return http(b"", status, f"Location: {to}")


def _http_lies(path: str) -> Iterator[tuple[str, Lie]]:
    """What any path may be answered with."""
    yield "no JSON", {path: http(b"hello")}
    yield "a page", {path: http(b"<html><body>" + b"x" * 100_000)}
    yield "empty", {path: http(b"")}
    yield "deep lists", {path: http(b"[" * 1_000_000)}
    yield "deep closed lists", {path: http(b"[" * 400 + b"]" * 400)}
    yield "deep objects", {path: http(b'{"a":' * 200_000)}
    yield "many values", {path: http(b"[" + b"1," * 5_000_000 + b"1]")}
    yield "huge claim", {path: b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000\r\n\r\n{}"}
    yield "negative claim", {path: b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}"}
    yield "more than allowed", {path: slowly(CHUNKED, BLOCK, 1100)}
    yield "no UTF-8", {path: http(b'{"a": "\xff\xfe"}')}
    yield "long number", {path: http(b'{"a": ' + b"9" * 1_000_000 + b"}")}
    yield "not a number", {path: http(b'{"a": NaN, "b": -Infinity, "c": 1e999999}')}
    yield "packed", {path: http(gzip.compress(b"{}"), "200 OK", "Content-Encoding: gzip")}
    yield "failure", {path: http(b"x" * 10_000, "500 Broken")}
    yield "failure of our size", {path: slowly(b"HTTP/1.1 500 No\r\n\r\n", BLOCK, 200)}
    yield "refusal in colours", {path: http(ESC.encode("utf-8", "replace"), "403 Forbidden")}
    yield "to another host", {path: redirect("http://127.0.0.2:1/")}
    yield "to another port", {path: redirect("http://127.0.0.1:1/x")}
    yield "to a file", {path: redirect("file:///etc/passwd")}
    yield "to a mail", {path: redirect("mailto:x@y", "307 Temporary Redirect")}
    yield "to nowhere", {path: redirect("http://[half")}
    yield "in a circle", {path: redirect(path)}
    away = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2/\r\n\r\n"
    yield "with a long way", {path: slowly(away, BLOCK, 200)}
    yield "no status", {path: b"hello\r\n\r\n"}
    yield "status of letters", {path: b"HTTP/1.1 OK OK\r\n\r\n"}
    yield "status 99999", {path: b"HTTP/1.1 99999 OK\r\n\r\n"}
    yield "many heads", {path: slowly(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n", 10_000)}
    yield "a long head", {path: slowly(b"HTTP/1.1 200 OK\r\n", b"a" * 5000, 100)}
    yield "no word", {path: b""}
    yield "half a head", {path: b"HTTP/1.1 200 OK\r\nContent-Le"}
    yield "half a body", {path: b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"}
    yield "reset", {path: reset}
    yield "bad chunk", {path: CHUNKED + b"zz\r\n{}\r\n"}
    yield "negative chunk", {path: CHUNKED + b"-5\r\n{}\r\n"}
    yield "long chunk", {path: CHUNKED + b"ffffffffffffff\r\n{}"}
    yield "noise", {path: os.urandom(2000)}
    yield "an old answer", {path: b'{"a": 1}'}
    yield (
        "two lengths",
        {path: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\n{}"},
    )
    yield "a list of lengths", {path: b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n{}"}
    yield "a length of digits", {path: b"HTTP/1.1 200 OK\r\nContent-Length: 2_0\r\n\r\n{}"}
    yield (
        "an endless number",
        {path: b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n{}"},
    )
    yield (
        "packed chunks",
        {path: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"},
    )
    yield "a long extension", {path: slowly(CHUNKED + b"2;", b"x" * 5000, 50)}
    yield "nothing new", {path: http(b"{}", "304 Not Modified")}
    yield "no content", {path: http(b"{}", "204 No Content")}
    yield "a part", {path: http(b"{}", "206 Partial", "Content-Range: bytes 0-1/9")}
    yield "who is there", {path: http(b"{}", "401 No", 'WWW-Authenticate: Basic realm="\x1b[2J"')}
    yield "a head of zeros", {path: b"HTTP/1.1 200 OK\r\nA: \0\0\0\r\n\r\n{}"}
    yield "JSON of UTF-16", {path: http('{"a": 1}'.encode("utf-16"))}
    yield "a mark before it", {path: http(b"\xef\xbb\xbf{}")}
    yield "a member twice", {path: http(b'{"name": "a", "name": ["b"], "Save": {}, "Save": 7}')}
    yield "a long integer", {path: http(b'{"run-1": ' + b"9" * 4299 + b', "name": 1e400}')}
    for number, value in enumerate(STRANGE):
        yield f"strange {number}", {path: answer(value)}
        yield f"strange inside {number}", {path: answer({RUN: value, "name": value, "Save": value})}


def _definitions() -> Iterator[tuple[str, Lie]]:
    for key, value in itertools.product(
        ("input", "output", "output_node", "display_name"), STRANGE
    ):
        info = {**OBJECT_INFO, "Save": {**OBJECT_INFO["Save"], key: value}}
        yield f"{key} {value!r:.9}", {"/object_info": answer(info)}
    for value in STRANGE:
        inputs = {"required": {"file": value}}
        info = {**OBJECT_INFO, "Load": {**OBJECT_INFO["Load"], "input": inputs}}
        yield f"an input {value!r:.9}", {"/object_info": answer(info)}


def _answers() -> Iterator[tuple[str, Lie]]:
    for value in (*STRANGE, "x" * 1_000_000, "../../etc", "a\0b"):
        shown = f"{value!r:.12}"
        yield f"name {shown}", {"/upload": answer({"name": value, "subfolder": ""})}
        yield f"folder {shown}", {"/upload": answer({"name": "a", "subfolder": value})}
        yield f"id {shown}", {"/prompt": answer({"prompt_id": value, "node_errors": {}})}
        errors = answer({"prompt_id": RUN, "node_errors": value, "error": value})
        yield f"errors {shown}", {"/prompt": errors}
        yield f"refusal {shown}", {"/prompt": errors.replace(b"200 OK", b"400 No")}
        inner = {"error": {"message": value, "details": value}, "node_errors": {"1": value}}
        yield f"inner refusal {shown}", {"/prompt": http(json.dumps(inner).encode(), "400 No")}
        yield f"outputs {shown}", {"/history": history(value)}
        yield f"shown {shown}", {"/history": history({"2": value, ESC: value, "9" * 5000: value})}
        yield f"entry {shown}", {"/history": results(value, text=value)}
        yield f"text {shown}", {"/history": results(text=[value, value])}
        yield f"filename {shown}", {"/history": named(value)}
        yield f"subfolder {shown}", {"/history": named("a.txt", value)}
        yield f"kind {shown}", {"/history": named("a.txt", "", value)}
        silent = events(honest=False)
        running = answer({"queue_running": value, "queue_pending": [value]})
        yield (
            f"queue {shown}",
            {"/queue": running, "/ws": silent, "/history": history({}, status=value)},
        )
        messages = {"messages": [value, ["execution_error", value]]}
        yield f"messages {shown}", {"/ws": silent, "/history": history({}, status=messages)}


PLACES = (
    *("../x", "../../../../tmp/escaped", "/etc/escaped", "..", ".", "/", "a/../../x", "..\\..\\x"),
    *(
        "C:\\x",
        "\\\\host\\share\\x",
        "~/x",
        "~root/x",
        ".bashrc",
        ".ssh/authorized_keys",
        "con.png",
    ),
    *(
        "x" * 300,
        "x" * 300 + ".mp4",
        "é" * 200 + ".mp4",
        "a\nb.txt",
        "a\x1b[31mb.txt",
        " ",
        "a ",
        "-rf",
    ),
    *(
        "$(touch x)",
        "`x`",
        "%2e%2e/x",
        "a\0b",
        "\ud800.txt",
        "x" * 5000,
        "nul",
        "a" * 900,
        "👾" * 60,
    ),
)


def _places() -> Iterator[tuple[str, Lie]]:
    for place in PLACES:
        yield f"as {place!r:.30}", {"/history": named(place)}
        yield f"in {place!r:.30}", {"/history": named("a.txt", place)}


def _downloads() -> Iterator[tuple[str, Lie]]:
    head = b"HTTP/1.1 200 OK\r\n"
    yield "too long", {"/view": head + b"Content-Length: 3\r\n\r\n" + CONTENT}
    yield "too short", {"/view": head + b"Content-Length: 300\r\n\r\n" + CONTENT}
    yield "without length", {"/view": head + b"\r\n" + CONTENT}
    yield "in half a chunk", {"/view": CHUNKED + b"ff\r\n" + CONTENT}
    yield "missing", {"/view": http(b"", "404 Not Found")}
    yield "elsewhere", {"/view": redirect("http://127.0.0.2:1/x")}
    yield "in itself", {"/view": redirect("/view")}
    yield "packed", {"/view": http(gzip.compress(CONTENT), "200 OK", "Content-Encoding: gzip")}
    yield "reset", {"/view": reset}
    yield "noise", {"/view": os.urandom(500)}


def _event_lies() -> Iterator[tuple[str, Lie]]:
    yield "refused", {"/ws": http(b"", "403 No")}
    yield "no handshake", {"/ws": http(b"hello")}
    yield "an empty head", {"/ws": b"\r\n\r\n"}
    yield "a short status", {"/ws": b"HTTP/1.1\r\n\r\n"}
    yield "a status of letters", {"/ws": b"HTTP/1.1 one two\r\n\r\n"}
    yield (
        "without a key",
        {"/ws": b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"},
    )
    yield "another key", {"/ws": handshake("Sec-WebSocket-Key: x")}
    yield "sent on", {"/ws": redirect("ws://127.0.0.2/ws")}
    yield "nothing", {"/ws": b""}
    yield "noise", {"/ws": os.urandom(2000)}
    yield "reset", {"/ws": reset}
    for name, message in (
        ("noise after", os.urandom(3000)),
        ("a huge frame", frame(b"x" * 100, claims=1 << 40)),
        ("a frame of 2**63", frame(b"x", claims=(1 << 64) - 1)),
        ("an unknown kind", frame(b"x", 5)),
        ("reserved bits", bytes([0xF1, 1]) + b"x"),
        ("a goodbye", frame(b"\x03\xe8bye", 8)),
        ("a goodbye of one byte", frame(b"x", 8)),
        ("a long ping", frame(b"x" * 500, 9)),
        ("a part without a start", frame(b"x", 0)),
    ):
        yield name, {"/ws": events(message, honest=False), "/queue": reset}
    kinds = ("executing", "execution_cached", "progress", "execution_error", "execution_success")
    for kind, value in itertools.product(kinds, STRANGE):
        names = ("node", "nodes", "max", "value", "node_id", "exception_message", "exception_type")
        data = dict.fromkeys(names, value) | {"prompt_id": RUN}
        yield f"{kind} of {value!r:.9}", {"/ws": events(event(kind, data), event(kind, value))}
        yield (
            f"kind {value!r:.9}",
            {"/ws": events(event(value, {"prompt_id": RUN}), event(value, kind))},
        )
    for part in (float("nan"), float("inf"), 1e308, "x", [1], "9" * 5000):
        data = {"value": part, "max": 1e-308, "prompt_id": RUN}
        yield f"progress {part!r:.9}", {"/ws": events(event("progress", data))}
    yield "deep events", {"/ws": events(frame(b"[" * 100_000))}
    failed = {"node_id": ESC, "exception_message": ESC * 1000, "prompt_id": RUN}
    yield "an error in colours", {"/ws": events(event("execution_error", failed))}


def _named_lies() -> Iterator[tuple[str, Lie]]:
    for path in ("/object_info", "/upload", "/prompt", "/history"):
        yield from ((f"{path}: {name}", lie) for name, lie in _http_lies(path))
    quiet = events(honest=False)
    yield from ((f"/queue: {n}", {**lie, "/ws": quiet}) for n, lie in _http_lies("/queue"))
    groups = (("definitions", _definitions()), ("answers", _answers()), ("places", _places()))
    for group, lies in (*groups, ("/view", _downloads()), ("/ws", _event_lies())):
        yield from ((f"{group}: {name}", lie) for name, lie in lies)


def _endless_lies() -> Iterator[tuple[str, Lie]]:
    for path in ("/object_info", "/upload", "/prompt", "/history", "/view", "/ws"):
        yield f"{path}: silence", {path: silence()}
        yield f"{path}: silence in the head", {path: silence(b"HTTP/1.1 200 OK\r\nA: ")}
        yield f"{path}: endless heads", {path: slowly(b"", b"HTTP/1.1 100 C\r\n\r\n")}
        yield f"{path}: drips", {path: slowly(b"HTTP/1.1 200 OK\r\n", b"a", pause=0.01)}
    for path in ("/object_info", "/upload", "/prompt", "/history", "/view"):
        body = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{"
        yield f"{path}: silence in the body", {path: silence(body)}
        yield f"{path}: drips in the body", {path: slowly(body, b" ", pause=0.01)}
        yield f"{path}: endless trailer", {path: slowly(CHUNKED + b"0\r\n", b"a: b\r\n")}
        yield (
            f"{path}: silence after a redirect",
            {
                path: silence(b"HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n"),
                "/again": silence(),
            },
        )
        quiet = events(honest=False)
        yield f"{path}: while it should stop", {path: silence(), "/queue": silence(), "/ws": quiet}
    yield "/view: endless file", {"/view": slowly(CHUNKED, BLOCK)}
    yield "/view: endless after 500", {"/view": silence(b"HTTP/1.1 500 No\r\n\r\nx")}
    running = answer({"queue_running": [[0, RUN]], "queue_pending": []})
    yield "a run without end", {"/ws": events(honest=False), "/queue": running}
    yield "a run that cannot be stopped", {"/ws": events(honest=False), "/queue": silence()}
    yield "pings", {"/ws": endless_events(frame(b"x", 9))}
    yield "parts", {"/ws": endless_events(frame(b"", 0, final=False), frame(b"", 1, final=False))}
    yield "events of others", {"/ws": endless_events(event("executing", {"prompt_id": "x"}))}
    more = event("executing", {"node": "1", "prompt_id": RUN})
    yield "the same event", {"/ws": endless_events(more)}


LIES: dict[str, Lie] = dict(_named_lies())
ENDLESS: dict[str, Lie] = dict(_endless_lies())
