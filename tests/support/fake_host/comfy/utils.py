"""ComfyUI's progress bar: every update checks for an interruption and sends what it is given."""

from __future__ import annotations

from typing import Any

from comfy import model_management

sent: list[tuple[int, int, Any]] = []  # value, total, preview


class ProgressBar:
    def __init__(self, total: int, node_id: str | None = None) -> None:
        self.total = total
        self.current = 0

    def update_absolute(self, value: int, total: int | None = None, preview: Any = None) -> None:
        model_management.throw_exception_if_processing_interrupted()
        self.total = self.total if total is None else total
        self.current = min(value, self.total)
        sent.append((self.current, self.total, preview))
