"""Class folders of DICOM files, of patients' folders, and of both."""

from __future__ import annotations

import io
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from generated import chest, write_image_folder
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from hf_model.audit.pictures import gather
from hf_model.data.loading import DatasetError, file_name, load_splits, read_bytes
from hf_model.data.patients import anonymous_keys
from hf_model.data.prepare import CALIBRATION, TRAIN, VALIDATION, prepare
from hf_model.evaluation.picture_set import PictureSet
from hf_model.radiograph import Preprocessing
from hf_model.training.arguments import DataArguments

SMALL = Preprocessing(height=64, width=64)


def write_dicom(path: Path, pixels: np.ndarray, patient: str | None) -> None:
    """A CR file, 8 bit MONOCHROME2; ``patient`` None leaves the element out."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.Modality, dataset.PhotometricInterpretation = "CR", "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelData = pixels.tobytes()
    if patient is not None:
        dataset.PatientID = patient
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


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
    with pytest.raises(DatasetError, match=r"Too few patients.*told apart by the folder below the class"):
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


@pytest.mark.parametrize("suffix", [".dcm", ".DCM", ""])
def test_dicom_files_are_read_as_an_upload_is(tmp_path: Path, suffix: str) -> None:
    for label, kind in enumerate(("NORMAL", "PNEUMONIA")):
        for patient in range(24):
            pixels = chest(100 * label + patient)
            write_dicom(tmp_path / "d" / kind / f"IM{100 * label + patient}{suffix}", pixels, f"{label}{patient // 2}")
    data = _prepare(tmp_path / "d", tmp_path, test_fraction=0.2)
    assert sorted(data.main.names)[0] == f"IM0{suffix}"
    row = data.main.names.index(f"IM0{suffix}")
    np.testing.assert_array_equal(data.main.pixels[row], chest(0))
    assert data.patient_key == "PatientID of the DICOM headers, hashed"
    assert len(set(data.patients)) == 24
    names = [name for name, _ in data.test["d"].contents(data.test["d"].decode())]
    assert names == data.test["d"].decode().names
    assert PictureSet.open(str(tmp_path / "d"), "train").patients == data.patients


@pytest.mark.parametrize(("first", "second"), [(None, "a"), ("same", "same")])
def test_headers_that_tell_nobody_apart_are_not_taken(tmp_path: Path, caplog, first, second) -> None:
    for kind, patient in (("NORMAL", first), ("PNEUMONIA", second)):
        write_dicom(tmp_path / kind / "1.dcm", chest(1), patient)
    with caplog.at_level(logging.WARNING):
        rows = load_splits(str(tmp_path))["train"]
    assert rows.column_names == ["image", "label"]
    assert "do not tell patients apart" in caplog.text


def test_dicom_beside_other_pictures(tmp_path: Path) -> None:
    write_image_folder(tmp_path, {"train": 2})
    write_dicom(tmp_path / "train" / "NORMAL" / "extra.dcm", chest(5), "x")
    (tmp_path / "train" / "NORMAL" / "notes.txt").write_text("no picture")
    rows = load_splits(str(tmp_path))["train"]
    names = [file_name(image, row) for row, image in enumerate(rows["image"])]
    assert sorted(names) == ["IM-0000-0001.png", "IM-0001-0001.png", "IM-0001-0002.png", "extra.dcm",
                             "person0_bacteria_0.png", "person1_virus_10.png", "person1_virus_11.png"]  # fmt: skip
    assert rows.column_names == ["image", "label"]
    stored = Image.open(io.BytesIO(read_bytes(rows[names.index("IM-0000-0001.png")]["image"])))
    np.testing.assert_array_equal(np.asarray(stored), chest(0))


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
                "train": 4, "validation": 2, "test": 3,
            }  # fmt: skip
    assert not caplog.records


def test_what_is_no_picture_is_named_and_left_out(tmp_path: Path, caplog) -> None:
    write_image_folder(tmp_path, {"train": 2, "test": 1})
    (tmp_path / "train" / "NORMAL" / "labels.csv").write_text("a,b")
    (tmp_path / "val" / "NORMAL").mkdir(parents=True)
    with caplog.at_level(logging.WARNING):
        splits = load_splits(str(tmp_path))
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 6, "test": 2}
    assert "1 files in class folders are no pictures and are left out: labels.csv" in caplog.text


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
    assert PictureSet.open(str(tmp_path), "train").patients == ["im-0001", "person7_virus"]


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
    # who knows a number but not the others cannot look its key up
    assert anonymous_keys(["7"])[0] != keys[0]
