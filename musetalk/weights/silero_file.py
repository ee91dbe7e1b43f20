"""The weights of Silero's voice activity network, out of the package ``silero-vad``.

The package is not imported: that would keep PyTorch to one thread for the whole process.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from ...errors import CheckpointError
from ..networks.silero_vad import SileroVAD

log = logging.getLogger("avatarvideo.musetalk.weights.silero_file")

PACKAGE = "silero_vad"
FILE = Path("data", "silero_vad.jit")
FILE_BYTES = 2_272_526
SHA256 = "e1122837f4154c511485fe0b9c64455f7b929c96fbb8d79fbdb336383ebd3720"  # of 6.2.0 to 6.2.3
# The file of that hash holds these tensors, float32, in entries of these numbers.
_ENTRIES: Mapping[int, str] = {
    2: "basis",
    **{3 + 2 * layer: f"encoder.{layer}.weight" for layer in range(4)},
    **{4 + 2 * layer: f"encoder.{layer}.bias" for layer in range(4)},
    11: "rnn.weight_ih_l0",
    12: "rnn.weight_hh_l0",
    13: "rnn.bias_ih_l0",
    14: "rnn.bias_hh_l0",
    15: "out.weight",
    16: "out.bias",
}


def find_silero() -> Path | None:
    """Return the file where the package is installed, whatever it holds."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = (spec.submodule_search_locations if spec else None) or ()
    return next((path for folder in folders if (path := Path(folder) / FILE).is_file()), None)


def load_silero(path: Path) -> SileroVAD:
    """Return the network with the weights of a file. CheckpointError for another file."""
    content = path.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != SHA256:
        raise CheckpointError(
            f"Expected the voice activity network of silero-vad 6.2 in {path}, found SHA-256 "
            f"{found[:12]}...: install silero-vad>=6.2,<6.3."
        )
    with torch.device("meta"):
        network = SileroVAD()
    forms = {name: tensor.shape for name, tensor in network.state_dict().items()}
    state: dict[str, torch.Tensor] = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        numbered = {name.rpartition("/data/")[2]: name for name in archive.namelist()}
        for number, name in _ENTRIES.items():
            values = np.frombuffer(bytearray(archive.read(numbered[str(number)])), "<f4")
            state[name] = torch.as_tensor(values.reshape(forms[name]))
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)
