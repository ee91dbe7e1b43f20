"""ComfyUI's page as its user sees it: nodes, widgets, searches and runs in a real browser."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any

import psutil

BROWSER = Path(__file__).with_name("browser.py")
START_SECONDS = 180  # the page is 10 MB of scripts
RUN_SECONDS = 180
CALL_SECONDS = 240  # of whatever a page is asked: a script that never returns has no limit there

READY = """() => window.app?.graph && app.canvas && app.extensionManager?.workflow?.activeWorkflow
  && !!window.LiteGraph?.registered_node_types.VideoInfo"""
# Counts what the server says of the runs that this page asked for.
LISTEN = """() => {
  window.runs = {ended: 0, failed: [], ran: []};
  const on = (name, take) => app.api.addEventListener(name, ({detail}) => take(detail));
  on("execution_start", () => { runs.ran = []; });
  on("executing", (id) => { if (id) runs.ran.push(String(id?.node ?? id)); });
  on("execution_success", () => { runs.ended++; });
  on("execution_interrupted", () => { runs.ended++; });
  on("execution_error", (one) => { runs.ended++; runs.failed.push(one.exception_message); });
}"""
TRACKER = "app.extensionManager.workflow.activeWorkflow.changeTracker"
# Of the nodes of a class, on the root graph.
NODE = "const node = app.graph.nodes.find((one) => one.type === kind);"
WIDGET = f"{NODE} const widget = node.widgets.find((one) => one.name === name);"


class PageError(AssertionError):
    """The browser could not do what a test asked for."""


class ComfyPage:
    """One browser with one page; ``call`` takes any method of playwright's page."""

    def __init__(self, python: str, address: str) -> None:
        self.address = address
        self._browser = subprocess.Popen(
            [python, str(BROWSER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def close(self) -> None:
        try:
            self._browser.communicate(timeout=30)  # the end of its input ends it
        except subprocess.TimeoutExpired:
            self._kill()
            raise

    def _kill(self) -> None:
        """End the browser's processes too, which would go on at full speed without their page."""
        player = psutil.Process(self._browser.pid)
        for process in [*player.children(recursive=True), player]:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def call(self, method: str, /, *given: object, **named: object) -> Any:
        assert self._browser.stdin is not None
        assert self._browser.stdout is not None
        asked = {"do": method, "with": given, "named": named}
        self._browser.stdin.write(json.dumps(asked) + "\n")
        self._browser.stdin.flush()
        watch = Timer(CALL_SECONDS, self._kill)
        watch.start()
        line = self._browser.stdout.readline()
        watch.cancel()
        if not line:
            raise PageError(f"the browser ended, or did not answer {method} in {CALL_SECONDS} s")
        answer = json.loads(line)
        if "error" in answer:
            raise PageError(answer["error"])
        return answer["value"]

    def evaluate(self, script: str, given: object = None) -> Any:
        return self.call("evaluate", script, given)

    def wait_for(self, script: str, given: object = None, *, seconds: float = 60) -> None:
        self.call("wait_for_function", script, arg=given, timeout=seconds * 1000)

    def pause(self, milliseconds: int) -> None:
        self.call("wait_for_timeout", milliseconds)

    def errors(self) -> list[str]:
        """Return the errors that scripts of the page, ours among them, did not catch."""
        return self.call("errors")

    def open(self) -> None:
        self.call("goto", self.address, wait_until="domcontentloaded", timeout=START_SECONDS * 1000)
        self.wait_for(READY, seconds=START_SECONDS)
        self.pause(1500)  # the page restores the last workflow
        self.evaluate(LISTEN)

    def load(self, document: Mapping[str, Any]) -> None:
        self.evaluate("async (one) => { await app.loadGraphData(one, true, true); }", document)
        self.pause(1500)

    def widget(self, kind: str, name: str) -> Any:
        return self.evaluate(f"([kind, name]) => {{ {WIDGET} return widget.value; }}", [kind, name])

    def set_widgets(self, kind: str, values: Mapping[str, object]) -> None:
        script = f"""([kind, values]) => {{
          for (const [name, value] of Object.entries(values)) {{
            {WIDGET}
            widget.value = value;
            widget.callback?.(value);
          }} }}"""
        self.evaluate(script, [kind, values])

    def move_node(self, kind: str, by: Sequence[int]) -> None:
        """Move a node so that there is something to undo."""
        script = f"""([kind, by]) => {{ {NODE}
          node.pos = [node.pos[0] + by[0], node.pos[1] + by[1]];
          const tracker = {TRACKER};
          (tracker.captureCanvasState ?? tracker.checkState).call(tracker); }}"""
        self.evaluate(script, [kind, by])
        self.pause(400)

    def undo(self) -> None:
        self.evaluate(f"async () => {{ await {TRACKER}.undo(); }}")
        self.pause(1500)

    def redo(self) -> None:
        self.evaluate(f"async () => {{ await {TRACKER}.redo(); }}")
        self.pause(1500)

    def run(self) -> list[str]:
        """Press Run and wait for the end; return the ids of the nodes that were run."""
        ended = self.evaluate("() => runs.ended")
        self.evaluate("async () => { await app.queuePrompt(0); }")
        self.wait_for("(ended) => runs.ended > ended", ended, seconds=RUN_SECONDS)
        failed = self.evaluate("() => runs.failed")
        assert not failed, failed
        self.pause(1500)
        return self.evaluate("() => [...runs.ran]")

    def screenshot(self, path: Path) -> None:
        self.call("screenshot", path=str(path))
