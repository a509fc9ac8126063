"""Class folders of pictures: patients' folders, metadata, links, and what lies beside."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest
from generated import chest, write_image_folder
from PIL import Image

from hf_model.audit.pictures import gather
from hf_model.data.arguments import DataArguments
from hf_model.data.folders import walk_files
from hf_model.data.loading import DatasetError, file_name, load_splits
from hf_model.data.patients import anonymous_keys
from hf_model.data.prepare import CALIBRATION, TRAIN, VALIDATION, prepare
from hf_model.evaluation.labelled_dataset import LabelledDataset
from hf_model.radiograph import Preprocessing

SMALL = Preprocessing(height=64, width=64)


def nested(folder: Path, patients: int = 12, pictures: int = 2) -> Path:
    """``<CLASS>/<hospital number>/<n>.png``: every patient's pictures have the same names."""
    for label, kind in enumerate(("NORMAL", "PNEUMONIA")):
        for patient in range(patients):
            place = folder / kind / f"MRN{1000 * label + patient}"
            place.mkdir(parents=True)
            for picture in range(pictures):
                pixels = chest(1000 * label + 10 * patient + picture, pneumonia=bool(label))
                Image.fromarray(pixels).save(place / f"{picture}.png")
    return folder


def _prepare(folder: Path, tmp_path: Path, **options: object):
    return prepare(DataArguments(dataset=str(folder), cache_dir=str(tmp_path / "cache"), **options), SMALL, 0)


def test_patients_folders_below_classes_keep_patients_apart(tmp_path: Path) -> None:
    data = _prepare(nested(tmp_path / "d"), tmp_path, test_fraction=0.2)
    assert len(data.main) == 48
    assert data.main.labels.sum() == 24
    assert data.patient_key == "the folder below the class, its name hashed"
    assert len(set(data.patients)) == 24
    assert not [key for key in data.patients if "MRN" in key]
    held_out = data.test["d"].decode()
    parts = [{data.patients[i] for i in data.rows(name)} for name in (TRAIN, VALIDATION, CALIBRATION)]
    parts.append(set(data.patients_in(held_out)))
    assert sum(len(part) for part in parts) == len(set().union(*parts)) == 24


def test_folders_that_are_no_patients_are_named_where_they_are_too_few(tmp_path: Path) -> None:
    for kind in ("NORMAL", "PNEUMONIA"):
        for year in ("2023", "2024"):
            (tmp_path / "d" / kind / year).mkdir(parents=True)
            for number in range(6):
                pixels = chest(int(year) + 100 * number + len(kind))
                Image.fromarray(pixels).save(tmp_path / "d" / kind / year / f"{number}.png")
    with pytest.raises(DatasetError, match=r"Too few patients.*Patients are known by the folder below the class"):
        _prepare(tmp_path / "d", tmp_path)


def test_an_audit_tells_patients_apart_as_training_does(tmp_path: Path) -> None:
    folder = nested(tmp_path / "d", patients=4)
    found = gather("d", load_splits(str(folder)), SMALL, cache_dir=tmp_path / "cache")
    assert found.patients == load_splits(str(folder))["train"]["patient_folder"]
    assert len(set(found.groups.tolist())) == 8


def test_split_folders_and_deeper_folders(tmp_path: Path) -> None:
    for split in ("train", "test"):
        nested(tmp_path / "d" / split, patients=3)
    inner = tmp_path / "d" / "train" / "NORMAL" / "MRN0"
    (inner / "study 2").mkdir()
    (inner / "0.png").rename(inner / "study 2" / "0.png")
    (inner / ".thumbs").mkdir()
    (inner / ".thumbs" / "0.png").write_bytes(b"hidden")
    splits = load_splits(str(tmp_path / "d"))
    assert {name: rows["label"].count(1) for name, rows in splits.items()} == {"train": 6, "test": 6}
    keys = splits["train"]["patient_folder"]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 6
    assert set(splits["test"]["patient_folder"]) == set(keys)  # the same folder names are the same patients


def test_kaggle_s_archive_as_it_unpacks(tmp_path: Path, caplog) -> None:
    """``chest_xray`` holds the splits, a second copy of itself, ``__MACOSX`` and ``.DS_Store`` files."""
    folder = write_image_folder(tmp_path / "archive" / "chest_xray", {"train": 3, "val": 1, "test": 2})
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy").rename(folder / "chest_xray")
    for place in (folder / "__MACOSX" / "train" / "NORMAL", folder / "train" / "NORMAL"):
        place.mkdir(parents=True, exist_ok=True)
        (place / "._IM-0000-0001.png").write_bytes(b"resource fork")
        (place / ".DS_Store").write_bytes(b"desktop")
    (folder / "chest_xray.zip").write_bytes(b"PK")
    with caplog.at_level(logging.WARNING):
        for given in (folder, tmp_path / "archive"):
            splits = load_splits(str(given))
            # odd patients have two pictures: of three patients a class four, of one (number 3) two, of two three
            assert {name: len(rows) for name, rows in splits.items()} == {"train": 8, "validation": 4, "test": 6}
            assert {name: sum(rows["label"]) for name, rows in splits.items()} == {
                "train": 4,
                "validation": 2,
                "test": 3,
            }
    assert not caplog.records


