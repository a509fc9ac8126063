"""calibration.py against a grid, statsmodels' logistic regression and bins counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from hf_model.metrics import calibration
from hf_model.metrics.decision import Decision
from hf_model.metrics.scores import Scores


def drawn(temperature: float, bias: float, count: int = 4000, seed: int = 0):
    """Logits whose true probability is sigmoid(margin / temperature + bias)."""
    generator = np.random.default_rng(seed)
    margins = generator.normal(0, 3, count)
    labels = (generator.random(count) < expit(margins / temperature + bias)).astype(int)
    return np.stack([-margins, np.zeros(count)], axis=1), labels


def test_temperature_is_where_a_fine_grid_has_its_lowest_log_loss():
    logits, labels = drawn(2.0, 0.0)
    fit = calibration.fit_temperature(logits, labels)
    grid = np.linspace(1.5, 2.6, 2201)
    losses = [calibration.log_loss(logits[:, 1] - logits[:, 0], labels, t).mean() for t in grid]
    assert fit.temperature == pytest.approx(grid[int(np.argmin(losses))], abs=6e-4)
    assert (fit.bias, fit.at_limit) == (0.0, False)


def test_temperature_and_bias_are_statsmodels_logistic_regression():
    logits, labels = drawn(1.6, 0.8)
    margins = logits[:, 1] - logits[:, 0]
    reference = sm.Logit(labels, sm.add_constant(margins)).fit(disp=0, tol=1e-12).params
    fit = calibration.fit_temperature(logits, labels, with_bias=True)
    assert (fit.bias, 1 / fit.temperature) == pytest.approx(tuple(reference), abs=1e-6)
    assert calibration.probabilities(logits, fit.temperature, fit.bias).mean() == pytest.approx(labels.mean(), abs=1e-7)


@pytest.mark.parametrize(("bias", "kept"), [(0.9, True), (0.0, False)])
def test_a_bias_is_kept_only_where_held_out_patients_gain(bias, kept):
    logits, labels = drawn(1.5, bias, 3000, seed=1)
    names = [str(row) for row in range(3000)]
    fit = calibration.fit_calibration(Scores(logits, labels, names, [str(row // 2) for row in range(3000)]))
    loss = fit.cross_validated_loss
    assert (fit.bias != 0) is kept
    gain = loss["temperature"] - loss["temperature_and_bias"]
    assert (gain > loss["gain_standard_error"]) is kept
    assert loss["temperature"] < loss["none"]


def test_the_gains_standard_error_is_over_patients():
    logits, labels = drawn(1.5, 0.9, 1000)
    names, single = [str(row) for row in range(1000)], [str(row) for row in range(1000)]
    twice = Scores(np.repeat(logits, 2, axis=0), np.repeat(labels, 2), names * 2, np.repeat(single, 2).tolist())
    once = calibration.fit_calibration(Scores(logits, labels, names, single)).cross_validated_loss
    double = calibration.fit_calibration(twice).cross_validated_loss
    assert double == pytest.approx(once, rel=1e-4)  # copies of the same pictures add no certainty


def test_with_fewer_patients_than_folds_there_is_no_bias(scores):
    fit = calibration.fit_calibration(scores.select(np.arange(20)))
    assert (fit.bias, fit.cross_validated_loss) == (0.0, None)


def test_perfect_separation_stops_at_the_limit_and_says_so():
    logits = np.array([[0.0, margin] for margin in (-3, -2, 2, 3)])
    fit = calibration.fit_temperature(logits, np.array([0, 0, 1, 1]))
    assert (fit.temperature, fit.at_limit) == (pytest.approx(calibration.TEMPERATURE_LIMITS[0]), True)
    with pytest.raises(ValueError, match="both classes"):
        calibration.fit_temperature(logits, np.ones(4))


def test_log_loss_brier_and_probability_equal_scikit_learn_and_the_scalar_decision():
    logits, labels = drawn(1.0, 0.0, 500)
    probability = calibration.probabilities(logits, 1.7, -0.3)
    scalar = [Decision(1.7, -0.3).probability(*pair) for pair in logits.tolist()]
    assert probability == pytest.approx(scalar, abs=1e-15)
    loss = calibration.log_loss(logits[:, 1] - logits[:, 0], labels, 1.7, -0.3)
    assert loss.mean() == pytest.approx(sklearn_log_loss(labels, probability), abs=1e-12)
    assert calibration.brier_score(probability, labels) == pytest.approx(brier_score_loss(labels, probability))
    assert calibration.log_loss(np.array([-2000.0]), np.array([1]))[0] == 2000.0


def test_bins_by_hand():
    probability = np.array([0.05, 0.1, 0.12, 0.95, 1.0])
    table = calibration.reliability(probability, np.array([0, 1, 0, 1, 1]))
    assert table["count"].tolist() == [1, 2, 2]  # an edge belongs to the bin above it, 1.0 to the last
    assert table["mean_probability"] == pytest.approx([0.05, 0.11, 0.975])
    assert table["observed"] == pytest.approx([0.0, 0.5, 1.0])
    errors = calibration.calibration_errors(probability, np.array([0, 1, 0, 1, 1]))
    assert errors["binned"] == pytest.approx((0.05 + 2 * 0.39 + 2 * 0.025) / 5)


def test_adaptive_bins_hold_equal_counts():
    probability = np.arange(100) / 100 * 0.2
    labels = (np.arange(100) % 10 == 0).astype(int)
    table = calibration.reliability(probability, labels, bins=5, equal_mass=True)
    assert table["count"].tolist() == [20] * 5
    means = probability.reshape(5, 20).mean(axis=1)
    errors = calibration.calibration_errors(probability, labels, bins=5)
    assert errors["adaptive"] == pytest.approx(np.abs(means - 0.1).mean())
    # Each bin has 2 of 20: variance of the observed share 0.1 * 0.9 / 19.
    assert errors["debiased_rms"] == pytest.approx(math.sqrt(max(0, np.mean((means - 0.1) ** 2) - 0.09 / 19)))


def test_the_debiased_error_is_right_where_the_binned_one_is_not():
    generator = np.random.default_rng(0)
    binned, debiased, expected = [], [], []
    for seed in range(200):
        probability = generator.random(400)
        errors = calibration.calibration_errors(probability, generator.random(400) < probability, seed=seed)
        binned.append(errors["binned"])
        debiased.append(errors["debiased_rms"])
        expected.append(errors["expected_if_calibrated"])
    assert np.median(debiased) < 0.01 < 0.04 < np.mean(binned)
    assert np.mean(expected) == pytest.approx(np.mean(binned), rel=0.05)


def test_the_debiased_error_finds_a_known_error():
    generator = np.random.default_rng(1)
    found = [
        calibration.calibration_errors(np.full(500, 0.6), generator.random(500) < 0.7, bins=1)["debiased_rms"]
        for _ in range(300)
    ]
    assert np.mean(np.square(found)) == pytest.approx(0.01, abs=0.0008)
