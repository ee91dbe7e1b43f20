"""Files of every published format and layout fill the networks; others say what is wrong."""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from avatarvideo.errors import CheckpointError
from avatarvideo.musetalk.networks.unet import UNet, UNetConfig
from avatarvideo.musetalk.networks.vae import AutoencoderKL, VAEConfig
from avatarvideo.musetalk.networks.whisper import WhisperConfig, WhisperEncoder
from avatarvideo.musetalk.weights.build import load_network
from avatarvideo.musetalk.weights.catalogue import CATALOGUE, Role
from avatarvideo.musetalk.weights.key_layouts import native_vae, native_whisper
from avatarvideo.musetalk.weights.state_dicts import load_into, read_state_dict

KEYS = Path(__file__).parent / "keys"
SMALL_VAE = VAEConfig(block_out_channels=(32, 32, 32, 32))
SMALL_UNET = UNetConfig(
    block_out_channels=(8, 8, 8, 8), attention_heads=2, cross_attention_dim=8, norm_num_groups=4
)
SMALL_WHISPER = WhisperConfig(positions=20, width=24, heads=2, layers=2)
ATTENTIONS = ("encoder.mid_block.attentions.0", "decoder.mid_block.attentions.0")
PUBLISHED_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
LDM_ATTENTION = {"to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def at_true_size(name: str) -> dict[str, Tensor]:
    """One value seen through every published shape: nothing of true size is allocated."""
    shapes = json.loads((KEYS / f"{name}.json").read_text())
    return {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}


def on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return build()


def small_vae_state() -> dict[str, Tensor]:
    return AutoencoderKL(SMALL_VAE).state_dict()


def with_published_attention(state: dict[str, Tensor]) -> dict[str, Tensor]:
    published = {}
    for key, tensor in state.items():
        for ours, theirs in PUBLISHED_ATTENTION.items():
            if key.startswith(ATTENTIONS):
                key = key.replace(f".{ours}.", f".{theirs}.")
        published[key] = tensor
    return published


def as_stable_diffusion_has_it(state: dict[str, Tensor]) -> dict[str, Tensor]:
    ldm = {}
    for key, tensor in state.items():
        if key.startswith(ATTENTIONS):
            side, part = key.split(".mid_block.attentions.0.")
            for ours, theirs in LDM_ATTENTION.items():
                if part.startswith(ours):
                    part = part.replace(ours, theirs)
                    tensor = tensor[:, :, None, None] if tensor.ndim == 2 else tensor
            key = f"{side}.mid.attn_1.{part.replace('group_norm', 'norm')}"
        key = re.sub(r"mid_block\.resnets\.0", "mid.block_1", key)
        key = re.sub(r"mid_block\.resnets\.1", "mid.block_2", key)
        key = re.sub(r"down_blocks\.(\d)\.resnets\.", r"down.\1.block.", key)
        key = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", key)
        if found := re.search(r"up_blocks\.(\d)", key):
            key = key.replace(found[0], f"up.{3 - int(found[1])}")
        key = key.replace(".upsamplers.0.", ".upsample.")
        key = re.sub(r"(up\.\d)\.resnets\.", r"\1.block.", key)
        key = key.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        ldm[key] = tensor
    return ldm


def as_openai_has_it(state: dict[str, Tensor]) -> dict[str, Tensor]:
    names = {
        "self_attn.q_proj": "attn.query",
        "self_attn.k_proj": "attn.key",
        "self_attn.v_proj": "attn.value",
        "self_attn.out_proj": "attn.out",
        "self_attn_layer_norm": "attn_ln",
        "fc1": "mlp.0",
        "fc2": "mlp.2",
        "final_layer_norm": "mlp_ln",
        "encoder.layers": "encoder.blocks",
        "encoder.layer_norm": "encoder.ln_post",
        "encoder.embed_positions.weight": "encoder.positional_embedding",
    }
    openai = {}
    for key, tensor in state.items():
        key = key.removeprefix("model.")
        for theirs, ours in names.items():
            key = key.replace(theirs, ours)
        openai[key] = tensor
    return openai


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for key, tensor in expected.items():
        assert found[key].shape == tensor.shape, key
        assert torch.equal(found[key], tensor), key


def filled(network: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        nn.init.normal_(parameter, generator=generator)
    return network


def test_published_vae_names_at_true_size_become_the_networks() -> None:
    expected = at_true_size("vae")
    assert_same(native_vae(with_published_attention(expected)), expected)


@pytest.mark.parametrize("prefix", ["", "first_stage_model."])
def test_stable_diffusion_vae_at_true_size_becomes_the_networks(prefix: str) -> None:
    expected = at_true_size("vae")
    ldm = {prefix + key: value for key, value in as_stable_diffusion_has_it(expected).items()}
    ldm["loss.logvar" if not prefix else "cond_stage_model.x"] = torch.zeros(())

    assert_same(native_vae(ldm), expected)


@pytest.mark.slow
def test_published_vae_names_equal_what_diffusers_makes_of_them(
    tmp_path: Path, oracle: Callable[[str], ModuleType]
) -> None:
    diffusers = oracle("diffusers")
    theirs = diffusers.AutoencoderKL(
        block_out_channels=(32, 32, 32, 32),
        layers_per_block=2,
        latent_channels=4,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
    )
    published = with_published_attention(filled(theirs, 1).state_dict())
    theirs.save_config(tmp_path)
    save_file(published, tmp_path / "diffusion_pytorch_model.safetensors", {"format": "pt"})

    again = diffusers.AutoencoderKL.from_pretrained(tmp_path, low_cpu_mem_usage=False)
    found = native_vae(read_state_dict(tmp_path / "diffusion_pytorch_model.safetensors"))

    assert_same(found, again.state_dict())


@pytest.mark.slow
def test_stable_diffusion_vae_equals_what_diffusers_makes_of_it(
    oracle: Callable[[str], ModuleType],
) -> None:
    convert = oracle("diffusers.loaders.single_file_utils").convert_ldm_vae_checkpoint
    network = filled(AutoencoderKL(SMALL_VAE), 2)
    ldm = as_stable_diffusion_has_it(network.state_dict())
    config = {"down_block_types": [""] * 4, "up_block_types": [""] * 4}

    assert_same(native_vae(ldm), convert(dict(ldm), config))


def test_every_whisper_layout_at_true_size_becomes_the_networks() -> None:
    expected = at_true_size("whisper")
    beside = {
        "model.decoder.layers.0.fc1.weight": torch.zeros(3),
        "proj_out.weight": torch.zeros(3),
    }
    without_model = {key.removeprefix("model."): value for key, value in expected.items()}
    openai = as_openai_has_it(expected)
    assert "encoder.blocks.3.attn.key.weight" in openai
    assert "encoder.ln_post.bias" in openai

    assert_same(native_whisper({**expected, **beside}), expected)
    assert_same(native_whisper(without_model), expected)
    assert_same(
        native_whisper({**openai, "decoder.positional_embedding": torch.zeros(3)}),
        expected,
    )


def test_whisper_names_are_those_of_transformers(oracle: Callable[[str], ModuleType]) -> None:
    transformers = oracle("transformers")
    config = transformers.WhisperConfig(
        d_model=24,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=96,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=24,
        max_source_positions=20,
        vocab_size=60,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
    )
    theirs = transformers.WhisperForConditionalGeneration(config).state_dict()
    network = on_meta(lambda: WhisperEncoder(SMALL_WHISPER))

    load_into(network, native_whisper(theirs), source=Path("whisper"))

    expected = {key: theirs[key] for key in network.state_dict()}
    assert_same(network.state_dict(), expected)


Writer = Callable[[dict[str, Tensor], Path], None]
WRITERS: dict[str, Writer] = {
    "unet.safetensors": lambda state, path: save_file(state, path),
    "unet.pth": lambda state, path: torch.save(state, path),
    "wrapped.pth": lambda state, path: torch.save({"epoch": 3, "state_dict": state}, path),
    "tiny.pt": lambda state, path: torch.save({"dims": {}, "model_state_dict": state}, path),
    "old.bin": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
    # What a file is called does not decide how it is opened.
    "misnamed.bin": lambda state, path: save_file(state, path),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_every_format_fills_a_network_from_the_meta_device(tmp_path: Path, name: str) -> None:
    state = filled(UNet(SMALL_UNET), 3).state_dict()
    WRITERS[name](state, tmp_path / name)
    network = on_meta(lambda: UNet(SMALL_UNET))

    load_network("unet", tmp_path / name, network=network)

    assert_same(network.state_dict(), state)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.slow
def test_half_weights_are_widened_when_asked(tmp_path: Path) -> None:
    state = filled(WhisperEncoder(SMALL_WHISPER), 4).half().state_dict()
    openai = {"model_state_dict": as_openai_has_it(state)}
    torch.save(openai, tmp_path / "tiny.pt")
    network = on_meta(lambda: WhisperEncoder(SMALL_WHISPER))

    load_network("whisper", tmp_path / "tiny.pt", dtype=torch.float32, network=network)

    assert_same(network.state_dict(), {key: value.float() for key, value in state.items()})


@pytest.mark.parametrize("name", ["unet.safetensors", "unet.pth"])
def test_changing_loaded_weights_leaves_the_file_alone(tmp_path: Path, name: str) -> None:
    WRITERS[name]({"weight": torch.ones(4)}, tmp_path / name)
    before = (tmp_path / name).read_bytes()

    read_state_dict(tmp_path / name)["weight"].add_(1)

    assert (tmp_path / name).read_bytes() == before


class Normalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv_out = nn.Conv2d(2, 2, 1)
        self.bn = nn.BatchNorm2d(2)


def test_step_counters_and_training_heads_may_be_absent_or_superfluous(tmp_path: Path) -> None:
    state = Normalised().state_dict()
    del state["bn.num_batches_tracked"]
    state["conv_out16.conv.bn.num_batches_tracked"] = torch.tensor(5)
    state["conv_out32.conv_out.weight"] = torch.ones(19, 64, 1, 1)
    network = on_meta(Normalised)

    load_into(network, state, source=tmp_path / "79999_iter.pth")

    assert torch.equal(network.state_dict()["bn.num_batches_tracked"], torch.tensor(0))


def test_other_superfluous_keys_are_an_error(tmp_path: Path) -> None:
    state = {**Normalised().state_dict(), "conv_out.extra": torch.ones(1)}

    with pytest.raises(CheckpointError, match=r"found 1 unknown key \(conv_out\.extra\)"):
        load_into(on_meta(Normalised), state, source=tmp_path / "79999_iter.pth")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "role", "swapped", "seems"),
    [
        (UNet, "unet", "vae", "a Stable Diffusion VAE"),
        (AutoencoderKL, "vae", "unet", "a UNet"),
        (WhisperEncoder, "whisper", "vae", "a Stable Diffusion VAE"),
        (AutoencoderKL, "vae", "rtmpose", "an RTMPose landmark network"),
        (UNet, "unet", "bisenet", "the BiSeNet face parser"),
        (UNet, "unet", "s3fd", "the S3FD face detector"),
        (AutoencoderKL, "vae", "whisper", "Whisper"),
    ],
)
def test_swapped_file_is_one_sentence_naming_file_keys_and_what_it_seems_to_be(
    tmp_path: Path, build: Callable[[], nn.Module], role: Role, swapped: str, seems: str
) -> None:
    path = tmp_path / "unet.pth"
    network = on_meta(build)
    first = next(iter(network.state_dict()))

    with pytest.raises(CheckpointError) as caught:
        load_into(network, CATALOGUE[role].native_keys(at_true_size(swapped)), source=path)

    message = str(caught.value)
    assert str(path) in message
    assert first in message
    assert f"it seems to hold {seems}" in message
    assert len(message) < 600
    assert "\n" not in message


def test_other_shapes_are_named(tmp_path: Path) -> None:
    state = at_true_size("unet")
    state["conv_in.weight"] = torch.zeros(()).expand(320, 4, 3, 3)

    with pytest.raises(
        CheckpointError,
        match=r"1 of another form \(conv_in\.weight \[320, 4, 3, 3\] instead of "
        r"\[320, 8, 3, 3\]\); it seems to hold a UNet: replace it",
    ):
        load_into(on_meta(UNet), state, source=tmp_path / "unet.pth")


def test_a_network_is_left_untouched_by_a_file_that_does_not_fit(tmp_path: Path) -> None:
    network = on_meta(Normalised)

    with pytest.raises(CheckpointError):
        load_into(network, {"conv_out.weight": torch.ones(2, 2, 1, 1)}, source=tmp_path / "a")

    assert all(parameter.is_meta for parameter in network.parameters())


@pytest.mark.parametrize("name", WRITERS)
def test_truncated_file_is_one_sentence_naming_it(tmp_path: Path, name: str) -> None:
    WRITERS[name](small_vae_state(), tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])

    with pytest.raises(CheckpointError) as caught:
        read_state_dict(tmp_path / name)

    assert re.fullmatch(
        rf"Expected model weights in {re.escape(str(tmp_path / name))}, found a damaged file "
        r"\(.{1,200}\): replace it, or run `avatar models download` to get it again\.",
        str(caught.value),
    )


