"""Exact and near duplicates, conflicts and leakage: what is planted is found, clean data is certified; and how
patients are numbered."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from scipy.fft import dct

from hf_model.audit import duplicates, leakage
from hf_model.audit.findings import _why_numbers_repeat
from hf_model.data import near_duplicates

BASE = "train/PNEUMONIA/person1_virus_10.bmp"


def certify(pictures):
    found, pairs = duplicates.find_duplicates(pictures)
    return found, leakage.certificate(pictures, pairs)


def test_clean_data_has_no_duplicates_and_a_clean_certificate(clean_folder, read):
    found, certificate = certify(read(clean_folder))
    assert (found["exact"]["groups"], found["near"]["groups"], found["surplus_pictures"]) == (0, 0, 0)
    assert certificate["clean"]
    assert certificate["leaks"] == []
    assert certificate["pairs"][0]["counts"] == dict.fromkeys(leakage.KINDS, 0)


def test_a_copied_file_across_splits_is_a_leak(folder, read):
    shutil.copy(folder / BASE, folder / "test/PNEUMONIA/person900_virus_1.bmp")
    found, certificate = certify(read(folder))
    assert found["exact"]["list"][0]["files"] == ["train/person1_virus_10.bmp", "test/person900_virus_1.bmp"]
    assert (found["exact"]["across_splits"], found["exact"]["across_patients"], found["surplus_pictures"]) == (1, 1, 1)
    assert certificate["pairs"][0]["counts"] == {"patients": 0, "bare_numbers": 0, "files": 1, "pixels": 1, "near": 0}
    assert not certificate["clean"]


def test_the_same_pixels_in_another_format_are_equal_pixels_and_other_files(folder, read):
    Image.open(folder / BASE).save(folder / "test/PNEUMONIA/person900_virus_1.png")
    _, certificate = certify(read(folder))
    assert certificate["pairs"][0]["counts"] == {"patients": 0, "bare_numbers": 0, "files": 0, "pixels": 1, "near": 0}


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.resize((150, 150), Image.Resampling.BICUBIC),
        lambda p: ImageEnhance.Brightness(p).enhance(0.8),
        ImageOps.mirror,
    ],
    ids=["resized", "darker", "mirrored"],
)
def test_a_near_duplicate_across_splits_is_a_leak(folder, read, change):
    change(Image.open(folder / BASE)).save(folder / "test/PNEUMONIA/person900_virus_1.jpeg", quality=60)
    found, certificate = certify(read(folder))
    assert found["exact"]["groups"] == 0
    assert found["near"]["list"][0]["files"] == ["train/person1_virus_10.bmp", "test/person900_virus_1.jpeg"]
    assert found["near"]["list"][0]["mirrored"] == (change is ImageOps.mirror)
    assert certificate["pairs"][0]["counts"]["near"] == 1
    assert certificate["leaks"][0].startswith("train and test share 1 nearly equal pictures")


def test_one_picture_under_both_labels_is_a_conflict(folder, read):
    shutil.copy(folder / BASE, folder / "train/NORMAL/IM-9000-0001.bmp")
    found, certificate = certify(read(folder))
    assert (found["exact"]["label_conflicts"], found["exact"]["across_splits"]) == (1, 0)
    assert certificate["clean"]


def test_a_copy_without_a_patient_joins_no_two_patients(folder, read):
    shutil.copy(folder / "test/NORMAL/IM-0024-0001.bmp", folder / "test/NORMAL/scan.bmp")
    found, certificate = certify(read(folder))
    assert found["exact"]["list"][0]["patients"] == ["im-0024"]
    assert (found["exact"]["groups"], found["exact"]["across_patients"]) == (1, 0)
    assert certificate["unknown_patients"]["test"]["unknown"] == 1


def test_a_shared_patient_is_a_leak_and_a_shared_number_is_not(folder, read):
    test = folder / "test/PNEUMONIA"
    other = sorted(test.iterdir())[0]
    shutil.move(other, test / "person3_bacteria_7.bmp")  # patient 3 of train is person3_virus
    _, certificate = certify(read(folder))
    assert certificate["pairs"][0]["counts"] == {"patients": 0, "bare_numbers": 1, "files": 0, "pixels": 0, "near": 0}
    assert certificate["clean"]

    shutil.move(test / "person3_bacteria_7.bmp", test / "person3_virus_7.bmp")
    _, certificate = certify(read(folder))
    assert certificate["pairs"][0]["counts"]["patients"] == 1
    assert certificate["leaks"] == [
        "train and test share 1 patients by the full key, for example "
        "person3_virus: train/person3_virus_30.bmp = test/person3_virus_7.bmp."
    ]


def test_perceptual_hash_is_the_published_one():
    picture = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    double = picture.repeat(2, axis=0).repeat(2, axis=1)  # the thumbnail, of which the hash takes half
    waves = dct(dct(picture.astype(float), axis=0), axis=1)[:8, :8]  # as imagehash.phash computes it
    # unnormalised waves differ from orthonormal ones by factors of the first row and column: compare without those
    expected = (waves > np.median(waves))[1:, 1:]
    code = near_duplicates.perceptual_hash(double[None])
    bits = np.unpackbits(code.view(np.uint8)).reshape(8, 8).astype(bool)[1:, 1:]
    assert np.mean(bits == expected) > 0.9


def test_surplus_counts_chains_once():
    pair = duplicates.Pair
    pairs = [pair(0, 1, 2, 0.99, False), pair(1, 2, 2, 0.98, False)]
    assert duplicates._count_distinct(pairs, ["a", "b", "c", "d", "d"]) == 2


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
    assert _why_numbers_repeat(found).endswith("within train alone 1 of 48 numbers meet in two series.")


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
