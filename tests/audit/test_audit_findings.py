"""Sentences of the findings from figures made up for them."""

from __future__ import annotations

import pytest

from hf_model.audit import charts
from hf_model.audit.finding import auc_text, is_above
from hf_model.audit.findings_probes import labels, shortcuts

AUC = {"value": 0.98, "interval": [0.97, 0.99]}


def part(listed: list[tuple[str, float, bool]]) -> dict:
    entries = [
        {"file": name, "label": "NORMAL", "confidence": value, "confident": sure} for name, value, sure in listed
    ]
    suspects = sum(sure for _, _, sure in listed)
    return {"labels": {"n": 5000, "auc": AUC, "disagree": len(listed), "suspects": suspects, "list": entries}}


def test_labels_that_nothing_contradicts():
    assert [f["text"] for f in labels(part([]))] == [
        "No label contradicts what the other patients' pictures suggest."
    ]  # fmt: skip


def test_labels_that_a_classifier_contradicts_and_confident_learning_does_not():
    (found,) = labels(part([("train/a.png", 0.4, False)] * 40))
    assert found["severity"] == "note"
    assert found["text"] == (
        "A classifier that never saw the patient contradicts 40 of 5,000 labels (its AUC: 0.980 (0.970 to 0.990)). "
        "Confident learning calls none of them wrong. They are listed for a reader and dropped nowhere."
    )


def test_the_most_doubtful_is_the_first_that_confident_learning_calls_wrong():
    (found,) = labels(part([("train/hard.png", 0.01, False), ("train/wrong.png", 0.02, True)]))
    assert "The most doubtful is train/wrong.png, NORMAL, to which it gives 2.0 %." in found["text"]
    assert found["severity"] == "warning"


def test_labels_that_were_not_checked_are_told():
    note = "Labels were not checked: too few."
    assert [(f["severity"], f["text"]) for f in labels({"labels_note": note})] == [("note", note)]


def test_probes_that_were_left_out_are_told():
    audit = {"name": "d", "probes": {"d": []}, "probes_note": "Shortcuts were not probed."}
    assert [f["text"] for f in shortcuts(audit)] == ["Shortcuts were not probed."]


def test_an_auc_without_an_interval_is_no_shortcut_and_can_be_drawn():
    alone = {"value": 0.75, "interval": None}
    assert auc_text(alone) == "0.750"
    assert not is_above(alone, 0.6)
    assert is_above(AUC, 0.6)
    axes = charts.probes_chart([("A", alone, False), ("B", AUC, True)]).axes[0]
    marks = [line.get_xdata() for line in axes.lines]
    assert [list(points) for points in marks if len(points) == 1] == [[0.98], [0.75]]
    assert axes.get_xlim()[0] == pytest.approx(0.43)
