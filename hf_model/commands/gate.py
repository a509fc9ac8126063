"""``python -m hf_model gate``: what share of radiographs and of other pictures gets no answer unasked."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.input_checks import gate_record
from hf_model.config import NOT_A_DEVICE
from hf_model.data.arguments import add_column_options, column_options
from hf_model.evaluation import test_split
from hf_model.evaluation.test_split import Known
from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.classifier import Classifier
from hf_model.inference.engines.base import EngineUnavailable
from hf_model.inference.engines.choice import NAMES, open_engine

KEY = "input_checks"
"""Where metrics.json holds the record."""


def main(argv: list[str]) -> int:
    """Run the command. Gives 0, 1 if a bar is missed, 2 for a mistake in the arguments."""
    arguments = _parser().parse_args(argv)
    try:
        record = _measure(arguments)
        _write(arguments, record)
    except (ValueError, OSError, EngineUnavailable) as error:
        print(f"gate: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines(record)))
    return int(any(group.get("bar_met") is False for group in record["groups"].values()))


def lines(record: dict[str, Any]) -> list[str]:
    """The record as a table of text."""
    rows = [(f"{kind['group']}: {kind['kind']}", kind) for kind in record["kinds"]]
    rows += [(f"{name}, all", group) for name, group in record["groups"].items()]
    width = max(len(name) for name, _ in rows)
    table = [f"{'':{width}}  pictures  unreadable  refused  flagged  held back"]
    for name, row in rows:
        low, high = row["held_back"]["interval"]
        share = f"{100 * row['held_back']['value']:5.1f} % ({100 * low:.1f} to {100 * high:.1f})"
        bar = f"; {row['bar']}: {'met' if row['bar_met'] else 'MISSED'}" if "bar" in row else ""
        numbers = f"{row['pictures']:8}  {row['unreadable']:10}  {row['refused']:7}  {row['flagged']:7}"
        table.append(f"{name:{width}}  {numbers}  {share}{bar}")
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hf_model gate",
        description="Measure the input checks of a checkpoint: photographs of installed packages, generated pictures "
        "and, if a data set is named, its radiographs, also inverted and turned. Writes into metrics.json.",
        epilog=NOT_A_DEVICE,
    )
    parser.add_argument("--checkpoint", help="folder or Hub id (default: the shipped checkpoint)")
    parser.add_argument("--radiographs", metavar="DATASET", help="radiographs that should pass: folder or Hub id")
    parser.add_argument("--split", help='a split of it, or "all"; never the test split of the training data')
    add_column_options(parser)
    parser.add_argument("--most", type=int, help="only so many radiographs, evenly spread (default: all)")
    parser.add_argument("--output", help="JSON file to write instead of the checkpoint's metrics.json")
    parser.add_argument("--engine", choices=NAMES, default="auto")
    return parser


def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    checkpoint = Checkpoint.open(arguments.checkpoint)
    if arguments.output is None and not (checkpoint.folder / "metrics.json").is_file():
        raise ValueError(f"{checkpoint.model_id} has no metrics.json to write into; name a file with --output.")
    pictures = _pictures(arguments, checkpoint) if arguments.radiographs else None
    classifier = Classifier(checkpoint, open_engine(checkpoint, arguments.engine))
    if pictures is None:
        return gate_record(classifier)
    about = {"dataset": pictures.name, "split": pictures.split, "pictures": len(pictures)}
    return {"radiographs": about, **gate_record(classifier, pictures.contents())}


def _pictures(arguments: argparse.Namespace, checkpoint: Checkpoint) -> Any:
    """The radiographs; ValueError for pictures of the checkpoint's own test split, which only an evaluation opens."""
    from hf_model.evaluation.labelled_dataset import PictureSet

    options = column_options(arguments)
    pictures = PictureSet.open(arguments.radiographs, arguments.split, **options)
    if Known.of(checkpoint.metrics, checkpoint.folder).role(pictures) == test_split.TEST:
        raise ValueError(f"{arguments.radiographs} holds pictures of this checkpoint's own test split; name another.")
    if arguments.most is not None and arguments.most < 1:
        raise ValueError(f"--most is {arguments.most}; give at least 1.")
    if arguments.most is None or arguments.most >= len(pictures):
        return pictures
    step = len(pictures) / arguments.most
    return pictures.select([int(number * step) for number in range(arguments.most)])


def _write(arguments: argparse.Namespace, record: dict[str, Any]) -> None:
    if arguments.output is not None:
        Path(arguments.output).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        return
    path = Checkpoint.open(arguments.checkpoint).folder / "metrics.json"
    content = json.loads(path.read_text(encoding="utf-8")) | {KEY: record}
    draft = path.with_suffix(".json.new")
    draft.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    draft.replace(path)
