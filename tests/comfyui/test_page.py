"""ComfyUI's page in a real browser: what its user sees and drags, in both renderers.

Besides a ComfyUI, needs COMFY_BROWSER_PYTHON: a Python with playwright.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from avatarvideo.encoders.read.probe import probe
from avatarvideo.nodes import NODE_DISPLAY_NAME_MAPPINGS
from support.comfy_page import NODE, WIDGET, ComfyPage, PageError

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "web" / "samples"
EMPTY = {"nodes": [], "links": [], "version": 0.4, "last_node_id": 0, "last_link_id": 0}
SHORT = {"AudioToMel": {"duration": 0.4}, "FFmpegEncode": {"width": 256, "height": 256}}
# What users type, and what they mean.
SEARCHES = {
    "talking head": "MuseTalkLipSync",
    "talking avatar": "MuseTalkLipSync",
    "talking photo": "MuseTalkLipSync",
    "talking portrait": "MuseTalkLipSync",
    "lip sync": "MuseTalkLipSync",
    "lipsync": "MuseTalkLipSync",
    "wav2lip": "MuseTalkLipSync",
    "musetalk": "MuseTalkLipSync",
    "latentsync": "MuseTalkLipSync",
    "face animation": "MuseTalkLipSync",
    "dub": "MuseTalkLipSync",
    "mouth": "MuseTalkLipSync",
    "portrait": "LoadAvatar",
    "load avatar": "LoadAvatar",
    "load face": "LoadAvatar",
    "speech": "AudioToMel",
    "voice": "AudioToMel",
    "mel spectrogram": "AudioToMel",
    "load audio": "AudioToMel",
    "video combine": "FFmpegEncode",
    "video encode": "FFmpegEncode",
    "save video": "FFmpegEncode",
    "export": "FFmpegEncode",
    "mp4": "FFmpegEncode",
    "gif": "FFmpegEncode",
    "mux": "FFmpegEncode",
    "ffmpeg": "FFmpegEncode",
    "video info": "VideoInfo",
    "probe": "VideoInfo",
    "frame count": "VideoInfo",
}
# Our widgets that are elements of the page, by node class: is each one's own element on screen?
CONNECTED = """() => app.graph.nodes.flatMap((node) => (node.widgets ?? [])
  .filter((one) => one.element?.dataset?.avatarVideo)
  .map((one) => [node.type, one.element.isConnected]))"""
# What a node shows of its result: [[tag, width], ...], by either renderer.
SHOWN = f"""(kind) => {{ {NODE}
  const place = document.querySelector(`[data-node-id="${{node.id}}"]`);
  const all = [...(place?.querySelectorAll("img,video") ?? []), ...(node.imgs ?? []),
    ...(node.videoContainer?.querySelectorAll("video") ?? [])];
  return all.map((one) => [one.tagName, one.naturalWidth || one.videoWidth || 0]); }}"""
CANVAS = f"""() => {{ const [kind, name] = ["LoadAvatar", "avatar_preview"]; {WIDGET}
  const canvas = widget.element.querySelector("canvas");
  const box = canvas.getBoundingClientRect();
  return [box.x, box.y, box.width, box.height]; }}"""
# Where the two lip corners are drawn in their colour, as parts of the picture's sides.
LIPS = f"""() => {{ const [kind, name] = ["LoadAvatar", "avatar_preview"]; {WIDGET}
  const canvas = widget.element.querySelector("canvas");
  const {{width, height}} = canvas;
  if (!width || !height) return [];
  const {{data}} = canvas.getContext("2d").getImageData(0, 0, width, height);
  const side = Math.min(width, height), found = [];
  for (let at = 0; at < data.length; at += 4)
    if (data[at] > 240 && data[at + 1] < 120 && data[at + 2] < 150 && data[at + 3] > 200)
      found.push([((at / 4) % width - (width - side) / 2) / side,
        (Math.floor(at / 4 / width) - (height - side) / 2) / side]);
  return found; }}"""
# The frame of the chosen face by its colour, [x0, y0, x1, y1] on the canvas, and whether another
# frame is drawn at all.
FRAMES = f"""() => {{ const [kind, name] = ["LoadAvatar", "avatar_preview"]; {WIDGET}
  const canvas = widget.element.querySelector("canvas");
  const {{width, height}} = canvas;
  const {{data}} = canvas.getContext("2d").getImageData(0, 0, width, height);
  const chosen = [width, height, 0, 0];
  let others = 0;
  for (let at = 0; at < data.length; at += 4) {{
    const [red, green, blue, opaque] = data.slice(at, at + 4);
    const x = (at / 4) % width, y = Math.floor(at / 4 / width);
    if (opaque < 250) continue;
    if (red > 240 && green > 240 && blue > 240) others++;
    if (Math.abs(red - 80) + Math.abs(green - 255) + Math.abs(blue - 120) < 9)
      [chosen[0], chosen[1]] = [Math.min(chosen[0], x), Math.min(chosen[1], y)],
      [chosen[2], chosen[3]] = [Math.max(chosen[2], x), Math.max(chosen[3], y)];
  }}
  return [chosen, others > 20, width, height]; }}"""
TEXT = f"""() => {{ const [kind, name] = ["MuseTalkLipSync", "shown_text"]; {WIDGET}
  return widget.element.isConnected ? widget.element.value : "(not on the page)"; }}"""
NOTES = TEXT.replace("MuseTalkLipSync", "FFmpegEncode")
LIBRARY = """(app.extensionManager._p._s.get("subgraph")?.subgraphBlueprints
  ?.filter((one) => BLUEPRINTS.includes(one.display_name)).map((one) => one.description))"""
SOUNDS = """() => [...document.querySelectorAll("audio"), ...app.graph.nodes.flatMap((node) =>
  (node.widgets ?? []).map((one) => one.element).filter((one) => one instanceof HTMLAudioElement))]
  .map((one) => one.duration).filter((one) => one > 0)"""
RESULTS = """() => [...document.querySelectorAll(
  "[data-testid=result-item], .comfy-vue-node-search-container [role=option]")]
  .map((one) => one.innerText.split("\\n")[0].trim())"""
LABEL = "[data-testid=builder-widget-label]"
CONNECT = """(made) => {
  const add = ([kind, values], number) => {
    const node = LiteGraph.createNode(kind);
    app.graph.add(node);
    node.pos = [-500, 450 * number];
    for (const [name, value] of Object.entries(values))
      node.widgets.find((one) => one.name === name).value = value;
    return node;
  };
  const blueprint = app.graph.nodes[0];
  blueprint.pos = [0, 0];
  for (const [name, value] of Object.entries(made.widgets))
    blueprint.widgets.find((one) => one.name === name).value = value;
  const links = made.sources.map(([kind, values, slot, input], number) =>
    add([kind, values], number).connect(slot, blueprint, input));
  const target = add(made.target, 3);
  links.push(blueprint.connect(made.output, target, made.into));
  return links.every(Boolean); }"""


@pytest.fixture(scope="module", params=["classic", "nodes2"])
def renderer(request: pytest.FixtureRequest, host: Any) -> str:
    if request.param == "nodes2" and host.version < (0, 3, 76):
        pytest.skip("Nodes 2.0 came with ComfyUI 0.3.76")
    return request.param


@pytest.fixture(scope="module")
def page(renderer: str, host: Any, browser_python: str) -> Iterator[ComfyPage]:
    settings = {
        "Comfy.VueNodes.Enabled": renderer == "nodes2",
        "Comfy.NodeSearchBoxImpl.FollowCursor": False,  # a chosen node is put down at once
        "Comfy.TutorialCompleted": True,
        "Comfy.Notification.ShowVersionUpdates": False,
        "Comfy.Workflow.ShowMissingModelsWarning": False,
    }
    for name, value in settings.items():
        host.post(f"/settings/{name}", value)
    shutil.copy(SAMPLES / "talking_head.mp4", host.base / "input" / "head.mp4")
    opened = ComfyPage(browser_python, host.url)
    try:
        opened.open()
        yield opened
        # Ours, not the page's.
        assert not [one for one in opened.errors() if "ComfyUI-AvatarVideo" in one]
    finally:
        opened.close()


def template(page: ComfyPage, prefix: str, **encoder: object) -> None:
    """Open the template of the talking avatar, short and small, with results of its own."""
    page.load(json.loads((ROOT / "workflows" / "talking_avatar.json").read_text()))
    for kind, values in SHORT.items():
        page.set_widgets(kind, values)
    page.set_widgets("MuseTalkLipSync", {"mode": "puppet"})
    page.set_widgets("FFmpegEncode", {"filename_prefix": prefix, **encoder})


def written(host: Any, prefix: str) -> list[Path]:
    return sorted((host.base / "output").glob(f"{prefix}_*"))


def search(page: ComfyPage, words: str) -> list[str]:
    """Type into the page's search, which is open; return the names it offers."""
    page.call("keyboard.press", "Control+A")
    page.call("keyboard.type", words)
    page.pause(700)
    return page.evaluate(RESULTS)


