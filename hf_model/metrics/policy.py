"""What a policy of two thresholds does with each class, and what is guaranteed for it.

Below ``lower`` a picture is cleared ("not likely"), at and above ``upper`` called ("likely"), between them referred.
Sensitivity and specificity describe a two-way decision; a policy is described by three shares of each class. The
thresholds are fitted in :mod:`hf_model.metrics.operating_point`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hf_model.config import LABELS
from hf_model.metrics import intervals
from hf_model.metrics.calibration import probability_of
from hf_model.metrics.decision import Decision, OperatingPoint
from hf_model.metrics.scores import Scores
from hf_model.wording import SHARES

HELD_OUT, CROSS_FITTED = "held-out", "cross-fitted"
GUARANTEES = {
    HELD_OUT: (
        "The bounds are exact for one picture of a new patient like the calibration patients: the model that serves "
        "scored them and was fitted on none of them."
    ),
    CROSS_FITTED: (
        "Each patient was scored by a model that was fitted without that patient. The exact test speaks of these "
        "models on average, and approximately, because they share patients. The model that serves was fitted on all of "
        "them: that it scores new patients as these models did is an assumption, which is not proven here."
    ),
}
"""Where calibration scores come from -> what the exact test on them says of the model that serves."""
BLOCKS = {
    HELD_OUT: (
        "Blocks of neighbouring file numbers guard against a rate that holds on average only; the model was fitted on "
        "other patients of the same blocks, so a new block may do worse."
    ),
    CROSS_FITTED: (
        "Where folds were made of whole blocks of neighbouring file numbers, each block was scored by a model that had "
        "not seen it, as a new block would be."
    ),
}
NO_BLOCKS = "No block of neighbouring file numbers was looked at, so the bounds hold on average over all patients only."


def guarantee(source: str, points: Mapping[str, OperatingPoint]) -> str:
    """What exactly is guaranteed for the shipped model, in sentences.

    source: of the calibration scores, a key of ``GUARANTEES``; ValueError for another.
    """
    if source not in GUARANTEES:
        raise ValueError(f"The source of the scores should be one of {tuple(GUARANTEES)}, not {source!r}.")
    looked_at = any(point.blocks for point in points.values())
    return f"{GUARANTEES[source]} {BLOCKS[source] if looked_at else NO_BLOCKS}"


def policy_record(scores: Scores, decision: Decision, *, seed: int = 0, replicates: int = 2000) -> dict[str, Any]:
    """The policy of the decision on a set of pictures, as ``metrics.json`` and ``decision.json`` hold it.

    {"lower", "threshold", "upper", "NORMAL": {"n", "cleared", "referred", "called"}, "PNEUMONIA": the same}. A share is
    {"count", "value", "interval", "cluster_interval"}: of pictures, with Wilson's 95 % interval and the percentiles of
    a bootstrap over patients; None for a class without pictures.
    """
    probability = probability_of(scores, decision)
    does = np.where(probability >= decision.upper, 2, np.where(probability >= decision.lower, 1, 0))
    members = np.eye(6)[3 * scores.labels + does]  # (N, 6): class by class, cleared, referred, called
    weights = intervals.cluster_weights(scores.patient_codes, replicates=replicates, seed=seed)
    drawn = np.concatenate([part @ members for part in weights]).reshape(-1, 2, 3)
    with np.errstate(invalid="ignore"):
        drawn = drawn / drawn.sum(axis=2, keepdims=True)
    record: dict[str, Any] = {"lower": decision.lower, "threshold": decision.threshold, "upper": decision.upper}
    for label, name in enumerate(LABELS):
        counts = members[:, 3 * label : 3 * label + 3].sum(axis=0).astype(int).tolist()
        total = sum(counts)
        record[name] = {"n": total}
        for column, (share, count) in enumerate(zip(SHARES, counts, strict=True)):
            clustered = intervals.percentile(drawn[:, label, column])
            record[name][share] = {
                "count": count,
                **intervals.proportion(count, total),
                "cluster_interval": list(clustered) if total and clustered else None,
            }
    return record
