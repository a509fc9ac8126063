"""From stored runs to one row per change: figures, intervals and the difference from the reference."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hf_model.experiments.plan import GROUPS, Change, changes
from hf_model.metrics.intervals import cluster_weights, delong, percentile, weighted_auc
from hf_model.metrics.trainer_metrics import classification_figures

REPLICATES = 1000
LAST = 3
"""Epochs whose spread is reported."""


@dataclass(frozen=True)
class Validation:
    """Labels (n,) and patient codes (n,) of the chosen pictures; views: name -> int64, which of them it shows.

    own: the view that is the data set's own rendering; the others are the harder ones.
    """

    labels: np.ndarray
    patients: np.ndarray
    views: dict[str, np.ndarray]
    own: str

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Validation:
        views = {name: np.asarray(at, dtype=np.int64) for name, at in stored["views"].items()}
        return cls(np.asarray(stored["labels"]), np.asarray(stored["patients"]), views, stored["own"])

    @property
    def harder(self) -> list[str]:
        return [name for name in self.views if name != self.own]

    def auc(self, margins: dict[str, Any], view: str) -> float:
        """AUC of one evaluation on one view."""
        labels = self.labels[self.views[view]]
        return float(weighted_auc(np.asarray(margins[view]), labels, np.ones((1, len(labels))))[0])

    def hard(self, margins: dict[str, Any]) -> float:
        """Mean AUC over the harder views: what changes are ranked by, and an epoch is chosen by."""
        return float(np.mean([self.auc(margins, view) for view in self.harder]))


class Summary:
    """Rows of the table, from a study's folder."""

    def __init__(self, folder: Path) -> None:
        stored = json.loads((folder / "study.json").read_text(encoding="utf-8"))
        self.stored, self.validation = stored, Validation.from_json(stored["validation"])
        self.folder = folder
        self.weights = np.concatenate(list(cluster_weights(self.validation.patients, replicates=REPLICATES)))

    def groups(self) -> dict[str, list[dict[str, Any]]]:
        """Group -> rows, the best first; changes without a finished run are left out, and groups that have none."""
        identity, out = self.stored["identity"], {}
        for group in GROUPS:
            plan = changes(group, self.stored["sizes"], identity["image_size"], len(identity["renderings"]))
            runs = {change.key: self._runs(change) for change in plan}
            rows = [self.row(group, c, runs[c.key], runs[plan[0].key], c is plan[0]) for c in plan if runs[c.key]]
            if any(not row["reference"] for row in rows):
                simultaneous([row["difference"] for row in rows if row["difference"]])
                out[group] = sorted(rows, key=lambda row: -row["hard_auc"])
        return out

    def _runs(self, change: Change) -> list[dict[str, Any]]:
        files = sorted((self.folder / "runs").glob(f"{change.key}-seed*.json"))
        runs = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        return sorted((run for run in runs if run["change"] == change.key), key=lambda run: run["seed"])

    def row(self, group: str, change: Change, runs: list, reference: list, is_reference: bool) -> dict[str, Any]:
        """One change: means over its seeds at each seed's best epoch."""
        known, best = self.validation, [self.best(run) for run in runs]
        own = [self._figures(margins[known.own]) for margins in best]
        hard = [known.hard(margins) for margins in best]
        by_view = {view: float(np.mean([known.auc(m, view) for m in best])) for view in known.views}
        worst = min(by_view, key=by_view.get)
        spread = [np.std([known.hard(m) for m in run["margins"][-LAST:]]) for run in runs]
        return {
            "group": group,
            "change": change.text,
            "key": change.key,
            "reference": is_reference,
            "accuracy": _mean(own, "accuracy"),
            "loss": _mean(own, "loss"),
            "auc": by_view[known.own],
            "auc_interval": self.interval(best, [known.own]),
            "precision": _mean(own, "precision"),
            "recall": _mean(own, "recall"),
            "hard_auc": float(np.mean(hard)),
            "hard_auc_interval": self.interval(best, known.harder),
            "auc_by_view": by_view,
            "worst_view": worst,
            "worst_auc": by_view[worst],
            "difference": None if is_reference else self.difference(runs, reference),
            "epochs": float(np.mean([run["epochs"] for run in runs])),
            "seconds_per_epoch": float(np.mean([run["seconds_per_epoch"] for run in runs])),
            "seconds": float(np.mean([run["seconds"] for run in runs])),
            "spread_epochs": float(np.mean(spread)),
            "spread_seeds": float(np.std(hard)) if len(hard) > 1 else None,
            "seeds": len(runs),
            "pictures": runs[0]["pictures"],
            "image_size": runs[0]["image_size"],
            "learning_parameters": runs[0]["learning_parameters"],
        }

    def best(self, run: dict[str, Any]) -> dict[str, Any]:
        """Margins of the epoch with the highest mean AUC on the harder views; of equal ones the first."""
        return max(run["margins"], key=self.validation.hard)

    def _figures(self, margins: list[float]) -> dict[str, float]:
        half = np.asarray(margins) / 2
        return classification_figures(
            np.stack([-half, half], 1), self.validation.labels[self.validation.views[self.validation.own]]
        )

    def interval(self, best: list[dict[str, Any]], views: list[str]) -> list[float] | None:
        """95 % interval of the mean AUC over seeds and views, patients and seeds resampled.

        Where every replicate is 1 the bootstrap says nothing, and DeLong's exact bound of the first seed stands in.
        """
        drawn = self._over_seeds(best, views)
        if np.nanmin(drawn) == 1.0:
            labels = self.validation.labels[self.validation.views[views[0]]]
            return list(delong(np.asarray(best[0][views[0]]), labels)[1])
        limits = percentile(drawn)
        return None if limits is None else list(limits)

    def _over_seeds(self, best: list[dict[str, Any]], views: list[str]) -> np.ndarray:
        """Mean AUC over views and seeds, float64 (B,): in every replicate other patients and, as many, other seeds.

        Runs of the same seeds get the same draws, so that two of these can be subtracted.
        """
        by_seed = np.stack([np.mean([self._replicates(one, view) for view in views], axis=0) for one in best])
        seeds = np.random.default_rng(0).integers(0, len(best), by_seed.shape)
        return np.take_along_axis(by_seed, seeds, axis=0).mean(axis=0)

    def _replicates(self, margins: dict[str, Any], view: str) -> np.ndarray:
        at = self.validation.views[view]
        return weighted_auc(np.asarray(margins[view]), self.validation.labels[at], self.weights[:, at])

    def difference(self, runs: list, reference: list) -> dict[str, Any] | None:
        """Mean AUC on the harder views minus the reference's, seeds in common, the same resampling; or None.

        "drawn" are the replicates, for ``simultaneous``, which takes them out again.
        """
        known, seeds = self.validation, {run["seed"] for run in runs} & {run["seed"] for run in reference}
        if not seeds:
            return None
        mine, theirs = ([self.best(run) for run in part if run["seed"] in seeds] for part in (runs, reference))
        value = np.mean([known.hard(m) for m in mine]) - np.mean([known.hard(m) for m in theirs])
        drawn = self._over_seeds(mine, known.harder) - self._over_seeds(theirs, known.harder)
        limits = percentile(drawn)
        interval = None if limits is None else list(limits)
        return {"value": float(value), "interval": interval, "seeds": len(seeds), "drawn": drawn}


