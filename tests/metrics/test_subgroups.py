"""Subgroups by hand: groups of a column, their figures, aetiology from file names."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hf_model.metrics.operating_point import fit_decision
from hf_model.metrics.scores import Scores
from hf_model.metrics.subgroups import aetiology_column, group_names, subgroup_table


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
