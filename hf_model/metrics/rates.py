"""Confusion matrices and the rates that follow from them; nothing here knows of models or pictures."""

from __future__ import annotations

import numpy as np

CELLS = ("tp", "fn", "tn", "fp")


def cells(probability: np.ndarray, labels: np.ndarray, threshold: float) -> np.ndarray:
    """The cell of the confusion matrix that each picture is in, float64 (N, 4) of 0 and 1 in the order of ``CELLS``.

    ``probability`` and ``labels`` are (N,); PNEUMONIA at and above the threshold.
    """
    called, sick = np.asarray(probability) >= threshold, np.asarray(labels) == 1
    return np.stack([called & sick, ~called & sick, ~called & ~sick, called & ~sick], axis=1).astype(float)


def confusion(probability: np.ndarray, labels: np.ndarray, threshold: float) -> dict[str, int]:
    """Counts {"tn", "fp", "fn", "tp"}, arguments as of :func:`cells`."""
    tp, fn, tn, fp = map(int, cells(probability, labels, threshold).sum(axis=0))
    return {"tn": tn, "fp": fp, "fn": fn, "tp": tp}


def rates(tp: np.ndarray, fn: np.ndarray, tn: np.ndarray, fp: np.ndarray) -> dict[str, np.ndarray]:
    """All rates of a confusion matrix, elementwise on counts or weights; NaN where a denominator is zero."""
    tp, fn, tn, fp = (np.asarray(count, dtype=float) for count in (tp, fn, tn, fp))
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
