"""The small decoder: equal to the reference, found under ComfyUI's names, used for quality low."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from avatarvideo.errors import CheckpointError
from avatarvideo.musetalk.networks.taesd import ComparedDecoder, TAESDConfig, TAESDDecoder
from avatarvideo.musetalk.networks.vae import AutoencoderKL, VAEConfig
from avatarvideo.musetalk.pipeline.half_rate import NO_SMALL_DECODER
from avatarvideo.musetalk.weights.build import load_network
from avatarvideo.musetalk.weights.catalogue import role_of
from avatarvideo.musetalk.weights.search import Caches, files_to_download, find, list_files
from support.random_weights import fill_randomly

NO_CACHES = Caches()


@pytest.fixture(scope="module")
def pair(oracle: Any) -> tuple[TAESDDecoder, Any]:
    """Our decoder at true size and the reference autoencoder with the same weights, float64."""
    tiny = oracle("diffusers.models.autoencoders.autoencoder_tiny").AutoencoderTiny
    ours = fill_randomly(TAESDDecoder().double())
    reference = tiny().double().eval()
    missing, unexpected = reference.load_state_dict(ours.state_dict(), strict=False)
    assert not unexpected
    assert all(key.startswith("encoder.") for key in missing)
    return ours, reference


@pytest.mark.slow
@torch.no_grad()
def test_decoding_equals_the_reference_in_float64(
    pair: tuple[TAESDDecoder, Any], noise: Callable[..., torch.Tensor]
) -> None:
    ours, reference = pair
    values = 8 * noise(2, 4, 8, 6)  # wide enough to be bent at the limit
    decoded = ours.decode(values)
    assert decoded.shape == (2, 3, 64, 48)
    assert decoded.std() >= 0.1
    expected = reference.decode(values * 0.18215).sample
    torch.testing.assert_close(decoded, expected, rtol=0, atol=1e-9)


def published_layouts(network: TAESDDecoder) -> dict[str, dict[str, torch.Tensor]]:
    """The decoder's tensors under the names of every file that holds it."""
    named = {
        key.removeprefix("decoder.layers."): tensor for key, tensor in network.state_dict().items()
    }
    alone = {}
    for key, tensor in named.items():
        layer, rest = key.split(".", 1)
        alone[f"{int(layer) + 1}.{rest}"] = tensor
    return {
        "decoder": alone,
        "both halves": {f"taesd_decoder.{key}": tensor for key, tensor in alone.items()}
        | {"taesd_encoder.0.weight": torch.zeros(64, 3, 3, 3)},
        "diffusers": network.state_dict() | {"encoder.layers.0.weight": torch.zeros(64, 3, 3, 3)},
    }


