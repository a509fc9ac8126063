"""Class folders: pictures and DICOM files below NORMAL and PNEUMONIA, with patients' folders or without.

``datasets`` takes a picture's innermost folder for its class, sees no class where all have the same or where pictures
lie at different depths, and does not know DICOM. Here the class is the folder below the data set or below a split,
whatever lies deeper and whatever else lies beside: Kaggle's archive holds a second copy of itself and a ``__MACOSX``.
Files are listed without being read, but for the ``PatientID`` of DICOM headers.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hf_model.config import LABEL2ID, LABELS
from hf_model.data.patients import anonymous_keys, dicom_patients, is_dicom, read_patient_id

if TYPE_CHECKING:
    from datasets import DatasetDict

logger = logging.getLogger(__name__)
PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".webp", ".bmp"}
METADATA_FILES = ("metadata.csv", "metadata.jsonl")
NAME_COLUMNS = ("file_name", "file_path")
LABEL_COLUMNS = ("label", "labels")
FROM_DICOM, FROM_FOLDER = "patient_dicom", "patient_folder"
"""Columns that this module adds where every picture has the key: hashed, see ``anonymous_keys``."""
NUMBERS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}


def known_label(name: str) -> int | None:
    """0 for NORMAL, 1 for PNEUMONIA, ignoring case, digits and punctuation; None for another class."""
    return LABEL2ID.get(re.sub(r"[^A-Z]", "", name.upper()))


def label_mapping(names: list[str]) -> dict[str, int | None]:
    """Class name -> label. The names 0 and 1 alone mean NORMAL and PNEUMONIA; None for an unknown class."""
    if names and set(names) <= set(NUMBERS):
        return {name: NUMBERS[name] for name in names}
    return {name: known_label(name) for name in names}


def walk_files(root: Path) -> Iterator[Path]:
    """Files below ``root`` in order of their paths, links to folders followed, hidden folders (``.name``) left out.

    Unlike ``Path.rglob``, which in Python 3.11 enters no linked folder and skips what it may not read. A dangling link
    comes as a path, so that reading it fails by name. A folder is entered once, so loops end.

    Raises:
        OSError: a folder that cannot be listed, with its name.
    """

    def refuse(error: OSError) -> None:
        raise error

    entered: set[tuple[int, int]] = set()
    found = []
    for folder, inner, names in os.walk(root, followlinks=True, onerror=refuse):
        stat = Path(folder).stat()
        if (stat.st_dev, stat.st_ino) in entered:
            inner.clear()
            continue
        entered.add((stat.st_dev, stat.st_ino))
        inner[:] = [name for name in inner if not name.startswith(".")]  # a trash folder may not even be readable
        found += [Path(folder, name) for name in names]
    yield from sorted(found)


def read_metadata(folders: Iterable[Path]) -> dict[Path, dict[str, str]]:
    """File -> its columns as text, from the metadata files in ``folders``; their paths are relative to these.

    Raises:
        ValueError: a file that cannot be read.
    """
    found: dict[Path, dict[str, str]] = {}
    for file in (folder / name for folder in folders for name in METADATA_FILES):
        if not file.is_file():
            continue
        try:
            text = file.read_text(encoding="utf-8-sig")
            rows = (
                list(csv.DictReader(text.splitlines()))
                if file.suffix == ".csv"
                else [json.loads(line) for line in text.splitlines() if line.strip()]
            )
        except (OSError, ValueError) as error:
            raise ValueError(f"{file}: cannot be read: {error}") from error
        key = next((key for key in NAME_COLUMNS if rows and key in rows[0]), None)
        if key is None:
            logger.warning("%s has no column file_name, so its columns are not used.", file)
            continue
        for row in rows:
            values = {k: "" if v is None else str(v) for k, v in row.items() if k is not None and k not in NAME_COLUMNS}
            found[(file.parent / str(row[key])).resolve()] = values
    return found


def is_labelled(found: dict[Path, dict[str, str]]) -> bool:
    """Whether the metadata has a column of labels."""
    return any(name in row for row in found.values() for name in LABEL_COLUMNS)


def columns_for(files: list[Path], found: dict[Path, dict[str, str]], taken: Iterable[str]) -> dict[str, list[str]]:
    """The metadata columns of N files, "" where it has no row; without the column names in ``taken``."""
    names = dict.fromkeys(name for row in found.values() for name in row if name not in set(taken))
    rows = [found.get(file.resolve()) for file in files]
    missing = [file.name for file, row in zip(files, rows, strict=True) if row is None]
    if names and missing:
        logger.warning("The metadata has no row for %d pictures, for example %s.", len(missing), missing[0])
    return {name: [(row or {}).get(name, "") for row in rows] for name in names}


class File(NamedTuple):
    """A file below a class folder ``top``. kind: "picture", "dicom", or "" for anything else.

    patient_id: ``PatientID`` of a DICOM header, else "".
    """

    path: Path
    top: Path
    kind: str
    patient_id: str

    @property
    def label(self) -> str:
        """The class's own name, however the folder spells it."""
        known = known_label(self.top.name)
        return self.top.name if known is None else LABELS[known]

    @property
    def nested(self) -> bool:
        return self.path.parent != self.top


