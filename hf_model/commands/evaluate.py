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
from hf_model.evaluation import report, report_files, test_split
from hf_model.evaluation.report import Material
from hf_model.evaluation.test_split import Known
from hf_model.inference.checkpoint import Checkpoint, checkpoint_around
from hf_model.inference.classifier import Classifier
from hf_model.inference.engines.base import EngineUnavailable
from hf_model.inference.engines.choice import NAMES, open_engine
from hf_model.metrics.scores import Scores
from hf_model.metrics.subgroups import aetiology_column


def main(argv: list[str]) -> int:
    """Run the command. Gives 0, or 2 for a mistake in the arguments or a sealed test split."""
    arguments = parser().parse_args(argv)
    try:
        material, cases = _gather(arguments, f"python -m hf_model evaluate {shlex.join(argv)}")
        content = report.build(material, prevalences=arguments.prevalence, seed=arguments.seed)
        report_files.write_report(Path(arguments.output), material, content, cases)
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


def _gather(arguments: argparse.Namespace, command: str) -> tuple[Material, list]:
    output = Path(arguments.output)
    inside = output if (output / "config.json").exists() else checkpoint_around(output)
    if inside is not None:
        raise ValueError(
            f"--output {arguments.output} is in the checkpoint {inside}: the report holds pictures of "
            "patients and a metrics.json of its own. Give another folder."
        )
    checkpoint = Checkpoint.open(arguments.checkpoint)
    for value in arguments.prevalence:
        if not 0 < value < 1:
            raise ValueError(f"--prevalence {value}: give shares between 0 and 1.")
    facts = {
        "command": command,
        "model_id": checkpoint.model_id,
        "weights_sha256": checkpoint.weights_sha256,
        "leakage": ((checkpoint.metrics or {}).get("data") or {}).get("leakage"),
    }
    if arguments.from_scores:
        return _stored(arguments, checkpoint, facts), []
    if not arguments.dataset:
        raise ValueError("Name a --dataset, or use --from_scores for the test scores that the checkpoint holds.")
    return _measured(arguments, checkpoint, facts)


def calibration_scores(checkpoint: Checkpoint) -> Scores | None:
    """The scores that the decision was fitted on, if the checkpoint holds them."""
    path = checkpoint.folder / "scores" / "calibration.csv"
    return Scores.from_csv(path) if path.is_file() else None


def _stored(arguments: argparse.Namespace, checkpoint: Checkpoint, facts: dict[str, Any]) -> Material:
    """Material from ``scores/test*.csv``; nothing is opened."""
    found = test_split.stored_scores(checkpoint.folder)
    if not found:
        raise ValueError(f"{checkpoint.model_id} holds no scores/test*.csv; evaluate it with --dataset.")
    wanted = Path(arguments.dataset.rstrip("/")).name if arguments.dataset else None
    if wanted is not None and wanted not in found:
        raise ValueError(f"{checkpoint.model_id} holds test scores of {', '.join(found)}, not of {wanted}.")
    order = [name for name in (checkpoint.metrics or {}).get("test") or {} if name in found] or list(found)
    main = wanted or order[0]
    facts |= {
        "dataset_name": main,
        "split": test_split.TEST,
        "role": test_split.TEST,
        "from_scores": True,
        "engine": "as stored",
    }
    scores = found.pop(main)
    return Material(
        facts,
        checkpoint.decision,
        scores,
        calibration_scores(checkpoint),
        renderings=found,
        columns=aetiology_column(scores),
        other=_second_stored(arguments.against, main),
    )


def _second_stored(against: str | None, name: str) -> tuple[Scores, Any, str] | None:
    """The second checkpoint's stored scores of the same pictures."""
    if against is None:
        return None
    checkpoint = Checkpoint.open(against)
    found = test_split.stored_scores(checkpoint.folder)
    if name not in found:
        held = f"of {', '.join(found)}" if found else "none"
        raise ValueError(f"--against {checkpoint.model_id}: it holds test scores {held}, not of {name}.")
    return found[name], checkpoint.decision, checkpoint.model_id


