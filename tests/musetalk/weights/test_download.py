"""Downloads against a server on this machine that behaves as badly as servers do."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from avatarvideo.errors import Cancelled, CheckpointError
from avatarvideo.musetalk.weights.catalogue import HubFile, PublishedFile, WebFile, destination
from avatarvideo.musetalk.weights.download import RetryPolicy, download
from avatarvideo.musetalk.weights.file_lock import locked
from avatarvideo.pace import Pace

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = RetryPolicy(timeout=5.0, attempts=3, pause=0.01)


@dataclass
class Behaviour:
    """What the server does; requests are noted."""

    content: bytes = CONTENT
    statuses: list[int] = field(default_factory=list)
    drop_after: list[int] = field(default_factory=list)
    stall_after: int | None = None
    drips: bool = False  # where it would stall
    ignores_range: bool = False
    says_length: bool = True
    length: str | None = None  # instead of the true one
    is_chunked: bool = False
    at_most: int | None = None  # bytes of one partial answer
    moved_to: str | None = None
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for method, _, headers in self.requests if method == "GET"]


def handler_for(behaviour: Behaviour) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            behaviour.requests.append(("HEAD", self.path, dict(self.headers)))
            if behaviour.statuses:
                self.send_error(behaviour.statuses.pop(0))
                return
            self.send_response(200)
            self.send_header("X-Repo-Commit", "a" * 40)
            self.send_header("ETag", f'"{hashlib.sha256(behaviour.content).hexdigest()}"')
            self.send_header("Content-Length", str(len(behaviour.content)))
            self.end_headers()

        def do_GET(self) -> None:
            if self.path.startswith("/api/"):
                self.send_error(404)  # the hub library's own questions
                return
            behaviour.requests.append(("GET", self.path, dict(self.headers)))
            if behaviour.moved_to:
                self.send_response(302)
                self.send_header("Location", behaviour.moved_to)
                self.end_headers()
                return
            if behaviour.statuses:
                self.send_error(behaviour.statuses.pop(0))
                return
            self.send_content()

        def send_content(self) -> None:
            content = behaviour.content
            start = 0
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if asked and not behaviour.ignores_range:
                start = int(asked[1])
                if start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
                whole = len(content)
                content = content[: start + behaviour.at_most] if behaviour.at_most else content
                last = len(content) - 1
                self.send_header("Content-Range", f"bytes {start}-{last}/{whole}")
            else:
                self.send_response(200)
            if behaviour.is_chunked:
                self.send_header("Transfer-Encoding", "chunked")
            elif behaviour.says_length:
                self.send_header("Content-Length", behaviour.length or str(len(content) - start))
            self.end_headers()
            end = len(content)
            if behaviour.is_chunked:
                end = start + behaviour.drop_after.pop(0) if behaviour.drop_after else end
                self.wfile.write(b"%x\r\n" % (len(content) - start) + content[start:end])
                self.wfile.write(b"\r\n0\r\n\r\n" if end == len(content) else b"")
                return
            if behaviour.drop_after:
                end = start + behaviour.drop_after.pop(0)
            if behaviour.stall_after is not None:
                self.wfile.write(content[start : behaviour.stall_after])
                self.wfile.flush()
                start = behaviour.stall_after
                while behaviour.drips and not behaviour.released.wait(0.02):
                    self.wfile.write(content[start : start + 1])
                    start += 1
                behaviour.released.wait(10)
            self.wfile.write(content[start:end])

    return Handler


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients that go away are what these tests are about


class Server:
    """One server on this machine, for one test."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._server = QuietServer(("127.0.0.1", 0), handler_for(behaviour))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self.behaviour.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Server]]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    opened: list[Server] = []
    yield opened
    for server in opened:
        server.close()


@pytest.fixture
def behaviour() -> Behaviour:
    return Behaviour()


@pytest.fixture
def server(behaviour: Behaviour, servers: list[Server]) -> Server:
    servers.append(Server(behaviour))
    return servers[-1]


