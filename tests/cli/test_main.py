"""The command line, driven in-process: exit code, stdout, stderr and the file left behind."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatarvideo import __version__
from avatarvideo.cli.main import main
from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.probe import probe
from avatarvideo.host.current import set_host
from avatarvideo.media import AudioClip
from avatarvideo.musetalk.interfaces import LipSyncConfig

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def avatar(tmp_path, monkeypatch, capsys):
    """Run the command in a folder of its own; returns code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    yield call
    set_host(None)


@pytest.fixture
def media(tmp_path):
    """A face-less picture, half a second of tone and a small video without sound."""
    Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(tmp_path / "face.png")
    tone = 0.4 * np.sin(np.arange(8000) / 9).astype(np.float32)
    frames = [np.full((48, 64, 3), 20 * i, np.uint8) for i in range(8)]
    encode_frames(frames, tmp_path / "mute.mp4", frame_rate=Fraction(25))
    clip = AudioClip(tone[None], 16000)
    encode_frames(frames, tmp_path / "talk.mkv", frame_rate=Fraction(25), audio=clip)
    write_wav(tmp_path / "speech.wav", tone)
    return tmp_path


def write_wav(path, samples, rate=16000):
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def workflow(**inputs):
    speaker = {"avatar": ["1", 0], "mel": ["2", 0], "mode": "static", "quality": "low"}
    speaker |= {"model": "v1.5", "fps": 25.0, "max_duration": 120.0, "bbox_shift": 0}
    speaker |= {"extra_margin": 10, "parsing_mode": "jaw", "left_cheek_width": 90}
    speaker |= {"right_cheek_width": 90, "landmarks_on": "whole frame", "loop": "pingpong"}
    speaker |= {"residency": "auto", "images_output": "never", "posterior": "mode"}
    return {
        "1": {
            "class_type": "LoadAvatar",
            "inputs": {"avatar": "face.png", "mouth": "", "face_index": 0},
        },
        "2": {
            "class_type": "AudioToMel",
            "inputs": {"audio": "speech.wav", "start": 0.0, "duration": 0.0},
        },
        "3": {
            "class_type": "MuseTalkLipSync",
            "inputs": speaker | {"sample_seed": 0} | inputs,
            "_meta": {"title": "Speaker"},
        },
        "4": {
            "class_type": "SaveVideo",
            "inputs": {"video": ["3", 1], "filename_prefix": "talk", "format": "auto"},
        },
    }


def write(path, document):
    path.write_text(json.dumps(document))
    return path.name


# What is there.


def test_version_and_help(avatar):
    assert avatar("--version") == (0, f"avatar, version {__version__}\n", "")
    code, out, _ = avatar("--help")
    assert code == 0
    assert "Make a portrait speak" in out


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (("video", "lipsync"), ["--quality", "--fps", "--config", "--mode", "--mouth", "--start"]),
        (("video", "encode"), ["--quality", "--crf", "--codec", "--preset", "--width", "--audio"]),
        (("video", "info"), ["--json", "-v"]),
        (("run",), ["--set", "--input-dir", "--output-dir", "--server"]),
    ],
)
def test_every_command_explains_its_options(avatar, command, options):
    code, out, _ = avatar(*command, "--help")
    assert code == 0
    for option in options:
        assert option in out


@pytest.mark.parametrize(
    ("command", "config"), [("lipsync", LipSyncConfig), ("encode", EncodingConfig)]
)
def test_every_field_of_the_configuration_is_an_explained_option(avatar, command, config):
    _, out, _ = avatar("video", command, "--help")
    starts = [text.split()[:1] for text in out.replace(",", " ").splitlines()]
    for field in dataclasses.fields(config):
        flag = "--" + {"speakers": "speaker"}.get(field.name, field.name).replace("_", "-")
        line = next(i for i, start in enumerate(starts) if start in ([flag], [f"{flag} /"]))
        block = " ".join(out.splitlines()[line : line + 2])
        assert len(block.split()) > 4, flag


