"""Inference: face crops to latents, then latents and audio features to new face crops.

The steps are those of TMElyralab/MuseTalk (MIT). Changed against it: the posterior's mode by
default, and batches with values outside half precision's range run again in full precision.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...host.environment import fast_paths_are_on
from ..face.crop import CROP_SIZE
from ..interfaces import Posterior
from ..networks.fast.cuda_graph import RecordedBatch, can_record
from ..networks.taesd import ComparedDecoder
from ..networks.unet import UNet, audio_positions
from ..networks.vae import SCALING_FACTOR, AutoencoderKL, sample_posterior, to_pixels
from .half_rate import MeanLatents

log = logging.getLogger("avatarvideo.musetalk.pipeline.generate")

FIRST_MASKED_ROW = CROP_SIZE // 2
LATENT_SHAPE = (8, CROP_SIZE // 8, CROP_SIZE // 8)
# To capture a CUDA graph takes a GPU about as long as two or three batches without one.
LEAST_REPEATS = 4

MadeFaces = tuple[np.ndarray, np.ndarray]  # crops, and which of them can be used
Capture = Callable[[Callable[..., tuple[Tensor, ...]], Sequence[Tensor]], RecordedBatch]


class PosteriorDraws:
    """Seeded noise for the posterior, the same for the same face however the work is cut up.

    The order is the reference's: face by face, the masked picture before the whole one.
    """

    def __init__(self, kind: Posterior, seed: int) -> None:
        self._seed = seed if kind == "sample" else None
        self._generator = torch.Generator()
        self._next_face = -1

    def latents(self, mean: Tensor, log_variance: Tensor, face: int) -> Tensor:
        """Return one value of each posterior (2, 4, 32, 32) of face number ``face``."""
        if self._seed is None:
            return mean
        if face != self._next_face:
            self._generator.manual_seed(self._seed)
            for _ in range(2 * face):
                torch.randn(mean[:1].shape, generator=self._generator, dtype=mean.dtype)
        self._next_face = face + 1
        pairs = zip(mean.chunk(len(mean)), log_variance.chunk(len(mean)), strict=True)
        return torch.cat([sample_posterior(*pair, self._generator) for pair in pairs])


class FaceEncoder:
    """Encodes face crops into the latents that the UNet starts from.

    on_full_precision: called once, when half precision overflowed.
    """

    def __init__(
        self,
        vae: AutoencoderKL,
        draws: PosteriorDraws,
        *,
        on_full_precision: Callable[[], None] = lambda: None,
    ) -> None:
        self._vae = vae
        self._draws = draws
        self._on_full_precision = on_full_precision

    def encode(self, crops: Sequence[np.ndarray], faces: Sequence[int]) -> Tensor:
        """Return float32 (B, 8, 32, 32) on the CPU: masked latents, then the reference's.

        crops: uint8 RGB (256, 256, 3) each. faces: their numbers in the run.
        """
        latents = self._encode(crops, faces)
        if not torch.isfinite(latents).all() and dtype_of_network(self._vae) != torch.float32:
            make_float32(self._vae)
            self._on_full_precision()
            latents = self._encode(crops, faces)
        return latents

    def _encode(self, crops: Sequence[np.ndarray], faces: Sequence[int]) -> Tensor:
        weight = self._vae.quant_conv.weight
        images = sent(torch.cat(list(map(masked_and_whole, crops))), weight.device, weight.dtype)
        mean, log_variance = self._vae.encode_moments(images)
        pairs = zip(mean.chunk(len(crops)), log_variance.chunk(len(crops)), strict=True)
        latents = [
            SCALING_FACTOR * self._draws.latents(*pair, face).flatten(0, 1)
            for face, pair in zip(faces, pairs, strict=True)
        ]
        return torch.stack(latents).float().cpu()


def masked_and_whole(crop: np.ndarray) -> Tensor:
    """Return float32 (2, 3, 256, 256), -1..1: the crop with its lower half black, and as it is."""
    unit = torch.as_tensor((crop / 255.0).astype(np.float32)).permute(2, 0, 1)
    masked = unit.clone()
    masked[:, FIRST_MASKED_ROW:] = 0  # black before the range is shifted, so -1 and not 0 after it
    return (torch.stack([masked, unit]) - 0.5) / 0.5


class FaceGenerator:
    """Generates face crops whose mouths match the audio; takes any batch.

    on_full_precision: called once, when half precision overflowed.
    repeats: how many batches of the first one's size will come; where they are many, a GPU captures
        one as a CUDA graph, and the last, smaller one uses it too.
    capture: captures a batch; None takes CUDA graphs where the device has them.
    """

    def __init__(
        self,
        unet: UNet,
        vae: AutoencoderKL | ComparedDecoder,
        *,
        on_full_precision: Callable[[], None] = lambda: None,
        repeats: int = 1,
        capture: Capture | None = None,
    ) -> None:
        self._unet = unet
        self._vae = vae
        self._on_full_precision = on_full_precision
        self._positions = audio_positions(width=unet.config.cross_attention_dim)
        self._placed_positions = self._positions
        if capture is None and can_record(unet.conv_in.weight.device):
            capture = RecordedBatch
        self._capture = capture if repeats >= LEAST_REPEATS and fast_paths_are_on() else None
        self._has_run = False
        self._recorded: RecordedBatch | None = None
        self._mean_latents = MeanLatents()

    def close(self) -> None:
        """Free the memory of the CUDA graph, which nothing else could use."""
        if self._recorded is not None:
            self._recorded = None
            torch.cuda.empty_cache()

    @property
    def is_recorded(self) -> bool:
        return self._recorded is not None

    def generate(self, latents: Tensor, windows: Tensor, hears: Tensor | None = None) -> MadeFaces:
        """Return uint8 RGB (B, 256, 256, 3), and bool (B,): which of them can be used.

        latents: float32 (B, 8, 32, 32). windows: float32 (W, 50, width), audio features.
        hears: int64 (B,), the number of each frame's window; None: W equals B.
        A crop is unusable when its numbers are not finite even in full precision.
        """
        return self.begin(latents, windows, hears)()

    def begin(
        self,
        latents: Tensor,
        windows: Tensor,
        hears: Tensor | None = None,
        pairs: Tensor | None = None,
    ) -> Callable[[], MadeFaces]:
        """Start a batch; calling what this returns waits for it and returns as ``generate`` does.

        On a GPU the next batch can be started first; on a CPU the batch is done already.
        pairs: of a CPU's batch, ``half_rate.Batch.pairs``: then so many faces are made.
        """
        full = dtype_of_network(self._unet) == torch.float32
        if hears is not None and torch.equal(hears, torch.arange(len(windows))):
            hears = None
        wait = self._begin(latents, windows, hears, pairs)

        def finish() -> MadeFaces:
            crops, usable = wait()
            # A CPU's half precision has the range of the full one.
            if full or pairs is not None or usable.all():
                return crops, usable
            # An earlier batch may have widened it.
            if dtype_of_network(self._unet) != torch.float32:
                self._recorded = self._capture = None
                make_float32(self._unet, self._vae)
                self._on_full_precision()
            redone = np.flatnonzero(~usable)
            own = windows[redone if hears is None else hears[redone]]
            crops[redone], usable[redone] = self._begin(latents[redone], own)()
            return crops, usable

        return finish

    def _begin(
        self,
        latents: Tensor,
        windows: Tensor,
        hears: Tensor | None = None,
        pairs: Tensor | None = None,
    ) -> Callable[[], MadeFaces]:
        weight = self._unet.conv_in.weight
        place = (weight.device, weight.dtype)
        if (self._placed_positions.device, self._placed_positions.dtype) != place:
            self._placed_positions = self._positions.to(weight.device, weight.dtype)
        if hears is not None and self._capture:
            windows, hears = windows[hears], None  # so that every batch has the same shapes
        inputs = (sent(latents, *place), sent(windows, *place))
        if hears is None and pairs is None:
            pixels, usable = self._repeated(*inputs)
        else:
            heard = None if hears is None else sent(hears, weight.device, hears.dtype)
            pixels, usable = self._faces(*inputs, heard, pairs)
        waits = fetched(pixels), fetched(usable)
        return lambda: (waits[0](), waits[1]())

    def _faces(
        self,
        latents: Tensor,
        windows: Tensor,
        hears: Tensor | None = None,
        pairs: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        # Rounded first and then added, as the reference does in half precision.
        made = self._unet(latents, windows + self._placed_positions, hears)
        shown = made if pairs is None else self._mean_latents(made, pairs)
        images = self._vae.decode(shown * (1 / SCALING_FACTOR))
        usable = torch.isfinite(images).flatten(1).all(dim=1)
        return to_pixels(torch.nan_to_num(images)), usable

    def _repeated(self, latents: Tensor, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Return what ``_faces`` does; from the second batch on as a CUDA graph, if that pays."""
        first, self._has_run = not self._has_run, True
        if first or self._capture is None:
            return self._faces(latents, windows)
        if self._recorded is None:
            try:
                with _without_checks(self._unet, self._vae):
                    self._recorded = self._capture(self._faces, (latents, windows))
            except torch.OutOfMemoryError as error:
                self._capture = None
                log.info("no CUDA graph: there is no memory to capture one: %s", error)
                return self._faces(latents, windows)
        if not self._recorded.takes((latents, windows)):
            return self._faces(latents, windows)
        pixels, usable = self._recorded((latents, windows))
        return pixels, usable


