"""Addresses of files that lie elsewhere: which are taken, and how they are shown."""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from ..errors import MediaError
from ..pasted import url_problem
from ..texts import one_line

STORES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}  # with the library that reads each
WEB = ("http", "https")
MEMORY = "memory"  # of one process
SCHEMES = (*STORES, *WEB, MEMORY)
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:{1,2}/?/")
LONGEST = 4000


class Address(NamedTuple):
    """An address that may be read. text: as it was written, which may carry a signature."""

    scheme: str
    text: str

    @property
    def shown(self) -> str:
        """The address for messages and keys, without what may be secret in it."""
        parts = urlsplit(self.text)
        return one_line(f"{parts.scheme}://{parts.netloc}{parts.path}", 200)


def address_in(text: str) -> Address | None:
    """Return the address that a text is, None for a path. Raises MediaError for a wrong one."""
    if os.path.isabs(text) or (not _ADDRESS.match(text) and "://" not in text):  # noqa: PTH117
        if problem := url_problem(text):
            raise MediaError(problem)
        return None
    scheme = text.partition(":")[0].lower()
    hosts = r"//\[[0-9A-Fa-f:.]*\]"  # of IPv6, which only the web's addresses have
    chained = "::" in (re.sub(hosts, "//", text, count=1) if scheme in WEB else text)
    if chained or scheme not in SCHEMES:
        # Chained and file addresses would let a list read what its writer may not.
        found = "a chained one (::)" if scheme in SCHEMES else f"one of {scheme[:20]!r}"
        raise MediaError(
            f"Expected a file or an address of {', '.join(SCHEMES)}, got {found}: "
            "give a path on this machine, or a plain address."
        )
    try:
        parts = urlsplit(text)
        is_whole = bool(parts.netloc and parts.path.strip("/")) or scheme == MEMORY
        has_secret = "@" in parts.netloc
    except ValueError:
        is_whole, has_secret = False, False
    if has_secret:
        raise MediaError(
            "Expected an address without a user name or password: credentials are read from the "
            "environment only."
        )
    if not is_whole or len(text) > LONGEST or re.search(r"[\x00-\x20\x7f\\]", text):
        raise MediaError(f"Expected an address such as {scheme}://NAME/FILE, got something else.")
    return Address(scheme, text)


def place_in(text: str) -> Address | None:
    """Return the address of a folder for results, None for a path. Raises MediaError."""
    scheme, mark, rest = text.partition("://")
    if mark and "::" not in text and scheme.lower() in (*STORES, MEMORY) and "/" not in rest:
        text += "/."  # a bucket as a whole
    address = address_in(text)
    if address is None:
        return None
    if address.scheme in WEB or set(address.text) & set("?#*["):
        raise MediaError(
            "Expected a folder for the results, on this machine or in a store such as "
            f"s3://bucket/folder, got {address.shown}: choose one of these."
        )
    return address._replace(text=address.text.removesuffix("/."))
