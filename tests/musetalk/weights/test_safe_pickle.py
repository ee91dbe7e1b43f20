from __future__ import annotations

import builtins
import contextlib
import io
import os
import pickle
import subprocess
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from avatarvideo.errors import CheckpointError
from avatarvideo.musetalk.weights.safe_pickle import DAMAGE, Inert, read_pickle
from avatarvideo.musetalk.weights.state_dicts import read_state_dict

FORMATS = pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "row of pickles"])
CANARY = "AVATARVIDEO_HOSTILE_PICKLE_RAN"


class Hostile:
    """Asks to be unpickled by calling ``function(*arguments)``."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self._call

    def __call__(self) -> None:
        """Only so that it may itself stand for a function, to be had by running it."""


class HistoryBuffer:
    """A class of a training framework that is not there when the file is read."""

    def __init__(self) -> None:
        self.history = np.arange(3.0)


# Pickle stores a class by its name alone, so here the name is one that cannot be imported.
HistoryBuffer.__module__ = "mmengine_that_is_not_installed.logging"


def training_checkpoint() -> dict[str, object]:
    weights = torch.arange(12.0).reshape(3, 4)
    state = OrderedDict(
        {
            "backbone.weight": weights,
            "backbone.half": torch.tensor([1.5, -2.0], dtype=torch.float16),
            "backbone.transposed": weights.t(),
            "backbone.slice": weights[1:, ::2],
            "backbone.num_batches_tracked": torch.tensor(7),
            "backbone.none": torch.empty(0, 3),
            "backbone.parameter": torch.nn.Parameter(torch.ones(2)),
            "backbone.brain": torch.tensor([0.1], dtype=torch.bfloat16),
            "backbone.flags": torch.tensor([True, False]),
        }
    )
    return {
        "meta": {"epoch": np.float64(270.0), "steps": {1, 2}},
        "message_hub": {"log": HistoryBuffer(), "nested": [HistoryBuffer()]},
        "state_dict": state,
    }


# The one in Python, whose methods can be replaced; type checkers do not know them.
python_pickler: Any = pickle._Pickler


class ForeignPickle:
    """``torch.save``'s pickle module, able to write classes that cannot be imported."""

    class Pickler(python_pickler):
        def save_global(self, obj: Any, name: str | None = None) -> None:
            if obj is HistoryBuffer:
                self.write(b"c" + f"{obj.__module__}\n{obj.__name__}\n".encode())
                self.memoize(obj)
            else:
                super().save_global(obj, name)

        dispatch: ClassVar[Any] = {**python_pickler.dispatch, type: save_global}

    @staticmethod
    def dump(obj: object, file: Any, protocol: int) -> None:
        ForeignPickle.Pickler(file, protocol).dump(obj)


def save(obj: object, path: Path, as_zip: bool) -> Path:
    torch.save(obj, path, pickle_module=ForeignPickle, _use_new_zipfile_serialization=as_zip)
    return path


@FORMATS
def test_state_dict_of_a_training_checkpoint_with_foreign_classes_is_read(
    tmp_path: Path, as_zip: bool
) -> None:
    path = save(training_checkpoint(), tmp_path / "dw-ll_ucoco_384.pth", as_zip)
    expected = training_checkpoint()["state_dict"]
    assert isinstance(expected, OrderedDict)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)

    found = read_state_dict(path)

    assert found.keys() == expected.keys()
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor.detach(), rtol=0, atol=0)


@FORMATS
def test_unknown_objects_become_inert(tmp_path: Path, as_zip: bool) -> None:
    path = save(training_checkpoint(), tmp_path / "training.pth", as_zip)

    found = read_pickle(path)

    assert isinstance(found, dict)
    assert isinstance(found["message_hub"]["log"], Inert)
    assert isinstance(found["meta"]["epoch"], Inert)


HOSTILE_CALLS: dict[str, Callable[[Path], Hostile]] = {
    "os.system": lambda canary: Hostile(os.system, f"touch {canary}"),
    "builtins.eval": lambda canary: Hostile(eval, f"open({str(canary)!r}, 'w')"),
    "builtins.exec": lambda canary: Hostile(exec, f"open({str(canary)!r}, 'w')"),
    "builtins.open": lambda canary: Hostile(open, str(canary), "w"),
    "subprocess.Popen": lambda canary: Hostile(subprocess.Popen, ["touch", str(canary)]),
    "environment": lambda canary: Hostile(os.putenv, CANARY, "1"),
    "torch.load": lambda canary: Hostile(torch.load, str(canary)),
    "getattr": lambda canary: Hostile(getattr, Hostile(builtins.__import__, "os"), "system"),
    "nested call": lambda canary: Hostile(
        Hostile(getattr, Hostile(builtins.__import__, "os"), "system"), f"touch {canary}"
    ),
}