def test_help_comes_before_torch_is_imported():
    script = (
        "import sys; from avatarvideo.cli.main import main; main(['--help']);"
        "main(['video', 'lipsync', '--help']); main(['video', 'encode', '--help']);"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_console_script_of_an_older_installation_still_runs():
    script = "import sys; from avatarvideo.cli import main; sys.exit(main())"  # as pip wrote it
    command = [sys.executable, "-c", script, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert __version__ in done.stdout


def test_the_package_runs_as_a_module():
    command = [sys.executable, "-m", "avatarvideo", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert __version__ in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["video", "lipsync", "face.png"],
        ["video", "lipsync", "face.png", "speech.wav"],
        ["video", "lipsync", "face.png", "speech.wav", "-o", "x.mp4", "--quality", "best"],
        ["video", "lipsync", "face.png", "speech.wav", "-o", "x.mp4", "--fps", "0.0001x"],
        ["video", "lipsync", "face.png", "speech.wav", "-o", "x.mp4", "--bbox-shift", "9999"],
        ["video", "lipsync", "face.png", "speech.wav", "-o", "x.mp4", "--mouth", "1,2"],
        ["video", "encode", "talk.mkv", "-o", "x.mp4", "--crf", "100"],
        ["video", "encode", "talk.mkv", "-o", "x.mp4", "--start", "soon"],
        ["video", "encode", "talk.mkv", "-o", "x.mp4", "--start", "1", "--audio", "speech.wav"],
        ["run"],
        ["run", "flow.json", "--set", "nonsense"],
    ],
)
def test_wrong_usage_is_exit_2_and_leaves_nothing(avatar, media, arguments):
    before = files(media)
    code, out, err = avatar(*arguments)
    assert (code, out) == (2, "")
    assert "Error: " in err
    assert files(media) == before


# Single videos.


def test_a_subcommand_without_its_group_is_told_the_whole_command(avatar):
    code, _out, err = avatar("encode", "a.mp4")
    assert code == 2
    assert err.splitlines()[-1] == (
        "Error: Expected one of run, video, batch, models, doctor, got 'encode': write "
        "'avatar video encode'."
    )


def test_lipsync_writes_one_video_and_says_how(avatar, media):
    before = files(media)
    code, out, err = avatar(
        *("video", "lipsync", "face.png", "speech.wav", "--output", "out.mp4"),
        *("--quality", "low", "--fps", "25", "--mode", "static"),
    )
    assert (code, err) == (0, "Mode static: a still picture was asked for\n")
    assert "out.mp4: static, 13 frames of 64x48 at 25 fps, 0.52 s, made in " in out
    assert out.count("\n") == 1
    assert sorted([*before, "out.mp4"]) == files(media)
    assert probe(media / "out.mp4", exact_count=True).frame_count == 13


def test_without_files_or_a_face_the_picture_stays_still_and_that_is_said(avatar, media):
    code, out, err = avatar("video", "lipsync", "face.png", "speech.wav", "-o", "out.mp4")
    assert code == 0
    assert ": static, " in out
    assert err.startswith("Mode static: MuseTalk's files are not installed; ")


def test_the_report_is_json_on_request(avatar, media):
    code, out, _ = avatar(
        *("video", "lipsync", "face.png", "speech.wav", "-o", "out.mp4"), "--mode=static", "--json"
    )
    result = json.loads(out)
    assert (code, result["success"], result["mode"]) == (0, True, "static")
    assert result["report"]["frames"] == 13


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("options.toml", 'mode = "static"\nfps = 50\nmax-duration = 9.5\n'),
        ("options.json", '{"mode": "static", "fps": 50, "max_duration": 9.5}'),
    ],
)
def test_a_configuration_file_sets_what_is_not_given(avatar, media, name, text):
    (media / name).write_text(text)
    command = ["video", "lipsync", "face.png", "speech.wav", "--config", name]
    assert avatar(*command, "-o", "file.mp4")[0] == 0
    assert avatar(*command, "-o", "given.mp4", "--fps", "10")[0] == 0
    assert probe(media / "file.mp4").fps == 50
    assert probe(media / "given.mp4").fps == 10


@pytest.mark.parametrize(
    ("text", "code", "sentence"),
    [
        ("mode = ", 1, "Expected TOML in o.toml, but it is broken"),
        ('mood = "static"', 1, "There is no option 'mood' in o.toml (did you mean 'mode'?)"),
        ('mode = "best"', 2, "Expected mode to be one of auto, musetalk, puppet, static"),
        ("bbox_shift = 'x'", 2, "Expected bbox_shift as a whole number, got 'x'"),
    ],
)
def test_a_wrong_configuration_file_is_explained(avatar, media, text, code, sentence):
    (media / "o.toml").write_text(text)
    found, _, err = avatar(
        *("video", "lipsync", "face.png", "speech.wav", "-o", "x.mp4", "--config", "o.toml")
    )
    assert found == code
    assert sentence in err
    assert not (media / "x.mp4").exists()


def test_encode_takes_quality_codec_crf_and_size(avatar, media):
    code, out, err = avatar(
        *("video", "encode", "talk.mkv", "--output", "out.mp4", "--quality", "fast"),
        *(
            "--crf",
            "30",
            "--codec",
            "libx264",
            "--preset",
            "ultrafast",
            "--width",
            "32",
            "--height",
            "24",
        ),
    )
    assert (code, err) == (0, "")
    assert "out.mp4: h264, 8 frames of 32x24 at 25 fps" in out
    found = probe(media / "out.mp4")
    assert (found.width, found.height, found.audio[0].sample_rate) == (32, 24, 16000)


