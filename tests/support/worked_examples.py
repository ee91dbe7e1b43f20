"""The examples of ``docs/ADDING.md``, followed step by step in a copy of the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "ADDING.md"
_MARK = r"^<!-- (new|change|run|printed)(?:: (\S+))? -->\n"
_STEP = re.compile(_MARK + r"```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "benchmarks", "output", "shared", "build")


@dataclass(frozen=True)
class Step:
    """One block of the page: a file to write or to change, commands, or what they print."""

    kind: str
    path: str
    text: str


def steps_of(title: str) -> list[Step]:
    """Return the marked blocks of the section with that title."""
    sections = re.split(r"^## (.*)\n", PAGE.read_text(encoding="utf-8"), flags=re.M)
    section = dict(zip(sections[1::2], sections[2::2], strict=True))[title]
    return [Step(kind, path, text) for kind, path, text in _STEP.findall(section)]


class Copy:
    """A copy of the repository in which an example is followed.

    root: its folder. Commands find ``avatar``, ``python`` and ``pytest`` that use it, no models.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "copy" / "avatarvideo"
        shutil.copytree(ROOT, self.root, ignore=_LEFT_OUT)
        commands = folder / "bin"
        commands.mkdir()
        python = sys.executable
        programs = {
            "python": f'#!/bin/sh\nexec "{python}" "$@"\n',
            "pytest": f'#!/bin/sh\nexec "{python}" -m pytest -q "$@"\n',
            "avatar": f"#!{python}\nfrom avatarvideo.cli import main\nmain()\n",
        }
        for name, text in programs.items():
            (commands / name).write_text(text)
            (commands / name).chmod(0o755)
        packages = os.pathsep.join([str(self.root.parent), os.environ.get("PYTHONPATH", "")])
        self._environment = os.environ | {
            "PATH": os.pathsep.join([str(commands), os.environ["PATH"]]),
            "PYTHONPATH": packages,
            "AVATAR_MODELS": str(folder / "models"),
            "HOME": str(folder),
        }

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the root, its standard error among its output."""
        return subprocess.run(
            words,
            cwd=self.root,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            check=False,
        )

    def write(self, step: Step) -> None:
        """Write a new file or change one that is there."""
        path = self.root / step.path
        if step.kind == "new":
            assert not path.exists(), f"{step.path} is there already"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text, encoding="utf-8")
            return
        text = path.read_text(encoding="utf-8")
        for hunk in step.text.split("@@\n"):
            lines = hunk.splitlines(keepends=True)
            before, after = (
                "".join(line[1:] or line for line in lines if line[:1] in (" ", sign, "\n"))
                for sign in "-+"
            )
            assert text.count(before) == 1, f"not once in {step.path}:\n{before}"
            text = text.replace(before, after)
        path.write_text(text, encoding="utf-8")

    def follow(self, steps: list[Step]) -> None:
        """Do what the steps say; every command ends well and prints what the page says."""
        output = ""
        for step in steps:
            if step.kind == "printed":
                missing = [line for line in step.text.splitlines() if line not in output]
                assert not missing, f"{missing} not in:\n{output}"
            elif step.kind == "run":
                done = self.run("bash", "-euo", "pipefail", "-c", step.text)
                output = done.stdout
                assert done.returncode == 0, f"{step.text}\n{output}"
            else:
                self.write(step)