def open_search(page: ComfyPage) -> None:
    """Double-click until it opens: the page takes two clicks for one where it is too busy."""
    for seconds in (10, 10, 10, 60):
        page.call("mouse.dblclick", 900, 880)
        try:
            page.wait_for("() => document.activeElement?.tagName === 'INPUT'", seconds=seconds)
        except PageError:
            if seconds == 60:
                raise
        else:
            return


def lips_shown(page: ComfyPage) -> np.ndarray:
    page.wait_for(f"() => ({LIPS})().length > 20")
    return np.array(page.evaluate(LIPS))


def test_the_sample_speech_can_be_heard(page: ComfyPage) -> None:
    page.load(json.loads((ROOT / "workflows" / "talking_avatar.json").read_text()))
    page.wait_for(f"() => ({SOUNDS})().length > 0")
    with av.open(SAMPLES / "speech.flac") as sample:
        assert sample.duration is not None
        assert page.evaluate(SOUNDS)[0] == pytest.approx(sample.duration / 1e6, abs=0.01)


def test_undo_and_redo_keep_our_widgets(page: ComfyPage, renderer: str) -> None:
    template(page, f"undone_{renderer}")
    ours = page.evaluate(CONNECTED)
    assert [kind for kind, _ in ours] == ["LoadAvatar", "MuseTalkLipSync"]
    page.move_node("MuseTalkLipSync", [40, 0])
    for act in (page.undo, page.redo, page.undo):
        act()
        page.wait_for(f"() => ({CONNECTED})().every(([kind, there]) => there)")
        assert len(page.evaluate(CONNECTED)) == len(ours)

    x, y, width, height = page.evaluate(CANVAS)
    side = min(width, height)  # the portrait is a square
    left, top = x + (width - side) / 2, y + (height - side) / 2
    start, end = (0.42, 0.6), (0.36, 0.52)  # parts of the sides: where a corner waits to be dragged
    page.call("mouse.move", left + start[0] * side, top + start[1] * side)
    page.call("mouse.down")
    page.call("mouse.move", left + end[0] * side, top + end[1] * side, steps=4)
    page.call("mouse.up")

    corners = [float(one) for one in page.widget("LoadAvatar", "mouth").split(",")]
    pixels = 768 / side  # of the picture for one of the page
    wanted = [end[0] * 768, end[1] * 768, 0.58 * 768, 0.6 * 768]
    assert corners == pytest.approx(wanted, abs=2 * pixels)

    page.set_widgets("LoadAvatar", {"mouth": ""})
    page.run()
    assert page.evaluate(TEXT).startswith("puppet: ")


