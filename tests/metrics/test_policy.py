"""policy.py: thresholds against counts by hand, the order of the three, shares, and both guarantees by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm

from hf_model.metrics.policy import MIN_BLOCK, SHARES, Bound, Policy, fit_bound, make_policy, policy_shares


def bound(kind: str, threshold: float | None) -> Bound:
    return Bound(kind=kind, target=0.95, confidence=0.95, threshold=threshold, patients=100, patients_needed=59)


def test_bounds_without_blocks_are_the_order_statistics_of_the_exact_test():
    scores, patients = np.arange(100) / 100, np.arange(100)
    # of 100 patients at 0.95 one error is allowed: 0.95^100 + 100 * 0.05 * 0.95^99 = 0.0371, with two 0.118
    rule_out = fit_bound(scores, patients, kind="sensitivity", target=0.95)
    assert (rule_out.threshold, rule_out.errors, rule_out.allowed_errors) == (0.01, 1, 1)
    rule_in = fit_bound(scores, patients, kind="specificity", target=0.95)
    assert (rule_in.threshold, rule_in.errors, rule_in.binding) == (0.980001, 1, "all patients")


def test_the_worst_block_decides_where_it_is_stricter():
    scores = np.r_[np.linspace(0.5, 0.9, 400), np.linspace(0.2, 0.6, 40)]
    blocks = ["good"] * 400 + ["bad"] * 40
    patients = np.arange(440)
    found = fit_bound(scores, patients, kind="sensitivity", target=0.95, blocks=blocks)
    # two of 40 may be missed: the third lowest of the block, 0.2 + 2 * 0.4 / 39
    assert found.binding == "bad"
    assert found.threshold == pytest.approx(0.2 + 0.8 / 39, abs=1e-6)
    assert found.blocks == {"bad": (40, 2), "good": (400, 0)}
    # all patients alone would have allowed 14 of 440
    assert found.allowed_errors == 14
    assert fit_bound(scores, patients, kind="sensitivity", target=0.95).errors == 14


def test_a_block_that_is_better_than_the_whole_changes_nothing():
    scores = np.r_[np.linspace(0.0, 0.5, 300), np.linspace(0.0, 0.1, 60)]
    blocks = [""] * 300 + ["easy"] * 60
    with_blocks = fit_bound(scores, np.arange(360), kind="specificity", target=0.95, blocks=blocks)
    without = fit_bound(scores, np.arange(360), kind="specificity", target=0.95)
    assert with_blocks.threshold == without.threshold
    assert with_blocks.blocks == {"easy": (60, 0)}


def test_blocks_of_few_patients_are_not_looked_at():
    scores = np.r_[np.linspace(0.5, 0.9, 100), np.zeros(MIN_BLOCK - 1)]
    blocks = [""] * 100 + ["small"] * (MIN_BLOCK - 1)
    assert fit_bound(scores, np.arange(len(scores)), kind="sensitivity", target=0.5, blocks=blocks).blocks == {}


def test_patients_count_once_and_not_their_pictures():
    scores = np.r_[np.zeros(50), np.full(99, 0.8)]
    patients = ["many"] * 50 + [f"p{number}" for number in range(99)]
    found = fit_bound(scores, patients, kind="sensitivity", target=0.95)
    assert (found.patients, found.errors, found.threshold) == (100, 1, 0.8)


def test_too_few_patients_give_no_threshold_and_no_policy():
    found = fit_bound(np.full(58, 0.9), np.arange(58), kind="sensitivity", target=0.95)
    assert (found.threshold, found.patients, found.patients_needed) == (None, 58, 59)
    assert make_policy(0.5, found, bound("specificity", 0.6)) is None


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="3 scores, but 2 patients"):
        fit_bound(np.zeros(3), ["a", "b"], kind="sensitivity", target=0.95)
    with pytest.raises(ValueError, match="not finite"):
        fit_bound(np.array([np.nan]), ["a"], kind="sensitivity", target=0.95)
    with pytest.raises(ValueError, match="kind should be"):
        fit_bound(np.zeros(2), ["a", "b"], kind="precision", target=0.95)
    with pytest.raises(ValueError, match="lower <= threshold"):
        Policy(0.5, 0.4, 0.6, bound("sensitivity", 0.5), bound("specificity", 0.6))


@pytest.mark.parametrize(
    ("out", "two_way", "into", "expected"),
    [
        (0.2, 0.4, 0.7, (0.2, 0.4, 0.7)),
        (0.2, 0.8, 0.7, (0.2, 0.7, 0.7)),  # comes down to rule-in: more sensitive, and "likely" keeps its specificity
        (0.2, 0.1, 0.7, (0.1, 0.1, 0.7)),  # a two-way threshold that misses fewer than rule-out may
        (0.6, 0.5, 0.3, (0.5, 0.5, 0.5)),  # both rates hold anywhere between 0.3 and 0.6: nobody is referred
        (0.6, 0.9, 0.3, (0.6, 0.6, 0.6)),
        (0.6, 0.1, 0.3, (0.3, 0.3, 0.3)),
        (0.5, 0.7, 0.5, (0.5, 0.5, 0.5)),
    ],
)
def test_the_three_thresholds_in_every_order(out, two_way, into, expected):
    policy = make_policy(two_way, bound("sensitivity", out), bound("specificity", into))
    assert (policy.lower, policy.threshold, policy.upper) == expected
    # what was promised: nothing is cleared above rule-out, nothing called below rule-in
    assert policy.lower <= out
    assert policy.upper >= into


def test_shares_of_each_class_by_hand():
    policy = Policy(0.2, 0.5, 0.8, bound("sensitivity", 0.2), bound("specificity", 0.8))
    scores, labels = np.array([0.1, 0.2, 0.79, 0.8, 0.19, 0.5, 0.9]), np.array([0, 0, 0, 0, 1, 1, 1])
    assert policy.answers(scores).tolist() == [0, 1, 1, 2, 0, 1, 2]
    shares = policy_shares(policy, scores, labels)
    assert [shares["NORMAL"][name]["count"] for name in SHARES] == [1, 2, 1]
    assert [shares["PNEUMONIA"][name]["value"] for name in SHARES] == [1 / 3] * 3
    # Wilson for 1 of 4: (0.25 + z^2/8 -+ z sqrt(0.1875/4 + z^2/64)) / (1 + z^2/4), z = 1.959964
    assert shares["NORMAL"]["cleared"]["interval"] == pytest.approx([0.0455873, 0.6993582], abs=1e-6)
    assert policy_shares(policy, scores[:4], labels[:4])["PNEUMONIA"]["called"]["value"] is None


def test_exact_rule_fails_in_at_most_5_per_cent_of_calibration_sets():
    """The true rate, known from the scores' distribution, is below the target in at most 1 - confidence of them."""
    rng, broken, sets = np.random.default_rng(5), {"sensitivity": 0, "specificity": 0}, 1500
    for _ in range(sets):
        scores = norm.cdf(rng.normal(size=230))
        for kind in broken:
            threshold = fit_bound(scores, np.arange(230), kind=kind, target=0.95).threshold
            rate = 1 - threshold if kind == "sensitivity" else threshold  # the scores are uniform
            broken[kind] += rate < 0.95
    # 230 patients allow 5 errors (0.029; with 6 it is 0.056): broken where at most 5 lie on the wrong side of 0.95
    expected = binom.cdf(5, 230, 0.05)
    for count in broken.values():
        assert abs(count / sets - expected) < 3 * np.sqrt(expected * (1 - expected) / sets)


