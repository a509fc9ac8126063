"""Shortcut probes and shift: a planted one is found, clean data gives chance or silence."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter
from sklearn.metrics import roc_auc_score

from hf_model.audit import measures, shortcuts
from hf_model.audit.findings import SHORTCUT_AUC
from hf_model.audit.pictures import FileInfo
from hf_model.audit.shortcuts import TooFewPatientsError, auc_entry, linear, out_of_fold


def table(pictures):
    return {p["key"]: p["auc"] for p in shortcuts.run_probes(pictures, measures.measure(pictures))}


def test_clean_metadata_tells_nothing(clean_folder, read):
    metadata = table(read(clean_folder))["metadata"]
    # every file has the same size and length, so trees can only give one score to all of a fold
    assert metadata["interval"][0] < 0.5 < metadata["interval"][1] or metadata["value"] == 0.5


def test_a_class_saved_at_another_size_is_a_metadata_shortcut(folder, read):
    for path in (folder / "train" / "NORMAL").iterdir():
        Image.open(path).resize((128, 110)).save(path)
    metadata = table(read(folder))["metadata"]
    assert metadata["value"] == 1.0
    assert metadata["interval"][0] > SHORTCUT_AUC


def test_a_blurred_class_is_a_sharpness_shortcut_in_the_direction_that_it_has(folder, read):
    for split in ("train", "test"):
        for path in (folder / split / "PNEUMONIA").iterdir():
            Image.open(path).filter(ImageFilter.GaussianBlur(2)).save(path)
    pictures = read(folder)
    taken = measures.measure(pictures)
    sharp = next(p for p in shortcuts.run_probes(pictures, taken) if p["key"] == "sharpness")
    assert sharp["auc"]["value"] == 1.0
    assert sharp["how"].endswith("normal is sharper")
    assert shortcuts.sharpness_on_test(pictures, taken)["value"] == 1.0


def test_metadata_of_one_file_worked_out_by_hand():
    row = shortcuts.metadata_features([FileInfo(4800, "", "JPEG", "L", 40, 30), FileInfo(10, "")])
    assert row[0].tolist() == [40, 30, 40 / 30, 1200, 4800, 4, 0]
    assert row[1].tolist() == [0, 0, 0, 1, 10, 10, 1]


def test_the_mask_keeps_nothing_of_the_lungs():
    small = np.zeros((1, 32, 32), np.uint8)
    small[0, shortcuts.lungs_box(32, 32)[0], shortcuts.lungs_box(32, 32)[1]] = 255
    outside = shortcuts.outside_lungs(small)
    assert outside.max() == 0
    assert outside.shape == (1, 32 * 32 - 24 * 26)  # rows 4 to 28, columns 3 to 29


def test_auc_is_scikit_learns_and_clusters_widen_it():
    # six pictures of a patient share most of what they score: 20 patients tell little more than 20 pictures would
    rng = np.random.default_rng(3)
    patient = np.arange(120) // 6
    labels = np.repeat([0, 1], 60)
    score = rng.normal(size=20)[patient] + 0.3 * rng.normal(size=120) + labels
    alone, clustered = (auc_entry(score, labels, groups) for groups in (np.arange(120), patient))
    assert alone["value"] == clustered["value"] == pytest.approx(roc_auc_score(labels, score))
    assert (alone["groups"], clustered["groups"]) == (120, 20)
    width = {
        key: entry[kind][1] - entry[kind][0]
        for key, entry, kind in (
            ("pictures", alone, "interval"),
            ("patients", clustered, "interval"),
            ("delong", alone, "delong"),
        )
    }
    assert width["patients"] > 1.8 * width["pictures"]
    assert width["pictures"] == pytest.approx(width["delong"], rel=0.1)


def test_one_picture_of_a_class_has_no_delong_interval():
    entry = auc_entry(np.array([0.3, 0.1, 0.4, 0.2]), np.array([0, 1, 1, 1]), np.arange(4))
    assert entry["value"] == pytest.approx(1 / 3)
    assert entry["delong"] is None
    assert entry["interval"] == [0.0, 1.0]  # by the bootstrap over patients, which is as wide as it can be


def test_out_of_fold_never_sees_the_patient():
    # every patient has one random label and one random mark: only a model that saw the patient could know the label
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(60), 4)
    labels = rng.permutation(np.repeat([0, 1], 30))[patient]
    features = np.eye(60)[patient]
    score = out_of_fold(linear(0, 1.0), features, labels, patient)
    assert abs(roc_auc_score(labels, score) - 0.5) < 0.15


def test_too_few_patients_are_refused():
    with pytest.raises(TooFewPatientsError, match="at least two patients of each class"):
        out_of_fold(linear(0), np.zeros((4, 1)), np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2]))


def test_clean_splits_show_no_shift_and_a_darker_test_split_does(clean_folder, folder, read):
    clean = read(clean_folder)
    for entry in shortcuts.separate_test(clean, measures.measure(clean)):
        assert entry["auc"]["interval"][0] < SHORTCUT_AUC
    for path in (folder / "test").rglob("*.bmp"):
        Image.open(path).point(lambda grey: grey * 0.6).save(path)
    shifted = read(folder)
    taken = measures.measure(shifted)
    found = shortcuts.separate_test(shifted, taken)
    assert min(e["auc"]["value"] for e in found if e["view"] == "simple statistics") > 0.95
    means = [e["difference"] for e in shortcuts.compare_statistics(shifted, taken) if e["statistic"] == "mean"]
    assert max(means) < -2


def test_prevalence_counts_every_row(clean_folder, read):
    shares = shortcuts.prevalence(read(clean_folder))
    assert {k: (v["n"], v["pneumonia"], v["value"]) for k, v in shares.items()} == {
        "train": (96, 48, 0.5),
        "test": (48, 24, 0.5),
    }


def test_a_side_that_falls_into_one_fold_leaves_out_a_classifier_and_not_the_audit(clean_folder, read, monkeypatch):
    def refuse(*_):
        raise TooFewPatientsError("one fold")

    monkeypatch.setattr(shortcuts, "probe", refuse)
    pictures = read(clean_folder)
    assert shortcuts.separate_test(pictures, measures.measure(pictures)) == []
