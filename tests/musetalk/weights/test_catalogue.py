from __future__ import annotations

import re
import subprocess
import sys
from pathlib import PurePosixPath
from typing import get_args

import pytest
from torch import nn

from avatarvideo.musetalk.weights.build import empty_network
from avatarvideo.musetalk.weights.catalogue import (
    CATALOGUE,
    MODELS,
    PUBLISHED,
    HubFile,
    Need,
    Role,
    Stage,
    WheelMember,
    networks_for,
    planned_networks,
    published_for,
    readable_size,
    size_problem,
)

ROLES: list[Role] = [network.role for network in networks_for("v1.5") if network.need != "extra"]


def test_every_role_of_every_model_can_be_downloaded() -> None:
    for model in MODELS:
        for role in ROLES:
            assert published_for(role, model)[0].sources, (model, role)


def test_the_unets_of_the_two_models_are_different_files() -> None:
    names = {model: published_for("unet", model)[0].name for model in MODELS}
    assert names == {"v1.5": "musetalkV15/unet.pth", "v1.0": "musetalk/pytorch_model.bin"}
    assert not set(published_for("unet", "v1.5")) & set(published_for("unet", "v1.0"))


def test_sizes_hashes_and_places_are_well_formed() -> None:
    places = [place for item in PUBLISHED for place in item.places]
    assert len(places) == len(set(places))
    for item in PUBLISHED:
        assert item.licence
        assert item.sha256 is None or re.fullmatch("[0-9a-f]{64}", item.sha256)
        assert item.size is None or item.size > 1_000_000
        assert not any(PurePosixPath(place).is_absolute() for place in item.places)


def test_only_the_unet_of_1_0_is_downloaded_without_a_known_hash() -> None:
    chosen = {published_for(role, model)[0] for role in ROLES for model in MODELS}
    assert {item.name for item in chosen if item.sha256 is None} == {"musetalk/pytorch_model.bin"}


def test_empty_networks_draw_no_normal_values(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(*_: object) -> None:
        raise AssertionError("on the meta device torch imports its compiler for this")

    monkeypatch.setattr(nn.init, "normal_", drawn)
    for role, network in CATALOGUE.items():
        if network.code:
            weights = empty_network(role).state_dict()
            assert all(weight.is_meta for weight in weights.values())


def test_addresses_are_encrypted_and_hub_names_are_complete() -> None:
    for item in PUBLISHED:
        for source in item.sources:
            if isinstance(source, HubFile):
                assert re.fullmatch(r"[\w.-]+/[\w.-]+", source.repository)
            elif isinstance(source, WheelMember):
                assert re.fullmatch(r"\d+\.\d+\.\d+", source.version)
            else:
                assert source.url.startswith("https://")


def test_face_networks_are_not_required() -> None:
    needs = {need: [r for r in CATALOGUE if CATALOGUE[r].need == need] for need in get_args(Need)}
    assert needs == {
        "required": ["unet", "vae", "whisper", "bisenet"],
        "optional": ["s3fd", "rtmpose"],
        "extra": ["taesd", "face mesh"],
    }


def test_every_role_is_in_the_catalogue_with_all_that_is_asked_of_it() -> None:
    assert tuple(CATALOGUE) == get_args(Role)
    assert [role for role in CATALOGUE if not CATALOGUE[role].code] == ["face mesh"]
    for role, network in CATALOGUE.items():
        if not network.code:
            assert (network.role, network.last_stage) == (role, None)
            continue
        assert network.network_class().__name__ == network.code.rpartition(".")[2]
        assert (network.role, bool(network.title), bool(network.marks)) == (role, True, True)
        assert network.last_stage in get_args(Stage)
        places = [get_args(Stage).index(stage) for stage in network.stages]
        assert places == sorted(places)


def test_stages_are_planned_with_what_they_load_but_for_the_small_decoder() -> None:
    planned = {s: [network.role for network in planned_networks(s)] for s in get_args(Stage)}
    assert planned == {
        "faces": ["s3fd", "rtmpose"],
        "prepare": ["vae", "bisenet"],
        "audio": ["whisper"],
        "generate": ["unet", "vae"],
        "upscale": [],  # the user's own model
    }


def test_a_list_of_the_files_does_not_load_torch() -> None:
    code = "import avatarvideo.musetalk.weights.search, sys; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_size_tells_a_file_from_another() -> None:
    v15, v10 = (published_for("unet", model)[0] for model in MODELS)
    assert v15.size is not None
    assert size_problem(v15, v15.size) is None
    assert size_problem(v15, 100) == "it has 100 bytes instead of 3,400,074,924"
    assert size_problem(v10, 3_400_100_000) is None
    assert size_problem(v10, v15.size) == (
        "its 3,400,074,924 bytes are those of musetalkV15/unet.pth"
    )
    assert size_problem(v10, 0) == "it is empty"


def test_sizes_are_readable() -> None:
    assert readable_size(3_400_074_924) == "3.40 GB"
    assert readable_size(334_643_276) == "335 MB"
    assert readable_size(748) == "1 kB"
