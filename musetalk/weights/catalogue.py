"""The one table of published model files: what they are, where they come from, where they lie.

Sizes and SHA-256 are those of the publishers' own listings. Places are relative to a folder of
models; besides upstream's layout they cover those of the ComfyUI packs for MuseTalk and of
ComfyUI's own folders, so that nobody downloads a file twice. MuseTalk 1.0 and 1.5
have networks of the same shape: which of them a UNet file holds is known by its SHA-256 only,
and the published one of 1.0 is not known here, so a swapped pair is noticed by size alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..interfaces import Model

Role = Literal["unet", "vae", "whisper", "bisenet", "s3fd", "rtmpose", "taesd"]
Precision = Literal["half", "full"]

ROLES: tuple[Role, ...] = ("unet", "vae", "whisper", "bisenet", "s3fd", "rtmpose")
MODELS: tuple[Model, ...] = get_args(Model)
# Without the two others the face is located without weights instead.
REQUIRED: tuple[Role, ...] = ("unet", "vae", "whisper", "bisenet")
# Used where the user has them; never downloaded, never missed.
EXTRAS: tuple[Role, ...] = ("taesd",)
TITLES: dict[Role, str] = {
    "unet": "UNet",
    "vae": "face autoencoder",
    "whisper": "Whisper",
    "bisenet": "face parser",
    "s3fd": "face detector",
    "rtmpose": "landmark network",
    "taesd": "small decoder",
}


@dataclass(frozen=True)
class HubFile:
    """A file of a repository on the Hugging Face hub."""

    repository: str
    path: str

    def __str__(self) -> str:
        return f"{self.repository} on the Hugging Face hub ({self.path})"


@dataclass(frozen=True)
class WebFile:
    """A file at an address of its own."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """One published file of weights.

    places: where it may lie below a folder of models, upstream's place first; may hold "*".
    models: the versions of MuseTalk that use it.
    sources: where it can be had, the publisher first; none for a file that is not distributed.
    size: bytes; None where not known.
    """

    role: Role
    places: tuple[str, ...]
    licence: str
    models: tuple[Model, ...] = MODELS
    sources: tuple[HubFile | WebFile, ...] = ()
    size: int | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        """Its place in upstream's layout, such as "musetalkV15/unet.pth"."""
        return self.places[0]


_MUSETALK_LICENCE = (
    "free for any use, also commercial (upstream's README); CreativeML OpenRAIL-M (hub card)"
)
_WHISPER_LICENCE = "MIT (code); Apache-2.0 (hub card)"
_PARSER_LICENCE = "MIT (code); trained on CelebAMask-HQ, which is for research only"
_TINY_SHA256 = "65147644a518d12f04e32d6f3b26facc3f8dd46e5390956a9424a650c0ce22b9"
_SFD = "face_detection/detection/sfd/s3fd.pth"  # beside the detector's code

