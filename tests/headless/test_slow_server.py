"""A server that sends or takes a byte now and then holds nothing for ever; a slow one finishes."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from avatarvideo.headless.server_files import ServerFiles
from avatarvideo.headless.server_requests import ServerError, ServerRequests
from avatarvideo.pace import Pace, PaceKeeper, TooSlowError
from support.hostile.lying_server import CHUNKED, Lie, LyingServer, Talk, slowly

ENTRY = {"filename": "talk.txt", "subfolder": "", "type": "output"}
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
QUICK = Pace(least=1000, seconds=0.3)


def files_of(lie: Lie) -> ServerFiles:
    return ServerFiles(ServerRequests(LyingServer(lie).url, lambda: None), QUICK)


@pytest.mark.slow_after(2)
@pytest.mark.parametrize(
    "lie",
    [
        slowly(LONG, b"x", pause=0.02),
        slowly(CHUNKED, b"1\r\nx\r\n", pause=0.02),
        slowly(CHUNKED + b"100\r\n", b"x", pause=0.02),
        slowly(CHUNKED + b"1\r\nx\r\n0\r\n", b"a: b\r\n", pause=0.02),
        slowly(LONG + b"x" * 50_000, b"x", pause=0.02),
    ],
    ids=["body", "chunks", "in a chunk", "trailer", "after half of it"],
)
def test_a_result_that_drips_is_one_sentence(lie: Talk, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(ServerError, match=r"to go on with /view, but only \d+ bytes came in 0.3"):
        files_of({"/view": lie}).download(ENTRY, tmp_path)
    assert time.monotonic() - began < 5
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_slow_result_comes_whole(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 8400\r\n\r\n"
    server = LyingServer({"/view": slowly(head, b"x" * 600, 14, 0.1)})
    files = ServerFiles(ServerRequests(server.url, lambda: None), Pace(least=500, seconds=1.0))
    made = files.download(ENTRY, tmp_path)
    assert made.read_bytes() == b"x" * 8400


@pytest.mark.slow
def test_a_server_that_hardly_takes_a_file_is_one_sentence(tmp_path: Path) -> None:
    class Sipping(LyingServer):
        def _talk(self, connection: socket.socket) -> None:
            with connection:
                while not self.closed.wait(0.02) and connection.recv(1):
                    pass

    path = tmp_path / "speech.wav"
    path.write_bytes(bytes(40 << 20))
    server = Sipping({})
    files = ServerFiles(ServerRequests(server.url, lambda: None), QUICK)
    with pytest.raises(ServerError, match=r"to go on with /upload/image, but only [\d,]+ bytes"):
        files.upload(path)
    server.close()


@pytest.mark.slow
def test_pace_is_asked_again_after_enough_bytes() -> None:
    keeper = PaceKeeper(Pace(least=100, seconds=0.05))
    for done in (100, 200, 40, 140):  # the third starts over
        time.sleep(0.06)
        keeper.at(done)
    time.sleep(0.06)
    with pytest.raises(TooSlowError, match="only 99 bytes came"):
        keeper.at(239)