def test_files_that_are_no_checkpoints_say_what_they_are(tmp_path: Path) -> None:
    contents = {
        "empty": (b"", "an empty file"),
        "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        "page": (b"\n<!DOCTYPE html><html>", "a web page"),
        "noise": (b"\x00\x01noise", "not a checkpoint"),
    }
    for name, (content, words) in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=words):
            read_state_dict(tmp_path / name)
    with pytest.raises(CheckpointError, match=r"absent\.pth, found no file"):
        read_state_dict(tmp_path / "absent.pth")


def test_tar_archive_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "resnet18.pth", "w") as archive:
        archive.addfile(tarfile.TarInfo("pickle"))

    with pytest.raises(CheckpointError, match="a tar archive"):
        read_state_dict(tmp_path / "resnet18.pth")


def test_zeros_of_any_length_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "unet.pth").touch()
    os.truncate(tmp_path / "unet.pth", 4 << 30)  # takes no room on the disk

    with pytest.raises(CheckpointError, match="found zeros where it should begin, as a broken"):
        read_state_dict(tmp_path / "unet.pth")


@pytest.mark.parametrize("saved", [[1, 2], torch.ones(2), {"state_dict": {"epoch": 4}}])
def test_pickles_without_a_state_dict_are_refused(tmp_path: Path, saved: object) -> None:
    torch.save(saved, tmp_path / "model.pth")

    with pytest.raises(CheckpointError, match=r"model\.pth, found a damaged file \(.*it"):
        read_state_dict(tmp_path / "model.pth")
