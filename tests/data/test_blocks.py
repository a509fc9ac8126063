"""blocks.py: series and numbers of file names, neighbours together, patients whole, balanced folds."""

from __future__ import annotations

import pytest

from hf_model.data.blocks import number_blocks, series_and_number


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("person12_virus_34.jpeg", ("person#_virus", 12)),
        ("train/PNEUMONIA/person1018_bacteria_1706.jpeg", ("person#_bacteria", 1018)),
        ("IM-0115-0001.jpeg", ("IM-#", 115)),
        ("NORMAL2-IM-0530-0001.jpeg", ("NORMAL2-IM-#", 530)),
        ("BACTERIA-1008087-0001.jpeg", ("BACTERIA-#", 1008087)),
        ("00001299_000.png", ("#", 1299)),
        ("chest.png", None),
    ],
)
def test_series_and_number(name, expected):
    assert series_and_number(name) == expected


def test_neighbours_are_together_and_series_apart():
    names = [f"IM-{number:04d}-0001.jpeg" for number in range(100, 110)] + [
        f"NORMAL2-IM-{number:04d}-0001.jpeg" for number in range(100, 104)
    ]
    blocks = number_blocks(names, names, size=5)
    assert blocks[:5] == ["IM-# 100-104"] * 5
    assert blocks[5:10] == ["IM-# 105-109"] * 5
    assert blocks[10:] == ["NORMAL2-IM-# 100-103"] * 4


def test_a_patient_is_in_one_block_whatever_the_numbers():
    names = ["scan1.png", "scan2.png", "scan3.png", "scan99.png", "other.png"]
    blocks = number_blocks(names, ["a", "b", "c", "a", "d"], size=2)
    assert blocks[0] == blocks[3] == "scan# 1-2"
    assert blocks[4] == ""


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="2 names, but 1 patients"):
        number_blocks(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="at least 2 patients, not 1"):
        number_blocks(["a1"], ["a"], size=1)
