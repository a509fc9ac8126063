"""How well the answer can be guessed without looking at a lung."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin

from hf_model.audit.measures import SMALL, Measures
from hf_model.audit.pictures import TEST, Header, Pictures
from hf_model.audit.probing import TooFewPatients, auc_entry, linear, probe, trees

LUNGS = (0.12, 0.88, 0.08, 0.92)
"""Top, bottom, left, right of the rectangle that holds both lungs, as fractions of the sides. Read off the mean
pictures; what is left is the frame with shoulders, arms, neck, belly, markers and the edge of the film."""
FEWEST_ROWS = 60
"""Development pictures below which nothing is fitted: boosted trees cannot split so few."""
TOO_FEW = (
    f"Shortcuts were not probed, or not all: that needs {FEWEST_ROWS} readable development pictures and two patients"
    " of each class."
)


def lungs_box(height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of ``LUNGS`` in a picture of that size."""
    top, bottom, left, right = LUNGS
    return slice(round(top * height), round(bottom * height)), slice(round(left * width), round(right * width))


def metadata_features(headers: list[Header]) -> np.ndarray:
    """float64 (M, 7): width, height, aspect, pixels, bytes, bytes per pixel, and a number for format and mode."""
    kinds = sorted({f"{h.format} {h.mode}" for h in headers})
    rows = []
    for h in headers:
        width, height = h.width or 0, h.height or 0
        area = max(1, width * height)
        kind = kinds.index(f"{h.format} {h.mode}")
        rows.append((width, height, width / max(1, height), area, h.size, h.size / area, kind))
    return np.array(rows, dtype=np.float64)


def outside_lungs(small: np.ndarray) -> np.ndarray:
    """uint8 (M, 32, 32) -> float64 (M, F): the pixels outside ``LUNGS``."""
    outside = np.ones((SMALL, SMALL), dtype=bool)
    outside[lungs_box(SMALL, SMALL)] = False
    return small[:, outside].astype(np.float64)


def run_probes(pictures: Pictures, measures: Measures, seed: int = 0, *, whole: bool = True) -> list[dict[str, Any]]:
    """Every probe on the development pictures, each {"key", "title", "how", "auc"}; nothing is trained on test.

    ``whole`` False leaves out the two that look at pixels, for further renderings. Those that are fitted are left
    out below ``FEWEST_ROWS`` pictures and below two patients of a class (``TOO_FEW`` says so), and all where a class is
    missing.
    """
    at = pictures.development
    labels, groups = pictures.labels[pictures.kept[at]], pictures.groups[at]
    if len(np.unique(labels)) < 2:
        return []
    sharp = measures.sharpness[at]
    # oriented by the whole: one number has one direction, and the direction is part of the finding
    sicker = np.median(sharp[labels == 1]) >= np.median(sharp[labels == 0])
    how = f"one number, the mean absolute horizontal gradient; {'pneumonia' if sicker else 'normal'} is sharper"
    found = [_entry("sharpness", "Sharpness alone", how, auc_entry(sharp if sicker else -sharp, labels, groups, seed))]
    if len(at) < FEWEST_ROWS:
        return found
    try:
        fitted = _fitted(pictures, measures, labels, groups, seed, whole=whole)
    except TooFewPatients:
        return found
    return [fitted[0], *found, *fitted[1:]]


def _fitted(
    pictures: Pictures, measures: Measures, labels: np.ndarray, groups: np.ndarray, seed: int, *, whole: bool
) -> list[dict[str, Any]]:
    """The probes that are cross-validated, metadata first."""
    at = pictures.development

    def fit(model: ClassifierMixin, features: np.ndarray) -> dict[str, Any]:
        return probe(model, features, labels, groups, seed)

    headers = [pictures.headers[i] for i in pictures.kept[at]]
    how = "size, aspect, bytes, format and mode; no pixel; boosted trees"
    found = [_entry("metadata", "Metadata alone", how, fit(trees(seed), metadata_features(headers)))]
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


def sharpness_on_test(pictures: Pictures, measures: Measures, seed: int = 0) -> dict[str, Any] | None:
    """The one figure taken on test: AUC of the gradient in the direction that development gives."""
    held = np.flatnonzero(pictures.split[pictures.kept] == TEST)
    labels, groups = pictures.labels[pictures.kept], pictures.groups
    if not len(held) or len(np.unique(labels[held])) < 2:
        return None
    sharp, at = measures.sharpness, pictures.development
    normal, sick = (np.median(sharp[at][labels[at] == label]) for label in (0, 1))
    return auc_entry(sharp[held] if sick >= normal else -sharp[held], labels[held], groups[held], seed)
