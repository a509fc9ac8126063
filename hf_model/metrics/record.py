"""One evaluated set of pictures as one JSON record: every figure with its interval.

Also the figures of parts of a set (by aetiology, or by any column), and evidence in the lungs: the mean share of the
class activation map inside, and how often its peak is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_model.config import DEFAULT_THRESHOLD, LABELS
from hf_model.metrics import calibration, intervals
from hf_model.metrics.decision import Decision, sigmoid
from hf_model.metrics.guarantees import check_guarantees, score_shift
from hf_model.metrics.policy import policy_record
from hf_model.metrics.prevalence import likelihood_ratios
from hf_model.metrics.rates import cells, confusion, rates
from hf_model.metrics.scores import Scores
from hf_model.segmentation.outline import Evidence

REPLICATES = 2000
MOST_GROUPS = 8
"""A numeric column with more values than this is cut at its quartiles; another is cut to its largest groups."""


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
        "policy": policy_record(scores, decision, seed=seed, replicates=replicates),
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


def subgroup_table(scores: Scores, decision: Decision, columns: dict[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """Figures of every group of every column at the decision's threshold.

    ``columns``: name -> N values (None or "" is the group "not given"). A group is {"n", "patients", "normal",
    "pneumonia", "auc", "sensitivity", "specificity", "mean_probability"}; rates have Wilson and AUC DeLong intervals.
    A group without normal pictures (an aetiology) has its AUC against all normal pictures of the set ("auc_against":
    "all normal"). ValueError if a column does not have N values.
    """
    probability = calibration.probability_of(scores, decision)
    result = {}
    for column, values in columns.items():
        if len(values) != len(scores):
            raise ValueError(f"Column {column} has {len(values)} values for {len(scores)} pictures.")
        groups = group_names(values)
        names = sorted(set(groups), key=lambda name: (name == "not given", name))
        members = {name: np.array([group == name for group in groups]) for name in names}
        result[column] = {name: _group(scores, probability, member, decision) for name, member in members.items()}
    return result


def aetiology_column(scores: Scores) -> dict[str, list[str | None]]:
    """A column for :func:`subgroup_table`: bacterial or viral pneumonia as the file name says, or normal by the label.

    Empty where no name says so; None for a pneumonia picture whose name does not.
    """
    from hf_model.data.patients import aetiology

    words = {"bacteria": "bacterial pneumonia", "virus": "viral pneumonia"}
    said = [aetiology(name) for name in scores.names]
    if not any(said):
        return {}
    groups = [words.get(kind, "normal" if not label else None) for kind, label in zip(said, scores.labels, strict=True)]
    return {"aetiology (file name)": groups}


def group_names(values: Sequence[Any]) -> list[str]:
    """The group of every value: itself, a quarter of a numeric column, "not given", or "other" of too many."""
    given = [value for value in values if value not in (None, "") and value == value]
    numeric = bool(given) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in given)
    if numeric and len(set(given)) > MOST_GROUPS:
        return _quarters(values, np.quantile(np.array(given, dtype=float), [0, 0.25, 0.5, 0.75, 1]))
    counts = dict.fromkeys(map(str, given), 0)
    for value in given:
        counts[str(value)] += 1
    kept = set(sorted(counts, key=lambda text: (-counts[text], text))[:MOST_GROUPS])
    known = {str(value) for value in given}
    return [
        "not given" if str(value) not in known else str(value) if str(value) in kept else "other" for value in values
    ]


def _quarters(values: Sequence[Any], edges: np.ndarray) -> list[str]:
    labels = [
        f"{part}. quarter: {low:g} to {high:g}" for part, low, high in zip(range(1, 5), edges, edges[1:], strict=False)
    ]
    return [
        "not given"
        if value in (None, "") or value != value
        else labels[int(np.clip(np.searchsorted(edges[1:-1], value, side="left"), 0, 3))]
        for value in values
    ]


def _group(scores: Scores, probability: np.ndarray, member: np.ndarray, decision: Decision) -> dict[str, Any]:
    labels, part = scores.labels[member], probability[member]
    cells = confusion(part, labels, decision.threshold)
    record: dict[str, Any] = {
        "n": int(member.sum()),
        "patients": len(np.unique(scores.patient_codes[member])),
        "normal": int(np.sum(labels == 0)),
        "pneumonia": int(np.sum(labels == 1)),
        "mean_probability": float(part.mean()),
        "sensitivity": _rate(cells["tp"], cells["tp"] + cells["fn"]),
        "specificity": _rate(cells["tn"], cells["tn"] + cells["fp"]),
    }
    against = member if record["normal"] else member | (scores.labels == 0)
    if record["pneumonia"] and np.any(scores.labels[against] == 0):
        value, interval, _ = intervals.delong(scores.margins[against], scores.labels[against])
        record["auc"] = intervals.figure(value, interval)  # a class of one picture has no spread
        record["auc_against"] = "its own normal" if record["normal"] else "all normal"
    return record


def _rate(successes: int, trials: int) -> dict[str, Any] | None:
    return intervals.proportion(successes, trials) if trials else None


def evidence_figures(
    evidence: Sequence[Evidence | None], labels: np.ndarray, patients: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Figures of N pictures, of both classes together ("all") and of each label.

    Args:
        evidence: None for a picture without positive evidence; these are counted and left out of the figures.
        labels: (N,), 0 NORMAL, 1 PNEUMONIA.
        patients: N keys; intervals are a bootstrap over patients.

    Returns:
        {"pictures", "patients", "without_evidence", "share", "peak_inside"}; the last two as {"value", "interval"},
        None where no picture has evidence.
    """
    labels, keys = np.asarray(labels), np.asarray(patients, dtype=str)
    there = np.array([one is not None for one in evidence], dtype=bool)
    values = np.array([(one.share, float(one.peak_inside)) if one else (np.nan, np.nan) for one in evidence])
    groups = {"all": np.ones(len(labels), dtype=bool)} | {name: labels == row for row, name in enumerate(LABELS)}
    return {name: _evidence(values, keys, chosen, there) for name, chosen in groups.items() if chosen.any()}


def _evidence(values: np.ndarray, keys: np.ndarray, chosen: np.ndarray, there: np.ndarray) -> dict[str, Any]:
    used = chosen & there
    counts = {
        "pictures": int(chosen.sum()),
        "patients": len(set(keys[chosen].tolist())),
        "without_evidence": int((chosen & ~there).sum()),
    }
    if not used.any():
        return counts | {"share": None, "peak_inside": None}
    weights = np.concatenate(list(intervals.cluster_weights(keys[used])))
    with np.errstate(invalid="ignore"):
        replicates = weights @ values[used] / weights.sum(axis=1, keepdims=True)
    means = values[used].mean(axis=0)
    names = ("share", "peak_inside")
    return counts | {
        name: intervals.figure(float(means[i]), intervals.percentile(replicates[:, i])) for i, name in enumerate(names)
    }
