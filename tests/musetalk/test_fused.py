"""The fused steps: their kernels, interpreted on a processor, and all of them on a real GPU."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from avatarvideo import musetalk
from avatarvideo.musetalk import fused
from avatarvideo.musetalk.generation import FaceGenerator
from avatarvideo.musetalk.unet import UNet, UNetConfig
from avatarvideo.musetalk.vae import AutoencoderKL, VAEConfig

KERNELS = "avatarvideo.musetalk.gpu_kernels"
UNET = UNetConfig(block_out_channels=(64, 128), attention_heads=4)
VAE = VAEConfig(block_out_channels=(64, 128, 128, 128))
BATCH = 3


def _needs_triton() -> None:
    if importlib.util.find_spec("triton") is None:
        if os.environ.get("CI"):
            pytest.fail("Triton is not installed: it comes with PyTorch's CUDA builds on Linux")
        pytest.skip("needs Triton")


def _range_of_arrays(*bounds: Any) -> range:
    return range(*(each.handle.data.item() if hasattr(each, "handle") else each for each in bounds))


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, torch.device]]:
    """The kernels and where they run: on a GPU, or in Triton's interpreter on a processor."""
    _needs_triton()
    if torch.cuda.is_available():
        yield importlib.import_module(KERNELS), torch.device("cuda")
        return
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    # NumPy 2.4 makes no number of an array any more, as Triton 3.6 wants for a loop's bounds.
    monkeypatch.setattr("triton.runtime.interpreter.range", _range_of_arrays, raising=False)
    monkeypatch.delitem(sys.modules, KERNELS, raising=False)
    yield importlib.import_module(KERNELS), torch.device("cpu")
    sys.modules.pop(KERNELS, None)  # it stays interpreted
    del musetalk.gpu_kernels


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
    kernels: Any, channels: int, groups: int, side: int, has_added: bool, silu: bool
) -> None:
    module, device = kernels
    norm, inputs = norm_of(channels, groups).to(device), maps(2, channels, side, side).to(device)
    added = torch.randn(channels, device=device) if has_added else None
    shifted = inputs if added is None else inputs + added.view(1, -1, 1, 1)
    wanted = functional.silu(norm(shifted)) if silu else norm(shifted)

    made = module.group_norm(
        inputs, norm.weight, norm.bias, groups, norm.eps, silu=silu, added=added
    )

    torch.testing.assert_close(made, wanted, rtol=1e-5, atol=2e-5)
    assert made.is_contiguous(memory_format=torch.channels_last)


def test_norm_of_kernels_keeps_digits_beside_a_large_mean(kernels: Any) -> None:
    module, device = kernels
    norm, inputs = norm_of(64, 32).to(device), maps(1, 64, 32, 32, mean=1000.0).to(device)
    wanted = norm.double()(inputs.double())
    norm = norm.float()

    made = module.group_norm(inputs, norm.weight, norm.bias, 32, norm.eps, silu=False)

    torch.testing.assert_close(made.double(), wanted, rtol=0, atol=2e-3)


def test_sum_and_gate_of_kernels_are_torchs(kernels: Any) -> None:
    module, device = kernels
    first, second = maps(2, 48, 5, 7).to(device), maps(2, 48, 5, 7).to(device)
    bias = torch.randn(48, device=device)
    torch.testing.assert_close(
        module.add(first, second, bias), first + second + bias.view(1, -1, 1, 1)
    )
    torch.testing.assert_close(module.add(first, None, bias), first + bias.view(1, -1, 1, 1))
    hidden = torch.randn(2, 3, 2 * 300, device=device)
    value, gate = hidden.chunk(2, dim=-1)
    torch.testing.assert_close(module.gated_gelu(hidden), value * functional.gelu(gate))