@contextmanager
def _without_checks(*networks: nn.Module) -> Generator[None, None, None]:
    """Let networks compute without the calls between their blocks that may cancel the run."""
    modules: list[Any] = []  # Any: torch declares no attribute but tensors and modules
    for network in networks:
        modules += network.modules()
    checked = [(each, each.between_blocks) for each in modules if hasattr(each, "between_blocks")]
    try:
        for module, _ in checked:
            module.between_blocks = None
        yield
    finally:
        for module, check in checked:
            module.between_blocks = check


def sent(values: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Copy values from the CPU to a device, without waiting for what a GPU still computes."""
    if device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True).to(dtype)
    return values.to(device, dtype)


def fetched(values: Tensor) -> Callable[[], np.ndarray]:
    """Start copying values to the CPU; calling what this returns waits for them."""
    if values.device.type != "cuda":
        array = values.cpu().numpy()
        return lambda: array
    landing = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    landing.copy_(values, non_blocking=True)
    landed = torch.cuda.Event(blocking=True)  # spinning would take a CPU from the encoder
    landed.record(torch.cuda.current_stream(values.device))

    def wait() -> np.ndarray:
        landed.synchronize()
        return landing.numpy()

    return wait


@contextmanager
def one_thread() -> Generator[None, None, None]:
    """Keep PyTorch to the calling thread: for the small copies between a GPU's batches.

    OpenMP's threads spin for milliseconds after each, on all the CPUs that the encoder needs.
    Another thread that computes with PyTorch for the first time meanwhile keeps one for good.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def dtype_of_network(network: nn.Module) -> torch.dtype:
    return next(network.parameters()).dtype


def make_float32(*networks: nn.Module) -> None:
    """Widen weights in place: from half precision that is exact, and so is the way back."""
    log.warning("values left the range of half precision: continuing in float32")
    # Weights made in inference mode could never be moved or narrowed again outside of it.
    with torch.inference_mode(False):
        for network in networks:
            network.float()
