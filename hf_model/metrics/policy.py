"""A policy of two thresholds, fitted with an exact test and required to hold in the worst held-out block as well.

Below ``lower`` the answer is "not likely", at and above ``upper`` "likely", between them "refer". ``lower`` is the
highest threshold that keeps a sensitivity, ``upper`` the lowest that keeps a specificity, each by two rules:

1. **Exact test on all patients.** Fixed-sequence testing with the binomial distribution (Learn then Test, Angelopoulos
   et al. 2021; see :mod:`hf_model.metrics.operating_point`): the rate is at least the target with the given
   confidence, for a new patient like those that the scores come from, if the model that scored them is the one that
   serves and has not learned from them. For a model that has (scores cross-fitted by models of the same recipe, each
   on the patients that it has not seen) the test is exact for the average of these models only; that the shipped model
   scores new patients as they did is an assumption, which the calibration patients of the shipped model can check.
2. **Worst block.** In every block (neighbouring file numbers, a period, a machine), scored by a model that has not
   seen the block, the observed rate is at least the target. With B blocks that are exchangeable with one that is still
   to come, the new block demands a more cautious threshold than all B with a probability of at most 1 / (B + 1): a
   statement about blocks, not about patients, and as weak as the number of blocks is small.

Both are proven by simulation in ``tests/metrics``. Every threshold counts one picture of each patient, drawn by the
seed, because pictures of one patient are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hf_model.config import LABELS, NORMAL, PNEUMONIA
from hf_model.metrics.intervals import wilson
from hf_model.metrics.operating_point import (
    allowed_errors,
    exact_lower_bound,
    patient_values,
    patients_needed,
    safe_threshold,
)

SHARES = ("cleared", "referred", "called")
"""What a policy does with a picture: below ``lower``, between, at and above ``upper``."""
ALL_PATIENTS = "all patients"
MIN_BLOCK = 20
"""Fewest patients of a class in a block whose rate is looked at: one error among fewer says nothing of 95 per cent."""


@dataclass(frozen=True)
class Bound:
    """One threshold and what was shown for it.

    ``kind`` is "sensitivity" or "specificity". ``patients``, ``errors``, ``allowed_errors`` and ``lower_bound`` (exact,
    one-sided) are of all patients of the class; ``blocks`` holds (patients, errors) of each block that was looked at.
    ``binding`` names what decided: "all patients" or a block. ``threshold`` is None where there are too few patients.
    """

    kind: str
    target: float
    confidence: float
    threshold: float | None
    patients: int
    patients_needed: int
    errors: int | None = None
    allowed_errors: int | None = None
    lower_bound: float | None = None
    binding: str = ALL_PATIENTS
    blocks: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """``lower`` <= ``threshold`` <= ``upper``, scores in [0, 1]; equal ones refer nobody."""

    lower: float
    threshold: float
    upper: float
    rule_out: Bound
    rule_in: Bound

    def __post_init__(self) -> None:
        if not 0.0 <= self.lower <= self.threshold <= self.upper:
            raise ValueError(
                f"A policy needs 0 <= lower <= threshold <= upper, not {self.lower}, {self.threshold}, {self.upper}."
            )

    def answers(self, scores: np.ndarray) -> np.ndarray:
        """Scores (N,) -> int64 (N,): the index in ``SHARES`` of what is done."""
        scores = np.asarray(scores, dtype=np.float64)
        return np.where(scores >= self.upper, 2, np.where(scores >= self.lower, 1, 0))


def fit_bound(
    scores: np.ndarray,
    patients: Sequence[object] | np.ndarray,
    *,
    kind: str,
    target: float,
    confidence: float = 0.95,
    blocks: Sequence[str] | np.ndarray | None = None,
    seed: int = 0,
) -> Bound:
    """The threshold of one class.

    Args:
        scores: (N,) of one class: pneumonia for kind "sensitivity", normal for "specificity".
        patients: (N,) keys. blocks: (N,) names, "" for a picture of no block; None without blocks.
        target, confidence: strictly between 0 and 1.

    Returns:
        For "sensitivity" the highest, for "specificity" the lowest threshold that meets both rules; None as threshold
        where there are fewer than ``patients_needed`` patients.

    Raises:
        ValueError: lengths differ, scores are not finite, or a target is out of range.
    """
    scores = np.asarray(scores, dtype=np.float64)
    codes = np.unique(np.asarray(patients, dtype=str), return_inverse=True)[1]
    names = np.full(len(scores), "") if blocks is None else np.asarray(blocks, dtype=str)
    if not len(scores) == len(codes) == len(names):
        raise ValueError(f"{len(scores)} scores, but {len(codes)} patients and {len(names)} blocks.")
    if not np.isfinite(scores).all():
        raise ValueError("Some scores are not finite.")
    if kind not in ("sensitivity", "specificity"):
        raise ValueError(f'kind should be "sensitivity" or "specificity", not {kind!r}.')
    groups = {ALL_PATIENTS: np.ones(len(scores), bool)} | {name: names == name for name in np.unique(names) if name}
    values = {
        name: np.sort(patient_values(scores[rows], codes[rows], kind=kind, seed=seed)) for name, rows in groups.items()
    }
    values = {name: chosen for name, chosen in values.items() if name == ALL_PATIENTS or len(chosen) >= MIN_BLOCK}
    count, allowed = len(values[ALL_PATIENTS]), allowed_errors(len(values[ALL_PATIENTS]), target, confidence)
    base = {"kind": kind, "target": target, "confidence": confidence, "patients": count}
    base |= {"patients_needed": patients_needed(target, confidence)}
    if allowed is None:
        return Bound(threshold=None, **base)
    limits = {name: math.floor(len(chosen) * (1 - target) + 1e-9) for name, chosen in values.items()}
    limits[ALL_PATIENTS] = allowed
    wanted = {name: _threshold(chosen, limits[name], kind) for name, chosen in values.items()}
    binding = (min if kind == "sensitivity" else max)(wanted, key=wanted.__getitem__)
    threshold = wanted[binding]
    errors = {name: _errors(chosen, threshold, kind) for name, chosen in values.items()}
    return Bound(
        threshold=threshold, errors=errors[ALL_PATIENTS], allowed_errors=allowed,
        lower_bound=exact_lower_bound(errors[ALL_PATIENTS], count, confidence), binding=binding,
        blocks={name: (len(values[name]), errors[name]) for name in values if name != ALL_PATIENTS}, **base,
    )  # fmt: skip


def _threshold(values: np.ndarray, allowed: int, kind: str) -> float:
    """The boldest threshold with at most ``allowed`` errors among sorted values (P,)."""
    if kind == "sensitivity":
        return safe_threshold(values[allowed], above=False)
    return safe_threshold(values[len(values) - 1 - allowed], above=True)


def _errors(values: np.ndarray, threshold: float, kind: str) -> int:
    return int(np.sum(values < threshold) if kind == "sensitivity" else np.sum(values >= threshold))


def make_policy(threshold: float, rule_out: Bound, rule_in: Bound) -> Policy | None:
    """Two bounds and the two-way threshold in one order; None where a bound has no threshold.

    - Rule-out above rule-in: every threshold between them keeps both rates, so nobody is referred. ``lower`` and
      ``upper`` become the two-way threshold, moved into that range.
    - A two-way threshold below rule-out: ``lower`` comes down to it. One above rule-in: it comes down to rule-in. Both
      moves only raise a sensitivity, so each promise is kept.
    """
    if rule_out.threshold is None or rule_in.threshold is None:
        return None
    out, into = rule_out.threshold, rule_in.threshold
    if out >= into:
        # below rule-in the specificity would break, above rule-out the sensitivity of rule-out
        both = min(max(threshold, into), out)
        return Policy(both, both, both, rule_out, rule_in)
    threshold = min(threshold, into)
    return Policy(min(out, threshold), threshold, into, rule_out, rule_in)


def policy_shares(
    policy: Policy, scores: np.ndarray, labels: np.ndarray, confidence: float = 0.95
) -> dict[str, dict[str, dict[str, object]]]:
    """Of each class, how many pictures are cleared, referred and called: counts, shares and Wilson intervals.

    Args:
        scores: (N,) in [0, 1]. labels: (N,) of 0 and 1.

    Returns:
        ``{"NORMAL": {"cleared": {"count", "n", "value", "interval"}, "referred": ..., "called": ...},
        "PNEUMONIA": ...}``; value and interval are None for a class that is not there.
    """
    answers, labels = policy.answers(scores), np.asarray(labels)
    if answers.shape != labels.shape:
        raise ValueError(f"{len(answers)} scores, but {len(labels)} labels.")
    out: dict[str, dict[str, dict[str, object]]] = {}
    for label in (NORMAL, PNEUMONIA):
        of_class = answers[labels == label]
        counts = {name: int(np.sum(of_class == number)) for number, name in enumerate(SHARES)}
        total = len(of_class)
        out[LABELS[label]] = {
            name: {
                "count": count,
                "n": total,
                "value": count / total if total else None,
                "interval": list(wilson(count, total, confidence)) if total else None,
            }
            for name, count in counts.items()
        }
    return out