def _measured(arguments: argparse.Namespace, checkpoint: Checkpoint, facts: dict[str, Any]) -> tuple[Material, list]:
    """Material from pictures; the opening of a sealed test split is recorded before the first is read."""
    from hf_model.evaluation import labelled_dataset as sets

    contestants = [checkpoint] + ([Checkpoint.open(arguments.against)] if arguments.against else [])
    known = [Known.of(each.metrics, each.folder) for each in contestants]
    pictures, others, left_out = _listed(arguments, known)
    classifier = Classifier(checkpoint, open_engine(checkpoint, arguments.engine))
    role, opening = _open_where_sealed(contestants, known, pictures, list(others), arguments)
    facts |= {
        "dataset_name": pictures.name,
        "split": pictures.split,
        "role": role,
        "from_scores": False,
        "engine": classifier.engine_name,
        "not_test_pictures": left_out,
        "refused_left_out": True,
    }
    scored = sets.score(classifier, pictures, what=pictures.name)
    columns = {name: [pictures.columns[name][row] for row in scored.rows] for name in arguments.subgroups}
    perturbed = {} if arguments.no_perturbations else sets.score_perturbed(classifier, pictures, scored)
    facts["perturbation_notes"] = {name: sets.PERTURBATIONS[name][0] for name in perturbed}
    material = Material(
        facts,
        checkpoint.decision,
        scored.scores,
        calibration_scores(checkpoint),
        renderings={name: sets.score(classifier, other, what=name).scores for name, other in others.items()},
        perturbations=perturbed,
        columns=aetiology_column(scored.scores) | columns,
        failures=scored.failures,
        refused=scored.refused,
        opening=opening,
        other=_second(contestants, pictures, arguments.engine) if arguments.against else None,
    )
    return material, _thumbnails(classifier, pictures, scored, material, arguments.max_errors)


def _listed(arguments: argparse.Namespace, known: list[Known]) -> tuple[Any, dict[str, Any], list[str]]:
    """The data set and its further renderings, and the names of what is left out; no picture is read.

    Where a set holds the test split of one of the checkpoints, it is cut to that: the rest may be what its weights were
    fitted on, and no figure may mix the two.
    """
    from hf_model.evaluation.labelled_dataset import PictureSet

    options = column_options(arguments)
    pictures = PictureSet.open(arguments.dataset, arguments.split, **options)
    missing = [name for name in arguments.subgroups if name not in pictures.columns]
    if missing:
        raise ValueError(f"--subgroups {missing[0]}: the columns are {', '.join(pictures.columns) or 'none'}.")
    left_out: list[str] = []
    for each in known:
        if each.role(pictures) == test_split.TEST:
            rows = each.test_rows(pictures)
            left_out += [pictures.names[row] for row in sorted(set(range(len(pictures))) - set(rows))]
            pictures = pictures.select(rows)
    others = {}
    for folder in arguments.renderings:
        other = PictureSet.open(folder, arguments.split, **options).named(pictures.names)
        if not len(other):
            raise ValueError(f"--renderings {folder}: no file name there is one of {pictures.name}'s.")
        others[other.name] = other
    return pictures, others, left_out


def _open_where_sealed(
    contestants: list[Checkpoint],
    known: list[Known],
    pictures: Any,
    renderings: list[str],
    arguments: argparse.Namespace,
) -> tuple[str, dict[str, Any] | None]:
    """The first checkpoint's role and opening; every checkpoint whose test split this is records its own."""
    found = []
    for checkpoint, knows in zip(contestants, known, strict=True):
        role, opening = knows.role(pictures), None
        if role == test_split.TEST:
            opening = test_split.open_test(
                checkpoint.folder,
                checkpoint.weights_sha256,
                [pictures.name, *renderings],
                reopen=arguments.reopen_test,
                writable=checkpoint.model_id == checkpoint.folder.resolve().name,
            )
        found.append((role, opening))
    return found[0]


def _second(contestants: list[Checkpoint], pictures: Any, engine: str) -> tuple[Scores, Any, str]:
    from hf_model.evaluation.labelled_dataset import score

    checkpoint = contestants[1]
    classifier = Classifier(checkpoint, open_engine(checkpoint, engine))
    scored = score(classifier, pictures, what=checkpoint.model_id)
    return scored.scores, checkpoint.decision, checkpoint.model_id


def _thumbnails(classifier: Classifier, pictures: Any, scored: Any, material: Material, most: int) -> list:
    from hf_model.evaluation.labelled_dataset import read_small

    wrong = [case["row"] for case in report.error_list(material.scores, material.decision)[: max(0, most)]]
    return [
        report_files.make_case(row, read_small(classifier, pictures, scored.rows[row]), scored.maps[row])
        for row in wrong
    ]
