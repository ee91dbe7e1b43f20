"""Parts that several networks have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

vector_norm: Callable[..., Tensor] = torch.linalg.vector_norm  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - torch.linalg has no types


class Stoppable(nn.Module):
    """A network whose pass can be stopped between its blocks."""

    _between_blocks: Callable[[], None] | None = None
    _hooks: Sequence[RemovableHandle] = ()

    def blocks(self) -> Iterable[nn.Module]:
        """Return the modules between which a pass can be stopped."""
        raise NotImplementedError

    @property
    def between_blocks(self) -> Callable[[], None] | None:
        """Called before every block when set, on the calling thread; may raise to stop the pass."""
        return self._between_blocks

    @between_blocks.setter
    def between_blocks(self, call: Callable[[], None] | None) -> None:
        for hook in self._hooks:
            hook.remove()
        self._between_blocks, self._hooks = call, ()
        if call is not None:

            def before(_block: nn.Module, _inputs: object) -> None:
                call()

            self._hooks = [block.register_forward_pre_hook(before) for block in self.blocks()]


class ResidualConvs(nn.Module):
    """Two normalised 3 x 3 convolutions beside a skip."""

    def __init__(self, channels: int, out_channels: int, groups: int, epsilon: float) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, channels, eps=epsilon)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, out_channels, eps=epsilon)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.conv_shortcut = (
            None if channels == out_channels else nn.Conv2d(channels, out_channels, 1)
        )

    def convolved(self, inputs: Tensor, added: Tensor | None = None) -> Tensor:
        """Return (B, C', H, W) of (B, C, H, W); ``added`` comes between the convolutions."""
        hidden = self.conv1(functional.silu(self.norm1(inputs), inplace=True))
        if added is not None:
            hidden = hidden + added
        hidden = self.conv2(functional.silu(self.norm2(hidden), inplace=True))
        return hidden + (inputs if self.conv_shortcut is None else self.conv_shortcut(inputs))


class ConvNorm(nn.Module):
    """A convolution that keeps the size but for its stride, and batch norm."""

    def __init__(
        self, channels: int, out_channels: int, size: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels, out_channels, size, stride, padding=size // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels)

    def normalised(self, inputs: Tensor) -> Tensor:
        """Return what is left to be activated."""
        return self.bn(self.conv(inputs))


class RepeatAndConvolve(nn.Module):
    """Double the size by repeating pixels, then convolve."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.repeat = nn.Upsample(scale_factor=2.0, mode="nearest")
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.conv(self.repeat(inputs))


def attended(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Return multi-head attention (B, L, C) from (B, L, C) to keys and values (B, M, C)."""
    query, key, value = (
        torch.unflatten(tokens, 2, (heads, -1)).transpose(1, 2) for tokens in (query, key, value)
    )
    mixed = functional.scaled_dot_product_attention(query, key, value)
    return mixed.transpose(1, 2).flatten(2)