# Of the files for one role the first is the one `download` gets.
PUBLISHED: tuple[PublishedFile, ...] = (
    PublishedFile(
        role="unet",
        models=("v1.5",),
        places=("musetalkV15/unet.pth",),
        sources=(HubFile("TMElyralab/MuseTalk", "musetalkV15/unet.pth"),),
        size=3_400_074_924,
        sha256="7ebf6c98c181e20838e4c0054e96e944ac60d5d692cc01db42839fe11b787007",
        licence=_MUSETALK_LICENCE,
    ),
    PublishedFile(
        role="unet",
        models=("v1.0",),
        places=("musetalk/pytorch_model.bin",),
        sources=(HubFile("TMElyralab/MuseTalk", "musetalk/pytorch_model.bin"),),
        licence=_MUSETALK_LICENCE,
    ),
    PublishedFile(
        role="unet",
        models=("v1.0",),
        places=("musetalk/epoch_*.pth",),
        licence="that of whoever trained it",
    ),
    PublishedFile(
        role="vae",
        places=(
            "sd-vae/diffusion_pytorch_model.safetensors",
            "sd-vae-ft-mse/diffusion_pytorch_model.safetensors",
        ),
        sources=(HubFile("stabilityai/sd-vae-ft-mse", "diffusion_pytorch_model.safetensors"),),
        size=334_643_276,
        sha256="a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815",
        licence="MIT",
    ),
    PublishedFile(
        role="vae",
        places=(
            "sd-vae/diffusion_pytorch_model.bin",
            "sd-vae-ft-mse/diffusion_pytorch_model.bin",
        ),
        sources=(HubFile("stabilityai/sd-vae-ft-mse", "diffusion_pytorch_model.bin"),),
        size=334_707_217,
        sha256="1b4889b6b1d4ce7ae320a02dedaeff1780ad77d415ea0d744b476155c6377ddc",
        licence="MIT",
    ),
    # The same weights in Stable Diffusion's layout, as ComfyUI's own VAE loader takes them.
    PublishedFile(
        role="vae",
        places=(
            "vae/vae-ft-mse-840000-ema-pruned.safetensors",
            "vae-ft-mse-840000-ema-pruned.safetensors",
        ),
        sources=(
            HubFile(
                "stabilityai/sd-vae-ft-mse-original", "vae-ft-mse-840000-ema-pruned.safetensors"
            ),
        ),
        size=334_641_190,
        sha256="735e4c3a447a3255760d7f86845f09f937809baa529c17370d83e4c3758f3c75",
        licence="MIT",
    ),
    PublishedFile(
        role="vae",
        places=(
            "vae/vae-ft-mse-840000-ema-pruned.ckpt",
            "vae-ft-mse-840000-ema-pruned.ckpt",
        ),
        sources=(
            HubFile("stabilityai/sd-vae-ft-mse-original", "vae-ft-mse-840000-ema-pruned.ckpt"),
        ),
        sha256="c6a580b13a5bc05a5e16e4dbb80608ff2ec251a162311590c1f34c013d7f3dab",
        licence="MIT",
    ),
    PublishedFile(
        role="whisper",
        places=("whisper/model.safetensors", "whisper-tiny/model.safetensors"),
        sources=(HubFile("openai/whisper-tiny", "model.safetensors"),),
        size=151_061_672,
        sha256="7ebd0e69e78190ffe1438491fa05cc1f5c1aa3a4c4db3bc1723adbb551ea2395",
        licence=_WHISPER_LICENCE,
    ),
    PublishedFile(
        role="whisper",
        places=("whisper/pytorch_model.bin", "whisper-tiny/pytorch_model.bin"),
        sources=(HubFile("openai/whisper-tiny", "pytorch_model.bin"),),
        size=151_095_027,
        sha256="9607f98a2b22d9e229ae43c52ecea79dcede9e0c5cfae67e8da6eda86d8aac1d",
        licence=_WHISPER_LICENCE,
    ),
    PublishedFile(
        role="whisper",
        places=("whisper/tiny.pt", "musetalk/whisper/checkpoints/tiny.pt"),
        sources=(
            WebFile(
                f"https://openaipublic.azureedge.net/main/whisper/models/{_TINY_SHA256}/tiny.pt"
            ),
            HubFile("ByteDance/LatentSync-1.5", "whisper/tiny.pt"),
        ),
        size=75_572_083,
        sha256=_TINY_SHA256,
        licence=_WHISPER_LICENCE,
    ),
    PublishedFile(
        role="bisenet",
        places=(
            "face-parse-bisent/79999_iter.pth",  # upstream's spelling
            "face-parse-bisenet/79999_iter.pth",
            "facexlib/parsing_bisenet.pth",  # the same bytes under another name
            "facedetection/parsing_bisenet.pth",
        ),
        sources=(
            HubFile("ManyOtherFunctions/face-parse-bisent", "79999_iter.pth"),
            HubFile("vivym/face-parsing-bisenet", "79999_iter.pth"),
            WebFile(
                "https://github.com/xinntao/facexlib/releases/download/v0.2.0/parsing_bisenet.pth"
            ),
        ),
        size=53_289_463,
        sha256="468e13ca13a9b43cc0881a9f99083a430e9c0a38abd935431d1c28ee94b26567",
        licence=_PARSER_LICENCE,
    ),
    PublishedFile(
        role="s3fd",
        places=(
            "s3fd/s3fd-619a316812.pth",
            "s3fd-619a316812.pth",
            "s3fd.pth",
            "face_detection/s3fd.pth",
            f"musetalk/utils/{_SFD}",
            f"../musetalk/utils/{_SFD}",
        ),
        sources=(
            WebFile("https://www.adrianbulat.com/downloads/python-fan/s3fd-619a316812.pth"),
            HubFile("ByteDance/LatentSync-1.5", "auxiliary/s3fd-619a316812.pth"),
        ),
        size=89_843_225,
        sha256="619a31681264d3f7f7fc7a16a42cbbe8b23f31a256f75a366e5a1bcd59b33543",
        licence="BSD-3-Clause (face-alignment)",
    ),
    PublishedFile(
        role="rtmpose",
        places=("dwpose/dw-ll_ucoco_384.pth", "DWPose/dw-ll_ucoco_384.pth"),
        sources=(HubFile("yzd-v/DWPose", "dw-ll_ucoco_384.pth"),),
        size=406_878_486,
        sha256="0d9408b13cd863c4e95a149dd31232f88f2a12aa6cf8964ed74d7d97748c7a07",
        licence="Apache-2.0",
    ),
    # ComfyUI's previews look for the decoder alone, diffusers for the whole autoencoder.
    PublishedFile(
        role="taesd",
        places=("vae_approx/taesd_decoder.safetensors", "taesd/taesd_decoder.safetensors"),
        sources=(HubFile("madebyollin/taesd", "taesd_decoder.safetensors"),),
        licence="MIT",
    ),
    PublishedFile(
        role="taesd",
        places=("vae_approx/taesd_decoder.pth", "taesd/taesd_decoder.pth"),
        licence="MIT",
    ),
    PublishedFile(
        role="taesd",
        places=(
            "taesd/diffusion_pytorch_model.safetensors",
            "vae_approx/taesd/diffusion_pytorch_model.safetensors",
        ),
        sources=(HubFile("madebyollin/taesd", "diffusion_pytorch_model.safetensors"),),
        licence="MIT",
    ),
)

