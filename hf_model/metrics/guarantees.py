"""Whether the guarantees fitted on the calibration patients hold on other pictures, with the thresholds frozen."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import ks_2samp

from hf_model.metrics.calibration import fit_temperature, probability_of
from hf_model.metrics.decision import Decision, OperatingPoint
from hf_model.metrics.intervals import clopper_pearson
from hf_model.metrics.operating_point import exact_lower_bound, one_per_patient
from hf_model.metrics.scores import Scores
from hf_model.wording import percent, setting

HOLDS, BROKEN, OPEN = "holds", "broken", "open"


def check_guarantees(scores: Scores, decision: Decision, *, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Each point's promise on new patients, one picture of each drawn at random, as on the calibration set.

    "holds" if the exact one-sided lower bound (at the point's confidence) reaches the target, "broken" if the upper
    bound stays below it, "open" if the patients are too few to tell. {"verdict", "target", "patients", "errors",
    "value", "interval" (two-sided 95 % Clopper-Pearson), "lower_bound", "upper_bound", "sentence"} by point name.
    """
    probability = probability_of(scores, decision)
    result = {}
    for name, point in decision.points.items():
        member = scores.labels == (1 if point.kind == "sensitivity" else 0)
        if point.threshold is None or not member.any():
            continue
        values = one_per_patient(probability[member], scores.patient_codes[member], seed=seed)
        wrong = values < point.threshold if point.kind == "sensitivity" else values >= point.threshold
        result[name] = _verdict(point, int(wrong.sum()), len(values))
    return result


def _verdict(point: OperatingPoint, errors: int, patients: int) -> dict[str, Any]:
    lower = exact_lower_bound(errors, patients, point.confidence)
    upper = 1.0 - exact_lower_bound(patients - errors, patients, point.confidence)
    verdict = HOLDS if lower >= point.target else BROKEN if upper < point.target else OPEN
    value, interval = 1 - errors / patients, clopper_pearson(patients - errors, patients)
    who = "with pneumonia" if point.kind == "sensitivity" else "without pneumonia"
    target = f"a {point.kind} of at least {setting(point.target)}"
    sure = f"with {setting(point.confidence)} confidence"
    known = {
        HOLDS: f"at least {percent(lower)} {sure}",
        BROKEN: f"at most {percent(upper)} {sure}",
        OPEN: f"at least {percent(lower)} and at most {percent(upper)}, each {sure}",
    }[verdict]
    facts = (
        f"{errors} of {patients} patients {who} fall on the wrong side of {point.threshold:.4f}, a {point.kind} of "
        f"{percent(value)}, {known}."
    )
    sentence = {
        HOLDS: f"The promise of {target} holds here: {facts}",
        BROKEN: f"The promise of {target} does not hold here: {facts} Recalibrate on local pictures before use.",
        OPEN: f"Whether the promise of {target} holds here cannot be told from so few patients: {facts}",
    }[verdict]
    if verdict == OPEN and value < point.target:
        sentence = (
            f"The promise of {target} is not met by the estimate here, though chance could explain it: {facts} "
            "Don't rely on it."
        )
    return {
        "verdict": verdict,
        "kind": point.kind,
        "target": point.target,
        "threshold": point.threshold,
        "patients": patients,
        "errors": errors,
        "value": value,
        "interval": list(interval),
        "lower_bound": lower,
        "upper_bound": upper,
        "sentence": sentence,
    }


def score_shift(calibration: Scores, scores: Scores, decision: Decision) -> dict[str, Any]:
    """How far the scores moved since calibration, class by class, on the calibrated log-odds.

    {"normal" and "pneumonia": {"calibration", "here" (mean log-odds), "shift", "ks" (Kolmogorov-Smirnov distance, 0
    to 1)}, "calibration_slope" and "calibration_intercept": the logistic refit on these pictures, 1 and 0 where the
    probabilities are right (Cox 1958), "sentence"}. A class that is missing in either set is left out.
    """
    before, after = (part.margins / decision.temperature + decision.bias for part in (calibration, scores))
    result: dict[str, Any] = {}
    for label, name in enumerate(("normal", "pneumonia")):
        old, new = before[calibration.labels == label], after[scores.labels == label]
        if len(old) and len(new):
            shift = float(new.mean() - old.mean())
            distance = float(ks_2samp(old, new).statistic)
            result[name] = {"calibration": float(old.mean()), "here": float(new.mean()), "shift": shift, "ks": distance}
    if 0 < scores.labels.sum() < len(scores):
        logits = np.stack([np.zeros_like(after), after], axis=1)
        fit = fit_temperature(logits, scores.labels, with_bias=True)
        result["calibration_slope"], result["calibration_intercept"] = 1 / fit.temperature, fit.bias
    result["sentence"] = _shift_sentence(result)
    return result


def _shift_sentence(result: dict[str, Any]) -> str:
    parts = []
    for name, who in (("normal", "normal pictures"), ("pneumonia", "pictures with pneumonia")):
        if name in result:
            shift = result[name]["shift"]
            where = "higher" if shift > 0 else "lower"
            parts.append(
                f"{who} score {abs(shift):.2f} {where} (distance of the distributions {result[name]['ks']:.2f})"
            )
    if not parts:
        return "The two sets have no class in common, so a shift cannot be measured."
    return f"In log-odds against the calibration pictures, {' and '.join(parts)}."
