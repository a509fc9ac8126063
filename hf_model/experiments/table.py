"""The study's table: CSV, Markdown (``table.md.jinja``) with a sentence per question, and a plot."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hf_model.evaluation.figures import BLUE, GREY, ORANGE, save
from hf_model.experiments.plan import GROUPS, QUESTIONS, Change, changes
from hf_model.metrics.intervals import cluster_weights, delong, percentile, weighted_auc
from hf_model.metrics.trainer_metrics import classification_figures
from hf_model.templates import environment
from hf_model.wording import decimal

REPLICATES = 1000
LAST = 3
"""The spread is that of so many last epochs."""
TEMPLATES = environment(Path(__file__).parent)
Rows = list[dict[str, Any]]


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


class StudyTable:
    """Rows of the table, from a study's folder."""

    def __init__(self, folder: Path) -> None:
        stored = json.loads((folder / "study.json").read_text(encoding="utf-8"))
        self.stored, self.validation = stored, Validation.from_json(stored["validation"])
        self.folder = folder
        self.weights = np.concatenate(list(cluster_weights(self.validation.patients, replicates=REPLICATES)))

    def groups(self) -> dict[str, Rows]:
        """Group -> rows, the best first, without changes that have no finished run and groups that have none."""
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
            "epochs": _mean(runs, "epochs"),
            "seconds_per_epoch": _mean(runs, "seconds_per_epoch"),
            "seconds": _mean(runs, "seconds"),
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
        half, known = np.asarray(margins) / 2, self.validation
        return classification_figures(np.stack([-half, half], 1), known.labels[known.views[known.own]])

    def interval(self, best: list[dict[str, Any]], views: list[str]) -> list[float] | None:
        """95 % interval of the mean AUC over seeds and views, patients and seeds resampled.

        Where every replicate is 1 the bootstrap says nothing, and DeLong's exact bound of the first seed is taken.
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

    Of many changes without effect some would by chance have an interval that excludes 0. The studentised maximum over
    the group's bootstrap replicates (Westfall and Young 1993; Hothorn, Bretz and Westfall 2008) gives the number of
    standard errors that the largest of them reaches. A difference of exactly 0 in every replicate has no width.
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


def _mean(figures: list[dict[str, Any]], name: str) -> float:
    return float(np.mean([one[name] for one in figures]))


def write_table(folder: Path) -> dict[str, Rows]:
    """Write ``experiments.csv``, ``.md``, ``.png`` and ``.svg`` from the finished runs; return the rows by group."""
    table = StudyTable(folder)
    groups = table.groups()
    if not groups:
        return groups
    _write_csv(folder / "experiments.csv", [row for rows in groups.values() for row in rows])
    (folder / "experiments.md").write_text(markdown(groups, table.stored), encoding="utf-8")
    save(plot(groups), folder / "experiments")
    return groups


def _write_csv(path: Path, rows: Rows) -> None:
    flat = []
    for row in rows:
        one = {k: v for k, v in row.items() if not isinstance(v, dict | list)}
        for name in ("auc", "hard_auc"):
            one[f"{name}_low"], one[f"{name}_high"] = row[f"{name}_interval"] or (None, None)
        change = row["difference"] or {"value": None, "interval": None, "adjusted": None}
        one["difference"] = change["value"]
        one["difference_low"], one["difference_high"] = change["interval"] or (None, None)
        one |= {f"auc_{view}": value for view, value in row["auc_by_view"].items()}
        one["adjusted_low"], one["adjusted_high"] = change["adjusted"] or (None, None)
        flat.append(one)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(flat[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)


def markdown(groups: dict[str, Rows], stored: dict[str, Any]) -> str:
    """The whole document; ``stored`` is study.json."""
    return TEMPLATES.get_template("table.md.jinja").render(
        groups=groups,
        stored=stored,
        conclusions={group: conclusion(rows) for group, rows in groups.items()},
        QUESTIONS=QUESTIONS,
        LAST=LAST,
    )


def conclusion(rows: Rows) -> str:
    """What the group shows and what it does not, in words, from the adjusted intervals of the differences."""
    reference = next((row for row in rows if row["reference"]), None)
    parts = ["No reference run."]
    if reference:
        count = reference["seeds"]
        seeds = "1 seed: chance between runs is not counted" if count == 1 else f"{count} seeds"
        parts = [f"Reference: {reference['change']} ({seeds})."]
    compared = [row for row in rows if row["difference"] and row["difference"]["adjusted"]]
    better = [row for row in compared if row["difference"]["adjusted"][0] > 0]
    worse = [row for row in compared if row["difference"]["adjusted"][1] < 0]
    for found, text in ((better, "Better"), (worse, "Worse")):
        if found:
            named = (f"{row['change']} ({decimal(row['difference']['value'], signed=True)})" for row in found)
            parts.append(f"{text}: {'; '.join(named)}.")
    even = [row["change"] for row in compared if row not in better and row not in worse]
    if even:
        parts.append(f"No difference that these pictures can show: {'; '.join(even)}.")
    return " ".join(parts)


def plot(groups: dict[str, Rows]) -> Figure:
    """Two panels per group, best on top: harder AUC, and its difference from the reference, each with its interval.

    Each panel has its own scale: a change that fails would otherwise squeeze the others into one point.
    """
    heights = [len(rows) + 1.6 for rows in groups.values()]
    figure = Figure(figsize=(10.5, 0.3 * sum(heights) + 0.9), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(groups), 2, height_ratios=heights, squeeze=False)
    for (left, right), (group, rows) in zip(panels, groups.items(), strict=True):
        shown = rows[::-1]
        _intervals(left, [(row["hard_auc"], row["hard_auc_interval"], row["reference"]) for row in shown])
        changes = [row["difference"] or {"value": 0.0 if row["reference"] else None, "interval": None} for row in shown]
        _intervals(
            right, [(one["value"], one["interval"], row["reference"]) for one, row in zip(changes, shown, strict=True)]
        )
        right.axvline(0, color=GREY, linewidth=1, linestyle="--")
        names = [row["change"] + (" (reference)" if row["reference"] else "") for row in shown]
        left.set_yticks(range(len(rows)), names, fontsize=8)
        right.set_yticks(range(len(rows)), [])
        left.set_title(QUESTIONS[group], fontsize=10, loc="left")
    for axes, label in zip(
        panels[-1], ("mean AUC on the harder development views", "difference from the reference"), strict=True
    ):
        axes.set_xlabel(f"{label} (95 % interval)", fontsize=9)
    return figure


def _intervals(axes: Axes, shown: list[tuple[float | None, list[float] | None, bool]]) -> None:
    """Draw (value, interval, is the reference) from the bottom up; the reference has another colour and shape."""
    for height, (value, interval, reference) in enumerate(shown):
        if value is None:
            continue
        low, high = interval or (value, value)
        axes.plot([low, high], [height, height], color=GREY, linewidth=1.4)
        axes.plot(value, height, "D" if reference else "o", color=ORANGE if reference else BLUE, markersize=6)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.tick_params(axis="x", labelsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, axis="x", color="#E3E3E3", linewidth=0.8)
    axes.set_axisbelow(True)
