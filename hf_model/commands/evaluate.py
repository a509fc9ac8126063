"""``python -m hf_model evaluate``: figures with intervals, pictures of every error, one page.

On the test split of the data set that a checkpoint was trained on, the opening is recorded and a second one refused;
on any other labelled data set this is the external validation, with everything frozen.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from hf_model.config import NOT_A_DEVICE
from hf_model.data.arguments import add_column_options, column_options
from hf_model.evaluation import report
from hf_model.evaluation.report import ErrorThumbnail, ReportInput
from hf_model.evaluation.test_split import TEST, CheckpointPictures, open_test, stored_scores
from hf_model.inference.checkpoint import Checkpoint, checkpoint_around
from hf_model.inference.classifier import Classifier
from hf_model.inference.engines.base import EngineUnavailable
from hf_model.inference.engines.choice import NAMES, open_engine
from hf_model.metrics.record import aetiology_column
from hf_model.metrics.scores import Scores


def main(argv: list[str]) -> int:
    """Run the command. Returns 0, or 2 for a mistake in the arguments or a sealed test split."""
    arguments = parser().parse_args(argv)
    try:
        _check(arguments)
        checkpoint = Checkpoint.open(arguments.checkpoint)
        second = Checkpoint.open(arguments.against) if arguments.against else None
        facts = {
            "command": f"python -m hf_model evaluate {shlex.join(argv)}",
            "model_id": checkpoint.model_id,
            "weights_sha256": checkpoint.weights_sha256,
            "leakage": ((checkpoint.metrics or {}).get("data") or {}).get("leakage"),
        }
        gather = _stored if arguments.from_scores else _measured
        given, thumbnails = gather(arguments, checkpoint, second, facts)
        content = report.build(given, prevalences=arguments.prevalence, seed=arguments.seed)
        report.write_report(Path(arguments.output), given, content, thumbnails)
    except (ValueError, OSError, EngineUnavailable) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    print(report.terminal_table(content))
    print(f"Report: {Path(arguments.output) / 'report.html'}")
    return 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog="python -m hf_model evaluate",
        description="Evaluate a checkpoint on a labelled data set: metrics.json, figures and one HTML page.",
        epilog=NOT_A_DEVICE,
    )
    made.add_argument("--output", required=True, help="folder for the report (made if missing)")
    made.add_argument("--checkpoint", help="folder or Hub id (default: the shipped checkpoint)")
    made.add_argument("--dataset", help="Hub id or folder; not needed with --from_scores")
    made.add_argument("--split", help='a split, or "all" (default: test, or the only one)')
    add_column_options(made)
    made.add_argument(
        "--renderings",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="further renderings of the same pictures, joined by file name",
    )
    made.add_argument(
        "--subgroups",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="columns of the data set; bacterial and viral come from the file names",
    )
    made.add_argument("--against", metavar="CHECKPOINT", help="a second checkpoint, compared on the same pictures")
    made.add_argument(
        "--prevalence",
        nargs="+",
        type=float,
        default=list(report.PREVALENCES),
        metavar="P",
        help="shares of pneumonia, between 0 and 1, to give PPV and NPV for",
    )
    made.add_argument(
        "--from_scores", action="store_true", help="use the test scores that the checkpoint holds; opens no picture"
    )
    made.add_argument("--reopen_test", action="store_true", help="open the sealed test split again; recorded")
    made.add_argument("--no_perturbations", action="store_true", help="leave blur and sharpening out")
    made.add_argument("--max_errors", type=int, default=200, help="most thumbnails (default 200; 0 for none)")
    made.add_argument("--engine", choices=NAMES, default="auto")
    made.add_argument("--seed", type=int, default=0)
    return made


def _check(arguments: argparse.Namespace) -> None:
    """ValueError for options that can be known to be wrong before anything is read."""
    output = Path(arguments.output)
    inside = output if (output / "config.json").exists() else checkpoint_around(output)
    if inside is not None:
        raise ValueError(
            f"--output {arguments.output} is in the checkpoint {inside}: the report holds pictures of "
            "patients and a metrics.json of its own. Give another folder."
        )
    for value in arguments.prevalence:
        if not 0 < value < 1:
            raise ValueError(f"--prevalence {value}: give shares between 0 and 1.")
    if not arguments.dataset and not arguments.from_scores:
        raise ValueError("Name a --dataset, or use --from_scores for the test scores that the checkpoint holds.")


def _stored(
    arguments: argparse.Namespace, checkpoint: Checkpoint, second: Checkpoint | None, facts: dict[str, Any]
) -> tuple[ReportInput, list[ErrorThumbnail]]:
    """From ``scores/test*.csv`` of the checkpoints; no picture is opened, so there are no thumbnails."""
    found = stored_scores(checkpoint.folder)
    if not found:
        raise ValueError(f"{checkpoint.model_id} holds no scores/test*.csv; evaluate it with --dataset.")
    reported = [name for name in (checkpoint.metrics or {}).get("test") or {} if name in found]
    name = Path(arguments.dataset).name if arguments.dataset else (reported or list(found))[0]
    if name not in found:
        raise ValueError(f"{checkpoint.model_id} holds test scores of {', '.join(found)}, not of {name}.")
    other = None
    if second is not None:
        others = stored_scores(second.folder)
        if name not in others:
            held = f"of {', '.join(others)}" if others else "none"
            raise ValueError(f"--against {second.model_id}: it holds test scores {held}, not of {name}.")
        other = (others[name], second.decision, second.model_id)
    scores = found.pop(name)
    facts |= {"dataset_name": name, "split": TEST, "role": TEST, "from_scores": True, "engine": "as stored"}
    given = ReportInput(
        facts,
        checkpoint.decision,
        scores,
        _calibration_scores(checkpoint),
        renderings=found,
        columns=aetiology_column(scores),
        other=other,
    )
    return given, []


def _measured(
    arguments: argparse.Namespace, checkpoint: Checkpoint, second: Checkpoint | None, facts: dict[str, Any]
) -> tuple[ReportInput, list[ErrorThumbnail]]:
    """From pictures; the opening of a sealed test split is recorded before the first of them is read."""
    from hf_model.evaluation import labelled_dataset as labelled  # datasets

    checkpoints = [checkpoint] if second is None else [checkpoint, second]
    known = [CheckpointPictures.read(each.metrics, each.folder) for each in checkpoints]
    dataset = labelled.LabelledDataset.open(arguments.dataset, arguments.split, **column_options(arguments))
    for name in arguments.subgroups:
        if name not in dataset.columns:
            raise ValueError(f"--subgroups {name}: the columns are {', '.join(dataset.columns) or 'none'}.")
    left_out = []
    for each in known:  # a set that holds more than a test split is cut to it: the rest may have trained the weights
        if each.role(dataset) == TEST:
            rows = each.test_rows(dataset)
            left_out += [dataset.names[row] for row in sorted(set(range(len(dataset))) - set(rows))]
            dataset = dataset.select(rows)
    renderings = {}
    for folder in arguments.renderings:
        other = labelled.LabelledDataset.open(folder, arguments.split, **column_options(arguments)).named(dataset.names)
        if not len(other):
            raise ValueError(f"--renderings {folder}: no file name there is one of {dataset.name}'s.")
        renderings[other.name] = other
    classifier = Classifier(checkpoint, open_engine(checkpoint, arguments.engine))
    roles = [each.role(dataset) for each in known]
    openings = [
        open_test(
            each.folder,
            each.weights_sha256,
            [dataset.name, *renderings],
            reopen=arguments.reopen_test,
            writable=each.model_id == each.folder.resolve().name,
        )
        if role == TEST
        else None
        for each, role in zip(checkpoints, roles, strict=True)
    ]
    scored = labelled.score(classifier, dataset, what=dataset.name)
    perturbed = {} if arguments.no_perturbations else labelled.score_perturbed(classifier, dataset, scored)
    columns = {name: [dataset.columns[name][row] for row in scored.rows] for name in arguments.subgroups}
    other = None
    if second is not None:
        engine = open_engine(second, arguments.engine)
        scored_by_second = labelled.score(Classifier(second, engine), dataset, what=second.model_id)
        other = (scored_by_second.scores, second.decision, second.model_id)
    facts |= {
        "dataset_name": dataset.name,
        "split": dataset.split,
        "role": roles[0],
        "from_scores": False,
        "engine": classifier.engine_name,
        "not_test_pictures": left_out,
        "refused_left_out": True,
        "perturbation_notes": {name: labelled.PERTURBATIONS[name][0] for name in perturbed},
    }
    given = ReportInput(
        facts,
        checkpoint.decision,
        scored.scores,
        _calibration_scores(checkpoint),
        renderings={name: labelled.score(classifier, part, what=name).scores for name, part in renderings.items()},
        perturbations=perturbed,
        columns=aetiology_column(scored.scores) | columns,
        failures=scored.failures,
        refused=scored.refused,
        opening=openings[0],
        other=other,
    )
    wrong = [error["row"] for error in report.error_list(scored.scores, checkpoint.decision)]
    thumbnails = [
        ErrorThumbnail.draw(row, labelled.read_small(classifier, dataset, scored.rows[row]), scored.maps[row])
        for row in wrong[: max(0, arguments.max_errors)]
    ]
    return given, thumbnails


def _calibration_scores(checkpoint: Checkpoint) -> Scores | None:
    """The scores that the decision was fitted on, if the checkpoint holds them."""
    path = checkpoint.folder / "scores" / "calibration.csv"
    return Scores.from_csv(path) if path.is_file() else None
