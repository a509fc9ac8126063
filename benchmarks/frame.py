"""Find the benchmarks, run them, keep their results in one file, and show these as Markdown."""

from __future__ import annotations

import argparse
import importlib
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks import machine
from hf_model.files import write_json

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = HERE / "results.json"
DATA = ROOT.parent / "shared" / "data"
SCHEMA = 1
COMMAND = "python -m hf_model benchmark"


class Skipped(Exception):  # noqa: N818 - not an error: it says why a benchmark cannot be run here
    """Something that a benchmark needs is missing here; the message says what. A stored result stays as it is."""


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


def discover() -> dict[str, ModuleType]:
    """Every benchmark by its name, sorted: modules called ``<group>_<what>``."""
    stems = sorted(path.stem for path in HERE.glob("*_*.py") if not path.stem.startswith("_"))
    found = {stem: importlib.import_module(f"benchmarks.{stem}") for stem in stems}
    wrong = [stem for stem, module in found.items() if getattr(module, "NAME", None) != stem]
    if wrong:
        raise ValueError(f"NAME of benchmarks/{wrong[0]}.py is not {wrong[0]!r}; make them equal")
    return found


def chosen(names: list[str], available: dict[str, ModuleType]) -> list[str]:
    """Names of benchmarks for names and groups (``serving``: every ``serving_...``); all of them for an empty list.

    Raises ValueError for a name that fits none.
    """
    fitting = {name: [stem for stem in available if f"{stem}_".startswith(f"{name}_")] for name in names}
    for name, stems in fitting.items():
        if not stems:
            raise ValueError(f"there is no benchmark {name!r}; there are {', '.join(available)}")
    return [stem for stem in available if not names or any(stem in stems for stems in fitting.values())]


def measure(
    module: ModuleType, *, quick: bool, command: str, data: Path = DATA, own: Sequence[str] = ()
) -> dict[str, Any]:
    """Run one benchmark; its section of the results file. ``own``: options of its ``add_options``, as typed."""
    parser = argparse.ArgumentParser(prog=command)
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
    write_json(path, content, ensure_ascii=False)


def run_one(name: str, *, quick: bool, output: Path | None, own: Sequence[str] = ()) -> None:
    """Run one benchmark in this process, print its table, and store it (output None: nowhere).

    ``own``: options that only this benchmark has, as on the command line.
    """
    module = discover()[name]
    command = shlex.join([*COMMAND.split(), name, *["--quick"] * quick, *own])
    try:
        section = measure(module, quick=quick, command=command, own=own)
    except Skipped as reason:
        print(f"{name}: skipped, {reason}.\n", flush=True)
        return
    print(section_text(module, section), flush=True)
    if output is not None:
        store(output, name, section)


def run_each(names: list[str], *, quick: bool, output: Path | None) -> list[str]:
    """Run every benchmark in a fresh process, so that none finds threads or memory as another left them.

    Returns the names of those that failed, whose errors are on standard error; the others have run all the same.
    """
    failed = []
    for name in names:
        options = [*["--quick"] * quick, *(["--output", str(output.resolve())] if output else [])]
        done = subprocess.run([sys.executable, "-m", "hf_model", "benchmark", name, *options], cwd=ROOT, check=False)
        if done.returncode:
            failed.append(name)
    return failed


def section_text(module: ModuleType, section: dict[str, Any], *, with_machine: bool = True) -> str:
    """Heading, machine and table of one section, as Markdown."""
    small = " Run with few pictures (--quick): not for comparison." if section["quick"] else ""
    where = f"\n{machine.sentence(section['machine'])}.\n" if with_machine else ""
    head = f"### {module.TITLE}\n\n{section['date']}, `{section['command']}`.{small}\n{where}"
    return f"{head}\n{module.table(section['result'])}\n"


def readme_tables(results: dict[str, Any]) -> str:
    """All stored sections as Markdown; the machine is named once for those measured on the same one."""
    available = discover()
    parts, shown = [], None
    for name, section in results["sections"].items():
        if name not in available:
            raise ValueError(f"the results have a section {name!r} and there is no benchmarks/{name}.py; remove one")
        where = machine.sentence(section["machine"])
        if where != shown:
            parts.append(f"Measured on: {where}.\n")
            shown = where
        parts.append(section_text(available[name], section, with_machine=False))
    return "\n".join(parts)
