"""The report's first sentence tells what a reader must know before any figure."""

from __future__ import annotations

import pytest

from hf_model.evaluation.report_promise import opening_line

RECORD = {"n": 40, "patients": 30, "normal": 10, "pneumonia": 30, "prevalence": 0.75}
LEAK = {"clean": False, "allowed": True, "counts": {"patients": 2, "pixels": 1, "near": 0}, "unknown_patients": 0}


def line(**changes) -> str:
    content = {"record": RECORD, "split": "test", "role": "test", "leakage": None, "patients_known": True}
    return opening_line(content | changes)


def test_allowed_leakage_comes_first() -> None:
    assert line(leakage=LEAK).startswith(
        "TRAINED ON PART OF THIS: development shares 2 patients, 1 equal picture with this split, so figures are too "
        "good. Split test: 40 pictures of 30 patients, 10 normal"
    )


@pytest.mark.parametrize("changes", [{}, {"leakage": LEAK | {"clean": True}}, {"leakage": LEAK, "role": "external"}])
def test_without_it_the_split_comes_first(changes: dict) -> None:
    assert line(**changes).startswith("Split test: 40 pictures of 30 patients, 10 normal")


def test_unknown_patients_are_no_number_of_patients() -> None:
    assert "40 pictures of unknown patients, so that intervals and promises below count pictures as patients" in (
        line(patients_known=False)
    )
