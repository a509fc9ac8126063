"""The study's table: CSV, Markdown with a sentence per question, and a plot."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hf_model.evaluation.figures import BLUE, GREY, ORANGE, save
from hf_model.experiments.plan import QUESTIONS
from hf_model.experiments.summary import LAST, Summary

Rows = list[dict[str, Any]]
HEAD = (
    "Change",
    "Harder AUC",
    "Against the reference",
    "Worst view",
    "AUC",
    "Accuracy",
    "Loss",
    "Precision",
    "Recall",
    "Epochs",
    "s/epoch",
    "Spread, epochs",
    "Spread, seeds",
    "Seeds",
    "Pictures",
    "px",
)
LEGEND = (
    "Figures are means over seeds at each seed's best epoch, on held-out development patients; the test split was not "
    "decoded. AUC, accuracy, loss (natural logarithm, unweighted), precision and recall (at 0.5) are on the data set's "
    "own rendering. **Harder AUC** is the mean over the harder views ({harder}); changes are ranked and epochs are "
    "chosen by it, which flatters a change the more, the more epochs it has. Intervals: 95 %, patients and seeds "
    "resampled (1,000 times), each on its own; of one seed they hold the patients' part alone, and of three still some "
    "20 % too little of the seeds'. Better or worse is called what differs from the reference by an interval adjusted "
    "for the number of changes in its table (studentised maximum of the same replicates; the last columns of the CSV). "
    f"Spread: standard deviation of the harder AUC over the last {LAST} epochs and over seeds. Pictures: those learned "
    "from."
)


def write_table(folder: Path) -> dict[str, Rows]:
    """``experiments.csv``, ``.md``, ``.png`` and ``.svg`` from the finished runs; gives the rows by group."""
    summary = Summary(folder)
    groups = summary.groups()
    if not groups:
        return groups
    rows = [row for group in groups.values() for row in group]
    _write_csv(folder / "experiments.csv", rows)
    (folder / "experiments.md").write_text(markdown(groups, summary.stored), encoding="utf-8")
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
    """The whole document."""
    identity, views = stored["identity"], stored["validation"]["views"]
    harder = ", ".join(name for name in views if name != stored["validation"]["own"])
    budget, labels = identity["budget"], stored["validation"]["labels"]
    facts = [
        f"Data: {identity['dataset']}; renderings {', '.join(identity['renderings'])}; base {identity['base_model']}.",
        f"Budget: fine-tunings learn from about {budget['pictures']} pictures (whole patients) for {budget['epochs']} "
        f"epochs after {budget['head_epochs']} of the head; heads from {budget['views']} views of all "
        f"development-train, {budget['head_epochs']} epochs; the CNN from scratch from all of it, "
        f"{budget['baseline_epochs']} epochs.",
        f"Validation: {len(labels)} pictures ({labels.count(0)} normal, {labels.count(1)} pneumonia) of "
        f"{len(set(stored['validation']['patients']))} patients.",
        f"Machine: {stored['machine']['processor']}, {stored['machine']['threads']} threads.",
        *(f"Command: `{command}`" for command in stored["commands"]),
    ]
    parts = ["# Experiments", LEGEND.format(harder=harder), "\n".join(f"- {fact}" for fact in facts)]
    for group, rows in groups.items():
        parts += [f"## {QUESTIONS[group]}", conclusion(rows), _table(rows)]
    return "\n\n".join(parts) + "\n"


def conclusion(rows: Rows) -> str:
    """What the group shows and what it does not, in words, from the adjusted intervals of the differences."""
    compared = [row for row in rows if row["difference"] and row["difference"]["adjusted"]]
    better = [row for row in compared if row["difference"]["adjusted"][0] > 0]
    worse = [row for row in compared if row["difference"]["adjusted"][1] < 0]
    even = [row["change"] for row in compared if row not in better and row not in worse]
    reference = next((row for row in rows if row["reference"]), None)
    parts = [f"Reference: {reference['change']} ({_seeds(reference['seeds'])})." if reference else "No reference run."]
    for found, text in ((better, "Better"), (worse, "Worse")):
        if found:
            named = "; ".join(f"{row['change']} ({row['difference']['value']:+.3f})" for row in found)
            parts.append(f"{text}: {named}.")
    if even:
        parts.append(f"No difference that these pictures can show: {'; '.join(even)}.")
    return " ".join(parts)


def _seeds(count: int) -> str:
    return "1 seed: chance between runs is not counted" if count == 1 else f"{count} seeds"


def _table(rows: Rows) -> str:
    lines = [list(HEAD), ["---"] * len(HEAD)]
    for row in rows:
        change = row["difference"]
        against = "reference" if row["reference"] else "no seed in common"
        if change:
            against = f"{change['value']:+.4f}{_span(change['interval'], '+.4f')}"
        lines.append(
            [
                row["change"],
                f"{row['hard_auc']:.4f}{_span(row['hard_auc_interval'])}",
                against,
                f"{row['worst_auc']:.4f} ({row['worst_view']})",
                f"{row['auc']:.4f}{_span(row['auc_interval'])}",
                f"{row['accuracy']:.3f}",
                f"{row['loss']:.3f}",
                f"{row['precision']:.3f}",
                f"{row['recall']:.3f}",
                f"{row['epochs']:g}",
                f"{row['seconds_per_epoch']:.1f}",
                f"{row['spread_epochs']:.4f}",
                "" if row["spread_seeds"] is None else f"{row['spread_seeds']:.4f}",
                str(row["seeds"]),
                str(row["pictures"]),
                str(row["image_size"]),
            ]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _span(interval: list[float] | None, form: str = ".4f") -> str:
    return "" if interval is None else f" ({interval[0]:{form}} to {interval[1]:{form}})"


def plot(groups: dict[str, Rows]) -> Figure:
    """A panel a group, best on top: harder AUC, and its difference from the reference, each with its interval.

    Scales are the panels' own: one change that fails would else press the others into one point.
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
    """(value, interval, is the reference) from the bottom up; the reference has another colour and shape."""
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
