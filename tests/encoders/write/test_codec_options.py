"""A user's encoder options: known ones work, and none can name a file, at any door."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarvideo.cli.main import main
from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.interfaces import QUALITIES, EncodingConfig
from avatarvideo.encoders.read.probe import probe
from avatarvideo.encoders.write.codec_options import checked_options, parse_options
from avatarvideo.encoders.write.codecs import (
    CODECS,
    HARDWARE_ENCODERS,
    encoder_options,
    safe_options,
    software_name,
)
from avatarvideo.encoders.write.custom_formats import read_format
from avatarvideo.encoders.write.hardware import hardware_options
from avatarvideo.encoders.write.known_options import ENCODERS, HARDWARE, LISTS, options_of
from avatarvideo.encoders.write.make_plan import make_plan
from avatarvideo.encoders.write.plan import PictureFacts
from avatarvideo.errors import EncodeError
from avatarvideo.nodes import NODE_CLASS_MAPPINGS
from avatarvideo.nodes.widgets import SAMPLES_DIRECTORY

Pictures = Callable[..., list[np.ndarray]]

# Codec, option, value, and the name that the refusal has to say.
HOSTILE = [
    ("h264", "x264-params", "dump_yuv=main.py", "dump_yuv"),
    ("h264", "x264-params", "DUMP-YUV=main.py", "DUMP-YUV"),
    ("h264", "X264_Params", "crf=20:dump-yuv=main.py", "dump-yuv"),
    ("h264", "x264-params", "crf=20: no-dump_yuv =main.py", "no-dump_yuv"),
    ("h264", "x264-params", "stats=main.py", "stats"),
    ("h264", "x264-params", "pass=1", "pass"),
    ("h264", "x264-params", "opencl=1", "opencl"),
    ("h264", "x264-params", "cqmfile=main.py", "cqmfile"),
    ("h264", "x264-params", "cqm=main.py", "cqm"),
    ("h264", "x264-params", "qpfile=main.py", "qpfile"),
    ("h264", "x264-params", "zones=0,1,stats=main.py", "zones"),
    ("h264", "x264opts", "dump-yuv=main.py", "dump-yuv"),
    ("h264", "x264opts", "opencl", "opencl"),
    ("h264", "x264-params", "crf=20\\:dump-yuv=main.py", "no slashes"),
    ("h264", "x264-params", "'dump-yuv'=main.py", "no slashes"),
    ("h264", "x264-params", "crf=20::", "''"),
    ("h264", "stats", "main.py", "stats"),
    ("h264", "STATS", "main.py", "STATS"),
    ("h264", "passlogfile", "main.py", "passlogfile"),
    ("h264", "flags", "+pass1", "pass1"),
    ("h264", "flags", "cgop+pass1", "pass1"),
    ("h264", "flags", "512", "512"),
    ("h264", "pass", "1", "pass"),
    ("h264", "-2pass", "1", "-2pass"),
    ("h264", "vstats_file", "main.py", "vstats_file"),
    ("h264", "f", "mpegts", "f"),
    ("h264", "y -i", "main.py", "y -i"),
    ("h264", "movflags", "faststart", "movflags"),
    ("h265", "x265-params", "scaling-list=main.py", "scaling-list"),
    ("h265", "x265-params", "Scaling_List=main.py", "Scaling_List"),
    ("h265", "x265-params", "csv=main.py", "csv"),
    ("h265", "x265-params", "recon=main.py", "recon"),
    ("h265", "x265-params", "analysis-save=main.py", "analysis-save"),
    ("h265", "x265-params", "lambda_file=main.py", "lambda_file"),
    ("h265", "x265-params", "zonefile=main.py", "zonefile"),
    ("h265", "x265-params", "pass=1:stats=main.py", "pass"),
    ("h265", "x265-stats", "main.py", "x265-stats"),
    ("h265", "x264-params", "crf=20", "x264-params"),
    ("av1", "svtav1-params", "stats=main.py", "stats"),
    ("av1", "svtav1-params", "fgs-table=main.py", "fgs-table"),
    ("av1", "svtav1-params", "recon=main.py", "recon"),
    ("av1", "svtav1-params", "mastering-display=1", "mastering-display"),  # would never end
    ("libaom-av1", "aom-params", "film-grain-table=main.py", "film-grain-table"),
    ("libaom-av1", "aom-params", "vmaf_model_path=main.py", "vmaf_model_path"),
    ("vp9", "ts-parameters", "ts_number_layers=1", "ts-parameters"),
    ("prores", "stats", "main.py", "stats"),
    ("ffv1", "flags", "pass1", "pass1"),
    ("mpeg4", "flags", "-pass1+pass1", "pass1"),
    ("libvvenc", "vvenc-params", "rcstatsfile=main.py", "vvenc-params"),
    ("h264_nvenc", "2pass", "1", "2pass"),
    ("h264_qsv", "load_plugins", "main.py", "load_plugins"),
    ("h264_vaapi", "vaapi_device", "main.py", "vaapi_device"),
    ("h264_amf", "writefile", "main.py", "writefile"),
    ("h264_videotoolbox", "stats", "main.py", "stats"),
    ("h264_omx", "omx_libname", "main.py", "omx_libname"),
]
DOORS = ("frames", "own ffmpeg", "format", "node", "command")
ATTEMPTS = [
    (door, *hostile)
    for door in DOORS
    for hostile in HOSTILE
    if door != "command" or "," not in hostile[2]  # there a comma ends the option
]


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, where an encoder would write."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def _container(codec: str) -> str:
    spec = CODECS.get(software_name(codec))
    return spec.containers[0] if spec else "mkv"


def _try(
    door: str, codec: str, options: dict[str, str], pictures: Pictures, ffmpeg: str, capsys: Any
) -> str:
    """Encode through a door into ``a.*`` of the working folder; return what it says."""
    container = _container(codec)
    out, frames = f"a.{container}", pictures(2)
    config = EncodingConfig(codec=codec, codec_options=options)
    if door == "command":
        given = ",".join(f"{name}={value}" for name, value in options.items())
        code = main(
            [
                *("video", "encode", str(SAMPLES_DIRECTORY / "talking_head.mp4"), "-o", out),
                *("--codec", codec, "--codec-options", given),
            ]
        )
        assert code != 0
        return " ".join(capsys.readouterr().err.split())
    if door == "own ffmpeg":
        config = replace(config, backend="own ffmpeg", ffmpeg=ffmpeg)
    with pytest.raises(EncodeError) as refused:
        _encode(door, frames, out, config)
    return str(refused.value)


def _encode(door: str, frames: list[np.ndarray], out: str, config: EncodingConfig) -> None:
    if door in ("format", "node"):
        container = out.rpartition(".")[2]
        _from_format(door, config.codec, container, dict(config.codec_options or {}))
    else:
        encode_frames(frames, out, frame_rate=Fraction(25), config=config)


def _from_format(door: str, codec: str, container: str, options: dict[str, str]) -> None:
    folder = Path("../formats")
    folder.mkdir()
    values = {"codec": codec, "container": container, "options": options}
    (folder / "bad.json").write_text(json.dumps(values))
    if door == "format":
        read_format(folder, "user/bad")
        return
    node = NODE_CLASS_MAPPINGS["FFmpegEncode"]
    widgets = node.INPUT_TYPES()["required"]
    defaults = {name: widget["default"] for name, (_, widget) in widgets.items()}
    path = str(SAMPLES_DIRECTORY / "talking_head.mp4")
    node().encode(**{**defaults, "path": path, "format": "user/bad"})


@pytest.mark.slow
@pytest.mark.parametrize(("door", "codec", "name", "value", "said"), ATTEMPTS)
def test_no_option_reaches_a_file(
    working_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    pictures: Pictures,
    ffmpeg: str,
    door: str,
    codec: str,
    name: str,
    value: str,
    said: str,
) -> None:
    monkeypatch.setenv("AVATAR_FORMATS", str(working_folder.parent / "formats"))
    monkeypatch.setenv("AVATAR_OUTPUT_DIR", str(working_folder.parent / "output"))

    sentence = _try(door, codec, {name: value}, pictures, ffmpeg, capsys)

    assert said in sentence
    assert "that name no files" in sentence
    encoder = CODECS[codec].encoder if codec in CODECS else codec
    assert f"options of {encoder} " in sentence
    assert list(working_folder.iterdir()) == []


def test_the_refusal_names_what_is_near(tmp_path: Path) -> None:
    with pytest.raises(EncodeError, match=r"similar ones are .*aq-mode"):
        checked_options({"aq-mod": "1"}, encoder="libx264", where="my.json")
    with pytest.raises(EncodeError, match=r"in 'my.json'.*similar ones are .*rc-lookahead"):
        checked_options({"x265-params": "rc-lokahead=1"}, encoder="libx265", where="my.json")
    with pytest.raises(EncodeError, match=r"known are .* and others"):
        checked_options({"zzzzzz": "1"}, encoder="qtrle", where="my.json")


def test_one_option_in_two_spellings_is_refused() -> None:
    twice = {"aq-mode": "1", "AQ_mode": "2"}
    with pytest.raises(EncodeError, match="once in 'codec_options', got AQ_mode twice"):
        checked_options(twice, encoder="libx264", where="codec_options")
    with pytest.raises(EncodeError, match="each encoder option once"):
        parse_options("g=1,g=2")


def test_names_are_passed_on_as_ffmpeg_spells_them() -> None:
    given = {"AQ_Mode": 1, "x264_params": "no-mbtree=1:Aq_Strength=0.8:deblock=-1,-1"}
    assert checked_options(given, encoder="libx264", where="x") == {
        "aq-mode": "1",
        "x264-params": "no-mbtree=1:Aq_Strength=0.8:deblock=-1,-1",
    }


def test_what_names_a_file_is_in_no_table() -> None:
    words = {
        *("file", "log", "stats", "recon", "csv", "yuv", "table", "load", "save", "path", "dir"),
        *("plugin", "lib", "pass", "passes", "cqm", "zones", "opencl", "scaling", "rpu"),
    }
    harmless = {"lookahead_level"}
    tables = {**ENCODERS, **HARDWARE, **LISTS, "": options_of("")}
    found = {
        (table, name)
        for table, names in tables.items()
        for name in names - harmless
        if set(name.lower().replace("_", "-").split("-")) & words
    }
    # "log-level" is a number.
    assert found == {("x265-params", "log-level")}


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("codec", [spec.name for spec in CODECS.values() if spec.is_ffmpeg])
def test_our_own_options_are_known(codec: str, quality: Any) -> None:
    spec = CODECS[codec]
    for form in spec.pixel_formats:
        options = encoder_options(spec, EncodingConfig(quality=quality), form)
        for width in (32, 640):
            given = safe_options(spec, options, width)
            assert checked_options(given, encoder=spec.encoder, where="ours") == given


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("encoder", HARDWARE_ENCODERS)
def test_our_own_hardware_options_are_known(encoder: str, quality: Any) -> None:
    spec = CODECS[software_name(encoder)]
    options = hardware_options(encoder, spec, EncodingConfig(quality=quality))
    assert checked_options(options, encoder=encoder, where="ours") == options


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["built-in", "own ffmpeg"])
@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("h264", {"tune": "film", "8x8dct": "0", "x264_params": "no-mbtree=1:AQ-mode=2:ref=2"}),
        ("h265", {"x265-params": "log-level=error:no-sao=1:aq_mode=1:cutree=0"}),
        ("av1", {"svtav1-params": "tune=0:film-grain=4"}),
        ("vp9", {"Auto_Alt_Ref": "0", "tune-content": "screen"}),
        ("prores", {"bits_per_mb": "2000"}),
        ("ffv1", {"coder": "1", "context": "1"}),
        ("mpeg4", {"flags": "+qpel+mv4", "b": "2M", "mbd": "rd", "color_range": "pc"}),
    ],
)
def test_known_options_encode(
    working_folder: Path,
    pictures: Pictures,
    ffmpeg: str,
    backend: Any,
    codec: str,
    options: dict[str, str],
) -> None:
    container = _container(codec)
    config = EncodingConfig(codec=codec, codec_options=options, backend=backend, quality="fast")

    encode_frames(pictures(3, 128, 96), f"a.{container}", frame_rate=Fraction(25), config=config)

    assert [path.name for path in working_folder.iterdir()] == [f"a.{container}"]
    assert probe(working_folder / f"a.{container}").frame_rate == "25/1"


def test_hardware_gets_its_options_and_its_stand_in_only_common_ones(tmp_path: Path) -> None:
    options = {"rc-lookahead": "20", "spatial_aq": "1", "g": "7"}
    config = EncodingConfig(codec="h264_nvenc", codec_options=options)

    plan = make_plan(tmp_path / "a.mp4", PictureFacts((256, 256), Fraction(25)), config)

    if plan.encoder == "h264_nvenc":
        assert options.items() <= plan.options.items()
    else:
        assert plan.options["g"] == "7"
        assert not {"rc-lookahead", "spatial_aq"} & set(plan.options)
        assert plan.notes[-1] == (
            "Options that only h264_nvenc has were ignored: rc-lookahead, spatial_aq."
        )
