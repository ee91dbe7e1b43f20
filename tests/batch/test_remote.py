"""Inputs elsewhere: known by their versions, fetched whole or not at all, redirects re-checked."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from avatarvideo.batch import remote as remote_module
from avatarvideo.batch.content import Hashes, key_of
from avatarvideo.batch.remote import Fetched, InputChangedError, Remote, fetch
from avatarvideo.batch.rows import Stamp, Task
from avatarvideo.batch.web import _Rechecked, is_public
from avatarvideo.cli.main import main
from avatarvideo.errors import Cancelled, MediaError
from avatarvideo.host.current import set_host
from support.optional_library import library
from support.small_jobs import FRAMES, frames_of, row, write_inputs, write_list

DATA = bytes(range(256)) * 5000
ELSEWHERE = "to another kind of address (ftp)"


class Server(BaseHTTPRequestHandler):
    """Answers with what ``files`` holds: bytes and a tag, or where to go instead."""

    protocol_version = "HTTP/1.1"
    files: ClassVar[dict[str, tuple[bytes, str] | str]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(f"{self.headers.get('Range', 'whole')} {self.path}")
        found = self.files.get(self.path.partition("?")[0])
        if found is None or isinstance(found, str):
            self.send_response(404 if found is None else 302)
            self.send_header("Location", found or "")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data, tag = found
        part = data[:1] if self.headers.get("Range") and "whole" not in self.path else data
        self.send_response(200 if len(part) == len(data) else 206)
        if len(part) != len(data):
            self.send_header("Content-Range", f"bytes 0-0/{len(data)}")
        if tag:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        is_cut = self.path == "/cut.png" and len(part) > 1
        self.close_connection |= is_cut
        with contextlib.suppress(ConnectionError):  # who asked has heard enough
            self.wfile.write(part[: len(part) // 2] if is_cut else part)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    """The address of a web server on this machine."""
    Server.files, Server.asked = {}, []
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_a_look_reads_one_byte_and_holds_for_a_while(web: str, tmp_path: Path) -> None:
    Server.files["/a.png"] = DATA, '"one"'
    remote = Remote(tmp_path)
    assert remote.stamp(f"{web}/a.png?x=1") == Stamp(f"{web}/a.png?x=1", len(DATA), 0, 0, '"one"')
    Server.files["/a.png"] = DATA, '"two"'
    assert remote.stamp(f"{web}/a.png?x=1").tag == '"one"'
    remote.forget(f"{web}/a.png?x=1")
    assert remote.stamp(f"{web}/a.png?x=1").tag == '"two"'
    assert Server.asked == ["bytes=0-0 /a.png?x=1"] * 2


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("name", ["a.png", "whole.png"])
def test_without_a_tag_it_is_known_by_what_is_fetched(web: str, tmp_path: Path, name: str) -> None:
    Server.files[f"/{name}"] = DATA, 'W/"weak"'
    stamp = Remote(tmp_path).stamp(f"{web}/{name}")
    assert (stamp.size, stamp.tag) == (len(DATA), f"sha256:{hashlib.sha256(DATA).hexdigest()}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_key_is_of_the_version_not_of_a_signature(web: str, tmp_path: Path) -> None:
    Server.files |= {"/a.png": (DATA, '"one"'), "/b.wav": (DATA, "")}

    def key(query: str) -> str:
        hashes = Hashes(tmp_path / "hashes.json", tmp_path)
        inputs = f"{web}/a.png?{query}", f"{web}/b.wav?{query}"
        found, stamps = key_of(Task(1, "a.mp4", inputs), hashes)
        assert [stamp.path for stamp in stamps] == list(inputs)
        return found

    first = key("signature=1")
    assert key("signature=2") == first
    Server.files["/a.png"] = DATA, '"two"'
    second = key("signature=1")
    Server.files["/b.wav"] = DATA[:-1], ""
    assert len({first, second, key("signature=1")}) == 3


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("what", ["look", "stamp", "fetch"])
def test_nobody_waits_for_a_silent_server_when_all_is_to_end(
    silent: str, tmp_path: Path, what: str
) -> None:
    address = f"{silent}/a.png"

    def cancel() -> None:
        raise Cancelled("The run was cancelled.")

    before = set(threading.enumerate())
    remote, fetched = Remote(tmp_path, cancel), Fetched(tmp_path, cancel)
    ways: dict[str, Callable[[], object]] = {
        "look": lambda: remote.look_up([address, address]),
        "stamp": lambda: remote.stamp(address),
        "fetch": lambda: fetched.file(address, [Stamp(address, 9, 0, 0, '"one"')]),
    }
    with pytest.raises(Cancelled):
        ways[what]()
    left = set(threading.enumerate()) - before
    assert left
    assert all(thread.daemon for thread in left)


@pytest.mark.slow
def test_a_file_is_fetched_whole(web: str, tmp_path: Path) -> None:
    Server.files["/a.png"] = DATA, '"one"'
    stamp = Remote(tmp_path).stamp(f"{web}/a.png")
    assert fetch(stamp, tmp_path / "a", lambda: None) == stamp
    assert (tmp_path / "a").read_bytes() == DATA
    Server.files["/a.png"] = DATA, '"two"'
    with pytest.raises(InputChangedError, match=r"/a\.png changed while the job was using it"):
        fetch(stamp, tmp_path / "b", lambda: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/gone.png?token=secret", "/gone.png: the server answered 404."),
        ("/cut.png", "/cut.png: the connection ended after 640,000 of 1,280,000 bytes."),
        ("/to-file.png", "/to-file.png: the server answered 302."),
        (
            "/to-ftp.png",
            "/to-ftp.png: redirects to another kind of address (ftp), which is not followed.",
        ),
        ("/round.png", "/round.png: the server answered 302."),
    ],
)
def test_what_cannot_be_fetched_is_one_sentence(
    web: str, tmp_path: Path, path: str, sentence: str
) -> None:
    Server.files |= {
        "/cut.png": (DATA, ""),
        "/to-file.png": "file:///etc/passwd",
        "/to-ftp.png": "ftp://127.0.0.1/a.png",
        "/round.png": "/round.png",
    }
    with pytest.raises(MediaError) as refusal:
        Remote(tmp_path).stamp(web + path)
    assert str(refusal.value) == f"Cannot read {web}{sentence}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_redirect_to_a_like_place_is_followed(web: str, tmp_path: Path) -> None:
    Server.files |= {"/a.png": "/b.png", "/b.png": (DATA, '"one"')}
    assert Remote(tmp_path).stamp(f"{web}/a.png").size == len(DATA)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("https://8.8.8.8/a", "http://8.8.8.8/a", "to another kind of address .http.,"),
        ("http://8.8.8.8/a", "http://169.254.169.254/a", "into a private network"),
        ("http://8.8.8.8/a", "http://[::1]/a", "into a private network"),
        ("http://8.8.8.8/a", "http://10.0.0.1/a", "into a private network"),
        ("http://8.8.8.8/a", "https://me:word@8.8.4.4/a", "which is not followed"),
        ("http://8.8.8.8/a", "http://8.8.4.4/a", None),
        ("http://10.0.0.1/a", "http://127.0.0.1/a", None),
    ],
)
def test_redirects_are_checked_again(before: str, after: str, reason: str | None) -> None:
    request = urllib.request.Request(before)

    def follow() -> Any:
        return _Rechecked().redirect_request(request, io.BytesIO(), 302, "", HTTPMessage(), after)

    if reason is None:
        assert follow().full_url == after
        return
    with pytest.raises(MediaError, match=reason):
        follow()


def test_private_addresses_are_known() -> None:
    found = [is_public(host) for host in ("8.8.8.8", "127.0.0.1", "192.168.1.1", "fe80::1", "::1")]
    assert found == [True, False, False, False, False]


@pytest.mark.slow
def test_too_large_a_file_is_refused_before_and_while_it_is_read(
    web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Server.files["/a.png"] = DATA, '"one"'
    stamp = Remote(tmp_path).stamp(f"{web}/a.png")
    monkeypatch.setattr(remote_module, "MOST_BYTES", 1 << 20)
    with pytest.raises(MediaError, match="it is larger than"):
        Remote(tmp_path).stamp(f"{web}/a.png")
    with pytest.raises(MediaError, match="it is larger than"):
        fetch(stamp, tmp_path / "a", lambda: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_cancel_leaves_nothing(web: str, tmp_path: Path) -> None:
    Server.files["/a.png"] = DATA, '"one"'

    def cancelled() -> None:
        raise Cancelled("The run was cancelled.")

    with pytest.raises(Cancelled):
        fetch(Remote(tmp_path).stamp(f"{web}/a.png"), tmp_path / "a", cancelled)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_worker_keeps_what_it_used_last(web: str, tmp_path: Path) -> None:
    for number in range(6):
        Server.files[f"/{number}.png"] = bytes([number]), f'"{number}"'
    remote, fetched = Remote(tmp_path), Fetched(tmp_path / "fetched", lambda: None)
    stamps = [remote.stamp(f"{web}/{number}.png") for number in range(6)]
    Server.asked.clear()
    for number in (0, 1, 0, 2, 0, 3, 0, 4, 0, 5):
        path = Path(fetched.file(f"{web}/{number}.png", stamps))
        assert (path.read_bytes(), path.suffix) == (bytes([number]), ".png")
    assert [line for line in Server.asked if "0.png" in line] == ["whole /0.png"]
    assert len(list((tmp_path / "fetched").iterdir())) == remote_module.KEPT
    assert fetched.file("/a/local.png", stamps) == "/a/local.png"


def call(
    capsys: pytest.CaptureFixture[str], folder: Path, rows: list[dict[str, Any]], *more: str
) -> tuple[int, str, str]:
    write_list(folder / "jobs.jsonl", rows)
    code = main(["batch", str(folder / "jobs.jsonl"), "--output-dir", str(folder / "out"), *more])
    set_host(None)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.slow
def test_rows_from_the_web_are_made_and_skipped(
    web: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_inputs(tmp_path)
    Server.files["/a.png"] = (tmp_path / "avatar0.png").read_bytes(), '"one"'
    rows = [row(f"{number}.mp4", speech=number, avatar=0) for number in range(2)]
    for one in rows:
        one["avatar"] = f"{web}/a.png?token=secret"
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))  # the digest of a file that was just written is not kept
    code, out, err = call(capsys, tmp_path, rows, "--workers", "1")
    assert (code, len(out.splitlines())) == (0, 2)
    assert frames_of(tmp_path / "out" / "1.mp4").shape == (FRAMES, 64, 64, 3)
    assert Server.asked.count("whole /a.png?token=secret") == 1
    kept = [path for path in (tmp_path / "out").rglob("*") if path.suffix.startswith(".json")]
    assert len(kept) == 5
    assert "secret" not in err + out + "".join(path.read_text() for path in kept)
    assert call(capsys, tmp_path, rows, "--workers", "1")[:2] == (0, "")
    rows.append(row("2.mp4") | {"audio": f"{web}/gone.wav"})
    code, _, err = call(capsys, tmp_path, rows, "--workers", "1")
    assert code == 1
    assert f"Line 3: Cannot read {web}/gone.wav: the server answered 404." in err.splitlines()


@pytest.mark.slow
def test_rows_from_an_object_store_are_made_and_skipped(
    bucket: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_inputs(tmp_path)
    bucket.put_file(str(tmp_path / "avatar0.png"), "bucket/people/a.png")
    bucket.put_file(str(tmp_path / "speech0.wav"), "bucket/b.wav")
    one = row("1.mp4") | {"avatar": "s3://bucket/people/a.png", "audio": "s3://bucket/b.wav"}
    code, out, err = call(capsys, tmp_path, [one], "--workers", "1")
    assert (code, len(out.splitlines())) == (0, 1)
    assert frames_of(tmp_path / "out" / "1.mp4").shape == (FRAMES, 64, 64, 3)
    report = (tmp_path / "out" / "1.mp4.report.json").read_text()
    assert "testing" not in out + err + report
    assert call(capsys, tmp_path, [one], "--workers", "1")[:2] == (0, "")
    bucket.put_file(str(tmp_path / "speech1.wav"), "bucket/b.wav")
    code, out, _ = call(capsys, tmp_path, [one], "--workers", "1")
    assert (code, len(out.splitlines())) == (0, 1)
    rows = [one, one | {"output": "2.mp4", "avatar": "s3://bucket/gone.png"}]
    rows.append(one | {"output": "3.mp4", "avatar": "s3://bucket/people"})
    code, _, err = call(capsys, tmp_path, rows)
    assert code == 1
    assert err.splitlines()[:2] == [
        "Line 2: Cannot read s3://bucket/gone.png: there is no such file.",
        "Line 3: Cannot read s3://bucket/people: it is a folder.",
    ]


@pytest.mark.slow
def test_memory_is_this_process_s_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = library("fsspec").filesystem("memory")
    write_inputs(tmp_path)
    store.pipe_file("/a.png", (tmp_path / "avatar0.png").read_bytes())
    one = row("1.mp4") | {"avatar": "memory://a.png"}
    code, _, err = call(capsys, tmp_path, [one], "--workers", "1")
    assert code == 1
    assert "memory:// exists only in this process: use --workers 0." in err
    code, out, _ = call(capsys, tmp_path, [one], "--workers", "0")
    assert (code, len(out.splitlines())) == (0, 1)
    report = json.loads((tmp_path / "out" / "1.mp4.report.json").read_text())
    assert report["frame_count"] == FRAMES
    store.rm("/a.png")


def test_a_library_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "fsspec", None)
    write_inputs(tmp_path)
    rows = [row("1.mp4") | {"avatar": "gs://bucket/a.png"}]
    code, _, err = call(capsys, tmp_path, rows)
    assert code == 1
    assert err == (
        "Error: Expected the library gcsfs to read gs://, but it is not installed: pip install "
        "gcsfs (the extra remote).\n"
    )
