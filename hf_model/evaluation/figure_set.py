"""The rest of the figures (training curves, confusion matrix) and the whole set for one evaluated set of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hf_model.config import LABELS
from hf_model.evaluation import figures
from hf_model.metrics.decision import Decision
from hf_model.metrics.scores import Scores


def confusion_matrix(counts: dict[str, int], title: str = "") -> Figure:
    """Confusion matrix of {"tn", "fp", "fn", "tp"}: counts, and the share of the true class in each cell."""
    figure, axes = figures.new_axes(4.2, 3.8)
    axes.grid(False)
    rows = [[counts["tn"], counts["fp"]], [counts["fn"], counts["tp"]]]
    share = [[cell / max(1, sum(row)) for cell in row] for row in rows]
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            colour = "white" if share[i][j] > 0.5 else "#1A1A1A"
            axes.text(j, i, f"{cell}\n{100 * share[i][j]:.1f} %", ha="center", va="center", color=colour, fontsize=13)
    axes.set(xticks=[0, 1], yticks=[0, 1], xticklabels=LABELS, yticklabels=LABELS, xlabel="Answer", ylabel="Truth")
    axes.set_yticklabels(LABELS, rotation=90, va="center")
    axes.set_title(title, fontsize=11)
    return figure


def training_curves(history: Sequence[dict[str, Any]]) -> Figure:
    """Loss and development metrics per epoch from the Trainer's ``log_history``.

    Each entry is a dict with "epoch" and any of "loss", "eval_loss", "eval_roc_auc", "eval_accuracy",
    "eval_sensitivity", "eval_specificity"; ``stage`` in an entry, where it changes, draws a line.
    """
    figure, left = figures.new_axes(8.6, 3.8)
    figure.delaxes(left)
    axes = figure.subplots(1, 2)
    for side in axes:
        side.spines[["top", "right"]].set_visible(False)
        side.grid(True, color="#E3E3E3", linewidth=0.8)
        side.xaxis.set_major_locator(MaxNLocator(integer=True))
    lines = (
        (0, "loss", figures.BLUE, "-", "training"),
        (0, "eval_loss", figures.ORANGE, "--", "development"),
        (1, "eval_roc_auc", figures.BLUE, "-", "AUC"),
        (1, "eval_accuracy", figures.GREY, "-.", "accuracy"),
        (1, "eval_sensitivity", figures.ORANGE, "--", "sensitivity"),
        (1, "eval_specificity", figures.GREEN, ":", "specificity"),
    )
    for side, key, colour, style, label in lines:
        points = [(entry["epoch"], entry[key]) for entry in history if key in entry and "epoch" in entry]
        if points:
            marker = "o" if len(points) <= 30 else ""
            axes[side].plot(*zip(*points, strict=True), style, color=colour, marker=marker, markersize=4, label=label)
    staged = [entry for entry in history if "stage" in entry and "epoch" in entry]
    for before, after in pairwise(staged):
        if before["stage"] != after["stage"]:
            for side in axes:
                side.axvline(before["epoch"], color=figures.GREY, linewidth=1, linestyle=":")
    axes[0].set(xlabel="Epoch", ylabel="Loss (class-weighted)")
    axes[1].set(xlabel="Epoch", ylabel="Development-validation")
    for side in axes:
        if side.lines:
            side.legend(frameon=False, fontsize=9)
    return figure


def evaluation_figures(scores: Scores, decision: Decision, record: dict[str, Any]) -> dict[str, Figure]:
    """Every figure of an evaluated set, by file stem; ``record`` is its ``evaluation_record``."""
    drawn = {
        "roc": figures.roc_curve(scores, decision, record["auc"]),
        "precision_recall": figures.precision_recall_curve(scores, decision, record["average_precision"]),
        "thresholds": figures.threshold_curves(scores, decision),
        "reliability": figures.reliability_diagram(scores, decision, record["ece"]),
        "decision_curve": figures.decision_curve(scores, decision),
        "scores": figures.score_histograms(scores, decision),
    }
    for name, point in record["points"].items():
        if point is not None:
            title = f"{figures.POINT_STYLE[name][2]}: probability >= {point['threshold']:.3f}"
            stem = f"confusion_matrix_{name.replace('.', '_')}"
            drawn[stem] = confusion_matrix(point["confusion"], title)
    return drawn


def write_figures(drawn: dict[str, Figure], folder: str | Path) -> list[Path]:
    """Save every figure as PNG and SVG into the folder; returns the paths."""
    return [path for stem, figure in drawn.items() for path in figures.save(figure, Path(folder) / stem)]
