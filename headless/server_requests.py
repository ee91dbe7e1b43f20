"""Requests to one server, whose answers are bounded in size, depth, count and time."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import IO, Any
from urllib.parse import urlsplit

from ..errors import AvatarVideoError
from ..json_values import JSON, parse_json
from ..pace import TooSlowError
from ..texts import one_line
from .http_body import BrokenBody, json_body
from .patient_socket import Patience, connect, secured

TIMEOUT = 60.0  # seconds without a byte that end an answer, an upload or a download
ANSWER_SECONDS = 120.0  # for the whole of an answer, and for the head of a download
SHOWN_BYTES = 80  # of an answer that is none
MOST_SAID = 4 << 20  # bytes that are read of a refusal

Body = bytes | Iterator[bytes] | None


class ServerError(AvatarVideoError):
    """A server that cannot be reached, or that answers as no ComfyUI does."""


class BrokenAnswerError(ServerError):
    """An answer that did not come whole."""


class StatusError(ServerError):
    """The server answered with a status that means no; ``body`` says why."""

    def __init__(self, url: str, status: int, body: bytes) -> None:
        self.status, self.body = f"status {status}", body
        super().__init__(f"Expected a ComfyUI server at {url}, got {self.status}.")


class ServerRequests:
    """What is asked of one server. check: called again and again while waiting; may raise."""

    def __init__(self, url: str, check: Callable[[], None]) -> None:
        wanted = f"Expected a server as http://HOST:PORT, got {one_line(url)!r}."
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            _ = parts.port
        except ValueError as error:  # half an IPv6 address, or a port that is none
            raise ServerError(wanted) from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ServerError(wanted)
        if "@" in parts.netloc:
            raise ServerError(
                "Expected a server as http://HOST:PORT, without a name or password: these are not "
                "sent, and would be shown."
            )
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self.check = check

    def json(self, path: str, body: Mapping[str, JSON] | None = None) -> JSON:
        """Return what the server answers; a body is posted as JSON."""
        return self.parsed(self.request(path, body))

    def request(self, path: str, body: Mapping[str, JSON] | None = None) -> bytes:
        """Return the bytes of an answer."""
        patience = Patience(self.check, TIMEOUT, ANSWER_SECONDS)
        return self.asked(path, patience, body)

    def asked(self, path: str, patience: Patience, body: Mapping[str, JSON] | None = None) -> bytes:
        """Return the bytes of an answer that may take as long as a patience lasts."""
        if body is None:
            return b"".join(self.chunks(path, patience))
        headers = {"Content-Type": "application/json"}
        return b"".join(self.chunks(path, patience, json.dumps(body).encode(), headers))

    def parsed(self, body: bytes) -> JSON:
        """Read an answer. Raises ServerError for what is no JSON, or too much of it."""
        try:
            return parse_json(body)
        except ValueError as error:
            found = one_line(error)
            if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)):
                said = one_line(body[:SHOWN_BYTES].decode("utf-8", "replace"))
                found = f"an answer that is not JSON ({said!r})" if said else "an empty answer"
            raise ServerError(f"Expected a ComfyUI server at {self.url}, got {found}.") from error

    def chunks(
        self,
        path: str,
        patience: Patience,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        read: Callable[[HTTPResponse], Iterator[bytes]] = json_body,
    ) -> Iterator[bytes]:
        """Yield an answer as it comes. Raises ServerError and what the patience's check raises."""
        request = urllib.request.Request(self.url + path, body, dict(headers or {}))
        try:
            with _opener(patience).open(request) as answer:
                if read is not json_body:
                    patience.for_file()
                for part in read(answer):
                    patience.moved(len(part))
                    yield part
        except urllib.error.HTTPError as error:
            said = b""  # where the reason for a refusal does not come whole
            with contextlib.suppress(OSError, HTTPException, ValueError), error:
                said = error.read(MOST_SAID)
            raise StatusError(self.url, error.code, said) from error
        except BrokenBody as error:
            raise BrokenAnswerError(
                f"Expected the whole answer of the server {self.url} to {path.partition('?')[0]}, "
                f"but {error}: look at its log and at any proxy in front of it, and run again."
            ) from error
        except (OSError, HTTPException, ValueError) as error:  # a redirect to no address at all
            reason = getattr(error, "reason", None) or error
            raise ServerError(self._trouble(reason, path)) from error

    def _trouble(self, reason: object, path: str) -> str:
        if isinstance(reason, TooSlowError):
            return (
                f"Expected the server {self.url} to go on with {path.partition('?')[0]}, but "
                f"{reason}: look at its log and at the connection, and run again."
            )
        return f"Cannot reach the server {self.url}: {one_line(reason)}."


def _opener(patience: Patience) -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_Plain(patience), _Secure(patience), _SameHost())


class _Connection(HTTPConnection):
    def __init__(self, host: str, *, patience: Patience, **more: Any) -> None:  # as urllib gives it
        super().__init__(host, **more)
        self.patience = patience

    def connect(self) -> None:
        self.sock = connect(self.host, self.port, self.patience)
        # What HTTPConnection itself does for a proxy that passes TLS through.
        if getattr(self, "_tunnel_host", None):
            getattr(self, "_tunnel")()  # noqa: B009 - no public name


class _SecureConnection(_Connection):
    default_port = 443

    def connect(self) -> None:
        super().connect()
        name = getattr(self, "_tunnel_host", None) or self.host
        self.sock = secured(self.sock, name, self.patience)


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, patience: Patience) -> None:
        super().__init__()
        self._patience = patience

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(partial(_Connection, patience=self._patience), req)


class _Secure(urllib.request.HTTPSHandler):
    def __init__(self, patience: Patience) -> None:
        super().__init__()
        self._patience = patience

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(partial(_SecureConnection, patience=self._patience), req)


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows a redirect on the same host: what is sent was meant for nobody else."""

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message
    ) -> Any:  # as its parent, which reads whatever comes with a redirect to its end
        fp.close()
        return super().http_error_302(req, fp, code, msg, headers)  # type: ignore[arg-type]

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,  # as its parent
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        same = (new.scheme, new.hostname, new.port) == (old.scheme, old.hostname, old.port)
        safer = new.scheme == "https" and (new.hostname, new.port) == (old.hostname, None)
        if not same and not safer:
            raise ServerError(
                f"The server {req.full_url.partition('?')[0]} redirects to another host "
                f"({one_line(newurl)}), which is not followed: give that host as the server."
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)