def test_class_folders_that_are_no_split_are_named(tmp_path: Path, caplog) -> None:
    write_image_folder(tmp_path, {"train": 2, "test": 1, "holdout": 1})
    with caplog.at_level(logging.WARNING):
        assert set(load_splits(str(tmp_path))) == {"train", "test"}
    assert "Left out, not named like a split: the folders holdout, which hold classes." in caplog.text


def test_what_is_no_picture_is_named_and_left_out(tmp_path: Path, caplog) -> None:
    write_image_folder(tmp_path, {"train": 2, "test": 1})
    (tmp_path / "train" / "NORMAL" / "labels.csv").write_text("a,b")
    (tmp_path / "val" / "NORMAL").mkdir(parents=True)
    with caplog.at_level(logging.WARNING):
        splits = load_splits(str(tmp_path))
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 6, "test": 2}
    assert "1 files in class folders are not pictures and are left out: labels.csv" in caplog.text


def test_a_metadata_file_is_joined(tmp_path: Path) -> None:
    write_image_folder(tmp_path, {"train": 2})
    files = sorted((tmp_path / "train").rglob("*.png"))
    lines = [f"{path.relative_to(tmp_path / 'train')},{path.parent.name},p{n // 2}" for n, path in enumerate(files)]
    (tmp_path / "train" / "metadata.csv").write_text("\n".join(["file_name,label,patient", *lines]))
    rows = load_splits(str(tmp_path))["train"]
    found = {file_name(row["image"], 0): (row["label"], row["patient"]) for row in rows}
    assert found == {p.name: (int(p.parent.name == "PNEUMONIA"), f"p{n // 2}") for n, p in enumerate(files)}


def test_other_classes_below_are_still_refused(tmp_path: Path) -> None:
    nested(tmp_path, patients=1)
    (tmp_path / "NORMAL" / "MRN0").rename(tmp_path / "COVID")
    with pytest.raises(ValueError, match="classes are COVID, PNEUMONIA"):
        load_splits(str(tmp_path))


@pytest.mark.parametrize(("kind", "label"), [("NORMAL", 0), ("pneumonia", 1)])
def test_one_class_alone(tmp_path: Path, kind: str, label: int) -> None:
    (tmp_path / kind).mkdir()
    Image.fromarray(chest(3)).save(tmp_path / kind / "a.png")
    rows = load_splits(str(tmp_path))["train"]
    assert (rows["label"], rows.features["label"].names) == ([label], ["NORMAL", "PNEUMONIA"])


def test_some_patients_without_a_folder(tmp_path: Path, caplog) -> None:
    nested(tmp_path, patients=2)
    Image.fromarray(chest(3)).save(tmp_path / "NORMAL" / "loose.png")
    with caplog.at_level(logging.WARNING):
        rows = load_splits(str(tmp_path))["train"]
    assert (len(rows), rows.column_names) == (9, ["image", "label"])
    assert "folders are not taken for patients" in caplog.text


def test_known_file_names_go_before_folders(tmp_path: Path) -> None:
    for kind, name in (("NORMAL", "IM-0001-0001.png"), ("PNEUMONIA", "person7_virus_1.png")):
        (tmp_path / kind / "batch 1").mkdir(parents=True)
        Image.fromarray(chest(len(name))).save(tmp_path / kind / "batch 1" / name)
    assert LabelledDataset.open(str(tmp_path), "train").patients == ["im-0001", "person7_virus"]


def test_names_that_every_patient_has_tell_nobody_apart(tmp_path: Path) -> None:
    """Viewers export IM-0001-0001 for everybody: the folders are the patients then."""
    for label, kind in enumerate(("NORMAL", "PNEUMONIA")):
        for patient in range(12):
            place = tmp_path / "d" / kind / f"pat{label}{patient}"
            place.mkdir(parents=True)
            for film in (1, 2):
                pixels = chest(1000 * label + 10 * patient + film, pneumonia=bool(label))
                Image.fromarray(pixels).save(place / f"IM-{film:04d}-0001.png")
    data = _prepare(tmp_path / "d", tmp_path, test_fraction=0.25)
    assert data.patient_key == "the folder below the class, its name hashed"
    assert len(set(data.patients)) == 24


