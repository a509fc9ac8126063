"""sealing.py, subgroups.py, validation.py, recalibration.py: records, refusals and hand counts."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from generated import make_scores
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from hf_model.evaluation import test_split
from hf_model.evaluation.recalibration import TooFewPatientsError, refit, write_recalibrated
from hf_model.metrics.decision import Decision, OperatingPoint
from hf_model.metrics.guarantees import check_guarantees, score_shift
from hf_model.metrics.operating_point import fit_decision
from hf_model.metrics.scores import Scores
from hf_model.metrics.subgroups import aetiology_column, group_names, subgroup_table


def test_an_opening_is_recorded_and_a_second_refused(tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps({"seed": 7, "test_openings": []}))
    first = test_split.open_test(tmp_path, "aaa", ["chest-set"], reopen=False)
    assert (first["count"], first["weights_sha256"], first["renderings"]) == (1, "aaa", ["chest-set"])
    with pytest.raises(test_split.SealedTestError, match=r"1 in all\)\. --reopen_test opens"):
        test_split.open_test(tmp_path, "aaa", ["chest-set"], reopen=False)
    assert test_split.open_test(tmp_path, "bbb", ["chest-set"], reopen=False)["count"] == 1  # other weights
    assert test_split.open_test(tmp_path, "aaa", ["chest-set"], reopen=True)["count"] == 2
    kept = json.loads((tmp_path / "metrics.json").read_text())
    assert kept["seed"] == 7
    assert [(entry["weights_sha256"], entry["count"]) for entry in kept["test_openings"]] == [
        ("aaa", 1),
        ("bbb", 1),
        ("aaa", 2),
    ]


def test_the_refusal_names_the_stored_scores_and_a_hub_folder_is_left_alone(tmp_path, scores):
    (tmp_path / "metrics.json").write_text(json.dumps({"test_openings": [{"weights_sha256": "aaa", "when": "then"}]}))
    before = (tmp_path / "metrics.json").read_bytes()
    scores.to_csv(tmp_path / "scores" / "test.csv")
    with pytest.raises(test_split.SealedTestError, match="--from_scores makes the report"):
        test_split.open_test(tmp_path, "aaa", ["x"], reopen=False)
    assert test_split.open_test(tmp_path, "aaa", ["x"], reopen=True, writable=False)["count"] == 2
    assert (tmp_path / "metrics.json").read_bytes() == before
    assert list(test_split.stored_scores(tmp_path)) == ["test"]


def test_subgroups_by_hand(scores):
    decision = fit_decision(scores)
    kind = ["normal" if label == 0 else ("virus", "bacteria")[row % 2] for row, label in enumerate(scores.labels)]
    table = subgroup_table(scores, decision, {"kind": kind})["kind"]
    assert list(table) == ["bacteria", "normal", "virus"]
    member = np.array([name == "virus" for name in kind])
    probability = 1 / (1 + np.exp(-(scores.margins / decision.temperature + decision.bias)))
    assert table["virus"]["sensitivity"]["value"] == pytest.approx(np.mean(probability[member] >= decision.threshold))
    assert (table["virus"]["specificity"], table["normal"]["sensitivity"]) == (None, None)
    against = member | (scores.labels == 0)
    assert table["virus"]["auc"]["value"] == pytest.approx(
        roc_auc_score(scores.labels[against], scores.margins[against])
    )
    assert (table["virus"]["auc_against"], "auc" in table["normal"]) == ("all normal", False)
    assert sum(group["n"] for group in table.values()) == len(scores)
    with pytest.raises(ValueError, match="2 values for"):
        subgroup_table(scores, decision, {"kind": ["a", "b"]})


def test_groups_of_numbers_gaps_and_many_values():
    ages = [*range(1, 21), None, float("nan")]
    groups = group_names(ages)
    assert groups[20:] == ["not given", "not given"]
    assert [groups[:20].count(name) for name in sorted(set(groups[:20]))] == [5, 5, 5, 5]
    assert groups[0] == "1. quarter: 1 to 5.75"
    assert group_names([1, 2, 2, None]) == ["1", "2", "2", "not given"]
    many = [f"site {number}" for number in range(12) for _ in range(number + 1)]
    assert set(group_names(many)) == {*(f"site {number}" for number in range(4, 12)), "other"}


def test_aetiology_comes_from_the_file_names(scores):
    names = ["person1_bacteria_2.jpeg", "person3_virus_4.jpeg", "IM-0001-0001.jpeg", "sick.png"]
    named = Scores(scores.logits[:4], [1, 1, 0, 1], names, names)
    assert aetiology_column(named) == {
        "aetiology (file name)": ["bacterial pneumonia", "viral pneumonia", "normal", None]
    }
    assert aetiology_column(scores) == {}


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


def test_too_few_patients_are_refused_with_the_number_needed():
    small = make_scores(76)  # 57 with pneumonia, 19 without
    with pytest.raises(TooFewPatientsError, match=r"57 patients with pneumonia and 19 .* least 59 .*20 without"):
        refit(small)
    enough = refit(make_scores(80), provenance={"dataset": "local"})
    assert enough.points["default"].patients == 60
    assert enough.provenance["dataset"] == "local"


def test_a_recalibrated_checkpoint_keeps_its_weights_and_renews_its_figures(tmp_path, scores):
    source, target = tmp_path / "old", tmp_path / "new"
    old = fit_decision(scores)
    old.save(source)
    (source / "model.safetensors").write_bytes(b"weights")
    (source / "README.md").write_text("old card")
    test = make_scores(50, seed=9)
    test.to_csv(source / "scores" / "test-chest-set.csv")
    local = make_scores(300, seed=4, separation=1.0)
    metrics = {"seed": 1, "test": {"chest-set": {}}, "renderings": {"x": 1}, "test_openings": [{"count": 1}]}
    new = refit(local)
    write_recalibrated(source, target, new, local, metrics, {"dataset": "local"})
    assert (target / "model.safetensors").read_bytes() == b"weights"
    assert not (target / "README.md").exists()
    assert Decision.load(target) == new != old
    renewed = json.loads((target / "metrics.json").read_text())
    assert renewed["test"]["chest-set"]["points"]["default"]["threshold"] == new.threshold
    assert "renderings" not in renewed
    assert renewed["test_openings"] == [{"count": 1}]
    assert renewed["recalibration"]["before"]["threshold"] == old.threshold
    assert renewed["recalibration"]["dataset"] == "local"
    assert np.array_equal(Scores.from_csv(target / "scores" / "calibration.csv").logits, local.logits)
    assert [path.name for path in sorted((target / "scores").glob("calibration*"))] == ["calibration.csv"]
    assert Decision.load(source) == old
    assert math.isclose(renewed["calibration"]["mean_probability"], new.prevalence, abs_tol=1e-6)
