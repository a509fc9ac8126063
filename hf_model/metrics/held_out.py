"""How often the model is right at any threshold: counted on the held-out pictures that the checkpoint carries.

The stored scores of the test split (``held_out_file``) hold the two logits and the label of every held-out picture, so
a threshold that nobody evaluated beforehand can be counted at once. No SciPy, because serving imports this module.
"""

from __future__ import annotations

import csv
import math
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_model.config import PNEUMONIA
from hf_model.metrics.decision import Decision
from hf_model.metrics.intervals import wilson


@dataclass(frozen=True)
class Rate:
    """``hits`` of ``total`` (at least one), with Wilson's 95 % score interval as in ``metrics.json`` (JASA 1927)."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        """Share of hits, 0 to 1."""
        return self.hits / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end, 0 to 1; exactly 0 and 1 where nothing and where everything is a hit."""
        return wilson(self.hits, self.total)


@dataclass(frozen=True)
class Performance:
    """Sensitivity and specificity at one threshold (0 to 1), on the held-out pictures."""

    threshold: float
    sensitivity: Rate
    specificity: Rate

    @property
    def pictures(self) -> int:
        """How many held-out pictures were counted."""
        return self.sensitivity.total + self.specificity.total

    @property
    def counts(self) -> dict[str, int]:
        """``tp``, ``fn``, ``tn``, ``fp``."""
        found, cleared = self.sensitivity, self.specificity
        return {
            "tp": found.hits,
            "fn": found.total - found.hits,
            "tn": cleared.hits,
            "fp": cleared.total - cleared.hits,
        }


@dataclass(frozen=True)
class HeldOut:
    """Calibrated probabilities of the held-out pictures, ascending, by class."""

    sick: tuple[float, ...]
    healthy: tuple[float, ...]

    @classmethod
    def load(cls, folder: str | Path, decision: Decision, metrics: dict[str, Any] | None = None) -> HeldOut | None:
        """Read the stored test scores of a checkpoint folder; None if it has none, or pictures of one class only.

        ``decision`` turns the logits into the probabilities that the page shows. Raises ValueError naming file and
        line when a row cannot be read.
        """
        path = held_out_file(Path(folder), metrics)
        if not path.is_file():
            return None
        groups: tuple[list[float], list[float]] = ([], [])
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                try:
                    probability = decision.probability(float(row["logit_normal"]), float(row["logit_pneumonia"]))
                    groups[int(row["label"]) == PNEUMONIA].append(probability)
                except (KeyError, TypeError, ValueError) as error:
                    raise ValueError(
                        f"{path}, line {number}: not a row of scores ({error}); write it again."
                    ) from error
        healthy, sick = (tuple(sorted(group)) for group in groups)
        return cls(sick, healthy) if sick and healthy else None

    def at(self, threshold: float) -> Performance:
        """Count at ``threshold`` (0 to 1): a picture is called pneumonia at and above it."""
        found = len(self.sick) - bisect_left(self.sick, threshold)
        cleared = bisect_left(self.healthy, threshold)
        return Performance(threshold, Rate(found, len(self.sick)), Rate(cleared, len(self.healthy)))


def held_out_file(folder: Path, metrics: dict[str, Any] | None) -> Path:
    """``scores/test-<rendering>.csv`` of the first rendering that metrics.json reports, else ``scores/test.csv``."""
    rendering = next(iter((metrics or {}).get("test") or {}), None)
    named = folder / "scores" / f"test-{rendering}.csv"
    return named if named.is_file() else folder / "scores" / "test.csv"


def recorded(metrics: dict[str, Any] | None, threshold: float) -> Performance | None:
    """The first held-out record's operating point at exactly this threshold, from metrics.json; None if it has none."""
    for record in (metrics or {}).get("test", {}).values():
        for point in (record.get("points") or {}).values():
            if point and math.isclose(point["threshold"], threshold, abs_tol=1e-9):
                counts = point["confusion"]
                sick, healthy = counts["tp"] + counts["fn"], counts["tn"] + counts["fp"]
                if sick and healthy:
                    return Performance(threshold, Rate(counts["tp"], sick), Rate(counts["tn"], healthy))
        return None
    return None
