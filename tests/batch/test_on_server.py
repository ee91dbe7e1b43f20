"""Jobs that a ComfyUI server makes: tests/comfyui makes them on a real one."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from avatarvideo.batch.on_server import OnServer
from avatarvideo.headless.comfy_server import ServerError
from avatarvideo.host.standalone import StandaloneHost


def test_a_server_that_stays_away_is_named(tmp_path: Path) -> None:
    with socket.socket() as held:  # a port on which nobody listens
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(ServerError, match=url):
            OnServer(url, StandaloneHost(), tmp_path).connect(0)
