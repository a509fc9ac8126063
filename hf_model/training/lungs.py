"""What the outlines of the lungs give to training: where evidence may lie, and how typical a film's style is."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

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
        outlines: rendering -> uint8 (M, H, W), 0 outside the lungs to 255 inside, a row for each of its pictures.
        weights: float (N,), inverse propensity of each picture's style within its class, mean 1 in each class.
        record: for metrics.json.
    """

    outlines: dict[str, np.ndarray]
    weights: np.ndarray
    record: dict[str, Any]


def guide(data: DevelopmentData, lungs: str | None, outlines: str | None) -> LungGuidance | None:
    """Outline the lungs of every development picture and weigh the pictures against their style.

    Args:
        lungs: folder of the segmentation network; None trains without guidance.
        outlines: data set of outlines by people, which replace the network's where they are; or None.
    """
    if lungs is None:
        return None
    pictures, segmenter = data.main.pixels, LungSegmenter.from_folder(lungs)
    drawn = {} if outlines is None else read_outlines(outlines)
    inside, features = np.zeros(pictures.shape, dtype=np.uint8), []
    found = segmenter.outline(pictures)
    for row, one in enumerate(tqdm(found, desc="lungs", total=len(pictures), leave=False)):
        mask = one.at(*pictures.shape[1:])
        by_people = drawn.get(data.main.names[row])
        if by_people is not None:
            size = pictures.shape[2], pictures.shape[1]
            mask = np.asarray(Image.fromarray(by_people).resize(size, Image.Resampling.NEAREST))
        inside[row] = mask * np.uint8(255)
        features.append(style_features(pictures[row], mask))
    labels, train = np.asarray(data.main.labels), data.rows(TRAIN)
    patients = data.main.names if data.patients is None else data.patients
    propensity = propensities(np.stack(features), labels, patients, fit=train)
    weights = balancing_weights(propensity, labels)
    by_rendering = {}
    for name, (pixels, index) in data.renderings.items():
        there = np.flatnonzero(index >= 0)
        moved = np.zeros((len(pixels.pixels), *inside.shape[1:]), dtype=np.uint8)
        moved[index[there]] = inside[there]
        by_rendering[name] = moved
    record = {
        "by_people": sum(name in drawn for name in data.main.names),
        "by_network": sum(name not in drawn for name in data.main.names),
        "style_auc": {split: _auc(propensity, labels, data.rows(split)) for split in (TRAIN, VALIDATION)},
        "largest_weight": float(weights[train].max()),
    }
    logger.info("Style outside the lungs alone: AUC %.3f on development-validation", record["style_auc"][VALIDATION])
    return LungGuidance(by_rendering, weights, record)


def _auc(propensity: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> float | None:

    both = 0 < labels[rows].sum() < len(rows)
    return float(auc_components(propensity[rows], labels[rows])[0]) if both else None
