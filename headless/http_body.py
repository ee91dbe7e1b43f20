"""The body of an HTTP answer, whole or not at all.

http.client ends a body silently where the connection ends, however much was announced, and reads
no further than was announced, however much there is.
"""

from __future__ import annotations

import select
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse, IncompleteRead

from ..json_values import MOST_BYTES

CHUNK = 1 << 20
MORE_SECONDS = 0.5  # for a server that keeps the connection open although asked to close it


class BrokenBody(HTTPException):
    """An answer whose end did not come, or that cannot be told from one."""


def json_body(answer: HTTPResponse, most: int | None = MOST_BYTES) -> Iterator[bytes]:
    """Yield a body that shows its own end; its length need not be announced.

    Raises BrokenBody when fewer bytes come than were announced, packed ones, or more than
    ``most``.
    """
    _refuse_packed(answer)
    wanted, got = answer.length, 0
    try:
        while chunk := answer.read1(CHUNK):
            got += len(chunk)
            if most is not None and max(got, wanted or 0) > most:
                raise BrokenBody(f"it is longer than {most:,} bytes")
            yield chunk
    except IncompleteRead:
        raise BrokenBody(f"the connection ended after {got:,} bytes") from None
    if wanted is not None and got < wanted:
        raise BrokenBody(f"the connection ended after {got:,} of {wanted:,} bytes")


def file_body(answer: HTTPResponse) -> Iterator[bytes]:
    """Yield a file. Raises BrokenBody unless exactly as many bytes come as were announced."""
    if answer.chunked:
        yield from json_body(answer, None)  # each chunk announces itself, the last one is empty
        return
    _refuse_packed(answer)
    wanted, got = answer.length, 0
    if wanted is None:
        raise BrokenBody("it does not say how many bytes there are")
    answer.length = None  # look behind what was announced
    while got < wanted and (chunk := answer.read1(CHUNK)):
        got += len(chunk)
        yield chunk
    if got < wanted:
        raise BrokenBody(f"the connection ended after {got:,} of {wanted:,} bytes")
    if got > wanted or _has_more(answer):
        raise BrokenBody(f"more came than the {wanted:,} bytes that were announced")


def _refuse_packed(answer: HTTPResponse) -> None:
    encoding = answer.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise BrokenBody(f"it is packed as {encoding!r}, which was not asked for")


def _has_more(answer: HTTPResponse) -> bool:
    try:
        readable, _, _ = select.select([answer], [], [], MORE_SECONDS)
        return bool(readable and answer.read1(1))
    except (OSError, ValueError):  # the connection is gone: nothing more comes
        return False