@pytest.mark.parametrize(("container", "tag"), [("gif", "IMG"), ("webp", "IMG"), ("mp4", "VIDEO")])
def test_a_result_is_shown(
    page: ComfyPage, host: Any, renderer: str, container: str, tag: str
) -> None:
    prefix = f"shown_{container}_{renderer}"
    template(page, prefix, container=container)
    page.run()
    assert [path.suffix for path in written(host, prefix)] == [f".{container}"]
    page.wait_for(f"(kind) => ({SHOWN})(kind).some(([tag, width]) => width > 0)", "FFmpegEncode")
    assert {tuple(one) for one in page.evaluate(SHOWN, "FFmpegEncode")} == {(tag, 256)}
    assert "failed to load" not in page.evaluate("() => document.body.innerText.toLowerCase()")


def test_a_second_press_of_run_encodes_nothing(page: ComfyPage, host: Any, renderer: str) -> None:
    prefix = f"pressed_{renderer}"
    template(page, prefix)
    assert page.run()  # what earlier tests have not made yet, the encoder in any case
    assert page.run() == []
    assert len(written(host, prefix)) == 1


@pytest.mark.parametrize(
    ("kind", "values", "sentence"),
    [
        ("FFmpegEncode", {"filename_prefix": "../outside"}, "Expected a file name inside"),
        ("FFmpegEncode", {"codec": "prores", "container": "mp4"}, "holds prores (mov, mkv)"),
        ("AudioToMel", {"audio": "head.mp4"}, "'head.mp4' is a video without sound"),
    ],
)
def test_a_refusal_is_said_in_words(
    page: ComfyPage, renderer: str, kind: str, values: dict[str, object], sentence: str
) -> None:
    template(page, f"refused_{renderer}")
    page.set_widgets(kind, values)
    page.evaluate("async () => { try { await app.queuePrompt(0); } catch { } }")
    page.wait_for("(words) => document.body.innerText.includes(words)", sentence)
    page.call("keyboard.press", "Escape")  # older pages say it in a dialog
    page.evaluate("() => app.extensionManager.toast.removeAll?.()")


