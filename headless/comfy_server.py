"""One ComfyUI server over HTTP and WebSocket: definitions, prompts, and how a run goes."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from ..errors import GraphError
from ..json_values import JSON, is_list, is_object, list_in, object_in, text_in
from .patient_socket import Patience
from .prompt import NodeDefinition, Prompt
from .server_answers import RunProgress, ServerRun, event_of, note, progress_of, refusal
from .server_events import ConnectionLostError, NoEvents, WebSocketEvents, listen
from .server_files import ServerFiles
from .server_requests import TIMEOUT, ServerError, ServerRequests, StatusError

__all__ = ["ComfyServer", "RunProgress", "ServerError", "ServerRun"]

POLL_SECONDS = 0.05  # how often a wait asks whether the user cancelled
SILENCE_SECONDS = 5.0
HISTORY_SECONDS = 1.0  # how often the history is asked where no events can be heard
STOP_SECONDS = 0.8  # for telling a server to stop: whoever cancels does not wait longer
LONGEST_ID = 200  # characters


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
        self._requests = ServerRequests(url, check)
        self._files = ServerFiles(self._requests)
        self.url = self._requests.url
        self._check = check
        self._silence = silence
        self._client_id = uuid.uuid4().hex

    def definitions(self) -> dict[str, NodeDefinition]:
        """Return what the server's node classes declare, without those that say it wrongly."""
        info = self._requests.json("/object_info")
        if not is_object(info):
            raise ServerError(f"Expected a ComfyUI server at {self.url}, got another answer.")
        found: dict[str, NodeDefinition] = {}
        for name, one in info.items():
            self._check()
            with contextlib.suppress(TypeError, ValueError, AttributeError):
                found[name] = NodeDefinition.from_object_info(name, one)
        return found

    def upload(self, path: Path) -> str:
        """Put a file into the server's input folder and return its name there."""
        return self._files.upload(path)

    def download(self, entry: Mapping[str, JSON], folder: Path) -> Path:
        """Fetch a file that a node wrote and return where it lies."""
        return self._files.download(entry, folder)

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
            with listen(address, timeout=TIMEOUT, check=self._check) as events:
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
        # Not with our own check: it may be the one that ended the run.
        patience = Patience(lambda: None, STOP_SECONDS, STOP_SECONDS)
        ask = self._requests.asked
        ask("/queue", patience, {"delete": [prompt_id]})
        queue = self._requests.parsed(ask("/queue", patience))
        # Older servers interrupt whatever runs, so ask first whether that is ours.
        if prompt_id in _ids(queue, "queue_running"):
            ask("/interrupt", patience, {"prompt_id": prompt_id})

    def _submit(self, prompt: Prompt, extra_pnginfo: Mapping[str, JSON] | None) -> str:
        body = {"prompt": prompt, "client_id": self._client_id}
        if extra_pnginfo:
            body["extra_data"] = {"extra_pnginfo": extra_pnginfo}
        try:
            answer = self._requests.json("/prompt", body)
        except StatusError as error:
            raise GraphError(refusal(prompt, error.body, self.url)) from error
        prompt_id = text_in(answer, "prompt_id")
        if not 0 < len(prompt_id) <= LONGEST_ID:
            raise ServerError(f"Expected the id of the run from the server {self.url}, got none.")
        if object_in(answer, "node_errors"):
            # It would run what is valid and leave the rest out.
            self.stop(prompt_id)
            raise GraphError(refusal(prompt, json.dumps(answer).encode(), self.url))
        return prompt_id

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
            kind, about = event_of(message, prompt_id)
            if kind == "execution_success" or (kind == "executing" and about.get("node") is None):
                return self._finished(run, prompt_id)
            note(run, kind, about, prompt, self.url)
            progress = progress_of(run, kind, about, len(prompt))
            if progress is not None:
                on_progress(progress)

    def _ended(self, prompt_id: str, prompt: Prompt) -> bool:
        """Ask whether a run ended without our hearing of it. Raises when it failed or is gone."""
        queue = self._requests.json("/queue")
        if prompt_id in _ids(queue, "queue_running") + _ids(queue, "queue_pending"):
            return False
        history = self._history(prompt_id)  # written as the run leaves the queue
        if history is None:
            raise ServerError(f"The server {self.url} no longer knows this run: was it restarted?")
        for message in list_in(object_in(history, "status"), "messages"):
            if not is_list(message) or len(message) != 2 or not is_object(message[1]):
                continue
            if message[0] in ("execution_error", "execution_interrupted"):
                note(ServerRun(), message[0], message[1], prompt, self.url)
        return True

    def _finished(self, run: ServerRun, prompt_id: str) -> ServerRun:
        deadline = time.monotonic() + SILENCE_SECONDS
        while True:  # the last event comes a moment before the history is written
            history = self._history(prompt_id)
            if history is not None:
                outputs = object_in(history, "outputs")
                run.outputs = {n: dict(shown) for n, shown in outputs.items() if is_object(shown)}
                return run
            if time.monotonic() > deadline:
                raise ServerError(f"The server {self.url} keeps no result of this run.")
            self._check()
            time.sleep(POLL_SECONDS)

    def _history(self, prompt_id: str) -> Mapping[str, JSON] | None:
        answer = self._requests.json(f"/history/{quote(prompt_id, errors='surrogatepass')}")
        return object_in(answer, prompt_id) or None


def _ids(queue: JSON, name: str) -> list[JSON]:
    """Return the ids of the runs in a part of the queue."""
    return [one for entry in list_in(queue, name) if is_list(entry) for one in entry[:2]]
