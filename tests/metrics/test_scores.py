"""Scores: checks, patients, and a CSV that reads back bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from hf_model.metrics.scores import Scores


def test_csv_round_trip_is_exact(tmp_path, scores):
    named = Scores(scores.logits / 3, scores.labels, ['a,"b".png', *scores.names[1:]], scores.patients)
    read = Scores.from_csv(named.to_csv(tmp_path / "scores" / "test.csv"))
    assert np.array_equal(read.logits, named.logits)
    assert np.array_equal(read.labels, named.labels)
    assert (read.names, read.patients) == (named.names, named.patients)


def test_float32_logits_keep_their_value(tmp_path):
    made = Scores(np.float32([[0.1, 0.2]]), [1], ["a"], [None])
    assert Scores.from_csv(made.to_csv(tmp_path / "s.csv")).logits.astype(np.float32).tolist() == [
        [np.float32(0.1), np.float32(0.2)]
    ]


def test_unknown_patients_count_one_by_one():
    made = Scores(np.zeros((5, 2)), [0, 1, 0, 1, 1], list("abcde"), ["x", "", "x", None, "x"])
    assert made.patient_count == 3
    assert made.patient_codes[0] == made.patient_codes[2] == made.patient_codes[4]
    assert made.patient_codes[1] != made.patient_codes[3]


def test_select_takes_rows_and_masks(scores):
    assert scores.select([2, 0]).names == [scores.names[2], scores.names[0]]
    assert len(scores.select(scores.labels == 1)) == scores.labels.sum()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 3)), [0, 1], ["a", "b"], ["", ""]), r"shape \(2, 2\)"),
        ((np.zeros((2, 2)), [0, 2], ["a", "b"], ["", ""]), "Labels should be 0"),
        ((np.zeros((2, 2)), [0, 1], ["a"], ["", ""]), "1 names"),
        ((np.array([[0, 0], [0, np.nan]]), [0, 1], ["a", "b"], ["", ""]), "the first is b"),
    ],
)
def test_bad_scores_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Scores(*arguments)


def test_bad_files_name_line_and_column(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("name,label\n")
    with pytest.raises(ValueError, match="no column patient, logit_normal, logit_pneumonia"):
        Scores.from_csv(path)
    path.write_text("name,patient,label,logit_normal,logit_pneumonia\na,,0,1.0,2.0\nb,,1,x,2.0\n")
    with pytest.raises(ValueError, match="line 3: could not convert"):
        Scores.from_csv(path)
