"""What the outlines of the lungs give to training: where evidence may lie, and how typical a film's style is."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from hf_model.data.loading import DatasetError
from hf_model.data.prepare import TRAIN, VALIDATION, DevelopmentData
from hf_model.data.style import balancing_weights, propensities, style_features
from hf_model.inference.lungs import LungSegmenter
from hf_model.metrics.intervals import auc_components
from hf_model.segmentation.examples import read_outlines

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LungGuidance:
    """Outlines and style weights of the development pictures.

    Attributes:
        outlines: rendering -> uint8 (M, H, W), 0 outside the lungs to 255 inside, a row for each of its pictures; all
            255 where no lungs were found.
        weights: float (N,), inverse propensity of each picture's style within its class, mean 1 in each class.
        record: for metrics.json: pictures outlined by people and by the network, AUC of style alone on each split, and
            the largest weight in development-train.
    """

    outlines: dict[str, np.ndarray]
    weights: np.ndarray
    record: dict[str, Any]


def guide(data: DevelopmentData, lungs: str | None, outlines: str | None) -> LungGuidance | None:
    """Outline the lungs of every development picture and weigh the pictures against their style.

    Pictures in none of the splits (those of a test split made from the data set) are not looked at: their outline is
    empty and their weight 0. With several processes each one outlines all pictures, in the same way.

    Args:
        lungs: folder of the segmentation network; None trains without guidance.
        outlines: data set of outlines by people, which replace the network's where they are; or None.

    Raises:
        DatasetError: see ``read_outlines``; or no outline is of a picture of the data set.
        ValueError: too few patients, or one class, to learn from.
    """
    if lungs is None:
        return None
    rows = np.sort(np.concatenate([split.indices for split in data.splits.values()]))
    pictures, names, labels = data.main.pixels, data.main.names, np.asarray(data.main.labels)
    drawn = {} if outlines is None else read_outlines(outlines)
    by_people = sum(names[row] in drawn for row in rows)
    if drawn and not by_people:
        raise DatasetError(f"--outlines {outlines}: no name there is the file name of a picture of {data.main_name}.")
    inside, features = np.zeros(pictures.shape, dtype=np.uint8), []
    found = LungSegmenter.from_folder(lungs).outline(pictures[row] for row in rows)
    for row, one in zip(tqdm(rows, desc="lungs", leave=False), found, strict=True):
        mask = _stretched(drawn[names[row]], inside[row].shape) if names[row] in drawn else one.at(*inside[row].shape)
        inside[row] = mask * np.uint8(255) if mask.any() else 255  # no lungs found: nothing to penalise
        features.append(style_features(pictures[row], mask))
    patients = names if data.patients is None else data.patients
    propensity, weights = np.full(len(labels), np.nan), np.zeros(len(labels))
    propensity[rows] = propensities(
        np.stack(features), labels[rows], [patients[row] for row in rows], fit=np.searchsorted(rows, data.rows(TRAIN))
    )
    weights[rows] = balancing_weights(propensity[rows], labels[rows])
    record = {
        "by_people": by_people,
        "by_network": len(rows) - by_people,
        "style_auc": {split: _auc(propensity, labels, data.rows(split)) for split in (TRAIN, VALIDATION)},
        "largest_weight": float(weights[data.rows(TRAIN)].max()),
    }
    if (auc := record["style_auc"][VALIDATION]) is not None:
        logger.info("Style outside the lungs alone: AUC %.3f on development-validation", auc)
    return LungGuidance(_by_rendering(data, inside), weights, record)


def _stretched(outline: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """An outline bool (h, w) at another size (height, width)."""
    return np.asarray(Image.fromarray(outline).resize(shape[::-1], Image.Resampling.NEAREST))


def _by_rendering(data: DevelopmentData, inside: np.ndarray) -> dict[str, np.ndarray]:
    """Outlines (N, H, W) in the order of each rendering's own pictures."""
    moved = {}
    for name, (pixels, index) in data.renderings.items():
        there = np.flatnonzero(index >= 0)
        moved[name] = np.zeros((len(pixels), *inside.shape[1:]), dtype=np.uint8)
        moved[name][index[there]] = inside[there]
    return moved


def _auc(propensity: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> float | None:
    """None where a class is missing."""
    both = 0 < labels[rows].sum() < len(rows)
    return float(auc_components(propensity[rows], labels[rows])[0]) if both else None
