"""Figures of the report, drawn with matplotlib without a display.

Colours are from the Okabe-Ito palette, whose colours differ for every kind of colour vision; line styles or markers
differ too, so nothing depends on colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from hf_model.config import LABELS
from hf_model.metrics.calibration import probability_of, reliability
from hf_model.metrics.decision import Decision, sigmoid
from hf_model.metrics.intervals import wilson
from hf_model.metrics.rates import confusion
from hf_model.metrics.scores import Scores
from hf_model.wording import POINTS, decimal, percent, ratio

BLUE, ORANGE, GREEN, PINK, SKY, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#5A5A5A"
POINT_STYLE = {
    "default": ("o", ORANGE),
    "rule_out": ("v", GREEN),
    "rule_in": ("^", PINK),
    "argmax": ("D", SKY),
    "0.5": ("s", GREY),
}
"""Marker and colour of each operating point."""
CLASS_STYLE = ((BLUE, "normal"), (ORANGE, "pneumonia"))


def new_axes(width: float = 5.6, height: float = 4.4) -> tuple[Figure, Axes]:
    """An empty figure in inches, outside pyplot's global state, with the project's look."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#E3E3E3", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def save(figure: Figure, path: str | Path, *, formats: tuple[str, ...] = ("png", "svg")) -> list[Path]:
    """Write ``path`` with each suffix (PNG at 150 dpi) and return the paths; the same input gives the same bytes."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for suffix in formats:
        target = path.with_suffix(f".{suffix}")
        metadata = {"Date": None} if suffix == "svg" else {"Software": None}
        figure.savefig(target, dpi=150, metadata=metadata)
        written.append(target)
    return written


def _unit(axes: Axes, x: str, y: str, legend: str | None = "best") -> None:
    axes.set(xlabel=x, ylabel=y, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    if legend:
        axes.legend(loc=legend, frameon=True, framealpha=0.9, edgecolor="none", fontsize=9)


def _points(decision: Decision) -> dict[str, float]:
    argmax = {"argmax": sigmoid(decision.bias)} if decision.bias else {}
    found = {"0.5": 0.5, **argmax, **{name: point.threshold for name, point in decision.points.items()}}
    return {name: value for name, value in found.items() if value is not None}


def _mark(axes: Axes, x: float, y: float, name: str) -> None:
    """An operating point, drawn whole even at the edge."""
    marker, colour = POINT_STYLE[name]
    style = {"markersize": 8, "markeredgecolor": "white", "zorder": 3, "clip_on": False}
    axes.plot(x, y, marker, color=colour, label=POINTS[name], **style)


def _sweep(scores: Scores, decision: Decision) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds from high to low with true and false positives at and above each, and the probabilities."""
    probability = probability_of(scores, decision)
    order = np.argsort(-probability, kind="stable")
    last = np.r_[np.diff(probability[order]) != 0, True]
    hits, alarms = (np.cumsum(scores.labels[order] == label)[last] for label in (1, 0))
    return probability[order][last], hits, alarms, probability


def roc_curve(scores: Scores, decision: Decision, auc: dict | None = None) -> Figure:
    """ROC curve with the operating points; ``auc`` is the record's entry, shown in the legend."""
    figure, axes = new_axes()
    _, hits, alarms, probability = _sweep(scores, decision)
    false_rate, sensitivity = np.r_[0, alarms] / max(1, alarms[-1]), np.r_[0, hits] / max(1, hits[-1])
    label = "ROC"
    if auc and auc.get("value") is not None:
        label = f"AUC {ratio(auc)}"
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
    axes.plot(false_rate, sensitivity, color=BLUE, linewidth=2, label=label, drawstyle="steps-post")
    for name, threshold in _points(decision).items():
        cell = confusion(probability, scores.labels, threshold)
        x, y = cell["fp"] / max(1, cell["fp"] + cell["tn"]), cell["tp"] / max(1, cell["tp"] + cell["fn"])
        _mark(axes, x, y, name)
    _unit(axes, "1 - specificity (normal pictures called pneumonia)", "Sensitivity", "lower right")
    return figure


