"""Where a stand-in ComfyUI keeps things; a test says where by setting ``base``."""

from __future__ import annotations

from pathlib import Path

base = Path()
models_dir = ""
folder_names_and_paths: dict[str, tuple[list[str], set[str]]] = {}


def set_base(folder: Path) -> None:
    global base, models_dir
    base = folder
    models_dir = str(folder / "models")
    folder_names_and_paths.clear()
    for name in ("input", "output", "temp", "models"):
        (folder / name).mkdir(exist_ok=True)


def get_input_directory() -> str:
    return str(base / "input")


def get_output_directory() -> str:
    return str(base / "output")


def get_temp_directory() -> str:
    return str(base / "temp")


def get_user_directory() -> str:
    return str(base / "user")


def add_model_folder_path(
    folder_name: str, full_folder_path: str, is_default: bool = False
) -> None:
    paths, _ = folder_names_and_paths.setdefault(folder_name, ([], set()))
    if full_folder_path in paths:
        paths.remove(full_folder_path)
    paths.insert(0 if is_default else len(paths), full_folder_path)


def get_folder_paths(folder_name: str) -> list[str]:
    return list(folder_names_and_paths[folder_name][0])