CHOICE = f"""([kind, name]) => {{ {WIDGET}
  return widget.options.getOptionLabel?.(widget.value) ?? null; }}"""


@pytest.fixture
def chinese(page: ComfyPage, host: Any) -> Iterator[None]:
    host.post("/settings/Comfy.Locale", "zh")
    page.open()
    try:
        yield
    finally:
        host.post("/settings/Comfy.Locale", "en")
        page.open()


@pytest.mark.usefixtures("chinese")
def test_a_chinese_page_is_chinese(page: ComfyPage, host: Any, renderer: str) -> None:
    page.load(json.loads((ROOT / "workflows" / "compare_modes.json").read_text()))
    titles = page.evaluate("() => app.graph.nodes.map((one) => one.title)")
    assert {"最佳模式", "木偶"} < set(titles)
    assert not {"Best mode", "Puppet"} & set(titles)

    template(page, f"chinese_{renderer}")
    assert page.evaluate(CHOICE, ["MuseTalkLipSync", "mode"]) == "木偶\uff08puppet\uff09"
    assert page.widget("MuseTalkLipSync", "mode") == "puppet"
    page.run()
    said = page.evaluate(TEXT)
    assert said.startswith("木偶\uff08puppet\uff09\uff1a已指定木偶模式\uff1b")
    assert "Expected" not in said
    assert written(host, f"chinese_{renderer}")

    page.set_widgets("FFmpegEncode", {"save_output": False})
    page.run()
    notes = page.evaluate("() => Object.values(app.nodeOutputs).flatMap((one) => one.text ?? [])")
    assert any(one.startswith("Not saved: ") for one in notes)  # as the server says it
    shown = page.evaluate(NOTES)
    assert shown.startswith("未保存\uff1a"), shown
    page.set_widgets("FFmpegEncode", {"codec": "h264", "crf": 60})
    page.evaluate("async () => { try { await app.queuePrompt(0); } catch { } }")
    page.wait_for("(words) => document.body.innerText.includes(words)", "h264 的 CRF 须在 0 到 51")
    page.call("keyboard.press", "Escape")
    page.evaluate("() => app.extensionManager.toast.removeAll?.()")

    if host.version >= (0, 3, 67):
        page.load(EMPTY)
        open_search(page)
        search(page, "Portrait speaks")
        page.call("keyboard.press", "Enter")
        page.wait_for("() => app.graph.nodes.length === 1")
        page.wait_for("() => app.graph.nodes[0].title === '照片开口说话'", seconds=10)
        slots = page.evaluate("() => app.graph.nodes[0].inputs.map((one) => one.label)")
        assert slots[:2] == ["头像", "语音"]
        told = f"{LIBRARY}.filter((one) => /[\u4e00-\u9fff]/.test(one)).length === 3"
        if page.evaluate(f"(BLUEPRINTS) => Boolean({LIBRARY})", list(BLUEPRINTS)):
            page.wait_for(f"(BLUEPRINTS) => {told}", list(BLUEPRINTS))


def test_a_refusal_stands_at_the_input_that_matters(page: ComfyPage, renderer: str) -> None:
    template(page, f"once_{renderer}")
    page.set_widgets("FFmpegEncode", {"codec": "h264", "crf": 60})
    refused = page.evaluate(
        """async () => {
          const {output, workflow} = await app.graphToPrompt();
          try { return (await app.api.queuePrompt(0, {output, workflow})).node_errors; }
          catch (error) { return error.response.node_errors; } }"""
    )
    (node,) = refused.values()
    assert [one["extra_info"]["input_name"] for one in node["errors"]] == ["crf"]
    assert "Expected crf 0 to 51 for h264, got 60" in node["errors"][0]["details"]
    page.evaluate("() => app.extensionManager.toast.removeAll?.()")