def precision_recall_curve(scores: Scores, decision: Decision, average_precision: dict | None = None) -> Figure:
    """Precision-recall curve with the operating points and the share of pneumonia as the floor."""
    figure, axes = new_axes()
    _, hits, alarms, probability = _sweep(scores, decision)
    label = "Precision"
    if average_precision and average_precision.get("value") is not None:
        label = f"Average precision {decimal(average_precision['value'])}"
    share = float(scores.labels.mean())
    axes.axhline(share, color=GREY, linewidth=1, linestyle=":", label=f"share of pneumonia {share:.2f}")
    axes.plot(hits / max(1, hits[-1]), hits / (hits + alarms), color=BLUE, linewidth=2, label=label)
    for name, threshold in _points(decision).items():
        cell = confusion(probability, scores.labels, threshold)
        if cell["tp"] + cell["fp"]:
            x, y = cell["tp"] / max(1, cell["tp"] + cell["fn"]), cell["tp"] / (cell["tp"] + cell["fp"])
            _mark(axes, x, y, name)
    _unit(axes, "Recall (sensitivity)", "Precision (PPV in this set)", "lower left")
    return figure


def threshold_curves(scores: Scores, decision: Decision) -> Figure:
    """Sensitivity and specificity against the threshold, the points as lines, the refer band shaded."""
    figure, axes = new_axes(6.4, 4.4)
    threshold = np.linspace(0, 1, 501)
    probability = probability_of(scores, decision)
    for label, (colour, _), name, style in zip(
        (0, 1), CLASS_STYLE, ("Specificity", "Sensitivity"), ("--", "-"), strict=True
    ):
        values = np.sort(probability[scores.labels == label])
        below = np.searchsorted(values, threshold, side="left")
        right = below if label == 0 else len(values) - below
        low, high = wilson(right, np.full(len(right), max(1, len(values))))
        axes.plot(threshold, right / max(1, len(values)), style, color=colour, linewidth=2, label=name)
        axes.fill_between(threshold, low, high, color=colour, alpha=0.15, linewidth=0)
    if decision.refer_band:
        axes.axvspan(*decision.refer_band, color="#F0E442", alpha=0.25, linewidth=0, label="refer band")
    for name, value in _points(decision).items():
        label = f"{POINTS[name]} {decimal(value)}"
        axes.axvline(value, color=POINT_STYLE[name][1], linewidth=1.4, linestyle=":", label=label)
    _unit(axes, "Threshold on the probability of pneumonia", "Rate with 95 % interval", "lower center")
    return figure


def reliability_diagram(scores: Scores, decision: Decision, ece: dict | None = None) -> Figure:
    """Observed share of pneumonia against mean probability in ten bins, with Wilson intervals and the counts."""
    figure, axes = new_axes()
    table = reliability(probability_of(scores, decision), scores.labels)
    observed, count = table["observed"], table["count"]
    low, high = wilson(np.round(observed * count), count)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="perfect")
    label = "pictures in ten bins" if not ece else f"binned ECE {ece['binned']:.3f} (adaptive {ece['adaptive']:.3f})"
    axes.errorbar(
        table["mean_probability"],
        observed,
        yerr=np.abs([observed - low, high - observed]),
        fmt="o",
        color=BLUE,
        markersize=6,
        capsize=3,
        label=label,
    )
    for x, y, number in zip(table["mean_probability"], observed, count, strict=True):
        axes.annotate(str(number), (x, y), xytext=(6, -11), textcoords="offset points", fontsize=8, color=GREY)
    _unit(axes, "Mean probability of pneumonia", "Observed share of pneumonia", None)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=9)
    return figure


def score_histograms(scores: Scores, decision: Decision) -> Figure:
    """How the probabilities of each class spread; counts on a logarithmic axis, so that the few are seen."""
    figure, axes = new_axes(6.4, 4.0)
    probability, edges = probability_of(scores, decision), np.linspace(0, 1, 41)
    for label, (colour, name) in enumerate(CLASS_STYLE):
        values = probability[scores.labels == label]
        axes.hist(values, edges, color=colour, alpha=0.35)
        axes.hist(
            values,
            edges,
            color=colour,
            histtype="step",
            linewidth=1.6,
            linestyle=("-", "--")[label],
            label=f"{name} ({len(values)})",
        )
    axes.axvline(
        decision.threshold, color=GREY, linestyle="--", linewidth=1.2, label=f"threshold {decimal(decision.threshold)}"
    )
    axes.set_yscale("symlog", linthresh=1)
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.set(xlabel="Probability of pneumonia", ylabel="Pictures", xlim=(0, 1))
    axes.legend(loc="upper center", frameon=True, framealpha=0.9, edgecolor="none", fontsize=9)
    return figure


