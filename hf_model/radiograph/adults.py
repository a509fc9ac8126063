"""Tell films of adults from those of the children that a checkpoint was trained on, by its own features.

A linear discriminant (Fisher 1936) between both groups' pooled features, with the covariance shrunk towards a multiple
of the identity (Ledoit and Wolf 2004). The distance from the training features (:mod:`hf_model.radiograph.gate`) asks
what is unlike a chest film and lets adults' chests pass; this asks for the one difference. It is fitted on adults of
one other hospital, so what it flags may be that hospital's films as much as their age. NumPy only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

FILE_NAME = "adults.safetensors"
FORMAT = "adult-discriminant-1"
QUANTILE = 0.995
"""Share of held-out children of each rendering that passes: 0.5 % are flagged."""
SHRINKAGE = 0.1
"""Weight of the identity in the covariance. 0.02 to 0.6 gave the same figures within a patient or two."""


@dataclass(frozen=True, eq=False)
class AdultDiscriminant:
    """direction float32 (D,); threshold: scores above it look like an adult's chest. metadata: how it was fitted."""

    direction: np.ndarray
    threshold: float
    metadata: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        children: Sequence[tuple[np.ndarray, Sequence[str]]],
        adults: Sequence[tuple[np.ndarray, Sequence[str]]],
        *,
        quantile: float = QUANTILE,
        shrinkage: float = SHRINKAGE,
        seed: int = 0,
    ) -> AdultDiscriminant:
        """Fit on half of the patients of either group; the other halves set the threshold and measure it.

        Args:
            children, adults: one pair for each rendering: pooled features float (N, D) and N patient keys. A patient
                is on the same side in every rendering.
            quantile: share of held-out children that passes, in the rendering in which fewest do.

        Returns:
            The discriminant; ``metadata`` counts what was fitted on and, for each rendering, ``(flagged, n)`` of the
            held-out children (who set the threshold) and of the held-out adults (who did not).

        Raises:
            ValueError: no rendering, features of different widths or not finite, or fewer than 4 patients in a group.
        """
        if not 0.5 <= quantile < 1 or not 0 < shrinkage <= 1:
            raise ValueError(f"quantile is {quantile} and shrinkage {shrinkage}; use 0.5 to below 1, and above 0 to 1")
        groups = {"children": _halves(children, "children", seed), "adults": _halves(adults, "adults", seed)}
        widths = {part.shape[1] for halves in groups.values() for half in halves for part in half}
        if len(widths) != 1:
            raise ValueError(f"the features have different widths: {sorted(widths)}; take all from one checkpoint")
        fitted = {name: np.concatenate(halves[0]) for name, halves in groups.items()}
        covariance = sum(np.cov(rows.T) for rows in fitted.values()) / len(fitted)
        level = np.trace(covariance) / len(covariance)
        covariance = (1 - shrinkage) * covariance + shrinkage * level * np.eye(len(covariance))
        difference = fitted["adults"].mean(axis=0) - fitted["children"].mean(axis=0)
        direction = np.linalg.solve(covariance, difference).astype(np.float32)
        found = cls(direction, np.inf)
        away = {name: [found.scores(part) for part in halves[1]] for name, halves in groups.items()}
        # "higher": a child's own score, never a number between two; at least the quantile of each rendering passes
        threshold = max(float(np.quantile(scores, quantile, method="higher")) for scores in away["children"])
        metadata = {name: {"fitted_on": len(rows)} for name, rows in fitted.items()}
        for name, renderings in away.items():
            metadata[name]["held_out"] = [[int(np.sum(scores > threshold)), len(scores)] for scores in renderings]
        metadata |= {"quantile": quantile, "shrinkage": shrinkage, "seed": seed}
        return cls(direction, threshold, metadata)

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Features float (N, D) -> float64 (N,), larger is more like an adult's chest; infinite where not finite."""
        features = np.asarray(features)
        if features.ndim != 2 or features.shape[1] != self.direction.size:
            raise ValueError(f"the features are {features.shape}; this discriminant takes (N, {self.direction.size})")
        with np.errstate(invalid="ignore", over="ignore"):
            scores = features.astype(np.float64) @ self.direction.astype(np.float64)
        return np.where(np.isfinite(scores), scores, np.inf)

    def looks_adult(self, features: np.ndarray) -> bool:
        """Whether one picture's pooled features float (D,) lie on the adults' side."""
        return bool(self.scores(np.asarray(features).reshape(1, -1))[0] > self.threshold)

    def save(self, folder: str | Path) -> Path:
        """Write ``adults.safetensors`` into the folder; returns its path."""
        from safetensors.numpy import save_file

        path = Path(folder) / FILE_NAME
        header = {"format": FORMAT, "threshold": json.dumps(self.threshold), "fit": json.dumps(self.metadata)}
        save_file({"direction": self.direction}, path, metadata=header)
        return path

    @classmethod
    def load(cls, folder: str | Path) -> AdultDiscriminant | None:
        """Read ``adults.safetensors`` of a checkpoint folder; None where there is none.

        Raises ValueError, naming the file, where it cannot be used.
        """
        from safetensors import SafetensorError, safe_open

        path = Path(folder) / FILE_NAME
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                header = file.metadata() or {}
                if header.get("format") != FORMAT:
                    raise ValueError(f"its format is {header.get('format')!r}, not {FORMAT!r}")
                direction = file.get_tensor("direction")
            found = cls(direction, float(json.loads(header["threshold"])), json.loads(header["fit"]))
            found.scores(np.zeros((1, direction.size)))
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} cannot be used ({error}); fit it again with AdultDiscriminant.fit") from error
        return found


def _halves(
    renderings: Sequence[tuple[np.ndarray, Sequence[str]]], what: str, seed: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Features of one half of the patients and of the other, a list of renderings each."""
    if not renderings:
        raise ValueError(f"there are no features of {what}")
    checked = []
    for features, patients in renderings:
        features, patients = np.asarray(features, dtype=np.float64), np.asarray(patients, dtype=str)
        if features.ndim != 2 or len(features) != len(patients):
            raise ValueError(f"the features of {what} are {features.shape} for {len(patients)} patients; give (N, D)")
        if not np.isfinite(features).all():
            raise ValueError(f"some features of {what} are not finite; extract them again")
        checked.append((features, patients))
    names = np.unique(np.concatenate([patients for _, patients in checked]))
    if len(names) < 4:
        raise ValueError(f"{len(names)} patients are too few {what} to fit on and to measure; give 4 at least")
    first = np.random.default_rng(seed).permutation(names)[: len(names) // 2]
    sides = [np.isin(patients, first) for _, patients in checked]
    return (
        [features[side] for (features, _), side in zip(checked, sides, strict=True)],
        [features[~side] for (features, _), side in zip(checked, sides, strict=True) if not side.all()],
    )
