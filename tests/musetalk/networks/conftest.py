"""What small random face networks gave when the goldens were made."""

from __future__ import annotations

import numpy as np
import pytest

from support.make_goldens import GOLDENS


@pytest.fixture(scope="session")
def goldens() -> dict[str, np.ndarray]:
    with np.load(GOLDENS) as file:
        return dict(file)
