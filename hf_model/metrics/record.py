"""One evaluated set of pictures as one JSON record: every figure with its interval."""

from __future__ import annotations

from typing import Any

import numpy as np

from hf_model.config import DEFAULT_THRESHOLD
from hf_model.metrics import calibration, intervals
from hf_model.metrics.decision import Decision, sigmoid
from hf_model.metrics.prevalence import likelihood_ratios
from hf_model.metrics.scores import Scores

REPLICATES = 2000


def probability_of(scores: Scores, decision: Decision) -> np.ndarray:
    """Calibrated probabilities of pneumonia, float64 (N,)."""
    return calibration.probabilities(scores.logits, decision.temperature, decision.bias)


def evaluation_record(
    scores: Scores, decision: Decision, *, seed: int = 0, replicates: int = REPLICATES
) -> dict[str, Any]:
    """The record of one evaluated set; every number a plain Python one, None where it is undefined.

    Rates are on pictures, with Wilson 95 % intervals ("interval") and patient-cluster bootstrap percentiles
    ("cluster_interval") beside them: where a patient has several pictures, the second is the honest one. AUC has
    DeLong's interval and the cluster bootstrap; F1, balanced accuracy and average precision the cluster bootstrap.
    ``loss`` is the unweighted cross-entropy of the calibrated probability in nats per picture. ValueError for no
    pictures.
    """
    if not len(scores):
        raise ValueError("There are no pictures to evaluate.")
    probability, labels = probability_of(scores, decision), scores.labels
    thresholds = _thresholds(decision)
    drawn = _replicates(
        probability, scores, [value for value in thresholds.values() if value is not None], seed, replicates
    )
    both = 0 < labels.sum() < len(labels)
    return {
        "n": len(scores),
        "patients": scores.patient_count,
        "normal": int(np.sum(labels == 0)),
        "pneumonia": int(np.sum(labels == 1)),
        "prevalence": float(labels.mean()),
        "loss": float(calibration.log_loss(scores.margins, labels, decision.temperature, decision.bias).mean()),
        "uncalibrated_loss": float(calibration.log_loss(scores.margins, labels).mean()),
        "auc": _auc(scores, drawn["auc"]) if both else {"value": None, "interval": None},
        "average_precision": _average_precision(scores, drawn["average_precision"]),
        "brier": calibration.brier_score(probability, labels),
        "ece": calibration.calibration_errors(probability, labels, seed=seed),
        "mean_probability": float(probability.mean()),
        "points": {
            name: None if value is None else _point(probability, labels, value, drawn["rates"][value])
            for name, value in thresholds.items()
        },
    }


def _thresholds(decision: Decision) -> dict[str, float | None]:
    """Point name -> threshold; "default" falls back to 0.5 as the decision does, the others to None.

    "argmax" is the larger logit, a plain softmax of 0.5: what ``transformers.pipeline`` answers, which knows neither
    temperature nor bias, and what figures of other projects "at 0.5" mean. Without a bias it is the point "0.5".
    """
    points = {name: point.threshold for name, point in decision.points.items()}
    argmax = {"argmax": sigmoid(decision.bias)} if decision.bias else {}
    return {str(DEFAULT_THRESHOLD): DEFAULT_THRESHOLD, **argmax, **points, "default": decision.threshold}


def _auc(scores: Scores, replicates: np.ndarray) -> dict[str, Any]:
    value, interval, _ = intervals.delong(scores.margins, scores.labels)
    cluster = intervals.percentile(replicates)
    return {
        "value": value,
        "interval": list(interval) if np.isfinite(interval).all() else None,  # a class of one picture has no spread
        "method": "DeLong, logit scale, 95 %",
        "cluster_interval": None if cluster is None else list(cluster),
    }


def _average_precision(scores: Scores, replicates: np.ndarray) -> dict[str, Any]:
    ones = np.ones((1, len(scores)))
    return _figure(intervals.weighted_average_precision(scores.margins, scores.labels, ones)[0], replicates)


