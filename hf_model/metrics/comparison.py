"""Two sets of scores for the same pictures: two checkpoints, or one checkpoint on two renderings."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import binomtest

from hf_model.metrics import intervals
from hf_model.metrics.calibration import probability_of
from hf_model.metrics.decision import Decision
from hf_model.metrics.rates import cells, rates
from hf_model.metrics.scores import Scores


def paired(first: Scores, second: Scores) -> tuple[Scores, Scores]:
    """The pictures that both have, joined by file name, in one order; the same list of names is one order already.

    ValueError when none is shared, a name comes twice, or a shared picture has two labels.
    """
    if first.names == second.names and np.array_equal(first.labels, second.labels):
        return first, second  # one set scored twice: names may repeat, as 1.png in both classes' folders
    for scores in (first, second):
        if len(set(scores.names)) != len(scores.names):
            raise ValueError("A file name comes twice in one set of scores; pictures cannot be joined by name.")
    where = {name: row for row, name in enumerate(second.names)}
    shared = [(row, where[name]) for row, name in enumerate(first.names) if name in where]
    if not shared:
        raise ValueError(f"No picture is in both sets (for example {first.names[:1]} against {second.names[:1]}).")
    rows = np.array(shared)
    one, two = first.select(rows[:, 0]), second.select(rows[:, 1])
    clash = np.flatnonzero(one.labels != two.labels)
    if len(clash):
        raise ValueError(f"{len(clash)} pictures have different labels in the two sets, e.g. {one.names[clash[0]]}.")
    return one, two


def rendering_agreement(first: Scores, second: Scores, decision: Decision) -> dict[str, Any]:
    """How far the answer moves when only the rendering of a picture changes.

    Differences of probability are second minus first. "flips" counts decisions that change at each point's threshold,
    split into those from pneumonia to normal and back; "answers_changed" counts likely/refer/not likely.
    """
    one, two = paired(first, second)
    before, after = probability_of(one, decision), probability_of(two, decision)
    gap = after - before
    worst = int(np.argmax(np.abs(gap)))
    thresholds = {"0.5": 0.5, "default": decision.threshold}
    thresholds |= {name: point.threshold for name, point in decision.points.items() if point.threshold is not None}
    answers = [decision.answer(p) != decision.answer(q) for p, q in zip(before.tolist(), after.tolist(), strict=True)]
    return {
        "n": len(one),
        "mean_absolute_difference": float(np.abs(gap).mean()),
        "mean_difference": {
            "all": float(gap.mean()),
            "normal": _mean(gap[one.labels == 0]),
            "pneumonia": _mean(gap[one.labels == 1]),
        },
        "largest_difference": float(abs(gap[worst])),
        "largest_difference_name": one.names[worst],
        "percentile_95": float(np.quantile(np.abs(gap), 0.95)),
        "flips": {name: _flips(before, after, threshold) for name, threshold in thresholds.items()},
        "answers_changed": int(sum(answers)),
    }


BAND = 0.01
"""Probabilities this close to the threshold may fall on either side of it in another engine's arithmetic."""


def engine_agreement(reference: Scores, logits: np.ndarray, decision: Decision) -> dict[str, Any]:
    """Another engine's logits (N, 2) on the very pictures of ``reference`` (torch in float32), in its order.

    Returns "n", the largest differences "max_logit_difference" and "max_probability_difference", "flips" (decisions
    at the threshold that change) and "flips_outside_band": those of pictures whose reference probability is more than
    ``BAND`` from the threshold. ValueError for another number of pictures.
    """
    logits = np.asarray(logits, dtype=np.float64)
    if logits.shape != reference.logits.shape:
        raise ValueError(f"The engine's logits are {logits.shape}, the reference's {reference.logits.shape}.")
    before = probability_of(reference, decision)
    after = probability_of(Scores(logits, reference.labels, reference.names, reference.patients), decision)
    flips = (before >= decision.threshold) != (after >= decision.threshold)
    return {
        "n": len(reference),
        "max_logit_difference": float(np.abs(logits - reference.logits).max()),
        "max_probability_difference": float(np.abs(after - before).max()),
        "flips": int(flips.sum()),
        "band": BAND,
        "flips_outside_band": int(np.sum(flips & (np.abs(before - decision.threshold) > BAND))),
    }


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _flips(before: np.ndarray, after: np.ndarray, threshold: float) -> dict[str, Any]:
    to_normal = int(np.sum((before >= threshold) & (after < threshold)))
    to_pneumonia = int(np.sum((before < threshold) & (after >= threshold)))
    count = to_normal + to_pneumonia
    return {
        "threshold": float(threshold),
        "count": count,
        "to_normal": to_normal,
        "to_pneumonia": to_pneumonia,
        "rate": intervals.proportion(count, len(before)),
    }


