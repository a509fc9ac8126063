"""How well the answer can be guessed without looking at a lung."""

from __future__ import annotations

from typing import Any

import numpy as np

from hf_model.audit.measures import SMALL, Measures
from hf_model.audit.pictures import TEST, Header, Pictures
from hf_model.audit.probing import auc_entry, linear, probe, trees

LUNGS = (0.12, 0.88, 0.08, 0.92)
"""Top, bottom, left, right of the rectangle that holds both lungs, as fractions of the sides. Read off the mean
pictures; what is left is the frame with shoulders, arms, neck, belly, markers and the edge of the film."""


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

    ``whole`` False leaves out the two that look at pixels, for further renderings.
    """
    at = pictures.development
    labels, groups = pictures.labels[pictures.kept[at]], pictures.groups[at]
    headers = [pictures.headers[i] for i in pictures.kept[at]]
    sharp = measures.sharpness[at]
    # oriented by the whole: one number has one direction, and the direction is part of the finding
    direction = 1.0 if np.median(sharp[labels == 1]) >= np.median(sharp[labels == 0]) else -1.0
    table: list[tuple[str, str, str, dict[str, Any]]] = [
        ("metadata", "Metadata alone", "size, aspect, bytes, format and mode; no pixel; boosted trees",
         probe(trees(seed), metadata_features(headers), labels, groups, seed)),
        ("sharpness", "Sharpness alone", "one number, the mean absolute horizontal gradient, no fitting; "
         + ("pneumonia is sharper" if direction > 0 else "normal is sharper"),
         auc_entry(direction * sharp, labels, groups, seed)),
        ("statistics", "Simple statistics", "17 numbers: brightness, contrast, percentiles, border, gradients; "
         "boosted trees", probe(trees(seed), measures.statistics[at], labels, groups, seed)),
    ]  # fmt: skip
    if whole:
        table += [
            ("outside", "Lungs masked", "the pixels outside a rectangle that holds both lungs, 32 px; linear",
             probe(linear(seed), outside_lungs(measures.small[at]), labels, groups, seed)),
            ("thumbnail", "Thumbnail of 16 px", "256 pixels: shape and shading, no detail; linear",
             probe(linear(seed), measures.tiny[at].reshape(len(at), -1).astype(np.float64), labels, groups, seed)),
        ]  # fmt: skip
    return [{"key": key, "title": title, "how": how, "auc": auc} for key, title, how, auc in table]


def sharpness_on_test(pictures: Pictures, measures: Measures, seed: int = 0) -> dict[str, Any] | None:
    """The one figure taken on test: AUC of the gradient in the direction that development gives."""
    held = np.flatnonzero(pictures.split[pictures.kept] == TEST)
    labels, groups = pictures.labels[pictures.kept], pictures.groups
    if not len(held) or len(np.unique(labels[held])) < 2:
        return None
    sharp, at = measures.sharpness, pictures.development
    normal, sick = (np.median(sharp[at][labels[at] == label]) for label in (0, 1))
    return auc_entry(sharp[held] if sick >= normal else -sharp[held], labels[held], groups[held], seed)
