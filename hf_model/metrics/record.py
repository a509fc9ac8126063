"""One evaluated set of pictures as one JSON record: every figure with its interval."""

from __future__ import annotations

from typing import Any

import numpy as np

from hf_model.config import DEFAULT_THRESHOLD
from hf_model.metrics import calibration, intervals
from hf_model.metrics.decision import Decision, sigmoid
from hf_model.metrics.guarantees import check_guarantees, score_shift
from hf_model.metrics.prevalence import likelihood_ratios
from hf_model.metrics.rates import cells, confusion, rates
from hf_model.metrics.scores import Scores
from hf_model.metrics.subgroups import aetiology_column, subgroup_table

REPLICATES = 2000


def full_record(scores: Scores, decision: Decision, calibration_scores: Scores | None) -> dict[str, Any]:
    """What metrics.json holds of one rendering of the test split.

    The evaluation record with "subgroups", "guarantees" (does each promise hold here) and "shift".
    ``calibration_scores`` are those that the decision was fitted on; without them "shift" is None.
    """
    return evaluation_record(scores, decision) | {
        "subgroups": subgroup_table(scores, decision, aetiology_column(scores)),
        "guarantees": check_guarantees(scores, decision),
        "shift": None if calibration_scores is None else score_shift(calibration_scores, scores, decision),
    }


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
    probability, labels = calibration.probability_of(scores, decision), scores.labels
    thresholds = _thresholds(decision)
    drawn = _replicates(
        probability, scores, [each for each in thresholds.values() if each is not None], seed, replicates
    )
    precision = intervals.weighted_average_precision(scores.margins, labels, np.ones((1, len(scores))))[0]
    return {
        "n": len(scores),
        "patients": scores.patient_count,
        "normal": int(np.sum(labels == 0)),
        "pneumonia": int(np.sum(labels == 1)),
        "prevalence": float(labels.mean()),
        "loss": float(calibration.log_loss(scores.margins, labels, decision.temperature, decision.bias).mean()),
        "uncalibrated_loss": float(calibration.log_loss(scores.margins, labels).mean()),
        "auc": _auc(scores, drawn["auc"]),
        "average_precision": _bootstrapped(precision, drawn["average_precision"]),
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


def _replicates(
    probability: np.ndarray, scores: Scores, thresholds: list[float], seed: int, replicates: int
) -> dict[str, Any]:
    """Every statistic on every cluster-bootstrap replicate, from one pass over the weights."""
    parts: dict[str, list] = {"auc": [], "average_precision": []}
    members = {threshold: cells(probability, scores.labels, threshold) for threshold in thresholds}
    counts: dict[float, list] = {threshold: [] for threshold in thresholds}
    for weights in intervals.cluster_weights(scores.patient_codes, replicates=replicates, seed=seed):
        parts["auc"].append(intervals.weighted_auc(scores.margins, scores.labels, weights))
        parts["average_precision"].append(intervals.weighted_average_precision(scores.margins, scores.labels, weights))
        for threshold, member in members.items():
            counts[threshold].append(weights @ member)
    drawn: dict[str, Any] = {name: np.concatenate(values) for name, values in parts.items()}
    drawn["rates"] = {threshold: rates(*np.concatenate(values).T) for threshold, values in counts.items()}
    return drawn


def _bootstrapped(value: float, replicates: np.ndarray) -> dict[str, Any]:
    """A value with its cluster-bootstrap percentiles; None where undefined."""
    return intervals.figure(value, intervals.percentile(replicates) if np.isfinite(value) else None)


def _auc(scores: Scores, replicates: np.ndarray) -> dict[str, Any]:
    if not 0 < scores.labels.sum() < len(scores):
        return intervals.figure(np.nan, None)
    value, interval, _ = intervals.delong(scores.margins, scores.labels)
    return {
        **intervals.figure(value, interval),  # a class of one picture has no spread
        "method": "DeLong, logit scale, 95 %",
        "cluster_interval": _bootstrapped(value, replicates)["interval"],
    }


def _point(
    probability: np.ndarray, labels: np.ndarray, threshold: float, drawn: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Figures at one threshold; ``drawn`` are the rates of every replicate there."""
    counts = confusion(probability, labels, threshold)
    tn, fp, fn, tp = counts.values()
    value = rates(tp, fn, tn, fp)
    record: dict[str, Any] = {"threshold": float(threshold), "confusion": counts}
    trials = {
        "accuracy": (tp + tn, len(labels)),
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "ppv": (tp, tp + fp),
        "npv": (tn, tn + fn),
    }
    for name, (successes, total) in trials.items():
        clustered = _bootstrapped(value[name], drawn[name])["interval"]
        record[name] = intervals.proportion(successes, total) | {"cluster_interval": clustered}
    for name in ("f1", "balanced_accuracy"):
        record[name] = _bootstrapped(value[name], drawn[name])
    record["precision"], record["recall"] = record["ppv"]["value"], record["sensitivity"]["value"]
    if tp + fn and tn + fp:
        record |= likelihood_ratios(tp, fn, tn, fp)
    return record
