"""``python -m hf_model experiments``: what wins and what does not, on held-out development patients."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from pathlib import Path

from hf_model.config import NOT_A_DEVICE
from hf_model.data.arguments import DataArguments, add_column_options, column_options

GROUPS = ("heads", "baseline", "depth", "loss", "augmentation", "size")


def main(argv: list[str]) -> int:
    """Run the command: 0 when the table is written, complete or not; 2 for a mistake in the arguments."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments = parser().parse_args(argv)
    # heavy imports after the arguments are known to be good: --help should not wait for torch
    from hf_model.experiments.table import write_table

    try:
        study = _study(arguments, f"python -m hf_model experiments {shlex.join(argv)}")
        left = study.run()
        groups = write_table(Path(arguments.output))
    except (ValueError, OSError) as error:
        print(f"experiments: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("experiments: stopped; the same command goes on with what is left.", file=sys.stderr)
        return 130
    for rows in groups.values():
        best = rows[0]
        print(f"{best['group']:14}{best['change'][:60]:62}harder AUC {best['hard_auc']:.4f}, {best['seeds']} seeds")
    if left:
        print(f"{left} runs are left: the same command goes on with them.")
    if not groups and not left:
        print("There is nothing to compare: name a change besides the reference with --changes or --only.")
    if groups:
        print(f"Table: {Path(arguments.output) / 'experiments.md'}")
    return 0


def _study(arguments: argparse.Namespace, command: str):
    from hf_model.experiments.plan import Budget
    from hf_model.experiments.study import Options, Study
    from hf_model.training.arguments import check_tracker

    if arguments.seeds < 1:
        raise ValueError(f"--seeds {arguments.seeds}: must be at least 1.")
    check_tracker(arguments.report_to)
    named = {name: getattr(arguments, name) for name in ("dataset", "renderings", "cache_dir")}
    data = DataArguments(**named, **column_options(arguments))
    budget = Budget(**{name: getattr(arguments, name) for name in Budget.__dataclass_fields__})
    options = Options(
        data,
        Path(arguments.output),
        arguments.base_model,
        arguments.only,
        arguments.changes,
        arguments.seeds,
        arguments.sizes,
        arguments.minutes,
        budget,
        arguments.report_to,
    )
    return Study(options, command)


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog="python -m hf_model experiments",
        description="Compare heads, depths, losses, augmentations and sizes on held-out development patients. Every "
        "finished run is one file: a run that was stopped goes on with the same command.",
        epilog=NOT_A_DEVICE,
    )
    made.add_argument("--dataset", required=True, help="Hub id or folder")
    made.add_argument(
        "--renderings",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="further renderings of the pictures, also for validation",
    )
    made.add_argument("--output", required=True, help="folder for the runs, experiments.csv, .md, .png and .svg")
    made.add_argument(
        "--only",
        nargs="+",
        choices=GROUPS,
        default=list(GROUPS),
        metavar="GROUP",
        help=f"of {', '.join(GROUPS)}; default: all",
    )
    made.add_argument(
        "--changes",
        nargs="+",
        metavar="KEY",
        help="only these (the column `key` of experiments.csv) and their references, for example without-flip",
    )
    made.add_argument("--seeds", type=int, default=3, help="runs of every change")
    made.add_argument("--minutes", type=float, help="begin no further run after them")
    made.add_argument("--base_model", default="efficientnet-lite0", help="as in train.py")
    made.add_argument("--sizes", type=int, nargs="+", default=[128, 160, 192, 224], help="pixels a side")
    made.add_argument("--pictures", type=int, default=384, help="a fine-tuning learns from, of whole patients")
    made.add_argument("--epochs", type=int, default=2, help="of a fine-tuning")
    made.add_argument("--validation", type=int, default=256, help="validation pictures, of whole patients")
    made.add_argument("--views", type=int, default=2, help="augmented views that heads learn from")
    made.add_argument("--head_epochs", type=int, default=10, help="of a head on stored features")
    made.add_argument("--baseline_epochs", type=int, default=4, help="of the CNN from scratch, on all pictures")
    made.add_argument("--report_to", default="none", help="tensorboard or trackio, to watch the runs")
    add_column_options(made)
    made.add_argument("--cache_dir", help="where decoded pixels are kept")
    return made
