"""Reads files from web servers, redirected only to where the address itself could have led."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import IO, NamedTuple
from urllib.parse import urlsplit

from .. import __version__
from ..errors import MediaError
from ..headless.http_body import file_body
from ..web_opener import web_opener
from .addresses import Address

TIMEOUT = 60.0  # seconds without a byte
AGENT = f"avatarvideo/{__version__}"


class WebFile(NamedTuple):
    """What a server says of a file. tag: of its version, empty where it has none that counts."""

    size: int | None
    tag: str


class _Rechecked(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to http(s), never from https to http, nor from outside to inside."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if problem := _redirect_problem(req.full_url, newurl):
            fp.close()
            raise MediaError(f"redirects {problem}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _redirect_problem(before: str, after: str) -> str:
    """Return to where a redirect leads that may not, empty where it may."""
    old, new = urlsplit(before), urlsplit(after)
    allowed = ("https",) if old.scheme == "https" else ("http", "https")
    if new.scheme not in allowed or "@" in new.netloc:
        return f"to another kind of address ({new.scheme})"
    if is_public(old.hostname) and not is_public(new.hostname):
        return "into a private network"
    return ""


def is_public(host: str | None) -> bool:
    """Say whether every address of a host is on the public internet."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    addresses = [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    return bool(addresses) and all(address.is_global for address in addresses)


@contextmanager
def _opened(address: Address, **headers: str) -> Generator[http.client.HTTPResponse]:
    opener = web_opener(_Rechecked())
    request = urllib.request.Request(address.text, headers={"User-Agent": AGENT, **headers})
    try:
        with opener.open(request, timeout=TIMEOUT) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        error.close()
        raise MediaError(f"the server answered {error.code}") from None
    except urllib.error.URLError as error:
        raise MediaError(f"the server cannot be reached ({error.reason})") from None
    except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise MediaError(str(error) or type(error).__name__) from None


def look(address: Address) -> WebFile:
    """Return what is there, without reading it. Raises MediaError with part of a sentence."""
    # Signed addresses are often good for GET alone: one byte instead of HEAD.
    with _opened(address, Range="bytes=0-0") as answer:
        whole = answer.headers.get("Content-Range", "").rpartition("/")[2]
        is_part = answer.status == http.client.PARTIAL_CONTENT
        length = whole if is_part else str(answer.length)
        return WebFile(int(length) if length.isdecimal() else None, _tag(answer))


def read(address: Address) -> Iterator[tuple[bytes, str]]:
    """Yield a file's blocks, each with its version's tag. Raises MediaError as ``look`` does."""
    with _opened(address) as answer:
        tag = _tag(answer)
        for block in file_body(answer):
            yield block, tag


def _tag(answer: http.client.HTTPResponse) -> str:
    tag = answer.headers.get("ETag", "")
    return "" if tag.startswith("W/") else tag  # a weak one says little of the bytes
