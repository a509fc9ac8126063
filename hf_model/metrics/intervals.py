"""Confidence intervals: Wilson and Clopper-Pearson for rates, DeLong for AUC, cluster bootstrap for everything else.

All vectorised; nothing here knows of models or pictures. Serving imports this module for Wilson's interval, so SciPy is
imported only where it is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import Any

import numpy as np

Interval = tuple[float, float]
NORMAL = NormalDist()


def figure(value: float, interval: Interval | None) -> dict[str, Any]:
    """A figure as metrics.json holds it: ``{"value", "interval"}``, each None where it is undefined."""
    defined = interval is not None and bool(np.isfinite(interval).all())
    return {"value": float(value) if np.isfinite(value) else None, "interval": list(interval) if defined else None}


def proportion(successes: int, trials: int) -> dict[str, Any]:
    """A rate as metrics.json holds it, with Wilson's 95 % interval; both None where there are no trials."""
    return figure(successes / trials, wilson(successes, trials)) if trials else figure(np.nan, None)


def wilson(successes: np.ndarray | int, trials: np.ndarray | int, confidence: float = 0.95) -> tuple:
    """Wilson score interval (Wilson 1927), two-sided: counts, scalars or arrays -> (low, high), in [0, 1].

    NaN where there are no trials.
    """
    successes, trials = np.asarray(successes, dtype=float), np.asarray(trials, dtype=float)
    z2 = NORMAL.inv_cdf(0.5 + confidence / 2) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = (successes + z2 / 2) / (trials + z2)
        half = np.sqrt(z2 * (successes * (trials - successes) / trials + z2 / 4)) / (trials + z2)
    # The ends are exact at no and at all successes; rounding would leave them a last bit outside [0, 1].
    low = np.where(successes == 0, np.where(trials > 0, 0.0, np.nan), centre - half)
    high = np.where(successes == trials, np.where(trials > 0, 1.0, np.nan), centre + half)
    return (low, high) if low.ndim else (float(low), float(high))


def clopper_pearson(successes: np.ndarray | int, trials: np.ndarray | int, confidence: float = 0.95) -> tuple:
    """Exact interval (Clopper and Pearson 1934), two-sided: counts, scalars or arrays -> (low, high), in [0, 1]."""
    from scipy.stats import beta

    successes, trials = np.asarray(successes, dtype=float), np.asarray(trials, dtype=float)
    tail, none = (1 - confidence) / 2, np.where(trials > 0, 0.0, np.nan)
    low = np.where(successes == 0, none, beta.ppf(tail, successes, trials - successes + 1))
    high = np.where(successes == trials, none + 1, beta.ppf(1 - tail, successes + 1, trials - successes))
    return (low, high) if low.ndim else (float(low), float(high))


def auc_components(score: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """AUC with DeLong's structural components by midranks (Sun and Xu, IEEE SPL 2014), O(N log N).

    Returns the AUC, V10 (for every positive: share of negatives below) and V01 (for every negative: share of
    positives above). ValueError without both classes.
    """
    from scipy.stats import rankdata

    score, positive = np.asarray(score, dtype=float), np.asarray(labels) == 1
    count, others = int(positive.sum()), int((~positive).sum())
    if not count or not others:
        raise ValueError("AUC needs pictures of both classes; only one is there.")
    rank = rankdata(score)
    above = (rank[positive] - rankdata(score[positive])) / others
    below = 1.0 - (rank[~positive] - rankdata(score[~positive])) / count
    return float(above.mean()), above, below


def delong(score: np.ndarray, labels: np.ndarray, confidence: float = 0.95) -> tuple[float, Interval, float]:
    """AUC, its DeLong interval on the logit scale, and DeLong's standard error (DeLong et al., Biometrics 1988).

    The logit keeps the ends in (0, 1) and the coverage near its word for AUC close to 1 (Pepe 2003, section 5.2.3).
    At an AUC of 1 the variance is zero and tells nothing; the low end is then Hanley and McNeil's exact
    distribution-free bound for "no pair reversed" on the smaller class: (tail) ** (1 / smaller class).
    """
    auc, above, below = auc_components(score, labels)
    spread = [np.var(part, ddof=1) / len(part) if len(part) > 1 else np.nan for part in (above, below)]
    error = float(np.sqrt(np.sum(spread)))
    if auc in (0.0, 1.0):
        edge = ((1 - confidence) / 2) ** (1 / min(len(above), len(below)))
        return auc, ((edge, 1.0) if auc else (0.0, 1.0 - edge)), error
    half = NORMAL.inv_cdf(0.5 + confidence / 2) * error / (auc * (1 - auc))
    centre = np.log(auc / (1 - auc))
    return auc, tuple(float(1 / (1 + np.exp(-(centre + sign * half)))) for sign in (-1, 1)), error


def delong_test(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """Difference of two AUCs on the same pictures (second minus first), its standard error and two-sided p-value."""
    (auc_1, above_1, below_1), (auc_2, above_2, below_2) = (auc_components(score, labels) for score in (first, second))
    parts = (above_2 - above_1, below_2 - below_1)
    error = float(np.sqrt(sum(np.var(part, ddof=1) / len(part) for part in parts)))
    difference = auc_2 - auc_1
    p_value = math.erfc(abs(difference) / error / math.sqrt(2)) if error else float(difference == 0)
    return difference, error, p_value


def cluster_weights(
    codes: np.ndarray, *, replicates: int = 2000, seed: int = 0, chunk: int = 2_000_000
) -> Iterator[np.ndarray]:
    """Patient bootstrap as weights: how often each picture is drawn, float64 (at most ``replicates``, N) in chunks.

    ``codes`` (N,) are patients; whole patients are drawn with replacement, as many as there are. ``chunk`` limits
    the entries held at once.
    """
    patients, member = np.unique(codes, return_inverse=True)
    generator, count = np.random.default_rng(seed), len(patients)
    rows = max(1, chunk // max(1, len(member)))
    for start in range(0, replicates, rows):
        size = min(rows, replicates - start)
        drawn = generator.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)[:, member].astype(float)


def weighted_auc(score: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUC under picture weights (B, N) -> (B,); ties count half; NaN where a class has no weight."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) > 0])
    positive = np.asarray(labels)[order] == 1
    weights = weights[:, order]
    gain = np.add.reduceat(weights * positive, starts, axis=1)
    loss = np.add.reduceat(weights * ~positive, starts, axis=1)
    below = np.cumsum(loss, axis=1) - loss / 2
    with np.errstate(invalid="ignore"):
        return (gain * below).sum(axis=1) / (gain.sum(axis=1) * loss.sum(axis=1))


def weighted_average_precision(score: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision, sum of precision times recall step, under weights (B, N) -> (B,); NaN without positives."""
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) < 0])
    weights = weights[:, order]
    gain = np.add.reduceat(weights * (np.asarray(labels)[order] == 1), starts, axis=1)
    total = np.cumsum(np.add.reduceat(weights, starts, axis=1), axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(total > 0, np.cumsum(gain, axis=1) / total, 0.0)
        return (gain * precision).sum(axis=1) / gain.sum(axis=1)


def percentile(replicates: np.ndarray, confidence: float = 0.95) -> Interval | None:
    """Percentile interval of bootstrap replicates (B,), those that are undefined left out; None if all are."""
    usable = replicates[np.isfinite(replicates)]
    if not len(usable):
        return None
    low, high = np.quantile(usable, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
