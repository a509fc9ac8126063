"""Likelihood ratios and predictive values against statsmodels and hand counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import Table2x2

from hf_model.metrics.prevalence import likelihood_ratios, predictive_values


def test_likelihood_ratios_equal_statsmodels_risk_ratio():
    # Confusion matrix of 390 sick and 234 well: LR+ is a ratio of two proportions, as a risk ratio is.
    tp, fn, tn, fp = 366, 24, 205, 29
    found = likelihood_ratios(tp, fn, tn, fp)
    for name, table in (("lr_positive", [[tp, fn], [fp, tn]]), ("lr_negative", [[fn, tp], [tn, fp]])):
        reference = Table2x2(table)
        assert found[name]["value"] == pytest.approx(reference.riskratio, abs=1e-12)
        assert found[name]["interval"] == pytest.approx(reference.riskratio_confint(), abs=1e-6)


def test_predictive_values_at_the_sets_own_prevalence_are_its_own():
    found = predictive_values(366, 24, 205, 29, 390 / 624)
    assert found["ppv"]["value"] == pytest.approx(366 / 395, abs=1e-12)
    assert found["npv"]["value"] == pytest.approx(205 / 229, abs=1e-12)
    for name in ("ppv", "npv"):
        low, high = found[name]["interval"]
        assert low < found[name]["value"] < high


def test_predictive_values_at_another_prevalence_by_hand():
    # Sensitivity 0.9, specificity 0.8, prevalence 0.1: PPV 0.09 / (0.09 + 0.18) = 1/3, NPV 0.72 / (0.72 + 0.01).
    found = predictive_values(90, 10, 80, 20, 0.1)
    assert found["ppv"]["value"] == pytest.approx(1 / 3, abs=1e-12)
    assert found["npv"]["value"] == pytest.approx(0.72 / 0.73, abs=1e-12)
    # Mercaldo et al. 2007: logit PPV +- 1.96 * sqrt((1 - se) / (se n1) + sp / ((1 - sp) n0))
    half = 1.959964 * math.sqrt(0.1 / 90 + 0.8 / 20)
    centre = math.log(0.5)
    ends = [1 / (1 + math.exp(-(centre - half))), 1 / (1 + math.exp(-(centre + half)))]
    assert found["ppv"]["interval"] == pytest.approx(ends, abs=1e-6)


def test_predictive_value_intervals_cover_over_2000_simulations():
    generator = np.random.default_rng(0)
    truth = 0.93 * 0.2 / (0.93 * 0.2 + 0.12 * 0.8)
    covered = 0
    for tp, tn in zip(generator.binomial(390, 0.93, 2000), generator.binomial(234, 0.88, 2000), strict=True):
        low, high = predictive_values(int(tp), int(390 - tp), int(tn), int(234 - tn), 0.2)["ppv"]["interval"]
        covered += low <= truth <= high
    assert covered / 2000 == pytest.approx(0.95, abs=0.015)


def test_no_false_alarm_still_gives_finite_ratios():
    found = likelihood_ratios(50, 0, 40, 0)
    assert found["lr_positive"]["value"] == pytest.approx((50.5 / 51) / (0.5 / 41))
    assert found["lr_negative"]["interval"][0] > 0
    with pytest.raises(ValueError, match="both classes"):
        likelihood_ratios(0, 0, 40, 0)
