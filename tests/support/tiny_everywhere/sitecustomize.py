"""Let every Python process take MuseTalk's tiny networks instead of files.

Python imports a module of this name when it starts, so with this folder and ``tests`` in PYTHONPATH
the command's own worker processes have them too.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MODULE = "avatarvideo.musetalk.modes.musetalk"


class _Tiny(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            from support.tiny_models import tiny_models

            models = tiny_models()
            models.identities = "tiny"
            vars(module)["_source"] = lambda job, context: models

        vars(spec.loader)["exec_module"] = exec_module
        return spec


sys.meta_path.insert(0, _Tiny())
