"""intervals.py against statsmodels, scipy, scikit-learn, a plain O(N^2) DeLong, and by coverage."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn.metrics import average_precision_score, roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from hf_model.metrics import intervals


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 10), (3, 10), (366, 390), (234, 234), (1, 2)])
def test_rate_intervals_equal_statsmodels_and_scipy(successes, trials):
    assert intervals.wilson(successes, trials) == pytest.approx(
        proportion_confint(successes, trials, method="wilson"), abs=1e-12
    )
    assert intervals.clopper_pearson(successes, trials) == pytest.approx(
        proportion_confint(successes, trials, method="beta"), abs=1e-12
    )
    exact = binomtest(successes, trials).proportion_ci(0.9, "exact")
    assert intervals.clopper_pearson(successes, trials, 0.9) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_serving_has_wilsons_interval_without_scipy():
    code = "import sys, hf_model.metrics.held_out; from hf_model.metrics.intervals import wilson; wilson(1, 2); "
    code += "print('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_wilson_by_hand_and_on_arrays():
    # 8 of 10: (8 + 1.92073) / 13.84146 +- 1.95996 * sqrt(8 * 2 / 10 + 0.96036) / 13.84146
    assert intervals.wilson(8, 10) == pytest.approx((0.490162, 0.943318), abs=1e-6)
    low, high = intervals.wilson(np.array([8, 0, 0]), np.array([10, 5, 0]))
    assert low[:2] == pytest.approx([0.490162, 0.0], abs=1e-6)
    assert np.isnan([low[2], high[2]]).all()


def plain_delong(score, labels):
    """DeLong, DeLong and Clarke-Pearson 1988, equations 3 to 5, with the kernel written out."""
    sick, well = score[labels == 1], score[labels == 0]
    kernel = (sick[:, None] > well[None, :]) + 0.5 * (sick[:, None] == well[None, :])
    above, below = kernel.mean(axis=1), kernel.mean(axis=0)
    s10 = np.sum((above - kernel.mean()) ** 2) / (len(sick) - 1)
    s01 = np.sum((below - kernel.mean()) ** 2) / (len(well) - 1)
    return kernel.mean(), np.sqrt(s10 / len(sick) + s01 / len(well)), above, below


def tied_scores(seed: int, count: int = 150):
    generator = np.random.default_rng(seed)
    labels = (generator.random(count) < 0.6).astype(int)
    return (generator.normal(size=count) + labels).round(1), labels


@pytest.mark.parametrize("seed", range(5))
def test_delong_equals_the_kernel_written_out_and_scikit_learn(seed):
    score, labels = tied_scores(seed)
    value, error, _, _ = plain_delong(score, labels)
    auc, (low, high), found = intervals.delong(score, labels)
    assert auc == pytest.approx(value, abs=1e-12)
    assert auc == pytest.approx(roc_auc_score(labels, score), abs=1e-12)
    assert found == pytest.approx(error, abs=1e-12)
    centre, half = np.log(value / (1 - value)), norm.ppf(0.975) * error / (value * (1 - value))
    assert (low, high) == pytest.approx((1 / (1 + np.exp(half - centre)), 1 / (1 + np.exp(-half - centre))), abs=1e-12)


def test_delong_by_hand():
    # Pairs (sick 3, 1; well 2, 0): 3 > 2, 3 > 0, 1 < 2, 1 > 0 -> 3/4. V10 = 1, 1/2; V01 = 1/2, 1: variance 1/8 each.
    auc, _, error = intervals.delong(np.array([3.0, 1, 2, 0]), np.array([1, 1, 0, 0]))
    assert (auc, error) == pytest.approx((0.75, np.sqrt(0.125 / 2 + 0.125 / 2)))


def test_delong_paired_test_equals_the_covariance_form():
    (first, labels), second = tied_scores(1), tied_scores(9)[0]
    second = second + labels
    (auc_1, _, above_1, below_1), (auc_2, _, above_2, below_2) = (plain_delong(s, labels) for s in (first, second))
    covariance = np.cov(above_1, above_2) / len(above_1) + np.cov(below_1, below_2) / len(below_1)
    error = np.sqrt(np.array([-1, 1]) @ covariance @ np.array([-1, 1]))
    difference, found, p_value = intervals.delong_test(first, second, labels)
    assert (difference, found) == pytest.approx((auc_2 - auc_1, error), abs=1e-12)
    assert p_value == pytest.approx(2 * norm.sf(abs(auc_2 - auc_1) / error), abs=1e-12)
    assert intervals.delong_test(first, first, labels) == (0.0, 0.0, 1.0)


def test_auc_without_overlap_has_an_honest_lower_end_and_one_class_none():
    score, labels = np.arange(20.0), (np.arange(20) >= 10).astype(int)
    assert intervals.delong(score, labels)[:2] == (1.0, (pytest.approx(0.025**0.1), 1.0))
    with pytest.raises(ValueError, match="both classes"):
        intervals.delong(score, np.ones(20))


def test_weighted_statistics_are_those_of_repeated_pictures():
    score, labels = tied_scores(3)
    codes = np.repeat(np.arange(50), 3)
    weights = np.concatenate(list(intervals.cluster_weights(codes, replicates=20, seed=1, chunk=1000)))
    assert weights.shape == (20, 150)
    assert (weights.sum(axis=1) == 150).all()
    assert (weights[:, ::3] == weights[:, 2::3]).all()
    auc = intervals.weighted_auc(score, labels, weights)
    precision = intervals.weighted_average_precision(score, labels, weights)
    for row in range(20):
        rows = np.repeat(np.arange(150), weights[row].astype(int))
        assert auc[row] == pytest.approx(roc_auc_score(labels[rows], score[rows]), abs=1e-12)
        assert precision[row] == pytest.approx(average_precision_score(labels[rows], score[rows]), abs=1e-12)


def test_replicates_without_a_class_are_left_out():
    weights = np.array([[1.0, 0.0], [1.0, 1.0]])
    values = intervals.weighted_auc(np.array([0.0, 1.0]), np.array([0, 1]), weights)
    assert np.isnan(values[0])
    assert values[1] == 1.0
    assert intervals.percentile(values) == (1.0, 1.0)
    assert intervals.percentile(values[:1]) is None


def test_wilson_and_clopper_pearson_cover_over_2000_simulations():
    generator = np.random.default_rng(11)
    rate = generator.uniform(0.6, 0.98, 2000)
    hits = generator.binomial(234, rate)
    low, high = intervals.wilson(hits, np.full(2000, 234))
    assert np.mean((low <= rate) & (rate <= high)) == pytest.approx(0.95, abs=0.015)
    low, high = intervals.clopper_pearson(hits, np.full(2000, 234))
    assert 0.95 <= np.mean((low <= rate) & (rate <= high)) < 0.985


def test_delong_covers_over_2000_simulations():
    generator, labels = np.random.default_rng(5), np.repeat([0, 1], [80, 120])
    truth = norm.cdf(2.0 / np.sqrt(2))  # AUC 0.921
    covered = 0
    for _ in range(2000):
        low, high = intervals.delong(generator.normal(size=200) + 2.0 * labels, labels)[1]
        covered += low <= truth <= high
    assert covered / 2000 == pytest.approx(0.95, abs=0.015)


def test_the_patient_bootstrap_covers_where_one_that_draws_pictures_does_not():
    generator = np.random.default_rng(2)
    codes, pictures = np.repeat(np.arange(140), 2), np.arange(280)
    labels = (codes >= 60).astype(int)
    truth = norm.cdf(1.5 / np.sqrt(2 * 1.25))
    covered = {"patients": 0, "pictures": 0}
    weights = {
        name: np.concatenate(list(intervals.cluster_weights(member, replicates=250, seed=4)))
        for name, member in (("patients", codes), ("pictures", pictures))
    }
    for run in range(2000):
        score = generator.normal(size=140)[codes] + 0.5 * generator.normal(size=280) + 1.5 * labels
        for name in covered if run < 200 else ("patients",):
            low, high = intervals.percentile(intervals.weighted_auc(score, labels, weights[name]))
            covered[name] += low <= truth <= high
    assert covered["patients"] / 2000 == pytest.approx(0.95, abs=0.015)
    assert covered["pictures"] / 200 < 0.88
