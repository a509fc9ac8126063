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

The two thresholds of the policy, rule-out and rule-in, have to hold in the worst block as well: in every block of
neighbouring file numbers (:mod:`hf_model.data.blocks`) with at least ``MIN_BLOCK`` patients of the class the observed
rate has to reach the target. That only makes them more cautious, so the exact test keeps its word. With B blocks that
are exchangeable with one still to come, and scored by a model that has seen none of them, the new block would demand a
more cautious threshold than all B with a probability of at most 1 / (B + 1): a statement about blocks, not patients,
and as weak as the blocks are few. :func:`hf_model.metrics.policy.guarantee` says what holds for which scores.

Each point's confidence is its own; nothing is claimed about all three holding at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import beta, binom

from hf_model.config import LABELS
from hf_model.data.blocks import number_blocks
from hf_model.metrics.calibration import fit_calibration, probabilities
from hf_model.metrics.decision import ALL_PATIENTS, Decision, OperatingPoint
from hf_model.metrics.policy import HELD_OUT, guarantee, policy_record
from hf_model.metrics.scores import Scores

UNIT = "one picture per patient, drawn at random"
"""What is counted, as ``decision.json`` says it."""
MIN_BLOCK = 20
"""Fewest patients of a class in a block whose rate is looked at: a share of fewer says little of 95 per cent."""
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
    name: str,
    values: np.ndarray,
    *,
    kind: str = "sensitivity",
    target: float = 0.95,
    confidence: float = 0.95,
    blocks: Sequence[str] | np.ndarray | None = None,
) -> OperatingPoint:
    """The operating point on the scores of one class, one probability per patient (P,): :func:`one_per_patient`.

    Args:
        values: pneumonia scores for kind "sensitivity", which gets the highest threshold that passes; normal scores for
            "specificity", which gets the lowest.
        blocks: the block of each patient (P,), "" for none: the observed rate of every block has to reach the target
            too. None: only the exact test on all patients.

    Returns:
        The point; with too few patients for the exact test its threshold is None.

    Raises:
        ValueError: another kind, scores that are not finite, or another number of blocks than of values.
    """
    values = np.asarray(values, dtype=np.float64)
    if kind not in ("sensitivity", "specificity"):
        raise ValueError(f'kind should be "sensitivity" or "specificity", not {kind!r}.')
    if not np.isfinite(values).all():
        raise ValueError("Some scores are not finite.")
    groups = _groups(values, blocks)
    count, allowed = len(values), allowed_errors(len(values), target, confidence)
    base = {"name": name, "kind": kind, "target": target, "confidence": confidence, "patients": count}
    base |= {"patients_needed": patients_needed(target, confidence), "unit": UNIT}
    if allowed is None:
        return OperatingPoint(threshold=None, **base)
    wanted = {ALL_PATIENTS: _boldest(values, allowed, kind)}
    for block, part in groups.items():
        wanted[block] = _boldest(part, math.floor(len(part) * (1 - target) + 1e-9), kind)
    binding = (min if kind == "sensitivity" else max)(wanted, key=wanted.__getitem__)
    errors = _errors(values, wanted[binding], kind)
    return OperatingPoint(
        threshold=wanted[binding],
        errors=errors,
        allowed_errors=allowed,
        lower_bound=exact_lower_bound(errors, count, confidence),
        **base,
        **(
            {}
            if blocks is None
            else {
                "binding": binding,
                "blocks": {block: (len(part), _errors(part, wanted[binding], kind)) for block, part in groups.items()},
            }
        ),
    )


def _groups(values: np.ndarray, blocks: Sequence[str] | np.ndarray | None) -> dict[str, np.ndarray]:
    """The scores of every block with enough patients, by its name."""
    if blocks is None:
        return {}
    names = np.asarray(blocks, dtype=str)
    if len(names) != len(values):
        raise ValueError(f"{len(values)} scores, but {len(names)} blocks.")
    parts = {str(name): values[names == name] for name in np.unique(names) if name}
    return {name: part for name, part in parts.items() if len(part) >= MIN_BLOCK}


