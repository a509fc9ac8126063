"""``python -m hf_model recalibrate``: temperature and operating points from local pictures, weights untouched."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_model.config import NOT_A_DEVICE
from hf_model.data.arguments import add_column_options, column_options
from hf_model.evaluation.recalibration import refit, write_recalibrated
from hf_model.evaluation.report import left_out_lines
from hf_model.evaluation.test_split import DEVELOPMENT, TEST, CheckpointPictures
from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.classifier import Classifier
from hf_model.inference.engines.base import EngineUnavailable
from hf_model.inference.engines.choice import NAMES, open_engine
from hf_model.metrics.record import evaluation_record
from hf_model.wording import counted, rate

if TYPE_CHECKING:
    from hf_model.evaluation.labelled_dataset import LabelledDataset


def main(argv: list[str]) -> int:
    """Run the command. Returns 0, or 2 for a mistake in the arguments or too few patients."""
    arguments = _parser().parse_args(argv)
    try:
        lines = _recalibrate(arguments, f"python -m hf_model recalibrate {shlex.join(argv)}")
    except (ValueError, OSError, EngineUnavailable) as error:
        print(f"recalibrate: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hf_model recalibrate",
        description="Refit temperature and operating points on local labelled pictures; the weights stay as they are.",
        epilog=NOT_A_DEVICE,
    )
    parser.add_argument("--checkpoint", help="folder or Hub id (default: the shipped checkpoint)")
    parser.add_argument("--dataset", required=True, help="local labelled pictures: folder or Hub id")
    parser.add_argument("--output", required=True, help="folder for the new checkpoint; must not exist or be empty")
    parser.add_argument("--split", help='a split, or "all" (default: test, or the only one)')
    add_column_options(parser)
    parser.add_argument("--target_sensitivity", type=float, default=0.95)
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--engine", choices=NAMES, default="auto")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def _recalibrate(arguments: argparse.Namespace, command: str) -> list[str]:
    """Write the new checkpoint; the lines to print."""
    from hf_model.evaluation.labelled_dataset import LabelledDataset, score

    target = Path(arguments.output)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"--output {target} is there already; name a new folder.")
    checkpoint = Checkpoint.open(arguments.checkpoint)
    dataset = LabelledDataset.open(arguments.dataset, arguments.split, **column_options(arguments))
    _refuse_known(checkpoint, dataset)
    classifier = Classifier(checkpoint, open_engine(checkpoint, arguments.engine))
    scored = score(classifier, dataset, what=dataset.name)
    facts = {
        "command": command,
        "dataset": dataset.name,
        "split": dataset.split,
        "data_sha256": dataset.sha256(),
        "weights_sha256": checkpoint.weights_sha256,
        "engine": classifier.engine_name,
        "unreadable": len(scored.failures),
        "refused": len(scored.refused),
        "patients_known": all(scored.scores.patients),
    }
    decision = refit(
        scored.scores,
        target_sensitivity=arguments.target_sensitivity,
        confidence=arguments.confidence,
        seed=arguments.seed,
        provenance=facts | {"recalibrated": True},
    )
    before = evaluation_record(scored.scores, checkpoint.decision, replicates=200)["points"]["default"]
    renewed = write_recalibrated(checkpoint.folder, target, decision, scored.scores, checkpoint.metrics or {}, facts)
    _write_card(target, renewed["test"])
    was = " and ".join(f"{name} {rate(before[name])}" for name in ("sensitivity", "specificity"))
    lines = left_out_lines([name for name, _ in scored.failures], scored.refused)
    lines.append(f"Before, at {before['threshold']:.4f}: {was} on these {counted(len(scored.scores), 'picture')}.")
    lines += [f"{name}: {point.describe()}" for name, point in decision.points.items()]
    lines.append(f"Temperature {decision.temperature:.4f}, bias {decision.bias:+.4f}.")
    if not facts["patients_known"]:
        lines.append(
            "Not every picture's patient is known, so each such picture counted as a patient of its own. If patients "
            "have several pictures the bounds are too good: name --patient_column or --patient_pattern."
        )
    return [*lines, f"Written to {target}. Measure it on further local pictures with `python -m hf_model evaluate`."]


def _refuse_known(checkpoint: Checkpoint, dataset: LabelledDataset) -> None:
    """Pictures that the weights or the figures of this checkpoint came from prove nothing new."""
    role = CheckpointPictures.read(checkpoint.metrics, checkpoint.folder).role(dataset)
    if role == TEST:
        raise ValueError(
            f"{dataset.dataset} holds pictures of this checkpoint's own test split; fitting on them would leave "
            "nothing to measure it with. Use other pictures."
        )
    if role == DEVELOPMENT:
        raise ValueError(
            f"{dataset.dataset} holds pictures of the data that this checkpoint was trained on or calibrated with, by "
            "its name or by file names: its scores there are better than on new patients, and so would the threshold "
            "seem. Use pictures that it has not seen."
        )


def _write_card(folder: Path, tests: dict[str, Any]) -> None:
    """The card and, where there are test figures, the confusion matrix it shows, from the new decision."""
    from hf_model.evaluation import figures  # matplotlib
    from hf_model.hub.model_card import write_card

    for name, record in list(tests.items())[:1]:
        counts = record["points"]["default"]["confusion"]
        drawn = figures.confusion_matrix(counts, f"{name}, test, at the checkpoint's threshold")
        figures.save(drawn, folder / "confusion_matrix", formats=("png",))
    write_card(folder)
