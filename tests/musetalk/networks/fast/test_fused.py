"""The fused steps: their kernels, interpreted on a CPU, and all of them on a real GPU."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from avatarvideo.musetalk.networks import fast
from avatarvideo.musetalk.networks.fast import fused
from avatarvideo.musetalk.networks.fast.accelerate import accelerate
from avatarvideo.musetalk.networks.fast.time_path import fold_time_path
from avatarvideo.musetalk.networks.unet import UNet, UNetConfig
from avatarvideo.musetalk.networks.vae import AutoencoderKL, ResnetBlock, VAEConfig
from avatarvideo.musetalk.pipeline.generate import FaceGenerator

UNET = UNetConfig(block_out_channels=(64, 128), attention_heads=4)
VAE = VAEConfig(block_out_channels=(64, 128, 128, 128))
SUPPORT = Path(__file__).resolve().parents[3] / "support"
BATCH = 3
CASES, GPU_CASES = 26, 12  # in kernel_cases.py: everywhere, and on a GPU only


def _needs_triton() -> None:
    if importlib.util.find_spec("triton") is None:
        if os.environ.get("CI") and sys.platform == "linux" and torch.version.cuda:
            pytest.fail("Triton is not installed: it comes with PyTorch's CUDA builds on Linux")
        pytest.skip("needs Triton")


@pytest.mark.thorough
@pytest.mark.slow
def test_kernels_are_torchs_steps() -> None:
    _needs_triton()
    has_gpu = torch.cuda.is_available()
    interpreted = {} if has_gpu else {"TRITON_INTERPRET": "1"}
    cases = SUPPORT / "kernel_cases.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(cases)]
    done = subprocess.run(
        command, env={**os.environ, **interpreted}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert f"{CASES + GPU_CASES * has_gpu} passed" in done.stdout


@pytest.mark.slow
def test_every_kernel_compiles_for_gpus() -> None:
    _needs_triton()
    # In a process of its own: Triton's interpreter leaves its language changed.
    compiled = subprocess.run(
        [sys.executable, SUPPORT / "compile_kernels.py"],
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


CPU = torch.device("cpu")


def test_without_triton_nothing_is_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "avatarvideo.musetalk.networks.fast.triton_kernels", None)
    monkeypatch.delattr(fast, "triton_kernels", raising=False)
    assert fused.kernels.__wrapped__(CPU) is None


@pytest.mark.parametrize("outcome", [RuntimeError("no compiler"), 1.0, float("nan")])
def test_kernels_that_fail_their_trial_are_not_used(
    outcome: Exception | float, caplog: pytest.LogCaptureFixture
) -> None:
    _needs_triton()
    assert fused.kernels.__wrapped__(CPU, trial_with(outcome)) is None
    assert "without fused steps on cpu: Triton" in caplog.text


def test_a_full_gpu_is_not_a_failure_of_the_kernels() -> None:
    _needs_triton()
    with pytest.raises(torch.OutOfMemoryError):
        fused.kernels.__wrapped__(CPU, trial_with(torch.OutOfMemoryError("full")))


def trial_with(outcome: Exception | float) -> Callable[..., float]:
    def trial(module: object, device: torch.device) -> float:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return trial


def test_nothing_is_fused_on_a_cpu() -> None:
    assert not fused.fuses(torch.zeros(1, 64, 8, 8, dtype=torch.float16))


def test_a_block_without_kernels_is_the_same_wherever_its_biases_are_added() -> None:
    torch.manual_seed(7)
    block = ResnetBlock(64, 96, 32).requires_grad_(False)
    inputs = torch.randn(2, 64, 8, 8)
    torch.testing.assert_close(fused.residual(block, inputs), block(inputs))


def networks(dtype: torch.dtype) -> tuple[UNet, AutoencoderKL]:
    """Small networks on the GPU, as a stage has them there."""
    torch.manual_seed(7)
    unet, vae = UNet(UNET).eval(), AutoencoderKL(VAE).eval()
    fold_time_path(unet)
    for network in (unet, vae):
        accelerate(network.requires_grad_(False).to("cuda", dtype))
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
    monkeypatch.setattr(fused, "kernels_for", lambda inputs: None)
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
