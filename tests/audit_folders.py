"""Generated data sets for the audit; nothing here comes from a patient."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as ImageColumn
from generated import file_name
from PIL import Image
from pydicom.dataset import Dataset as DicomDataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

SIDE = 96


def film(seed: int, *, pneumonia: bool) -> np.ndarray:
    """A chest of its own, uint8 (96, 96): two dark lungs, structure at middle scales, for pneumonia an opacity."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    coarse = Image.fromarray(rng.integers(0, 256, (7, 7), dtype=np.uint8))
    picture = 90 + 0.5 * np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=float)
    for centre in (0.3, 0.7):
        place = centre + rng.normal(0, 0.015)
        picture -= 80 * (((x - place) / 0.16) ** 2 + ((y - 0.48) / 0.3) ** 2 < 1)
        if pneumonia:
            picture += 90 * np.exp(-(((x - place) / 0.1) ** 2 + ((y - rng.uniform(0.45, 0.6)) / 0.12) ** 2))
    picture += rng.normal(0, 6, picture.shape)
    return picture.round().clip(0, 255).astype(np.uint8)


def name_of(patient: int, picture: int, *, pneumonia: bool) -> str:
    """A BMP file's name as the Kermany data set has it, odd patients viral."""
    return str(Path(file_name(patient, picture, pneumonia)).with_suffix(".bmp"))


def write_clean(folder: Path, patients: dict[str, int]) -> Path:
    """``<split>/<CLASS>/<name>``: so many patients per class, two pictures each, as BMP so that all have one length."""
    number = 0
    for split, count in patients.items():
        for pneumonia in (False, True):
            target = folder / split / ("PNEUMONIA" if pneumonia else "NORMAL")
            target.mkdir(parents=True)
            for patient in range(number, number + count):
                for picture in range(2):
                    pixels = film(100_000 * pneumonia + 10 * patient + picture, pneumonia=pneumonia)
                    Image.fromarray(pixels).save(target / name_of(patient, picture, pneumonia=pneumonia))
        number += count
    return folder


def write_nested(folder: Path, patients: int, pictures: int = 2) -> Path:
    """``<CLASS>/p<number>/<n>.png``: every patient's pictures have the same names, and there is no test split.

    So many patients per class, normal ones from p1 on and then the others.
    """
    for pneumonia in (False, True):
        for patient in range(patients):
            place = folder / ("PNEUMONIA" if pneumonia else "NORMAL") / f"p{patients * pneumonia + patient + 1}"
            place.mkdir(parents=True)
            for picture in range(pictures):
                pixels = film(100_000 * pneumonia + 10 * patient + picture, pneumonia=pneumonia)
                Image.fromarray(pixels).save(place / f"{picture}.png")
    return folder


def write_dicom(path: Path, pixels: np.ndarray, patient: str) -> None:
    """A CR file of uint8 pixels, MONOCHROME2."""
    dataset = DicomDataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.Modality, dataset.PhotometricInterpretation, dataset.PatientID = "CR", "MONOCHROME2", patient
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelData = pixels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def png(pixels: np.ndarray) -> bytes:
    """A PNG file of uint8 pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_table(folder: Path, split: str, rows: Iterable[tuple[bytes, str, int, str]]) -> None:
    """``<split>.parquet`` of (file, its name, 0 or 1, patient) in the columns scan, file name inside, finding, who."""
    scans, names, findings, patients = zip(*rows, strict=True)
    features = Features(
        {
            "scan": ImageColumn(decode=False),
            "finding": ClassLabel(names=["NORMAL", "PNEUMONIA"]),
            "who": Value("string"),
        }
    )
    images = [{"bytes": data, "path": name} for data, name in zip(scans, names, strict=True)]
    table = Dataset.from_dict({"scan": images, "finding": list(findings), "who": list(patients)}, features=features)
    folder.mkdir(exist_ok=True)
    table.to_parquet(folder / f"{split}.parquet")
