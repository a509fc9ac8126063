"""Series of patient numbers, and how alike films with one number are: worked out from the generated names."""

from __future__ import annotations

import shutil

import pytest

from hf_model.audit import duplicates
from hf_model.audit.findings import _numbering


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("person7_virus", "virus"),
        ("person12_bacteria", "bacteria"),
        ("im-0115", "im"),
        ("normal2-im-0530", "normal2-im"),
    ],
)
def test_a_series_is_the_key_without_its_number(key, kind):
    assert duplicates._without_number(key) == kind


def test_series_of_generated_names(folder, read):
    # train has patients 0 to 23: even ones bacterial, odd ones viral; test has 24 to 35
    shutil.move(folder / "train/PNEUMONIA/person4_bacteria_40.bmp", folder / "train/PNEUMONIA/person5_bacteria_40.bmp")
    found = duplicates.series(read(folder))
    entry = {(e["split"], e["series"]): (e["patients"], e["lowest"], e["highest"]) for e in found["ranges"]}
    assert entry == {
        ("train", "im"): (24, 0, 23),
        ("train", "bacteria"): (13, 0, 22),
        ("train", "virus"): (12, 1, 23),
        ("test", "im"): (12, 24, 35),
        ("test", "bacteria"): (6, 24, 34),
        ("test", "virus"): (6, 25, 35),
    }
    # "person-5" is bacterial and viral now; persons and IM numbers never count as one
    assert found["meet"] == {"train": {"numbers": 48, "in_two_series": 1}, "test": {"numbers": 24, "in_two_series": 0}}
    assert _numbering(found).endswith("within train alone 1 of 48 numbers meet in two series.")


def test_likeness_tells_one_child_from_strangers(folder, read):
    # the one film with a number shared across splits is a copy of the other's: as alike as can be
    source = folder / "train/PNEUMONIA/person3_virus_30.bmp"
    shutil.copy(source, folder / "test/PNEUMONIA/person3_bacteria_1.bmp")
    found = duplicates.likeness(read(folder))
    assert found["one_bare_number"]["pairs"] == 2  # with both films of person3_virus
    assert found["strangers"]["pairs"] == 2
    assert found["one_full_key"]["pairs"] == 72  # two films each of 72 patients
    assert found["one_bare_number"]["median"] > found["strangers"]["median"]


def test_no_numbers_no_table(folder, read):
    (folder / "train/NORMAL/IM-0001-0001.bmp").rename(folder / "train/NORMAL/scan.bmp")
    pictures = read(folder)
    assert pictures.patients is None
    assert duplicates.series(pictures) is None
    assert duplicates.likeness(pictures) is None


def test_pictures_without_a_number_change_neither_table(folder, read):
    clean = read(folder)
    expected = duplicates.series(clean), duplicates.likeness(clean)
    for number, name in enumerate(("IM-0024-0001.bmp", "IM-0025-0001.bmp")):
        shutil.copy(folder / "test/NORMAL" / name, folder / f"test/NORMAL/scan{number}.bmp")
    pictures = read(folder)
    assert pictures.patients.count(None) == 2
    assert (duplicates.series(pictures), duplicates.likeness(pictures)) == expected
