"""``python -m hf_model experiments``: what wins and what does not, on held-out development patients."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from dataclasses import fields
from pathlib import Path

from hf_model.config import NOT_A_DEVICE
from hf_model.data.arguments import DataArguments, add_column_options, column_options
from hf_model.experiments.plan import GROUPS, SIZES, Budget
from hf_model.wording import decimal

BUDGET_HELP = {
    "pictures": "a fine-tuning learns from, of whole patients",
    "epochs": "of a fine-tuning",
    "validation": "validation pictures, of whole patients",
    "views": "augmented views that heads learn from",
    "head_epochs": "of a head on stored features",
    "baseline_epochs": "of the CNN from scratch, on all pictures",
}


def main(argv: list[str]) -> int:
    """Run the command: 0 when the table is written, complete or not; 2 for a mistake in the arguments."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments = parser().parse_args(argv)
    # heavy imports after the arguments are known to be good: --help should not wait for torch
    from hf_model.experiments.table import write_table

    try:
        left = _run_study(arguments, f"python -m hf_model experiments {shlex.join(argv)}")
        groups = write_table(arguments.output)
    except (ValueError, OSError) as error:
        print(f"experiments: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("experiments: stopped; the same command goes on with what is left.", file=sys.stderr)
        return 130
    for group, rows in groups.items():
        best = rows[0]
        print(f"{group:14}{best['change'][:60]:62}harder AUC {decimal(best['hard_auc'], 4)}, {best['seeds']} seeds")
    if left:
        print(f"{left} runs are left: the same command goes on with them.")
    if not groups and not left:
        print("There is nothing to compare: name a change besides the reference with --changes or --only.")
    if groups:
        print(f"Table: {arguments.output / 'experiments.md'}")
    return 0


def _run_study(arguments: argparse.Namespace, command: str) -> int:
    """How many runs are left."""
    from hf_model.experiments.study import Options, Study
    from hf_model.training.arguments import check_tracker

    if arguments.seeds < 1:
        raise ValueError(f"--seeds {arguments.seeds}: must be at least 1.")
    check_tracker(arguments.report_to)
    options = Options(
        data=DataArguments(
            dataset=arguments.dataset,
            renderings=arguments.renderings,
            cache_dir=arguments.cache_dir,
            **column_options(arguments),
        ),
        output=arguments.output,
        base=arguments.base_model,
        only=arguments.only,
        changes=arguments.changes,
        seeds=arguments.seeds,
        sizes=arguments.sizes,
        minutes=arguments.minutes,
        budget=Budget(**{name: getattr(arguments, name) for name in BUDGET_HELP}),
        report_to=arguments.report_to,
    )
    return Study(options, command).run()


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
    made.add_argument(
        "--output", required=True, type=Path, help="folder for the runs, experiments.csv, .md, .png and .svg"
    )
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
    made.add_argument("--minutes", type=float, help="start no further run after them")
    made.add_argument("--base_model", default="efficientnet-lite0", help="as in train.py")
    made.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="pixels a side")
    for option in fields(Budget):
        made.add_argument(f"--{option.name}", type=int, default=option.default, help=BUDGET_HELP[option.name])
    made.add_argument("--report_to", default="none", help="tensorboard or trackio, to watch the runs")
    add_column_options(made)
    made.add_argument("--cache_dir", help="where decoded pixels are kept")
    return made
