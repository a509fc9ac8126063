"""``python -m hf_model benchmark``: tables measured on this machine. Run it in a clone of the repository."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType


def main(argv: list[str]) -> int:
    """Run the command.

    Returns 0, 1 if one of several benchmarks failed, 2 for a mistake in the arguments or without a benchmarks/ folder.
    """
    try:
        from benchmarks import frame
    except ModuleNotFoundError as error:
        print(f"benchmark: {error}; run this in the root of a clone of the repository.", file=sys.stderr)
        return 2
    available = frame.discover()
    arguments = _parser(available.values()).parse_args(argv)
    own = _parser().parse_known_args(argv)[1]  # what is left are options of one benchmark
    output = Path(arguments.output) if arguments.output else None if arguments.quick or own else frame.RESULTS
    try:
        if arguments.list:
            for name, module in available.items():
                print(f"{name:<20}  {module.__doc__.splitlines()[0]}")
            return 0
        if output is not None:
            frame.load(output)  # a file that cannot be merged with is found before an hour of measuring
        names = frame.chosen(arguments.names, available)
        if own and (len(names) > 1 or not hasattr(available[names[0]], "add_options")):
            raise ValueError(f"{' '.join(own)}: name the one benchmark that has this option")
        if len(names) == 1:
            frame.run_one(names[0], quick=arguments.quick, output=output, own=own)
        elif failed := frame.run_each(names, quick=arguments.quick, output=output):
            print(f"benchmark: {', '.join(failed)} failed; the reason stands above.", file=sys.stderr)
            return 1
    except ValueError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    return 0


def _parser(modules: Iterable[ModuleType] = ()) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hf_model benchmark",
        description="Measure this project beside what a user would run instead, and print Markdown tables.",
        allow_abbrev=False,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks or groups, e.g. serving (default: all)")
    parser.add_argument("--list", action="store_true", help="what there is")
    parser.add_argument("--quick", action="store_true", help="few pictures; nothing is stored unless --output is given")
    parser.add_argument("--output", metavar="FILE", help="where results are merged into (benchmarks/results.json)")
    for module in modules:
        if hasattr(module, "add_options"):
            text = "With one of these, nothing is stored unless --output is given."
            module.add_options(parser.add_argument_group(f"options of {module.NAME} alone", text))
    return parser
