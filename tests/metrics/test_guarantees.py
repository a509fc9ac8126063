"""Whether a promise holds on new patients, against SciPy's exact bounds; shifts of known size."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from hf_model.metrics.decision import Decision, OperatingPoint
from hf_model.metrics.guarantees import check_guarantees, score_shift
from hf_model.metrics.operating_point import fit_decision
from hf_model.metrics.scores import Scores


def point(kind: str, target: float, threshold: float | None) -> OperatingPoint:
    return OperatingPoint("default", kind, target, 0.95, threshold, 300, 59, 8, 8, 0.95)


@pytest.mark.parametrize(
    ("missed", "patients", "verdict"), [(1, 100, "holds"), (2, 100, "open"), (9, 100, "open"), (10, 100, "broken")]
)
def test_verdicts_by_scipys_exact_bounds(missed, patients, verdict):
    margins = np.where(np.arange(patients) < missed, -1.0, 1.0)
    logits = np.stack([np.zeros(patients), margins], axis=1)
    names = [str(row) for row in range(patients)]
    decision = Decision(1.0, 0.0, 0.5, {"default": point("sensitivity", 0.95, 0.5)})
    found = check_guarantees(Scores(logits, np.ones(patients), names, names), decision)["default"]
    right = patients - missed
    lower = binomtest(right, patients, alternative="greater").proportion_ci(0.95, "exact").low
    upper = binomtest(right, patients, alternative="less").proportion_ci(0.95, "exact").high
    assert (found["lower_bound"], found["upper_bound"]) == pytest.approx((lower, upper), abs=1e-12)
    assert found["verdict"] == verdict == ("holds" if lower >= 0.95 else "broken" if upper < 0.95 else "open")
    assert f"{missed} of {patients} patients with pneumonia" in found["sentence"]
    assert ("not met by the estimate" in found["sentence"]) is (verdict == "open" and right < 95)
    assert ("Recalibrate" in found["sentence"]) is (verdict == "broken")


def test_guarantees_count_patients_and_skip_what_was_not_promised(scores):
    decision = fit_decision(scores)
    found = check_guarantees(scores, decision)
    assert (found["default"]["patients"], found["rule_in"]["patients"]) == (300, 100)
    unproven = Decision(1.0, 0.0, 0.5, {"default": point("sensitivity", 0.95, None)})
    assert check_guarantees(scores, unproven) == {}
    assert set(check_guarantees(scores.select(scores.labels == 0), decision)) == {"rule_in"}


def test_a_shift_is_found_with_its_size(scores):
    decision = fit_decision(scores)
    moved = Scores(
        scores.logits + np.array([0.0, 1.5 * decision.temperature]), scores.labels, scores.names, scores.patients
    )
    same, found = score_shift(scores, scores, decision), score_shift(scores, moved, decision)
    assert found["normal"]["shift"] == pytest.approx(1.5, abs=1e-9)
    assert found["pneumonia"]["shift"] == pytest.approx(1.5, abs=1e-9)
    assert found["calibration_intercept"] - same["calibration_intercept"] == pytest.approx(-1.5, abs=0.01)
    assert found["calibration_slope"] == pytest.approx(1.0, abs=0.01)
    assert (same["normal"]["shift"], same["normal"]["ks"]) == (0.0, 0.0)
    assert "normal pictures score 1.50 higher" in found["sentence"]
