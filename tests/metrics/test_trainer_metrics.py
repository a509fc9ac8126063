"""The Trainer's metrics against scikit-learn, without a network."""

from __future__ import annotations

import socket

import numpy as np
import pytest
from generated import make_scores
from sklearn import metrics as sk


def test_the_evaluate_metric_works_without_a_network(monkeypatch):
    from hf_model.metrics.trainer_metrics import PneumoniaMetric, make_compute_metrics

    test_set = make_scores(200, seed=5, separation=1.2)

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


def test_style_balanced_auc_is_scikit_learns_under_the_weights():
    from hf_model.metrics.trainer_metrics import classification_figures, make_compute_metrics

    scores = make_scores(150, seed=8, separation=1.0)
    weights = np.random.default_rng(0).uniform(0.2, 5, len(scores))
    expected = sk.roc_auc_score(scores.labels, scores.margins, sample_weight=weights)
    figures = classification_figures(scores.logits, scores.labels, weights=weights)
    assert figures["style_balanced_auc"] == pytest.approx(expected, abs=1e-12)
    assert classification_figures(scores.logits, scores.labels)["style_balanced_auc"] == pytest.approx(
        figures["roc_auc"], abs=1e-12
    )

    class Prediction:
        predictions, label_ids = scores.logits, scores.labels

    assert make_compute_metrics(weights=weights)(Prediction)["style_balanced_auc"] == pytest.approx(expected, abs=1e-6)
