"""operating_point.py: allowed errors against published numbers, scipy and MAPIE; the guarantee by simulation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from generated import make_scores
from mapie.risk_control import BinaryClassificationController
from scipy.special import expit
from scipy.stats import binom, binomtest, norm

from hf_model.metrics.operating_point import (
    allowed_errors,
    exact_lower_bound,
    fit_decision,
    fit_point,
    one_per_patient,
    patients_needed,
)
from hf_model.metrics.scores import Scores


def test_patients_needed_are_the_published_59_and_299():
    # 0.95 ** 59 = 0.0485 and 0.95 ** 58 = 0.0510; 0.99 ** 299 = 0.0495 and 0.99 ** 298 = 0.0500 (0.05003).
    assert (patients_needed(0.95), patients_needed(0.99), patients_needed(0.95, 0.9)) == (59, 299, 45)
    assert (patients_needed(0.5, 0.75), patients_needed(0.5, 0.5)) == (2, 1)


def test_allowed_errors_at_the_edges():
    assert [allowed_errors(n, 0.95) for n in (0, 1, 58, 59, 92, 93)] == [None, None, None, 0, 0, 1]
    assert [allowed_errors(n, 0.99) for n in (298, 299, 472, 473)] == [None, 0, 0, 1]


@pytest.mark.parametrize("target", [0.9, 0.95, 0.99])
def test_allowed_errors_is_where_scipys_exact_bound_passes_the_target(target):
    for patients in (60, 123, 333, 700, 1000):
        allowed = allowed_errors(patients, target)
        bounds = [
            binomtest(patients - errors, patients, alternative="greater").proportion_ci(0.95, "exact").low
            for errors in range(int(patients * (1 - target)) + 3)  # beyond, the rate itself is below the target
        ]
        ours = [exact_lower_bound(errors, patients) for errors in range(len(bounds))]
        assert ours == pytest.approx(bounds, abs=1e-12)
        expected = [errors for errors, bound in enumerate(bounds) if bound >= target]
        assert allowed == (max(expected) if expected else None)


@pytest.mark.parametrize(("patients", "target"), [(59, 0.95), (240, 0.95), (500, 0.95), (700, 0.9), (620, 0.99)])
def test_threshold_and_allowed_misses_are_those_of_mapies_learn_then_test(patients, target):
    values = np.random.default_rng(patients).beta(6, 1, patients).round(4)
    point = fit_point("default", values, target=target)
    controller = BinaryClassificationController(
        predict_function=lambda column: np.stack([1 - column, column], axis=1),
        risk="recall",
        target_level=target,
        confidence_level=0.95,
        list_predict_params=np.unique(values),
        fwer_method="fixed_sequence",
    )
    controller.calibrate(values, np.ones(patients, dtype=int))
    best = max(controller.valid_predict_params)
    # MAPIE rounds n * (errors / n) up, and a last-bit error of that product costs it one allowed error.
    misses = int(np.sum(values < best))
    lost = math.ceil(patients * (1 - (patients - point.errors) / patients)) > point.errors
    assert misses == point.errors or (lost and misses < point.errors)
    assert lost or best == pytest.approx(point.threshold, abs=1e-9)


def test_the_threshold_is_the_highest_that_passes():
    values = np.arange(1, 101) / 100  # 100 patients allow 1 miss at 0.95: 0.01 may be missed, 0.02 may not
    assert allowed_errors(100, 0.95) == 1
    point = fit_point("default", values)
    assert (point.threshold, point.errors, point.allowed_errors) == (0.02, 1, 1)
    assert point.lower_bound == pytest.approx(binom_lower(99, 100), abs=1e-12)


def binom_lower(successes: int, trials: int) -> float:
    """Clopper-Pearson by bisection on the binomial tail, without the beta distribution."""
    low, high = 0.0, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if binom.sf(successes - 1, trials, middle) < 0.05 else (low, middle)
    return low


def test_ties_are_never_split():
    point = fit_point("default", np.array([0.2] * 5 + [0.8] * 95))
    assert (point.threshold, point.errors) == (0.2, 0)


def test_rule_in_lies_above_the_highest_score_that_must_stay_normal():
    values = np.arange(1, 101) / 101
    point = fit_point("rule_in", values, kind="specificity")
    assert point.threshold == pytest.approx(99 / 101, abs=1.1e-6)
    assert point.threshold > 99 / 101
    assert (point.errors, point.allowed_errors, point.patients_needed) == (1, 1, 59)


def test_rounding_is_to_the_safe_side():
    generator = np.random.default_rng(0)
    for _ in range(200):
        values = generator.random(80).round(generator.integers(3, 12))
        low, high = fit_point("default", values), fit_point("rule_in", values, kind="specificity")
        assert np.sum(values < low.threshold) <= low.allowed_errors
        assert np.sum(values >= high.threshold) <= high.allowed_errors
        assert 0 <= np.sort(values)[0] - low.threshold < 1.001e-6


def test_saturated_scores_still_get_valid_points():
    assert fit_point("default", np.zeros(80)).threshold == 0.0
    point = fit_point("rule_in", np.ones(80), kind="specificity")
    assert (point.threshold, point.errors) == (1.000001, 0)


def test_too_few_patients_give_no_threshold_but_the_number_needed():
    point = fit_point("rule_out", np.linspace(0.5, 1, 298), target=0.99)
    assert (point.threshold, point.lower_bound, point.patients, point.patients_needed) == (None, None, 298, 299)


def test_one_picture_of_each_patient_is_drawn_evenly():
    codes, values = np.array([0, 0, 0, 1]), np.array([0.1, 0.2, 0.3, 0.9])
    drawn = np.array([one_per_patient(values, codes, seed=seed) for seed in range(3000)])
    assert set(drawn[:, 1]) == {0.9}
    counts = [np.sum(drawn[:, 0] == value) for value in (0.1, 0.2, 0.3)]
    assert max(abs(count - 1000) for count in counts) < 4 * math.sqrt(3000 * 2 / 9)


def test_fit_decision_counts_patients_and_keeps_the_order_of_scores(scores):
    decision = fit_decision(scores, provenance={"weights_sha256": "abc"})
    assert decision.points["default"].patients == 300
    assert decision.points["rule_in"].patients == 100
    assert decision.points["rule_out"].threshold is not None
    assert decision.prevalence == pytest.approx(scores.labels.mean())
    assert (decision.provenance["weights_sha256"], decision.provenance["patients"]) == ("abc", 400)
    probability = [decision.probability(*pair) for pair in scores.logits.tolist()]
    assert np.array_equal(np.argsort(probability, kind="stable"), np.argsort(scores.margins, kind="stable"))
    assert np.mean(probability) == pytest.approx(decision.prevalence, abs=1e-6)  # what a fitted bias means
    one_class = scores.select(scores.labels == 1)
    with pytest.raises(ValueError, match="both classes"):
        fit_decision(one_class)


def test_small_calibration_sets_have_only_the_points_they_can_prove():
    decision = fit_decision(make_scores(100))
    assert [name for name, point in decision.points.items() if point.threshold is not None] == ["default"]
    assert decision.refer_band is None
    assert fit_decision(make_scores(60)).threshold == 0.5


def worst_of_patient(values: np.ndarray, codes: np.ndarray, seed: int) -> np.ndarray:
    """A patient counts as missed if any picture is: exact for "all pictures right", conservative for one of them."""
    return np.array([values[codes == code].min() for code in np.unique(codes)])


def all_pictures(values: np.ndarray, codes: np.ndarray, seed: int) -> np.ndarray:
    """As if pictures were independent, which those of one patient are not."""
    return values


def simulate(unit: Callable[..., np.ndarray], runs: int = 1000, patients: int = 200, shared: float = 1.5) -> float:
    """Share of calibration sets whose true sensitivity, known in closed form, is below 0.95.

    A picture's margin is N(3, shared^2 + 1); pictures of one patient share the first part. Half the patients have one
    picture, half have eight.
    """
    generator = np.random.default_rng(7)
    below = 0
    for run in range(runs):
        codes = np.repeat(np.arange(patients), np.where(np.arange(patients) % 2, 8, 1))
        margins = 3 + shared * generator.normal(size=patients)[codes] + generator.normal(size=len(codes))
        point = fit_point("default", unit(expit(margins), codes, seed=run))
        limit = math.log(point.threshold / (1 - point.threshold))
        below += norm.cdf((limit - 3) / math.hypot(shared, 1)) > 0.05
    return below / runs


def test_the_guarantee_holds_over_a_thousand_calibration_sets_and_needs_patients():
    # Five per cent plus the Monte Carlo error of a thousand runs: exceeded once in a thousand times if it were 5 %.
    limit = binom.ppf(0.999, 1000, 0.05) / 1000
    assert 0.01 < simulate(one_per_patient) <= limit
    assert simulate(worst_of_patient) <= limit / 2
    assert simulate(all_pictures) > 1.5 * limit


def test_the_guarantee_of_a_specificity_point_holds():
    generator = np.random.default_rng(3)
    points = [fit_point("rule_in", expit(generator.normal(-2, 1, 150)), kind="specificity") for _ in range(1000)]
    truth = norm.cdf([math.log(point.threshold / (1 - point.threshold)) for point in points], -2, 1)
    assert 0.01 < np.mean(truth < 0.95) <= binom.ppf(0.999, 1000, 0.05) / 1000


def test_patients_without_a_key_count_as_one_each(scores):
    anonymous = Scores(scores.logits, scores.labels, scores.names, [""] * len(scores))
    assert fit_decision(anonymous).points["default"].patients == scores.labels.sum()
