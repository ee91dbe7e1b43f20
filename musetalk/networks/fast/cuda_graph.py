"""Record one batch as a CUDA graph and replay it.

Python takes longer to launch the thousand operations of a batch than a fast GPU takes to do them.
A graph launches all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor


def can_record(device: torch.device) -> bool:
    """Say whether CUDA graphs work: on NVIDIA's GPUs, with PyTorch's own allocator.

    With CUDA's (``cudaMallocAsync``, which ComfyUI chooses on many GPUs) a replayed graph read
    memory that was no longer its own (PyTorch 2.11).
    """
    nvidia = device.type == "cuda" and torch.version.hip is None
    return nvidia and torch.cuda.get_allocator_backend() == "native"


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream on which a device's graphs are recorded.

    One for all of them: each would keep a work space of the matrix products.
    """
    return torch.cuda.Stream(device)


class RecordedBatch:
    """A CUDA graph of one function of tensors, recorded with inputs of one shape.

    The function must have run before with such inputs, so that nothing is left to be prepared; it
    may not look at values. Inputs and outputs lie in memory of the graph's own until it is dropped.
    """

    def __init__(
        self, function: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor]
    ) -> None:
        """Record. Raises OutOfMemoryError; any other failure leaves the process's CUDA in doubt."""
        self._inputs = [each.clone() for each in inputs]
        self._graph = torch.cuda.CUDAGraph()
        device = self._inputs[0].device
        # The caller's stream is current again afterwards: a failed recording would not see to it.
        with (
            torch.cuda.device(device),
            torch.cuda.stream(torch.cuda.current_stream(device)),
            torch.cuda.graph(
                self._graph, stream=_stream(device), capture_error_mode="thread_local"
            ),
        ):
            self._outputs = function(*self._inputs)

    def takes(self, inputs: Sequence[Tensor]) -> bool:
        """Say whether inputs have the recorded shapes, but for fewer rows."""
        return all(
            new.shape[1:] == old.shape[1:] and len(new) <= len(old) and new.dtype == old.dtype
            for new, old in zip(inputs, self._inputs, strict=True)
        )

    def __call__(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Launch the graph; return its outputs, valid until the next call.

        Where inputs have fewer rows the outputs have too; what the other rows make is left out.
        """
        rows = len(inputs[0])
        for new, old in zip(inputs, self._inputs, strict=True):
            old[:rows].copy_(new, non_blocking=True)
        self._graph.replay()
        return tuple(each[:rows] for each in self._outputs)