def test_kernels_pass_their_trial_and_broken_ones_do_not(
    kernels: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, device = kernels
    assert fused.trial(module, device) <= fused.TOLERANCE
    norm = module.group_norm
    monkeypatch.setattr(
        module, "group_norm", lambda *a, added, **named: norm(*a, **named)
    )  # as if the bias were forgotten
    assert fused.trial(module, device) > fused.TOLERANCE


def test_every_kernel_compiles_for_gpus() -> None:
    _needs_triton()
    # In a process of its own: Triton's interpreter leaves its language changed.
    compiled = subprocess.run(
        [sys.executable, Path(__file__).with_name("compile_kernels.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert compiled.returncode == 0, compiled.stderr
    assert compiled.stdout.split() == sorted(
        f"{name}:{values}"
        for name in ("_moments", "_factors", "_apply", "_add", "_gated_gelu")
        for values in ("bf16", "fp16")
    )


def test_nothing_is_fused_on_a_processor() -> None:
    assert not fused.fuses(torch.zeros(1, 64, 8, 8, dtype=torch.float16))


def networks(dtype: torch.dtype) -> tuple[UNet, AutoencoderKL]:
    """Small networks on the GPU, as a stage has them there."""
    torch.manual_seed(7)
    unet, vae = UNet(UNET).eval(), AutoencoderKL(VAE).eval()
    unet.fold_time_path()
    for network in (unet, vae):
        network.requires_grad_(False).to("cuda", dtype)
        if dtype.itemsize == 2:
            network.to(memory_format=torch.channels_last)
    return unet, vae


def batches(*sizes: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    source = torch.Generator().manual_seed(11)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=source)

    return [(draw(size, 8, 32, 32), draw(size, 50, 384)) for size in sizes]


def relative(made: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((made.double().cpu() - wanted.double().cpu()).norm() / wanted.double().norm())


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

    assert relative(made, wanted.cpu()) < torch.finfo(dtype).eps


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_networks_with_fused_steps_are_those_without(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((latents, windows),) = batches(BATCH)
    values = latents[:, :4].cuda()
    exact = networks(torch.float64)
    wanted = [exact[0](latents.cuda().double(), windows.cuda().double())]
    wanted.append(exact[1].decode(values.double()))
    half = networks(dtype)

    def made() -> list[torch.Tensor]:
        faces = half[0](latents.to("cuda", dtype), windows.to("cuda", dtype))
        return [faces, half[1].decode(values.to(dtype))]

    assert fused.fuses(values.to(dtype))
    with_kernels = [relative(a, b) for a, b in zip(made(), wanted, strict=True)]
    monkeypatch.setattr(fused, "fuses", lambda inputs: False)
    for name in ("unet", "vae"):
        monkeypatch.setattr(f"avatarvideo.musetalk.{name}.fuses", lambda inputs: False)
    without = [relative(a, b) for a, b in zip(made(), wanted, strict=True)]
    for ours, theirs in zip(with_kernels, without, strict=True):
        assert ours < 1.25 * theirs  # rounds no more often than the plain steps


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_recorded_batches_are_those_made_step_by_step(dtype: torch.dtype) -> None:
    unet, vae = networks(dtype)
    inputs = batches(BATCH, BATCH, BATCH, BATCH, BATCH - 1)
    with torch.inference_mode():
        plain = FaceGenerator(unet, vae)
        wanted = [plain.generate(*each)[0] for each in inputs]
        generator = FaceGenerator(unet, vae, repeats=len(inputs))
        waits = [generator.begin(*each) for each in inputs]  # all begun before the first is read
        made = [wait() for wait in waits]
    assert generator.is_recorded
    for (crops, usable), expected in zip(made, wanted, strict=True):
        assert usable.all()
        assert crops.shape == expected.shape
        assert np.abs(crops.astype(int) - expected).max() <= 1


@pytest.mark.cuda
def test_recorded_batches_beyond_half_precision_are_redone_in_full() -> None:
    unet, vae = networks(torch.float16)
    vae.decoder.conv_out.weight *= 5e5
    noted: list[int] = []
    inputs = batches(BATCH, BATCH, BATCH, BATCH)
    with torch.inference_mode():
        generator = FaceGenerator(
            unet, vae, repeats=len(inputs), on_full_precision=lambda: noted.append(1)
        )
        waits = [generator.begin(*each) for each in inputs]
        assert generator.is_recorded
        made = [wait() for wait in waits]
        again = [generator.generate(*each) for each in inputs]
    assert noted == [1]
    assert not generator.is_recorded
    for (crops, usable), (expected, _) in zip(made, again, strict=True):
        assert usable.all()
        assert np.abs(crops.astype(int) - expected).max() <= 1


@pytest.mark.cuda
def test_what_a_recording_took_is_given_back() -> None:
    unet, vae = networks(torch.float16)
    inputs = batches(BATCH, BATCH, BATCH, BATCH)

    def used() -> int:
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved()

    with torch.inference_mode():
        FaceGenerator(unet, vae).generate(*inputs[0])
        before = used()
        generator = FaceGenerator(unet, vae, repeats=len(inputs))
        for each in inputs:
            generator.generate(*each)
        held = used()
        del generator
        after = used()
    assert held > before
    assert after <= before
