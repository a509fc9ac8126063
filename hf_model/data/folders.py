"""Class folders: pictures and DICOM files below NORMAL and PNEUMONIA, with patients' folders or without.

``datasets`` takes a picture's innermost folder for its class, sees no class where all have the same or where pictures
lie at different depths, and does not know DICOM. Here the class is the folder below the data set or below a split,
whatever lies deeper and whatever else lies beside: Kaggle's archive holds a second copy of itself and a ``__MACOSX``.
Files are listed without being read, but for the ``PatientID`` of DICOM headers.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value

from hf_model.data.labels import known_label
from hf_model.data.patients import anonymous_keys
from hf_model.radiograph.dicom import has_prefix

logger = logging.getLogger(__name__)

PICTURES = {".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".webp", ".bmp"}
DICOM = {".dcm", ".dicom", ".dic"}
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Columns for an image folder, which ``datasets`` joins to the pictures."""
FROM_DICOM, FROM_FOLDER = "patient_dicom", "patient_folder"
"""Columns that this module adds where every picture has the key: hashed, see ``anonymous_keys``."""


class File(NamedTuple):
    """A file below a class folder ``top``. kind: "picture", "dicom", or "" for anything else."""

    path: Path
    top: Path
    kind: str

    @property
    def nested(self) -> bool:
        return self.path.parent != self.top


def read_class_folders(folder: Path, split_names: Iterable[str]) -> DatasetDict | None:
    """The splits of class folders, or None for what else there is: no classes, or pictures with a metadata file.

    Args:
        folder: holds ``NORMAL`` and ``PNEUMONIA`` (or one of them), or split folders that do, or nothing but one
            folder that does.
        split_names: lower-case names of folders that are splits.

    Columns: ``image`` (path), ``label`` (the class folders' names), and ``patient_dicom`` or ``patient_folder``.
    """
    every = {name: _files(root) for name, root in _roots(folder, set(split_names)).items()}
    files = {name: [file for file in part if file.kind] for name, part in every.items()}
    listed = [file for part in files.values() for file in part]
    classes = sorted({file.top.name for file in listed})
    odd = any(file.nested or file.kind == "dicom" for file in listed) or len(classes) == 1
    if not listed or (not odd and any(found for name in METADATA for found in folder.rglob(name))):
        return None
    _tell_others([file.path.name for part in every.values() for file in part if not file.kind])
    keys = _patient_keys(listed)
    features = Features({"image": Image(decode=False), "label": ClassLabel(names=classes)}
                        | {name: Value("string") for name in keys})  # fmt: skip
    splits, start = {}, 0
    for name, part in files.items():
        columns = {key: values[start : start + len(part)] for key, values in keys.items()}
        columns["image"] = [{"bytes": None, "path": str(file.path)} for file in part]
        columns["label"] = [classes.index(file.top.name) for file in part]
        table = Dataset.from_dict(columns, features=features).data
        if part:
            splits[name] = Dataset(table, fingerprint=_fingerprint(part))
        start += len(part)
    return DatasetDict(splits)


def _roots(folder: Path, split_names: set[str]) -> dict[str, Path]:
    """Split name -> the folder whose folders are classes."""
    if _has_classes(folder):
        return {"train": folder}
    inner = _visible_folders(folder)
    splits = {path.name: path for path in inner if path.name.lower() in split_names and _has_classes(path)}
    # an archive unpacks into a folder of its own name
    return _roots(inner[0], split_names) if not splits and len(inner) == 1 else splits


def _visible_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not _is_hidden(path.name))


def _is_hidden(name: str) -> bool:
    """Also ``__MACOSX``, where macOS keeps what a zip file cannot."""
    return name.startswith((".", "__"))


def _has_classes(folder: Path) -> bool:
    return any(known_label(path.name) is not None for path in folder.iterdir() if path.is_dir())


def _files(root: Path) -> list[File]:
    """What lies in the class folders, in order of path, but for hidden files and folders."""
    found = []
    for top in _visible_folders(root):
        for path in sorted(top.rglob("*")):
            if path.is_file() and not any(_is_hidden(part) for part in path.relative_to(top).parts):
                kind = "picture" if path.suffix.lower() in PICTURES else "dicom" if _is_dicom(path) else ""
                found.append(File(path, top, kind))
    return found


def _tell_others(names: list[str]) -> None:
    """Say what lies in the class folders and is not looked at."""
    if names:
        listing = ", ".join(names[:3])
        logger.warning("%d files in class folders are no pictures and are left out: %s", len(names), listing)


def _is_dicom(path: Path) -> bool:
    """By the suffix, or by its first bytes where it has none: archives give files no suffix."""
    suffix = path.suffix.lower()
    if suffix in DICOM:
        return True
    if suffix and not suffix[1:].isdigit():
        return False
    with path.open("rb") as file:
        return has_prefix(file.read(132))


def _patient_keys(listed: list[File]) -> dict[str, list[str]]:
    """The column that tells patients apart: PatientID of every DICOM header, else the folder below the class."""
    dicom = all(file.kind == "dicom" for file in listed)
    if dicom and (ids := _patient_ids([file.path for file in listed])) is not None:
        return {FROM_DICOM: anonymous_keys(ids)}
    nested = [file.nested for file in listed]
    if all(nested):
        return {FROM_FOLDER: anonymous_keys([file.path.relative_to(file.top).parts[0] for file in listed])}
    if any(nested):
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


def _fingerprint(part: list[File]) -> str:
    """Changes when a file is added, removed, moved or rewritten: decoded pixels are kept under it."""
    stats = [(file.path, file.path.stat()) for file in part]
    lines = [f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats]
    return hashlib.sha256("\n".join(["class folders 1", *lines]).encode()).hexdigest()[:16]
