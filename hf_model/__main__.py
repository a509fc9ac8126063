"""``python -m hf_model COMMAND``: each command is one module, imported only when it is called."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "predict": ("hf_model.commands.predict", "probabilities of files and folders, as CSV or JSON"),
    "evaluate": ("hf_model.commands.evaluate", "report of a checkpoint on a labelled data set"),
    "recalibrate": ("hf_model.commands.recalibrate", "fit threshold and temperature on local pictures"),
    "experiments": ("hf_model.commands.experiments", "compare heads, depths, losses, augmentations and sizes"),
    "audit": ("hf_model.commands.audit", "counts, duplicates, leakage and shortcuts of a data set"),
    "export": ("hf_model.commands.export", "make the OpenVINO graph that serves a checkpoint"),
    "promote": ("hf_model.commands.promote", "make a trained folder the shipped checkpoint"),
    "push": ("hf_model.commands.push", "publish a checkpoint folder on the Hub"),
    "readme": ("hf_model.commands.readme", "put stored figures into README"),
    "benchmark": ("hf_model.commands.benchmark", "measure speed beside what a user would run instead"),
    "deploy": ("hf_model.commands.deploy", "publish the page as a Space"),
}


def usage() -> str:
    """One line per command."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {purpose}" for name, (_, purpose) in COMMANDS.items()]
    return "\n".join(
        ["usage: python -m hf_model COMMAND [--help] ...", "", *lines, "", "Training: python train.py --help"]
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command that ``argv`` (default: the process's own) names; its exit code, or 2 for an unknown one."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in {"-h", "--help"}:
        print(usage())
        return 0
    if argv[0] not in COMMANDS:
        print(f"python -m hf_model: there is no command {argv[0]!r}.\n\n{usage()}", file=sys.stderr)
        return 2
    return importlib.import_module(COMMANDS[argv[0]][0]).main(argv[1:])


if __name__ == "__main__":
    sys.exit(main())
