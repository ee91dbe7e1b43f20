"""``avatar run --server`` against a server that speaks ComfyUI's protocol and runs toy nodes."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from avatarvideo.cli.main import main
from avatarvideo.errors import Cancelled, GraphError, MediaError
from avatarvideo.headless.comfy_server import ComfyServer, ServerError
from avatarvideo.headless.execute import run
from avatarvideo.headless.run import Workflow
from avatarvideo.headless.server_answers import refusal
from avatarvideo.headless.server_events import websocket_library
from avatarvideo.headless.servers import Job, run_jobs
from avatarvideo.headless.validate import validate

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class ExecutionBlocker:
    def __init__(self, message):
        self.message = message


class Stopped(BaseException):
    """A run was interrupted."""


class FakeComfy(ThreadingHTTPServer):
    """A server of its own input and output folders, one run at a time.

    max_upload: bytes. lose_events: a run's events after its start do not arrive.
    dies: connections break in the middle of a run; with lose_events that of the events does not.
    breaks: path -> heads of the answers that come with half of the content, used up in turn.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.inputs, self.outputs = folder / "input", folder / "output"
        for place in (self.inputs, self.outputs):
            place.mkdir(parents=True)
        self.max_upload = 1 << 20
        self.lose_events = self.dies = False
        self.listeners: dict[str, list] = {}
        self.breaks: dict[str, list[str]] = {}
        self.history: dict[str, dict] = {}
        self.running: list[str] = []
        self.interrupted = threading.Event()
        self.deleted: list[str] = []
        self.prompts: list[dict] = []
        self.nodes = toy_nodes(self)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, request, client_address):
        """Say nothing: connections that break are part of the tests."""

    def send(self, client, kind, **about):
        if self.lose_events and kind not in ("status", "execution_start"):
            return
        text = json.dumps({"type": kind, "data": about}).encode()
        size = bytes([len(text)]) if len(text) < 126 else b"\x7e" + struct.pack(">H", len(text))
        preview = b"\x82\x08" + struct.pack(">I", 1) + b"JPEG"
        for connection in list(self.listeners.get(client, ())):
            with contextlib.suppress(OSError):  # a run goes on when who listened has gone
                connection.sendall(preview + b"\x81" + size + text)

    def run(self, prompt_id, prompt, client):
        status, messages, outputs = "success", [], {}

        def tell(kind, **about):
            self.send(client, kind, prompt_id=prompt_id, **about)

        def note(event):
            if event.kind == "start":
                tell("executing", node=event.node_id)
            elif event.ui:
                outputs[event.node_id] = event.ui
                tell("executed", node=event.node_id, output=event.ui)

        tell("execution_start")
        tell("execution_cached", nodes=[])
        try:
            result = run(prompt, self.nodes, on_event=note)
            for node_id, why in result.blocked.items():
                problem = {"exception_type": "ExecutionBlocked", "node_id": node_id}
                tell("execution_error", exception_message=f"Execution Blocked: {why}", **problem)
        except Stopped:
            status = "error"
            messages.append(["execution_interrupted", {"prompt_id": prompt_id}])
            tell("execution_interrupted")
        except GraphError as error:
            status = "error"
            node_id = re.findall(r"Node (\S+)", str(error))[0]
            problem = {"exception_type": "ValueError", "node_id": node_id}
            problem["exception_message"] = f"{error}\n"
            messages.append(["execution_error", problem])
            tell("execution_error", **problem)
        if status == "success":
            tell("execution_success")
        time.sleep(0.05)  # the history is written a moment after the last event
        self.running = []
        self.history[prompt_id] = {
            "outputs": outputs,
            "status": {"status_str": status, "completed": True, "messages": messages},
        }


