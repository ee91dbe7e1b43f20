"""Which addresses a list may hold, and what of them is shown."""

from __future__ import annotations

import pytest

from avatarvideo.batch.addresses import address_in
from avatarvideo.errors import MediaError


@pytest.mark.parametrize(
    ("text", "scheme", "shown"),
    [
        ("s3://bucket/a/b.png", "s3", "s3://bucket/a/b.png"),
        ("gs://bucket/b.png", "gs", "gs://bucket/b.png"),
        ("az://box/b.png", "az", "az://box/b.png"),
        ("https://a.example/b.png?token=secret#x", "https", "https://a.example/b.png"),
        ("HTTP://a.example:81/b.png", "http", "http://a.example:81/b.png"),
        ("memory://b.png", "memory", "memory://b.png"),
        ("http://[fe80::1]:81/b.png", "http", "http://[fe80::1]:81/b.png"),
    ],
)
def test_addresses_are_shown_without_what_may_be_secret(text: str, scheme: str, shown: str) -> None:
    address = address_in(text)
    assert address is not None
    assert (address.scheme, address.shown, address.text) == (scheme, shown, text)


@pytest.mark.parametrize("text", ["a.png", "a/b.png", "/a/b://c.png", "C:\\a.png", "a::b.png", ""])
def test_paths_are_none(text: str) -> None:
    assert address_in(text) is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("file:///etc/passwd", "got one of 'file'"),
        ("ssh://host/a.png", "got one of 'ssh'"),
        ("reference://a.json", "got one of 'reference'"),
        ("simplecache::s3://bucket/a.png", "got one of 'simplecache'"),
        ("https://a.example/x::file:///etc/passwd", "got a chained one"),
        ("https://[::1]/x::file:///etc/passwd", "or a plain address"),
        ("s3://[::1]/b.png", "or a plain address"),
        ("zip://a.png::https://a.example/a.zip", "got one of 'zip'"),
        ("s3://key:geheim@bucket/a.png", "credentials are read from the environment only"),
        ("https://me@a.example/a.png", "credentials are read from the environment only"),
        ("https://a.example/a b.png", "Expected an address such as https://NAME/FILE"),
        ("https://a.example/", "Expected an address such as https://NAME/FILE"),
        ("https:///a.png", "Expected an address such as https://NAME/FILE"),
        ("s3://bucket", "Expected an address such as s3://NAME/FILE"),
        ("https://[::1/a.png", "or a plain address"),
        ("data:image/png,abc", "Expected a file, got the URL"),
    ],
)
def test_others_are_refused_without_telling_what_is_secret(text: str, sentence: str) -> None:
    with pytest.raises(MediaError) as refusal:
        address_in(text)
    assert sentence in str(refusal.value)
    assert "geheim" not in str(refusal.value)
