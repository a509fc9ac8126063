"""What file names say of patients: worked out by hand from the published naming."""

from __future__ import annotations

import pytest

from hf_model.data.patients import aetiology, bare_number, patient_key, patient_key_function, patients_of


@pytest.mark.parametrize(
    ("name", "key", "bare", "cause"),
    [
        ("person1018_virus_1706.jpeg", "person1018_virus", "person-1018", "virus"),
        ("person1000_bacteria_2931.jpeg", "person1000_bacteria", "person-1000", "bacteria"),
        ("IM-0115-0001.jpeg", "im-0115", "im-115", None),
        ("NORMAL2-IM-0530-0001.jpeg", "normal2-im-0530", "im-530", None),
        ("NORMAL2-IM-1116-0001-0002.jpeg", "normal2-im-1116", "im-1116", None),
        ("BACTERIA-1008087-0001.jpeg", "bacteria-1008087", "patient-1008087", "bacteria"),
        ("NORMAL-28501-0001.jpeg", "normal-28501", "patient-28501", None),
        ("train/PNEUMONIA/person1_bacteria_1.jpeg", "person1_bacteria", "person-1", "bacteria"),
        ("folder\\IM-0001-0001.jpeg", "im-0001", "im-1", None),
        ("scan_17.png", None, None, None),
        ("personal.png", None, None, None),
    ],
)
def test_keys(name: str, key: str | None, bare: str | None, cause: str | None) -> None:
    assert (patient_key(name), bare_number(name), aetiology(name)) == (key, bare, cause)


def test_second_number_is_not_part_of_the_key() -> None:
    assert patient_key("IM-0115-0001.jpeg") == patient_key("IM-0115-0002.jpeg") != patient_key("IM-0117-0001.jpeg")


def test_own_pattern() -> None:
    assert patient_key_function(r"^pat(\d+)_")("some/pat17_a.png") == "17"
    assert patients_of(["pat1_a.png", "pat2_a.png"], r"^pat(\d+)_") == ["1", "2"]


def test_one_name_without_a_patient_means_no_grouping() -> None:
    assert patients_of(["IM-0115-0001.jpeg", "scan.png"]) is None


@pytest.mark.parametrize(("pattern", "message"), [("(", "not a regular expression"), ("pat", "no group")])
def test_bad_pattern_is_named(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        patient_key_function(pattern)