class Handler(BaseHTTPRequestHandler):
    server: FakeComfy  # pyright: ignore[reportIncompatibleVariableOverride]  # the only one that makes us

    def log_message(self, format, *args):
        pass

    def answer(self, content, status=200):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        heads = self.server.breaks.get(urlsplit(self.path).path)
        if heads:
            head = heads.pop(0).format(length=len(body))
            half = body[: len(body) // 2]
            self.wfile.write(f"HTTP/1.0 {status} Half\r\n{head}\r\n\r\n".encode() + half)
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/ws":
            self.talk(query["clientId"])
        elif parts.path == "/object_info":
            self.answer({n: object_info(n, node) for n, node in self.server.nodes.items()})
        elif parts.path.startswith("/history/"):
            wanted = parts.path.rpartition("/")[2]
            self.answer({k: v for k, v in self.server.history.items() if k == wanted})
        elif parts.path == "/queue":
            entries = [[0, prompt_id, {}, {}, []] for prompt_id in self.server.running]
            self.answer({"queue_running": entries, "queue_pending": []})
        elif parts.path == "/view":
            self.answer((self.server.outputs / query["subfolder"] / query["filename"]).read_bytes())
        else:
            self.answer(b"nothing here", 404)

    def do_POST(self):
        size = int(self.headers["Content-Length"])
        if self.path == "/upload/image" and size > self.server.max_upload:
            self.rfile.read(size)
            self.answer(b"", 413)
            return
        body = self.rfile.read(size)
        if len(body) < size:  # the client hung up: a real server keeps nothing of it
            return
        if self.path == "/upload/image":
            self.answer(self.upload(body))
        elif self.path == "/prompt":
            self.prompt(json.loads(body))
        elif self.path == "/queue":
            self.server.deleted += json.loads(body)["delete"]
            self.answer({})
        elif self.path == "/interrupt":
            self.server.interrupted.set()
            self.answer({})

    def upload(self, body):
        (name,) = re.findall(r'filename="([^"]*)"', body.decode("latin-1"))
        content = body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
        target = self.server.inputs / name
        if target.exists() and target.read_bytes() != content:
            target = target.with_stem(f"{target.stem} (1)")
        target.write_bytes(content)
        return {"name": target.name, "subfolder": "", "type": "input"}

    def prompt(self, request):
        prompt, client = request["prompt"], request["client_id"]
        self.server.prompts.append(request)
        try:
            validate(prompt, self.server.nodes)
        except GraphError as error:
            node_id = next(iter(re.findall(r"Node (\S+)", str(error))), "1")
            found = [{"message": "Value not in list", "details": str(error)}]
            answer = {
                "error": {"message": "Prompt outputs failed validation", "details": ""},
                "node_errors": {node_id: {"errors": found, "class_type": "?"}},
            }
            self.answer(answer, 400)
            return
        prompt_id = f"run-{len(self.server.prompts)}"
        self.server.running = [prompt_id]
        self.answer({"prompt_id": prompt_id, "number": 1, "node_errors": {}})
        if self.server.dies:
            self.server.shutdown()
            self.server.server_close()
            if self.server.lose_events:
                return
            while not self.server.listeners.get(client):
                time.sleep(0.01)  # the client gave up waiting for its greeting
            for connection in self.server.listeners[client]:
                connection.shutdown(socket.SHUT_RDWR)
            return
        self.server.run(prompt_id, prompt, client)

    def talk(self, client):
        digest = hashlib.sha1((self.headers["Sec-WebSocket-Key"] + GUID).encode()).digest()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(digest).decode())
        self.end_headers()
        self.wfile.flush()
        listeners = self.server.listeners.setdefault(client, [])
        listeners.append(self.connection)
        self.server.send(client, "status", status={}, sid=client)
        with contextlib.suppress(OSError):
            while self.connection.fileno() >= 0 and self.connection.recv(1024):
                pass
        listeners.remove(self.connection)


def object_info(name, node):
    declared = node.INPUT_TYPES()
    return {
        "input": declared,
        "input_order": {group: list(entries) for group, entries in declared.items()},
        "output": node.RETURN_TYPES,
        "output_node": getattr(node, "OUTPUT_NODE", False),
        "display_name": name,
    }


