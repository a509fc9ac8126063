"""How many pictures of what size, mode and length there are, per split and class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_model.audit.pictures import Pictures
from hf_model.config import LABELS

_QUANTILES = (0, 5, 50, 95, 100)


def count(pictures: Pictures) -> list[dict[str, Any]]:
    """One entry per split and class: pictures, patients (None if unknown), readable, sizes, modes and bytes."""
    readable = np.zeros(len(pictures), dtype=bool)
    readable[pictures.kept] = True
    out = []
    for split in pictures.splits:
        for label, name in enumerate(LABELS):
            rows = np.flatnonzero((pictures.split == split) & (pictures.labels == label))
            headers = [pictures.headers[i] for i in rows]
            opened = [h for h in headers if h.width and h.height]
            people = None if pictures.patients is None else len({pictures.patients[i] for i in rows} - {None})
            out.append(
                {
                    "split": split,
                    "class": name,
                    "n": len(rows),
                    "patients": people,
                    "readable": int(readable[rows].sum()),
                    "width": quantiles([h.width for h in opened]),
                    "height": quantiles([h.height for h in opened]),
                    "aspect": quantiles([h.width / h.height for h in opened]),
                    "bytes": quantiles([h.size for h in headers]),
                    "modes": dict(Counter(f"{h.format} {h.mode}" for h in opened).most_common()),
                }
            )
    return out


def quantiles(values: Sequence[float]) -> dict[str, float] | None:
    """Least, 5 %, median, 95 % and largest; None of nothing."""
    if not len(values):
        return None
    found = np.percentile(np.asarray(values, dtype=float), _QUANTILES)
    return dict(zip(("least", "low", "median", "high", "largest"), map(float, found), strict=True))


def intensity(pictures: Pictures, histograms: np.ndarray) -> list[dict[str, Any]]:
    """Per split and class, from the histograms int64 (M, 256): the share of each grey value, 256 numbers."""
    split, labels = pictures.split[pictures.kept], pictures.labels[pictures.kept]
    out = []
    for name in pictures.splits:
        for label, kind in enumerate(LABELS):
            chosen = histograms[(split == name) & (labels == label)].sum(axis=0)
            if chosen.sum():
                out.append({"split": name, "class": kind, "share": (chosen / chosen.sum()).round(6).tolist()})
    return out


def mean_pictures(pictures: Pictures) -> dict[tuple[str, str], np.ndarray]:
    """(split, class) -> mean of the decoded pictures, float64 (H, W) in grey values."""
    split, labels = pictures.split[pictures.kept], pictures.labels[pictures.kept]
    out = {}
    for name in pictures.splits:
        for label, kind in enumerate(LABELS):
            at = np.flatnonzero((split == name) & (labels == label))
            if len(at):
                total = np.zeros(pictures.pixels.shape[1:], dtype=np.uint64)
                for i in at:
                    total += pictures.pixels[i]
                out[name, kind] = total / len(at)
    return out