@pytest.mark.parametrize("layout", ["decoder", "both halves", "diffusers"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_every_layout_fills_it(tmp_path: Path, layout: str, suffix: str) -> None:
    network = fill_randomly(TAESDDecoder())
    state = published_layouts(network)[layout]
    path = tmp_path / f"taesd_decoder{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
    loaded = load_network("taesd", path)
    for key, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor)


def test_the_keys_are_those_of_the_published_file() -> None:
    with torch.device("meta"):
        keys = set(published_layouts(TAESDDecoder())["decoder"])
    plain = {"1.weight", "1.bias", "7.weight", "12.weight", "17.weight", "19.weight", "19.bias"}
    blocks = {
        f"{layer}.conv.{part}.{kind}"
        for layer in (3, 4, 5, 8, 9, 10, 13, 14, 15, 18)
        for part in (0, 2, 4)
        for kind in ("weight", "bias")
    }
    assert keys == plain | blocks


def test_another_network_in_its_place_is_named(tmp_path: Path) -> None:
    with torch.no_grad():
        state = AutoencoderKL(
            VAEConfig(block_out_channels=(4, 4), layers_per_block=1, norm_num_groups=2)
        ).state_dict()
    save_file(state, tmp_path / "taesd_decoder.safetensors")
    with pytest.raises(CheckpointError, match="it seems to hold a Stable Diffusion VAE"):
        load_network("taesd", tmp_path / "taesd_decoder.safetensors")


@pytest.mark.parametrize(
    "place",
    [
        "vae_approx/taesd_decoder.safetensors",
        "vae_approx/taesd_decoder.pth",
        "taesd/diffusion_pytorch_model.safetensors",
    ],
)
def test_a_file_of_the_users_is_found_and_listed(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_bytes(b"x")
    found = find("v1.5", [tmp_path], caches=NO_CACHES)
    assert found.found["taesd"].path == tmp_path / place  # type: ignore[union-attr]
    row = list_files([tmp_path], caches=NO_CACHES)[-2]
    assert (row.role, row.state, row.path) == ("taesd", "present", tmp_path / place)


def test_nobody_has_to_have_it(tmp_path: Path) -> None:
    rows = list_files([tmp_path], models=["v1.5"], caches=NO_CACHES)
    assert [row.role for row in rows if row.is_extra] == ["taesd", "face mesh"]
    wanted = files_to_download("v1.5", [tmp_path], caches=NO_CACHES)
    assert [role_of(file) for file in wanted] == [row.role for row in rows if not row.is_extra]
    assert len(wanted) == 6


@torch.no_grad()
def test_the_difference_is_that_of_the_first_picture() -> None:
    small = fill_randomly(TAESDDecoder(TAESDConfig(channels=4, blocks=(1, 1, 1, 1))))
    both = ComparedDecoder(small, small)
    values = torch.randn(2, 4, 4, 4)
    assert torch.equal(both.decode(values), small.decode(values))
    assert both.mean_difference is None
    both.compare()
    assert both.mean_difference == pytest.approx(0, abs=1e-3)  # of one picture and of two
    assert both.psnr is not None
    assert both.psnr > 100


@pytest.mark.slow
def test_low_quality_uses_it_and_says_how_it_differs(clips: Any) -> None:
    job = clips.job("f", quality="low")
    models = clips.tiny.tiny_models()
    full = clips.speak(job, models)
    assert full.report["decoder"] == "full"
    assert "vae_approx/taesd_decoder" in full.report["decoder_note"]
    models.taesd = clips.tiny.small_decoder()
    small = clips.speak(clips.job("f", quality="low"), models)
    assert small.report["decoder"] == "small"
    assert full.report["half_rate"]["reason"] == NO_SMALL_DECODER
    expected = {"applied": True, "faces": 3, "faces_between": 1, "reason": ""}
    assert small.report["half_rate"] == expected
    told = small.report["decoder_difference"]["mean_levels"]
    spools = [clip.playback.spool for clip in (full, small)]
    crops = []
    for clip, spool in zip((full, small), spools, strict=True):
        with spool.reader() as reader:
            place = int(clip.playback.crop_places[0])
            crops.append(reader.read(place, (256, 256, 3), np.uint8).astype(int))
    assert told > 0
    assert told == pytest.approx(np.abs(crops[0] - crops[1]).mean(), abs=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("quality", ["medium", "high"])
def test_other_qualities_leave_it_alone(clips: Any, quality: str) -> None:
    models = clips.CountingModels(clips.tiny.tiny_models())
    models.models.taesd = clips.tiny.small_decoder()
    clip = clips.speak(clips.job("f", quality=quality), models)
    assert clip.report["decoder"] == "full"
    assert "decoder_note" not in clip.report
    assert "half_rate" not in clip.report
    assert "taesd" not in models.loaded
    assert not models.alive()


@pytest.mark.slow
def test_both_decoders_are_let_go_of(clips: Any) -> None:
    models = clips.CountingModels(clips.tiny.tiny_models())
    models.models.taesd = clips.tiny.small_decoder()
    clips.speak(clips.job("f", quality="low"), models)
    assert "taesd" in models.loaded
    assert models.alive() == []