def toy_nodes(server):
    def listed():
        return sorted(path.name for path in server.inputs.iterdir())

    class Load:
        RETURN_TYPES = ("WORDS",)
        FUNCTION = "load"
        INPUT_TYPES = classmethod(
            lambda cls: {
                "required": {
                    "file": (listed(), {"image_upload": True}),
                    "way": (["plain", "blocked", "broken", "slow"], {}),
                }
            }
        )

        @classmethod
        def IS_CHANGED(cls, **_):
            return float("nan")

        def load(self, file, way):
            if way == "blocked":
                return (ExecutionBlocker("too large: use video"),)
            if way == "broken":
                raise ValueError("the file is broken")
            for _ in range(500 if way == "slow" else 0):
                if server.interrupted.wait(0.02):
                    raise Stopped
            text = (server.inputs / file).read_text()
            return {"ui": {"text": [f"took {way}"]}, "result": (text,)}

    class SaveWords:
        OUTPUT_NODE = True
        RETURN_TYPES = ()
        FUNCTION = "save"
        INPUT_TYPES = classmethod(
            lambda cls: {"required": {"words": ("WORDS",), "prefix": ("STRING", {})}}
        )

        def save(self, words, prefix):
            (server.outputs / "talks").mkdir(exist_ok=True)
            (server.outputs / "talks" / f"{prefix}.txt").write_text(f"{words} from {server.url}")
            entry = {"filename": f"{prefix}.txt", "subfolder": "talks", "type": "output"}
            return {"ui": {"images": [entry], "text": [f"{len(words)} letters"]}}

    return {"Load": Load, "SaveWords": SaveWords}


@pytest.fixture
def servers(tmp_path):
    """Make servers; they end with the test."""
    made = []

    def make():
        made.append(FakeComfy(tmp_path / f"server{len(made)}"))
        return made[-1]

    yield make
    for server in made:
        server.interrupted.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def place(tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "speech.txt").write_text("hello")
    monkeypatch.chdir(folder)
    return folder


def workflow(path, way="plain", file="speech.txt", prefix="talk"):
    document = {
        "1": {
            "class_type": "Load",
            "inputs": {"file": file, "way": way},
            "_meta": {"title": "My words"},
        },
        "2": {"class_type": "SaveWords", "inputs": {"words": ["1", 0], "prefix": prefix}},
    }
    path.write_text(json.dumps(document))
    return path.name


@pytest.fixture
def avatar(capsys):
    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_workflow_is_sent_with_its_files_and_its_results_come_back(avatar, servers, place):
    server = servers()
    name = workflow(place / "flow.json")
    code, out, err = avatar("run", name, "--server", server.url, "--output-dir", "made")
    assert (code, err) == (0, "Load: took plain\n")
    assert out == f"5 letters\n{place / 'made' / 'talks' / 'talk.txt'}\n"
    assert files(place / "made") == ["talks/talk.txt"]
    assert (place / "made/talks/talk.txt").read_text() == f"hello from {server.url}"
    assert files(server.inputs) == ["speech.txt"]


def test_the_editors_format_goes_along_for_the_files(avatar, servers, place):
    server = servers()
    nodes = [
        {
            "id": 1,
            "type": "Load",
            "inputs": [],
            "outputs": [{"name": "WORDS", "type": "WORDS", "links": [1]}],
            "widgets_values": ["speech.txt", "plain", "image"],
        },
        {
            "id": 2,
            "type": "SaveWords",
            "inputs": [{"name": "words", "type": "WORDS", "link": 1}],
            "widgets_values": ["edited"],
        },
    ]
    document = {"nodes": nodes, "links": [[1, 1, 0, 2, 0, "WORDS"]], "version": 0.4}
    (place / "flow.json").write_text(json.dumps(document))
    code, out, _ = avatar("run", "flow.json", "--server", server.url, "--set", "2.prefix=mine")
    assert code == 0
    assert out.endswith("mine.txt\n")
    assert server.prompts[0]["extra_data"]["extra_pnginfo"]["workflow"] == document