def test_encode_takes_a_part(avatar, media):
    code, out, _ = avatar(
        *("video", "encode", "talk.mkv", "-o", "out.mp4", "--start", "0.08", "--duration", "0.16")
    )
    assert code == 0
    assert "out.mp4: h264, 4 frames of 64x48" in out


def test_a_switch_can_be_turned_off(avatar, media):
    command = ["video", "encode", "mute.mp4", "-o", "out.mp4", "--no-overwrite"]
    assert avatar(*command)[0] == 0
    code, _, err = avatar(*command)
    assert code == 1
    assert "'out.mp4' is taken" in err


def test_encode_puts_other_sound_under_a_video(avatar, media):
    code, _, _ = avatar("video", "encode", "mute.mp4", "-o", "out.mkv", "--audio", "speech.wav")
    assert code == 0
    assert np.array_equal(
        read_audio(media / "out.mkv").samples, read_audio(media / "speech.wav").samples
    )


def test_info_is_a_table_or_json(avatar, media):
    code, out, _ = avatar("video", "info", "talk.mkv")
    assert code == 0
    assert "64x48" in out
    code, out, _ = avatar("video", "info", "talk.mkv", "--json", "-v")
    found = json.loads(out)
    assert (found["frame_count"], found["frame_count_exact"], found["channels"]) == (8, True, 1)


# Workflows.


def test_a_workflow_runs_and_prints_the_files_it_wrote(avatar, media):
    name = write(media / "flow.json", workflow())
    code, out, err = avatar("run", name, "--output-dir", "made")
    assert code == 0
    assert out == f"{media / 'made' / 'talk_00001.mp4'}\n"
    assert err.splitlines()[-1] == "MuseTalk Lip Sync: static: a still picture was asked for"
    assert files(media / "made") == ["talk_00001.mp4"]
    assert probe(media / "made" / "talk_00001.mp4").frame_count == 13


@pytest.mark.slow
@pytest.mark.parametrize("target", ["3", "Speaker", "MuseTalkLipSync"])
def test_a_setting_finds_its_node_by_id_title_or_class(avatar, media, target):
    name = write(media / "flow.json", workflow())
    code, out, _ = avatar("run", name, "--set", f"{target}.fps=50", "--set", "4.format=mkv")
    assert code == 0
    assert probe(Path(out.strip())).fps == 50
    assert files(media / "output") == ["talk_00001.mkv"]


def test_a_setting_may_name_a_file_outside_the_input_folder(avatar, media):
    (media / "in").mkdir()
    name = write(media / "flow.json", workflow())
    code, out, _ = avatar(
        *("run", name, "--input-dir", "in", "--json"),
        *("--set", "LoadAvatar.avatar=face.png", "--set", "AudioToMel.audio=speech.wav"),
    )
    assert code == 0
    assert len(json.loads(out)["files"]) == 1


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("Other.fps=5", "Expected a node with the id, title or class 'Other', found none"),
        ("Speakr.fps=5", "the workflow has Node 1 (LoadAvatar), "),
        (
            "3.fsp=5",
            "Node 3 \"Speaker\" (MuseTalkLipSync) has no input 'fsp' (did you mean 'fps'?)",
        ),
        ("3.fps=500", "input 'fps': expected a value from 0.0 to 240.0, got 500"),
        ("3.mode=best", "input 'mode': expected one of auto, musetalk, puppet, static"),
        ("3.bbox_shift=many", "input 'bbox_shift': expected a whole number, got 'many'"),
        ("4.video=5", "input 'video': expected a link that brings VIDEO, got 5"),
    ],
)
def test_a_wrong_setting_names_the_node(avatar, media, setting, sentence):
    name = write(media / "flow.json", workflow())
    code, out, err = avatar("run", name, "--set", setting)
    assert (code, out) == (1, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert not (media / "output").exists()


def test_an_ambiguous_setting_lists_the_ids(avatar, media):
    twice = workflow()
    twice["9"] = twice["3"]
    name = write(media / "flow.json", twice)
    code, _, err = avatar("run", name, "--set", "MuseTalkLipSync.fps=5")
    assert code == 1
    assert "found 2: use an id, 3.fps or 9.fps" in err


@pytest.mark.slow
def test_the_shipped_workflow_runs_from_the_editors_file(avatar, tmp_path):
    code, out, _ = avatar(
        *("run", ROOT / "workflows" / "talking_avatar.json", "--output-dir", "."),
        *("--set", "MuseTalkLipSync.mode=static", "--set", "AudioToMel.duration=0.4"),
    )
    assert code == 0
    assert [Path(line).suffix for line in out.split()] == [".mp4"]


def test_several_workflows_run_one_after_the_other(avatar, media):
    names = [write(media / f"{i}.json", workflow(fps=10.0 * i)) for i in (1, 2)]
    code, out, _ = avatar("run", *names)
    assert code == 0
    assert [probe(Path(line)).fps for line in out.split()] == [10, 20]


def unknown_class(flow):
    flow["3"]["class_type"] = "MuseTalkLipSink"


def missing_input(flow):
    del flow["3"]["inputs"]["mel"]


def wrong_link(flow):
    flow["3"]["inputs"]["mel"] = ["1", 0]


def cycle(flow):
    flow["3"]["inputs"]["mask"] = ["3", 4]


def out_of_range(flow):
    flow["3"]["inputs"]["fps"] = 1000


def no_such_file(flow):
    flow["1"]["inputs"]["avatar"] = "gone.png"


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (unknown_class, "there is no node class 'MuseTalkLipSink' here (did you mean 'MuseTalk"),
        (missing_input, "input 'mel' (MEL) is missing"),
        (wrong_link, "input 'mel': expected MEL, got AVATAR from output 0 of Node 1 (LoadAvatar)"),
        (cycle, "its links form a loop, 3 -> 3"),
        (out_of_range, "input 'fps': expected a value from 0.0 to 240.0, got 1000"),
    ],
)
def test_a_broken_workflow_names_the_node_in_one_line(avatar, media, damage, sentence):
    flow = workflow()
    damage(flow)
    before = [*files(media), write(media / "flow.json", flow)]
    code, out, err = avatar("run", "flow.json")
    assert (code, out) == (1, "")
    assert 'Node 3 "Speaker"' in err
    assert sentence in err
    assert err.count("\n") == 1
    assert files(media) == sorted(before)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"1": {"class_type"', "Expected a workflow in JSON, but flow.json is broken"),
        ("[]", "flow.json holds list"),
        ("{}", "maps node ids to nodes, got dict without any node"),
        (None, "cannot read flow.json: No such file"),
    ],
)
def test_a_broken_file_is_one_line(avatar, tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "flow.json").write_text(text)
    code, out, err = avatar("run", "flow.json")
    assert (code, out) == (1, "")
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("folder", ["taken/deeper", "/proc/avatar"])
def test_an_output_folder_that_cannot_be_written_is_refused_before_the_run(avatar, media, folder):
    (media / "taken").write_text("a file, not a folder")
    write(media / "flow.json", workflow())
    before = files(media)
    code, out, err = avatar("run", "flow.json", "--output-dir", folder)
    assert (code, out) == (1, "")
    assert "Expected an output folder that can be written" in err
    assert err.count("\n") == 1
    assert files(media) == before