def read_class_folders(folder: Path, split_names: Iterable[str]) -> DatasetDict | None:
    """The splits of class folders, or None for other folders: without classes, or with labels in their metadata.

    Args:
        folder: holds ``NORMAL`` and ``PNEUMONIA`` (or one of them), or split folders that do, or nothing but one
            folder that does.
        split_names: lower-case names of folders that are splits.

    Columns: ``image`` (path), ``label`` (the classes' names), ``patient_dicom`` or ``patient_folder``, and those of a
    ``metadata.csv`` or ``.jsonl``.

    Raises:
        OSError: a folder that cannot be listed. ValueError: metadata that cannot be read.
    """
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value

    roots = _roots(folder, set(split_names))
    every = {name: _files(root) for name, root in roots.items()}
    files = {name: kept for name, part in every.items() if (kept := [file for file in part if file.kind])}
    listed = [file for part in files.values() for file in part]
    places = dict.fromkeys([folder, *roots.values(), *(file.top for part in every.values() for file in part)])
    metadata = read_metadata(places)
    if not listed or (is_labelled(metadata) and not any(file.nested or file.kind == "dicom" for file in listed)):
        return None
    others = [file.path.name for part in every.values() for file in part if not file.kind]
    if others:
        listing = ", ".join(others[:3])
        logger.warning("%d files in class folders are not pictures and are left out: %s", len(others), listing)
    columns: dict[str, list] = _patient_keys(listed)
    columns |= columns_for([file.path for file in listed], metadata, ("image", "label", *columns))
    classes = sorted({file.label for file in listed})
    features = Features(
        {"image": Image(decode=False), "label": ClassLabel(names=classes)} | {name: Value("string") for name in columns}
    )
    columns["image"] = [{"bytes": None, "path": str(file.path)} for file in listed]
    columns["label"] = [classes.index(file.label) for file in listed]
    splits, start = {}, 0
    for name, part in files.items():
        own = {key: values[start : start + len(part)] for key, values in columns.items()}
        splits[name] = Dataset(Dataset.from_dict(own, features=features).data, fingerprint=_fingerprint(part))
        start += len(part)
    return DatasetDict(splits)


def _roots(folder: Path, split_names: set[str]) -> dict[str, Path]:
    """Split name -> the folder whose folders are classes."""
    if _has_classes(folder):
        return {"train": folder}
    inner = _visible_folders(folder)
    classed = [path for path in inner if _has_classes(path)]
    splits = {path.name: path for path in classed if path.name.lower() in split_names}
    others = [path.name for path in classed if path.name not in splits]
    # Kaggle's archive holds a copy of itself, which has splits and no classes
    if splits and others:
        logger.warning("Left out, not named like a split: the folders %s, which hold classes.", ", ".join(others))
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
    """The files in the class folders, in order of path, without hidden files and folders."""
    found = []
    for top in _visible_folders(root):
        for path in walk_files(top):
            if any(_is_hidden(part) for part in path.relative_to(top).parts) or path.name in METADATA_FILES:
                continue
            kind, patient_id = "picture" if path.suffix.lower() in PICTURE_SUFFIXES else "", None
            if not kind and is_dicom(path) and (patient_id := read_patient_id(path)) is not None:
                kind = "dicom"
            found.append(File(path, top, kind, patient_id or ""))
    return found


def _patient_keys(listed: list[File]) -> dict[str, list[str]]:
    """The column of patient keys: PatientID of DICOM headers, else the folder below the class."""
    if any(file.kind == "dicom" for file in listed):
        ids = dicom_patients([file.patient_id for file in listed], [file.path.name for file in listed])
        if ids is not None:
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


def _fingerprint(part: list[File]) -> str:
    """A key for decoded pixels that changes when a file is added, removed, moved or rewritten."""
    lines = [f"{file.path} {file.label} {_state(file.path)}" for file in part]
    return hashlib.sha256("\n".join(["class folders 2", *lines]).encode()).hexdigest()[:16]


def _state(path: Path) -> str:
    try:
        stat = path.stat()
    except OSError:  # a dangling link: decoding names it
        return "cannot be read"
    return f"{stat.st_size} {stat.st_mtime_ns}"
