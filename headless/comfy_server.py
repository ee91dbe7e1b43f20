"""One ComfyUI server over HTTP and WebSocket: definitions, uploads, prompts, results."""

from __future__ import annotations

import contextlib
import json
import logging
import mimetypes
import secrets
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, urlencode, urlsplit

from ..errors import AvatarVideoError, EncodeError, GraphError, MediaError
from ..json_values import JSON, is_object
from .http_body import BrokenBody, file_body, json_body
from .prompt import NodeDefinition, Prompt, describe, first_problems
from .server_events import ConnectionLostError, NoEvents, WebSocketEvents, listen

logger = logging.getLogger("avatarvideo.headless.comfy_server")

TIMEOUT = 60.0  # seconds for one answer; uploads and downloads count from byte to byte
POLL_SECONDS = 0.05  # how often a wait asks whether the user cancelled
SILENCE_SECONDS = 5.0
HISTORY_SECONDS = 1.0  # how often the history is asked where no events can be heard
DOWNLOAD_ATTEMPTS = 3  # of a result that comes broken
CHUNK = 1 << 20
BLOCKED = "ExecutionBlocked"  # this error stops one branch only; the run goes on


class ServerError(AvatarVideoError):
    """A server that cannot be reached, or that answers as no ComfyUI does."""


class _BrokenAnswerError(ServerError):
    """An answer that did not come whole."""


class _StatusError(ServerError):
    """The server answered with a status that means no; ``body`` says why."""

    def __init__(self, url: str, status: int, body: bytes) -> None:
        self.status, self.body = f"status {status}", body
        super().__init__(f"Expected a ComfyUI server at {url}, got {self.status}.")


@dataclass
class ServerRun:
    """What a server did with a prompt.

    outputs: node id -> what it shows, such as file entries.
    started: nodes that ran or whose results were there already.
    blocked: node id -> why an input was blocked.
    """

    outputs: dict[str, dict[str, JSON]] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    blocked: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunProgress:
    """How far a run is: nodes through, of how many, and how far the present one (0..1)."""

    node_id: str
    finished: int
    total: int
    part: float

    @property
    def fraction(self) -> float:
        return min(1.0, (self.finished + self.part) / max(1, self.total))