def decision_curve(scores: Scores, decision: Decision) -> Figure:
    """Net benefit of acting on the model against acting on all and on none (Vickers and Elkin 2006)."""
    figure, axes = new_axes(6.4, 4.4)
    odds_at = np.linspace(0.01, 0.99, 197)
    probability, count = probability_of(scores, decision), len(scores)
    sick, well = (np.sort(probability[scores.labels == label]) for label in (1, 0))
    hits, alarms = (len(x) - np.searchsorted(x, odds_at, side="left") for x in (sick, well))
    weight = odds_at / (1 - odds_at)
    share = len(sick) / count
    axes.plot(odds_at, (hits - alarms * weight) / count, color=BLUE, linewidth=2, label="this model")
    axes.plot(odds_at, share - (1 - share) * weight, color=ORANGE, linewidth=1.5, linestyle="--", label="treat all")
    axes.axhline(0, color=GREY, linewidth=1.2, linestyle=":", label="treat none")
    axes.axvline(decision.threshold, color=GREY, linewidth=1, linestyle="-.", label="threshold")
    axes.set(
        xlabel="Threshold probability at which one would act",
        ylabel="Net benefit per picture",
        xlim=(0, 1),
        ylim=(-0.05, max(0.1, share * 1.1)),
    )
    axes.legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none", fontsize=9)
    return figure


def confusion_matrix(counts: dict[str, int], title: str = "") -> Figure:
    """Confusion matrix of {"tn", "fp", "fn", "tp"}: counts, and the share of the true class in each cell."""
    figure, axes = new_axes(4.2, 3.8)
    axes.grid(False)
    rows = [[counts["tn"], counts["fp"]], [counts["fn"], counts["tp"]]]
    share = [[cell / max(1, sum(row)) for cell in row] for row in rows]
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            colour = "white" if share[i][j] > 0.5 else "#1A1A1A"
            axes.text(j, i, f"{cell}\n{percent(share[i][j])}", ha="center", va="center", color=colour, fontsize=13)
    axes.set(xticks=[0, 1], yticks=[0, 1], xticklabels=LABELS, yticklabels=LABELS, xlabel="Answer", ylabel="Truth")
    axes.set_yticklabels(LABELS, rotation=90, va="center")
    axes.set_title(title, fontsize=11)
    return figure


def training_curves(history: Sequence[dict[str, Any]]) -> Figure:
    """Loss and development metrics per epoch from the Trainer's ``log_history``.

    Each entry is a dict with "epoch" and any of "loss", "eval_loss", "eval_roc_auc", "eval_accuracy",
    "eval_sensitivity", "eval_specificity"; ``stage`` in an entry, where it changes, draws a line.
    """
    figure, left = new_axes(8.6, 3.8)
    figure.delaxes(left)
    axes = figure.subplots(1, 2)
    for side in axes:
        side.spines[["top", "right"]].set_visible(False)
        side.grid(True, color="#E3E3E3", linewidth=0.8)
        side.xaxis.set_major_locator(MaxNLocator(integer=True))
    lines = (
        (0, "loss", BLUE, "-", "training"),
        (0, "eval_loss", ORANGE, "--", "development"),
        (1, "eval_roc_auc", BLUE, "-", "AUC"),
        (1, "eval_accuracy", GREY, "-.", "accuracy"),
        (1, "eval_sensitivity", ORANGE, "--", "sensitivity"),
        (1, "eval_specificity", GREEN, ":", "specificity"),
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
                side.axvline(before["epoch"], color=GREY, linewidth=1, linestyle=":")
    axes[0].set(xlabel="Epoch", ylabel="Loss (class-weighted)")
    axes[1].set(xlabel="Epoch", ylabel="Development-validation")
    for side in axes:
        if side.lines:
            side.legend(frameon=False, fontsize=9)
    return figure


def evaluation_figures(scores: Scores, decision: Decision, record: dict[str, Any]) -> dict[str, Figure]:
    """Every figure of an evaluated set, by file stem; ``record`` is its ``evaluation_record``."""
    drawn = {
        "roc": roc_curve(scores, decision, record["auc"]),
        "precision_recall": precision_recall_curve(scores, decision, record["average_precision"]),
        "thresholds": threshold_curves(scores, decision),
        "reliability": reliability_diagram(scores, decision, record["ece"]),
        "decision_curve": decision_curve(scores, decision),
        "scores": score_histograms(scores, decision),
    }
    for name, point in record["points"].items():
        if point is not None:
            title = f"{POINTS[name]}: probability >= {decimal(point['threshold'])}"
            stem = f"confusion_matrix_{name.replace('.', '_')}"
            drawn[stem] = confusion_matrix(point["confusion"], title)
    return drawn


def write_figures(drawn: dict[str, Figure], folder: str | Path) -> list[Path]:
    """Save every figure as PNG and SVG into the folder; returns the paths."""
    return [path for stem, figure in drawn.items() for path in save(figure, Path(folder) / stem)]
