"""The figures of parts of a set: by aetiology, or by any column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_model.metrics import intervals
from hf_model.metrics.calibration import probability_of
from hf_model.metrics.decision import Decision
from hf_model.metrics.rates import confusion
from hf_model.metrics.scores import Scores

MOST_GROUPS = 8
"""A numeric column with more values than this is cut at its quartiles; another is cut to its largest groups."""


def subgroup_table(scores: Scores, decision: Decision, columns: dict[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """Figures of every group of every column at the decision's threshold.

    ``columns``: name -> N values (None or "" is the group "not given"). A group is {"n", "patients", "normal",
    "pneumonia", "auc", "sensitivity", "specificity", "mean_probability"}; rates have Wilson and AUC DeLong intervals.
    A group without normal pictures (an aetiology) has its AUC against all normal pictures of the set ("auc_against":
    "all normal"). ValueError if a column does not have N values.
    """
    probability = probability_of(scores, decision)
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
