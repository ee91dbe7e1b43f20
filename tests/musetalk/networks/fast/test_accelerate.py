"""Accelerated networks: the same weights, keys and sizes, and results that differ by rounding."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn

from avatarvideo.host.environment import FAST_VARIABLE
from avatarvideo.musetalk.networks.fast.accelerate import FAST_MODULES, accelerate
from avatarvideo.musetalk.networks.fast.cuda_graph import RecordedBatch
from avatarvideo.musetalk.networks.fast.time_path import fold_time_path
from avatarvideo.musetalk.networks.fast.winograd import Conv3x3, set_tiled
from avatarvideo.musetalk.networks.taesd import TAESDConfig, TAESDDecoder
from avatarvideo.musetalk.networks.unet import UNet, UNetConfig
from avatarvideo.musetalk.networks.vae import AutoencoderKL, VAEConfig
from avatarvideo.musetalk.pipeline.generate import LEAST_REPEATS, FaceGenerator
from avatarvideo.musetalk.weights import catalogue
from avatarvideo.musetalk.weights.build import empty_network
from avatarvideo.musetalk.weights.session import ModelSession, weight_bytes
from support.random_weights import fill_randomly

WIDTHS = (64, 96)
FAST_CLASSES = {fast for *_, fast in FAST_MODULES} - {nn.Identity}
# Largest difference from the plain networks, whose outputs are about 1.
TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 0.2}


def networks(dtype: torch.dtype = torch.float32) -> tuple[UNet, AutoencoderKL]:
    unet = UNet(UNetConfig(block_out_channels=WIDTHS, layers_per_block=1, cross_attention_dim=24))
    vae = AutoencoderKL(VAEConfig(block_out_channels=WIDTHS, layers_per_block=1))
    return fill_randomly(unet).to(dtype), fill_randomly(vae, 1).to(dtype)


def outputs(
    unet: UNet, vae: AutoencoderKL, noise: Callable[..., torch.Tensor]
) -> list[torch.Tensor]:
    dtype = unet.conv_in.weight.dtype
    latents, heard = noise(1, 8, 32, 32, dtype=dtype), noise(1, 10, 24, dtype=dtype)
    images = noise(1, 3, 64, 64, dtype=dtype)
    return [unet(latents, heard), vae.decode(latents[:, :4]), *vae.encode_moments(images)]


def fast_parts(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if type(module) in FAST_CLASSES]


@pytest.mark.slow_after(1)
@torch.no_grad()
@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_accelerated_networks_differ_by_rounding(
    dtype: torch.dtype, tiled: bool, noise: Callable[..., torch.Tensor]
) -> None:
    pair = networks(dtype)
    plain = outputs(*pair, noise)
    fold_time_path(pair[0])
    for network in pair:
        assert not fast_parts(network)
        accelerate(network)
        set_tiled(network, tiled)
        assert fast_parts(network)
    for fast, slow in zip(outputs(*pair, noise), plain, strict=True):
        assert slow.std() > 0.1
        torch.testing.assert_close(fast, slow, rtol=0, atol=TOLERANCES[dtype], check_stride=False)


@torch.no_grad()
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_the_accelerated_small_decoder_differs_by_rounding(
    dtype: torch.dtype, noise: Callable[..., torch.Tensor]
) -> None:
    network = fill_randomly(TAESDDecoder(TAESDConfig(channels=8, blocks=(1, 1, 1, 1)))).to(dtype)
    values = noise(2, 4, 8, 6, dtype=dtype)
    plain = network.decode(values)
    accelerate(network)
    assert len(fast_parts(network)) == 3
    made = network.decode(values)
    assert plain.std() > 0.1
    torch.testing.assert_close(made, plain, rtol=0, atol=TOLERANCES[dtype], check_stride=False)


@pytest.mark.slow
def test_tiles_are_used() -> None:
    _, vae = networks()
    accelerate(vae)
    set_tiled(vae, True)
    vae.decode(torch.zeros(1, 4, 32, 32))
    tiled = [each for each in vae.decoder.modules() if isinstance(each, Conv3x3)]
    assert len(tiled) == 13
    assert all(each._factors is not None for each in tiled)


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_weights_stay_where_they_are(dtype: torch.dtype) -> None:
    for network in networks(dtype):
        parameters, keys = dict(network.named_parameters()), list(network.state_dict())
        values = {key: tensor.clone() for key, tensor in network.state_dict().items()}
        modules = list(network.named_modules())
        accelerate(network)
        classes = [type(module) for module in network.modules()]
        accelerate(network)
        assert [type(module) for module in network.modules()] == classes
        assert list(network.named_modules()) == modules
        assert list(network.state_dict()) == keys
        assert all(parameters[name] is each for name, each in network.named_parameters())
        assert all(torch.equal(values[key], each) for key, each in network.state_dict().items())


@pytest.mark.parametrize("role", ["unet", "vae"])
def test_an_empty_network_of_true_size_is_planned_and_filled_as_a_plain_one(role: Any) -> None:
    plain, fast = empty_network(role), empty_network(role)
    accelerate(fast)
    assert fast_parts(fast)
    assert weight_bytes(fast, torch.float32) == weight_bytes(plain, torch.float32)
    shapes = {key: tensor.shape for key, tensor in plain.state_dict().items()}
    assert {key: tensor.shape for key, tensor in fast.state_dict().items()} == shapes
    state = {key: torch.empty(()).expand(shape) for key, shape in shapes.items()}
    result = fast.load_state_dict(state, strict=True, assign=True)
    assert not result.missing_keys
    assert not result.unexpected_keys


@pytest.mark.slow
@torch.no_grad()
def test_copies_and_other_precisions_stay_fast(noise: Callable[..., torch.Tensor]) -> None:
    pair = networks()
    for network in pair:
        accelerate(network)
    wanted = outputs(*pair, noise)
    copies = deepcopy(pair)
    for copy in copies:
        copy.bfloat16().float()
    for copy, network in zip(copies, pair, strict=True):
        assert len(fast_parts(copy)) == len(fast_parts(network))
        copy.load_state_dict(network.state_dict())
    for made, expected in zip(outputs(*copies, noise), wanted, strict=True):
        assert torch.equal(made, expected)


@pytest.mark.parametrize(("value", "is_fast"), [("0", False), ("1", True), ("", True)])
def test_one_variable_turns_every_fast_path_off(
    value: str, is_fast: bool, clips: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FAST_VARIABLE, value)
    session = ModelSession(clips.tiny.tiny_models(), {}, "unload")
    unet = session.load(catalogue.UNET, torch.bfloat16)
    vae = session.load(catalogue.VAE, torch.bfloat16)
    last = vae.decoder.conv_out.weight
    assert last.is_contiguous(memory_format=torch.channels_last) is is_fast
    assert bool(fast_parts(unet)) is bool(fast_parts(vae)) is is_fast
    generator = FaceGenerator(unet, vae, repeats=LEAST_REPEATS, capture=RecordedBatch)
    assert (generator._capture is RecordedBatch) is is_fast