def test_after_a_reload_a_run_shows_mode_reason_and_lips(
    page: ComfyPage, host: Any, renderer: str
) -> None:
    template(page, f"reloaded_{renderer}")
    page.run()
    said = page.evaluate(TEXT)
    drawn = lips_shown(page)

    page.open()

    assert page.widget("FFmpegEncode", "filename_prefix") == f"reloaded_{renderer}"
    ran = page.run()
    kinds = {
        node["id"]: node["type"] for node in page.evaluate("() => app.graph.serialize().nodes")
    }
    assert "MuseTalkLipSync" not in {kinds[int(one)] for one in ran}  # its result was there
    assert page.evaluate(TEXT) == said
    assert said.startswith("puppet: a puppet was asked for; lips found")
    again = lips_shown(page)
    sample = json.loads((SAMPLES / "portrait.json").read_text())["lip_corners"]
    for seen in (drawn, again):
        assert seen[:, 0].min() == pytest.approx(sample[0] / 768, abs=0.05)
        assert seen[:, 0].max() == pytest.approx(sample[2] / 768, abs=0.05)
        assert seen[:, 1].mean() == pytest.approx((sample[1] + sample[3]) / 1536, abs=0.03)


def test_thirty_searches_find_the_node_that_is_meant(page: ComfyPage, host: Any) -> None:
    if host.version < (0, 11):
        pytest.skip("search aliases came with ComfyUI 0.11")
    page.load(EMPTY)
    open_search(page)
    ours = NODE_DISPLAY_NAME_MAPPINGS
    wrong = {}
    for words, meant in SEARCHES.items():
        offered = [name for name in search(page, words) if name in ours.values()]
        if ours[meant] not in offered[:2]:
            wrong[words] = offered
    page.call("keyboard.press", "Escape")
    assert len(SEARCHES) == 30
    assert wrong == {}


BLUEPRINTS: dict[str, dict[str, Any]] = {
    "Portrait speaks": {
        "widgets": {"mode": "puppet"},
        "sources": [
            ["LoadAvatar", {"avatar": "samples/portrait.png"}, 0, "avatar"],
            ["AudioToMel", {"audio": "samples/speech.flac", "duration": 0.4}, 1, "speech"],
        ],
    },
    "Dub a video": {
        "widgets": {"mode": "puppet", "loop": "loop"},
        "sources": [
            ["LoadVideo", {"file": "head.mp4"}, 0, "video"],
            ["AudioToMel", {"audio": "samples/speech.flac", "duration": 0.4}, 1, "speech"],
        ],
    },
    "Check a video": {
        "widgets": {"exact_count": True},
        "sources": [["LoadVideo", {"file": "head.mp4"}, 0, "video"]],
    },
}


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_a_blueprint_is_found_placed_and_run(
    page: ComfyPage, host: Any, renderer: str, name: str
) -> None:
    if host.version < (0, 3, 67):
        pytest.skip("blueprints of packs came with ComfyUI 0.3.67")
    prefix = f"{name.replace(' ', '_')}_{renderer}"
    page.load(EMPTY)
    open_search(page)
    assert search(page, name)[0] == name
    page.call("keyboard.press", "Enter")
    page.wait_for("() => app.graph.nodes.length === 1")
    made = {"output": 0, "into": "video", "target": ["FFmpegEncode", {"filename_prefix": prefix}]}
    if name == "Check a video":
        made = {"output": 1, "into": "source", "target": ["PreviewAny", {}]}

    assert page.evaluate(CONNECT, made | BLUEPRINTS[name])
    page.run()

    if name == "Check a video":
        texts = page.evaluate(
            "() => Object.values(app.nodeOutputs).flatMap((one) => one.text ?? [])"
        )
        assert any('"mode": "puppet"' in one for one in texts)  # of the lip-sync's report
        assert any("frames             75" in one for one in texts)
    else:
        (made_file,) = written(host, prefix)
        assert probe(made_file).as_dict()["frame_count"] == 10


