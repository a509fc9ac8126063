"""Write the checkpoint folder: model, decision, graph, metrics, scores, report and card."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_model.data.pixels import Pixels, decode_split
from hf_model.data.prepare import CALIBRATION, VALIDATION, rendering_name
from hf_model.files import write_json
from hf_model.hub.model_card import write_card
from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines.base import EngineUnavailable
from hf_model.inference.engines.export import export
from hf_model.metrics.comparison import engine_agreement, rendering_agreement
from hf_model.metrics.decision import Decision
from hf_model.metrics.full_record import full_record
from hf_model.metrics.record import evaluation_record
from hf_model.metrics.scores import Scores
from hf_model.training.finalize import Finisher
from hf_model.training.records import recorded_openings, refuse_finished, run_record
from hf_model.training.stages import StageResult
from hf_model.training.test_evaluation import Evaluated, Opened, open_test, write_run_report

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fixed:
    """What stands before the test split is opened: the weights' SHA-256, the decision and what it was fitted on."""

    weights: str
    decision: Decision
    calibration: Scores
    gate: dict[str, Any]


def fix_checkpoint(finisher: Finisher) -> Fixed:
    """Weights, temperature and thresholds, the refusal gate and the serving graph: on disk, and not changed after."""
    refuse_finished(finisher.arguments[-1])  # another run may have finished in this folder meanwhile
    weights = finisher.save_model()
    decision, calibration = finisher.calibrate(weights)
    _refuse_other_decision(finisher.folder, weights, decision)
    decision.save(finisher.folder)
    calibration.to_csv(finisher.folder / "scores" / "calibration.csv")
    if finisher.data.pattern is not None:
        logger.warning(
            "Patients are told apart by file names, and scores/ holds file names (patients are hashed): rename the "
            "pictures before you publish this checkpoint, if their names say more than they should."
        )
    if (point := decision.points.get("default")) is None or point.threshold is None:
        logger.warning("NO GUARANTEE, the threshold is %g: %s", decision.threshold, point.describe() if point else "")
    gate = finisher.fit_gate(weights).metadata
    try:
        report = export(Checkpoint.open(finisher.folder))
        logger.info("OpenVINO graph: largest difference of a logit from torch %.1e", report.difference)
    except EngineUnavailable as error:
        logger.warning("No OpenVINO graph, this checkpoint is served by torch: %s", error)
    return Fixed(weights, decision, calibration, gate)


def _refuse_other_decision(folder: Path, weights: str, decision: Decision) -> None:
    """No other threshold once the test figures of these weights are known: it could be chosen by them.

    Raises:
        ValueError: the test split was opened for these weights with another decision.
    """
    if not recorded_openings(folder, weights):
        return
    before = Decision.load(folder)
    if (before.temperature, before.bias, before.points) != (decision.temperature, decision.bias, decision.points):
        raise ValueError(
            f"--resume: the test split was opened for these weights with another decision (threshold "
            f"{before.threshold:.4f}). Repeat that run's --target_sensitivity and --confidence; for another operating "
            f"point on your own pictures use `python -m hf_model recalibrate`."
        )


def write_outputs(
    finisher: Finisher, fixed: Fixed, stages: list[StageResult], class_weights: tuple[float, float], command: str
) -> dict[str, object]:
    """Evaluate and write; returns the contents of metrics.json. Nothing after the opening changes a choice."""
    folder, decision = finisher.folder, fixed.decision
    validation = finisher.development_scores(VALIDATION)
    results: dict[str, Any] = {
        VALIDATION: evaluation_record(validation, decision),
        # optimistic: the threshold was fitted there
        CALIBRATION: evaluation_record(fixed.calibration, decision),
        "renderings": _sharpness(finisher, fixed),
        "gate": fixed.gate,
    }
    originals = _originals(finisher)
    if originals is not None:
        results["originals"] = finisher.originals(decision, originals)
    opened = None
    if finisher.arguments[3].open_test:
        opened = open_test(finisher, decision, fixed.weights)
        results |= _test_results(opened, fixed, results)
    elif openings := recorded_openings(folder, fixed.weights):  # stay on record
        results["test_openings"] = openings
    metrics = run_record(
        finisher.base,
        finisher.data,
        finisher.arguments,
        stages,
        fixed.weights,
        command=command,
        class_weights=list(class_weights),
        **results,
    )
    write_json(folder / "metrics.json", metrics)
    _write_curves(folder, metrics)
    evaluated = Evaluated.of_test(opened) if opened else Evaluated.of_validation(validation, finisher.data.main_name)
    write_run_report(folder, evaluated, decision, fixed.calibration, metrics)
    write_card(folder)
    for line in summary(metrics):
        logger.info(line)
    return metrics


