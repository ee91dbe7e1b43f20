"""Workflows out of the files that carry one: what ComfyUI and we keep in media."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from avatarvideo.cli.main import main
from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.errors import GraphError
from avatarvideo.headless.workflow_file import read_workflow

PROMPT = {"1": {"class_type": "LoadImage", "inputs": {"image": "é.png"}}}
EDITOR = {"nodes": [{"id": 1, "type": "LoadImage"}], "links": [], "version": 0.4}
KEPT = {"prompt": json.dumps(PROMPT), "workflow": json.dumps(EDITOR)}
PIXELS = np.full((32, 48, 3), 90, np.uint8)


def video(path: Path, tags: dict[str, str]) -> None:
    encode_frames(
        [PIXELS] * 3, path, frame_rate=Fraction(25), config=EncodingConfig(), metadata=tags
    )


def png(path: Path, tags: dict[str, str]) -> None:
    info = PngInfo()
    for name, text in tags.items():
        info.add_text(name, text)
    Image.fromarray(PIXELS).save(path, pnginfo=info)


def animated_png(path: Path, tags: dict[str, str]) -> None:
    info = PngInfo()
    for name, text in tags.items():
        info.add(b"comf", name.encode() + b"\0" + text.encode("latin-1"), after_idat=True)
    pictures = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    pictures[0].save(path, pnginfo=info, save_all=True, append_images=pictures[1:])


def webp(path: Path, tags: dict[str, str]) -> None:
    exif = Image.Exif()
    for number, (name, text) in enumerate(tags.items()):
        exif[0x0110 - number] = f"{name}:{text}"
    Image.fromarray(PIXELS).save(path, exif=exif)


def sound(path: Path, tags: dict[str, str]) -> None:
    with av.open(str(path), "w") as container:
        codec = {".mp3": "mp3", ".flac": "flac", ".opus": "libopus"}[path.suffix]
        stream = container.add_stream(codec, rate=16000)
        assert isinstance(stream, av.AudioStream)
        container.metadata.update(tags)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), layout="mono")
        frame.sample_rate = 16000
        container.mux([*stream.encode(frame), *stream.encode(None)])


def in_the_comment(path: Path, tags: dict[str, str]) -> None:
    video(path, {"comment": json.dumps(tags)})


MAKERS = [
    *((name, video) for name in ("a.mp4", "a.mov", "a.mkv", "a.webm", "a.gif")),
    ("a.png", png),
    ("b.png", animated_png),
    ("a.webp", webp),
    ("a.jpg", webp),
    ("a.avif", webp),
    ("a.opus", sound),
    ("a.flac", sound),
    ("a.mp3", sound),
    ("vhs.mp4", in_the_comment),
    ("named otherwise.json", png),
]


def made(path: Path, maker, tags) -> Path:
    real = path.with_suffix(".png") if path.suffix == ".json" else path
    maker(real, tags)
    return real.rename(path)


@pytest.mark.parametrize(("name", "maker"), MAKERS, ids=[name for name, _ in MAKERS])
@pytest.mark.parametrize("tags", [KEPT, {"prompt": KEPT["prompt"]}], ids=["both", "prompt"])
def test_a_file_gives_the_workflow_it_carries(tmp_path, name, maker, tags):
    expected = EDITOR if "workflow" in tags else PROMPT
    assert read_workflow(made(tmp_path / name, maker, tags)) == expected


def test_an_empty_workflow_gives_way_to_the_prompt(tmp_path):
    path = made(tmp_path / "a.png", png, KEPT | {"workflow": "null"})
    assert read_workflow(path) == PROMPT


@pytest.mark.parametrize(("name", "maker"), [("a.mp4", video), ("a.png", png), ("a.flac", sound)])
def test_a_file_without_one_is_a_sentence(tmp_path, name, maker):
    path = made(tmp_path / name, maker, {"title": "mine"})
    with pytest.raises(GraphError, match=r"a\.\w+ contains none: use a file that ComfyUI saved"):
        read_workflow(path)


def test_a_broken_workflow_in_a_picture_is_a_sentence(tmp_path):
    path = made(tmp_path / "a.png", png, {"workflow": '{"nodes": ['})
    with pytest.raises(GraphError, match=r"a\.png is broken"):
        read_workflow(path)


def test_the_command_runs_what_a_video_carries(tmp_path, capsys):
    Image.fromarray(PIXELS).save(tmp_path / "in.png")
    prompt = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "in.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    video(tmp_path / "flow.webm", {"prompt": json.dumps(prompt)})
    folders = ["--input-dir", str(tmp_path), "--output-dir", str(tmp_path / "out")]
    assert main(["run", str(tmp_path / "flow.webm"), *folders]) == 0
    shown = capsys.readouterr().out.strip()
    assert np.array_equal(np.asarray(Image.open(shown)), PIXELS)
