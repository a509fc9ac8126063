"""Splits: no patient on two sides, class shares kept, weights as scikit-learn's."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from hf_model.data.patients import patient_key
from hf_model.data.splits import class_weights, join_groups, make_splits, split_by_group

FRACTIONS = {"train": 0.7, "validation": 0.1, "calibration": 0.2}


def _patients(count: int) -> tuple[np.ndarray, list[str]]:
    """Patient n has 1 + n % 4 pictures; every third patient is normal."""
    rows = [(n % 3 > 0, f"p{n}") for n in range(count) for _ in range(1 + n % 4)]
    return np.array([int(label) for label, _ in rows]), [patient for _, patient in rows]


def test_no_patient_crosses_and_every_row_is_in_one_part() -> None:
    labels, patients = _patients(300)
    parts = split_by_group(labels, patients, FRACTIONS, seed=3)
    people = {name: {patients[i] for i in rows} for name, rows in parts.items()}
    assert people["train"].isdisjoint(people["validation"] | people["calibration"])
    assert people["validation"].isdisjoint(people["calibration"])
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(labels)))


def test_shares_are_of_patients_within_each_class() -> None:
    labels, patients = _patients(300)  # 100 normal, 200 pneumonia patients
    parts = split_by_group(labels, patients, FRACTIONS, seed=3)
    label_of = dict(zip(patients, labels.tolist(), strict=True))
    for name, (normal, pneumonia) in {"train": (70, 140), "validation": (10, 20), "calibration": (20, 40)}.items():
        people = {patients[i] for i in parts[name]}
        assert sum(label_of[p] == 0 for p in people) == normal
        assert sum(label_of[p] == 1 for p in people) == pneumonia


def test_seed_decides() -> None:
    labels, patients = _patients(60)
    first, again, other = (split_by_group(labels, patients, FRACTIONS, seed)["train"].tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_groups_that_share_a_key_or_a_picture_are_joined() -> None:
    # 0 and 1 share a patient, 1 and 3 equal pixels: 0, 1, 3 are one group; 2 and 4 stand alone
    groups = join_groups(["a", "a", "b", "c", "d"], ["x", "y", "z", "y", "w"])
    assert groups[0] == groups[1] == groups[3]
    assert len({groups[0], groups[2], groups[4]}) == 3


def test_group_keys_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        join_groups(["a", "b"], ["a"])


def test_without_patients_it_says_so_loudly(caplog: pytest.LogCaptureFixture) -> None:
    labels = np.array([0, 1] * 20)
    with caplog.at_level(logging.WARNING):
        splits = make_splits(labels, None, list(range(40)), FRACTIONS, 0)
    assert "NO PATIENT KEYS" in caplog.text
    assert splits["train"].patients == len(splits["train"].indices) == 28


def test_too_few_patients_are_named() -> None:
    with pytest.raises(ValueError, match="Too few patients to split: 2 of class NORMAL leave none for"):
        split_by_group([0, 0, 1, 1], ["a", "b", "c", "d"], FRACTIONS, 0)


@pytest.mark.parametrize("fractions", [{"a": 0.5, "b": 0.4}, {"a": 1.2, "b": -0.2}])
def test_bad_fractions_are_refused(fractions: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        split_by_group([0, 1], ["a", "b"], fractions, 0)


def test_class_weights_of_the_published_train_split() -> None:
    labels = np.repeat([0, 1], [1341, 3875])
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=labels)
    assert class_weights(labels) == pytest.approx(tuple(expected), abs=1e-12)
    assert class_weights(labels) == pytest.approx((1.9448, 0.6730), abs=5e-5)


def test_class_weights_need_both_classes() -> None:
    with pytest.raises(ValueError, match="both classes"):
        class_weights([1, 1, 1])


def test_published_names_share_patients_only_by_the_bare_number(shared_data) -> None:
    """With the full key the published train and test share nobody; with the bare number they seem to share 170."""
    from pyarrow import compute, parquet

    from hf_model.data.patients import bare_number

    folder = shared_data / "chest-xray-pneumonia" / "data"
    names = {}
    for split in ("train", "test"):
        table = parquet.read_table(next(folder.glob(f"{split}-*.parquet")), columns=["image"])
        names[split] = compute.struct_field(table["image"], "path").to_pylist()
    full = {split: {patient_key(n) for n in part} for split, part in names.items()}
    persons = {split: {bare_number(n) for n in part if n.startswith("person")} for split, part in names.items()}
    assert None not in full["train"] | full["test"]
    assert full["train"].isdisjoint(full["test"])
    assert len(persons["train"] & persons["test"]) == 170
