"""The GPU's kernels beside PyTorch's steps: on a GPU, or in Triton's interpreter on the CPU.

``test_fused`` runs this in a process of its own: whether Triton interprets is settled when it is
first imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from avatarvideo.musetalk.networks.fast import fused, triton_kernels
from avatarvideo.musetalk.networks.fast.accelerate import accelerate
from avatarvideo.musetalk.networks.fast.time_path import fold_time_path
from avatarvideo.musetalk.networks.unet import GatedGELU, UNet, UNetConfig
from avatarvideo.musetalk.networks.vae import AutoencoderKL, VAEConfig

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(autouse=True)
def _loops_of_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    # NumPy 2.4 makes no number of an array any more, as Triton 3.6 wants for a loop's bounds.
    monkeypatch.setattr("triton.runtime.interpreter.range", _range_of_arrays, raising=False)


def _range_of_arrays(*bounds: Any) -> range:
    return range(*(each.handle.data.item() if hasattr(each, "handle") else each for each in bounds))


def maps(*shape: int, mean: float = 0.0) -> torch.Tensor:
    return (2 * torch.randn(shape) + mean).contiguous(memory_format=torch.channels_last)


def norm_of(channels: int, groups: int) -> nn.GroupNorm:
    norm = nn.GroupNorm(groups, channels, eps=1e-5).requires_grad_(False)
    norm.weight.normal_()
    norm.bias.normal_()
    return norm


@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize("has_added", [False, True])
@pytest.mark.parametrize(
    ("channels", "groups", "side"),
    [(64, 32, 16), (96, 32, 8), (320, 32, 8), (48, 4, 5), (128, 1, 3)],
)
def test_norm_of_kernels_is_torchs(
    channels: int, groups: int, side: int, has_added: bool, silu: bool
) -> None:
    norm, inputs = norm_of(channels, groups).to(DEVICE), maps(2, channels, side, side).to(DEVICE)
    added = torch.randn(channels, device=DEVICE) if has_added else None
    shifted = inputs if added is None else inputs + added.view(1, -1, 1, 1)
    wanted = functional.silu(norm(shifted)) if silu else norm(shifted)

    made = triton_kernels.group_norm(
        inputs, norm.weight, norm.bias, groups, norm.eps, silu=silu, added=added
    )

    torch.testing.assert_close(made, wanted, rtol=1e-5, atol=2e-5)
    assert made.is_contiguous(memory_format=torch.channels_last)


def test_norm_of_kernels_keeps_digits_beside_a_large_mean() -> None:
    norm, inputs = norm_of(64, 32).to(DEVICE), maps(1, 64, 32, 32, mean=1000.0).to(DEVICE)
    wanted = norm.double()(inputs.double())
    norm = norm.float()

    made = triton_kernels.group_norm(inputs, norm.weight, norm.bias, 32, norm.eps, silu=False)

    torch.testing.assert_close(made.double(), wanted, rtol=0, atol=2e-3)


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("channels", "side"), [(128, 256), (256, 128), (320, 32), (960, 32), (1920, 16), (2560, 8)]
)
def test_norm_on_a_gpu(channels: int, side: int, dtype: torch.dtype) -> None:
    norm = norm_of(channels, 32).to("cuda", dtype)
    inputs = maps(2, channels, side, side, mean=3.0).to("cuda", dtype)
    added = torch.randn(channels, device="cuda", dtype=dtype)
    shifted = inputs.double() + added.double().view(1, -1, 1, 1)
    wanted = functional.silu(norm.double()(shifted))
    norm.to(dtype)

    made = fused.normalised(inputs, norm, silu=True, added=added)

    error = (made.double() - wanted).norm() / wanted.norm()
    assert error < torch.finfo(dtype).eps


def test_sum_and_gate_of_kernels_are_torchs() -> None:
    first, second = maps(2, 48, 5, 7).to(DEVICE), maps(2, 48, 5, 7).to(DEVICE)
    bias = torch.randn(48, device=DEVICE)
    torch.testing.assert_close(
        triton_kernels.add(first, second, bias), first + second + bias.view(1, -1, 1, 1)
    )
    torch.testing.assert_close(
        triton_kernels.add(first, None, bias), first + bias.view(1, -1, 1, 1)
    )
    hidden = torch.randn(2, 3, 2 * 300, device=DEVICE)
    value, gate = hidden.chunk(2, dim=-1)
    torch.testing.assert_close(triton_kernels.gated_gelu(hidden), value * functional.gelu(gate))


def test_kernels_pass_their_trial() -> None:
    assert fused.trial(triton_kernels, DEVICE) <= fused.TOLERANCE


def test_kernels_that_are_wrong_fail_their_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    norm, add, gate = triton_kernels.group_norm, triton_kernels.add, triton_kernels.gated_gelu
    wrong = {
        "group_norm": lambda *args, added=None, **named: norm(*args, **named),
        "add": lambda first, second, bias: add(first, None, bias),
        "gated_gelu": lambda hidden: 1.02 * gate(hidden),
    }
    for name, function in wrong.items():
        with monkeypatch.context() as patched:
            patched.setattr(triton_kernels, name, function)
            assert fused.trial(triton_kernels, DEVICE) > fused.TOLERANCE


def test_groups_that_are_too_wide_are_named() -> None:
    norm, inputs = norm_of(512, 2), maps(1, 512, 2, 2)
    with pytest.raises(ValueError, match="at most 128 channels, got 256"):
        triton_kernels.group_norm(inputs, norm.weight, norm.bias, 2, norm.eps, silu=False)


@torch.inference_mode()
def test_networks_with_kernels_are_those_without(monkeypatch: pytest.MonkeyPatch) -> None:
    # TensorFloat-32, with which a GPU convolves by default, would differ more than the kernels do.
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    torch.manual_seed(7)
    unet = UNet(UNetConfig(block_out_channels=(32, 64), attention_heads=4)).to(DEVICE)
    vae = AutoencoderKL(VAEConfig(block_out_channels=(32, 64))).to(DEVICE)
    latents, heard = torch.randn(1, 8, 8, 8).to(DEVICE), torch.randn(1, 50, 384).to(DEVICE)
    images, small = torch.randn(1, 3, 4, 4).to(DEVICE), torch.randn(1, 64, 8, 8).to(DEVICE)
    blocks: Any = vae.decoder.up_blocks  # a list of modules, which torch calls a module
    upsample = blocks[0].upsamplers[0]

    def made() -> list[torch.Tensor]:
        return [unet(latents, heard), vae.decode(latents[:, :4]), *vae.encode_moments(images)]

    plain = [*made(), upsample(small)]
    fold_time_path(unet)
    accelerate(unet)
    accelerate(vae)
    used: list[str] = []
    monkeypatch.setattr(fused, "kernels_for", lambda inputs: triton_kernels)
    for name in ("group_norm", "add", "gated_gelu"):
        monkeypatch.setattr(triton_kernels, name, noted(getattr(triton_kernels, name), used))
    fast = [*made(), fused.upsampled(upsample.conv, small)]
    for with_kernels, without in zip(fast, plain, strict=True):
        torch.testing.assert_close(with_kernels, without, rtol=1e-3, atol=1e-4)
    norms = [each for network in (unet, vae) for each in network.modules()]
    assert used.count("group_norm") == sum(isinstance(each, nn.GroupNorm) for each in norms)
    assert used.count("gated_gelu") == sum(isinstance(each, GatedGELU) for each in norms)
    assert used.count("add") > 20


def noted(kernel: Callable[..., torch.Tensor], used: list[str]) -> Callable[..., torch.Tensor]:
    def launch(*args: Any, **named: Any) -> torch.Tensor:
        used.append(kernel.__name__)
        return kernel(*args, **named)

    return launch
