"""Style and framing: what a film shows outside the lungs, how far that gives the class away, and weights against it.

Sick children are filmed on other machines, in other positions and with other processing than healthy ones. Where data
were collected class by class, a classifier that sees only what lies outside the lungs separates them (AUC 0.98 on the
published chest X-rays), and a network learns that first. Drawing, within each class, the films whose style is unusual
for it more often makes style independent of the class (inverse propensity weights: Rosenbaum and Rubin, Biometrika
1983); the same weights turn an AUC on held-out patients into one that style does not help.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

from hf_model.config import NORMAL, PNEUMONIA

SCALES = (0.7, 1.5, 3.0, 6.0)
"""Standard deviations of the Gaussians, in pixels of a 224 px side, between which detail is measured."""
QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
LIMIT = 15.0
"""Most that a film is drawn more often than the most typical of its class. 30 was not better."""
FOLDS = 5
SIDE = 224
BLACK, DARK = 25, 15
"""Greys below which a pixel is collimated away, and counts as black border."""
SMALLEST = 500
"""Fewest pixels that detail is measured on."""


def style_features(pixels: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """Numbers that say how a film was taken and processed, and nothing of the lungs but where they are.

    Detail at four scales and deviation of the greys outside the lungs, quantiles of these greys, borders, corners, the
    place where side markers lie, and the box of the lungs in the frame.

    Args:
        pixels: uint8 (H, W). lungs: bool (H, W); empty where none were found.

    Returns:
        float32 (K,).
    """
    if pixels.shape != lungs.shape or pixels.ndim != 2:
        raise ValueError(f"the picture is {pixels.shape} and the lungs are {lungs.shape}; give (H, W) for both")
    picture, outline = Image.fromarray(pixels), Image.fromarray(lungs.astype(np.uint8) * 255)
    if picture.size != (SIDE, SIDE):
        picture, outline = (image.resize((SIDE, SIDE), Image.Resampling.BILINEAR) for image in (picture, outline))
    grey, inside = np.asarray(picture, dtype=np.float32), np.asarray(outline) >= 128
    outside = np.asarray(outline.filter(ImageFilter.MaxFilter(5))) < 128
    outside = outside if outside.any() else np.ones_like(outside)
    body = outside & (grey > BLACK)
    body = body if body.sum() >= SMALLEST else outside
    deviation = float(grey[body].std()) + 1
    detail, finer = [], grey
    for sigma in SCALES:
        coarser = np.asarray(picture.filter(ImageFilter.GaussianBlur(sigma)), dtype=np.float32)
        detail.append(np.log(float(np.abs(finer - coarser)[body].mean()) / deviation + 1e-3))
        finer = coarser
    border, corner = SIDE // 14, SIDE // 8
    edges = [grey[:, :border], grey[:, -border:], grey[:border], grey[-border:]]
    edges += [grey[rows, columns] for rows in _ends(corner) for columns in _ends(corner)]
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    box = [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1] if len(rows) else [0, 0, SIDE, SIDE]
    values = [
        *detail,
        np.log(deviation),
        *np.quantile(grey[outside], QUANTILES),
        np.mean(grey[outside] < DARK),
        *(edge.mean() for edge in edges),
        grey[SIDE // 4 : SIDE // 2, :border].max(),
        grey[: SIDE // 4, : SIDE // 6].max(),
        *(side / SIDE for side in box),
    ]
    return np.array(values, dtype=np.float32)


def _ends(length: int) -> tuple[slice, slice]:
    return slice(None, length), slice(-length, None)


def propensities(
    features: np.ndarray, labels: np.ndarray, groups: Sequence[object], fit: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    """P(pneumonia | style) of every film, classes equally frequent, by a model that has not seen its patient.

    Args:
        features: (N, K), from ``style_features``. labels: (N,) of 0 and 1. groups: (N,) patients.
        fit: rows that may be learned from (development-train), crossed by patient in five folds; the others are judged
            by a model of all of these. None for all rows.

    Returns:
        float64 (N,) in 0 to 1.

    Raises:
        ValueError: fewer than five patients to learn from, or one class only.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import GroupKFold

    labels, groups = np.asarray(labels), np.asarray(groups, dtype=str)
    fit = np.arange(len(labels)) if fit is None else np.asarray(fit)
    if len(np.unique(labels[fit])) < 2 or len(np.unique(groups[fit])) < FOLDS:
        raise ValueError(f"Style needs {FOLDS} patients at least, and both classes, to be learned from.")

    def learned(rows: np.ndarray) -> HistGradientBoostingClassifier:
        model = HistGradientBoostingClassifier(
            max_iter=120, learning_rate=0.06, max_leaf_nodes=12, l2_regularization=5.0, class_weight="balanced",
            early_stopping=False, random_state=seed,
        )  # fmt: skip
        return model.fit(features[rows], labels[rows])

    out = np.empty(len(labels))
    folds = GroupKFold(FOLDS, shuffle=True, random_state=seed)
    for seen, held in folds.split(fit, groups=groups[fit]):
        out[fit[held]] = learned(fit[seen]).predict_proba(features[fit[held]])[:, PNEUMONIA]
    others = np.setdiff1d(np.arange(len(labels)), fit)
    if len(others):
        out[others] = learned(fit).predict_proba(features[others])[:, PNEUMONIA]
    return out


def balancing_weights(propensity: np.ndarray, labels: np.ndarray, limit: float = LIMIT) -> np.ndarray:
    """Inverse propensity weights (N,), clipped, with mean 1 in each class, so that classes keep their shares.

    Args:
        propensity: P(pneumonia | style), (N,). labels: (N,) of 0 and 1.
        limit: a film counts at most about this many times the most typical one of its class; 1 for equal weights.
    """
    if limit < 1:
        raise ValueError(f"The limit of style weights is {limit}; give 1 or more.")
    labels = np.asarray(labels)
    own = np.where(labels == PNEUMONIA, propensity, 1 - np.asarray(propensity))
    weights = 1 / np.clip(own, 1 / limit, 1.0)
    for label in (NORMAL, PNEUMONIA):
        of_class = labels == label
        if of_class.any():
            weights[of_class] /= weights[of_class].mean()
    return weights