def test_a_node_that_fails_is_named_and_leaves_no_file(avatar, media):
    (media / "speech.wav").write_bytes(b"RIFF nothing")
    write(media / "flow.json", workflow())
    code, out, err = avatar("run", "flow.json")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("Error: Node 2 (AudioToMel): ")
    assert err.count("Error") == 1
    assert files(media / "output") == []


# Ctrl-C.


def stopped_by(number, folder, *arguments):
    """Signal the command once it writes; returns exit code, seconds to its last word and that."""
    process = subprocess.Popen(
        [sys.executable, "-m", "avatarvideo", *arguments],
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder / "made")},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list((folder / "made").rglob("*.part")):
        assert time.monotonic() < deadline, "the encoding did not begin"
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(number)
    began = time.monotonic()
    assert process.stderr is not None
    last_word = next((line for line in process.stderr if line.startswith("Stopped")), "")
    seconds = time.monotonic() - began  # Python's own end comes after it
    process.communicate(timeout=20)
    return process.returncode, seconds, last_word


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "expected", "arguments"),
    [
        (signal.SIGINT, 130, ["run", "flow.json", "--output-dir", "made"]),
        (
            signal.SIGTERM,
            143,
            ["video", "encode", "long.mp4", "-o", "made/x.mp4", "--preset", "placebo"],
        ),
    ],
)
def test_a_signal_stops_quickly_and_leaves_nothing(tmp_path, number, expected, arguments):
    picture = np.tile(np.arange(1280, dtype=np.uint8)[None, :, None], (720, 1, 3))
    Image.fromarray(picture).save(tmp_path / "face.png")
    write_wav(tmp_path / "speech.wav", np.zeros(16000 * 25))
    write(tmp_path / "flow.json", workflow())
    (tmp_path / "made").mkdir()
    fast = EncodingConfig(quality="fast", preset="ultrafast")
    encode_frames([picture] * 120, tmp_path / "long.mp4", frame_rate=Fraction(5), config=fast)
    code, seconds, last_word = stopped_by(number, tmp_path, *arguments)
    assert code == expected
    assert last_word == "Stopped; no half-written file was left behind.\n"
    assert seconds < 5  # of the 7 that it takes
    assert files(tmp_path / "made") == []


def test_running_the_package_runs_the_command() -> None:
    assert importlib.import_module("avatarvideo.__main__").command() is main
