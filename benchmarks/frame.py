"""Finding the benchmarks, running them, and keeping their results in one file."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks import machine

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = HERE / "results.json"
DATA = ROOT.parent / "shared" / "data"
SCHEMA = 1
COMMAND = "python -m hf_model benchmark"


class Skipped(Exception):  # noqa: N818 - no error: a benchmark that cannot be run here says why
    """What a benchmark needs is missing here; the message says what. A stored result stays as it is."""


@dataclass(frozen=True)
class Options:
    """quick: few and small pictures, to see that it works. data: the folder of radiographs. scratch: empty, deleted
    afterwards. own: values of the options that only this benchmark has, those of its ``add_options(parser)``."""

    quick: bool
    data: Path
    scratch: Path
    own: argparse.Namespace = field(default_factory=argparse.Namespace)

    def folder(self, name: str) -> Path:
        """A folder of ``data``; Skipped where it is missing."""
        folder = self.data / name
        if not folder.is_dir():
            raise Skipped(f"needs the radiographs of {name}, and {self.data} does not have them")
        return folder


def discover(folder: Path = HERE) -> dict[str, ModuleType]:
    """Every benchmark by its name, sorted: modules whose stem has a group before an underscore."""
    stems = sorted(path.stem for path in folder.glob("*_*.py") if not path.stem.startswith("_"))
    found = {stem: importlib.import_module(f"benchmarks.{stem}") for stem in stems}
    wrong = [stem for stem, module in found.items() if getattr(module, "NAME", None) != stem]
    if wrong:
        raise ValueError(f"NAME of benchmarks/{wrong[0]}.py is not {wrong[0]!r}; make them equal")
    return found


def chosen(names: list[str], available: dict[str, ModuleType]) -> list[str]:
    """Names of benchmarks for names and groups (``serving`` is every ``serving_...``); all for none.

    Raises ValueError for one that fits nothing.
    """
    for name in names:
        if not any(stem == name or stem.startswith(f"{name}_") for stem in available):
            raise ValueError(f"there is no benchmark {name!r}; there are {', '.join(available)}")
    return [
        stem for stem in available if not names or any(stem == name or stem.startswith(f"{name}_") for name in names)
    ]


def measure(
    module: ModuleType, *, quick: bool, data: Path = DATA, command: str, own: Sequence[str] = ()
) -> dict[str, Any]:
    """Run one benchmark; its section of the results file. ``own``: options of its ``add_options``, as typed."""
    parser = argparse.ArgumentParser(prog=f"{COMMAND} {getattr(module, 'NAME', '')}")
    if hasattr(module, "add_options"):
        module.add_options(parser)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        result = module.run(Options(quick, data, Path(scratch), parser.parse_args(own)))
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": command,
        "quick": quick,
        "seconds": round(time.perf_counter() - start, 1),
        "machine": machine.describe(),
        "result": result,
    }


def load(path: Path = RESULTS) -> dict[str, Any]:
    """The stored results, or empty ones where there is no file. Raises ValueError for another file."""
    if not path.is_file():
        return {"schema": SCHEMA, "sections": {}}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); restore it, or name another --output") from error
    if (
        not isinstance(content, dict)
        or content.get("schema") != SCHEMA
        or not isinstance(content.get("sections"), dict)
    ):
        raise ValueError(f"{path} holds no benchmark results of schema {SCHEMA}; name another --output")
    return content


def store(path: Path, name: str, section: dict[str, Any]) -> None:
    """Replace one section of the file and leave the others as they are; the file is whole at every moment."""
    content = load(path)
    content["sections"][name] = section
    content["sections"] = dict(sorted(content["sections"].items()))
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    draft.replace(path)


def run_one(
    name: str, *, quick: bool, output: Path | None, say: Callable[[str], None], own: Sequence[str] = ()
) -> None:
    """Run one benchmark in this process, print its table, and store it (output None: nowhere).

    ``own``: options of this benchmark alone, as on the command line.
    """
    from benchmarks.markdown import section_text

    module = discover()[name]
    command = shlex.join([*COMMAND.split(), name, *["--quick"] * quick, *own])
    try:
        section = measure(module, quick=quick, command=command, own=own)
    except Skipped as reason:
        say(f"{name}: skipped, {reason}.\n")
        return
    say(section_text(module, section))
    if output is not None:
        store(output, name, section)


def run_each(names: list[str], *, quick: bool, output: Path | None) -> list[str]:
    """Run every benchmark in a fresh process, so that none finds threads or memory as another left them.

    Gives the names of those that failed, whose errors are on standard error; the others have run all the same.
    """
    failed = []
    for name in names:
        options = [*["--quick"] * quick, *(["--output", str(output.resolve())] if output else [])]
        done = subprocess.run([sys.executable, "-m", "hf_model", "benchmark", name, *options], cwd=ROOT, check=False)
        if done.returncode:
            failed.append(name)
    return failed
