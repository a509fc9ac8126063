"""Probability from logits: temperature, bias, and how far the probabilities can be believed.

Temperature scaling: Guo et al., ICML 2017. Debiased squared calibration error: Kumar, Liang and Ma, NeurIPS 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.model_selection import StratifiedGroupKFold

from hf_model.metrics.decision import Decision
from hf_model.metrics.scores import Scores

TEMPERATURE_LIMITS = (0.2, 20.0)
"""Perfectly separated pictures would drive the temperature to zero and every probability to 0 or 1."""
BIAS_LIMITS = (-10.0, 10.0)


@dataclass(frozen=True)
class Calibration:
    """``probability = sigmoid(margin / temperature + bias)`` and what decided whether a bias is kept.

    ``cross_validated_loss`` holds the out-of-fold log loss (nats per picture) of "none", "temperature" and
    "temperature_and_bias", and "gain_standard_error" of what the bias gains; None when it was not run. ``at_limit`` is
    True where the fit stopped at a limit.
    """

    temperature: float
    bias: float = 0.0
    at_limit: bool = False
    cross_validated_loss: dict[str, float] | None = None


def probabilities(logits: np.ndarray, temperature: float = 1.0, bias: float = 0.0) -> np.ndarray:
    """Vectorised ``Decision.probability``: logits (N, 2) -> float64 (N,) in [0, 1]."""
    logits = np.asarray(logits, dtype=np.float64)
    return expit((logits[:, 1] - logits[:, 0]) / temperature + bias)


def probability_of(scores: Scores, decision: Decision) -> np.ndarray:
    """Calibrated probabilities of pneumonia, float64 (N,)."""
    return probabilities(scores.logits, decision.temperature, decision.bias)


def log_loss(margins: np.ndarray, labels: np.ndarray, temperature: float = 1.0, bias: float = 0.0) -> np.ndarray:
    """Cross-entropy of each picture in nats, float64 (N,); finite however sure the wrong answer is."""
    signed = np.where(np.asarray(labels) == 1, 1.0, -1.0) * (np.asarray(margins) / temperature + bias)
    return np.logaddexp(0.0, -signed)


def fit_temperature(logits: np.ndarray, labels: np.ndarray, *, with_bias: bool = False) -> Calibration:
    """Minimise the mean log loss over the temperature (and a bias) on logits (N, 2) and labels (N,).

    ValueError without pictures of both classes.
    """
    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if len(np.unique(labels)) < 2:
        raise ValueError("Calibration needs pictures of both classes, normal and pneumonia; only one is there.")
    margins = logits[:, 1] - logits[:, 0]

    def objective(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slope, bias = np.exp(-parameters[0]), parameters[1] if with_bias else 0.0
        residual = expit(margins * slope + bias) - labels
        gradient = [-np.mean(residual * margins) * slope, np.mean(residual)]
        return log_loss(margins, labels, 1.0 / slope, bias).mean(), np.array(gradient[: len(parameters)])

    limits = [tuple(np.log(TEMPERATURE_LIMITS)), BIAS_LIMITS][: 1 + with_bias]
    options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 500}
    found = minimize(objective, np.zeros(len(limits)), jac=True, method="L-BFGS-B", bounds=limits, options=options).x
    at_limit = any(min(value - low, high - value) < 1e-6 for value, (low, high) in zip(found, limits, strict=True))
    return Calibration(float(np.exp(found[0])), float(found[1]) if with_bias else 0.0, bool(at_limit))


def fit_calibration(scores: Scores, *, folds: int = 5, seed: int = 0) -> Calibration:
    """Temperature, and a bias if it lowers the log loss of patients that it was not fitted on.

    Training weights the classes, so its margins belong to a balanced set and the bias usually earns its place: it
    moves them to the calibration set's prevalence. Patients are split into ``folds`` at random, stratified by class;
    the bias has to gain more than one standard error of the gain (over patients), or the simpler fit is kept. With
    fewer than ``folds`` patients in a class there is no bias.
    """
    first = np.unique(scores.patient_codes, return_index=True)[1]
    if min(np.bincount(scores.labels[first], minlength=2)) < folds:
        return fit_temperature(scores.logits, scores.labels)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    parts = list(splitter.split(scores.logits, scores.labels, scores.patient_codes))
    losses = {"none": log_loss(scores.margins, scores.labels)}
    for name, with_bias in (("temperature", False), ("temperature_and_bias", True)):
        losses[name] = np.empty(len(scores))
        for fitted, held in parts:
            fit = fit_temperature(scores.logits[fitted], scores.labels[fitted], with_bias=with_bias)
            held_loss = log_loss(scores.margins[held], scores.labels[held], fit.temperature, fit.bias)
            losses[name][held] = held_loss
    means = {name: float(loss.mean()) for name, loss in losses.items()}
    gain = losses["temperature"] - losses["temperature_and_bias"]
    of_patient = np.bincount(scores.patient_codes, gain - gain.mean())
    error = float(np.sqrt(np.sum(of_patient**2)) / len(gain))
    fit = fit_temperature(scores.logits, scores.labels, with_bias=bool(gain.mean() > error))
    return Calibration(fit.temperature, fit.bias, fit.at_limit, means | {"gain_standard_error": error})


def brier_score(probability: np.ndarray, labels: np.ndarray) -> float:
    """Mean squared difference of probability and label, 0 (best) to 1 (Brier 1950)."""
    return float(np.mean((np.asarray(probability) - np.asarray(labels)) ** 2))


def reliability(probability: np.ndarray, labels: np.ndarray, *, bins: int = 10, equal_mass: bool = False) -> dict:
    """Non-empty bins of a reliability diagram.

    Equal width on [0, 1], or with ``equal_mass`` equal counts (ties stay in one bin). Returns arrays of B: "count",
    "mean_probability", "observed" (share of pneumonia), and "edges" (bins + 1).
    """
    probability, labels = np.asarray(probability, dtype=np.float64), np.asarray(labels)
    edges = np.linspace(0.0, 1.0, bins + 1)
    if equal_mass and len(probability):
        edges = np.concatenate(([0.0], np.quantile(probability, edges[1:-1]), [1.0]))
    index = np.searchsorted(edges[1:-1], probability, side="right")
    count = np.bincount(index, minlength=bins)
    kept = count > 0
    mean = np.bincount(index, probability, bins)[kept] / count[kept]
    observed = np.bincount(index, labels, bins)[kept] / count[kept]
    return {"count": count[kept], "mean_probability": mean, "observed": observed, "edges": edges}


def calibration_errors(probability: np.ndarray, labels: np.ndarray, *, bins: int = 10, seed: int = 0) -> dict:
    """Expected calibration error, four ways, all in [0, 1].

    "binned" (equal width) and "adaptive" (equal mass) are mean absolute gaps of probability and observed share;
    both are above zero even for perfect probabilities, and "expected_if_calibrated" is how much (mean binned error of
    200 label sets drawn from the probabilities themselves). "debiased_rms" is the root of the squared error over
    equal-mass bins less its sampling variance (Kumar et al. 2019, definition 4.1), zero when that is negative.
    """
    probability = np.asarray(probability, dtype=np.float64)
    wide, equal = (reliability(probability, labels, bins=bins, equal_mass=mass) for mass in (False, True))
    drawn = np.random.default_rng(seed).random((200, len(probability))) < probability
    index = np.searchsorted(wide["edges"][1:-1], probability, side="right")
    member = (index[:, None] == np.arange(bins)).astype(np.float64)
    gaps = np.abs((drawn - probability) @ member).sum(axis=1) / len(probability)
    several = equal["count"] > 1
    count, observed = equal["count"][several], equal["observed"][several]
    squared = (equal["mean_probability"][several] - observed) ** 2 - observed * (1 - observed) / (count - 1)
    return {
        "bins": bins,
        "binned": _weighted_gap(wide),
        "adaptive": _weighted_gap(equal),
        "debiased_rms": float(np.sqrt(max(0.0, np.sum(count * squared) / max(1, count.sum())))),
        "expected_if_calibrated": float(gaps.mean()),
    }


def _weighted_gap(table: dict) -> float:
    gap = np.abs(table["mean_probability"] - table["observed"])
    return float(np.sum(table["count"] * gap) / table["count"].sum())
