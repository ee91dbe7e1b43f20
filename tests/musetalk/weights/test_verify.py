from __future__ import annotations

from pathlib import Path

import pytest
import torch

from avatarvideo.errors import CheckpointError
from avatarvideo.musetalk.networks.unet import UNet, UNetConfig
from avatarvideo.musetalk.networks.whisper import WhisperEncoder
from avatarvideo.musetalk.weights.catalogue import PublishedFile, file_sha256, published_for
from avatarvideo.musetalk.weights.verify import verify

SMALL = UNetConfig(
    block_out_channels=(8, 8, 8, 8), attention_heads=2, cross_attention_dim=8, norm_num_groups=4
)


@pytest.fixture
def unet(tmp_path: Path) -> Path:
    torch.save(UNet(SMALL).state_dict(), tmp_path / "unet.pth")
    return tmp_path / "unet.pth"


def small_unet() -> UNet:
    with torch.device("meta"):
        return UNet(SMALL)


def published(sha256: str | None) -> PublishedFile:
    return PublishedFile(places=("some/unet.pth",), licence="none", sha256=sha256)


@pytest.mark.slow
def test_file_with_the_published_hash_that_fills_its_network_is_good(unet: Path) -> None:
    item = published(file_sha256(unet))

    result = verify(unet, role="unet", published=item, network=small_unet())

    assert result.ok
    assert result.sha256 == item.sha256


def test_file_with_another_hash_is_a_problem_even_if_it_fits(unet: Path) -> None:
    result = verify(unet, role="unet", published=published("0" * 64), network=small_unet())

    assert not result.ok
    assert result.problem is not None
    assert "with SHA-256 0000" in result.problem
    assert str(unet) in result.problem


@pytest.mark.slow
def test_without_a_known_hash_only_the_fit_is_told_and_the_versions_are_not(unet: Path) -> None:
    older = published_for("unet", "v1.0")[0]

    result = verify(unet, role="unet", published=older, network=small_unet())

    assert result.ok
    assert result.note is not None
    assert "no hash of musetalk/pytorch_model.bin is known" in result.note
    assert "both versions of MuseTalk have the same ones" in result.note


def test_file_that_does_not_fill_its_network_is_a_problem(unet: Path) -> None:
    result = verify(unet, role="vae")

    assert result.problem is not None
    assert "Expected the weights of AutoencoderKL" in result.problem
    assert "it seems to hold a UNet" in result.problem


@pytest.mark.slow
def test_damaged_file_is_a_problem(unet: Path) -> None:
    unet.write_bytes(unet.read_bytes()[:-100])

    result = verify(unet, role="unet", network=small_unet())

    assert result.problem is not None
    assert "found a damaged file" in result.problem


def test_role_is_recognised_by_the_keys(tmp_path: Path) -> None:
    torch.save(WhisperEncoder().state_dict(), tmp_path / "encoder.pth")

    result = verify(tmp_path / "encoder.pth")

    assert (result.ok, result.role, result.recognised) == (True, "whisper", None)


def test_weights_of_something_else_are_a_problem(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "other.pth")

    result = verify(tmp_path / "other.pth")

    assert result.role is None
    assert result.problem is not None
    assert "Expected model weights of MuseTalk" in result.problem


def test_absent_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="found none at"):
        verify(tmp_path / "unet.pth")