def test_block_rule_fails_in_a_new_block_in_at_most_one_of_b_plus_one():
    """Blocks with a shift of their own: the exact rule breaks down in a new block, the worst block of nine does not."""
    rng, sets, count, size, target = np.random.default_rng(11), 400, 9, 60, 0.9
    broken = {"exact rule alone": 0, "worst block too": 0}
    for _ in range(sets):
        shifts = rng.normal(0, 1.0, count + 1)
        scores = norm.cdf((rng.normal(size=(count + 1, size)) + shifts[:, None] - 2) / 2)
        seen, names = scores[:count].ravel(), np.repeat([f"block {number}" for number in range(count)], size)
        for rule, blocks in (("exact rule alone", None), ("worst block too", names)):
            found = fit_bound(seen, np.arange(len(seen)), kind="specificity", target=target, blocks=blocks)
            broken[rule] += np.sum(scores[count] >= found.threshold) > size * (1 - target)
    assert broken["exact rule alone"] / sets > 0.25
    assert broken["worst block too"] / sets <= 1 / (count + 1) + 3 * np.sqrt(0.1 * 0.9 / sets)


def test_cross_fitted_scores_keep_the_rate_on_average_and_the_shipped_model_if_it_scores_alike():
    """Five linear models, each scoring the patients that it has not seen; the shipped one has learned from all.

    The specificity that the shipped model keeps on new patients at the cross-fitted threshold, over many data sets:
    below the target about as often as the confidence allows, because a model of all patients differs from one of four
    fifths of them by less than chance. Scores of the patients that a model has learned from promise too much.
    """
    rng, sets, patients, width = np.random.default_rng(3), 120, 300, 40
    direction = np.zeros(width)
    direction[0] = 1.0
    new = rng.normal(size=(4000, width)) - direction
    crossed, naive = 0, 0
    for _ in range(sets):
        labels = np.arange(patients) % 2
        features = rng.normal(size=(patients, width)) + np.where(labels[:, None] == 1, direction, -direction)

        def fitted(rows: np.ndarray, x: np.ndarray = features, y: np.ndarray = labels) -> np.ndarray:
            ridge = x[rows].T @ x[rows] + 5 * np.eye(width)
            return np.linalg.solve(ridge, x[rows].T @ (2.0 * y[rows] - 1))

        folds = rng.integers(0, 5, patients)
        squash = norm.cdf
        shipped = fitted(np.arange(patients))
        held_out = np.empty(patients)
        for fold in range(5):
            held_out[folds == fold] = squash(features[folds == fold] @ fitted(np.flatnonzero(folds != fold)))
        normal = np.flatnonzero(labels == 0)
        served = squash(new @ shipped)
        for kind, values in (("crossed", held_out), ("naive", squash(features @ shipped))):
            threshold = fit_bound(values[normal], normal, kind="specificity", target=0.9).threshold
            failed = float(np.mean(served < threshold)) < 0.9
            crossed, naive = crossed + (failed and kind == "crossed"), naive + (failed and kind == "naive")
    assert crossed / sets <= 0.1
    assert naive / sets > 0.3
