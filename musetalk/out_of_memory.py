"""How libraries say that an allocation failed."""

from __future__ import annotations

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an exception means that an allocation failed, on a GPU or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # What the libraries below PyTorch say of it, and PyTorch's own allocator for the CPU.
    signs = ("out of memory", "ALLOC_FAILED", "can't allocate memory")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)
