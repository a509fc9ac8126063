"""Shortcuts: how well a classifier separates the classes without a lung, and the test split from the rest.

Fitted classifiers are cross-validated by patient.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hf_model.audit.measures import SMALL, STATISTICS, Measures
from hf_model.audit.pictures import TEST, FileInfo, Pictures
from hf_model.config import LABELS
from hf_model.metrics.intervals import cluster_weights, delong, percentile, weighted_auc, wilson

FOLDS = 5
REPLICATES = 1000
MIN_PICTURES = 60
"""Development pictures below which nothing is fitted: boosted trees cannot split so few."""
MIN_PICTURES_PER_SIDE = 20
"""Pictures of a class in test and in development below which no classifier is tried on the shift."""
TOO_FEW = (
    f"Shortcuts were not probed, or not all: that needs {MIN_PICTURES} readable development pictures and two patients"
    " of each class."
)
LUNGS = (0.12, 0.88, 0.08, 0.92)
"""Top, bottom, left, right of the rectangle that holds both lungs, as fractions of the sides. Read off the mean
pictures; the rest is the frame with shoulders, arms, neck, abdomen, markers and the edge of the film."""


class TooFewPatientsError(ValueError):
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
        TooFewPatientsError: fewer than two groups of a class, or all of a class in one fold.
    """
    folds = folds_for(labels, groups)
    if folds < 2:
        raise TooFewPatientsError("Cross-validation needs at least two patients of each class.")
    out = np.full(len(labels), np.nan)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for train, held in splitter.split(features, labels, groups):
        if len(np.unique(labels[train])) < 2:
            raise TooFewPatientsError("Cross-validation needs at least two patients of each class.")
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