def test_the_app_template_is_a_form_that_shows_its_result(
    page: ComfyPage, host: Any, renderer: str
) -> None:
    if host.version < (0, 16):
        pytest.skip("app mode came in 2026")
    prefix = f"app_{renderer}"
    document = json.loads((ROOT / "workflows" / "talking_avatar_app.json").read_text())
    page.load(document)
    wanted = document["extra"]["linearData"]["inputs"]
    items = "[data-testid=app-mode-widget-item]"
    page.wait_for(f"(n) => document.querySelectorAll('{items}').length === n", len(wanted))
    labels = page.evaluate(
        f"() => [...document.querySelectorAll('{items} {LABEL}')].map(one => one.innerText)"
    )
    assert len(labels) == len(wanted)
    assert "picture and lips" in labels
    assert not [label for label in labels if "_" in label]
    page.set_widgets("AudioToMel", {"duration": 0.4})
    page.set_widgets("FFmpegEncode", {"filename_prefix": prefix})
    page.run()
    shown = "[...document.querySelectorAll('[data-testid^=linear] video')]"
    page.wait_for(f"() => {shown}.some((one) => one.videoWidth === 768)")
    assert prefix in page.evaluate(f"() => {shown}[0].src")
    assert len(written(host, prefix)) == 1
    page.evaluate("() => { app.graph.extra.linearMode = false; }")


PAIR = (1024, 576)  # of the sample with two people, pixels
LEFT, RIGHT = (247, 278), (783, 278)  # middles of their faces


def click_at(page: ComfyPage, point: tuple[int, int]) -> float:
    """Click a point of the sample with two people; return how many pixels one of the page shows."""
    x, y, width, height = page.evaluate(CANVAS)
    scale = min(width / PAIR[0], height / PAIR[1])
    left, top = x + (width - PAIR[0] * scale) / 2, y + (height - PAIR[1] * scale) / 2
    page.call("mouse.click", left + point[0] * scale, top + point[1] * scale)
    page.pause(400)
    return 1 / scale


def chosen_point(page: ComfyPage) -> list[float]:
    return [float(one) for one in page.widget("LoadAvatar", "face_at").split(",") if one]


def chosen_frame(page: ComfyPage) -> tuple[list[float], bool]:
    """Where the chosen face is framed, in pixels of the sample, and whether others are."""
    (x0, y0, x1, y1), others, width, height = page.evaluate(FRAMES)
    scale = min(width / PAIR[0], height / PAIR[1])
    left, top = (width - PAIR[0] * scale) / 2, (height - PAIR[1] * scale) / 2
    box = [(x0 - left) / scale, (y0 - top) / scale, (x1 - left) / scale, (y1 - top) / scale]
    return box, others


def test_a_click_chooses_a_face(
    page: ComfyPage, host: Any, renderer: str, mesh_models: Path
) -> None:
    shutil.copytree(mesh_models, host.base / "models", dirs_exist_ok=True)
    page.load(json.loads((ROOT / "workflows" / "two_speakers.json").read_text()))
    first = page.widget("LoadAvatar", "face_at")

    pixel = click_at(page, RIGHT)
    clicked = page.widget("LoadAvatar", "face_at")
    assert chosen_point(page) == pytest.approx(RIGHT, abs=2 * pixel)
    page.undo()
    assert page.widget("LoadAvatar", "face_at") == first
    page.redo()
    assert page.widget("LoadAvatar", "face_at") == clicked
    saved = json.dumps(page.evaluate("() => app.graph.serialize()"))
    page.load(EMPTY)
    page.open()
    page.load(json.loads(saved))
    assert page.widget("LoadAvatar", "face_at") == clicked

    prefix = f"clicked_{renderer}"
    page.set_widgets("AudioToMel", {"duration": 0.4})
    page.set_widgets("MuseTalkLipSync", {"mode": "puppet"})
    page.set_widgets("FFmpegEncode", {"filename_prefix": prefix})
    page.run()
    assert len(written(host, prefix)) == 1
    (x0, y0, x1, y1), others = chosen_frame(page)
    assert x0 < RIGHT[0] < x1
    assert y0 < RIGHT[1] < y1
    assert x0 > 512
    assert others
    click_at(page, (LEFT[0] + 30, LEFT[1] + 20))
    middle = chosen_point(page)  # of the face that the run found
    assert middle == pytest.approx(LEFT, abs=30)
    (x0, _, x1, _), _ = chosen_frame(page)
    assert (x0 + x1) / 2 == pytest.approx(middle[0], abs=2 * pixel)
    click_at(page, (512, 60))
    assert page.widget("LoadAvatar", "face_at") == ""