# Folders below a folder of models under which the places are looked for; downloads go into the
# first. The others are those of the hub snapshots that ComfyUI packs keep.
OUR_FOLDER = "musetalk"
BASES = (OUR_FOLDER, "", "MuseTalk", "diffusers/TMElyralab/MuseTalk")
# Packs that keep the files inside their own folder, beside ComfyUI's models.
PACK_BASES = (
    "ComfyUI-MuseTalk_FSH/models",
    "ComfyUI-MuseTalk_FSH",
    "ComfyUI-MuseTalk-KJ",
    "ComfyUI-MuseTalk/models",
    "ComfyUI-MuseTalk",
    "ComfyUI-MuseTalkUtils/models",
)
CONVERTED_FOLDER = f"{OUR_FOLDER}/converted"
_HASHED_BYTES = 1 << 23  # at a time: some milliseconds
_DTYPE_NAMES: dict[Precision, str] = {"half": "fp16", "full": "fp32"}


def published_for(role: Role, model: Model) -> tuple[PublishedFile, ...]:
    """Return the files that can fill ``role``, the one to download first."""
    return tuple(item for item in PUBLISHED if item.role == role and model in item.models)


def destination(published: PublishedFile, root: Path) -> Path:
    """Return where a download goes below a folder of models; ``find`` looks there first."""
    return root / OUR_FOLDER / published.name


def converted_path(role: Role, model: Model, precision: Precision, root: Path) -> Path:
    """Return where `convert` writes below a folder of models."""
    stem = f"unet-{model}" if role == "unet" else role
    return root / CONVERTED_FOLDER / f"{stem}.{_DTYPE_NAMES[precision]}.safetensors"


def file_sha256(path: Path, check_cancelled: Callable[[], None] = lambda: None) -> str:
    """Return the SHA-256 of a file in hexadecimal; ``check_cancelled`` may raise to stop."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASHED_BYTES):
            check_cancelled()
            digest.update(chunk)
    return digest.hexdigest()


def readable_size(size: int) -> str:
    """Return bytes in decimal units, such as "3.40 GB" or "335 MB"."""
    if size >= 1_000_000_000:
        return f"{size / 1e9:.2f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 1_000_000 else f"{size / 1e3:.0f} kB"


def size_problem(published: PublishedFile, size: int) -> str | None:
    """Say how a file's size tells that it is not ``published``; None when it may be."""
    if published.size is not None:
        if size == published.size:
            return None
        return f"it has {size:,} bytes instead of {published.size:,}"
    if not size:
        return "it is empty"
    for other in PUBLISHED:
        if other.size == size:
            return f"its {size:,} bytes are those of {other.name}"
    return None