def _boldest(values: np.ndarray, allowed: int, kind: str) -> float:
    """The highest threshold ("sensitivity"), or the lowest, with at most ``allowed`` errors among the values."""
    values = np.sort(values)
    if kind == "sensitivity":
        return safe_threshold(values[allowed], above=False)
    # The answer is PNEUMONIA at the threshold too, so it must lie above the highest score that has to stay normal.
    return safe_threshold(values[len(values) - 1 - allowed], above=True)


def _errors(values: np.ndarray, threshold: float, kind: str) -> int:
    return int(np.sum(values < threshold) if kind == "sensitivity" else np.sum(values >= threshold))


def fit_decision(
    scores: Scores,
    *,
    target_sensitivity: float = 0.95,
    confidence: float = 0.95,
    rule_out_sensitivity: float = 0.98,
    rule_in_specificity: float = 0.95,
    seed: int = 0,
    source: str = HELD_OUT,
    provenance: dict[str, Any] | None = None,
) -> Decision:
    """Temperature, bias, the two-way threshold and the policy's two, all from the calibration scores.

    The two-way threshold is lowered where it exceeds both bounds of the policy: that only raises its sensitivity, and
    ``upper`` need not follow it.

    Args:
        source: how the scores were made, a key of :data:`hf_model.metrics.policy.GUARANTEES`.
        provenance: hashes of data and weights, stored with the counts.

    Returns:
        The decision. A point for which there are too few patients has no threshold and says how many it needs.

    Raises:
        ValueError: pictures of one class only, or an unknown source.
    """
    fit = fit_calibration(scores, seed=seed)
    probability = probabilities(scores.logits, fit.temperature, fit.bias)
    blocks = np.array(number_blocks(scores.names, scores.patient_codes.astype(str).tolist()))
    wanted = {
        "default": ("sensitivity", target_sensitivity),
        "rule_out": ("sensitivity", rule_out_sensitivity),
        "rule_in": ("specificity", rule_in_specificity),
    }
    points, drawn = {}, {}
    for name, (kind, target) in wanted.items():
        members = np.flatnonzero(scores.labels == (1 if kind == "sensitivity" else 0))
        rows = one_per_patient(members, scores.patient_codes[members], seed=seed)
        drawn[name] = probability[rows]
        points[name] = fit_point(
            name,
            drawn[name],
            kind=kind,
            target=target,
            confidence=confidence,
            blocks=None if name == "default" else blocks[rows],
        )
    points["default"] = _lowered(points, drawn["default"])
    counts = {
        "pictures": len(scores),
        "patients": scores.patient_count,
        "normal": int(np.sum(scores.labels == 0)),
        "pneumonia": int(np.sum(scores.labels == 1)),
        "unit": UNIT,
        "seed": seed,
        "scores": source,
        "guarantee": guarantee(source, points),
        "temperature_at_limit": fit.at_limit,
        "cross_validated_log_loss": fit.cross_validated_loss,
    }
    prevalence = float(np.mean(scores.labels))
    decision = Decision(fit.temperature, fit.bias, prevalence, points, {**counts, **(provenance or {})})
    found = policy_record(scores, decision, seed=seed)
    return replace(decision, shares={label: found[label] for label in LABELS})


def _lowered(points: dict[str, OperatingPoint], values: np.ndarray) -> OperatingPoint:
    """The two-way point, at the higher of the policy's bounds if it lies above both."""
    point, ends = points["default"], [points["rule_out"], points["rule_in"]]
    if point.threshold is None or any(end.threshold is None for end in ends):
        return point
    limit = max(ends, key=lambda end: end.threshold)
    if point.threshold <= limit.threshold:
        return point
    errors = _errors(values, limit.threshold, point.kind)
    bound = exact_lower_bound(errors, len(values), point.confidence)
    return replace(point, threshold=limit.threshold, errors=errors, lower_bound=bound, binding=limit.name)


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
