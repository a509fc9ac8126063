"""Class folders of DICOM files: their patients, and files that are not DICOM."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import numpy as np
import pytest
from generated import chest, write_image_folder
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from hf_model.data.arguments import DataArguments
from hf_model.data.loading import file_name, load_splits, read_bytes
from hf_model.data.prepare import prepare
from hf_model.evaluation.labelled_dataset import LabelledDataset
from hf_model.radiograph import Preprocessing

SMALL = Preprocessing(height=64, width=64)


def _prepare(folder: Path, tmp_path: Path, **options: object):
    return prepare(DataArguments(dataset=str(folder), cache_dir=str(tmp_path / "cache"), **options), SMALL, 0)


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
    assert LabelledDataset.open(str(tmp_path / "d"), "train").patients == data.patients


def test_files_that_are_no_pictures_do_not_undo_the_headers(tmp_path: Path, caplog) -> None:
    for number in range(40):
        write_dicom(
            tmp_path / ("NORMAL", "PNEUMONIA")[number % 2] / f"{number}.dcm", chest(number), f"MRN{number // 4}"
        )
    (tmp_path / "NORMAL" / "empty.dcm").write_bytes(b"")
    (tmp_path / "NORMAL" / "noise.dcm").write_bytes(bytes(range(256)) * 8)
    (tmp_path / "NORMAL" / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"\x02\0\0\0UL\x04\0\0\0\0\0")
    Image.fromarray(chest(99)).save(tmp_path / "PNEUMONIA" / "preview.png")
    with caplog.at_level(logging.WARNING):
        rows = load_splits(str(tmp_path))["train"]
    assert len(rows) == 41
    keys = dict(zip([file_name(image, 0) for image in rows["image"]], rows["patient_dicom"], strict=True))
    assert len(set(keys.values())) == 11
    assert keys["0.dcm"] == keys["3.dcm"] != keys["preview.png"]
    assert "3 files in class folders are not pictures and are left out: DICOMDIR, empty.dcm, noise.dcm" in caplog.text
    assert "1 of 41 files have no PatientID and count as a patient each: preview.png" in caplog.text


@pytest.mark.parametrize(("first", "second"), [(None, "a"), ("same", "same")])
def test_headers_that_tell_nobody_apart_are_not_taken(tmp_path: Path, caplog, first, second) -> None:
    for kind, patient in (("NORMAL", first), ("PNEUMONIA", second)):
        write_dicom(tmp_path / kind / "1.dcm", chest(1), patient)
    with caplog.at_level(logging.WARNING):
        rows = load_splits(str(tmp_path))["train"]
    assert rows.column_names == ["image", "label"]
    assert "patients are not taken from the DICOM headers" in caplog.text


def test_dicom_beside_other_pictures(tmp_path: Path) -> None:
    write_image_folder(tmp_path, {"train": 2})
    write_dicom(tmp_path / "train" / "NORMAL" / "extra.dcm", chest(5), "x")
    (tmp_path / "train" / "NORMAL" / "notes.txt").write_text("no picture")
    rows = load_splits(str(tmp_path))["train"]
    names = [file_name(image, row) for row, image in enumerate(rows["image"])]
    assert sorted(names) == [
        "IM-0000-0001.png",
        "IM-0001-0001.png",
        "IM-0001-0002.png",
        "extra.dcm",
        "person0_bacteria_0.png",
        "person1_virus_10.png",
        "person1_virus_11.png",
    ]
    assert rows.column_names == ["image", "label"]
    stored = Image.open(io.BytesIO(read_bytes(rows[names.index("IM-0000-0001.png")]["image"])))
    np.testing.assert_array_equal(np.asarray(stored), chest(0))