def dynamic(branches):
    options = [{"key": key, "inputs": inputs} for key, inputs in branches.items()]
    return ("COMFY_DYNAMICCOMBO_V3", {"options": options})


def todays_node(server):
    """A node as the newest ComfyUI declares them, which writes what it got."""
    crf = {"required": {"crf": ("FLOAT", {"default": 23.0, "max": 51.0})}}
    codec = dynamic({"auto": {}, "h264": crf})

    class Today:
        OUTPUT_NODE = True
        RETURN_TYPES = ()
        FUNCTION = "save"
        INPUT_TYPES = classmethod(
            lambda cls: {
                "required": {
                    "words": ("WORDS",),
                    "rate": ("FLOAT,INT", {"default": 25, "widgetType": "FLOAT"}),
                    "color": ("COLOR", {"default": "#ffffff"}),
                    "format": dynamic({"auto": {}, "mp4": {"required": {"codec": codec}}}),
                    "last": ("STRING", {"default": "z"}),
                }
            }
        )

        def save(self, words, **values):
            (server.outputs / "talks").mkdir()
            (server.outputs / "talks" / "got.json").write_text(json.dumps(values))
            entry = {"filename": "got.json", "subfolder": "talks", "type": "output"}
            return {"ui": {"images": [entry]}}

    return Today


TODAY = {"rate": 29.97, "color": "#ff0000", "format": "mp4", "format.codec": "h264"}
TODAY |= {"format.codec.crf": 18.0, "last": "end"}


@pytest.mark.parametrize(
    ("saved", "named"),
    [
        (list(TODAY.values()), None),
        ([29.97, None, "#ff0000", "mp4", "h264", None, 18.0, "end"], None),  # holes
        (["shifted", *TODAY.values()], TODAY),
    ],
    ids=["by place", "with holes", "by name"],
)
def test_values_of_todays_widgets_arrive_by_their_dotted_names(
    avatar, servers, place, saved, named
):
    server = servers()
    server.nodes["Today"] = todays_node(server)
    nodes = [
        {"id": 1, "type": "Load", "widgets_values": ["speech.txt", "plain", "image"]},
        {
            "id": 2,
            "type": "Today",
            "inputs": [{"name": "words", "type": "WORDS", "link": 1}],
            "widgets_values": saved,
            **({"widgets_values_named": named} if named else {}),
        },
    ]
    document = {"nodes": nodes, "links": [[1, 1, 0, 2, 0, "WORDS"]], "version": 0.4}
    (place / "flow.json").write_text(json.dumps(document))

    code, _, err = avatar("run", "flow.json", "--server", server.url, "--output-dir", "made")

    assert code == 0, err
    assert server.prompts[0]["prompt"]["2"]["inputs"] == {"words": ["1", 0], **TODAY}
    assert json.loads((place / "made/talks/got.json").read_text()) == TODAY


def test_a_file_of_another_content_does_not_replace_the_servers(avatar, servers, place):
    server = servers()
    (server.inputs / "speech.txt").write_text("theirs")
    name = workflow(place / "flow.json")
    assert avatar("run", name, "--server", server.url)[0] == 0
    assert (place / "output/talks/talk.txt").read_text() == f"hello from {server.url}"
    assert files(server.inputs) == ["speech (1).txt", "speech.txt"]


def test_results_never_replace_files(avatar, servers, place):
    server = servers()
    name = workflow(place / "flow.json")
    for _ in range(2):
        assert avatar("run", name, "--server", server.url)[0] == 0
    assert files(place / "output") == ["talks/talk-2.txt", "talks/talk.txt"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"way": "broken"}, 'Node 1 "My words" (Load) failed on the server '),
        ({"way": "blocked"}, "did not do everything: Node 2 (SaveWords): too large: use video"),
        ({"way": "odd"}, 'refused the workflow: Node 1 "My words" (Load): Value not in list'),
        ({"file": "gone.txt"}, "refused the workflow: Node 1"),
    ],
)
def test_a_failure_names_node_and_server_in_one_line(avatar, servers, place, change, sentence):
    server = servers()
    name = workflow(place / "flow.json", **change)
    code, out, err = avatar("run", name, "--server", server.url)
    assert (code, out) == (1, "")
    assert sentence in err
    assert server.url in err
    assert err.count("\n") == 1
    assert files(place / "output") == []