def _sharpness(finisher: Finisher, fixed: Fixed) -> dict[str, object]:
    """How the answer moves on blurred and sharpened calibration pictures: known without opening the test split."""
    pixels = finisher.data.main.pixels[finisher.data.rows(CALIBRATION)]
    changed = finisher.perturbed(pixels, fixed.calibration, CALIBRATION)
    return {
        f"{CALIBRATION} / {name}": rendering_agreement(fixed.calibration, scores, fixed.decision)
        for name, scores in changed.items()
    }


def _originals(finisher: Finisher) -> Pixels | None:
    options, rows = finisher.arguments[0], finisher.data.originals
    if rows is None:
        return None
    cache = Path(options.cache_dir) if options.cache_dir else None
    what = rendering_name(options.originals)
    return decode_split(rows, finisher.base.preprocessing, what=what, cache_dir=cache)


def _test_results(opened: Opened, fixed: Fixed, results: dict[str, Any]) -> dict[str, object]:
    """A record for each rendering, how far renderings and engines agree, and what the input checks hold up."""
    decision, calibration = fixed.decision, fixed.calibration
    main, *others = opened.scores
    first = opened.scores[main]
    agreement = {f"{main} / {name}": rendering_agreement(first, opened.scores[name], decision) for name in others}
    agreement |= {
        f"{main} / {name}": rendering_agreement(first, scores, decision) for name, scores in opened.perturbed.items()
    }
    engines = {
        engine: {name: engine_agreement(opened.scores[name], part.logits, decision) for name, part in parts.items()}
        for engine, parts in opened.engines.items()
    }
    _warn_of_flips(engines)
    return {
        "test": {name: full_record(scores, decision, calibration) for name, scores in opened.scores.items()},
        "test_openings": opened.openings,
        "renderings": agreement | results["renderings"],
        "engines": engines,
        "gate": results["gate"] | {"test": opened.facts.get("checks", {})},
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


def _write_curves(folder: Path, metrics: dict) -> None:
    from hf_model.evaluation import figures

    last = metrics["stages"][-1]["name"] if metrics["stages"] else None
    history = [entry for entry in metrics["history"] if entry["stage"] == last]
    if history:
        figures.save(figures.training_curves(history), folder / "training_curves", formats=("png",))
    name, record = next(iter(metrics.get("test", {"development-validation": metrics[VALIDATION]}).items()))
    counts = record["points"]["default"]["confusion"]
    drawn = figures.confusion_matrix(counts, f"{name}, at the checkpoint's threshold")
    figures.save(drawn, folder / "confusion_matrix", formats=("png",))


def summary(metrics: dict) -> Sequence[str]:
    """A short table for the terminal: each test rendering (or development-validation) at 0.5 and at the threshold."""
    records = metrics.get("test") or {"development-validation": metrics[VALIDATION]}
    lines = [f"{'pictures':32} {'point':8} threshold  AUC    accuracy sensitivity specificity"]
    for name, record in records.items():
        for point in ("0.5", "default"):
            at = record["points"][point]
            rates = "    ".join(_percent(at[key]["value"]) for key in ("accuracy", "sensitivity", "specificity"))
            auc = record["auc"]["value"]
            lines.append(f"{name[:32]:32} {point:8} {at['threshold']:.4f}    {auc or float('nan'):.4f}  {rates}")
    return lines


def _percent(value: float | None) -> str:
    return "   -  " if value is None else f"{value:.4f}"
