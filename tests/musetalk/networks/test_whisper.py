from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from avatarvideo.musetalk.networks.whisper import WhisperConfig, WhisperEncoder
from support.random_weights import fill_randomly

SMALL = WhisperConfig(mel_bins=20, positions=60, width=48, heads=6, layers=4)
PREFIX = "model.encoder."


@pytest.fixture(scope="module")
def reference_class(oracle):
    return oracle("transformers.models.whisper.modeling_whisper").WhisperEncoder


@pytest.fixture(scope="module")
def pair(oracle, reference_class):
    """Our small encoder and the reference one with the same weights, both float64."""
    ours = fill_randomly(WhisperEncoder(SMALL).double())
    config = oracle("transformers").WhisperConfig(
        num_mel_bins=SMALL.mel_bins,
        max_source_positions=SMALL.positions,
        d_model=SMALL.width,
        encoder_layers=SMALL.layers,
        encoder_attention_heads=SMALL.heads,
        encoder_ffn_dim=4 * SMALL.width,
    )
    reference = reference_class(config).double()
    reference.load_state_dict(
        {key.removeprefix(PREFIX): tensor for key, tensor in ours.state_dict().items()}
    )
    return ours, reference.eval()


@pytest.fixture
def log_mel(noise):
    return noise(2, SMALL.mel_bins, 2 * SMALL.positions)


def hidden_states(reference, log_mel):
    states = reference(log_mel, output_hidden_states=True).hidden_states
    return torch.stack(states, dim=2)


@torch.no_grad()
def test_hidden_states_equal_the_reference_in_float64(pair, log_mel):
    ours, reference = pair
    got = ours(log_mel)
    assert got.shape == (2, SMALL.positions, 5, SMALL.width)
    assert got.std(dim=(0, 1, 3)).min() >= 0.1
    torch.testing.assert_close(got, hidden_states(reference, log_mel), rtol=0, atol=1e-9)


@torch.no_grad()
def test_hidden_states_equal_the_reference_in_float32(pair, log_mel):
    ours, reference = (deepcopy(network).float() for network in pair)
    got = ours(log_mel.float())
    expected = hidden_states(reference, log_mel.float())
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_last_state_can_be_had_before_the_final_norm(pair, log_mel):
    ours, reference = pair
    before_norm = []
    hook = reference.layer_norm.register_forward_pre_hook(
        lambda _, inputs: before_norm.append(inputs[0])
    )
    expected = hidden_states(reference, log_mel)
    hook.remove()
    got = ours(log_mel, normalise_last=False)
    torch.testing.assert_close(got[:, :, 4], before_norm[0], rtol=0, atol=1e-9)
    torch.testing.assert_close(got[:, :, :4], expected[:, :, :4], rtol=0, atol=1e-9)
    assert (got[:, :, 4] - expected[:, :, 4]).abs().max() > 0.1


@torch.no_grad()
def test_float16_stays_finite_where_a_block_overflows():
    network = fill_randomly(WhisperEncoder(SMALL))
    network.get_parameter("model.encoder.layers.1.fc2.bias").fill_(60000.0)
    network.get_parameter("model.encoder.layers.2.fc2.bias").fill_(60000.0)
    states = network.half()(torch.zeros(1, SMALL.mel_bins, 2 * SMALL.positions).half())
    assert states.isfinite().all()
    assert states[:, :, 3].max() == torch.finfo(torch.float16).max - 1000


def test_a_wrong_shape_is_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"\(B, 20, 120\), got \(1, 20, 119\)"):
        WhisperEncoder(SMALL)(torch.zeros(1, 20, 119))


def test_the_pass_can_be_stopped_between_blocks():
    network = WhisperEncoder(SMALL)
    calls = 0

    def stop_at_the_second() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise InterruptedError

    network.between_blocks = stop_at_the_second
    with pytest.raises(InterruptedError):
        network(torch.zeros(1, 20, 120))
