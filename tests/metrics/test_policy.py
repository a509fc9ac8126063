"""policy.py and the fit of its bounds: counts by hand, order of the thresholds, shares, guarantees by simulation."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from generated import make_scores
from scipy.stats import binom, norm

from hf_model.config import LABELS
from hf_model.inference.prediction import Prediction, Timing
from hf_model.metrics.decision import Decision, OperatingPoint
from hf_model.metrics.held_out import HeldOut
from hf_model.metrics.intervals import wilson
from hf_model.metrics.operating_point import MIN_BLOCK, fit_decision, fit_point
from hf_model.metrics.policy import CROSS_FITTED, HELD_OUT, NO_BLOCKS, guarantee, policy_record
from hf_model.metrics.record import evaluation_record
from hf_model.metrics.scores import Scores
from hf_model.wording import SHARES, policy_sentence


def fitted(values: np.ndarray, blocks: list[str] | None = None, *, kind: str, target: float = 0.95) -> OperatingPoint:
    return fit_point(
        "rule_out" if kind == "sensitivity" else "rule_in", values, kind=kind, target=target, blocks=blocks
    )


def scores_of(normal: list[float], pneumonia: list[float], names: list[str] | None = None) -> Scores:
    """Scores whose plain softmax is the given probabilities, a patient a picture."""
    probability = np.array([*normal, *pneumonia])
    logits = np.stack([np.zeros(len(probability)), np.log(probability / (1 - probability))], axis=1)
    keys = [f"patient {row}" for row in range(len(probability))]
    return Scores(logits, np.r_[np.zeros(len(normal)), np.ones(len(pneumonia))], names or keys, keys)


def plain(rule_out: float, two_way: float, rule_in: float) -> Decision:
    """Probabilities are the plain softmax, thresholds as given."""
    points = {
        name: OperatingPoint(name, kind, 0.95, 0.95, threshold, 300, 59, 8, 8, 0.9524)
        for name, kind, threshold in (
            ("default", "sensitivity", two_way),
            ("rule_out", "sensitivity", rule_out),
            ("rule_in", "specificity", rule_in),
        )
    }
    return Decision(1.0, 0.0, 0.5, points)


def test_bounds_without_blocks_are_the_order_statistics_of_the_exact_test():
    # of 100 patients at 0.95 one error is allowed: 0.95^100 + 100 * 0.05 * 0.95^99 = 0.0371, with two 0.118
    rule_out = fitted(np.arange(100) / 100, kind="sensitivity")
    assert (rule_out.threshold, rule_out.errors, rule_out.allowed_errors) == (0.01, 1, 1)
    rule_in = fitted(np.arange(100) / 100, kind="specificity")
    assert (rule_in.threshold, rule_in.errors) == (0.980001, 1)
    assert (rule_in.binding, rule_in.blocks) == (None, None)


def test_the_worst_block_decides_where_it_is_stricter():
    values = np.r_[np.linspace(0.5, 0.9, 400), np.linspace(0.2, 0.6, 40)]
    found = fitted(values, ["good"] * 400 + ["bad"] * 40, kind="sensitivity")
    # two of 40 may be missed: the third lowest of the block, 0.2 + 2 * 0.4 / 39
    assert found.binding == "bad"
    assert found.threshold == pytest.approx(0.2 + 0.8 / 39, abs=1e-6)
    assert found.blocks == {"bad": (40, 2), "good": (400, 0)}
    # all patients alone would have allowed 14 of 440
    assert found.allowed_errors == 14
    assert fitted(values, kind="sensitivity").errors == 14
    assert "is at least 95 % in 2 blocks of neighbouring file numbers too, each by itself; block bad decided." in (
        found.describe()
    )


def test_a_block_that_is_better_than_the_whole_changes_nothing():
    values = np.r_[np.linspace(0.0, 0.5, 300), np.linspace(0.0, 0.1, 60)]
    with_blocks = fitted(values, [""] * 300 + ["easy"] * 60, kind="specificity")
    assert with_blocks.threshold == fitted(values, kind="specificity").threshold
    assert (with_blocks.blocks, with_blocks.binding) == ({"easy": (60, 0)}, "all patients")
    assert "the exact test decided" in with_blocks.describe()


def test_blocks_of_few_patients_are_not_looked_at_and_that_is_said():
    values = np.r_[np.linspace(0.5, 0.9, 100), np.zeros(MIN_BLOCK - 1)]
    found = fitted(values, [""] * 100 + ["small"] * (MIN_BLOCK - 1), kind="sensitivity", target=0.5)
    assert found.blocks == {}
    assert "no worst block was looked at" in found.describe()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="3 scores, but 2 blocks"):
        fitted(np.zeros(3), ["a", "b"], kind="sensitivity")
    with pytest.raises(ValueError, match="not finite"):
        fitted(np.array([np.nan]), kind="sensitivity")
    with pytest.raises(ValueError, match="kind should be"):
        fitted(np.zeros(2), kind="precision")
    with pytest.raises(ValueError, match=r"one of .*, not 'guessed'"):
        guarantee("guessed", {})


def numbered(normal: np.ndarray, pneumonia: np.ndarray) -> Scores:
    names = [f"IM-{number:04d}-0001.jpeg" for number in range(len(normal))]
    names += [f"person{number}_virus_{number}.jpeg" for number in range(len(pneumonia))]
    return scores_of(normal.tolist(), pneumonia.tolist(), names)


def test_the_fit_cuts_calibration_patients_into_blocks_by_file_number():
    """Of 600 normals in the order of their numbers the last 60, one block, score higher than the others."""
    normal = np.r_[np.linspace(0.01, 0.3, 540), np.linspace(0.35, 0.5, 60)]
    decision = fit_decision(numbered(normal, np.linspace(0.2, 0.99, 600)))
    found = decision.points["rule_in"]
    assert (len(found.blocks), found.binding) == (10, "IM-# 540-599")
    assert found.blocks["IM-# 540-599"] == (60, 3)
    assert sum(errors for _, errors in found.blocks.values()) == found.errors == 3
    assert found.allowed_errors == 20  # the largest k with P(Binomial(600, 0.05) <= k) <= 0.05
    assert len(decision.points["rule_out"].blocks) == 10
    assert decision.points["default"].blocks is None
    assert (decision.provenance["scores"], decision.provenance["guarantee"]) == (
        HELD_OUT,
        guarantee(HELD_OUT, decision.points),
    )
    assert "a new block may do worse" in decision.provenance["guarantee"]


def test_without_file_numbers_there_is_no_block_rule_and_it_is_said():
    normal, pneumonia = np.linspace(0.01, 0.5, 200), np.linspace(0.2, 0.99, 200)
    named = scores_of(normal.tolist(), pneumonia.tolist(), ["chest.png"] * 400)
    decision = fit_decision(named, source=CROSS_FITTED)
    assert decision.points["rule_in"].blocks == decision.points["rule_out"].blocks == {}
    assert decision.provenance["scores"] == CROSS_FITTED
    assert decision.provenance["guarantee"].endswith(NO_BLOCKS)
    assert "is an assumption" in decision.provenance["guarantee"]


@pytest.mark.parametrize(("rule_out", "rule_in"), [(0.98, 0.95), (0.9, 0.9), (0.5, 0.5), (0.98, 0.5), (0.5, 0.98)])
@pytest.mark.parametrize("two_way", [0.5, 0.8, 0.95, 0.98])
@pytest.mark.parametrize("separation", [0.3, 1.5, 4.0])
def test_thresholds_are_in_order_and_keep_every_promise(rule_out, rule_in, two_way, separation):
    """Whatever the targets and however well the model separates the classes."""
    scores = make_scores(900, separation=separation)
    decision = fit_decision(
        scores, target_sensitivity=two_way, rule_out_sensitivity=rule_out, rule_in_specificity=rule_in
    )
    points = decision.points
    assert decision.lower <= decision.threshold <= decision.upper
    assert decision.lower <= points["rule_out"].threshold
    assert decision.upper >= points["rule_in"].threshold
    alone = fit_decision(scores, target_sensitivity=two_way, rule_out_sensitivity=0.999, rule_in_specificity=0.95)
    assert alone.points["rule_out"].threshold is None  # too few patients for a policy: the two-way point by itself
    assert decision.threshold <= alone.threshold
    assert points["default"].errors <= points["default"].allowed_errors
    if decision.threshold < alone.threshold:
        assert points["default"].binding in ("rule_out", "rule_in")
        assert "which only raises the sensitivity" in points["default"].describe()
        assert decision.upper == decision.threshold


@pytest.mark.parametrize(
    ("out", "two_way", "into", "expected"),
    [
        (0.2, 0.4, 0.7, (0.2, 0.4, 0.7)),
        (0.2, 0.1, 0.7, (0.1, 0.1, 0.7)),  # a two-way threshold that misses fewer than rule-out may
        (0.6, 0.5, 0.3, (0.5, 0.5, 0.5)),  # both rates hold anywhere between 0.3 and 0.6: nobody is referred
        (0.6, 0.6, 0.3, (0.6, 0.6, 0.6)),
        (0.6, 0.1, 0.3, (0.1, 0.1, 0.3)),  # the two-way target is the strictest: it holds, and so does rule-in
        (0.5, 0.5, 0.5, (0.5, 0.5, 0.5)),
    ],
)
def test_the_three_thresholds_in_every_order(out, two_way, into, expected):
    decision = plain(out, two_way, into)
    assert (decision.lower, decision.threshold, decision.upper) == expected
    assert decision.lower <= out
    assert decision.upper >= into
    assert decision.refer_band == ((expected[0], expected[2]) if expected[0] < expected[2] else None)


def test_shares_of_each_class_by_hand():
    decision = plain(0.2, 0.5, 0.8)
    scores = scores_of([0.1, 0.21, 0.79, 0.81], [0.19, 0.5, 0.9])
    record = policy_record(scores, decision)
    assert [record[key] for key in ("lower", "threshold", "upper")] == [0.2, 0.5, 0.8]
    assert [record["NORMAL"][name]["count"] for name in SHARES] == [1, 2, 1]
    assert record["NORMAL"]["n"] == 4
    assert [record["PNEUMONIA"][name]["value"] for name in SHARES] == [1 / 3] * 3
    # Wilson for 1 of 4: (0.25 + z^2/8 -+ z sqrt(0.1875/4 + z^2/64)) / (1 + z^2/4), z = 1.959964
    assert record["NORMAL"]["cleared"]["interval"] == pytest.approx([0.0455873, 0.6993582], abs=1e-6)
    assert policy_sentence(record).startswith(
        "Of normal pictures, 25.0 % (4.6 to 69.9) are cleared, 50.0 % (15.0 to 85.0) referred and 25.0 % (4.6 to 69.9) "
        "called pneumonia; of pictures with pneumonia, 33.3 %"
    )
    normal = policy_record(scores.select(scores.labels == 0), decision)
    assert normal["PNEUMONIA"]["called"] == {"count": 0, "value": None, "interval": None, "cluster_interval": None}
    assert "with pneumonia" not in policy_sentence(normal)


def test_patients_are_drawn_whole_for_the_cluster_interval():
    """Two normal patients of 20 equal pictures: 0, 1/2 or 1 of them cleared, each draw with 1/4, 1/2 and 1/4."""
    scores = scores_of([0.1] * 20 + [0.9] * 20, [0.9])
    owners = ["a"] * 20 + ["b"] * 20 + ["c"]
    record = policy_record(replace(scores, patients=owners), plain(0.2, 0.5, 0.8))
    assert record["NORMAL"]["cleared"]["cluster_interval"] == [0.0, 1.0]
    low, high = record["NORMAL"]["cleared"]["interval"]
    assert 0.3 < low < 0.5 < high < 0.7


def test_decision_record_page_and_table_agree(tmp_path):
    scores = make_scores(500, seed=3, separation=1.0)
    decision = fit_decision(scores)
    assert decision.lower < decision.upper
    decision.save(tmp_path)
    assert Decision.load(tmp_path) == decision
    content = json.loads((tmp_path / "decision.json").read_text())
    assert content["schema_version"] == "1.1"
    assert content["refer_band"] == [content["policy"]["lower"], content["policy"]["upper"]]
    record = evaluation_record(scores, decision)["policy"]
    assert content["policy"] == record  # the calibration pictures are the same here, and so is the seed

    (tmp_path / "scores").mkdir()
    scores.to_csv(tmp_path / "scores" / "test.csv")
    shown = HeldOut.load(tmp_path, decision).at(decision.threshold, decision.bounds_at(decision.threshold)).shares
    assert policy_sentence(shown) == policy_sentence(record)

    counted = {label: dict.fromkeys(SHARES, 0) for label in LABELS}
    by_answer = {"PNEUMONIA NOT LIKELY": "cleared", "REFER TO A RADIOLOGIST": "referred", "PNEUMONIA LIKELY": "called"}
    for logits, label in zip(scores.logits.tolist(), scores.labels.tolist(), strict=True):
        prediction = Prediction.make(
            rule=decision,
            logits=logits,
            threshold=None,
            name="x.png",
            class_activation_map=None,
            findings=(),
            model_id="m",
            model_hash="0" * 64,
            engine="torch-f32",
            timing=Timing(0, 0, 0, 0),
        )
        assert prediction.to_row()["answer"] == prediction.to_dict()["answer"] == prediction.answer
        assert prediction.to_row()["decision"] == prediction.to_dict()["decision"]
        counted[LABELS[label]][by_answer[prediction.answer]] += 1
        assert prediction.answer != "PNEUMONIA LIKELY" or prediction.decision == "PNEUMONIA"
        assert prediction.answer != "PNEUMONIA NOT LIKELY" or prediction.decision == "NORMAL"
    for label in LABELS:
        assert counted[label] == {share: record[label][share]["count"] for share in SHARES}
    for share in SHARES:
        entry = record["NORMAL"][share]
        assert entry["interval"] == list(wilson(entry["count"], record["NORMAL"]["n"]))


def test_exact_rule_fails_in_at_most_5_per_cent_of_calibration_sets():
    """The true rate, known from the scores' distribution, is below the target in at most 1 - confidence of them."""
    rng, broken, sets = np.random.default_rng(5), {"sensitivity": 0, "specificity": 0}, 1500
    with_blocks, blocks = dict.fromkeys(broken, 0), [f"block {row // 58}" for row in range(230)]
    for _ in range(sets):
        scores = norm.cdf(rng.normal(size=230))
        for kind in broken:
            for counts, given in ((broken, None), (with_blocks, blocks)):
                threshold = fitted(scores, given, kind=kind).threshold
                rate = 1 - threshold if kind == "sensitivity" else threshold  # the scores are uniform
                counts[kind] += rate < 0.95
    # 230 patients allow 5 errors (0.029; with 6 it is 0.056): broken where at most 5 lie on the wrong side of 0.95
    expected = binom.cdf(5, 230, 0.05)
    for kind, count in broken.items():
        assert with_blocks[kind] < count  # the worst block only makes a bound more cautious
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
            found = fitted(seen, blocks, kind="specificity", target=target)
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

        def ridge_of(rows: np.ndarray, x: np.ndarray = features, y: np.ndarray = labels) -> np.ndarray:
            ridge = x[rows].T @ x[rows] + 5 * np.eye(width)
            return np.linalg.solve(ridge, x[rows].T @ (2.0 * y[rows] - 1))

        folds = rng.integers(0, 5, patients)
        squash = norm.cdf
        shipped = ridge_of(np.arange(patients))
        held_out = np.empty(patients)
        for fold in range(5):
            held_out[folds == fold] = squash(features[folds == fold] @ ridge_of(np.flatnonzero(folds != fold)))
        normal = np.flatnonzero(labels == 0)
        served = squash(new @ shipped)
        for kind, values in (("crossed", held_out), ("naive", squash(features @ shipped))):
            threshold = fitted(values[normal], kind="specificity", target=0.9).threshold
            failed = float(np.mean(served < threshold)) < 0.9
            crossed, naive = crossed + (failed and kind == "crossed"), naive + (failed and kind == "naive")
    assert crossed / sets <= 0.1
    assert naive / sets > 0.3