@pytest.mark.parametrize("call", ["os.system", "builtins.eval", "builtins.open", "nested call"])
def test_plain_unpickling_would_have_run_it(tmp_path: Path, call: str) -> None:
    canary = tmp_path / "canary"
    opened = pickle.loads(pickle.dumps(HOSTILE_CALLS[call](canary)))
    if isinstance(opened, io.IOBase):
        opened.close()

    assert canary.exists()


@FORMATS
@pytest.mark.parametrize("call", HOSTILE_CALLS)
def test_hostile_object_beside_the_weights_is_not_run(
    tmp_path: Path, call: str, as_zip: bool
) -> None:
    canary = tmp_path / "canary"
    hostile = HOSTILE_CALLS[call](canary)
    path = tmp_path / "hostile.pth"
    saved = {"hooks": [hostile], "state_dict": {"weight": torch.ones(2)}}
    torch.save(saved, path, _use_new_zipfile_serialization=as_zip)

    found = read_state_dict(path)

    assert not canary.exists()
    assert CANARY not in os.environ
    torch.testing.assert_close(found, {"weight": torch.ones(2)})


@FORMATS
@pytest.mark.parametrize("call", HOSTILE_CALLS)
def test_hostile_object_in_the_place_of_a_weight_is_an_error_and_is_not_run(
    tmp_path: Path, call: str, as_zip: bool
) -> None:
    canary = tmp_path / "canary"
    path = tmp_path / "hostile.pth"
    saved = {"good": torch.ones(2), "weight": HOSTILE_CALLS[call](canary)}
    torch.save(saved, path, _use_new_zipfile_serialization=as_zip)

    with pytest.raises(CheckpointError, match=r"hostile\.pth.*'weight' in it is not a tensor"):
        read_state_dict(path)

    assert not canary.exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_bare_hostile_pickle_is_an_error_and_is_not_run(tmp_path: Path, protocol: int) -> None:
    canary = tmp_path / "canary"
    path = tmp_path / "model.bin"
    path.write_bytes(pickle.dumps(Hostile(os.system, f"touch {canary}"), protocol))

    with pytest.raises(CheckpointError, match=r"Expected model weights in .*model\.bin"):
        read_state_dict(path)

    assert not canary.exists()


def test_state_given_to_known_names_changes_nothing(tmp_path: Path) -> None:
    # GLOBAL, then BUILD with attributes for it: a pickle may try to repaint what it is given.
    program = b"ctorch._utils\n_rebuild_tensor_v2\n(N}(S'__code__'\nNutb."
    path = tmp_path / "model.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", program)

    with pytest.raises(CheckpointError):
        read_state_dict(path)

    again = tmp_path / "good.pth"
    torch.save({"weight": torch.ones(3)}, again)
    torch.testing.assert_close(read_pickle(again), {"weight": torch.ones(3)})


def test_tensor_reaching_beyond_its_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save({"weight": torch.ones(8)}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    # The size (8,) is written as K\x08\x85; claim (80,) of the same eight values instead.
    entries["model/data.pkl"] = entries["model/data.pkl"].replace(b"K\x08\x85", b"K\x50\x85")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)

    with pytest.raises(RuntimeError):
        read_pickle(path)


@pytest.mark.slow
def test_compressed_structure_of_unreasonable_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", bytes((64 << 20) + 1))

    with pytest.raises(pickle.UnpicklingError, match="too large"):
        read_pickle(path)


def test_torchscript_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps({}))
        archive.writestr("model/constants.pkl", pickle.dumps(()))

    with pytest.raises(pickle.UnpicklingError, match="not of a state dict"):
        read_pickle(path)
    with pytest.raises(CheckpointError, match=r"model\.pth"):
        read_state_dict(path)


@FORMATS
def test_every_truncation_and_flipped_byte_is_a_checkpoint_error_or_a_dict(
    tmp_path: Path, as_zip: bool
) -> None:
    path = save(training_checkpoint(), tmp_path / "training.pth", as_zip)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    damaged = [whole[:length] for length in random.integers(1, len(whole), 60)]
    for position in random.integers(0, len(whole), 150):
        flipped = bytearray(whole)
        flipped[position] ^= int(random.integers(1, 256))
        damaged.append(bytes(flipped))

    for index, content in enumerate(damaged):
        broken = tmp_path / f"broken{index}.pth"
        broken.write_bytes(content)
        with contextlib.suppress(*DAMAGE):
            read_pickle(broken)
        message = ""
        try:
            found = read_state_dict(broken)
        except CheckpointError as error:
            found, message = {}, str(error)
        assert all(isinstance(tensor, torch.Tensor) for tensor in found.values())
        assert message == "" or (str(broken) in message and "\n" not in message)


def test_mapped_weights_can_be_changed_without_changing_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save({"weight": torch.ones(4), "foreign": Hostile(io.BytesIO)}, path)
    before = path.read_bytes()

    found = read_pickle(path)
    assert isinstance(found, dict)
    found["weight"].add_(1)

    assert path.read_bytes() == before
    torch.testing.assert_close(found["weight"], torch.full((4,), 2.0))
