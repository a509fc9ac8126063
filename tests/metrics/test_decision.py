"""decision.py: hand-computed probabilities, posterior, refer band, and a file that is checked when read."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from hf_model.metrics.decision import LIKELY, NOT_LIKELY, REFER, Decision, DecisionError, OperatingPoint, sigmoid


def point(name: str, threshold: float | None, kind: str = "sensitivity", target: float = 0.95) -> OperatingPoint:
    if threshold is None:
        return OperatingPoint(name, kind, target, 0.95, None, 20, 59)
    return OperatingPoint(name, kind, target, 0.95, threshold, 300, 59, 8, 8, 0.9524)


def decision(rule_out: float | None, default: float, rule_in: float | None) -> Decision:
    points = {
        "default": point("default", default),
        "rule_out": point("rule_out", rule_out, target=0.99),
        "rule_in": point("rule_in", rule_in, "specificity"),
    }
    return Decision(1.5, 0.25, 0.75, points, {"weights_sha256": "ab"})


def test_probability_is_the_sigmoid_of_the_scaled_margin():
    assert decision(0.1, 0.3, 0.7).probability(1.0, 2.5) == pytest.approx(1 / (1 + math.exp(-1.25)), abs=1e-15)
    assert Decision().probability(0.3, 1.3) == pytest.approx(math.exp(1.3) / (math.exp(0.3) + math.exp(1.3)), abs=1e-15)
    assert (sigmoid(-1000.0), sigmoid(1000.0)) == (0.0, 1.0)


def test_logits_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        Decision().probability(0.0, math.nan)


def test_without_decision_json_the_threshold_is_one_half(tmp_path):
    plain = Decision.load(tmp_path)
    assert plain == Decision()
    assert (plain.threshold, plain.refer_band, plain.calibrated) == (0.5, None, False)
    assert (plain.decide(0.5), plain.decide(0.4999)) == ("PNEUMONIA", "NORMAL")
    with pytest.raises(ValueError, match="recalibrate"):
        plain.posterior(0.4, 0.1)


def test_posterior_moves_the_odds_by_the_ratio_of_prior_odds():
    # odds 0.8/0.2 = 4 at prevalence 0.75 (odds 3): likelihood ratio 4/3; at 0.1 (odds 1/9) odds 4/27 -> 4/31.
    assert decision(0.1, 0.3, 0.7).posterior(0.8, 0.1) == pytest.approx(4 / 31, abs=1e-15)
    assert decision(0.1, 0.3, 0.7).posterior(0.8, 0.75) == pytest.approx(0.8, abs=1e-15)
    assert (decision(0.1, 0.3, 0.7).posterior(1.0, 0.1), decision(0.1, 0.3, 0.7).posterior(0.0, 0.9)) == (1.0, 0.0)
    for pretest in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match="strictly between"):
            decision(0.1, 0.3, 0.7).posterior(0.8, pretest)


@pytest.mark.parametrize(
    ("rule_out", "default", "rule_in", "band"),
    [
        (0.1, 0.3, 0.7, (0.1, 0.7)),  # the usual order
        (0.1, 0.8, 0.7, (0.1, 0.8)),  # threshold above rule-in: "likely" may not contradict the decision
        (0.4, 0.5, 0.2, (0.4, 0.5)),  # rule-out above rule-in, threshold above both
        (0.4, 0.3, 0.2, None),  # the threshold meets both bounds: nothing to refer
        (0.4, 0.1, 0.2, (0.1, 0.2)),
        (None, 0.3, 0.7, None),
        (0.1, 0.3, None, None),
    ],
)
def test_refer_band_keeps_both_bounds_and_the_decision(rule_out, default, rule_in, band):
    made = decision(rule_out, default, rule_in)
    assert made.refer_band == band
    for probability in [step / 100 for step in range(101)]:
        answer = made.answer(probability)
        if answer == LIKELY:
            assert made.decide(probability) == "PNEUMONIA"
            assert band is None or probability >= rule_in
        elif answer == NOT_LIKELY:
            assert made.decide(probability) == "NORMAL"
            assert band is None or probability < rule_out
        else:
            assert answer == REFER
            assert band[0] <= probability < band[1]


def test_the_answer_follows_a_threshold_of_the_users():
    made = decision(0.1, 0.3, 0.7)
    assert [made.answer(p, 0.9) for p in (0.05, 0.1, 0.85, 0.9)] == [NOT_LIKELY, REFER, REFER, LIKELY]


def test_file_round_trip(tmp_path):
    for made in (decision(0.1, 0.3, 0.7), decision(None, 0.3, 0.7), Decision()):
        made.save(tmp_path)
        assert Decision.load(tmp_path) == made
    assert json.loads((tmp_path / "decision.json").read_text())["threshold"] == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0}, "temperature should be a number between 0 and inf, but is 0"),
        ({"temperature": None}, "temperature should be"),
        ({"bias": "high"}, "bias should be"),
        ({"prevalence": 1.0}, "prevalence should be"),
        ({"schema_version": "2.0"}, "schema_version should be '1.1'"),
        ({"labels": ["PNEUMONIA", "NORMAL"]}, "labels should be"),
        ({"points": []}, "points should be a JSON object"),
        ({"points": {"best": {}}}, "points.best should be one of"),
        ({"points": {"default": {"kind": "sensitivity"}}}, "points.default should be with"),
    ],
)
def test_a_wrong_file_is_refused_by_entry(tmp_path, change, message):
    content = decision(0.1, 0.3, 0.7).to_dict() | change
    (tmp_path / "decision.json").write_text(json.dumps(content))
    with pytest.raises(DecisionError, match=message) as caught:
        Decision.load(tmp_path)
    assert str(tmp_path / "decision.json") in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("threshold", 1.2),
        ("threshold", -0.1),
        ("threshold", "0.3"),
        ("target", 95),
        ("errors", 1.5),
        ("kind", "ppv"),
        ("patients", -1),
        ("patients", None),
        ("lower_bound", None),
    ],
)
def test_a_wrong_point_is_refused(tmp_path, key, value):
    content = decision(0.1, 0.3, 0.7).to_dict()
    content["points"]["default"][key] = value
    (tmp_path / "decision.json").write_text(json.dumps(content))
    with pytest.raises(DecisionError, match=r"points\.default"):
        Decision.load(tmp_path)


def test_a_file_that_is_not_json_is_refused(tmp_path):
    (tmp_path / "decision.json").write_text("{")
    with pytest.raises(DecisionError, match="is not JSON"):
        Decision.load(tmp_path)


def test_the_sentence_of_a_point():
    assert (
        point("rule_out", None)
        .describe()
        .endswith("at least 59 patients with pneumonia and not one error; there were 20.")
    )
    assert "8 of 300 calibration patients without pneumonia" in point("rule_in", 0.7, "specificity").describe()


def test_importing_the_module_loads_the_standard_library_only():
    code = "import sys, hf_model.metrics.prevalence; print(sorted({'numpy', 'scipy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


OLD = Path(__file__).with_name("decision-1.0.json")


def test_a_file_before_the_policy_gives_lower_and_upper_as_its_refer_band():
    content = json.loads(OLD.read_text())
    assert content["schema_version"] == "1.0"
    made = Decision.from_dict(content)
    assert [made.lower, made.upper] == content["refer_band"]
    assert (made.shares, made.points["rule_out"].blocks, made.points["rule_in"].binding) == ({}, None, None)
    assert "block" not in made.points["rule_out"].describe()
    assert made.bounds_at(0.9) == (content["refer_band"][0], 0.9)
    assert Decision.from_dict(json.loads(json.dumps(made.to_dict()))) == made


def test_without_both_bounds_nobody_is_referred():
    for made in (decision(None, 0.3, 0.7), decision(0.1, 0.3, None), Decision()):
        assert not made.has_policy
        assert made.lower == made.upper == made.threshold


@pytest.mark.parametrize("blocks", [["a"], {"a": 3}, {"a": [20]}, {"a": [20, 21]}, {"a": [20, 0.5]}])
def test_wrong_blocks_are_refused(blocks):
    content = decision(0.1, 0.3, 0.7).to_dict()
    content["points"]["rule_in"]["blocks"] = blocks
    with pytest.raises(DecisionError, match=r"points\.rule_in\.blocks"):
        Decision.from_dict(content)
    with pytest.raises(DecisionError, match="policy should be a JSON object"):
        Decision.from_dict(decision(0.1, 0.3, 0.7).to_dict() | {"policy": []})
