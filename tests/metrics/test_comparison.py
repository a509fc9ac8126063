"""comparison.py against statsmodels, scikit-learn and hand counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from generated import make_scores
from sklearn import metrics as sk
from statsmodels.stats.contingency_tables import mcnemar as sm_mcnemar

from hf_model.metrics import comparison
from hf_model.metrics.decision import Decision
from hf_model.metrics.intervals import delong_test
from hf_model.metrics.scores import Scores


@pytest.fixture
def test_set():
    return make_scores(200, seed=5, separation=1.2)


def moved(scores: Scores, by: np.ndarray) -> Scores:
    logits = scores.logits + np.stack([np.zeros(len(scores)), by], axis=1)
    return Scores(logits, scores.labels, scores.names, scores.patients)


def test_agreement_counts_flips_by_hand():
    first = Scores(np.array([[0, 2.0], [0, -2.0], [0, 0.1], [0, 3.0]]), [1, 0, 0, 1], list("abcd"), list("abcd"))
    second = moved(first, np.array([0.0, 3.0, -0.2, -3.5])).select([3, 1, 2, 0])
    found = comparison.rendering_agreement(first, second, Decision())
    gap = [
        0.0,
        1 / (1 + math.exp(-1)) - 1 / (1 + math.exp(2)),
        1 / (1 + math.exp(0.1)) - 1 / (1 + math.exp(-0.1)),
        1 / (1 + math.exp(0.5)) - 1 / (1 + math.exp(-3)),
    ]
    assert found["mean_absolute_difference"] == pytest.approx(np.abs(gap).mean(), abs=1e-12)
    assert found["mean_difference"]["pneumonia"] == pytest.approx((gap[0] + gap[3]) / 2, abs=1e-12)
    assert (found["largest_difference"], found["largest_difference_name"]) == (pytest.approx(abs(gap[1])), "b")
    flips = found["flips"]["0.5"]
    assert (flips["count"], flips["to_normal"], flips["to_pneumonia"]) == (3, 2, 1)
    assert found["answers_changed"] == 3


def test_pictures_are_joined_by_name_or_refused(scores):
    other = Scores(scores.logits, 1 - scores.labels, scores.names, scores.patients)
    with pytest.raises(ValueError, match="different labels"):
        comparison.paired(scores, other)
    renamed = Scores(scores.logits, scores.labels, [f"x{name}" for name in scores.names], scores.patients)
    with pytest.raises(ValueError, match="No picture is in both"):
        comparison.paired(scores, renamed)
    with pytest.raises(ValueError, match="comes twice"):
        comparison.paired(scores, scores.select([0, 0]))


def test_one_set_scored_twice_needs_no_unique_names(scores):
    twice = Scores(scores.logits, scores.labels, ["1.png"] * len(scores), scores.patients)
    found = comparison.rendering_agreement(twice, moved(twice, np.full(len(scores), 0.5)), Decision())
    expected = comparison.rendering_agreement(scores, moved(scores, np.full(len(scores), 0.5)), Decision())
    assert found == expected | {"largest_difference_name": "1.png"}
    with pytest.raises(ValueError, match="comes twice"):
        comparison.paired(twice, scores)


def test_engines_agree_but_for_the_band():
    # threshold 0.5: margins 0.02 (probability 0.505, in the band of 0.01), 0.1 (0.525, outside), 2 and -2
    margins = np.array([0.02, 0.1, 2.0, -2.0])
    logits = np.stack([np.zeros(4), margins], axis=1)
    reference = Scores(logits, [1, 1, 1, 0], list("abcd"), list("abcd"))
    other = logits - np.array([[0, 0.03], [0, 0.11], [0, 0.001], [0, -0.001]])
    found = comparison.engine_agreement(reference, other, Decision())
    assert (found["n"], found["flips"], found["flips_outside_band"], found["band"]) == (4, 2, 1, 0.01)
    assert found["max_logit_difference"] == pytest.approx(0.11)
    gap = 1 / (1 + math.exp(-0.1)) - 1 / (1 + math.exp(0.01))
    assert found["max_probability_difference"] == pytest.approx(gap, abs=1e-12)
    with pytest.raises(ValueError, match=r"are \(3, 2\), the reference's \(4, 2\)"):
        comparison.engine_agreement(reference, other[:3], Decision())


def test_mcnemar_equals_statsmodels():
    generator = np.random.default_rng(0)
    first, second = generator.random(300) < 0.9, generator.random(300) < 0.85
    table = [[np.sum(first & second), np.sum(first & ~second)], [np.sum(~first & second), np.sum(~first & ~second)]]
    found = comparison.mcnemar(first, second)
    assert found["p_value"] == pytest.approx(sm_mcnemar(table, exact=True).pvalue, abs=1e-12)
    assert (found["only_first_right"], found["only_second_right"]) == (table[0][1], table[1][0])
    assert comparison.mcnemar(first, first)["p_value"] == 1.0


def test_a_better_checkpoint_is_told_from_a_copy(test_set):
    better = moved(test_set, np.where(test_set.labels == 1, 1.0, -1.0))
    found = comparison.compare(test_set, better, Decision(), Decision(), replicates=300)
    assert found["auc"]["interval"][0] > 0
    assert found["auc"]["difference"] == pytest.approx(
        sk.roc_auc_score(test_set.labels, better.margins) - sk.roc_auc_score(test_set.labels, test_set.margins)
    )
    assert found["auc"]["delong_p_value"] < 1e-6
    assert found["mcnemar"]["all"]["p_value"] < 1e-6
    same = comparison.compare(test_set, test_set, Decision(), Decision(), replicates=50)
    assert same["accuracy"]["interval"] == [0.0, 0.0]
    assert same["mcnemar"]["pneumonia"]["p_value"] == 1.0


def test_the_paired_bootstrap_has_the_width_of_the_paired_delong_test(test_set):
    generator = np.random.default_rng(3)
    noisy = moved(test_set, 0.8 * generator.normal(size=len(test_set)))
    alone = [Scores(s.logits, s.labels, s.names, [""] * len(s)) for s in (test_set, noisy)]
    found = comparison.compare(*alone, Decision(), Decision(), replicates=1000)["auc"]
    error = delong_test(test_set.margins, noisy.margins, test_set.labels)[1]
    assert found["interval"][1] - found["interval"][0] == pytest.approx(2 * 1.96 * error, rel=0.1)
