"""Plans that hold, steps down that work, networks that are let go of on every way out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from avatarvideo.errors import CheckpointError, DeviceMemoryError
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.musetalk.networks.fast.accelerate import accelerate
from avatarvideo.musetalk.networks.fast.winograd import (
    SMALLEST_TILED,
    UPSAMPLING_TILES,
    Conv3x3,
    UpsamplingConv3x3,
    tiling_for,
)
from avatarvideo.musetalk.networks.vae import AutoencoderKL
from avatarvideo.musetalk.out_of_memory import is_out_of_memory
from avatarvideo.musetalk.pipeline.cpu_features import (
    Tuning,
    multiplies_bfloat16,
)
from avatarvideo.musetalk.pipeline.memory import (
    WORKSPACE,
    FallbackPlan,
    MemoryPlan,
    Placement,
    VRAMManager,
    dtype_for,
    plan_stage,
    uses_winograd,
)
from avatarvideo.musetalk.weights.build import empty_network
from avatarvideo.musetalk.weights.catalogue import MIB, Role, planned_networks
from avatarvideo.musetalk.weights.session import KEPT, weight_bytes
from support.given_models import MuseTalkModels
from support.live_bytes import LiveBytes
from support.watched_unet import NothingFits, WatchedUNet

META = torch.device("meta")
GB = 1_000_000_000


@torch.no_grad()
def live_bytes(network: nn.Module, *inputs: torch.Tensor, method: str = "forward") -> int:
    """Return the peak of one pass on the meta device, where nothing is computed."""
    with LiveBytes(network.eval()) as counted:
        getattr(network, method)(*inputs)
    return counted.peak


PLAIN = Tuning(fast_products=False)
TILED = Tuning(fast_products=True)


@pytest.fixture
def clips(clips: Any) -> Any:
    """Small clips on a processor without tiles."""
    clips.tuning = PLAIN
    return clips


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture(scope="module")
def full_size() -> MuseTalkModels:
    roles = ("unet", "vae", "whisper", "bisenet", "s3fd", "rtmpose")
    networks: dict[str, Any] = {role: empty_network(role) for role in roles}
    return MuseTalkModels(**networks, identities="empty")


def planned(stage: Any, source: Any, dtype: torch.dtype, batch: int = 1, **options: Any) -> Any:
    return plan_stage(stage, source, Placement("cuda:0", dtype, batch), tuning=PLAIN, **options)


# --- plans


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("batch", [1, 8])
def test_the_plan_covers_what_making_faces_holds(full_size: Any, dtype: Any, batch: int) -> None:
    unet, vae = (empty_network(role).to(dtype) for role in ("unet", "vae"))
    latents = torch.empty(batch, 8, 32, 32, device=META, dtype=dtype)
    heard = torch.empty(batch, 50, 384, device=META, dtype=dtype)
    counted = max(
        live_bytes(unet, latents, heard), live_bytes(vae, latents[:, :4], method="decode")
    )
    activations = planned("generate", full_size, dtype, batch).activations
    assert counted <= activations - WORKSPACE <= 1.4 * counted


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("batch", [1, 8])
def test_the_plan_covers_what_preparing_faces_holds(full_size: Any, dtype: Any, batch: int) -> None:
    vae = empty_network("vae").to(dtype)
    pair = torch.empty(2 * batch, 3, 256, 256, device=META, dtype=dtype)
    parsed = torch.empty(1, 3, 512, 512, device=META)
    counted = max(
        live_bytes(vae, pair, method="encode_moments"),
        live_bytes(empty_network("bisenet"), parsed),
    )
    activations = planned("prepare", full_size, dtype, batch).activations
    assert counted <= activations - WORKSPACE <= 2.2 * counted


@pytest.mark.slow
def test_the_plan_covers_what_hearing_holds(full_size: Any) -> None:
    counted = live_bytes(empty_network("whisper"), torch.empty(1, 80, 3000, device=META))
    assert counted <= planned("audio", full_size, torch.float16).activations - WORKSPACE


@pytest.mark.slow
@pytest.mark.parametrize("size", [(512, 512), (1280, 720), (1920, 1080)])
def test_the_plan_covers_what_looking_for_faces_holds(
    full_size: Any, size: tuple[int, int]
) -> None:
    frame = torch.empty(1, 3, size[1], size[0], device=META)
    counted = live_bytes(empty_network("s3fd"), frame)
    activations = planned("faces", full_size, torch.float16, frame_size=size).activations
    assert counted <= activations - WORKSPACE <= 1.5 * counted


@pytest.mark.slow
def test_musetalk_in_half_precision_at_batch_8_plans_under_5_gb(full_size: Any) -> None:
    for stage in ("faces", "prepare", "audio", "generate"):
        plan = planned(stage, full_size, torch.float16, 8, frame_size=(1920, 1080))
        assert plan.mb * MIB < 5 * GB
    plan = planned("generate", full_size, torch.float16, 8)
    assert 1.8 * GB < plan.weights < 1.9 * GB
    assert plan.mb * MIB < 3.5 * GB


def test_weights_are_counted_by_their_precision(full_size: Any) -> None:
    assert weight_bytes(full_size.unet, torch.float32) == 849_947_844 * 4
    assert weight_bytes(full_size.unet, torch.float16) == 849_947_844 * 2
    assert planned("audio", full_size, torch.float16).weights == 8_208_384 * 4


def test_without_the_face_networks_nothing_of_them_is_planned(clips: Any) -> None:
    models = clips.tiny.tiny_models()
    models.s3fd = models.rtmpose = None
    assert planned("faces", models, torch.float32, frame_size=(999, 999)).weights == 0


# --- what fits


def test_memory_of_the_processor_is_available_memory() -> None:
    manager = VRAMManager("cpu")
    assert 0 < manager.free_mb() <= manager.total_mb()
    assert manager.can_load(1)
    assert not manager.can_load(manager.total_mb() + 1)


def test_half_precision_is_of_the_device() -> None:
    for native, expected in ((True, torch.bfloat16), (False, torch.float32)):
        tuning = Tuning(bfloat16=native)
        assert dtype_for("medium", "cpu", tuning) == dtype_for("low", "cpu", tuning) == expected
        assert dtype_for("low", "cuda:0", tuning) == torch.float16
        assert dtype_for("high", "cuda:0", tuning) == torch.float32
        assert dtype_for("high", "cpu", tuning) == torch.float32


@pytest.mark.parametrize(
    ("description", "native"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 sse\n", True),
        ("Features\t: fp asimd bf16\n", True),
        ("flags\t\t: fpu avx2\nmodel name\t: bf16\n", False),
        ("AMD64 Family 25 Model 33, AuthenticAMD", False),
    ],
)
def test_native_half_precision_is_read_from_the_flags(description: str, native: bool) -> None:
    assert multiplies_bfloat16(description) is native


def scaled_plan(placement: Placement) -> MemoryPlan:
    """100 MiB of weights and 100 a face, twice that in full precision."""
    size = (100 << 20) * (2 if placement.dtype == torch.float32 else 1)
    return MemoryPlan(size, size * placement.batch)


@pytest.mark.parametrize(
    ("quality", "free", "batch"),
    [("high", 10_000, 16), ("medium", 10_000, 16), ("medium", 700, 4), ("low", 600, 4)],
)
def test_the_batch_is_planned_from_free_memory(
    clips: Any, quality: Any, free: int, batch: int
) -> None:
    fallback = FallbackPlan(clips.FreeMemory(free, "cuda:0"), quality, PLAIN)
    placement = fallback.place("generate", scaled_plan)
    assert placement == Placement("cuda:0", dtype_for(quality, "cuda:0", PLAIN), batch)
    assert fallback.steps == []


def test_a_processor_starts_with_a_small_batch(clips: Any) -> None:
    fallback = FallbackPlan(clips.FreeMemory(10_000, "cpu"), "high", PLAIN)
    assert fallback.place("generate", scaled_plan).batch == 4


def test_the_presets_batch_is_halved_where_it_does_not_fit(clips: Any) -> None:
    fallback = FallbackPlan(clips.FreeMemory(250, "cuda:0"), "low", PLAIN)
    assert fallback.place("generate", scaled_plan).batch == 1
    assert [step["to"] for step in fallback.steps] == [
        "cuda:0 float16 batch 2",
        "cuda:0 float16 batch 1",
    ]
    assert fallback.steps[0]["reason"] == "500 MiB are needed and 250 MiB are free"


def test_the_processor_takes_over_where_not_even_one_face_fits(
    clips: Any, caplog: pytest.LogCaptureFixture
) -> None:
    fallback = FallbackPlan(clips.FreeMemory(150, "cuda:0"), "high", PLAIN)
    placement = fallback.place("generate", scaled_plan)
    assert placement == Placement("cpu", torch.float32, 1)
    assert fallback.steps[-1]["to"] == "cpu float32 batch 1"
    assert "continuing with cpu float32 batch 1" in caplog.text
    assert fallback.place("audio", scaled_plan).device == "cpu"  # the later stages stay there


def test_large_frames_on_the_processor_leave_the_rest_on_the_gpu(clips: Any) -> None:
    fallback = FallbackPlan(clips.FreeMemory(1_000, "cuda:0"), "medium", PLAIN)
    large = fallback.place("faces", lambda at: MemoryPlan(0, (at.device != "cpu") * (2_000 << 20)))
    assert large.device == "cpu"
    assert fallback.place("generate", scaled_plan).device == "cuda:0"


def test_where_nothing_fits_the_sentence_says_what_to_do(clips: Any) -> None:
    fallback = FallbackPlan(clips.FreeMemory(10, "cpu"), "high", PLAIN)
    with pytest.raises(DeviceMemoryError, match=r"400 MiB are needed and 10 MiB are free: close"):
        fallback.place("generate", scaled_plan)


def test_failed_allocations_are_told_from_other_errors() -> None:
    with pytest.raises(RuntimeError) as failed:
        torch.empty(1 << 50)
    assert is_out_of_memory(failed.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


# --- running out while at work


class AtMostOneFace(WatchedUNet):
    """Fits a batch of one."""

    def before(self, latents: Tensor) -> None:
        if len(latents) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.")


class ThirdPassFails(AtMostOneFace):
    """Loses its memory to somebody else while it works."""

    passes = 0

    def before(self, latents: Tensor) -> None:
        type(self).passes += 1
        if type(self).passes == 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.")
        super().before(latents)


class Broken(AutoencoderKL):
    def encode_moments(self, images: torch.Tensor) -> Any:
        raise RuntimeError("shapes cannot be multiplied")


@pytest.mark.slow
def test_the_batch_is_halved_until_it_fits_and_the_result_is_the_same(clips: Any) -> None:
    job = clips.job("f", seconds=0.2)
    models = clips.CountingModels(None, {"unet": AtMostOneFace})
    clip = clips.speak(job, models)
    assert clip.report["batch"] == 1
    assert [step["to"] for step in clips.fallback.steps] == [
        "cpu float32 batch 2",
        "cpu float32 batch 1",
    ]
    assert clips.fallback.steps[0]["reason"] == "CUDA out of memory"
    got = np.stack(list(clip.playback.frames())).astype(int)
    assert np.abs(got - clips.shown(job)).max() <= 1


class SecondDevice(StandaloneHost):
    """Has a device that torch takes for the processor; knows what was moved to it."""

    moved = 0

    def device(self) -> str:
        return "cpu:0"

    def models_on_device(self, modules: Any, *, activation_bytes: int) -> Any:
        self.moved += len(modules)
        return super().models_on_device(modules, activation_bytes=activation_bytes)


@pytest.mark.slow
def test_the_processor_takes_over_and_nothing_is_made_twice(clips: Any) -> None:
    clips.host = SecondDevice(temp_directory=clips.temp)
    ThirdPassFails.passes = 0
    models = clips.CountingModels(None, {"unet": ThirdPassFails})
    vram = clips.FreeMemory(420, "cpu:0")
    seen: list[int] = []
    clip = clips.speak(
        clips.job("f", seconds=0.2), models, vram=vram, poll=lambda work: seen.append(work.done)
    )
    assert clip.report["device"] == "cpu"
    assert clips.fallback.steps[-1]["from"] == "cpu:0 float32 batch 1"
    assert clips.fallback.steps[-1]["to"] == "cpu float32 batch 1"
    assert clips.host.moved == 2 + 2 + 1 + 3 * 2  # batches of 4, 2 and 1 were tried
    assert seen[-1] == 2 + 1 + 5
    assert not clip.playback.passed_through().any()


@pytest.mark.slow
def test_where_nothing_helps_it_is_a_memory_error_and_nothing_is_left(clips: Any) -> None:
    models = clips.CountingModels(None, {"unet": NothingFits})
    with pytest.raises(DeviceMemoryError, match="stage generate on cpu, but CUDA out of memory"):
        clips.speak(clips.job("f"), models)
    assert models.alive() == []
    assert clips.left_over() == []


# --- who holds the networks


@pytest.mark.slow
def test_after_a_run_nobody_holds_the_networks(clips: Any) -> None:
    models = clips.CountingModels()
    clip = clips.speak(clips.job("f"), models)
    assert models.alive() == []
    assert sorted(models.loaded) == ["bisenet", "rtmpose", "s3fd", "unet", "vae", "whisper"]
    assert len(list(clip.playback.frames())) == 3


@pytest.mark.slow
def test_after_an_error_nobody_holds_them_and_it_is_the_caller_s(clips: Any) -> None:
    models = clips.CountingModels(None, {"vae": Broken})
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        clips.speak(clips.job("f", residency="unload"), models)
    assert models.alive() == []
    assert clips.left_over() == []


@pytest.mark.slow
def test_a_damaged_file_is_met_at_its_stage_and_nothing_is_left(clips: Any) -> None:
    class Damaged(type(clips.tiny.tiny_models())):  # type: ignore[misc]
        def load(self, role: Any, dtype: torch.dtype) -> Any:
            if role == "unet":
                raise CheckpointError("Expected the weights of UNet, found something else.")
            return super().load(role, dtype)

    whole = clips.tiny.tiny_models()
    names = ("unet", "vae", "whisper", "bisenet", "s3fd", "rtmpose")
    models = Damaged(**{name: getattr(whole, name) for name in names})
    with pytest.raises(CheckpointError, match="found something else"):
        clips.speak(clips.job("f"), models)
    assert clips.left_over() == []


@pytest.mark.slow
def test_each_stage_gives_its_networks_up_before_the_next_loads(clips: Any) -> None:
    held: list[list[str]] = []

    class Watching(clips.CountingModels):
        def load(self, role: str, dtype: torch.dtype) -> Any:
            held.append(self.alive())
            return super().load(role, dtype)

    clips.speak(clips.job("f"), Watching())
    assert held == [[], ["s3fd"], [], ["vae"], ["vae"], ["vae"]]


@pytest.mark.slow
def test_kept_networks_are_not_loaded_again(clips: Any) -> None:
    models, job = clips.CountingModels(), clips.job("f", residency="keep")
    first = clips.shown(job, models)
    assert sorted(models.alive()) == sorted(models.loaded)
    loaded = list(models.loaded)
    assert np.array_equal(clips.shown(job, models), first)
    assert models.loaded == loaded


@pytest.mark.slow
def test_another_precision_or_other_weights_are_loaded_again(clips: Any) -> None:
    clips.tuning = Tuning(bfloat16=True, fast_products=False)
    models = clips.CountingModels()
    clips.speak(clips.job("f", residency="keep"), models)
    models.loaded.clear()
    clips.speak(clips.job("f", residency="keep", quality="low"), models)
    assert models.loaded == ["vae", "unet"]
    other = clips.CountingModels(clips.tiny.tiny_models(seed=4))
    clips.speak(clips.job("f", residency="keep", quality="low"), other)
    assert {"vae", "unet", "whisper", "bisenet"} <= set(other.loaded)
    assert len(clips.host.kept[KEPT]) == 6  # one of each


@pytest.mark.slow
def test_unloading_empties_what_earlier_runs_kept(clips: Any) -> None:
    models = clips.CountingModels()
    clips.speak(clips.job("f", residency="keep"), models)
    clips.speak(clips.job("f", residency="unload"), models)
    assert models.alive() == []


@pytest.mark.slow
@pytest.mark.parametrize(("free", "kept"), [(1 << 20, False), (1 << 33, True)])
def test_auto_keeps_what_leaves_room(clips: Any, free: int, kept: bool) -> None:
    models = clips.CountingModels()
    tuning = replace(PLAIN, free_memory=lambda: free)
    clips.speak(clips.job("f", residency="auto"), models, tuning=tuning)
    assert bool(models.alive()) == kept


@pytest.mark.slow
def test_kept_networks_hold_on_to_nothing_of_the_run(clips: Any) -> None:
    clips.speak(clips.job("f", residency="keep"))
    assert all(network.between_blocks is None for *_, network in clips.host.kept[KEPT].values())


# --- the host's side


def test_modules_are_given_back_and_dropped_ones_are_not_copied(tmp_path: Any) -> None:
    moved: list[str] = []

    class Noticing(nn.Linear):
        def to(self, device: Any) -> Any:  # type: ignore[override]
            moved.append(f"{self.out_features} {device}")
            return super().to(device)

    host = StandaloneHost(temp_directory=tmp_path)
    networks = [Noticing(1, 1), Noticing(1, 2)]
    with host.models_on_device(list(networks), activation_bytes=1):
        assert moved == ["1 cpu", "2 cpu"]
        networks.pop()
    assert moved == ["1 cpu", "2 cpu", "1 cpu"]


# --- convolutions that save multiplications


def test_only_full_precision_on_a_processor_with_fast_products_is_tiled() -> None:
    assert uses_winograd(Placement("cpu", torch.float32), TILED)
    assert not uses_winograd(Placement("cpu", torch.bfloat16), TILED)
    assert not uses_winograd(Placement("cuda:0", torch.float32), TILED)
    assert not uses_winograd(Placement("cpu", torch.float32), PLAIN)


def test_tiles_are_given_up_where_memory_is_short(clips: Any) -> None:
    def plan(placement: Placement) -> MemoryPlan:
        tiles = 400 if uses_winograd(placement, TILED) else 0
        return MemoryPlan(0, (100 * placement.batch + tiles) << 20)

    fallback = FallbackPlan(clips.FreeMemory(450, "cpu"), "high", TILED)
    assert fallback.place("generate", plan) == Placement("cpu", torch.float32, 1, plain=True)
    assert [step["to"] for step in fallback.steps] == ["cpu float32 batch 1, plain convolutions"]
    with pytest.raises(DeviceMemoryError):
        FallbackPlan(clips.FreeMemory(50, "cpu"), "high", TILED).place("generate", plan)
    tileless = FallbackPlan(clips.FreeMemory(50, "cpu"), "high", TILED)
    with pytest.raises(DeviceMemoryError):
        tileless.place("audio", plan)
    assert tileless.steps == []  # nothing of it to give up


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
def test_a_run_goes_on_without_tiles(clips: Any, fails: bool) -> None:
    clips.tuning = replace(TILED, largest_batches={"generate": (1, 1), "prepare": (1, 1)})
    tiled: list[object] = []

    class NoRoomForTiles(WatchedUNet):
        def before(self, latents: Tensor) -> None:
            tiled.append(self.get_submodule("mid_block.resnets.0.conv1").tiled)
            if tiled[-1] and fails:
                raise torch.OutOfMemoryError("DefaultCPUAllocator: can't allocate memory")

    clip = clips.speak(clips.job("f"), clips.CountingModels(None, {"unet": NoRoomForTiles}))
    assert tiled == ([True, False, False, False] if fails else [True] * 3)
    assert len(clips.fallback.steps) == fails
    assert not clip.playback.passed_through().any()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["generate", "prepare"])
def test_the_plan_has_room_for_what_tiled_convolutions_prepare(full_size: Any, stage: Any) -> None:
    plans = (
        plan_stage(stage, full_size, Placement("cpu", torch.float32), tuning=tuning)
        for tuning in (TILED, PLAIN)
    )
    tiled, plain = (plan.mb * MIB for plan in plans)
    roles: list[Role] = [
        network.role for network in planned_networks(stage) if network.role != "bisenet"
    ]
    assert sum(map(prepared_bytes, roles)) <= tiled - plain <= 1.3 * sum(map(prepared_bytes, roles))


def prepared_bytes(role: Role) -> int:
    """What one pass prepares, counted on the network itself without computing anything."""
    network = empty_network(role)
    accelerate(network)
    counted: list[int] = []

    def count(conv: Conv3x3, inputs: tuple[torch.Tensor, ...]) -> None:
        tiling = tiling_for(inputs[0])
        if isinstance(conv, UpsamplingConv3x3):
            small = min(inputs[0].shape[2:]) < SMALLEST_TILED
            repeated = inputs[0].repeat(1, 1, 2, 2)
            tiling = tiling_for(repeated) if small else UPSAMPLING_TILES
        if tiling is not None and min(conv.in_channels, conv.out_channels) >= 64:
            counted.append(conv.weight.numel() // 9 * len(tiling.kernel) ** 2 * 4)

    for module in network.modules():
        if isinstance(module, Conv3x3):
            module.register_forward_pre_hook(count)
    if role == "unet":
        network(torch.empty(1, 8, 32, 32, device=META), torch.empty(1, 50, 384, device=META))
    else:
        assert isinstance(network, AutoencoderKL)
        network.decode(torch.empty(1, 4, 32, 32, device=META))
    return sum(counted)
