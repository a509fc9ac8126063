"""Thresholds with a guarantee: Learn then Test with an exact binomial test, patients as the unit.

Angelopoulos, Bates, Candès, Jordan and Lei, "Learn then Test" (2021), fixed-sequence testing: thresholds are tried
from the safest on, each against "sensitivity is below the target" with the exact binomial p-value, and the last one
before the first that is not rejected is taken. Errors only grow along the way, so the first that fails is the first
with more errors than allowed, and every threshold in between may be tried at no cost: the answer is an order
statistic of the scores. That makes it exact for any distribution, and temperature and bias fitted on the same
pictures do no harm, because they leave the order of the scores as it is.

The unit is the patient: of several pictures of a patient one is drawn at random, so errors are independent and their
number is binomial. The guarantee is exact, for the sensitivity on one picture of a new patient: what a user has. It
matters: tests/metrics/test_operating_point.py simulates 1,000 calibration sets of 200 patients, half of them with one
picture and half with eight. The true sensitivity is below the target in 2.5 % of the sets; if pictures counted as
independent, it would be in 10 to 18 %, when the pictures of a patient resemble each other a little or much.

Each point's confidence is its own; nothing is claimed about all three holding at once.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.stats import beta, binom

from hf_model.metrics.calibration import fit_calibration, probabilities
from hf_model.metrics.decision import Decision, OperatingPoint
from hf_model.metrics.scores import Scores

UNIT = "one picture per patient, drawn at random"
"""What is counted, as ``decision.json`` says it."""
DECIMALS = 6
"""Thresholds are rounded to the safe side, so that a last-bit difference between engines changes no decision."""


def allowed_errors(patients: int, target: float, confidence: float = 0.95) -> int | None:
    """Most errors among ``patients`` with which a rate of at least ``target`` is proven; None if even 0 is too many.

    The largest k with P(Binomial(patients, 1 - target) <= k) <= 1 - confidence, which is the same as an exact
    one-sided Clopper-Pearson lower bound of (patients - k) / patients that is at least ``target``.
    """
    _check_rate("target", target)
    _check_rate("confidence", confidence)
    tail = binom.cdf(np.arange(patients + 1), patients, 1.0 - target)
    count = int(np.sum(tail <= (1.0 - confidence) * (1 + 1e-12)))
    return count - 1 if patients and count else None


def patients_needed(target: float, confidence: float = 0.95) -> int:
    """Fewest patients, without one error, that prove the target: 59 for 0.95 and 299 for 0.99 at 0.95 confidence."""
    _check_rate("target", target)
    _check_rate("confidence", confidence)
    return math.ceil(math.log(1.0 - confidence) / math.log(target) - 1e-12)


def exact_lower_bound(errors: int, patients: int, confidence: float = 0.95) -> float:
    """One-sided Clopper-Pearson lower bound of the rate of patients without error, in [0, 1]."""
    if not 0 <= errors <= patients or patients == 0:
        raise ValueError(f"{errors} errors among {patients} patients is not possible.")
    return 0.0 if errors == patients else float(beta.ppf(1.0 - confidence, patients - errors, errors + 1))


def one_per_patient(values: np.ndarray, codes: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """The score of one picture of each patient, drawn at random: values (N,) and patient codes (N,) -> (patients,)."""
    shuffled = np.random.default_rng(seed).permutation(len(values))
    return values[shuffled[np.unique(codes[shuffled], return_index=True)[1]]]


def fit_point(
    name: str, values: np.ndarray, *, kind: str = "sensitivity", target: float = 0.95, confidence: float = 0.95
) -> OperatingPoint:
    """The operating point on the scores of one class, one probability per patient (P,): :func:`one_per_patient`.

    Kind "sensitivity": pneumonia scores, the highest threshold; "specificity": normal scores, the lowest threshold.
    With too few patients the threshold is None.
    """
    values = np.sort(np.asarray(values, dtype=np.float64))
    count = len(values)
    allowed = allowed_errors(count, target, confidence)
    base = {"name": name, "kind": kind, "target": target, "confidence": confidence, "patients": count}
    base |= {"patients_needed": patients_needed(target, confidence), "unit": UNIT}
    if allowed is None:
        return OperatingPoint(threshold=None, **base)
    if kind == "sensitivity":
        threshold = safe_threshold(values[allowed], above=False)
        errors = int(np.sum(values < threshold))
    elif kind == "specificity":
        # The answer is PNEUMONIA at the threshold too, so it must lie above the highest score that has to stay normal.
        threshold = safe_threshold(values[count - 1 - allowed], above=True)
        errors = int(np.sum(values >= threshold))
    else:
        raise ValueError(f'kind should be "sensitivity" or "specificity", not {kind!r}.')
    bound = exact_lower_bound(errors, count, confidence)
    return OperatingPoint(threshold=threshold, errors=errors, allowed_errors=allowed, lower_bound=bound, **base)


def fit_decision(
    scores: Scores,
    *,
    target_sensitivity: float = 0.95,
    confidence: float = 0.95,
    rule_out_sensitivity: float = 0.99,
    rule_in_specificity: float = 0.95,
    seed: int = 0,
    provenance: dict[str, Any] | None = None,
) -> Decision:
    """Temperature, bias and the three operating points, all from the calibration scores.

    ``provenance`` (hashes of data and weights) is stored with the counts. A point for which there are too few
    patients has no threshold and says how many it needs. ValueError without pictures of both classes.
    """
    fit = fit_calibration(scores, seed=seed)
    probability = probabilities(scores.logits, fit.temperature, fit.bias)
    wanted = {
        "default": ("sensitivity", target_sensitivity),
        "rule_out": ("sensitivity", rule_out_sensitivity),
        "rule_in": ("specificity", rule_in_specificity),
    }
    points = {}
    for name, (kind, target) in wanted.items():
        members = scores.labels == (1 if kind == "sensitivity" else 0)
        values = one_per_patient(probability[members], scores.patient_codes[members], seed=seed)
        points[name] = fit_point(name, values, kind=kind, target=target, confidence=confidence)
    counts = {
        "pictures": len(scores),
        "patients": scores.patient_count,
        "normal": int(np.sum(scores.labels == 0)),
        "pneumonia": int(np.sum(scores.labels == 1)),
        "unit": UNIT,
        "seed": seed,
        "temperature_at_limit": fit.at_limit,
        "cross_validated_log_loss": fit.cross_validated_loss,
    }
    prevalence = float(np.mean(scores.labels))
    return Decision(fit.temperature, fit.bias, prevalence, points, {**counts, **(provenance or {})})


def safe_threshold(value: float, *, above: bool) -> float:
    """The nearest multiple of 10**-DECIMALS at or below the value, or strictly above it."""
    step = math.floor(value * 10**DECIMALS)
    candidates = [round(number / 10**DECIMALS, DECIMALS) for number in range(max(0, step - 1), step + 3)]
    if above:
        return min(candidate for candidate in candidates if candidate > value)
    return max(candidate for candidate in candidates if candidate <= value)


def _check_rate(name: str, value: float) -> None:
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name} must be strictly between 0 and 1, not {value!r}.")
