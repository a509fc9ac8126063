"""Evaluate a calibrated checkpoint and write everything down: metrics.json, figures, report and card."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hf_model import wording
from hf_model.data.pixels import decode_split
from hf_model.data.prepare import CALIBRATION, TRAIN, VALIDATION, rendering_name
from hf_model.evaluation import report
from hf_model.evaluation.labelled_dataset import PERTURBATIONS
from hf_model.files import write_json
from hf_model.hub.model_card import write_card
from hf_model.metrics.comparison import engine_agreement, rendering_agreement
from hf_model.metrics.decision import Decision
from hf_model.metrics.record import aetiology_column, evaluation_record, full_record
from hf_model.training.finalize import CalibratedCheckpoint, TrainedModel, held_out_evidence
from hf_model.training.records import recorded_openings, run_record
from hf_model.training.stages import StageResult
from hf_model.training.test_evaluation import REPORT, EvaluatedSplit, open_test_split

logger = logging.getLogger(__name__)
SHIPPED_PAGE = "evaluation.html"
"""The report without thumbnails, published beside the weights; ``evaluate`` writes its page under another name."""
DEVELOPMENT_VALIDATION = "development-validation"
CASES_ELSEWHERE = (
    "Thumbnails with heat maps are on the page in the folder of the training run, report/index.html; pictures of the "
    "data set are not published with the weights."
)


def write_outputs(
    trained: TrainedModel,
    checkpoint: CalibratedCheckpoint,
    stages: list[StageResult],
    class_weights: tuple[float, float],
    command: str,
    guidance: dict[str, Any] | None = None,
) -> dict[str, object]:
    """Evaluate and write; returns the contents of metrics.json. Nothing after the opening changes a choice.

    guidance: the record of ``LungGuidance``; None for a run without lungs.
    """
    folder, decision = trained.folder, checkpoint.decision
    validation = trained.development_scores(VALIDATION)
    results: dict[str, Any] = {
        VALIDATION: evaluation_record(validation, decision),
        # optimistic: the threshold was fitted there
        CALIBRATION: evaluation_record(checkpoint.calibration, decision),
        "renderings": _calibration_perturbed(trained, checkpoint),
        "gate": checkpoint.gate,
        "adults": checkpoint.adults,
        "evidence": {"outlines": held_out_evidence(trained)},
        "guidance": guidance,
    }
    if trained.data.originals is not None:
        results["originals"] = _originals_record(trained, decision)
    split = EvaluatedSplit(DEVELOPMENT_VALIDATION, "development", {trained.data.main_name: validation})
    if trained.arguments.decision.open_test:
        split = open_test_split(trained, decision, checkpoint.weights)
        results |= _test_records(split, checkpoint, results)
    elif openings := recorded_openings(folder, checkpoint.weights):  # they stay on record
        results["test_openings"] = openings
    metrics = run_record(
        trained.base,
        trained.data,
        trained.arguments,
        stages,
        checkpoint.weights,
        command=command,
        class_weights=list(class_weights),
        **results,
    )
    write_json(folder / "metrics.json", metrics)
    _write_curves(folder, metrics)
    _write_report(folder, split, checkpoint, metrics)
    write_card(folder)
    for line in summary(metrics):
        logger.info(line)
    return metrics


def _calibration_perturbed(trained: TrainedModel, checkpoint: CalibratedCheckpoint) -> dict[str, object]:
    """How scores change on blurred and sharpened calibration pictures: known without opening the test split."""
    pixels = trained.data.main.pixels[trained.data.rows(CALIBRATION)]
    perturbed = trained.perturbed_scores(pixels, checkpoint.calibration, CALIBRATION)
    return {
        f"{CALIBRATION} / {name}": rendering_agreement(checkpoint.calibration, scores, checkpoint.decision)
        for name, scores in perturbed.items()
    }


def _originals_record(trained: TrainedModel, decision: Decision) -> dict[str, object]:
    """Full-size originals of training pictures against their copies: a check of the upload path, not a metric."""
    data, options = trained.data, trained.arguments.data
    cache = Path(options.cache_dir) if options.cache_dir else None
    name = rendering_name(options.originals)
    pixels = decode_split(data.originals, trained.base.preprocessing, what=name, cache_dir=cache)
    row_of = {name: row for row, name in enumerate(data.main.names)}
    shared = np.array([i for i, name in enumerate(pixels.names) if name in row_of], dtype=np.int64)
    rows = np.array([row_of[pixels.names[i]] for i in shared], dtype=np.int64)
    copies = trained.scores(data.main.select(rows), "copies")
    originals = trained.scores(pixels.select(shared), "originals")
    points = evaluation_record(originals, decision)["points"]
    return {
        "pictures": len(shared),
        "of_development_train": int(np.isin(rows, data.rows(TRAIN)).sum()),
        "accuracy_at_0.5": points["0.5"]["accuracy"]["value"],
        "accuracy_at_threshold": points["default"]["accuracy"]["value"],
        "agreement": rendering_agreement(copies, originals, decision),
    }


def _test_records(
    split: EvaluatedSplit, checkpoint: CalibratedCheckpoint, results: dict[str, Any]
) -> dict[str, object]:
    """A record for each rendering, how far renderings and engines agree, and what the input checks flag."""
    decision, main, scores = checkpoint.decision, split.main, split.scores
    others = {name: part for name, part in scores.items() if name != main} | split.perturbed
    engines = {
        engine: {name: engine_agreement(scores[name], part.logits, decision) for name, part in parts.items()}
        for engine, parts in split.engines.items()
    }
    _warn_of_flips(engines)
    return {
        "test": {name: full_record(part, decision, checkpoint.calibration) for name, part in scores.items()},
        "test_openings": split.openings,
        "renderings": {
            f"{main} / {name}": rendering_agreement(scores[main], part, decision) for name, part in others.items()
        }
        | results["renderings"],
        "engines": engines,
        "gate": results["gate"] | {"test": split.facts.get("checks", {})},
        "evidence": results["evidence"] | {"test": split.facts.get("evidence")},
    }


def _warn_of_flips(engines: dict[str, dict[str, dict[str, Any]]]) -> None:
    for engine, parts in engines.items():
        for name, found in parts.items():
            if found["flips_outside_band"]:
                logger.warning(
                    "%s would change %d decisions on %s that are not within %g of the threshold. It is served only "
                    "where its own check allows it; --engine torch is the reference.",
                    engine,
                    found["flips_outside_band"],
                    name,
                    found["band"],
                )


def _write_curves(folder: Path, metrics: dict[str, Any]) -> None:
    """``training_curves.png`` of the last stage, and the confusion matrix of the first record."""
    from hf_model.evaluation import figures

    last = metrics["stages"][-1]["name"] if metrics["stages"] else None
    history = [entry for entry in metrics["history"] if entry["stage"] == last]
    if history:
        figures.save(figures.training_curves(history), folder / "training_curves", formats=("png",))
    name, record = next(iter(_records(metrics).items()))
    counts = record["points"]["default"]["confusion"]
    drawn = figures.confusion_matrix(counts, f"{name}, at the checkpoint's threshold")
    figures.save(drawn, folder / "confusion_matrix", formats=("png",))


def _write_report(
    folder: Path, split: EvaluatedSplit, checkpoint: CalibratedCheckpoint, metrics: dict[str, Any]
) -> None:
    """``evaluation.html`` and ``figures/`` for the checkpoint folder, the page with thumbnails for its ``report/``."""
    scores = split.scores[split.main]
    facts = {
        "command": metrics["command"],
        "model_id": metrics["arguments"].get("hub_model_id") or folder.resolve().name,
        "weights_sha256": metrics["weights_sha256"],
        "engine": "torch-f32, as trained",
        "dataset_name": split.main,
        "split": split.name,
        "role": split.role,
        "from_scores": False,
        "perturbation_notes": {name: PERTURBATIONS[name][0] for name in split.perturbed},
        "leakage": metrics["data"]["leakage"],
        **{key: metrics.get(key) for key in ("engines", "originals", "gate", "evidence")},
    }
    given = report.ReportInput(
        facts,
        checkpoint.decision,
        scores,
        checkpoint.calibration,
        renderings={name: part for name, part in split.scores.items() if name != split.main},
        perturbations=split.perturbed,
        columns=aetiology_column(scores),
        failures=[tuple(entry) for entry in split.facts.get("unreadable", [])],
        refused=split.facts.get("refused", []),
        opening=split.openings[-1] if split.openings else None,
    )
    content = report.build(given)
    figures = report.write_figures(folder / "figures", given, content)
    report.write_page(folder / SHIPPED_PAGE, content | {"cases_elsewhere": CASES_ELSEWHERE}, figures, [])
    report.write_page(folder / REPORT / "index.html", content, figures, split.thumbnails)
    write_json(folder / REPORT / "metrics.json", content)


def summary(metrics: dict[str, Any]) -> list[str]:
    """A short table for the terminal: each test rendering (or development-validation) at 0.5 and at the threshold."""

    def value(figure: dict[str, Any], write: Callable[[Any], str]) -> str:
        return write({"value": figure["value"]})  # without its interval

    lines = [f"{'pictures':32} {'point':10} threshold  AUC    accuracy  sensitivity  specificity"]
    for name, record in _records(metrics).items():
        for point in ("0.5", "default"):
            at = record["points"][point]
            auc = value(record["auc"], wording.ratio)
            accuracy, sensitivity, specificity = (
                value(at[key], wording.rate) for key in ("accuracy", "sensitivity", "specificity")
            )
            lines.append(
                f"{name[:32]:32} {wording.POINTS[point]:10} {at['threshold']:.4f}     {auc:6} {accuracy:9} "
                f"{sensitivity:12} {specificity}"
            )
    return lines


def _records(metrics: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The record of each test rendering, or that of development-validation."""
    return metrics.get("test") or {DEVELOPMENT_VALIDATION: metrics[VALIDATION]}