def published(
    *sources: str | HubFile, size: int | None = len(CONTENT), sha256: str | None = SHA256
) -> PublishedFile:
    return PublishedFile(
        places=("whisper/tiny.pt",),
        licence="none",
        sources=tuple(WebFile(source) if isinstance(source, str) else source for source in sources),
        size=size,
        sha256=sha256,
    )


def parts(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.name.endswith(".part")]


def all_files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_file_arrives_whole_under_its_name_and_nothing_else_is_left(
    tmp_path: Path, server: Server
) -> None:
    wanted = published(f"{server.address}/tiny.pt")

    path = download(wanted, tmp_path, retry=QUICK)

    assert path == destination(wanted, tmp_path)
    assert path.read_bytes() == CONTENT
    assert all_files(tmp_path) == [path]


def test_dropped_connections_are_resumed_where_they_broke(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> None:
    behaviour.drop_after = [100_000, 0, 0, 300_000, 0]

    path = download(published(f"{server.address}/tiny.pt"), tmp_path, retry=QUICK)

    assert path.read_bytes() == CONTENT
    resumed = ["bytes=100000-"] * 3 + ["bytes=400000-"] * 2
    assert behaviour.ranges() == [None, *resumed]


def test_a_connection_that_never_brings_anything_is_given_up(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> None:
    behaviour.drop_after = [50_000] + [0] * 20

    with pytest.raises(CheckpointError, match=r"ended after 50,000 of 1,048,576 bytes, 3 times"):
        download(published(f"{server.address}/tiny.pt"), tmp_path, retry=QUICK)

    assert [path.name for path in all_files(tmp_path)] == [f".tiny.pt.{SHA256[:12]}.part"]


@pytest.mark.slow
def test_a_source_that_takes_longer_than_its_time_is_left(
    tmp_path: Path, server: Server, behaviour: Behaviour, servers: list[Server]
) -> None:
    behaviour.stall_after = 1000
    servers.append(Server(Behaviour()))
    wanted = published(f"{servers[-1].address}/tiny.pt")
    hasty = WebFile(f"{server.address}/tiny.pt", seconds=0.2)
    began = time.monotonic()

    path = download(replace(wanted, sources=(hasty, *wanted.sources)), tmp_path, retry=QUICK)

    assert path.read_bytes() == CONTENT
    assert time.monotonic() - began < 3  # a byte may be waited for longer
    assert servers[-1].behaviour.ranges() == ["bytes=1000-"]


def test_a_source_that_fails_is_not_asked_beyond_its_time(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> None:
    behaviour.statuses = [503] * 9
    wanted = published(size=len(CONTENT))
    hasty = WebFile(f"{server.address}/tiny.pt", seconds=0.1)
    patient = RetryPolicy(timeout=5.0, attempts=9, pause=0.15)
    with pytest.raises(CheckpointError, match="HTTP 503"):
        download(replace(wanted, sources=(hasty,)), tmp_path, retry=patient)
    assert len(behaviour.requests) == 1


def test_a_small_file_of_the_right_size_is_replaced_where_its_hash_is_wrong(
    tmp_path: Path, server: Server
) -> None:
    wanted = published(f"{server.address}/tiny.pt")
    target = destination(wanted, tmp_path)
    target.parent.mkdir(parents=True)
    target.write_bytes(bytes(len(CONTENT)))
    assert download(wanted, tmp_path, retry=QUICK).read_bytes() == CONTENT


def test_a_later_call_resumes_what_an_earlier_one_kept(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> None:
    behaviour.drop_after = [70_000] + [0] * 3
    wanted = published(f"{server.address}/tiny.pt")
    with pytest.raises(CheckpointError):
        download(wanted, tmp_path, retry=QUICK)
    behaviour.requests.clear()

    path = download(wanted, tmp_path, retry=QUICK)

    assert path.read_bytes() == CONTENT
    assert behaviour.ranges() == ["bytes=70000-"]
    assert parts(tmp_path) == []


def test_a_server_that_ignores_ranges_starts_over(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> None:
    behaviour.drop_after = [100_000]
    behaviour.ignores_range = True

    path = download(published(f"{server.address}/tiny.pt"), tmp_path, retry=QUICK)

    assert path.read_bytes() == CONTENT
    assert behaviour.ranges() == [None, "bytes=100000-"]


def test_a_server_that_does_not_say_the_length_is_checked_all_the_same(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> None:
    behaviour.says_length = False
    behaviour.drop_after = [100_000]

    path = download(published(f"{server.address}/tiny.pt"), tmp_path, retry=QUICK)

    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("dropped", [0, 300_000, 1 << 18])
def test_a_file_of_unknown_size_that_breaks_off_is_resumed(
    tmp_path: Path, server: Server, behaviour: Behaviour, dropped: int
) -> None:
    behaviour.drop_after = [dropped]
    wanted = published(f"{server.address}/tiny.pt", size=None, sha256=None)

    assert download(wanted, tmp_path, retry=QUICK).read_bytes() == CONTENT
    assert behaviour.ranges() == [None, f"bytes={dropped}-" if dropped else None]


def test_chunks_that_break_off_are_resumed(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> None:
    behaviour.is_chunked = True
    behaviour.drop_after = [1 << 18, 300_000]
    wanted = published(f"{server.address}/tiny.pt", size=None, sha256=None)

    assert download(wanted, tmp_path, retry=QUICK).read_bytes() == CONTENT
    assert behaviour.ranges() == [None, "bytes=262144-", "bytes=562144-"]


def test_chunks_that_never_end_are_one_sentence(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> None:
    behaviour.is_chunked = True
    behaviour.drop_after = [1000] + [0] * 9
    wanted = published(f"{server.address}/tiny.pt", size=None, sha256=None)

    with pytest.raises(CheckpointError, match="the connection ended after 1,000 bytes, 3 times"):
        download(wanted, tmp_path, retry=QUICK)

    assert not destination(wanted, tmp_path).exists()


@pytest.mark.parametrize("length", [None, "many", "-5"])
def test_a_file_of_which_nothing_tells_the_end_is_refused(
    tmp_path: Path, server: Server, behaviour: Behaviour, length: str | None
) -> None:
    behaviour.says_length = length is not None
    behaviour.length = length
    wanted = published(f"{server.address}/tiny.pt", size=None, sha256=None)

    with pytest.raises(CheckpointError, match="it does not say how many bytes the file has"):
        download(wanted, tmp_path, retry=QUICK)

    assert not destination(wanted, tmp_path).exists()


def test_a_hash_tells_whether_a_file_of_unknown_size_is_whole(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> None:
    behaviour.says_length = False
    behaviour.drop_after = [1 << 18]
    wanted = published(f"{server.address}/tiny.pt", size=None)

    with pytest.raises(CheckpointError, match="it sent another file"):
        download(wanted, tmp_path, retry=QUICK)

    assert all_files(tmp_path) == []
    assert download(wanted, tmp_path, retry=QUICK).read_bytes() == CONTENT


@pytest.mark.parametrize("length", ["5", "1048575", "1048577"])
def test_another_length_than_the_published_one_is_refused(
    tmp_path: Path, server: Server, behaviour: Behaviour, length: str
) -> None:
    behaviour.length = length

    with pytest.raises(CheckpointError, match=f"it offers {int(length):,} bytes instead of"):
        download(published(f"{server.address}/tiny.pt"), tmp_path, retry=QUICK)

    assert not destination(published(), tmp_path).exists()


def test_a_length_beyond_the_end_is_no_file(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> None:
    behaviour.length = "1048577"
    behaviour.ignores_range = True
    wanted = published(f"{server.address}/tiny.pt", size=None, sha256=None)

    with pytest.raises(CheckpointError, match="ended after 1,048,576 of 1,048,577 bytes, 3 times"):
        download(wanted, tmp_path, retry=QUICK)

    assert not destination(wanted, tmp_path).exists()


def test_answers_that_bring_less_than_was_asked_for_are_joined(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> None:
    behaviour.drop_after = [100_000]
    behaviour.at_most = 400_000
    wanted = published(f"{server.address}/tiny.pt", size=None, sha256=None)

    assert download(wanted, tmp_path, retry=QUICK).read_bytes() == CONTENT
    starts = [100_000, 500_000, 900_000]
    assert behaviour.ranges() == [None, *(f"bytes={start}-" for start in starts)]


def test_a_source_that_starts_over_and_breaks_off_anywhere_is_given_up(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> None:
    behaviour.drop_after = [9_000, 5_000, 7_000, 8_000] + [6_000, 7_000] * 20
    behaviour.ignores_range = True

    with pytest.raises(CheckpointError, match=r"3 times in a row"):
        download(published(f"{server.address}/tiny.pt"), tmp_path, retry=QUICK)

    assert len(behaviour.requests) == 4


def test_wrong_file_of_the_right_size_is_thrown_away(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> None:
    behaviour.content = CONTENT[::-1]

    with pytest.raises(CheckpointError, match=rf"another file \(SHA-256 \w+ instead of {SHA256}"):
        download(published(f"{server.address}/tiny.pt"), tmp_path, retry=QUICK)

    assert all_files(tmp_path) == []


def test_file_of_another_size_is_refused_before_it_is_loaded(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> None:
    behaviour.content = CONTENT * 2

    with pytest.raises(CheckpointError, match="it offers 2,097,152 bytes instead of 1,048,576"):
        download(published(f"{server.address}/tiny.pt"), tmp_path, retry=QUICK)

    assert sum(path.stat().st_size for path in all_files(tmp_path)) == 0


def test_a_kept_part_of_another_size_is_replaced(tmp_path: Path, server: Server) -> None:
    wanted = published(f"{server.address}/tiny.pt")
    part = destination(wanted, tmp_path).with_name(f".tiny.pt.{SHA256[:12]}.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(len(CONTENT) + 5))

    assert download(wanted, tmp_path, retry=QUICK).read_bytes() == CONTENT


def test_a_kept_part_longer_than_a_file_of_unknown_size_is_replaced(
    tmp_path: Path, server: Server
) -> None:
    wanted = published(f"{server.address}/tiny.pt", size=None, sha256=None)
    part = destination(wanted, tmp_path).with_name(".tiny.pt.unknown.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(len(CONTENT) + 5))

    assert download(wanted, tmp_path, retry=QUICK).read_bytes() == CONTENT


@pytest.mark.parametrize("source_is_right", [True, False])
def test_damaged_kept_part_is_fetched_afresh_once(
    tmp_path: Path, server: Server, behaviour: Behaviour, source_is_right: bool
) -> None:
    behaviour.content = CONTENT if source_is_right else CONTENT[::-1]
    wanted = published(f"{server.address}/tiny.pt")
    part = destination(wanted, tmp_path).with_name(f".tiny.pt.{SHA256[:12]}.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(1000))

    if source_is_right:
        assert download(wanted, tmp_path, retry=QUICK).read_bytes() == CONTENT
    else:
        with pytest.raises(CheckpointError, match="it sent another file"):
            download(wanted, tmp_path, retry=QUICK)
        assert all_files(tmp_path) == []
    assert behaviour.ranges() == ["bytes=1000-", None]


@pytest.mark.parametrize("status", [404, 403, 410])
def test_refusals_are_not_repeated(
    tmp_path: Path, server: Server, behaviour: Behaviour, status: int
) -> None:
    behaviour.statuses = [status]

    with pytest.raises(CheckpointError, match=rf"HTTP {status}"):
        download(published(f"{server.address}/tiny.pt"), tmp_path, retry=QUICK)

    assert len(behaviour.requests) == 1
    assert all_files(tmp_path) == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_overloaded_servers_are_asked_again(
    tmp_path: Path, server: Server, behaviour: Behaviour, status: int
) -> None:
    behaviour.statuses = [status, status]

    path = download(published(f"{server.address}/tiny.pt"), tmp_path, retry=QUICK)

    assert path.read_bytes() == CONTENT
    assert len(behaviour.requests) == 3


def test_the_next_source_is_tried_and_said(
    tmp_path: Path, servers: list[Server], caplog: pytest.LogCaptureFixture
) -> None:
    servers += [Server(Behaviour(statuses=[404])), Server(Behaviour(content=b"another"))]
    good = Server(Behaviour())
    servers.append(good)
    sources = [f"{server.address}/tiny.pt" for server in servers]

    path = download(published(*sources), tmp_path, retry=QUICK)

    assert path.read_bytes() == CONTENT
    assert len(good.behaviour.requests) == 1
    told = (
        f"Not available from {sources[0]} (the file is not there (HTTP 404)): trying {sources[1]}"
    )
    assert caplog.messages[0] == told


def test_no_server_is_one_sentence_with_every_source_and_the_place(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> None:
    behaviour.statuses = [404]
    wanted = published(f"{server.address}/tiny.pt", "http://127.0.0.1:9/tiny.pt")

    with pytest.raises(CheckpointError) as caught:
        download(wanted, tmp_path, retry=QUICK)

    message = str(caught.value)
    assert re.fullmatch(
        rf"Expected to download whisper/tiny\.pt, but no source had it "
        rf"\({server.address}/tiny\.pt: the file is not there \(HTTP 404\); "
        r"http://127\.0\.0\.1:9/tiny\.pt: .*refused, 3 times in a "
        rf"row\): download it yourself and put it at {destination(wanted, tmp_path)}\.",
        message,
    )


def test_file_that_nobody_distributes_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="it has no public source"):
        download(published(), tmp_path)


def test_file_that_is_there_already_is_kept(tmp_path: Path, server: Server) -> None:
    wanted = published(f"{server.address}/tiny.pt")
    first = download(wanted, tmp_path, retry=QUICK)
    server.behaviour.requests.clear()

    assert download(wanted, tmp_path, retry=QUICK) == first
    assert server.behaviour.requests == []


def test_damaged_file_is_replaced(tmp_path: Path, server: Server) -> None:
    wanted = published(f"{server.address}/tiny.pt")
    target = destination(wanted, tmp_path)
    target.parent.mkdir(parents=True)
    target.write_bytes(b"half")

    assert download(wanted, tmp_path, retry=QUICK).read_bytes() == CONTENT


def test_progress_reaches_the_whole_size(tmp_path: Path, server: Server) -> None:
    seen: list[tuple[int, int | None]] = []
    threads = set()

    def report(done: int, total: int | None) -> None:
        seen.append((done, total))
        threads.add(threading.current_thread())

    download(published(f"{server.address}/tiny.pt"), tmp_path, report=report, retry=QUICK)

    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert threads == {threading.current_thread()}


@pytest.mark.slow
def test_a_source_that_drips_is_left_and_its_part_kept(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> None:
    behaviour.stall_after, behaviour.drips = 200_000, True
    wanted = published(f"{server.address}/tiny.pt")
    slow = RetryPolicy(timeout=5.0, attempts=3, pause=0.01, pace=Pace(1000, 0.3))
    with pytest.raises(CheckpointError, match=r"only \d+ bytes came in 0.3 seconds"):
        download(wanted, tmp_path, retry=slow)
    assert behaviour.ranges() == [None]
    (part,) = all_files(tmp_path)
    assert part.name.startswith(".")
    kept = part.stat().st_size
    assert kept >= 200_000

    behaviour.stall_after = None
    assert download(wanted, tmp_path, retry=slow).read_bytes() == CONTENT
    assert behaviour.ranges()[1:] == [f"bytes={kept}-"]


@pytest.mark.slow
def test_cancelling_a_stalled_download_is_quick_and_leaves_only_a_hidden_part(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> None:
    behaviour.stall_after = 200_000
    wanted = published(f"{server.address}/tiny.pt")
    asked_at = []

    def report(done: int, _total: int | None) -> None:
        if done == 200_000 and not asked_at:
            asked_at.append(time.monotonic())

    def check_cancelled() -> None:
        if asked_at:
            raise Cancelled("The run was cancelled.")

    with pytest.raises(Cancelled):
        download(wanted, tmp_path, report=report, check_cancelled=check_cancelled, retry=QUICK)

    assert time.monotonic() - asked_at[0] < 1.0
    (part,) = all_files(tmp_path)
    assert part.name.startswith(".")
    assert part.name.endswith(".part")

    behaviour.stall_after = None
    behaviour.requests.clear()
    assert download(wanted, tmp_path, retry=QUICK).read_bytes() == CONTENT
    assert behaviour.ranges() == ["bytes=200000-"]


@pytest.mark.slow
def test_a_server_that_falls_silent_is_asked_again(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> None:
    behaviour.stall_after = 200_000
    retry = RetryPolicy(timeout=0.2, attempts=3, pause=0.01)

    def check_cancelled() -> None:
        if len(behaviour.requests) > 1:
            behaviour.stall_after = None

    path = download(
        published(f"{server.address}/tiny.pt"),
        tmp_path,
        check_cancelled=check_cancelled,
        retry=retry,
    )

    assert path.read_bytes() == CONTENT


def test_full_disk_is_noticed_before_anything_is_loaded(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> None:
    wanted = published(f"{server.address}/tiny.pt", size=10**18)

    with pytest.raises(CheckpointError, match=r"Expected 1000000000\.00 GB of free space in"):
        download(wanted, tmp_path, retry=QUICK)

    assert behaviour.requests == []


def test_unwritable_folder_is_one_sentence(tmp_path: Path, server: Server) -> None:
    (tmp_path / "musetalk").write_text("a file where the folder should be")

    with pytest.raises(CheckpointError, match=r"Expected to write .*tiny\.pt, but .*: free some"):
        download(published(f"{server.address}/tiny.pt"), tmp_path, retry=QUICK)


def test_other_kinds_of_address_are_not_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)

    with pytest.raises(CheckpointError, match="unknown url type"):
        download(published(secret.as_uri()), tmp_path, retry=QUICK)


PROCESS_SCRIPT = """
import logging, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import conftest
from avatarvideo.musetalk.weights.catalogue import PublishedFile, WebFile
from avatarvideo.musetalk.weights.download import RetryPolicy, download
logging.basicConfig(format="%(message)s")
published = PublishedFile(
    places=("whisper/tiny.pt",),
    licence="none",
    sources=(WebFile({address!r} + "/tiny.pt"),),
    size={size},
    sha256={sha256!r},
)
print(download(published, Path({root!r}), retry=RetryPolicy(20.0, 3, 0.01)))
"""
WAITING = "Waiting for another download of whisper/tiny.pt"


def started_download(root: Path, server: Server) -> subprocess.Popen[str]:
    script = PROCESS_SCRIPT.format(
        tests=str(Path(__file__).resolve().parents[2]),
        address=server.address,
        size=len(CONTENT),
        sha256=SHA256,
        root=str(root),
    )
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def two_downloads(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes: the first has 200,000 bytes and the server is silent, the second waits."""
    behaviour.stall_after = 200_000
    processes = [started_download(tmp_path, server)]
    end = time.monotonic() + 30
    while sum(part.stat().st_size for part in parts(tmp_path)) < 200_000:
        assert time.monotonic() < end
        time.sleep(0.01)
    processes.append(started_download(tmp_path, server))
    assert processes[1].stderr is not None
    assert processes[1].stderr.readline() == f"{WAITING}\n"
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_a_second_download_waits_and_takes_the_file_of_the_first(
    tmp_path: Path, behaviour: Behaviour, two_downloads: list[subprocess.Popen[str]]
) -> None:
    target = destination(published(), tmp_path)
    time.sleep(0.3)  # long enough to say it again
    behaviour.released.set()

    for process in two_downloads:
        assert process.communicate(timeout=30) == (f"{target}\n", "")
        assert process.returncode == 0
    assert target.read_bytes() == CONTENT
    assert all_files(tmp_path) == [target]
    assert behaviour.ranges() == [None]


@pytest.mark.slow
def test_a_second_download_resumes_what_a_killed_one_left(
    tmp_path: Path, behaviour: Behaviour, two_downloads: list[subprocess.Popen[str]]
) -> None:
    first, second = two_downloads
    target = destination(published(), tmp_path)
    behaviour.stall_after = None  # for the next request
    first.kill()

    assert second.communicate(timeout=30) == (f"{target}\n", "")
    assert second.returncode == 0
    assert first.wait(10) != 0
    assert target.read_bytes() == CONTENT
    assert all_files(tmp_path) == [target]
    assert behaviour.ranges() == [None, "bytes=200000-"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends POSIX's signal of Ctrl-C")
def test_ctrl_c_ends_a_download_that_waits_and_not_the_other(
    tmp_path: Path, behaviour: Behaviour, two_downloads: list[subprocess.Popen[str]]
) -> None:
    first, second = two_downloads
    began = time.monotonic()
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=30)
    assert second.returncode == -signal.SIGINT
    assert time.monotonic() - began < 5

    behaviour.released.set()
    assert first.communicate(timeout=30) == (f"{destination(published(), tmp_path)}\n", "")
    assert behaviour.ranges() == [None]


def test_a_download_that_waits_can_be_cancelled(tmp_path: Path, server: Server) -> None:
    wanted = published(f"{server.address}/tiny.pt")
    lock = destination(wanted, tmp_path).with_name(".tiny.pt.lock")
    lock.parent.mkdir(parents=True)
    asked = []

    def check_cancelled() -> None:
        asked.append(True)
        if len(asked) == 3:
            raise Cancelled("The run was cancelled.")

    with (
        locked(lock, on_wait=lambda: None, check_cancelled=lambda: None),
        pytest.raises(Cancelled),
    ):
        download(wanted, tmp_path, check_cancelled=check_cancelled, retry=QUICK)

    assert len(asked) == 3
    assert server.behaviour.requests == []


@pytest.mark.parametrize("made", [CONTENT, CONTENT[::-1], b"half"])
def test_what_another_download_made_is_checked(
    tmp_path: Path, server: Server, caplog: pytest.LogCaptureFixture, made: bytes
) -> None:
    wanted = published(f"{server.address}/tiny.pt")
    target = destination(wanted, tmp_path)
    target.parent.mkdir(parents=True)
    held = threading.Event()

    def make() -> None:
        lock = target.with_name(".tiny.pt.lock")
        with locked(lock, on_wait=lambda: None, check_cancelled=lambda: None):
            held.set()
            end = time.monotonic() + 10
            while WAITING not in caplog.messages and time.monotonic() < end:
                time.sleep(0.01)
            target.write_bytes(made)

    other = threading.Thread(target=make)
    other.start()
    assert held.wait(10)
    download(wanted, tmp_path, retry=QUICK)
    other.join()

    assert WAITING in caplog.messages
    assert target.read_bytes() == CONTENT
    assert len(server.behaviour.requests) == (0 if made == CONTENT else 1)


def test_a_folder_without_locks_takes_a_download(
    tmp_path: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = published(f"{server.address}/tiny.pt")
    lock = destination(wanted, tmp_path).with_name(".tiny.pt.lock")
    lock.mkdir(parents=True)  # nobody can open a folder to lock it

    assert download(wanted, tmp_path, retry=QUICK).read_bytes() == CONTENT
    assert [message for message in caplog.messages if "continuing without" in message]


# The hub library reads its settings when it is imported, so each setting gets its own process.
HUB_SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import conftest
from avatarvideo.errors import CheckpointError
from avatarvideo.musetalk.weights.catalogue import HubFile, PublishedFile
from avatarvideo.musetalk.weights.download import RetryPolicy, download
published = PublishedFile(
    places=("whisper/tiny.pt",),
    licence="none",
    sources=(HubFile("openai/whisper-tiny", "folder/tiny.pt"),),
)
try:
    print(download(published, Path({root!r}), retry=RetryPolicy(5.0, 3, 0.01)))
except CheckpointError as error:
    print("error:", error)
"""


def download_from_hub(root: Path, **settings: str) -> str:
    tests = Path(__file__).resolve().parents[2]
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("HF_", "HUGGING")) and "proxy" not in key.lower()
    }
    environment |= {"HF_HOME": str(root / "home"), **settings}
    script = HUB_SCRIPT.format(tests=str(tests), root=str(root))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_hub_file_comes_from_the_endpoint_of_the_environment_with_its_token(
    tmp_path: Path, server: Server, behaviour: Behaviour
) -> None:
    behaviour.drop_after = [100_000]

    printed = download_from_hub(tmp_path, HF_ENDPOINT=server.address, HF_TOKEN="hf_secret")

    assert Path(printed).read_bytes() == CONTENT
    assert {path for _, path, _ in behaviour.requests} == {
        "/openai/whisper-tiny/resolve/main/folder/tiny.pt"
    }
    assert behaviour.ranges() == [None, "bytes=100000-"]
    for _, _, headers in behaviour.requests:
        assert {key.lower(): value for key, value in headers.items()}["authorization"] == (
            "Bearer hf_secret"
        )


@pytest.mark.slow
def test_token_does_not_follow_to_another_host(
    tmp_path: Path, server: Server, behaviour: Behaviour, servers: list[Server]
) -> None:
    store = Server(Behaviour())
    servers.append(store)
    behaviour.moved_to = f"{store.address}/blob"

    printed = download_from_hub(tmp_path, HF_ENDPOINT=server.address, HF_TOKEN="hf_secret")

    assert Path(printed).read_bytes() == CONTENT
    (request,) = store.behaviour.requests
    assert "authorization" not in {key.lower() for key in request[2]}


@pytest.mark.slow
def test_hub_hash_is_checked_where_the_table_has_none(
    tmp_path: Path, server: Server, behaviour: Behaviour, servers: list[Server]
) -> None:
    store = Server(Behaviour(content=CONTENT[::-1]))
    servers.append(store)
    behaviour.moved_to = f"{store.address}/blob"

    printed = download_from_hub(tmp_path, HF_ENDPOINT=server.address)

    assert "it sent another file" in printed
    assert [path for path in all_files(tmp_path) if "tiny" in path.name] == []


@pytest.mark.slow
def test_offline_mode_sends_nothing(tmp_path: Path, server: Server, behaviour: Behaviour) -> None:
    printed = download_from_hub(tmp_path, HF_ENDPOINT=server.address, HF_HUB_OFFLINE="1")

    assert "HF_HUB_OFFLINE is set" in printed
    assert behaviour.requests == []


@pytest.mark.slow
def test_hub_refusals_are_told(tmp_path: Path, server: Server, behaviour: Behaviour) -> None:
    behaviour.statuses = [401]

    printed = download_from_hub(tmp_path, HF_ENDPOINT=server.address)

    assert "openai/whisper-tiny on the Hugging Face hub (folder/tiny.pt)" in printed
    assert "refuses access (HTTP 401); a hub token may be needed" in printed


@pytest.mark.slow
def test_hub_that_cannot_be_reached_is_one_sentence(tmp_path: Path) -> None:
    printed = download_from_hub(tmp_path, HF_ENDPOINT="http://127.0.0.1:9")

    assert printed.startswith("error: Expected to download whisper/tiny.pt")
    assert "3 times in a row" in printed
    assert "\n" not in printed
