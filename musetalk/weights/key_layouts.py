"""Rename the state-dict keys of every published layout to those of our networks.

Most layouts need nothing. Renamed are the VAE's older attention names, the VAE as Stable Diffusion
checkpoints hold it, Whisper as OpenAI published it, and the small decoder by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the catalogue must not load torch
    from torch import Tensor

LDM_PREFIX = "first_stage_model."

# Attention of the VAE before diffusers 0.18, which is how sd-vae-ft-mse is published.
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_LDM_ATTENTION = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
}
_LDM_PARTS = (
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.", ".mid_block.attentions.0."),
    (r"\.down\.(\d+)\.block\.(\d+)\.", r".down_blocks.\1.resnets.\2."),
    (r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0."),
    (r"\.up\.(\d+)\.block\.(\d+)\.", r".up_blocks.\1.resnets.\2."),
    (r"\.up\.(\d+)\.upsample\.", r".up_blocks.\1.upsamplers.0."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"\.norm_out\.", ".conv_norm_out."),
)
_LDM_MARK = re.compile(r"(encoder\.down|decoder\.up|(en|de)coder\.mid)\.")
_ATTENTION = re.compile(r"(.*\.mid_block\.attentions\.0)\.(\w+)\.(weight|bias)")
_TAESD_LAYER = re.compile(r"(?:taesd_decoder\.)?(\d+)\.(.+)")
_OPENAI_PARTS = (
    (r"^encoder\.positional_embedding$", "encoder.embed_positions.weight"),
    (r"^encoder\.ln_post\.", "encoder.layer_norm."),
    (r"^encoder\.blocks\.", "encoder.layers."),
    (r"\.attn\.query\.", ".self_attn.q_proj."),
    (r"\.attn\.key\.", ".self_attn.k_proj."),
    (r"\.attn\.value\.", ".self_attn.v_proj."),
    (r"\.attn\.out\.", ".self_attn.out_proj."),
    (r"\.attn_ln\.", ".self_attn_layer_norm."),
    (r"\.mlp\.0\.", ".fc1."),
    (r"\.mlp\.2\.", ".fc2."),
    (r"\.mlp_ln\.", ".final_layer_norm."),
)


def native_vae(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the VAE's tensors under the keys of our network; unknown keys stay.

    Stable Diffusion's attention is made of 1x1 convolutions; they become matrices.
    """
    if any(key.startswith(LDM_PREFIX) for key in state):
        state = {
            key.removeprefix(LDM_PREFIX): tensor
            for key, tensor in state.items()
            if key.startswith(LDM_PREFIX)
        }
    attention = _OLD_ATTENTION
    if any(_LDM_MARK.match(key) for key in state):
        state = _without_ldm_names(state)
        attention = _LDM_ATTENTION
    native: dict[str, Tensor] = {}
    for key, tensor in state.items():
        found = _ATTENTION.fullmatch(key)
        if found and found[2] in attention:
            key = f"{found[1]}.{attention[found[2]]}.{found[3]}"
            if tensor.ndim == 4 and tensor.shape[2:] == (1, 1):
                tensor = tensor.flatten(1)
        native[key] = tensor
    return native


def _without_ldm_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Training files carry the discriminator and a running average beside the network.
    kept = {
        key: tensor
        for key, tensor in state.items()
        if key.startswith(("encoder.", "decoder.", "quant_conv.", "post_quant_conv."))
    }
    levels = [int(found[1]) for key in kept if (found := re.match(r"decoder\.up\.(\d+)\.", key))]
    top = max(levels, default=0)

    def mirrored(found: re.Match[str]) -> str:
        return f"decoder.up.{top - int(found[1])}."  # counted from the largest size there

    native: dict[str, Tensor] = {}
    for key, tensor in kept.items():
        key = re.sub(r"^decoder\.up\.(\d+)\.", mirrored, key)
        native[_renamed(key, _LDM_PARTS)] = tensor
    return native


def native_whisper(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of Whisper's encoder under the keys of our network."""
    native: dict[str, Tensor] = {}
    for key, tensor in state.items():
        key = _renamed(key.removeprefix("model."), _OPENAI_PARTS)
        if not key.startswith(("decoder.", "proj_out.")):
            native[f"model.{key}" if key.startswith("encoder.") else key] = tensor
    return native


def native_taesd(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the small decoder's tensors under our keys; "1.weight" is of the decoder alone."""
    native: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if found := _TAESD_LAYER.fullmatch(key):
            key = f"decoder.layers.{int(found[1]) - 1}.{found[2]}"
        if not key.startswith(("encoder.", "taesd_encoder.", "vae_")):
            native[key] = tensor
    return native


def _renamed(key: str, parts: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in parts:
        key = re.sub(pattern, replacement, key)
    return key
