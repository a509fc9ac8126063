"""Class folders that ``datasets`` would misread: DICOM files, patients' folders below NORMAL and PNEUMONIA, one class.

``datasets`` takes a picture's innermost folder for its class, sees no class where all have the same, and does not know
DICOM. Here the class is the folder below the data set or below a split, whatever lies deeper. Files are listed without
being read, but for the ``PatientID`` of DICOM headers.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path

from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value

from hf_model.data.labels import known_label
from hf_model.data.patients import anonymous_keys
from hf_model.radiograph.dicom import has_prefix

logger = logging.getLogger(__name__)

PICTURES = {".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".webp", ".bmp"}
DICOM = {".dcm", ".dicom", ".dic"}
FROM_DICOM, FROM_FOLDER = "patient_dicom", "patient_folder"
"""Columns that this module adds where every picture has the key: hashed, see ``anonymous_keys``."""


def read_class_folders(folder: Path, split_names: Iterable[str]) -> DatasetDict | None:
    """The splits of class folders that hold DICOM files or folders, or are of one class; None for what else there is.

    Args:
        folder: holds ``NORMAL`` and ``PNEUMONIA`` (or one of them), or split folders that do.
        split_names: lower-case names of folders that are splits.

    Columns: ``image`` (path), ``label`` (the class folders' names), and ``patient_dicom`` or ``patient_folder``.
    """
    files = {name: list(_files(root)) for name, root in _roots(folder, set(split_names)).items()}
    listed = [entry for part in files.values() for entry in part]
    nested = [len(path.relative_to(top).parts) > 1 for path, top in listed]
    dicom = [_is_dicom(path) for path, _ in listed]
    classes = sorted({top.name for _, top in listed})
    if not any(nested) and not any(dicom) and len(classes) != 1:
        return None
    keys = _patient_keys(listed, all(nested), any(nested), all(dicom))
    features = Features({"image": Image(decode=False), "label": ClassLabel(names=classes)}
                        | {name: Value("string") for name in keys})  # fmt: skip
    splits, start = {}, 0
    for name, part in files.items():
        columns = {key: values[start : start + len(part)] for key, values in keys.items()}
        columns["image"] = [{"bytes": None, "path": str(path)} for path, _ in part]
        columns["label"] = [classes.index(top.name) for _, top in part]
        table = Dataset.from_dict(columns, features=features).data
        splits[name] = Dataset(table, fingerprint=_fingerprint(part))
        start += len(part)
    return DatasetDict(splits)


def _roots(folder: Path, split_names: set[str]) -> dict[str, Path]:
    """Split name -> the folder whose folders are classes."""
    if _has_classes(folder):
        return {"train": folder}
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and path.name.lower() in split_names)
    return {path.name: path for path in inner if _has_classes(path)}


def _has_classes(folder: Path) -> bool:
    return any(known_label(path.name) is not None for path in folder.iterdir() if path.is_dir())


def _files(root: Path) -> Iterable[tuple[Path, Path]]:
    """(picture, its class folder), in order of path; hidden files and folders are none."""
    for top in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for path in sorted(top.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(top).parts)
            if not hidden and path.is_file() and (path.suffix.lower() in PICTURES or _is_dicom(path)):
                yield path, top


def _is_dicom(path: Path) -> bool:
    """By the suffix, or by its first bytes where there is none that says a picture: archives give files no suffix."""
    suffix = path.suffix.lower()
    if suffix in DICOM or suffix in PICTURES:
        return suffix in DICOM
    if suffix and not suffix[1:].isdigit():
        return False
    with path.open("rb") as file:
        return has_prefix(file.read(132))


def _patient_keys(
    listed: list[tuple[Path, Path]], nested: bool, partly_nested: bool, dicom: bool
) -> dict[str, list[str]]:
    """The column that tells patients apart: PatientID of every DICOM header, else the folder below the class."""
    if dicom and (ids := _patient_ids([path for path, _ in listed])) is not None:
        return {FROM_DICOM: anonymous_keys(ids)}
    if nested:
        return {FROM_FOLDER: anonymous_keys([path.relative_to(top).parts[0] for path, top in listed])}
    if partly_nested:
        logger.warning(
            "Some pictures lie in folders below their class and some beside them, so folders are not taken for "
            "patients. Give every patient a folder, or use --patient_pattern."
        )
    return {}


def _patient_ids(paths: list[Path]) -> list[str] | None:
    """``PatientID`` (with its issuer) of every file; None if one has none, or all have one and the same."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    ids = []
    for path in paths:
        try:
            header = dcmread(
                path, force=True, stop_before_pixels=True, specific_tags=["PatientID", "IssuerOfPatientID"]
            )
            found = [str(header.get(tag, "") or "").strip() for tag in ("PatientID", "IssuerOfPatientID")]
        except (
            InvalidDicomError,
            OSError,
            ValueError,
            TypeError,
            AttributeError,
            NotImplementedError,
            KeyError,
        ) as error:
            logger.debug("%s: no header", path, exc_info=error)
            found = [""]
        ids.append("\n".join(found) if found[0] else "")
    without = ids.count("")
    if without or (len(ids) > 1 and len(set(ids)) == 1):
        reason = f"{without} of {len(ids)} files have no PatientID" if without else "every file has the same PatientID"
        logger.warning("%s: the DICOM headers do not tell patients apart.", reason)
        return None
    return ids


def _fingerprint(part: list[tuple[Path, Path]]) -> str:
    """Changes when a file is added, removed, moved or rewritten: decoded pixels are kept under it."""
    lines = [f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in ((p, p.stat()) for p, _ in part)]
    return hashlib.sha256("\n".join(["class folders 1", *lines]).encode()).hexdigest()[:16]
