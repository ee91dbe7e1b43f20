"""Batches that repeat a recorded one. A GPU records; here its place is taken by a second run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from avatarvideo.musetalk.networks.fast.cuda_graph import RecordedBatch, can_record
from avatarvideo.musetalk.pipeline.generate import LEAST_REPEATS, FaceGenerator, MadeFaces

Batch = tuple[torch.Tensor, ...]


def recorded(function: Callable[..., Batch], inputs: Sequence[torch.Tensor]) -> RecordedBatch:
    """Return a RecordedBatch whose graph computes anew, into the same memory."""
    batch = RecordedBatch.__new__(RecordedBatch)
    batch._inputs = [each.clone() for each in inputs]
    batch._outputs = function(*batch._inputs)

    def again() -> None:
        for old, new in zip(batch._outputs, function(*batch._inputs), strict=True):
            old.copy_(new)

    batch._graph = cast("Any", SimpleNamespace(replay=again))  # CUDA's own needs a GPU
    return batch


@pytest.fixture
def networks(clips: Any) -> list[Any]:
    models = clips.tiny.tiny_models()
    return [models.load(role, torch.float32) for role in ("unet", "vae")]


def batches(*sizes: int) -> list[Batch]:
    return [(torch.randn(size, 8, 32, 32), torch.randn(size, 50, 24)) for size in sizes]


@torch.inference_mode()
def generated(generator: FaceGenerator, inputs: list[Batch]) -> list[MadeFaces]:
    made = (generator.generate(*each) for each in inputs)
    return [(crops.copy(), usable.copy()) for crops, usable in made]


def assert_alike(made: list[MadeFaces], wanted: list[MadeFaces]) -> None:
    for (crops, usable), (expected, _) in zip(made, wanted, strict=True):
        assert usable.all()
        assert crops.shape == expected.shape
        assert np.abs(crops.astype(int) - expected).max() <= 1


@pytest.mark.slow
def test_a_cpu_records_nothing(networks: list[Any]) -> None:
    assert not can_record(torch.device("cpu"))
    generator = FaceGenerator(*networks, repeats=LEAST_REPEATS)
    generated(generator, batches(2, 2))
    assert not generator.is_recorded


@pytest.mark.slow
def test_recorded_batches_are_the_others(networks: list[Any]) -> None:
    inputs = batches(2, 2, 2, 1, 3, 2)  # one shorter, and one that the recording cannot take
    generator = FaceGenerator(*networks, repeats=len(inputs), capture=recorded)
    made = generated(generator, inputs[:1])
    assert not generator.is_recorded
    made += generated(generator, inputs[1:])
    assert generator.is_recorded
    assert_alike(made, generated(FaceGenerator(*networks), inputs))


@pytest.mark.slow
def test_what_several_hear_is_spread_out_to_be_recorded(networks: list[Any]) -> None:
    hears = torch.tensor([0, 0, 1])
    inputs = [(torch.randn(3, 8, 32, 32), torch.randn(2, 50, 24), hears) for _ in range(4)]
    generator = FaceGenerator(*networks, repeats=len(inputs), capture=recorded)
    made = generated(generator, inputs)
    assert generator.is_recorded
    assert_alike(made, generated(FaceGenerator(*networks), inputs))


def test_few_batches_are_not_recorded(networks: list[Any]) -> None:
    generator = FaceGenerator(*networks, repeats=LEAST_REPEATS - 1, capture=recorded)
    generated(generator, batches(1, 1, 1))
    assert not generator.is_recorded


@pytest.mark.slow
def test_without_room_to_record_batches_go_step_by_step(networks: list[Any]) -> None:
    tried: list[None] = []

    def full(*_: object) -> RecordedBatch:
        tried.append(None)
        raise torch.OutOfMemoryError("full")

    inputs = batches(2, 2, 2, 2)
    generator = FaceGenerator(*networks, repeats=len(inputs), capture=full)
    made = generated(generator, inputs)
    assert len(tried) == 1
    assert not generator.is_recorded
    assert_alike(made, generated(FaceGenerator(*networks), inputs))


@pytest.mark.slow
def test_nobody_is_asked_while_a_batch_is_recorded(networks: list[Any]) -> None:
    asked: list[str] = []
    for network, name in zip(networks, ("unet", "vae"), strict=True):
        network.between_blocks = lambda name=name: asked.append(name)

    def quiet(function: Callable[..., Batch], inputs: Sequence[torch.Tensor]) -> RecordedBatch:
        before = len(asked)
        batch = recorded(function, inputs)
        assert len(asked) == before
        return batch

    inputs = batches(1, 1, 1, 1)
    generator = FaceGenerator(*networks, repeats=len(inputs), capture=quiet)
    generated(generator, inputs[:2])
    assert generator.is_recorded
    assert set(asked) == {"unet", "vae"}
    before = len(asked)
    generated(FaceGenerator(*networks), inputs[:1])
    assert len(asked) > before  # and they are asked again


def test_a_recording_goes_with_its_generator(
    networks: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied: list[None] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(None))
    generator = FaceGenerator(*networks, repeats=LEAST_REPEATS, capture=recorded)
    generator.close()
    assert emptied == []
    generated(generator, batches(1, 1))
    generator.close()
    assert emptied == [None]
    assert not generator.is_recorded
