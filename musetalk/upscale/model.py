"""An upscaling model of the user's, as spandrel describes it: checked, copied, seeded, planned.

What ComfyUI's UpscaleModelLoader gives (UPSCALE_MODEL) is spandrel's ImageModelDescriptor, which
other nodes share: it is never moved or changed here, what computes is a copy.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import CheckpointError
from ..weights.session import weight_bytes
from .cuts import Area, Pass, planned, reach_of

log = logging.getLogger("avatarvideo.musetalk.upscale.model")

Kind = Literal["super-resolution", "restoration", "face restoring"]

CROP_SIDE = 256  # pixels, of a generated face
FACE_SIDE = 512  # pixels, of the aligned face that face restorers were trained on
MOST_SIDE = 2048  # pixels; a picture of it takes as much memory as whole networks
MOST_PASSES = 2  # a third one makes up more than it finds
# Times a crop is still enlarged by resizing: another pass takes scale x scale times as long.
LEFT_TO_RESIZING = 1.5
ALIVE = 2.0  # times the largest input and output of one layer: what is held beside them
# Of models that cannot be counted: numbers in all colours and pixels, as ComfyUI plans them.
UNCOUNTED = 384
NOT_THIS = "expected an RGB upscaling or face restoration model, as Load Upscale Model loads them"


class Descriptor(Protocol):
    """What is asked of a model; spandrel's ImageModelDescriptor has it all."""

    purpose: str
    scale: int
    input_channels: int
    output_channels: int
    supports_half: bool
    supports_bfloat16: bool

    @property
    def model(self) -> nn.Module: ...

    def __call__(self, image: Tensor, /) -> Tensor:
        """Return (1, 3, scale H, scale W) of a picture (1, 3, H, W), both 0..1."""
        ...


_KINDS: dict[str, Kind] = {
    "SR": "super-resolution",
    "Restoration": "restoration",
    "FaceSR": "face restoring",
}


