from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from avatarvideo.musetalk.networks.vae import (
    SCALING_FACTOR,
    AutoencoderKL,
    VAEConfig,
    sample_posterior,
    to_pixels,
)
from support.random_weights import fill_randomly

SMALL = VAEConfig(block_out_channels=(16, 32, 32, 48), norm_num_groups=8)


@pytest.fixture(scope="module")
def reference_class(oracle):
    return oracle("diffusers.models.autoencoders.autoencoder_kl").AutoencoderKL


@pytest.fixture(scope="module")
def pair(reference_class):
    """Our small autoencoder and the reference one with the same weights, both float64."""
    ours = fill_randomly(AutoencoderKL(SMALL).double())
    reference = reference_class(
        block_out_channels=SMALL.block_out_channels,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=SMALL.layers_per_block,
        latent_channels=SMALL.latent_channels,
        norm_num_groups=SMALL.norm_num_groups,
    ).double()
    reference.load_state_dict(ours.state_dict())
    return ours, reference.eval()


@pytest.fixture
def images(noise):
    return noise(2, 3, 64, 48).clamp(-1, 1)


@torch.no_grad()
def test_moments_equal_the_reference_in_float64(pair, images):
    ours, reference = pair
    expected = reference.encode(images).latent_dist
    mean, log_variance = ours.encode_moments(images)
    assert mean.std() >= 0.1
    assert log_variance.std() >= 0.1
    torch.testing.assert_close(mean, expected.mean, rtol=0, atol=1e-9)
    torch.testing.assert_close(log_variance, expected.logvar, rtol=0, atol=1e-9)


@torch.no_grad()
def test_decoding_equals_the_reference_in_float64(pair, noise):
    ours, reference = pair
    values = noise(2, 4, 8, 6)
    decoded = ours.decode(values)
    assert decoded.shape == (2, 3, 64, 48)
    assert decoded.std() >= 0.1
    torch.testing.assert_close(decoded, reference.decode(values).sample, rtol=0, atol=1e-9)


@torch.no_grad()
def test_moments_equal_the_reference_in_float32(pair, images):
    ours, reference = (deepcopy(network).float() for network in pair)
    expected = reference.encode(images.float()).latent_dist
    mean, log_variance = ours.encode_moments(images.float())
    torch.testing.assert_close(mean, expected.mean, rtol=0, atol=2e-5)
    torch.testing.assert_close(log_variance, expected.logvar, rtol=0, atol=2e-5)


@torch.no_grad()
def test_decoded_pixels_equal_the_reference_in_float32(pair, noise):
    ours, reference = (deepcopy(network).float() for network in pair)
    latents = noise(2, 4, 16, 16, dtype=torch.float32)
    got = to_pixels(ours.decode(latents / SCALING_FACTOR))
    expected = to_pixels(reference.decode(latents / SCALING_FACTOR).sample)
    difference = (got.int() - expected.int()).abs()
    assert difference.max() <= 1
    assert (difference == 0).double().mean() > 0.999
    assert got.double().std() >= 0.1 * 127.5


def test_sampling_draws_what_the_reference_draws(pair, images):
    ours, reference = pair
    with torch.no_grad():
        mean, log_variance = ours.encode_moments(images)
        expected = reference.encode(images).latent_dist.sample(torch.Generator().manual_seed(7))
    drawn = sample_posterior(mean, log_variance, torch.Generator().manual_seed(7))
    torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-9)


def test_sampling_without_a_generator_uses_the_global_one():
    mean = torch.zeros(1, 4, 2, 2)
    torch.manual_seed(3)
    drawn = sample_posterior(mean, torch.zeros_like(mean))
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.randn(1, 4, 2, 2))


def test_log_variance_is_clamped():
    network = fill_randomly(AutoencoderKL(SMALL))
    network.quant_conv.get_parameter("bias").fill_(100.0)
    _, log_variance = network.encode_moments(torch.zeros(1, 3, 16, 16))
    assert torch.equal(log_variance, torch.full((1, 4, 2, 2), 20.0))


def test_pixels_are_clamped_and_rounded_half_to_even():
    values = torch.tensor([-2.0, -1.0, -0.4, 0.0, 1.0, 3.0])  # the middle two are 76.5 and 127.5
    assert to_pixels(values.expand(1, 3, 1, 6))[0, 0, :, 0].tolist() == [0, 0, 76, 128, 255, 255]


def test_pixels_are_channels_last_in_the_same_order():
    images = torch.tensor([-1.0, 0.0, 1.0]).reshape(1, 3, 1, 1)
    assert to_pixels(images).tolist() == [[[[0, 128, 255]]]]


def test_the_pass_can_be_stopped_between_blocks():
    network = fill_randomly(AutoencoderKL(SMALL))
    calls = 0

    def stop_at_the_third() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise InterruptedError

    network.between_blocks = stop_at_the_third
    with pytest.raises(InterruptedError):
        network.encode_moments(torch.zeros(1, 3, 16, 16))
    network.between_blocks = None
    assert network.decode(torch.zeros(1, 4, 2, 2)).shape == (1, 3, 16, 16)


def test_a_cpu_decodes_face_by_face(noise):
    network = fill_randomly(AutoencoderKL(SMALL))
    values = noise(3, 4, 2, 2, dtype=torch.float32)
    checks: list[int] = []
    network.between_blocks = lambda: checks.append(1)
    alone = torch.cat([network.decode(one) for one in values.split(1)])
    one_by_one = len(checks)
    assert torch.equal(network.decode(values), alone)
    assert len(checks) == 2 * one_by_one