def test_a_file_the_server_will_not_take_is_named_with_the_way_out(avatar, servers, place):
    server = servers()
    (place / "speech.txt").write_text("long " * 1_000_000)
    code, _, err = avatar("run", workflow(place / "f.json"), "--server", server.url)
    assert code == 1
    assert "refused the file speech.txt of 5000000 bytes" in err
    assert "--max-upload-size" in err


def test_a_broken_file_is_told_before_a_server_is_asked(avatar, place):
    (place / "flow.json").write_text("{")
    code, _, err = avatar("run", "flow.json", "--server", "http://127.0.0.1:9")
    assert code == 1
    assert "flow.json is broken" in err


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "127.0.0.1:9"])
def test_a_server_that_is_not_there_is_named(avatar, place, url):
    code, _, err = avatar("run", workflow(place / "flow.json"), "--server", url)
    assert (code, err.count("\n")) == (1, 1)
    assert "Cannot reach the server http://127.0.0.1:9" in err


@pytest.mark.parametrize("url", ["ftp://x", "http://[::1"])
def test_an_address_that_is_none_is_refused(avatar, place, url):
    code, _, err = avatar("run", workflow(place / "flow.json"), "--server", url)
    assert (code, err.count("\n")) == (1, 1)
    assert f"Expected a server as http://HOST:PORT, got {url!r}" in err


def test_an_address_with_a_password_is_refused_without_telling_it(avatar, place):
    code, _, err = avatar("run", workflow(place / "flow.json"), "--server", "http://me:pass@a.b")
    assert (code, err.count("\n")) == (1, 1)
    assert "without a name or password" in err
    assert "pass@" not in err


def test_another_server_than_comfyui_is_named(avatar, servers, place):
    server = servers()
    name = workflow(place / "flow.json")
    code, _, err = avatar("run", name, "--server", f"{server.url}/elsewhere")
    assert code == 1
    assert f"Expected a ComfyUI server at {server.url}/elsewhere, got status 404" in err


@pytest.mark.parametrize("way", ["plain", "broken"])
def test_an_end_without_an_event_is_found_in_the_history(servers, place, way):
    server = servers()
    server.lose_events = True
    (result,) = jobs_on([server], place, [workflow(place / "flow.json", way=way)], silence=0.2)
    if way == "plain":
        assert result.error is None
        assert [path.name for path in result.files] == ["talk.txt"]
    else:
        assert 'Node 1 "My words" (Load) failed' in str(result.error)


def test_a_server_that_forgot_the_run_is_given_up(servers, place):
    server = servers()
    server.run = lambda *_: server.running.clear()
    (result,) = jobs_on([server], place, [workflow(place / "flow.json")], silence=0.2)
    assert "no longer knows this run" in str(result.error)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["plain", "broken"])
def test_without_the_websocket_library_the_history_is_followed(
    avatar, servers, place, monkeypatch, way
):
    monkeypatch.setitem(sys.modules, "websocket", None)
    websocket_library.cache_clear()
    server = servers()
    name = workflow(place / "flow.json", way=way)
    try:
        code, _, err = avatar("run", name, name, "--server", server.url)
    finally:
        websocket_library.cache_clear()
    assert err.count("pip install websocket-client") == 1
    assert not server.listeners
    if way == "plain":
        assert code == 0
        assert files(place / "output") == ["talks/talk-2.txt", "talks/talk.txt"]
    else:
        assert code == 1
        assert 'Node 1 "My words" (Load) failed on the server' in err


