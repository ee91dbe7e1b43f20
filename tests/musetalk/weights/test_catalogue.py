from __future__ import annotations

import re
from pathlib import PurePosixPath

from avatarvideo.musetalk.weights.catalogue import (
    EXTRAS,
    MODELS,
    PUBLISHED,
    REQUIRED,
    ROLES,
    TITLES,
    HubFile,
    published_for,
    readable_size,
    size_problem,
)


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


def test_addresses_are_encrypted_and_hub_names_are_complete() -> None:
    for item in PUBLISHED:
        for source in item.sources:
            if isinstance(source, HubFile):
                assert re.fullmatch(r"[\w.-]+/[\w.-]+", source.repository)
            else:
                assert source.url.startswith("https://")


def test_face_networks_are_not_required() -> None:
    assert set(ROLES) - set(REQUIRED) == {"s3fd", "rtmpose"}
    assert TITLES.keys() == {*ROLES, *EXTRAS}


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
