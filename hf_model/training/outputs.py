"""Write the checkpoint folder: model, decision, metrics, scores, figures and card."""

from __future__ import annotations

import logging
from pathlib import Path

from hf_model.data.loading import load_splits
from hf_model.data.pixels import Pixels, decode_split
from hf_model.data.prepare import VALIDATION, rendering_name
from hf_model.evaluation.comparison import rendering_agreement
from hf_model.evaluation.decision import Decision
from hf_model.evaluation.metrics import evaluation_record
from hf_model.evaluation.sealing import write_json
from hf_model.evaluation.subgroups import aetiology_column, subgroup_table
from hf_model.hub.card import write_card
from hf_model.training.finish import Finisher, development_records, recorded_openings
from hf_model.training.stages import StageResult

logger = logging.getLogger(__name__)


def write_outputs(
    finisher: Finisher, stages: list[StageResult], class_weights: tuple[float, float], command: str
) -> dict[str, object]:
    """Calibrate, evaluate and write; returns the contents of metrics.json.

    The order matters: temperature and threshold are on disk before the test split is opened, and nothing that comes
    after the opening changes them.
    """
    folder = finisher.folder
    weights = finisher.save_model()
    decision, calibration = finisher.calibrate(weights)
    if (point := decision.points.get("default")) is None or point.threshold is None:
        logger.warning("NO GUARANTEE, the threshold is %g: %s", decision.threshold, point.describe() if point else "")
    results = development_records(finisher, decision, calibration)
    results["renderings"] = finisher.sharpness(decision, calibration)
    results["gate"] = finisher.fit_gate(weights).metadata
    originals = _originals(finisher)
    if originals is not None:
        results["originals"] = finisher.originals(decision, originals)

    calibration.to_csv(folder / "scores" / "calibration.csv")
    if openings := recorded_openings(folder, weights):  # stay on record, also for a later --no_open_test
        results["test_openings"] = openings
    if finisher.arguments[3].open_test:
        test = _test_results(finisher, decision, weights)
        results |= test | {"renderings": test["renderings"] | results["renderings"]}
    metrics = finisher.metrics(stages, weights, command=command, class_weights=list(class_weights), **results)
    write_json(folder / "metrics.json", metrics)
    _write_figures(folder, metrics)
    write_card(folder)
    for line in summary(metrics):
        logger.info(line)
    return metrics


def _originals(finisher: Finisher) -> Pixels | None:
    name = finisher.arguments[0].originals
    if name is None:
        return None
    splits = load_splits(name, option="--originals")
    rows = splits[next(iter(splits))]
    return decode_split(rows, finisher.base.preprocessing, what=rendering_name(name))


def _test_results(finisher: Finisher, decision: Decision, weights: str) -> dict[str, object]:
    """The one look at the test split: a record for each rendering, and how far the renderings agree."""
    test, openings = finisher.open_test(weights)
    main = next(iter(test))
    agreement = {
        f"{main} / {other}": rendering_agreement(test[main], scores, decision)
        for other, scores in test.items()
        if other != main
    }
    records = {}
    for name, scores in test.items():
        subgroups = subgroup_table(scores, decision, aetiology_column(scores))
        records[name] = evaluation_record(scores, decision) | {"subgroups": subgroups}
    return {"test": records, "test_openings": openings, "renderings": agreement}


def _write_figures(folder: Path, metrics: dict) -> None:
    from hf_model.evaluation import figure_set, figures

    last = metrics["stages"][-1]["name"] if metrics["stages"] else None
    history = [entry for entry in metrics["history"] if entry["stage"] == last]
    if history:
        figures.save(figure_set.training_curves(history), folder / "training_curves", formats=("png",))
    name, record = next(iter(metrics.get("test", {"development-validation": metrics[VALIDATION]}).items()))
    counts = record["points"]["default"]["confusion"]
    drawn = figure_set.confusion_matrix(counts, f"{name}, at the checkpoint's threshold")
    figures.save(drawn, folder / "confusion_matrix", formats=("png",))


def summary(metrics: dict) -> list[str]:
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