def test_without_the_websocket_library_a_cancel_interrupts_the_run(servers, place, monkeypatch):
    monkeypatch.setitem(sys.modules, "websocket", None)
    websocket_library.cache_clear()
    server = servers()

    def check():
        if server.running:
            raise Cancelled("enough")

    try:
        with pytest.raises(Cancelled):
            jobs_on([server], place, [workflow(place / "flow.json", way="slow")], check=check)
    finally:
        websocket_library.cache_clear()
    assert server.interrupted.wait(2)


def jobs_on(servers, place, names, check=lambda: None, progress=lambda fraction: None, **more):
    def job(name):
        return Job(name, lambda declared: Workflow(json.loads((place / name).read_text()), None))

    return run_jobs(
        [job(name) for name in names],
        [server.url for server in servers],
        input_directory=place,
        output_directory=place / "output",
        check_cancelled=check,
        on_progress=progress,
        **more,
    )


def test_several_servers_share_the_workflows(servers, place):
    pair = [servers(), servers()]
    names = [workflow(place / f"{i}.json", prefix=f"talk{i}") for i in range(6)]
    fractions = []
    results = jobs_on(pair, place, names, progress=fractions.append)
    assert [r.job.name for r in results] == names
    assert [r.files[0].name for r in results] == [f"talk{i}.txt" for i in range(6)]
    assert {r.server for r in results} == {server.url for server in pair}
    assert fractions == sorted(fractions)


@pytest.mark.slow
def test_the_workflow_of_a_server_that_dies_goes_to_another(servers, place, caplog):
    dying, living = servers(), servers()
    dying.dies = True
    names = [workflow(place / f"{i}.json", prefix=f"talk{i}") for i in range(3)]
    with caplog.at_level("WARNING"):
        results = jobs_on([dying, living], place, names)
    assert f"Lost the server {dying.url}" in caplog.text
    assert [r.error for r in results] == [None] * 3
    assert {r.server for r in results} == {living.url}


def test_a_server_that_dies_without_a_word_is_noticed(servers, place):
    server = servers()
    server.dies = server.lose_events = True
    (result,) = jobs_on([server], place, [workflow(place / "flow.json")], silence=0.2)
    assert f"Cannot reach the server {server.url}" in str(result.error)


def test_without_a_server_left_every_workflow_fails(servers, place):
    dying = servers()
    dying.dies = True
    names = [workflow(place / f"{i}.json") for i in range(2)]
    results = jobs_on([dying], place, names)
    assert all(isinstance(r.error, ServerError) for r in results)


def test_one_failure_does_not_stop_the_other_workflows(avatar, servers, place):
    server = servers()
    names = [workflow(place / f"{w}.json", way=w, prefix=w) for w in ("broken", "plain")]
    code, out, err = avatar("run", *names, "--server", server.url)
    assert code == 1
    assert out.endswith("plain.txt\n")
    assert "broken.json: Node 1" in err
    assert err.endswith("Error: 1 of 2 workflows failed.\n")


@pytest.mark.slow
def test_a_cancel_interrupts_the_run_on_the_server(servers, place):
    server = servers()
    name = workflow(place / "flow.json", way="slow")
    began = time.monotonic()

    def check():
        if server.running and time.monotonic() - began > 0.3:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        jobs_on([server], place, [name], check=check)
    assert server.interrupted.wait(2)
    assert server.deleted == ["run-1"]
    assert time.monotonic() - began < 3


@pytest.mark.slow
def test_a_run_interrupted_by_somebody_else_is_a_failure(servers, place):
    server = servers()
    threading.Timer(0.3, server.interrupted.set).start()
    (result,) = jobs_on([server], place, [workflow(place / "flow.json", way="slow")])
    assert "was interrupted on the server" in str(result.error)


def test_a_result_never_takes_the_place_of_what_it_was_made_from(avatar, servers, place):
    server = servers()
    (place / "talks").mkdir()
    (place / "talks" / "talk.txt").hardlink_to(place / "speech.txt")
    name = workflow(place / "flow.json", file="talks/talk.txt")
    code, out, _ = avatar("run", name, "--server", server.url, "--output-dir", ".")
    assert (code, out.splitlines()[-1].endswith("talk-2.txt")) == (0, True)
    assert (place / "speech.txt").read_text() == "hello"
    assert (place / "talks" / "talk.txt").samefile(place / "speech.txt")


