"""The project's figures as an ``evaluate.Metric``: no script is fetched, so it works without a network.

Training only: importing this module imports ``evaluate`` and ``datasets``. For figures with intervals use
:func:`hf_model.metrics.record.evaluation_record`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import datasets
import evaluate
import numpy as np

from hf_model.config import DEFAULT_THRESHOLD
from hf_model.metrics.calibration import log_loss, probabilities
from hf_model.metrics.intervals import auc_components, weighted_auc, weighted_average_precision
from hf_model.metrics.rates import confusion, rates

_DESCRIPTION = "Two-class figures of a pneumonia classifier from its logits (normal, pneumonia)."
_INPUTS = """
Args:
    predictions: N pairs of logits, normal then pneumonia.
    references: N labels, 0 normal and 1 pneumonia.
    threshold: softmax probability of pneumonia at and above which the answer is pneumonia; 0.5 unless told.
    weights: N style weights (``hf_model.data.style``), none for equal ones.
Returns: loss, accuracy, precision, recall, sensitivity, specificity, f1, balanced_accuracy, roc_auc,
    style_balanced_auc (roc_auc under the weights), average_precision, tn, fp, fn, tp. 0.0 stands for a rate without
    a denominator, as in scikit-learn; the three areas are left out when a class is missing.
"""


class PneumoniaMetric(evaluate.Metric):
    """``PneumoniaMetric().compute(predictions=logits (N, 2), references=labels (N,), threshold=0.5)`` -> dict."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features(
            {"predictions": datasets.Sequence(datasets.Value("float32")), "references": datasets.Value("int64")}
        )
        return evaluate.MetricInfo(description=_DESCRIPTION, citation="", inputs_description=_INPUTS, features=features)

    def _compute(
        self, predictions: Any, references: Any, threshold: float = DEFAULT_THRESHOLD, weights: np.ndarray | None = None
    ) -> dict[str, float | int]:
        return classification_figures(np.asarray(predictions), np.asarray(references), threshold, weights)


def classification_figures(
    logits: np.ndarray, labels: np.ndarray, threshold: float = DEFAULT_THRESHOLD, weights: np.ndarray | None = None
) -> dict[str, float | int]:
    """The figures of :class:`PneumoniaMetric` from logits (N, 2) and labels (N,), without ``evaluate``'s table.

    weights: style weights (N,) of ``style_balanced_auc``; equal ones by default.
    """
    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    margins, counts = logits[:, 1] - logits[:, 0], confusion(probabilities(logits), labels, threshold)
    value = {name: float(np.nan_to_num(rate)) for name, rate in rates(**counts).items()}
    result: dict[str, float | int] = {
        "loss": float(log_loss(margins, labels).mean()),
        "precision": value["ppv"],
        "recall": value["sensitivity"],
        **{name: value[name] for name in ("accuracy", "sensitivity", "specificity", "f1", "balanced_accuracy")},
    }
    if 0 < labels.sum() < len(labels):
        result["roc_auc"] = auc_components(margins, labels)[0]
        equal = np.ones((1, len(labels)))
        styled = equal if weights is None else np.asarray(weights, dtype=np.float64)[None]
        result["style_balanced_auc"] = float(weighted_auc(margins, labels, styled)[0])
        result["average_precision"] = float(weighted_average_precision(margins, labels, equal)[0])
    return result | counts


def make_compute_metrics(
    threshold: float = DEFAULT_THRESHOLD, weights: np.ndarray | None = None
) -> Callable[[Any], dict[str, float | int]]:
    """A ``compute_metrics`` for ``transformers.Trainer``: takes an ``EvalPrediction``, returns the figures.

    A model that returns more than logits is fine: the first output is taken. "loss" is left to the Trainer, which
    weights its own by class, so it is renamed "log_loss" here.

    weights: style weights (N,) of the evaluated pictures in their order, for ``style_balanced_auc``.
    """
    metric = PneumoniaMetric(keep_in_memory=True)

    def compute_metrics(prediction: Any) -> dict[str, float | int]:
        logits = prediction.predictions[0] if isinstance(prediction.predictions, tuple) else prediction.predictions
        figures = metric.compute(
            predictions=logits, references=prediction.label_ids, threshold=threshold, weights=weights
        )
        figures["log_loss"] = figures.pop("loss")
        return figures

    return compute_metrics
