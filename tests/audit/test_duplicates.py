"""Exact and near duplicates, conflicts and leakage: what is planted is found, clean data is certified."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from scipy.fft import dct

from hf_model.audit import duplicates, leakage
from hf_model.data import near_duplicates
from hf_model.data.loading import load_splits
from hf_model.radiograph import Preprocessing

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


def test_certificate_from_the_loaded_splits_alone(folder, tmp_path):
    shutil.copy(folder / BASE, folder / "test/PNEUMONIA/person900_virus_1.bmp")
    published = load_splits(str(folder), cache_dir=str(tmp_path / "hf"))
    certificate = leakage.leakage_certificate(
        published, Preprocessing(height=96, width=96), cache_dir=tmp_path, near=False
    )
    assert certificate["pairs"][0]["counts"] == {
        "patients": 0,
        "bare_numbers": 0,
        "files": 1,
        "pixels": 1,
        "near": None,
    }
    assert len(certificate["leaks"]) == 2


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
    assert duplicates._distinct(pairs, ["a", "b", "c", "d", "d"]) == 2
