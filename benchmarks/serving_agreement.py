"""What each engine answers beside torch in float32, on pictures of the published training split."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import engines, markdown, radiographs
from benchmarks.frame import Options

NAME = "serving_agreement"
TITLE = "Agreement of the engines with torch in float32"
PICTURES = 600
BAND = 0.01
"""Half the width of the band around the threshold in which a decision may turn."""


def run(options: Options) -> dict[str, Any]:
    """Largest and mean differences on calibrated probabilities, and decisions that turn outside the band."""
    checkpoint = engines.shipped()
    pictures = radiographs.decoded(radiographs.training_files(options, 12 if options.quick else PICTURES))
    runs = engines.candidates(checkpoint, options.scratch, pictures[:64])
    expected = _logits(engines.torch_engine(checkpoint), pictures)
    rule = checkpoint.decision
    return {
        "pictures": len(pictures),
        "threshold": rule.threshold,
        "engines": {name: compare(expected, _logits(call, pictures), rule) for name, call in runs.items()},
    }


def _logits(call: engines.Run, pictures: np.ndarray) -> np.ndarray:
    return np.concatenate([call(picture[None])[0] for picture in pictures])


def compare(expected: np.ndarray, found: np.ndarray, rule: Any) -> dict[str, float]:
    """Of logits float (N, 2) under a checkpoint's decision rule."""
    wanted, got = (np.array([rule.probability(*map(float, row)) for row in rows]) for rows in (expected, found))
    turned = (wanted >= rule.threshold) != (got >= rule.threshold)
    outside = np.abs(wanted - rule.threshold) > BAND
    moved = np.abs(wanted - got)
    return {
        "logit": float(np.abs(expected - found).max()),
        "probability": float(moved.max()),
        "mean_probability": float(moved.mean()),
        "turned": int(turned.sum()),
        "turned_outside": int((turned & outside).sum()),
    }


def table(section: dict[str, Any]) -> str:
    """A row for each engine."""
    rows = [
        [
            name,
            f"{found['logit']:.1g}",
            f"{found['probability']:.1g}",
            f"{found['mean_probability']:.1g}",
            found["turned"],
            found["turned_outside"],
        ]
        for name, found in section["engines"].items()
    ]
    head = ["engine", "logit, largest", "probability, largest", "probability, mean", "decisions turned", "outside band"]
    note = (
        f"{section['pictures']} pictures of the published training split (development and calibration; the test split "
        f"is not touched), calibrated probabilities, threshold {section['threshold']:.3f}, band of {BAND} around it."
    )
    return markdown.grid(head, rows) + "\n\n" + note