def test_a_pattern_that_misses_a_file_is_refused(tmp_path: Path) -> None:
    folder = nested(tmp_path / "d", patients=6)
    (folder / "NORMAL" / "MRN0" / "0.png").rename(folder / "NORMAL" / "MRN0" / "copy.png")
    with pytest.raises(DatasetError, match=r"finds nothing in 1 of 24 file names, for example copy\.png"):
        _prepare(folder, tmp_path, patient_pattern=r"^(\d)\.png")


def test_metadata_without_classes_gives_the_folders_its_columns(tmp_path: Path, caplog) -> None:
    write_image_folder(tmp_path, {"train": 3})
    files = sorted((tmp_path / "train").rglob("*.png"))
    lines = [f"{path.relative_to(tmp_path / 'train')},MRN{n // 2}" for n, path in enumerate(files)]
    (tmp_path / "train" / "metadata.csv").write_text("\n".join(["file_name,patient", *lines[:-1]]))
    with caplog.at_level(logging.WARNING):
        rows = load_splits(str(tmp_path))["train"]
    assert rows["label"] == [int(path.parent.name == "PNEUMONIA") for path in files]
    assert rows["patient"] == [f"MRN{n // 2}" for n in range(len(files) - 1)] + [""]
    assert f"The metadata has no row for 1 pictures, for example {files[-1].name}" in caplog.text
    with pytest.raises(DatasetError, match="--patient_column patient: empty in 1 rows"):
        _prepare(tmp_path, tmp_path, patient_column="patient")


def test_the_splits_may_spell_a_class_differently(tmp_path: Path) -> None:
    write_image_folder(tmp_path, {"train": 2, "test": 1})
    (tmp_path / "test" / "NORMAL").rename(tmp_path / "test" / "1_Normal")
    splits = load_splits(str(tmp_path))
    assert {name: (len(rows), sum(rows["label"])) for name, rows in splits.items()} == {"train": (6, 3), "test": (2, 1)}


def test_linked_folders_are_read_and_a_dead_link_is_named(tmp_path: Path) -> None:
    folder = nested(tmp_path / "d", patients=12)
    (folder / "NORMAL" / "MRN0").rename(tmp_path / "archive")
    (folder / "NORMAL" / "MRN0").symlink_to(tmp_path / "archive")
    (folder / "NORMAL" / "MRN1" / "1.png").unlink()
    (folder / "NORMAL" / "MRN1" / "1.png").symlink_to(tmp_path / "nowhere.png")
    data = _prepare(folder, tmp_path, test_fraction=0.2)
    assert len(data.main) == 47
    assert [name for name, _ in data.main.skipped] == ["1.png"]


def test_a_rewritten_file_is_decoded_again(tmp_path: Path) -> None:
    folder = nested(tmp_path / "d", patients=6)
    first = load_splits(str(folder))["train"]
    assert load_splits(str(folder))["train"]._fingerprint == first._fingerprint
    Image.fromarray(chest(999)).save(folder / "NORMAL" / "MRN0" / "0.png")
    assert load_splits(str(folder))["train"]._fingerprint != first._fingerprint


def test_keys_hide_identifiers_and_keep_them_apart() -> None:
    keys = anonymous_keys(["7", "8", "7"])
    assert keys[0] == keys[2] != keys[1]
    assert not [key for key in keys if key == "patient-7"]
    assert anonymous_keys(["8", "7"]) == [keys[1], keys[0]]
    assert anonymous_keys(["7", "", "8"]) == [keys[0], "", keys[1]]
    # who knows a number but not the others cannot look its key up
    assert anonymous_keys(["7"])[0] != keys[0]


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    archive, data = tmp_path / "archive", tmp_path / "data"
    (archive / "deep").mkdir(parents=True)
    (archive / "deep" / "1.png").write_bytes(b"x")
    (data / "a").mkdir(parents=True)
    (data / "a" / "2.png").write_bytes(b"x")
    (data / "b").symlink_to(archive)
    (archive / "deep" / "self").symlink_to(archive)
    (data / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert [path.relative_to(data).as_posix() for path in walk_files(data)] == ["a/2.png", "b/deep/1.png", "gone.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o000)
    with pytest.raises(PermissionError, match="shut"):
        list(walk_files(tmp_path))


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path, monkeypatch) -> None:
    for name in ("shut", ".Trash-1000"):
        (tmp_path / name).mkdir()
    real = os.scandir

    def scandir(path):
        if Path(path).name in shut:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    shut = [".Trash-1000"]
    assert list(walk_files(tmp_path)) == []
    shut.append("shut")
    with pytest.raises(PermissionError, match="shut"):
        list(walk_files(tmp_path))