def simultaneous(differences: list[dict[str, Any]]) -> None:
    """Add "adjusted" to every difference of a group: intervals that hold all at once with 95 % confidence, or None.

    Of many changes that do nothing some would by chance lie beside 0 with an interval of its own. The studentised
    maximum over the group's bootstrap replicates (Westfall and Young 1993; Hothorn, Bretz and Westfall 2008) says how
    many standard errors the luckiest one reaches. A difference of exactly 0 in every replicate has no width.
    """
    drawn = np.stack([one.pop("drawn") for one in differences]) if differences else np.empty((0, 1))
    drawn = drawn[:, np.isfinite(drawn).all(axis=0)]
    for one in differences:
        one["adjusted"] = None
    if drawn.shape[1] < 2:
        return
    deviation = drawn.std(axis=1, ddof=1)
    from_mean = np.abs(drawn - drawn.mean(axis=1, keepdims=True))
    ratio = np.divide(from_mean, deviation[:, None], out=np.zeros_like(drawn), where=deviation[:, None] > 0)
    reach = float(np.quantile(ratio.max(axis=0), 0.95))
    for one, error in zip(differences, deviation.tolist(), strict=True):
        one["adjusted"] = [one["value"] - reach * error, one["value"] + reach * error]


def _mean(figures: list[dict[str, float]], name: str) -> float:
    return float(np.mean([one[name] for one in figures]))