def _figure(value: float, replicates: np.ndarray) -> dict[str, Any]:
    """A value with its cluster-bootstrap percentiles; None where undefined."""
    interval = intervals.percentile(replicates) if np.isfinite(value) else None
    return {"value": _plain(value), "interval": None if interval is None else list(interval)}


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def rates(tp: np.ndarray, fn: np.ndarray, tn: np.ndarray, fp: np.ndarray) -> dict[str, np.ndarray]:
    """All rates of a confusion matrix, elementwise on counts or weights; NaN where a denominator is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity, specificity = tp / (tp + fn), tn / (tn + fp)
        return {
            "accuracy": (tp + tn) / (tp + fn + tn + fp),
            "sensitivity": sensitivity,
            "specificity": specificity,
            "ppv": tp / (tp + fp),
            "npv": tn / (tn + fn),
            "f1": 2 * tp / (2 * tp + fp + fn),
            "balanced_accuracy": (sensitivity + specificity) / 2,
        }


def confusion(probability: np.ndarray, labels: np.ndarray, threshold: float) -> dict[str, int]:
    """Counts {"tn", "fp", "fn", "tp"}; PNEUMONIA at and above the threshold."""
    called, sick = np.asarray(probability) >= threshold, np.asarray(labels) == 1
    cells = {"tn": ~called & ~sick, "fp": called & ~sick, "fn": ~called & sick, "tp": called & sick}
    return {name: int(cell.sum()) for name, cell in cells.items()}


def _replicates(
    probability: np.ndarray, scores: Scores, thresholds: list[float], seed: int, replicates: int
) -> dict[str, Any]:
    """Every statistic on every cluster-bootstrap replicate, from one pass over the weights."""
    labels, sick = scores.labels, scores.labels == 1
    parts: dict[str, list] = {"auc": [], "average_precision": []}
    cells: dict[float, list] = {threshold: [] for threshold in thresholds}
    for weights in intervals.cluster_weights(scores.patient_codes, replicates=replicates, seed=seed):
        parts["auc"].append(intervals.weighted_auc(scores.margins, labels, weights))
        parts["average_precision"].append(intervals.weighted_average_precision(scores.margins, labels, weights))
        for threshold in cells:
            called = probability >= threshold
            member = np.stack([called & sick, ~called & sick, ~called & ~sick, called & ~sick], axis=1)
            cells[threshold].append(weights @ member.astype(float))
    drawn: dict[str, Any] = {name: np.concatenate(values) for name, values in parts.items()}
    drawn["rates"] = {threshold: rates(*np.concatenate(values).T) for threshold, values in cells.items()}
    return drawn


def _point(
    probability: np.ndarray, labels: np.ndarray, threshold: float, drawn: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Figures at one threshold."""
    counts = confusion(probability, labels, threshold)
    tn, fp, fn, tp = (counts[name] for name in ("tn", "fp", "fn", "tp"))
    value = {name: float(rate) for name, rate in rates(*(np.array(float(x)) for x in (tp, fn, tn, fp))).items()}
    record: dict[str, Any] = {"threshold": float(threshold), "confusion": counts}
    trials = {
        "accuracy": (tp + tn, len(labels)),
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "ppv": (tp, tp + fp),
        "npv": (tn, tn + fn),
    }
    for name, (successes, total) in trials.items():
        cluster = _figure(value[name], drawn[name])["interval"]
        interval = list(intervals.wilson(successes, total)) if total else None
        record[name] = {"value": _plain(value[name]), "interval": interval, "cluster_interval": cluster}
    for name in ("f1", "balanced_accuracy"):
        record[name] = _figure(value[name], drawn[name])
    record["precision"], record["recall"] = record["ppv"]["value"], record["sensitivity"]["value"]
    if tp + fn and tn + fp:
        record |= likelihood_ratios(tp, fn, tn, fp)
    return record