def mcnemar(first_right: np.ndarray, second_right: np.ndarray) -> dict[str, Any]:
    """Exact two-sided McNemar test on paired right/wrong (N,) booleans (McNemar 1947; binomial on discordant pairs)."""
    first_right, second_right = np.asarray(first_right, bool), np.asarray(second_right, bool)
    only_first, only_second = int(np.sum(first_right & ~second_right)), int(np.sum(~first_right & second_right))
    discordant = only_first + only_second
    p_value = float(binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0
    return {"only_first_right": only_first, "only_second_right": only_second, "p_value": p_value}


def compare(
    first: Scores,
    second: Scores,
    first_decision: Decision,
    second_decision: Decision,
    *,
    seed: int = 0,
    replicates: int = 2000,
) -> dict[str, Any]:
    """Two checkpoints on the same pictures: differences (second minus first) with paired cluster-bootstrap intervals.

    Each checkpoint decides at its own threshold. Both are evaluated on the same draw of patients, so what the pictures
    have in common cancels. Returns "auc", "average_precision", "brier", "accuracy", "sensitivity", "specificity",
    "balanced_accuracy": {"first", "second", "difference", "interval"}, None where a class is missing; AUC also has
    DeLong's paired test; "mcnemar" holds the exact test on all pictures, on "pneumonia" and on "normal".
    """
    one, two = paired(first, second)
    sides = [
        (one, probability_of(one, first_decision), first_decision.threshold),
        (two, probability_of(two, second_decision), second_decision.threshold),
    ]
    whole = np.ones((1, len(one)))
    value = [_statistics(scores, p, threshold, whole) for scores, p, threshold in sides]
    drawn: list[list[dict]] = [[], []]
    for weights in intervals.cluster_weights(one.patient_codes, replicates=replicates, seed=seed):
        for side, arguments in enumerate(sides):
            drawn[side].append(_statistics(*arguments, weights))
    result: dict[str, Any] = {"n": len(one), "patients": one.patient_count}
    for name in value[0]:
        first_value, second_value = float(value[0][name][0]), float(value[1][name][0])
        gaps = np.concatenate([b[name] - a[name] for a, b in zip(*drawn, strict=True)])
        difference = second_value - first_value
        found = intervals.figure(difference, intervals.percentile(gaps) if np.isfinite(difference) else None)
        result[name] = {
            "first": first_value if np.isfinite(first_value) else None,
            "second": second_value if np.isfinite(second_value) else None,
            "difference": found["value"],
            "interval": found["interval"],
        }
    if 0 < one.labels.sum() < len(one):
        p_value = intervals.delong_test(one.margins, two.margins, one.labels)[2]
        result["auc"]["delong_p_value"] = p_value if np.isfinite(p_value) else None
    right = [(p >= threshold) == (one.labels == 1) for _, p, threshold in sides]
    result["mcnemar"] = {"all": mcnemar(*right)}
    for label, name in enumerate(("normal", "pneumonia")):
        result["mcnemar"][name] = mcnemar(*(side[one.labels == label] for side in right))
    return result


def _statistics(scores: Scores, probability: np.ndarray, threshold: float, weights: np.ndarray) -> dict:
    """Each statistic under weights (B, N) -> (B,)."""
    rate = rates(*(weights @ cells(probability, scores.labels, threshold)).T)
    return {
        "auc": intervals.weighted_auc(scores.margins, scores.labels, weights),
        "average_precision": intervals.weighted_average_precision(scores.margins, scores.labels, weights),
        "brier": weights @ (probability - scores.labels) ** 2 / weights.sum(axis=1),
        **{name: rate[name] for name in ("accuracy", "sensitivity", "specificity", "balanced_accuracy")},
    }
