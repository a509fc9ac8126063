"""Sentences of the findings from figures made up for them."""

from __future__ import annotations

import pytest

from hf_model.audit import figures
from hf_model.audit.findings import classes, is_above, labels, model, shortcuts
from hf_model.wording import ratio

AUC = {"value": 0.98, "interval": [0.97, 0.99]}


def part(listed: list[tuple[str, float, bool]]) -> dict:
    entries = [
        {"file": name, "label": "NORMAL", "confidence": value, "confident": sure} for name, value, sure in listed
    ]
    suspects = sum(sure for _, _, sure in listed)
    return {"labels": {"n": 5000, "auc": AUC, "disagree": len(listed), "suspects": suspects, "list": entries}}


def test_labels_that_nothing_contradicts():
    assert [f["text"] for f in labels(part([]))] == ["No label contradicts what the other patients' pictures suggest."]


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


def model_part(whole: dict, sharpness: float) -> dict:
    view = {"auc": AUC, "called": 0.5, "changed_answers": 0.0, "mean_change": 0.0}
    titles = [
        ("whole", "As it is"),
        ("outside", "Lungs masked"),
        ("inside", "Only the lungs' rectangle"),
        ("blur", "Blurred by 1 px"),
    ]
    views = [view | {"key": key, "title": title} | ({"auc": whole} if key == "whole" else {}) for key, title in titles]
    probe = {"key": "sharpness", "auc": {"value": sharpness, "interval": [0.5, 1.0]}}
    return {"name": "d", "model": {"n": 12, "views": views}, "probes": {"d": [probe]}}


@pytest.mark.parametrize(
    ("value", "interval", "sharpness", "words"),
    [
        (0.25, [0.0, 0.6], 0.888, "reaches 0.888; the model is not shown to be above chance, so no share is given."),
        (0.9, [0.8, 0.95], 0.92, "reaches 0.920, as much as the model or more: all of the model's AUC may not be lung"),
        (0.9, [0.8, 0.95], 0.7, "reaches 0.700, 50 % of the way from chance to the model: that much"),
        (0.9, [0.8, 0.95], 0.4, "reaches 0.400, 0 % of the way from chance"),
    ],
)
def test_a_share_of_the_model_s_auc_is_given_where_there_is_one(value, interval, sharpness, words):
    found = model(model_part({"value": value, "interval": interval}, sharpness))
    assert words in found[0]["text"]


def test_patients_that_are_unknown_are_not_said_to_be_held_out():
    (found,) = labels(part([("train/a.png", 0.4, False)]) | {"leakage": {"patient_keys": False}})
    assert "A classifier that never saw the picture (patients are unknown) contradicts 1 of 5,000" in found["text"]


def test_a_class_without_a_picture_is_a_fault():
    counts = [
        {"split": split, "class": name, "n": n}
        for split, name, n in (("train", "NORMAL", 5), ("train", "PNEUMONIA", 0), ("test", "PNEUMONIA", 3))
    ]
    (found,) = classes(counts)
    assert (found["severity"], found["text"]) == (
        "fault",
        "PNEUMONIA has no picture outside the test split: train.py needs both classes and does not start.",
    )


def test_labels_that_were_not_checked_are_told():
    note = "Labels were not checked: too few."
    assert [(f["severity"], f["text"]) for f in labels({"labels_note": note})] == [("note", note)]


def test_probes_that_were_left_out_are_told():
    audit = {"name": "d", "probes": {"d": []}, "probes_note": "Shortcuts were not probed."}
    assert [f["text"] for f in shortcuts(audit)] == ["Shortcuts were not probed."]


def test_an_auc_without_an_interval_is_no_shortcut_and_can_be_drawn():
    alone = {"value": 0.75, "interval": None}
    assert ratio(alone) == "0.750"
    assert not is_above(alone, 0.6)
    assert is_above(AUC, 0.6)
    axes = figures.probes_chart([("A", alone, False), ("B", AUC, True)]).axes[0]
    marks = [line.get_xdata() for line in axes.lines]
    assert [list(points) for points in marks if len(points) == 1] == [[0.98], [0.75]]
    assert axes.get_xlim()[0] == pytest.approx(0.43)