def lungs_box(height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of ``LUNGS`` in a picture of that size."""
    top, bottom, left, right = LUNGS
    return slice(round(top * height), round(bottom * height)), slice(round(left * width), round(right * width))


def metadata_features(files: list[FileInfo]) -> np.ndarray:
    """float64 (M, 7): width, height, aspect, pixels, bytes, bytes per pixel, and a number for format and mode."""
    kinds = sorted({f"{file.format} {file.mode}" for file in files})
    rows = []
    for file in files:
        width, height = file.width or 0, file.height or 0
        area = max(1, width * height)
        kind = kinds.index(f"{file.format} {file.mode}")
        rows.append((width, height, width / max(1, height), area, file.size, file.size / area, kind))
    return np.array(rows, dtype=np.float64)


def outside_lungs(small: np.ndarray) -> np.ndarray:
    """uint8 (M, 32, 32) -> float64 (M, F): the pixels outside ``LUNGS``."""
    outside = np.ones((SMALL, SMALL), dtype=bool)
    outside[lungs_box(SMALL, SMALL)] = False
    return small[:, outside].astype(np.float64)


def run_probes(pictures: Pictures, measures: Measures, seed: int = 0, *, whole: bool = True) -> list[dict[str, Any]]:
    """Every probe on the development pictures, each {"key", "title", "how", "auc"}; nothing is trained on test.

    ``whole`` False leaves out the two that look at pixels, for further renderings. Fitted probes are left out below
    ``MIN_PICTURES`` pictures or two patients of a class (``TOO_FEW`` says so), all of them where a class is missing.
    """
    at = pictures.development
    labels, groups = pictures.decoded_labels[at], pictures.groups[at]
    if len(np.unique(labels)) < 2:
        return []
    sharper = _sharper_class(measures.sharpness[at], labels)
    how = f"one number, the mean absolute horizontal gradient; {('normal', 'pneumonia')[sharper]} is sharper"
    score = measures.sharpness[at] if sharper else -measures.sharpness[at]
    found = [_entry("sharpness", "Sharpness alone", how, auc_entry(score, labels, groups, seed))]
    if len(at) < MIN_PICTURES:
        return found
    try:
        fitted = _fitted(pictures, measures, labels, groups, seed, whole=whole)
    except TooFewPatientsError:
        return found
    return [fitted[0], *found, *fitted[1:]]


def _fitted(
    pictures: Pictures, measures: Measures, labels: np.ndarray, groups: np.ndarray, seed: int, *, whole: bool
) -> list[dict[str, Any]]:
    """The probes that are cross-validated, metadata first."""
    at = pictures.development

    def fit(model: ClassifierMixin, features: np.ndarray) -> dict[str, Any]:
        return probe(model, features, labels, groups, seed)

    files = [pictures.files[i] for i in pictures.kept[at]]
    how = "size, aspect, bytes, format and mode; no pixel; boosted trees"
    found = [_entry("metadata", "Metadata alone", how, fit(trees(seed), metadata_features(files)))]
    how = "17 numbers: brightness, contrast, percentiles, border, gradients; boosted trees"
    found.append(_entry("statistics", "Simple statistics", how, fit(trees(seed), measures.statistics[at])))
    if whole:
        how = "the pixels outside a rectangle that holds both lungs, 32 px; linear"
        found.append(_entry("outside", "Lungs masked", how, fit(linear(seed), outside_lungs(measures.small[at]))))
        tiny = measures.tiny[at].reshape(len(at), -1).astype(np.float64)
        how = "256 pixels: shape and shading, no detail; linear"
        found.append(_entry("thumbnail", "Thumbnail of 16 px", how, fit(linear(seed), tiny)))
    return found


def _entry(key: str, title: str, how: str, auc: dict[str, Any]) -> dict[str, Any]:
    return {"key": key, "title": title, "how": how, "auc": auc}


def _sharper_class(sharpness: np.ndarray, labels: np.ndarray) -> int:
    """The class with the higher median, which gives the one number its direction."""
    normal, pneumonia = (np.median(sharpness[labels == label]) for label in (0, 1))
    return int(pneumonia >= normal)


def sharpness_on_test(pictures: Pictures, measures: Measures, seed: int = 0) -> dict[str, Any] | None:
    """The one figure taken on test: AUC of the gradient in the direction that development gives."""
    held, at = np.flatnonzero(pictures.decoded_split == TEST), pictures.development
    labels, sharpness = pictures.decoded_labels, measures.sharpness
    if len(np.unique(labels[held])) < 2:
        return None
    score = sharpness[held] if _sharper_class(sharpness[at], labels[at]) else -sharpness[held]
    return auc_entry(score, labels[held], pictures.groups[held], seed)


def find_shift(pictures: Pictures, measures: Measures, seed: int = 0) -> dict[str, Any]:
    """The JSON part on shift; without a test split only the prevalence."""
    has_test = TEST in pictures.splits
    return {
        "prevalence": prevalence(pictures),
        "statistics": compare_statistics(pictures, measures) if has_test else [],
        "classifiers": separate_test(pictures, measures, seed) if has_test else [],
    }


def prevalence(pictures: Pictures) -> dict[str, dict[str, Any]]:
    """Split -> pictures, pneumonia, share with Wilson's interval; every row counts, readable or not."""
    out = {}
    for split in pictures.splits:
        labels = pictures.labels[pictures.split == split]
        out[split] = {
            "n": len(labels),
            "pneumonia": int(labels.sum()),
            "value": float(labels.mean()),
            "interval": list(wilson(int(labels.sum()), len(labels))),
        }
    return out


def compare_statistics(pictures: Pictures, measures: Measures) -> list[dict[str, Any]]:
    """Per class and statistic: development's and test's mean, and their difference in pooled standard deviations."""
    test, labels = pictures.decoded_split == TEST, pictures.decoded_labels
    out = []
    for label, name in enumerate(LABELS):
        sides = [measures.statistics[(test == side) & (labels == label)] for side in (False, True)]
        if min(map(len, sides)) < 2:
            continue
        spread = np.sqrt((sides[0].var(axis=0, ddof=1) + sides[1].var(axis=0, ddof=1)) / 2)
        for column, statistic in enumerate(STATISTICS):
            first, second = (float(side[:, column].mean()) for side in sides)
            effect = (second - first) / spread[column] if spread[column] > 0 else 0.0
            out.append(
                {
                    "class": name,
                    "statistic": statistic,
                    "development": first,
                    "test": second,
                    "difference": float(effect),
                }
            )
    return out


def separate_test(pictures: Pictures, measures: Measures, seed: int = 0) -> list[dict[str, Any]]:
    """AUC of a classifier that separates test from development within a class; 0.5 means that no difference was seen.

    The classes are taken one at a time: otherwise the different prevalence of the test split would count as a shift.
    """
    test, labels = pictures.decoded_split == TEST, pictures.decoded_labels
    views = (
        ("simple statistics", trees(seed), measures.statistics),
        ("16 px thumbnail", linear(seed), measures.tiny.reshape(len(labels), -1).astype(np.float64)),
    )
    out = []
    for label, name in enumerate(LABELS):
        chosen = np.flatnonzero(labels == label)
        side, groups = test[chosen].astype(int), pictures.groups[chosen]
        if min(np.bincount(side, minlength=2)) < MIN_PICTURES_PER_SIDE or folds_for(side, groups) < 2:
            continue
        for view, model, features in views:
            with suppress(TooFewPatientsError):  # one side lies in one fold altogether
                out.append({"class": name, "view": view, "auc": probe(model, features[chosen], side, groups, seed)})
    return out
