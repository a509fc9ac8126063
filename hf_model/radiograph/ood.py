"""Out-of-distribution (OOD) detection: how far a picture lies from the development radiographs in feature space.

A principal subspace is fitted to the pooled features. The score is the mean squared whitened coordinate inside it
(Mahalanobis) plus the squared residual outside it in units of its own mean: the two terms of a probabilistic PCA's
log-likelihood (Tipping and Bishop 1999; ViM, Wang et al. 2022, scores by the residual), balanced so that a development
radiograph scores about 1 + 1. The threshold is a quantile of held-out development radiographs. NumPy only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hf_model.radiograph.types import Finding

FILE_NAME = "gate.safetensors"
FORMAT = "feature-gate-1"
QUANTILE = 0.993
"""Default share of held-out development radiographs that pass: 0.7 % are flagged."""
COMPONENTS = 64
TENSORS = ("mean", "components", "variances")


@dataclass(frozen=True, eq=False)
class OODDetector:
    """mean float32 (D,); components float32 (K, D), orthonormal rows; variances float32 (K,), all above 0.

    residual: mean squared length of what the components leave of a development feature (per radiograph, above 0).
    threshold: scores above it are flagged. metadata: how it was fitted.
    """

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    residual: float
    threshold: float
    metadata: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        *,
        groups: np.ndarray | list[str] | None = None,
        components: int = COMPONENTS,
        quantile: float = QUANTILE,
        held_out: float = 0.5,
        seed: int = 0,
    ) -> OODDetector:
        """Fit on pooled features float (N, D) of development radiographs.

        groups: the patient of each row, so that no patient is on both sides of the split (None: each row is a group).
        components: size of the subspace, at most what the rows allow. quantile: share of the held-out radiographs that
        passes. held_out: share of the groups that the threshold is set on. Raises ValueError for too few rows, values
        that are not finite, or options out of range.
        """
        features = _checked(features)
        if not 0.5 <= quantile < 1:
            raise ValueError(f"quantile is {quantile}; give the share of radiographs that pass, 0.5 to below 1")
        if not 0 < held_out < 1 or components < 1:
            raise ValueError(f"held_out is {held_out} and components {components}; use 0 to 1, and at least 1")
        away = _held_out(len(features), groups, held_out, seed)
        if away.sum() < 2 or (~away).sum() < 3:
            raise ValueError(f"{len(features)} features are too few to fit on; give features of more patients")
        fitted = cls._fitted(features[~away], components)
        scores = fitted.scores(features[away])
        counts = {"fitted_on": int((~away).sum()), "held_out": int(away.sum()), "dimensions": features.shape[1]}
        metadata = counts | {"components": len(fitted.variances), "quantile": quantile, "seed": seed}
        # "higher": the score of one of the radiographs, not one interpolated between two; at least the quantile passes
        threshold = float(np.quantile(scores, quantile, method="higher"))
        return cls(fitted.mean, fitted.components, fitted.variances, fitted.residual, threshold, metadata)

    @classmethod
    def _fitted(cls, features: np.ndarray, components: int) -> OODDetector:
        count, dimensions = features.shape
        mean = features.mean(axis=0)
        centred = features - mean
        values, vectors = np.linalg.eigh(centred.T @ centred / (count - 1))
        values, vectors = values[::-1], vectors[:, ::-1]
        # A direction without spread would divide by zero, and more than half as many as rows cannot be estimated well
        usable = int(np.sum(values > values[0] * 1e-6)) if values[0] > 0 else 0
        kept = min(components, usable, max(1, count // 2), dimensions)
        if kept == 0:
            raise ValueError("all features are equal; extract them again from different pictures")
        residual = max(float(values[kept:].sum()), float(values[0]) * 1e-6)
        basis = np.ascontiguousarray(vectors[:, :kept].T, dtype=np.float32)
        return cls(mean.astype(np.float32), basis, values[:kept].astype(np.float32), residual, np.inf)

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Features float (N, D) -> float64 (N,), 0 and up, larger is further away; infinite where not finite."""
        features = np.asarray(features)
        if features.ndim != 2 or features.shape[1] != self.mean.size:
            raise ValueError(f"the features are {features.shape}; give (N, {self.mean.size})")
        centred = features.astype(np.float64) - self.mean
        with np.errstate(invalid="ignore", over="ignore"):
            inside = centred @ self._axes
            outside = np.maximum(np.einsum("nd,nd->n", centred, centred) - np.einsum("nk,nk->n", inside, inside), 0)
            scores = np.mean(inside**2 / self.variances, axis=1) + outside / self.residual
        return np.where(np.isfinite(scores), scores, np.inf)

    @cached_property
    def _axes(self) -> np.ndarray:
        """float64 (D, K): made once and not for every picture."""
        return np.ascontiguousarray(self.components.T, dtype=np.float64)

    def findings(self, features: np.ndarray) -> tuple[Finding, ...]:
        """A flag if one picture's pooled features float (D,) lie farther away than the threshold."""
        score = float(self.scores(np.asarray(features).reshape(1, -1))[0])
        if score <= self.threshold:
            return ()
        message = (
            "To the model this does not look like the frontal chest radiographs that it was trained on "
            f"(distance {score:.1f}, limit {self.threshold:.1f}); upload a frontal chest radiograph."
        )
        return (Finding("unlike-training", message, "flag"),)

    def save(self, folder: str | Path) -> Path:
        """Write ``gate.safetensors`` into the folder; returns its path."""
        from safetensors.numpy import save_file

        path = Path(folder) / FILE_NAME
        numbers = {"residual": self.residual, "threshold": self.threshold}
        header = {"format": FORMAT, "numbers": json.dumps(numbers), "fit": json.dumps(self.metadata, sort_keys=True)}
        save_file({name: getattr(self, name) for name in TENSORS}, path, metadata=header)
        return path

    @classmethod
    def load(cls, folder: str | Path) -> OODDetector | None:
        """Read ``gate.safetensors`` of a checkpoint folder; None where there is none.

        Raises ValueError, naming the file, if it cannot be read as one.
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
                tensors = {name: file.get_tensor(name) for name in TENSORS}
            numbers = json.loads(header["numbers"])
            detector = cls(**tensors, **numbers, metadata=json.loads(header["fit"]))
            detector.scores(np.zeros((1, detector.mean.size)))
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not an OOD detector ({error}); fit it again with OODDetector.fit") from error
        return detector


def _checked(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or not features.size:
        raise ValueError(f"the features are {features.shape}; give (N, D)")
    if not np.isfinite(features).all():
        raise ValueError("some features are not finite; extract them again")
    return features


def _held_out(count: int, groups: np.ndarray | list[str] | None, share: float, seed: int) -> np.ndarray:
    """bool (N,): the rows of held-out groups."""
    groups = np.arange(count) if groups is None else np.asarray(groups)
    if groups.shape != (count,):
        raise ValueError(f"there are {count} features and {groups.size} groups; give one group for each")
    names, members = np.unique(groups, return_inverse=True)
    drawn = np.random.default_rng(seed).permutation(len(names))[: round(len(names) * share)]
    return np.isin(members, drawn)