class Held(nn.Module):
    """A model as a part of a module of ours: the host writes attributes to what it is lent."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model


class UpscaleModel:
    """A model of the user's for pictures uint8 RGB.

    seed: of the noise that some face restorers add, the same in every frame.
    Raises CheckpointError for what is no such model.
    """

    def __init__(self, descriptor: Any, *, seed: int = 0) -> None:  # Any: whatever a link brings
        self._descriptor = _checked(descriptor)
        self.kind: Kind = _KINDS[self._descriptor.purpose]
        self.scale = int(self._descriptor.scale)
        self._seed = seed
        self._own: Descriptor | None = None
        self._held: Held | None = None
        self._counted: dict[int, int] = {}
        self._takes_channels_last = False  # known once it is counted
        self._reach: int | None = None  # known once it is made
        self._layout = torch.contiguous_format

    @property
    def name(self) -> str:
        """The name of its architecture, such as "ESRGAN"."""
        architecture = getattr(self._descriptor, "architecture", None)
        return str(getattr(architecture, "name", type(self._descriptor.model).__name__))

    @property
    def is_restorer(self) -> bool:
        """Say whether it wants a whole aligned face rather than any picture."""
        return self.kind == "face restoring"

    def passes_for(self, side: float) -> int:
        """Return how often a crop goes through it until it nearly covers a face of so many pixels.

        Not at all where the crop covers it as it is.
        """
        if side <= CROP_SIDE:
            return 0
        passes, reached = 1, CROP_SIDE * self.scale
        if self.scale == 1:
            return passes
        while side > LEFT_TO_RESIZING * reached and reached * self.scale <= MOST_SIDE:
            passes, reached = passes + 1, reached * self.scale
        return min(passes, MOST_PASSES)

    def dtype_for(self, dtype: torch.dtype) -> torch.dtype:
        """Return the precision it computes in where the networks beside it take that one."""
        supported = {
            torch.float16: self._descriptor.supports_half,
            torch.bfloat16: self._descriptor.supports_bfloat16,
        }
        # Face restorers leave half precision's range and lose the fine lines they are there for.
        return dtype if supported.get(dtype) and not self.is_restorer else torch.float32

    def module(self, dtype: torch.dtype, *, cuts: bool = False) -> nn.Module:
        """Return what computes, on the CPU; made anew from the user's where there is none.

        cuts: it will be asked for parts of pictures, so find out how little it must see.
        """
        wanted, self._layout = self.dtype_for(dtype), torch.contiguous_format
        # Weights made in inference mode, as ComfyUI's nodes make them, could never be changed.
        with torch.inference_mode(False):
            self._own = copy.deepcopy(self._descriptor)
            self._own.model.to("cpu", torch.float32).eval().requires_grad_(False)
            self._reach = self._reach_of(self._own) if cuts else None
            self._own.model.to(wanted)
            if self._takes_channels_last:
                # Pictures lie so in ComfyUI's IMAGE too: in float32 it stays what spandrel gives
                # of those, to the last bit.
                self._layout = torch.channels_last
                if wanted != torch.float32:
                    _lay_out(self._own.model, self._layout)  # several times as fast
            self._held = Held(self._own.model)
        return self._held

    def release(self) -> None:
        """Let go of what computes; the user's model stays."""
        self._own = self._held = None

    def sharpened(
        self,
        picture: np.ndarray,
        passes: int = 1,
        *,
        wanted: int | None = None,
        kept: Area | None = None,
        check: Callable[[], None] = lambda: None,
        on_full_precision: Callable[[], None] = lambda: None,
    ) -> np.ndarray | None:
        """Return a picture, uint8 RGB (H, W, 3), after some passes; None if it gives no numbers.

        wanted: pixels that the longer side of the result need have: before the last of several
            passes the picture is reduced to what makes so many, but not below its own size.
        kept: the part of the picture whose enlargement is asked for; elsewhere it may be black. A
            model that looks no further than some pixels computes little more, if its module was
            made for cuts. None: all of it.
        check: called before each pass; may raise to stop. on_full_precision: called where half
        precision overflowed, after which it computes in float32.
        """
        assert self._own is not None, "module() makes what computes"
        height, width = picture.shape[:2]
        plan = planned(
            (width, height), self.scale, passes, wanted=wanted, kept=kept, reach=self._reach
        )
        image = self._passed(picture, plan, check)
        if not torch.isfinite(image).all():
            if next(self._own.model.parameters()).dtype != torch.float32:
                with torch.inference_mode(False):
                    self._own.model.float()
                on_full_precision()
                image = self._passed(picture, plan, check)
            if not torch.isfinite(image).all():
                return None
        levels = (image.float().clamp(0, 1) * 255).round().to(torch.uint8)
        return levels[0].permute(1, 2, 0).cpu().numpy()

    def _passed(self, picture: np.ndarray, plan: list[Pass], check: Callable[[], None]) -> Tensor:
        """Return (1, 3, H, W), 0..1, of the whole picture; black where nothing was computed."""
        assert self._own is not None
        weight = next(self._own.model.parameters())
        unit = torch.as_tensor(np.ascontiguousarray(picture)).to(weight.device).float() / 255
        image = unit.permute(2, 0, 1)[None].to(weight.dtype, memory_format=self._layout)
        for one in plan:
            check()
            if image.shape[2:] != (one.height, one.width):
                image = reduced(image, one.width, one.height)
            with torch.inference_mode(), _seeded(self._seed, weight.device):
                made = self._own(image[(..., *one.seen.slices)])
            image = self._whole(made, one)
        return image

    def _whole(self, made: Tensor, one: Pass) -> Tensor:
        height, width = self.scale * one.height, self.scale * one.width
        if made.shape[2:] == (height, width):
            return made
        whole = made.new_zeros(1, 3, height, width).to(memory_format=self._layout)
        whole[(..., *one.seen.times(self.scale).slices)] = made
        return whole

    def _reach_of(self, own: Descriptor) -> int | None:
        try:
            return reach_of(own)
        except _REFUSALS as error:
            log.info("%s is given whole pictures: %s", self.name, error)
            return None

    def bytes_needed(self, side: int, passes: int, dtype: torch.dtype) -> tuple[int, int]:
        """Return what its weights take and, about, its work on pictures of ``side`` pixels."""
        own = self.dtype_for(dtype)
        last = side * self.scale ** (max(passes, 1) - 1)
        if last not in self._counted:
            self._counted[last] = self._values_at_once(last)
        weights = weight_bytes(self._descriptor.model, own)
        return weights, int(ALIVE * self._counted[last] * own.itemsize)

    def _values_at_once(self, side: int) -> int:
        """Count the numbers that the largest layer reads and writes, without computing any."""
        for layout in (torch.channels_last, torch.contiguous_format):
            try:
                largest = _largest_layer(self._descriptor, side, layout)
            except _REFUSALS:
                continue
            self._takes_channels_last = layout == torch.channels_last
            return largest
        log.info("%s cannot be counted: its memory is guessed", self.name)
        return UNCOUNTED * 3 * side * side * self.scale


