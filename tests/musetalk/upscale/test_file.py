"""Files of upscale models open, safely, or one sentence says what is wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from avatarvideo.cli.main import main
from avatarvideo.errors import CheckpointError, MissingLibraryError
from avatarvideo.musetalk.upscale import file as upscale_file
from avatarvideo.musetalk.upscale.file import load_descriptor

SAMPLES = Path(__file__).resolve().parents[3] / "web" / "samples"


@pytest.fixture
def state(oracle: Any) -> dict[str, torch.Tensor]:
    oracle("spandrel")
    from support.upscalers import small_esrgan

    return dict(small_esrgan().model.state_dict())


@pytest.mark.parametrize("wrapped", [None, "params_ema", "params", "state_dict"])
def test_a_pickle_opens_however_its_weights_are_wrapped(
    state: dict[str, torch.Tensor], tmp_path: Path, wrapped: str | None
) -> None:
    path = tmp_path / "model.pth"
    torch.save(state if wrapped is None else {wrapped: state}, path)
    descriptor = load_descriptor(path)
    assert (descriptor.scale, descriptor.purpose) == (2, "SR")
    for key, tensor in descriptor.model.state_dict().items():
        assert torch.equal(tensor, state[key])


def test_safetensors_open_also_under_a_pasted_name(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_file(state, tmp_path / "model.safetensors")
    descriptor = load_descriptor(f'"{tmp_path / "model.safetensors"}"')
    assert torch.equal(descriptor.model.state_dict()["model.0.weight"], state["model.0.weight"])


class Harmful:
    """A pickle that would make a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_a_pickle_runs_nothing(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    made = tmp_path / "made"
    torch.save({"params": state, "more": Harmful(made)}, tmp_path / "model.pth")
    assert load_descriptor(tmp_path / "model.pth").scale == 2  # its weights can be read
    assert not made.exists()


def test_what_is_no_model_is_named(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    words, other = tmp_path / "words.pth", tmp_path / "other.safetensors"
    words.write_text("no weights")
    save_file({"some.weight": torch.zeros(3)}, other)
    wants = r"choose the file of an upscaling or face restoration model \(.safetensors or .pth\)\.$"
    for path, found in (
        (tmp_path / "missing.pth", "found no file"),
        (words, "found something that is not a checkpoint"),
        (
            other,
            "Expected a model that spandrel knows in .*other.safetensors, found a different one "
            r"\(no network has such weights\)",
        ),
        (tmp_path, "found a folder"),
    ):
        with pytest.raises(CheckpointError, match=f"{found}.*{wants}"):
            load_descriptor(path)


def test_weights_that_lack_some_are_named(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    del state["model.1.sub.1.weight"]
    save_file(state, tmp_path / "cut.safetensors")
    with pytest.raises(CheckpointError, match="Expected a model that spandrel knows in"):
        load_descriptor(tmp_path / "cut.safetensors")


def test_a_file_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upscale_file, "MOST_BYTES", 1 << 30)
    path = tmp_path / "large.pth"
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(CheckpointError, match="at most 1 GiB"):
        load_descriptor(path)


def test_without_spandrel_the_sentence_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(MissingLibraryError, match="pip install spandrel"):
        load_descriptor(tmp_path / "model.pth")


def test_the_command_line_says_what_is_wrong_in_one_line(
    oracle: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    oracle("spandrel")
    files = (str(SAMPLES / "portrait.png"), str(SAMPLES / "speech.flac"))
    model = ("--upscale-model", str(tmp_path / "gone.pth"))
    code = main(["video", "lipsync", *files, "-o", str(tmp_path / "out.mp4"), *model])
    said = capsys.readouterr().err.strip()
    assert (code, len(said.splitlines())) == (1, 1)
    assert said.startswith(f"Error: Expected model weights in {tmp_path / 'gone.pth'}, found no ")
    assert list(tmp_path.iterdir()) == []