@pytest.mark.parametrize("subfolder", ["../..", "/etc", "talks/../../.."])
def test_a_result_outside_of_the_folder_is_refused(place, subfolder):
    entry = {"filename": "x.txt", "subfolder": subfolder, "type": "output"}
    with pytest.raises(ServerError, match="outside of its folder"):
        ComfyServer("http://127.0.0.1:9").download(entry, place)


ANNOUNCED = "Content-Length: {length}"
BREAKS = [ANNOUNCED, "Content-Length: 3", "Server: no length", "Transfer-Encoding: chunked"]


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("head", BREAKS)
def test_a_result_that_does_not_come_whole_is_no_result(avatar, servers, place, head):
    server = servers()
    server.breaks["/view"] = [head] * 9
    code, out, err = avatar("run", workflow(place / "flow.json"), "--server", server.url)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"Expected the whole answer of the server {server.url} to /view, but " in err
    assert files(place / "output") == []


def test_a_result_that_came_broken_is_asked_for_again(avatar, servers, place):
    server = servers()
    server.breaks["/view"] = [ANNOUNCED, ANNOUNCED]
    code, out, _ = avatar("run", workflow(place / "flow.json"), "--server", server.url)
    assert (code, server.breaks["/view"]) == (0, [])
    assert out.endswith("talk.txt\n")
    assert files(place / "output") == ["talks/talk.txt"]
    assert (place / "output/talks/talk.txt").read_text() == f"hello from {server.url}"


@pytest.mark.parametrize("path", ["/object_info", "/upload/image", "/prompt", "/history/run-1"])
@pytest.mark.parametrize("head", [ANNOUNCED, "Server: no length"])
def test_an_answer_that_does_not_come_whole_is_one_line(avatar, servers, place, path, head):
    server = servers()
    server.breaks[path] = [head] * 9
    code, out, err = avatar("run", workflow(place / "flow.json"), "--server", server.url)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("Error: Expected ")
    assert server.url in err


def test_what_a_server_says_of_each_input_is_said_once():
    sentence = "Expected crf 0 to 51 for h264, got 52: choose a smaller number."
    own = [
        {"type": "custom_validation_failed", "message": "No.", "details": f"{name} - {sentence}"}
        for name in ("codec", "crf", "container")
    ]
    other = {"type": "value_not_in_list", "message": "Value not in list", "details": "fit: 'x'"}
    node = {"errors": [*own, other, other], "class_type": "FFmpegEncode"}
    body = json.dumps({"error": {}, "node_errors": {"1": node}}).encode()
    prompt = {"1": {"class_type": "FFmpegEncode", "inputs": {}}}
    assert refusal(prompt, body, "http://a") == (
        f"The server http://a refused the workflow: Node 1 (FFmpegEncode): "
        f"{sentence[:-1]}; Node 1 (FFmpegEncode): Value not in list (fit: 'x')."
    )


def test_a_refusal_that_does_not_come_whole_is_one_line(avatar, servers, place):
    server = servers()
    server.breaks["/prompt"] = [ANNOUNCED]
    name = workflow(place / "flow.json", way="odd")
    code, out, err = avatar("run", name, "--server", server.url)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"The server {server.url} refused the workflow" in err


@pytest.mark.parametrize("change", ["shorter", "longer"])
def test_a_file_that_changes_while_it_is_sent_is_not_run(servers, place, change):
    server = servers()
    path = place / "speech.txt"
    path.write_bytes(b"word " * 1_000_000)
    size = path.stat().st_size
    server.max_upload = 2 * size

    def check():  # between two parts
        with path.open("r+b") as file:
            file.truncate(1000 if change == "shorter" else size + 1000)

    with pytest.raises(MediaError, match=r"bytes in .*speech\.txt, but it changed"):
        ComfyServer(server.url, check).upload(path)
    assert files(server.inputs) == []