class ComfyServer:
    """A server. url: "http://host:port", with a path where it lies behind one.

    check: called again and again while waiting; may raise to stop.
    silence: seconds without an event after which the history is asked whether the run ended unseen.
    """

    def __init__(
        self,
        url: str,
        check: Callable[[], None] = lambda: None,
        *,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        wanted = f"Expected a server as http://HOST:PORT, got {url!r}."
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
        except ValueError as error:  # half an IPv6 address
            raise ServerError(wanted) from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ServerError(wanted)
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._check = check
        self._silence = silence
        self._client_id = uuid.uuid4().hex

    def definitions(self) -> dict[str, NodeDefinition]:
        """Return what the server's node classes declare."""
        info = self._json("/object_info")
        if not is_object(info):
            raise ServerError(f"Expected a ComfyUI server at {self.url}, got another answer.")
        return {name: NodeDefinition.from_object_info(name, one) for name, one in info.items()}

    def upload(self, path: Path) -> str:
        """Put a file into the server's input folder and return its name there.

        A file of the same name and content is used as it is; one of other content stays and
        ours gets another name.
        """
        boundary = uuid.uuid4().hex
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; '
            f'filename="{path.name.replace(chr(34), "_")}"\r\nContent-Type: {kind}\r\n\r\n'
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        size = 0
        try:
            size = path.stat().st_size
            headers = {
                "Content-Type": f"multipart/form-data; boundary={boundary}",
                "Content-Length": str(len(head) + size + len(tail)),
            }
            with path.open("rb") as file:
                body = self._sent(head, file, size, tail)
                saved = self._parsed(self._request("/upload/image", body, headers))
        except OSError as error:
            raise MediaError(f"Cannot read {path}: {error.strerror}.") from error
        except _StatusError as error:
            raise ServerError(
                f"The server {self.url} refused the file {path.name} of {size} bytes "
                f"({error.status}): a larger one needs its option --max-upload-size."
            ) from error
        return f"{saved['subfolder']}/{saved['name']}" if saved.get("subfolder") else saved["name"]

    def _sent(self, head: bytes, file: BinaryIO, size: int, tail: bytes) -> Iterator[bytes]:
        yield head
        left = size
        while chunk := file.read(CHUNK):
            self._check()
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
        if left:  # the server was told another length
            raise MediaError(
                f"Expected {size:,} bytes in {file.name}, but it changed while it was sent: "
                "wait until it is written."
            )
        yield tail

    def run(
        self,
        prompt: Prompt,
        *,
        extra_pnginfo: Mapping[str, JSON] | None = None,
        on_progress: Callable[[RunProgress], None] = lambda progress: None,
    ) -> ServerRun:
        """Run a prompt to its end. On every way out but success the server is told to stop it.

        Raises GraphError when the prompt is refused or fails, naming the node; ServerError when
        the server goes away; what ``check`` raises.
        """
        address = f"ws{self.url.removeprefix('http')}/ws?clientId={self._client_id}"
        try:
            with listen(address, timeout=TIMEOUT) as events:
                prompt_id = self._submit(prompt, extra_pnginfo)
                try:
                    return self._follow(events, prompt_id, prompt, on_progress)
                except BaseException:
                    with contextlib.suppress(ServerError):
                        self.stop(prompt_id)
                    raise
        except ConnectionLostError as error:
            raise ServerError(f"Lost the server {self.url}: {error}") from error

    def stop(self, prompt_id: str) -> None:
        """Take a prompt out of the queue, or interrupt it if it is the one that runs."""
        self._post("/queue", {"delete": [prompt_id]})
        running = self._json("/queue").get("queue_running", [])
        # Older servers interrupt whatever runs, so ask first whether that is ours.
        if any(prompt_id in entry[:2] for entry in running):
            self._post("/interrupt", {"prompt_id": prompt_id})

    def download(self, entry: Mapping[str, JSON], folder: Path) -> Path:
        """Fetch a file that a node wrote and return where it lies: under its own name if free."""
        name, subfolder = Path(str(entry["filename"])).name, str(entry.get("subfolder", ""))
        target = (folder / subfolder / name).resolve()
        if not name or not target.is_relative_to(folder.resolve()):
            raise ServerError(f"The server {self.url} named a file outside of its folder: {entry}.")
        query = {"filename": entry["filename"], "subfolder": subfolder}
        query["type"] = entry.get("type", "output")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".avatarvideo-{secrets.token_hex(6)}.part")
            try:
                self._fetch(f"/view?{urlencode(query)}", temporary)
                return _take_free_name(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise EncodeError(f"Could not write {target}: {error.strerror}.") from error
        except _StatusError as error:
            raise ServerError(
                f"The server {self.url} does not give {name}: {error.status}."
            ) from error

    def _fetch(self, path: str, temporary: Path) -> None:
        """Write a file of the server whole, or raise; one that comes broken is asked for again."""
        for attempt in range(1, DOWNLOAD_ATTEMPTS + 1):
            try:
                with temporary.open("wb") as file:
                    for chunk in self._chunks(path, read=file_body):
                        self._check()
                        file.write(chunk)
                return
            except _BrokenAnswerError as error:
                if attempt == DOWNLOAD_ATTEMPTS:
                    raise
                logger.info("%s It is asked for again.", error)

    def _submit(self, prompt: Prompt, extra_pnginfo: Mapping[str, JSON] | None) -> str:
        body = {"prompt": prompt, "client_id": self._client_id}
        if extra_pnginfo:
            body["extra_data"] = {"extra_pnginfo": extra_pnginfo}
        try:
            answer = self._parsed(self._post("/prompt", body))
        except _StatusError as error:
            raise GraphError(_refusal(prompt, error.body, self.url)) from error
        if answer.get("node_errors"):
            # It would run what is valid and leave the rest out.
            self.stop(answer["prompt_id"])
            raise GraphError(_refusal(prompt, json.dumps(answer).encode(), self.url))
        return answer["prompt_id"]

    def _follow(
        self,
        events: WebSocketEvents | NoEvents,
        prompt_id: str,
        prompt: Prompt,
        on_progress: Callable[[RunProgress], None],
    ) -> ServerRun:
        # The history does not say which nodes ran: those of a run that succeeded.
        run = ServerRun(started=set() if events.hears else set(prompt))
        silence = self._silence if events.hears else HISTORY_SECONDS
        heard = time.monotonic()
        while True:
            self._check()
            message = events.receive(POLL_SECONDS)
            if message is None:
                if time.monotonic() - heard > silence:
                    heard = time.monotonic()
                    if self._ended(prompt_id, prompt):
                        return self._finished(run, prompt_id)
                continue
            heard = time.monotonic()
            kind, about = _event(message, prompt_id)
            if kind == "execution_success" or (kind == "executing" and about.get("node") is None):
                return self._finished(run, prompt_id)
            _note(run, kind, about, prompt, self.url)
            progress = _progress(run, kind, about, len(prompt))
            if progress is not None:
                on_progress(progress)

    def _ended(self, prompt_id: str, prompt: Prompt) -> bool:
        """Ask whether a run ended without our hearing of it. Raises when it failed or is gone."""
        queue = self._json("/queue")
        waiting = [*queue.get("queue_running", ()), *queue.get("queue_pending", ())]
        if any(prompt_id in entry[:2] for entry in waiting):
            return False
        history = self._history(prompt_id)  # written as the run leaves the queue
        if history is None:
            raise ServerError(f"The server {self.url} no longer knows this run: was it restarted?")
        for kind, about in history.get("status", {}).get("messages", ()):
            if kind in ("execution_error", "execution_interrupted"):
                _note(ServerRun(), kind, about, prompt, self.url)
        return True

    def _finished(self, run: ServerRun, prompt_id: str) -> ServerRun:
        deadline = time.monotonic() + SILENCE_SECONDS
        while True:  # the last event comes a moment before the history is written
            history = self._history(prompt_id)
            if history is not None:
                run.outputs = history.get("outputs", {})
                return run
            if time.monotonic() > deadline:
                raise ServerError(f"The server {self.url} keeps no result of this run.")
            self._check()
            time.sleep(POLL_SECONDS)

    def _history(self, prompt_id: str) -> dict[str, JSON] | None:
        return self._json(f"/history/{quote(prompt_id)}").get(prompt_id)

    def _json(self, path: str) -> JSON:
        return self._parsed(self._request(path))

    def _parsed(self, body: bytes) -> JSON:
        try:
            return json.loads(body)
        except ValueError as error:
            raise ServerError(f"Expected a ComfyUI server at {self.url}, got {error}.") from error

    def _post(self, path: str, body: Mapping[str, JSON]) -> bytes:
        headers = {"Content-Type": "application/json"}
        return self._request(path, json.dumps(body).encode(), headers)

    def _request(
        self,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        return b"".join(self._chunks(path, body, headers))

    def _chunks(
        self,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        read: Callable[[HTTPResponse], Iterator[bytes]] = json_body,
    ) -> Iterator[bytes]:
        request = urllib.request.Request(self.url + path, body, dict(headers or {}))
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                yield from read(answer)
        except urllib.error.HTTPError as error:
            said = b""  # where the reason for a refusal does not come whole
            with error, contextlib.suppress(OSError, HTTPException):
                said = error.read()
            raise _StatusError(self.url, error.code, said) from error
        except BrokenBody as error:
            what = path.partition("?")[0]
            raise _BrokenAnswerError(
                f"Expected the whole answer of the server {self.url} to {what}, but {error}: look "
                "at its log and at proxies before it, and run it again."
            ) from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise ServerError(f"Cannot reach the server {self.url}: {reason}.") from error


def _event(message: str | bytes, prompt_id: str) -> tuple[str, Mapping[str, JSON]]:
    """Return kind and content of an event of our run; of previews and other runs nothing."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        event = json.loads(message)  # previews are no JSON
        kind, about = event["type"], event["data"]
        if is_object(about) and about.get("prompt_id") == prompt_id:
            return kind, about
    return "", {}


def _note(run: ServerRun, kind: str, about: Mapping[str, JSON], prompt: Prompt, url: str) -> None:
    """Take an event into account. Raises GraphError when it ends the run."""
    if kind == "execution_interrupted":
        raise GraphError(f"The run was interrupted on the server {url}.")
    if kind == "execution_error":
        node_id = str(about.get("node_id"))
        message = " ".join(str(about.get("exception_message", "")).split())
        if about.get("exception_type") == BLOCKED:
            run.blocked[node_id] = message.removeprefix("Execution Blocked: ")
            return
        where = describe(prompt, node_id)
        # Our own errors name what to do; others need their class to be understood.
        raise GraphError(f"{where} failed on the server {url}: {message}")
    if kind == "execution_cached":
        run.started |= {str(node) for node in about.get("nodes", ())}
    if kind == "executing":
        run.started.add(str(about.get("node")))


def _progress(
    run: ServerRun, kind: str, about: Mapping[str, JSON], total: int
) -> RunProgress | None:
    if kind not in ("execution_cached", "executing", "progress"):
        return None
    part = 0.0
    if kind == "progress" and about.get("max"):
        part = float(about.get("value", 0)) / float(about["max"])
    finished = len(run.started) - (kind != "execution_cached")
    return RunProgress(str(about.get("node", "")), max(0, finished), total, part)


def _refusal(prompt: Prompt, body: bytes, url: str) -> str:
    """Return a server's refusal of a prompt as one sentence."""
    try:
        answer = json.loads(body)
        node_errors: Mapping[str, JSON] = answer.get("node_errors") or {}
        problems = [
            f"{describe(prompt, node_id)}: {one.get('message')} ({one.get('details')})"
            for node_id, found in node_errors.items()
            for one in found.get("errors", ())
        ]
        error: Mapping[str, JSON] = answer.get("error") or {}
    except (ValueError, AttributeError):
        return f"The server {url} refused the workflow: {body[:200].decode('utf-8', 'replace')}"
    if not problems:
        problems = [f"{error.get('message', 'no reason given')} {error.get('details', '')}".strip()]
    shown = first_problems([" ".join(problem.split()) for problem in problems])
    return f"The server {url} refused the workflow: {shown}"


def _take_free_name(temporary: Path, target: Path) -> Path:
    """Give a finished file its name, or the next free one: nothing is overwritten."""
    name, number = target, 1
    while True:
        try:
            name.touch(exist_ok=False)
            return temporary.replace(name)
        except FileExistsError:
            number += 1
            name = target.with_stem(f"{target.stem}-{number}")
