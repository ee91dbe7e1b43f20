from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from avatarvideo.errors import Cancelled, CheckpointError
from avatarvideo.musetalk.networks.unet import UNet, UNetConfig
from avatarvideo.musetalk.networks.whisper import WhisperEncoder
from avatarvideo.musetalk.weights.build import empty_network, load_network
from avatarvideo.musetalk.weights.catalogue import (
    CATALOGUE,
    Precision,
    Role,
    converted_path,
    file_sha256,
    published_for,
)
from avatarvideo.musetalk.weights.convert import convert, convert_all
from avatarvideo.musetalk.weights.search import Caches, FileStatus, MissingFiles, find

SMALL = UNetConfig(
    block_out_channels=(8, 8, 8, 8), attention_heads=2, cross_attention_dim=8, norm_num_groups=4
)
KEYS = Path(__file__).parent / "keys"


def place(folder: Path, role: Role, precision: Precision) -> Path:
    """Return where a converted file is found."""
    return converted_path(role, "v1.5", precision, folder)


def small_unet(device: str) -> UNet:
    with torch.device(device):
        return UNet(SMALL)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "musetalkV15" / "unet.pth"
    path.parent.mkdir()
    torch.save(small_unet("cpu").state_dict(), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "dtype"), [("half", torch.float16), ("full", torch.float32)])
def test_converted_file_holds_the_same_weights(
    tmp_path: Path, source: Path, precision, dtype: torch.dtype
) -> None:
    result = convert(
        "unet", source, place(tmp_path, "unet", precision), precision, network=small_unet("meta")
    )

    original = torch.load(source, weights_only=True)
    converted = load_file(result.path)
    assert converted.keys() == original.keys()
    for key, tensor in original.items():
        assert torch.equal(converted[key], tensor.to(dtype)), key
    again = small_unet("meta")
    load_network("unet", result.path, network=again)
    assert next(again.parameters()).dtype == dtype
    assert result.path == place(tmp_path, "unet", precision)
    assert result.size == result.path.stat().st_size


@pytest.mark.slow
def test_converted_file_says_what_it_came_from(tmp_path: Path, source: Path) -> None:
    result = convert(
        "unet", source, place(tmp_path, "unet", "half"), "half", network=small_unet("meta")
    )

    with safe_open(result.path, "pt") as file:
        assert file.metadata() == {
            "format": "pt",
            "written_by": "avatarvideo",
            "role": "unet",
            "dtype": "float16",
            "source": "unet.pth",
            "source_sha256": file_sha256(source),
        }


def test_values_lie_at_multiples_of_their_width(tmp_path: Path) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn = nn.BatchNorm2d(3)

    torch.save(Counting().state_dict(), tmp_path / "a.pth")
    with torch.device("meta"):
        network = Counting()
    result = convert(
        "bisenet", tmp_path / "a.pth", place(tmp_path, "bisenet", "half"), "half", network=network
    )

    raw = result.path.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    start = 8 + int.from_bytes(raw[:8], "little")
    assert start % 8 == 0
    widths = {"F16": 2, "I64": 8}
    for key, entry in header.items():
        if key != "__metadata__":
            assert entry["data_offsets"][0] % widths[entry["dtype"]] == 0
    assert load_file(result.path)["bn.num_batches_tracked"].dtype == torch.int64


@pytest.mark.slow
def test_progress_reaches_the_whole_size(tmp_path: Path, source: Path) -> None:
    seen = []
    convert(
        "unet",
        source,
        place(tmp_path, "unet", "half"),
        "half",
        report=lambda done, total: seen.append((done, total)),
        network=small_unet("meta"),
    )
    assert seen[-1][0] == seen[-1][1]
    assert seen == sorted(seen)


@pytest.mark.slow
def test_cancelled_conversion_leaves_nothing(tmp_path: Path, source: Path) -> None:
    steps = iter(range(40))

    def check_cancelled() -> None:
        if next(steps, None) is None:
            raise Cancelled("The run was cancelled.")

    with pytest.raises(Cancelled):
        convert(
            "unet",
            source,
            place(tmp_path, "unet", "half"),
            "half",
            check_cancelled=check_cancelled,
            network=small_unet("meta"),
        )

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [source]


@pytest.mark.slow
def test_values_beyond_half_precision_are_an_error_and_leave_nothing(tmp_path: Path) -> None:
    state = small_unet("cpu").state_dict()
    state["conv_in.bias"][3] = 70000.0
    torch.save(state, tmp_path / "unet.pth")

    with pytest.raises(CheckpointError, match=r"range of torch\.float16 .*in conv_in\.bias"):
        convert(
            "unet",
            tmp_path / "unet.pth",
            place(tmp_path, "unet", "half"),
            "half",
            network=small_unet("meta"),
        )

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "unet.pth"]


def test_file_that_does_not_fit_is_not_converted(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "unet.pth")

    with pytest.raises(CheckpointError, match=r"weights of UNet in .*unet\.pth"):
        convert("unet", tmp_path / "unet.pth", place(tmp_path, "unet", "half"), "half")


@pytest.mark.slow
def test_found_file_is_found_preferred_and_loaded_after_conversion(tmp_path: Path) -> None:
    encoder = WhisperEncoder().half()
    state = {key.removeprefix("model."): tensor for key, tensor in encoder.state_dict().items()}
    original = tmp_path / "whisper" / "pytorch_model.bin"
    original.parent.mkdir()
    torch.save({**state, "proj_out.weight": torch.ones(2)}, original)
    before = find("v1.5", [tmp_path], caches=Caches())
    assert isinstance(before, MissingFiles)

    (result,) = convert_all(before.found, "v1.5", tmp_path, "half")
    after = find("v1.5", [tmp_path], caches=Caches())

    assert isinstance(after, MissingFiles)
    assert after.found["whisper"].path == result.path
    assert after.found["whisper"].precision == "half"
    network = load_network("whisper", result.path, dtype=torch.float32)
    for key, tensor in encoder.state_dict().items():
        assert torch.equal(network.state_dict()[key], tensor.float())
    assert list(convert_all(after.found, "v1.5", tmp_path, "half")) == []


def test_full_precision_is_not_made_from_half(tmp_path: Path) -> None:
    found: dict[Role, FileStatus] = {
        "unet": FileStatus(
            "unet",
            "v1.5",
            published_for("unet", "v1.5")[0],
            "present",
            path=tmp_path / "unet.fp16.safetensors",
            precision="half",
        )
    }
    with pytest.raises(CheckpointError, match="Expected a published file to convert"):
        list(convert_all(found, "v1.5", tmp_path, "full"))


@pytest.mark.parametrize("role", [role for role in CATALOGUE if CATALOGUE[role].code])
def test_empty_networks_have_the_published_keys_and_take_no_memory(role: Role) -> None:
    network = empty_network(role)
    published = json.loads((KEYS / f"{role}.json").read_text())
    assert {key: list(value.shape) for key, value in network.state_dict().items()} == published
    assert all(parameter.is_meta for parameter in network.parameters())
