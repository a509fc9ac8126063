"""metrics.py, hf_metric.py and prevalence.py against scikit-learn, statsmodels and hand counts."""

from __future__ import annotations

import json
import math
import socket

import numpy as np
import pytest
from generated import make_scores
from sklearn import metrics as sk
from statsmodels.stats.contingency_tables import Table2x2
from statsmodels.stats.proportion import proportion_confint

from hf_model.evaluation.figures import roc_curve
from hf_model.metrics.comparison import compare
from hf_model.metrics.decision import Decision
from hf_model.metrics.operating_point import fit_decision
from hf_model.metrics.prevalence import likelihood_ratios, predictive_values
from hf_model.metrics.record import confusion, evaluation_record, probability_of
from hf_model.metrics.subgroups import subgroup_table


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


def test_the_evaluate_metric_works_without_a_network(test_set, monkeypatch):
    from hf_model.metrics.trainer_metrics import PneumoniaMetric, make_compute_metrics

    def refuse(*_):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    metric = PneumoniaMetric(keep_in_memory=True)
    found = metric.compute(predictions=test_set.logits, references=test_set.labels, threshold=0.7)
    probability = 1 / (1 + np.exp(-test_set.margins))
    called, labels = (probability >= 0.7).astype(int), test_set.labels
    expected = {
        "accuracy": sk.accuracy_score(labels, called),
        "precision": sk.precision_score(labels, called),
        "recall": sk.recall_score(labels, called),
        "specificity": sk.recall_score(labels, called, pos_label=0),
        "f1": sk.f1_score(labels, called),
        "roc_auc": sk.roc_auc_score(labels, probability),
        "average_precision": sk.average_precision_score(labels, probability),
        "loss": sk.log_loss(labels, probability),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert found["sensitivity"] == found["recall"]
    assert found["tn"] + found["fp"] + found["fn"] + found["tp"] == len(labels)

    class Prediction:
        predictions = (test_set.logits, None)
        label_ids = labels

    again = make_compute_metrics(0.7)(Prediction)
    assert again["accuracy"] == found["accuracy"]
    assert again["log_loss"] == found["loss"]


def test_likelihood_ratios_equal_statsmodels_risk_ratio():
    # Confusion matrix of 390 sick and 234 well: LR+ is a ratio of two proportions, as a risk ratio is.
    tp, fn, tn, fp = 366, 24, 205, 29
    found = likelihood_ratios(tp, fn, tn, fp)
    for name, table in (("lr_positive", [[tp, fn], [fp, tn]]), ("lr_negative", [[fn, tp], [tn, fp]])):
        reference = Table2x2(table)
        assert found[name]["value"] == pytest.approx(reference.riskratio, abs=1e-12)
        assert found[name]["interval"] == pytest.approx(reference.riskratio_confint(), abs=1e-6)


def test_predictive_values_at_the_sets_own_prevalence_are_its_own():
    found = predictive_values(366, 24, 205, 29, 390 / 624)
    assert found["ppv"]["value"] == pytest.approx(366 / 395, abs=1e-12)
    assert found["npv"]["value"] == pytest.approx(205 / 229, abs=1e-12)
    for name in ("ppv", "npv"):
        low, high = found[name]["interval"]
        assert low < found[name]["value"] < high


def test_predictive_values_at_another_prevalence_by_hand():
    # Sensitivity 0.9, specificity 0.8, prevalence 0.1: PPV 0.09 / (0.09 + 0.18) = 1/3, NPV 0.72 / (0.72 + 0.01).
    found = predictive_values(90, 10, 80, 20, 0.1)
    assert found["ppv"]["value"] == pytest.approx(1 / 3, abs=1e-12)
    assert found["npv"]["value"] == pytest.approx(0.72 / 0.73, abs=1e-12)
    # Mercaldo et al. 2007: logit PPV +- 1.96 * sqrt((1 - se) / (se n1) + sp / ((1 - sp) n0))
    half = 1.959964 * math.sqrt(0.1 / 90 + 0.8 / 20)
    centre = math.log(0.5)
    ends = [1 / (1 + math.exp(-(centre - half))), 1 / (1 + math.exp(-(centre + half)))]
    assert found["ppv"]["interval"] == pytest.approx(ends, abs=1e-6)


def test_predictive_value_intervals_cover_over_2000_simulations():
    generator = np.random.default_rng(0)
    truth = 0.93 * 0.2 / (0.93 * 0.2 + 0.12 * 0.8)
    covered = 0
    for tp, tn in zip(generator.binomial(390, 0.93, 2000), generator.binomial(234, 0.88, 2000), strict=True):
        low, high = predictive_values(int(tp), int(390 - tp), int(tn), int(234 - tn), 0.2)["ppv"]["interval"]
        covered += low <= truth <= high
    assert covered / 2000 == pytest.approx(0.95, abs=0.015)


def test_no_false_alarm_still_gives_finite_ratios():
    found = likelihood_ratios(50, 0, 40, 0)
    assert found["lr_positive"]["value"] == pytest.approx((50.5 / 51) / (0.5 / 41))
    assert found["lr_negative"]["interval"][0] > 0
    with pytest.raises(ValueError, match="both classes"):
        likelihood_ratios(0, 0, 40, 0)


def test_a_class_of_one_picture_has_an_auc_without_an_interval(test_set, decision):
    sick = np.flatnonzero(test_set.labels == 1)[:1]
    few = test_set.select(np.concatenate([np.flatnonzero(test_set.labels == 0), sick]))
    record = evaluation_record(few, decision, replicates=20)
    group = subgroup_table(few, decision, {"ward": ["a"] * len(few)})["ward"]["a"]
    assert record["auc"]["value"] == group["auc"]["value"] == pytest.approx(36 / 43)
    assert record["auc"]["interval"] is group["auc"]["interval"] is None
    with np.testing.suppress_warnings() as quiet:
        quiet.filter(RuntimeWarning)
        compared = compare(few, few, decision, decision, replicates=20)
    assert compared["auc"]["delong_p_value"] is None
    json.dumps([record, group, compared], allow_nan=False)  # or the report of an opened test split would be lost
    assert roc_curve(few, decision, record["auc"]).axes[0].get_legend_handles_labels()[1][0] == (
        f"AUC {record['auc']['value']:.3f}"
    )


def test_the_threshold_itself_is_pneumonia():
    assert confusion(np.array([0.5, 0.5 - 1e-12]), np.array([1, 1]), 0.5) == {"tn": 0, "fp": 0, "fn": 1, "tp": 1}
