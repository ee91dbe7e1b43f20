"""An object store on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from support.optional_library import library


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An S3 store on this machine with a bucket; the environment has its address and keys."""
    library("s3fs")
    server = library("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing-key",
        "AWS_SECRET_ACCESS_KEY": "testing-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    # What other tests left: moto keeps it for all servers of a process.
    requests.post(f"http://{host}:{port}/moto-api/reset", timeout=60).raise_for_status()
    files = library("fsspec")
    files.get_filesystem_class("s3").clear_instance_cache()  # of another test's server
    store = files.filesystem("s3", use_listings_cache=False, skip_instance_cache=True)
    store.mkdir("bucket")
    yield store
    server.stop()
