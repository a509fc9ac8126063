"""The study's table: CSV, Markdown with a sentence per question, and a plot."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hf_model.evaluation.figures import BLUE, GREY, ORANGE, save
from hf_model.experiments.plan import QUESTIONS
from hf_model.experiments.summary import LAST, Summary

Rows = list[dict[str, Any]]
HEAD = ("Change", "Harder AUC", "Against the reference", "Worst view", "AUC", "Accuracy", "Loss", "Precision",
        "Recall", "Epochs", "s/epoch", "Spread, epochs", "Spread, seeds", "Seeds", "Pictures", "px")  # fmt: skip
LEGEND = (
    "Figures are means over seeds at each seed's best epoch, on held-out development patients; the test split was not "
    "decoded. AUC, accuracy, loss (natural logarithm, unweighted), precision and recall (at 0.5) are on the data set's "
    "own rendering. **Harder AUC** is the mean over the harder views ({harder}); changes are ranked and epochs are "
    "chosen by it, so it flatters all of them alike. Intervals: 95 %, patients and seeds resampled (1,000 times), not "
    "adjusted for the number of comparisons. Spread: standard deviation of the harder AUC over the last "
    f"{LAST} epochs and over seeds. Pictures: those learned from."
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
        change = row["difference"] or {"value": None, "interval": None}
        one["difference"] = change["value"]
        one["difference_low"], one["difference_high"] = change["interval"] or (None, None)
        one |= {f"auc_{view}": value for view, value in row["auc_by_view"].items()}
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
        f"Budget: fine-tunings learn from {budget['pictures']} pictures for {budget['epochs']} epochs after "
        f"{budget['head_epochs']} of the head; heads from {budget['views']} views of all development-train, "
        f"{budget['head_epochs']} epochs; the CNN from scratch from all of it, {budget['baseline_epochs']} epochs.",
        f"Validation: {len(labels)} pictures ({labels.count(0)} normal, {labels.count(1)} pneumonia) of "
        f"{len(set(stored['validation']['patients']))} patients.",
        f"Machine: {stored['machine']['processor']}, {stored['machine']['threads']} threads.",
        f"Command: `{stored['command']}`",
    ]
    parts = ["# Experiments", LEGEND.format(harder=harder), "\n".join(f"- {fact}" for fact in facts)]
    for group, rows in groups.items():
        parts += [f"## {QUESTIONS[group]}", conclusion(rows), _table(rows)]
    return "\n\n".join(parts) + "\n"


def conclusion(rows: Rows) -> str:
    """What the group shows and what it does not, in words, from the intervals of the differences."""
    compared = [row for row in rows if row["difference"] and row["difference"]["interval"]]
    better = [row for row in compared if row["difference"]["interval"][0] > 0]
    worse = [row for row in compared if row["difference"]["interval"][1] < 0]
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
    return "1 seed" if count == 1 else f"{count} seeds"


def _table(rows: Rows) -> str:
    lines = [list(HEAD), ["---"] * len(HEAD)]
    for row in rows:
        change = row["difference"]
        against = "reference" if row["reference"] else "no seed in common"
        if change:
            against = f"{change['value']:+.4f}{_span(change['interval'], '+.4f')}"
        lines.append([
            row["change"], f"{row['hard_auc']:.4f}{_span(row['hard_auc_interval'])}", against,
            f"{row['worst_auc']:.4f} ({row['worst_view']})", f"{row['auc']:.4f}{_span(row['auc_interval'])}",
            f"{row['accuracy']:.3f}", f"{row['loss']:.3f}", f"{row['precision']:.3f}", f"{row['recall']:.3f}",
            f"{row['epochs']:g}", f"{row['seconds_per_epoch']:.1f}", f"{row['spread_epochs']:.4f}",
            "" if row["spread_seeds"] is None else f"{row['spread_seeds']:.4f}", str(row["seeds"]),
            str(row["pictures"]), str(row["image_size"]),
        ])  # fmt: skip
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _span(interval: list[float] | None, form: str = ".4f") -> str:
    return "" if interval is None else f" ({interval[0]:{form}} to {interval[1]:{form}})"


def plot(groups: dict[str, Rows]) -> Figure:
    """Harder AUC with its interval, one panel a group, best on top, the reference filled differently."""
    heights = [len(rows) + 1.6 for rows in groups.values()]
    figure = Figure(figsize=(8.4, 0.3 * sum(heights) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(groups), 1, height_ratios=heights, squeeze=False, sharex=True)[:, 0]
    for axes, (group, rows) in zip(panels, groups.items(), strict=True):
        for at, row in enumerate(reversed(rows)):
            colour, marker = (ORANGE, "D") if row["reference"] else (BLUE, "o")
            low, high = row["hard_auc_interval"] or (row["hard_auc"],) * 2
            axes.plot([low, high], [at, at], color=GREY, linewidth=1.4)
            axes.plot(row["hard_auc"], at, marker, color=colour, markersize=6)
        names = [row["change"] + (" (reference)" if row["reference"] else "") for row in reversed(rows)]
        axes.set_yticks(range(len(rows)), names, fontsize=8)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_title(QUESTIONS[group], fontsize=10, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(True, axis="x", color="#E3E3E3", linewidth=0.8)
        axes.set_axisbelow(True)
    panels[-1].set_xlabel("mean AUC on the harder development views (95 % interval)", fontsize=9)
    return figure
