"""Evidence in the lungs of many pictures: mean share of the class activation map inside, and how often its peak is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_model.config import LABELS
from hf_model.metrics.intervals import cluster_weights, figure, percentile
from hf_model.segmentation.outline import Evidence


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
    return {name: _figures(values, keys, chosen, there) for name, chosen in groups.items() if chosen.any()}


def _figures(values: np.ndarray, keys: np.ndarray, chosen: np.ndarray, there: np.ndarray) -> dict[str, Any]:
    used = chosen & there
    counts = {
        "pictures": int(chosen.sum()),
        "patients": len(set(keys[chosen].tolist())),
        "without_evidence": int((chosen & ~there).sum()),
    }
    if not used.any():
        return counts | {"share": None, "peak_inside": None}
    weights = np.concatenate(list(cluster_weights(keys[used])))
    with np.errstate(invalid="ignore"):
        replicates = weights @ values[used] / weights.sum(axis=1, keepdims=True)
    means = values[used].mean(axis=0)
    names = ("share", "peak_inside")
    return counts | {name: figure(float(means[i]), percentile(replicates[:, i])) for i, name in enumerate(names)}
