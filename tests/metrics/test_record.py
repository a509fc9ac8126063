"""The record of an evaluated set against scikit-learn, statsmodels and hand counts; its subgroups; its evidence."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from generated import make_scores
from sklearn import metrics as sk
from statsmodels.stats.proportion import proportion_confint

from hf_model.evaluation.figures import roc_curve
from hf_model.metrics.calibration import probability_of
from hf_model.metrics.comparison import compare
from hf_model.metrics.decision import Decision
from hf_model.metrics.operating_point import fit_decision
from hf_model.metrics.rates import confusion
from hf_model.metrics.record import aetiology_column, evaluation_record, evidence_figures, group_names, subgroup_table
from hf_model.metrics.scores import Scores
from hf_model.segmentation.outline import Evidence


@pytest.fixture
def decision(scores):
    return fit_decision(scores)


@pytest.fixture
def test_set():
    return make_scores(200, seed=5, separation=1.2)


def test_the_record_equals_scikit_learn_at_every_point(test_set, decision):
    record = evaluation_record(test_set, decision, replicates=200)
    probability, labels = probability_of(test_set, decision), test_set.labels
    assert record["auc"]["value"] == pytest.approx(sk.roc_auc_score(labels, probability), abs=1e-12)
    assert record["average_precision"]["value"] == pytest.approx(
        sk.average_precision_score(labels, probability), abs=1e-12
    )
    assert record["loss"] == pytest.approx(sk.log_loss(labels, probability), abs=1e-12)
    assert record["brier"] == pytest.approx(sk.brier_score_loss(labels, probability), abs=1e-12)
    assert set(record["points"]) == {"0.5", "argmax", "default", "rule_out", "rule_in"}
    fixed = {"0.5": 0.5, "argmax": 1 / (1 + np.exp(-decision.bias))}
    larger = test_set.logits[:, 1] >= test_set.logits[:, 0]
    assert record["points"]["argmax"]["confusion"]["tp"] == int((larger & (labels == 1)).sum())
    for name, point in record["points"].items():
        threshold = fixed.get(name) or decision.points[name].threshold
        assert point["threshold"] == threshold
        called = (probability >= threshold).astype(int)
        tn, fp, fn, tp = sk.confusion_matrix(labels, called).ravel()
        assert point["confusion"] == {"tn": tn, "fp": fp, "fn": fn, "tp": tp}
        expected = {
            "accuracy": sk.accuracy_score(labels, called),
            "sensitivity": sk.recall_score(labels, called),
            "specificity": sk.recall_score(labels, called, pos_label=0),
            "ppv": sk.precision_score(labels, called),
            "npv": sk.precision_score(labels, called, pos_label=0),
            "f1": sk.f1_score(labels, called),
            "balanced_accuracy": sk.balanced_accuracy_score(labels, called),
        }
        assert {key: point[key]["value"] for key in expected} == pytest.approx(expected, abs=1e-12)
        assert (point["precision"], point["recall"]) == (point["ppv"]["value"], point["sensitivity"]["value"])
        assert point["npv"]["interval"] == pytest.approx(proportion_confint(tn, tn + fn, method="wilson"), abs=1e-12)
        for key in expected:
            low, high = point[key]["interval"]
            assert low <= point[key]["value"] <= high


def test_the_record_counts_and_is_plain_json(test_set, decision):
    record = evaluation_record(test_set, decision, replicates=50, seed=3)
    assert (record["n"], record["patients"]) == (len(test_set), 200)
    assert record["normal"] + record["pneumonia"] == record["n"]
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert evaluation_record(test_set, decision, replicates=50, seed=3) == record


def test_the_cluster_interval_is_a_bootstrap_of_whole_patients(test_set, decision):
    """Against a plain loop that draws patients one at a time."""
    record = evaluation_record(test_set, decision, replicates=2000)
    called = probability_of(test_set, decision) >= decision.threshold
    sick = np.flatnonzero(test_set.labels == 1)
    groups = [sick[test_set.patient_codes[sick] == code] for code in np.unique(test_set.patient_codes[sick])]
    generator = np.random.default_rng(99)
    drawn = []
    for _ in range(2000):
        rows = np.concatenate([groups[index] for index in generator.integers(0, len(groups), len(groups))])
        drawn.append(called[rows].mean())
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert record["points"]["default"]["sensitivity"]["cluster_interval"] == pytest.approx([low, high], abs=0.012)
    wilson = record["points"]["default"]["sensitivity"]["interval"]
    assert high - low > 1.15 * (wilson[1] - wilson[0])


def test_a_set_of_one_class_has_no_auc_and_undefined_rates_are_none(test_set, decision):
    normal = test_set.select(test_set.labels == 0)
    record = evaluation_record(normal, decision, replicates=20)
    point = record["points"]["default"]
    assert (record["auc"]["value"], point["sensitivity"]["value"], point["sensitivity"]["interval"]) == (None,) * 3
    assert point["specificity"]["value"] == point["accuracy"]["value"]
    with pytest.raises(ValueError, match="no pictures"):
        evaluation_record(test_set.select([]), decision)


def test_without_calibration_only_one_half_is_a_point(test_set):
    record = evaluation_record(test_set, Decision(), replicates=20)
    assert set(record["points"]) == {"0.5", "default"}
    assert record["points"]["0.5"] == record["points"]["default"]


def test_a_class_of_one_picture_has_an_auc_without_an_interval(test_set, decision):
    sick = np.flatnonzero(test_set.labels == 1)[:1]
    few = test_set.select(np.concatenate([np.flatnonzero(test_set.labels == 0), sick]))
    record = evaluation_record(few, decision, replicates=20)
    group = subgroup_table(few, decision, {"ward": ["a"] * len(few)})["ward"]["a"]
    assert record["auc"]["value"] == group["auc"]["value"] == pytest.approx(36 / 43)
    assert record["auc"]["interval"] is group["auc"]["interval"] is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        compared = compare(few, few, decision, decision, replicates=20)
    assert compared["auc"]["delong_p_value"] is None
    json.dumps([record, group, compared], allow_nan=False)  # or the report of an opened test split would be lost
    assert roc_curve(few, decision, record["auc"]).axes[0].get_legend_handles_labels()[1][0] == (
        f"AUC {record['auc']['value']:.3f}"
    )


def test_the_threshold_itself_is_pneumonia():
    assert confusion(np.array([0.5, 0.5 - 1e-12]), np.array([1, 1]), 0.5) == {"tn": 0, "fp": 0, "fn": 1, "tp": 1}


def test_subgroups_by_hand(scores):
    decision = fit_decision(scores)
    kind = ["normal" if label == 0 else ("virus", "bacteria")[row % 2] for row, label in enumerate(scores.labels)]
    table = subgroup_table(scores, decision, {"kind": kind})["kind"]
    assert list(table) == ["bacteria", "normal", "virus"]
    member = np.array([name == "virus" for name in kind])
    probability = 1 / (1 + np.exp(-(scores.margins / decision.temperature + decision.bias)))
    assert table["virus"]["sensitivity"]["value"] == pytest.approx(np.mean(probability[member] >= decision.threshold))
    assert (table["virus"]["specificity"], table["normal"]["sensitivity"]) == (None, None)
    against = member | (scores.labels == 0)
    assert table["virus"]["auc"]["value"] == pytest.approx(
        sk.roc_auc_score(scores.labels[against], scores.margins[against])
    )
    assert (table["virus"]["auc_against"], "auc" in table["normal"]) == ("all normal", False)
    assert sum(group["n"] for group in table.values()) == len(scores)
    with pytest.raises(ValueError, match="2 values for"):
        subgroup_table(scores, decision, {"kind": ["a", "b"]})


def test_groups_of_numbers_gaps_and_many_values():
    ages = [*range(1, 21), None, float("nan")]
    groups = group_names(ages)
    assert groups[20:] == ["not given", "not given"]
    assert [groups[:20].count(name) for name in sorted(set(groups[:20]))] == [5, 5, 5, 5]
    assert groups[0] == "1. quarter: 1 to 5.75"
    assert group_names([1, 2, 2, None]) == ["1", "2", "2", "not given"]
    many = [f"site {number}" for number in range(12) for _ in range(number + 1)]
    assert set(group_names(many)) == {*(f"site {number}" for number in range(4, 12)), "other"}


def test_aetiology_comes_from_the_file_names(scores):
    names = ["person1_bacteria_2.jpeg", "person3_virus_4.jpeg", "IM-0001-0001.jpeg", "sick.png"]
    named = Scores(scores.logits[:4], [1, 1, 0, 1], names, names)
    assert aetiology_column(named) == {
        "aetiology (file name)": ["bacterial pneumonia", "viral pneumonia", "normal", None]
    }
    assert aetiology_column(scores) == {}


def test_means_of_each_class_and_pictures_without_evidence() -> None:
    evidence = [Evidence(0.2, False), None, Evidence(0.9, True), Evidence(0.7, True), Evidence(0.5, False)]
    found = evidence_figures(evidence, np.array([0, 0, 1, 1, 1]), ["a", "b", "c", "c", "d"])
    assert {name: (part["pictures"], part["patients"], part["without_evidence"]) for name, part in found.items()} == {
        "all": (5, 4, 1),
        "NORMAL": (2, 2, 1),
        "PNEUMONIA": (3, 2, 0),
    }
    assert found["PNEUMONIA"]["share"]["value"] == pytest.approx(0.7)
    assert found["PNEUMONIA"]["peak_inside"]["value"] == pytest.approx(2 / 3)
    assert found["all"]["share"]["value"] == pytest.approx(0.575)
    # patients c (mean 0.8) and d (0.5): whole patients are drawn
    assert found["PNEUMONIA"]["share"]["interval"] == pytest.approx([0.5, 0.8])


def test_no_evidence_at_all() -> None:
    found = evidence_figures([None, None], np.array([1, 1]), ["a", "b"])
    assert found["PNEUMONIA"] == {
        "pictures": 2, "patients": 2, "without_evidence": 2, "share": None, "peak_inside": None
    }  # fmt: skip
    assert "NORMAL" not in found