def reduced(image: Tensor, width: int, height: int) -> Tensor:
    """Return (1, 3, height, width) of a larger picture, 0..1, as upscale models are trained on."""
    size = (height, width)
    fewer = functional.interpolate(image.float(), size, mode="bicubic", antialias=True)
    return fewer.clamp(0, 1).to(image.dtype)


# What a model raises that looks at numbers, or that wants another layout of its layers.
_REFUSALS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def _largest_layer(descriptor: Descriptor, side: int, layout: torch.memory_format) -> int:
    largest = 0

    def count(_module: nn.Module, taken: object, given: object) -> None:
        nonlocal largest
        largest = max(largest, _numbers(taken) + _numbers(given))

    empty = _without_weights(descriptor)
    _lay_out(empty.model, layout)
    for module in empty.model.modules():
        module.register_forward_hook(count)
    picture = torch.empty(1, 3, side, side, device="meta")
    empty(picture.to(memory_format=layout))
    return largest


def _lay_out(model: Any, layout: torch.memory_format) -> None:  # Any: torch declares no such call
    model.to(memory_format=layout)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Generator[None, None, None]:
    """Draw from a seed for a while; others' draws go on afterwards as if nothing had been."""
    on_gpu = device.type == "cuda"
    random: Any = torch  # Any: torch declares no types for these
    kept = torch.get_rng_state(), random.cuda.get_rng_state(device) if on_gpu else None
    try:
        random.manual_seed(seed)
        yield
    finally:
        torch.set_rng_state(kept[0])
        if on_gpu:
            random.cuda.set_rng_state(kept[1], device)


def _checked(value: Any) -> Descriptor:  # Any: whatever a link brings
    purpose = getattr(value, "purpose", None)
    if not isinstance(getattr(value, "model", None), nn.Module):
        raise CheckpointError(
            f"The upscale model cannot be used: {NOT_THIS}, got {type(value).__name__}."
        )
    if purpose not in _KINDS:
        raise CheckpointError(
            f"The upscale model cannot be used: {NOT_THIS}, got one for {purpose or 'nothing'}."
        )
    colours = (value.input_channels, value.output_channels)
    if colours != (3, 3):
        raise CheckpointError(
            f"The upscale model cannot be used: {NOT_THIS}, got one that makes {colours[1]} "
            f"channels of {colours[0]}."
        )
    if next(value.model.parameters(), None) is None:
        raise CheckpointError(
            f"The upscale model cannot be used: {NOT_THIS}, got one without weights."
        )
    return value


def _without_weights(descriptor: Descriptor) -> Descriptor:
    """Return a copy whose tensors are on the meta device: it takes no memory."""
    known: dict[int, Any] = {}  # Any: as copy.deepcopy takes it
    model = descriptor.model
    with torch.inference_mode(False):
        for weight in model.parameters():
            empty = torch.empty(weight.shape, dtype=torch.float32, device="meta")
            known[id(weight)] = nn.Parameter(empty, requires_grad=False)
        for buffer in model.buffers():
            known[id(buffer)] = torch.empty(buffer.shape, dtype=buffer.dtype, device="meta")
        return copy.deepcopy(descriptor, known)


def _numbers(value: object) -> int:
    if isinstance(value, Tensor):
        return value.numel()
    if isinstance(value, list | tuple):
        return sum(map(_numbers, value))  # pyright: ignore[reportUnknownArgumentType] # of any
    return 0
