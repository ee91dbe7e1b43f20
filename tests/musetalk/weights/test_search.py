from __future__ import annotations

import os
from pathlib import Path

import pytest

from avatarvideo.musetalk.interfaces import Model
from avatarvideo.musetalk.weights.catalogue import (
    MODELS,
    PUBLISHED,
    HubFile,
    PublishedFile,
    Role,
    converted_path,
    destination,
    networks_for,
    published_for,
    role_of,
)
from avatarvideo.musetalk.weights.search import (
    Caches,
    FileStatus,
    FoundFiles,
    MissingFiles,
    files_to_download,
    find,
    list_files,
    user_caches,
)

NO_CACHES = Caches()
NETWORKS = networks_for("v1.5")
ROLES: list[Role] = [network.role for network in NETWORKS if network.need != "extra"]
REQUIRED = [network.role for network in NETWORKS if network.need == "required"]


def put(path: Path, size: int | None) -> Path:
    """Make a file of a size that takes no room on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.truncate(path, size or 1000)
    return path


def published_at(place: str) -> PublishedFile:
    return next(item for item in PUBLISHED if place in item.places)


def put_everything(folder: Path, places: list[str]) -> None:
    for place in places:
        put(folder / place, published_at(place).size)


def paths(found: FoundFiles | MissingFiles) -> dict[Role, Path]:
    assert isinstance(found, FoundFiles), found.message
    return {role: item.path for role, item in found.files.items() if item.path}


UPSTREAM = [
    "musetalk/pytorch_model.bin",
    "musetalkV15/unet.pth",
    "dwpose/dw-ll_ucoco_384.pth",
    "face-parse-bisent/79999_iter.pth",
    "sd-vae/diffusion_pytorch_model.bin",
    "whisper/pytorch_model.bin",
]
PACK = [
    "musetalk/pytorch_model.bin",
    "dwpose/dw-ll_ucoco_384.pth",
    "face-parse-bisent/79999_iter.pth",
    "sd-vae-ft-mse/diffusion_pytorch_model.bin",
    "whisper/tiny.pt",
]
# Where each pack keeps its files below ComfyUI's own folder.
LAYOUTS: dict[str, tuple[Model, dict[str, list[str]]]] = {
    "upstream 1.5": ("v1.5", {"models": UPSTREAM}),
    "upstream 1.0": ("v1.0", {"models": UPSTREAM}),
    "chaojie": ("v1.0", {"models/diffusers/TMElyralab/MuseTalk": PACK}),
    "AIFSH": ("v1.0", {"custom_nodes/ComfyUI-MuseTalk_FSH/models": PACK}),
    "kijai": (
        "v1.0",
        {
            "models/musetalk": ["musetalk/pytorch_model.bin", "face-parse-bisent/79999_iter.pth"],
            "models": ["vae/vae-ft-mse-840000-ema-pruned.safetensors"],
            "custom_nodes/ComfyUI-MuseTalk-KJ": ["musetalk/whisper/checkpoints/tiny.pt"],
        },
    ),
    "MuseTalkUtils": (
        "v1.0",
        {
            "models/musetalk": [
                "musetalk/pytorch_model.bin",
                "sd-vae-ft-mse/diffusion_pytorch_model.safetensors",
                "whisper/tiny.pt",
            ],
            "models": ["facexlib/parsing_bisenet.pth"],
        },
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_of_every_known_layout_are_found(tmp_path: Path, layout: str) -> None:
    model, folders = LAYOUTS[layout]
    (tmp_path / "custom_nodes").mkdir()
    for folder, places in folders.items():
        put_everything(tmp_path / folder, places)

    found = find(model, [tmp_path / "models"], caches=NO_CACHES)

    assert set(paths(found)) >= set(REQUIRED)
    assert isinstance(found, FoundFiles)
    assert all(item.problem is None for item in found.files.values())
    inside = [(tmp_path / folder).resolve() for folder in folders]
    for path in paths(found).values():
        assert any(path.resolve().is_relative_to(folder) for folder in inside)


@pytest.mark.parametrize("model", MODELS)
def test_downloaded_files_are_found(tmp_path: Path, model: Model) -> None:
    for role in ROLES:
        published = published_for(role, model)[0]
        put(destination(published, tmp_path), published.size)

    found = find(model, [tmp_path], caches=NO_CACHES)

    assert set(paths(found)) == set(ROLES)
    assert files_to_download(model, [tmp_path], caches=NO_CACHES) == []


def test_every_place_of_the_table_is_searched(tmp_path: Path) -> None:
    for index, item in enumerate(PUBLISHED):
        for number, place in enumerate(item.places):
            root = tmp_path / f"{index}-{number}" / "models"
            root.mkdir(parents=True)
            put(root / place.replace("*", "12"), item.size)
            rows = list_files([root], models=[item.models[0]], caches=NO_CACHES)
            there = {row.role for row in rows if row.state == "present"}
            assert role_of(item) in there, place


def test_face_networks_may_be_missing(tmp_path: Path) -> None:
    put_everything(tmp_path, [place for place in UPSTREAM if "dwpose" not in place])

    found = find("v1.5", [tmp_path], caches=NO_CACHES)

    assert isinstance(found, FoundFiles)
    assert {item.role for item in found.missing} == {"s3fd", "rtmpose"}


def test_missing_files_are_one_sentence_with_names_places_and_command(tmp_path: Path) -> None:
    put_everything(tmp_path, ["whisper/tiny.pt", "face-parse-bisent/79999_iter.pth"])
    other = tmp_path / "elsewhere"

    found = find("v1.5", [tmp_path, other], caches=NO_CACHES)

    assert isinstance(found, MissingFiles)
    assert found.message == (
        "MuseTalk 1.5 needs files that were not found: the UNet musetalkV15/unet.pth (3.40 GB), "
        "the face autoencoder sd-vae/diffusion_pytorch_model.safetensors (335 MB); looked in "
        f"{tmp_path}, {other} (there under musetalk/ and in the layouts of other MuseTalk packs) "
        "and in the download caches: run `avatar models download` to get them."
    )
    assert set(found.found) == {"whisper", "bisenet"}


def test_the_command_names_the_older_model(tmp_path: Path) -> None:
    found = find("v1.0", [tmp_path], caches=NO_CACHES)

    assert isinstance(found, MissingFiles)
    assert "run `avatar models download --model v1.0`" in found.message


def test_every_path_that_was_tried_is_known(tmp_path: Path) -> None:
    (tmp_path / "custom_nodes" / "ComfyUI-MuseTalk_FSH" / "models").mkdir(parents=True)
    root = tmp_path / "models"
    root.mkdir()

    found = find("v1.0", [root], caches=NO_CACHES)

    assert isinstance(found, MissingFiles)
    looked = next(item.looked for item in found.missing if item.role == "whisper")
    assert converted_path("whisper", "v1.0", "half", root) in looked
    assert root / "musetalk/whisper/model.safetensors" in looked
    assert root / "whisper/tiny.pt" in looked
    assert tmp_path / "custom_nodes/ComfyUI-MuseTalk_FSH/models/whisper/tiny.pt" in looked
    assert len(looked) == len(set(looked))


def test_earlier_root_wins(tmp_path: Path) -> None:
    for name in ("a", "b"):
        put_everything(tmp_path / name, UPSTREAM)

    found = find("v1.5", [tmp_path / "b", tmp_path / "a"], caches=NO_CACHES)

    assert all(path.is_relative_to(tmp_path / "b") for path in paths(found).values())


def test_file_of_another_size_is_used_only_where_no_better_one_is(tmp_path: Path) -> None:
    put_everything(tmp_path / "good", UPSTREAM)
    put(tmp_path / "cut" / "musetalkV15/unet.pth", 1000)

    roots = [tmp_path / "cut", tmp_path / "good"]
    both = find("v1.5", roots, caches=NO_CACHES)
    assert paths(both)["unet"] == tmp_path / "good" / "musetalkV15/unet.pth"

    (tmp_path / "good" / "musetalkV15/unet.pth").unlink()
    one = find("v1.5", roots, caches=NO_CACHES)
    assert isinstance(one, FoundFiles)
    assert one.files["unet"].path == tmp_path / "cut" / "musetalkV15/unet.pth"
    assert one.files["unet"].problem == "it has 1,000 bytes instead of 3,400,074,924"


def test_converted_files_are_preferred_and_full_precision_passes_by_half(tmp_path: Path) -> None:
    put_everything(tmp_path, UPSTREAM)
    half = put(converted_path("unet", "v1.5", "half", tmp_path), 50)

    assert paths(find("v1.5", [tmp_path], caches=NO_CACHES))["unet"] == half
    exact = find("v1.5", [tmp_path], precision="full", caches=NO_CACHES)
    assert paths(exact)["unet"] == tmp_path / "musetalkV15/unet.pth"
    assert paths(find("v1.0", [tmp_path], caches=NO_CACHES))["unet"] != half

    full = put(converted_path("unet", "v1.5", "full", tmp_path), 50)
    exact = find("v1.5", [tmp_path], precision="full", caches=NO_CACHES)
    assert paths(exact)["unet"] == full


def test_full_precision_takes_half_where_nothing_else_is(tmp_path: Path) -> None:
    put_everything(tmp_path, [place for place in UPSTREAM if "unet.pth" not in place])
    half = put(converted_path("unet", "v1.5", "half", tmp_path), 50)

    found = find("v1.5", [tmp_path], precision="full", caches=NO_CACHES)

    assert isinstance(found, FoundFiles)
    assert (found.files["unet"].path, found.files["unet"].precision) == (half, "half")


def test_latest_of_numbered_training_checkpoints_is_taken(tmp_path: Path) -> None:
    for epoch in (2, 9, 10):
        put(tmp_path / f"musetalk/musetalk/epoch_{epoch}.pth", 1000)

    found = find("v1.0", [tmp_path], caches=NO_CACHES)

    assert isinstance(found, MissingFiles)
    assert found.found["unet"].path == tmp_path / "musetalk/musetalk/epoch_10.pth"


def test_download_caches_are_searched_last(tmp_path: Path) -> None:
    caches = Caches(tmp_path / "hub", tmp_path / "torch", tmp_path / "whisper")
    for role in ("unet", "vae", "bisenet", "rtmpose"):
        published = published_for(role, "v1.5")[0]
        source = published.sources[0]
        assert isinstance(source, HubFile)
        repository = f"models--{source.repository.replace('/', '--')}"
        put(tmp_path / "hub" / repository / "snapshots/abc" / source.path, published.size)
    put(tmp_path / "torch/s3fd-619a316812.pth", 89_843_225)
    put(tmp_path / "whisper/tiny.pt", 75_572_083)

    found = find("v1.5", [tmp_path / "models"], caches=caches)
    assert set(paths(found)) == set(ROLES)

    own = put(tmp_path / "models/whisper/tiny.pt", 75_572_083)
    found = find("v1.5", [tmp_path / "models"], caches=caches)
    assert paths(found)["whisper"] == own


def test_caches_are_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HOME", "HF_HUB_CACHE", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert user_caches() == Caches(
        Path("/cache/huggingface/hub"),
        Path("/cache/torch/hub/checkpoints"),
        Path("/cache/whisper"),
        packages=True,
    )
    monkeypatch.setenv("HF_HOME", "/hf")
    monkeypatch.setenv("TORCH_HOME", "/torch")
    assert user_caches().hub == Path("/hf/hub")
    assert user_caches().torch_hub == Path("/torch/hub/checkpoints")
    monkeypatch.setenv("HF_HUB_CACHE", "/hub")
    assert user_caches().hub == Path("/hub")


def row(rows: list[FileStatus], role: Role, model: Model | None = None) -> FileStatus:
    return next(item for item in rows if (item.role, item.model) == (role, model))


def test_list_has_one_row_for_every_role_extra_and_both_unets(tmp_path: Path) -> None:
    rows = list_files([tmp_path], caches=NO_CACHES)

    assert [item.role for item in rows] == ["unet", *ROLES, "taesd", "face mesh"]
    assert [item.model for item in rows] == ["v1.5", "v1.0", *[None] * 7]
    assert {item.state for item in rows} == {"missing"}
    assert all(item.looked for item in rows)


def test_list_tells_present_wrong_and_converted_files(tmp_path: Path) -> None:
    put_everything(tmp_path, ["musetalkV15/unet.pth", "whisper/tiny.pt"])
    put(tmp_path / "sd-vae/diffusion_pytorch_model.bin", 5000)
    # The 1.5 file where the 1.0 one belongs.
    put(tmp_path / "musetalk/pytorch_model.bin", 3_400_074_924)
    put(converted_path("bisenet", "v1.5", "full", tmp_path), 50)

    rows = list_files([tmp_path], caches=NO_CACHES)

    assert row(rows, "unet", "v1.5").state == "present"
    assert row(rows, "unet", "v1.0").problem == (
        "its 3,400,074,924 bytes are those of musetalkV15/unet.pth"
    )
    assert row(rows, "whisper").published == published_at("whisper/tiny.pt")
    assert row(rows, "vae").state == "wrong"
    assert row(rows, "vae").found_size == 5000
    assert row(rows, "bisenet").precision == "full"
    assert row(rows, "s3fd").state == "missing"
    assert [item.name for item in files_to_download("v1.5", [tmp_path], caches=NO_CACHES)] == [
        "sd-vae/diffusion_pytorch_model.safetensors",
        "s3fd/s3fd-619a316812.pth",
        "dwpose/dw-ll_ucoco_384.pth",
    ]
