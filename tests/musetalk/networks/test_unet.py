from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch

from avatarvideo.musetalk.networks.fast.time_path import fold_time_path
from avatarvideo.musetalk.networks.unet import UNet, UNetConfig, audio_positions
from support.random_weights import fill_randomly

SMALL = UNetConfig(block_out_channels=(32, 48, 64, 64), cross_attention_dim=24, norm_num_groups=8)


@pytest.fixture(scope="module")
def reference_class(oracle):
    return oracle("diffusers.models.unets.unet_2d_condition").UNet2DConditionModel


@pytest.fixture(scope="module")
def pair(reference_class):
    """Our small UNet and the reference one with the same weights, both float64."""
    ours = fill_randomly(UNet(SMALL).double())
    reference = reference_class(
        in_channels=SMALL.in_channels,
        out_channels=SMALL.out_channels,
        block_out_channels=SMALL.block_out_channels,
        layers_per_block=SMALL.layers_per_block,
        attention_head_dim=SMALL.attention_heads,
        cross_attention_dim=SMALL.cross_attention_dim,
        norm_num_groups=SMALL.norm_num_groups,
    ).double()
    reference.load_state_dict(ours.state_dict())
    return ours, reference.eval()


@pytest.fixture
def inputs(noise):
    return noise(2, 8, 16, 24), noise(2, 10, SMALL.cross_attention_dim, seed=1)


@pytest.mark.slow
@torch.no_grad()
def test_output_equals_the_reference_in_float64(pair, inputs):
    ours, reference = pair
    latents, audio = inputs
    got = ours(latents, audio)
    expected = reference(latents, torch.tensor([0]), encoder_hidden_states=audio).sample
    assert got.std() >= 0.1
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-9)


@pytest.mark.slow
@torch.no_grad()
def test_output_equals_the_reference_in_float32(pair, inputs):
    ours, reference = (deepcopy(network).float() for network in pair)
    latents, audio = (tensor.float() for tensor in inputs)
    got = ours(latents, audio)
    expected = reference(latents, torch.tensor([0]), encoder_hidden_states=audio).sample
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
@torch.no_grad()
def test_audio_and_latents_both_reach_the_output(pair, inputs):
    ours, _ = pair
    latents, audio = inputs
    plain = ours(latents, audio)
    assert (ours(latents, audio.flip(1) * 2) - plain).abs().max() > 1e-3
    assert (ours(torch.cat(latents.chunk(2, 1)[::-1], 1), audio) - plain).abs().max() > 1e-2


@pytest.mark.slow
@torch.no_grad()
def test_a_batch_equals_its_samples_one_by_one(pair, inputs):
    ours, _ = pair
    latents, audio = inputs
    alone = torch.cat([ours(latents[i : i + 1], audio[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(ours(latents, audio), alone, rtol=0, atol=1e-9)


@pytest.mark.slow
@torch.no_grad()
def test_a_window_that_several_frames_hear_is_turned_into_keys_once(pair, inputs):
    ours, _ = pair
    latents, audio = inputs[0].repeat(2, 1, 1, 1), inputs[1]
    hears = torch.tensor([1, 0, 1, 1])
    keyed: list[int] = []
    hooks = [
        block.attn2.to_k.register_forward_hook(lambda _, given, __: keyed.append(len(given[0])))
        for block in ours.modules()
        if hasattr(block, "attn2")
    ]
    got = ours(latents, audio, hears)
    for hook in hooks:
        hook.remove()
    assert len(keyed) == len(hooks) == 16
    assert set(keyed) == {2}
    torch.testing.assert_close(got, ours(latents, audio[hears]), rtol=0, atol=1e-9)


@pytest.mark.slow
@torch.no_grad()
def test_folding_the_time_path_changes_nothing_but_rounding(inputs):
    network = fill_randomly(UNet(SMALL).double())
    latents, audio = inputs
    plain = network(latents, audio)
    fold_time_path(network)
    assert not [key for key in network.state_dict() if "time_emb" in key]
    torch.testing.assert_close(network(latents, audio), plain, rtol=0, atol=1e-9)
    fold_time_path(network)
    torch.testing.assert_close(network(latents, audio), plain, rtol=0, atol=1e-9)


@pytest.mark.slow
@torch.no_grad()
def test_the_time_path_matters(inputs):
    network = fill_randomly(UNet(SMALL).double())
    plain = network(*inputs)
    network.time_embedding.linear_1.bias.zero_()
    assert (network(*inputs) - plain).abs().max() > 1e-3


@pytest.mark.slow
@torch.no_grad()
def test_folding_keeps_half_precision(inputs):
    network = fill_randomly(UNet(SMALL)).bfloat16()
    latents, audio = (tensor.bfloat16() for tensor in inputs)
    plain = network(latents, audio)
    fold_time_path(network)
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.bfloat16}
    torch.testing.assert_close(network(latents, audio), plain, rtol=0, atol=0.2)


def test_audio_positions_follow_the_formula():
    table = audio_positions()
    assert table.shape == (50, 384)
    assert table.dtype == torch.float32
    for place, column in ((0, 0), (0, 1), (7, 4), (7, 5), (49, 382), (49, 383)):
        angle = place * math.exp(-(column - column % 2) * math.log(10000) / 384)
        wanted = math.cos(angle) if column % 2 else math.sin(angle)
        assert table[place, column].item() == pytest.approx(wanted, abs=1e-5)


def test_wrong_shapes_are_refused_with_both_shapes():
    network = UNet(SMALL)
    with pytest.raises(ValueError, match=r"\(B, 8, H, W\).*got \(1, 4, 16, 16\)"):
        network(torch.zeros(1, 4, 16, 16), torch.zeros(1, 10, 24))
    with pytest.raises(ValueError, match=r"multiples of 8, got \(1, 8, 12, 16\)"):
        network(torch.zeros(1, 8, 12, 16), torch.zeros(1, 10, 24))
    with pytest.raises(ValueError, match=r"\(1, tokens, 24\), got \(2, 10, 24\)"):
        network(torch.zeros(1, 8, 16, 16), torch.zeros(2, 10, 24))
    with pytest.raises(ValueError, match=r"each of 3 frames, got the shape \(2,\)"):
        network(torch.zeros(3, 8, 16, 16), torch.zeros(2, 10, 24), torch.tensor([0, 1]))


def test_the_pass_can_be_stopped_between_blocks():
    network = UNet(SMALL)
    calls = 0

    def stop_at_the_twelfth() -> None:
        nonlocal calls
        calls += 1
        if calls == 12:
            raise InterruptedError

    network.between_blocks = stop_at_the_twelfth
    inputs = torch.zeros(1, 8, 16, 16), torch.zeros(1, 10, 24)
    with pytest.raises(InterruptedError), torch.no_grad():
        network(*inputs)
    network.between_blocks = None
    with torch.no_grad():
        assert network(*inputs).shape == (1, 4, 16, 16)
