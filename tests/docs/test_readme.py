"""Every command of the README and of the pages for users works as it stands there.

The first two blocks of the README, which set everything up, are what ``.ci/run`` runs.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatarvideo.cli.main import main
from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.read.picture import read_image
from avatarvideo.encoders.read.probe import probe
from avatarvideo.musetalk.inputs import load_speech
from avatarvideo.musetalk.weights.catalogue import CATALOGUE, destination

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "web" / "samples"
README = "README.md"
PAGES = (README, *(f"docs/{name}.md" for name in ("COMMAND_LINE", "FILES", "GALLERY", "LIPSYNC")))
BLOCK = re.compile(r"^(?:<!-- (ci:\w+) -->\n)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = ("bash", "bat")
PORTABLE = "ComfyUI_windows_portable"
PORTABLE_PYTHON = f"{PORTABLE}/python_embeded/python.exe"
COMFYS = ("ComfyUI", f"{PORTABLE}/ComfyUI")
# Where a block is meant to be run, by how it begins.
PLACES = {
    "git clone": PORTABLE,
    "..\\": f"{PORTABLE}/ComfyUI",
    "python custom_nodes": "ComfyUI",
}


@dataclass(frozen=True)
class Block:
    mark: str
    language: str
    text: str


def blocks_of(page: str) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))]


def test_the_readme_begins_with_what_ci_runs() -> None:
    blocks = blocks_of(README)
    assert [(block.mark, block.language) for block in blocks[:2]] == [
        ("ci:video", "bash"),
        ("ci:tests", "bash"),
    ]
    assert "avatar run workflows/talking_avatar.json" in blocks[0].text
    assert "pytest -q" in blocks[1].text
    assert {block.mark for block in blocks[2:]} == {""}


def test_no_block_is_of_a_kind_that_nothing_runs() -> None:
    kinds = {block.language for page in PAGES for block in blocks_of(page)}
    assert kinds == {*COMMANDS, "python", "json"}
    fences = sum((ROOT / page).read_text(encoding="utf-8").count("```") for page in PAGES)
    assert fences == 2 * sum(len(blocks_of(page)) for page in PAGES)


def test_what_to_install_beside_another_opencv_is_all_the_rest() -> None:
    line = next(b.text for b in blocks_of(README) if "pip install numpy" in b.text)
    wanted = (ROOT / "requirements.txt").read_text().split("\n")
    beside = [name for name in wanted if name and "opencv" not in name and "tomli" not in name]
    assert sorted(shlex.split(line)[4:]) == sorted(beside)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, mesh_models: Path) -> Path:
    """A clone's folder with the files that the pages speak of, short and small."""
    root = tmp_path_factory.mktemp("desk")
    picture = read_image(SAMPLES / "portrait.png")[::2, ::2]
    Image.fromarray(picture).save(root / "portrait.png")
    two = [np.concatenate([picture, picture[:, ::-1]], axis=1)] * 6
    encode_frames(two, root / "two.mp4", frame_rate=Fraction(10))
    encode_frames([picture] * 6, root / "clip.mp4", frame_rate=Fraction(25))
    for folder in ("people", "speeches", *(f"{comfy}/custom_nodes" for comfy in COMFYS)):
        (root / folder).mkdir(parents=True)
    (root / PORTABLE / "python_embeded").mkdir()
    shutil.copy(root / "portrait.png", root / "people")
    speech = load_speech(SAMPLES / "speech.flac", start=1, duration=0.5).clip
    for name in ("speech.wav", "ann.wav", "ben.wav", "music.flac", "speeches/hello.wav"):
        save_sound(root / name, speech.samples, speech.sample_rate)
    for part in ("web", "constraints.txt"):
        (root / part).symlink_to(ROOT / part)
    workflow = (ROOT / "workflows" / "talking_avatar.json").read_text(encoding="utf-8")
    (root / "workflow.json").write_text(workflow, encoding="utf-8")
    for comfy in COMFYS:
        for network in CATALOGUE.values():
            for file in network.files[:1]:
                path = destination(file, root / comfy / "models")
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as made:  # of its size, and of nothing else
                    made.truncate(file.size or 0)
        mesh = next(mesh_models.rglob("face_landmarker.task"))
        shutil.copy(mesh, next((root / comfy / "models").rglob("face_landmarker.task")))
    return root


def save_sound(path: Path, samples: np.ndarray, rate: int) -> None:
    import av

    whole = (samples[:1] * 32767).astype(np.int16)
    codec = "pcm_s16le" if path.suffix == ".wav" else "flac"
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(whole, format="s16", layout="mono")
        frame.sample_rate = rate
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)


def process(words: list[str], place: Path) -> str:
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def follow(block: Block, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a block's lines where they are meant to be run; each must end well."""
    begins = (place for start, place in PLACES.items() if block.text.startswith(start))
    place = root / next(begins, "")
    text = block.text.replace("\\", "/") if block.language == "bat" else block.text
    for line in text.splitlines():
        words = shlex.split(line.replace("ADDRESS", shlex.quote(str(ROOT))))
        monkeypatch.chdir(place)
        if words[0] == "avatar":
            assert main(words[1:]) == 0, line
        elif words[0] == "cd":
            place = place / words[1]
        elif words[0] == "git":
            process(words, place)
        elif words[0] == "python" or (place / words[0]).resolve() == root / PORTABLE_PYTHON:
            process([sys.executable, *words[1:]], place)
        else:
            pytest.fail(f"nothing runs {line!r}")


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="nothing to clone")
@pytest.mark.parametrize("page", PAGES)
def test_every_other_command_works(
    page: str,
    desk: Path,
    mesh_models: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {
        "AVATAR_MODELS": str(mesh_models),
        "PIP_NO_INDEX": "1",  # all that the pages install is here already,
        "PIP_NO_DEPS": "1",  # and what that needs is the affair of whoever made this environment
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }.items():
        monkeypatch.setenv(name, value)
    for block in blocks_of(page):
        if block.mark or block.language == "json":
            continue
        if block.language in COMMANDS:
            follow(block, desk, monkeypatch)
            continue
        monkeypatch.chdir(desk)
        capsys.readouterr()
        exec(block.text, {})
        assert capsys.readouterr().out.startswith("True ")
    if page == README:
        assert probe(desk / "both.mp4").width == 768
        assert probe(desk / "final.mp4").frame_count == 13
        assert (desk / "many" / "portrait" / "hello.mp4").exists()
        assert (desk / COMFYS[1] / "custom_nodes" / "ComfyUI-AvatarVideo" / "nodes").is_dir()
