"""What is drawn is what was computed, files are written, colours can be distinguished."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from hf_model.evaluation import figures
from hf_model.metrics.operating_point import fit_decision
from hf_model.metrics.record import evaluation_record


@pytest.fixture
def evaluated(scores):
    decision = fit_decision(scores)
    return scores, decision, evaluation_record(scores, decision, replicates=50)


def test_every_figure_is_drawn_and_written_as_png_and_svg(tmp_path, evaluated):
    drawn = figures.evaluation_figures(*evaluated)
    points = {f"confusion_matrix_{name}" for name in ("0_5", "argmax", "default", "rule_out", "rule_in")}
    assert set(drawn) == points | {"roc", "precision_recall", "thresholds", "reliability", "decision_curve", "scores"}
    paths = figures.write_figures({name: drawn[name] for name in ("reliability", "scores")}, tmp_path)
    assert sorted(path.name for path in paths) == ["reliability.png", "reliability.svg", "scores.png", "scores.svg"]
    for path in paths:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert len(set(picture.convert("L").resize((200, 200)).tobytes())) > 10
        else:
            assert path.read_text(encoding="utf-8").startswith("<?xml")


def test_the_operating_point_lies_on_the_roc_curve(evaluated):
    scores, decision, record = evaluated
    axes = figures.roc_curve(scores, decision, record["auc"]).axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    curve = lines[
        f"AUC {record['auc']['value']:.3f} ({record['auc']['interval'][0]:.3f} to {record['auc']['interval'][1]:.3f})"
    ].get_xydata()
    area = np.trapezoid(curve[:, 1], curve[:, 0])
    assert area == pytest.approx(record["auc"]["value"], abs=1e-9)
    point = record["points"]["default"]
    expected = [1 - point["specificity"]["value"], point["sensitivity"]["value"]]
    assert lines["threshold"].get_xydata()[0] == pytest.approx(expected)
    assert np.abs(curve - expected).sum(axis=1).min() < 1e-12


def test_sensitivity_and_specificity_curves_pass_through_the_record(evaluated):
    scores, decision, record = evaluated
    axes = figures.threshold_curves(scores, decision).axes[0]
    lines = {line.get_label(): line.get_xydata() for line in axes.lines}
    for name in ("sensitivity", "specificity"):
        curve = lines[name.capitalize()]
        assert curve[np.argmin(np.abs(curve[:, 0] - 0.5)), 1] == record["points"]["0.5"][name]["value"]


def test_net_benefit_of_all_and_of_the_model_at_one_half(evaluated):
    scores, decision, record = evaluated
    lines = {line.get_label(): line.get_xydata() for line in figures.decision_curve(scores, decision).axes[0].lines}
    row = int(np.argmin(np.abs(lines["this model"][:, 0] - 0.5)))
    counts = record["points"]["0.5"]["confusion"]
    assert lines["this model"][row, 1] == pytest.approx((counts["tp"] - counts["fp"]) / record["n"])
    assert lines["treat all"][row, 1] == pytest.approx((record["pneumonia"] - record["normal"]) / record["n"])


def test_confusion_matrix_shows_counts_and_row_shares():
    figure = figures.confusion_matrix({"tn": 206, "fp": 28, "fn": 24, "tp": 366}, "here")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["206\n88.0 %", "28\n12.0 %", "24\n6.2 %", "366\n93.8 %"]


def test_training_curves_from_a_log_history():
    history = [
        {"epoch": 1.0, "loss": 0.5, "stage": "head"},
        {"epoch": 1.0, "eval_loss": 0.4, "eval_roc_auc": 0.9},
        {"epoch": 2.0, "loss": 0.3, "stage": "all"},
        {"epoch": 2.0, "eval_loss": 0.2, "eval_roc_auc": 0.95},
    ]
    left, right = figures.training_curves(history).axes
    assert {line.get_label(): line.get_ydata().tolist() for line in left.lines[:2]} == {
        "training": [0.5, 0.3],
        "development": [0.4, 0.2],
    }
    assert right.lines[0].get_ydata().tolist() == [0.9, 0.95]
    assert len(left.lines) == 3  # and where the second stage begins
    assert len(figures.training_curves([]).axes) == 2


def luminance(colour: str) -> float:
    channel = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channel]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", [figures.BLUE, figures.ORANGE, figures.GREEN, figures.GREY])
def test_line_colours_have_the_contrast_of_wcag_graphics(colour):
    assert 1.05 / (luminance(colour) + 0.05) >= 3.0


def test_only_the_figure_modules_import_matplotlib():
    code = "import sys, hf_model.metrics.record, hf_model.metrics.comparison; print('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
