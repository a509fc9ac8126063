"""Cross-validation by patient of small classifiers, with AUC and its intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hf_model.metrics.intervals import cluster_weights, delong, percentile, weighted_auc

FOLDS = 5
REPLICATES = 1000


class TooFewPatients(ValueError):  # noqa: N818 - says what is missing; the audit goes on without what needs them
    """A class has fewer than two patients, so that nothing can be cross-validated."""


def trees(seed: int) -> ClassifierMixin:
    """For a few numbers of different kinds."""
    return HistGradientBoostingClassifier(
        max_iter=80, max_leaf_nodes=15, learning_rate=0.1, early_stopping=False, random_state=seed
    )


def linear(seed: int, strength: float = 0.005) -> ClassifierMixin:
    """For pixels and features: standardised, logistic, with a strong ridge (``strength`` is scikit-learn's C)."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=500, random_state=seed))


def folds_for(labels: np.ndarray, groups: np.ndarray, folds: int = FOLDS) -> int:
    """As many folds as both classes have groups for; below 2 nothing can be cross-validated."""
    return min(folds, *(len(np.unique(groups[labels == label])) for label in (0, 1)))


def out_of_fold(
    model: ClassifierMixin, features: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int = 0
) -> np.ndarray:
    """Probability of class 1 of every picture from a model that saw none of its group, float64 (M,).

    Raises:
        TooFewPatients: fewer than two groups of a class, or all of a class in one fold.
    """
    folds = folds_for(labels, groups)
    if folds < 2:
        raise TooFewPatients("Cross-validation needs at least two patients of each class.")
    out = np.full(len(labels), np.nan)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for train, held in splitter.split(features, labels, groups):
        if len(np.unique(labels[train])) < 2:
            raise TooFewPatients("Cross-validation needs at least two patients of each class.")
        out[held] = model.fit(features[train], labels[train]).predict_proba(features[held])[:, 1]
    return out


def auc_entry(score: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """AUC of a score with its patient-cluster bootstrap interval, and DeLong's beside it.

    One picture of a class has no variance: "delong" is None then, and "interval" too where the bootstrap has none.
    Raises ValueError where a class is missing.
    """
    value, interval, _ = delong(score, labels)
    drawn = [weighted_auc(score, labels, w) for w in cluster_weights(groups, replicates=REPLICATES, seed=seed)]
    known = list(interval) if np.isfinite(interval).all() else None
    cluster = percentile(np.concatenate(drawn))
    return {
        "value": value,
        "interval": known if cluster is None else list(cluster),
        "delong": known,
        "n": len(labels),
        "groups": len(np.unique(groups)),
    }


def probe(
    model: ClassifierMixin, features: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int = 0
) -> dict[str, Any]:
    """``auc_entry`` of out-of-fold scores."""
    return auc_entry(out_of_fold(model, features, labels, groups, seed), labels, groups, seed)
