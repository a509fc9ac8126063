"""A Hub id, an image folder or a Parquet folder -> rows of undecoded pictures with labels 0 (NORMAL), 1 (PNEUMONIA)."""

from __future__ import annotations

import errno
import logging
import re
from pathlib import Path

from datasets import ClassLabel, Dataset, DatasetDict, Image, load_dataset
from datasets.exceptions import DataFilesNotFoundError, DatasetGenerationError, DatasetNotFoundError

from hf_model.config import LABELS
from hf_model.data.folders import NUMBERS, known_label, label_mapping, read_class_folders

logger = logging.getLogger(__name__)

_SPLIT_NAMES = {"train": "train", "training": "train", "val": "validation", "valid": "validation"}
_SPLIT_NAMES |= {"validation": "validation", "dev": "validation", "test": "test", "testing": "test"}


class DatasetError(ValueError):
    """A data set that cannot be used; the message says which and what to do."""


def load_splits(
    name_or_folder: str,
    *,
    image_column: str | None = None,
    label_column: str | None = None,
    token: str | None = None,
    cache_dir: str | None = None,
    option: str = "--dataset",
) -> DatasetDict:
    """The data set's splits, each with ``image`` (``{"bytes", "path"}``, not decoded) and ``label`` (0 or 1).

    Numbers 0 and 1 without names are taken for NORMAL and PNEUMONIA. Other columns are kept. Pictures are not decoded
    here, so one broken file does not stop a whole data set.

    Args:
        name_or_folder: Hub id, or a folder: of Parquet files, or with one sub-folder per class (below split
            folders or not), of pictures or DICOM files, each patient in a folder or not.
        image_column, label_column: names, where they cannot be found.
        token: for a private Hub data set.
        cache_dir: of ``datasets``.
        option: what the user named it with, for messages.

    Raises:
        DatasetError: nothing there, zipped folders, no image or label column, or classes other than the two.
    """
    raw = _load(name_or_folder, token, cache_dir, option)
    splits: dict[str, Dataset] = {}
    for split, rows in raw.items():
        name = _SPLIT_NAMES.get(split.lower(), split)
        if name in splits:
            raise DatasetError(f"{option} {name_or_folder}: two of its splits mean {name}; {split} is one. Join them.")
        splits[name] = _normalise(rows, f"{name_or_folder}, split {split}", image_column, label_column)
    return DatasetDict(splits)


def _load(name_or_folder: str, token: str | None, cache_dir: str | None, option: str) -> DatasetDict:
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        try:
            own = read_class_folders(folder, _SPLIT_NAMES)
        except ValueError as error:
            raise DatasetError(f"{option} {name_or_folder}: {error}") from error
        if own is not None:
            return own
        _refuse_zip(folder)
        name_or_folder = str(folder)
    elif folder.exists() or name_or_folder.startswith((".", "/", "~")) or name_or_folder.count("/") > 1:
        raise DatasetError(f"{option} {name_or_folder}: there is no such folder.")
    try:
        return load_dataset(name_or_folder, token=token, cache_dir=cache_dir)
    except DatasetNotFoundError as error:
        raise DatasetError(
            f"{option} {name_or_folder}: neither a folder here nor a data set that the Hub shows you. "
            "Check the spelling; a private one needs HF_TOKEN."
        ) from error
    except (DataFilesNotFoundError, DatasetGenerationError, ValueError) as error:
        raise DatasetError(
            f"{option} {name_or_folder} holds no pictures that can be read: {error} Expected Parquet files, or "
            "folders NORMAL and PNEUMONIA (also below train, validation and test)."
        ) from error
    except OSError as error:  # ConnectionError is one
        raise DatasetError(f"{option} {name_or_folder} could not be read: {error}") from error


def _refuse_zip(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    archives = sorted(path.name for path in files if path.suffix.lower() in {".zip", ".tar", ".gz", ".7z", ".rar"})
    if archives:
        raise DatasetError(f"{folder} holds archives ({', '.join(archives[:3])}): unpack them and name the folder.")
    if not files:
        raise DatasetError(f"{folder} is empty.")


def _normalise(rows: Dataset, where: str, image_column: str | None, label_column: str | None) -> Dataset:
    image = _column(rows, where, image_column, "image", [n for n, f in rows.features.items() if isinstance(f, Image)])
    labels = [n for n, f in rows.features.items() if isinstance(f, ClassLabel)]
    label = _column(
        rows, where, label_column, "label", labels or [n for n in ("label", "labels") if n in rows.features]
    )
    if known_label(label) == 0 and {str(value) for value in rows.unique(label)} <= set(NUMBERS):
        raise DatasetError(
            f"{where}: column {label!r} holds 0 and 1, where 1 would mean normal, but 1 is taken for PNEUMONIA. Give a "
            "column with the names of the classes, or with 1 for pneumonia."
        )
    rows = rows.rename_columns({old: new for old, new in ((image, "image"), (label, "label")) if old != new})
    rows = rows.cast_column("image", Image(decode=False))
    mapping = _label_mapping(rows, where)
    if isinstance(rows.features["label"], ClassLabel) and mapping == {0: 0, 1: 1}:
        return rows.cast_column("label", ClassLabel(names=list(LABELS)))
    values = [mapping[value] for value in rows["label"]]
    return rows.remove_columns("label").add_column("label", values).cast_column("label", ClassLabel(names=list(LABELS)))


def _column(rows: Dataset, where: str, given: str | None, kind: str, candidates: list[str]) -> str:
    if given is not None:
        if given not in rows.features:
            raise DatasetError(f"{where} has no column {given!r}; it has {', '.join(rows.features)}.")
        return given
    if kind in candidates or len(candidates) == 1:
        return kind if kind in candidates else candidates[0]
    found = f"several ({', '.join(candidates)})" if candidates else f"none among {', '.join(rows.features)}"
    raise DatasetError(f"{where}: looked for one {kind} column and found {found}. Name it with --{kind}_column.")


def _label_mapping(rows: Dataset, where: str) -> dict[object, int]:
    """Value in the label column -> 0 or 1."""
    feature = rows.features["label"]
    names = list(feature.names) if isinstance(feature, ClassLabel) else sorted({str(v) for v in rows["label"]})
    mapping = label_mapping(names)
    if set(names) <= set(NUMBERS):
        logger.warning("%s: labels are 0 and 1 without names; 0 is taken for NORMAL and 1 for PNEUMONIA.", where)
    unknown = [name for name, value in mapping.items() if value is None]
    if unknown:
        raise DatasetError(
            f"{where}: classes are {', '.join(names)}; this project knows {' and '.join(LABELS)} only. Keep those "
            "rows and rename the classes, or train with another tool."
        )
    if isinstance(feature, ClassLabel):
        return {index: mapping[name] for index, name in enumerate(names)}
    return {value: mapping[str(value)] for value in set(rows["label"])}


def read_bytes(image: dict[str, object] | None) -> bytes:
    """The encoded picture of one row: from its bytes or, in an image folder, from its path.

    Raises:
        OSError: the file cannot be read, or the row is empty.
    """
    data, path = ((image or {}).get(key) for key in ("bytes", "path"))
    if data is None and path is None:
        raise FileNotFoundError(errno.ENOENT, "the row holds no picture")
    return data if data is not None else Path(str(path)).read_bytes()


def file_name(image: dict[str, object] | None, row: int) -> str:
    """The picture's file name without folders, or ``row-<n>`` where the data set has none."""
    path = (image or {}).get("path")
    return re.split(r"[\\/]", str(path))[-1] if path else f"row-{row}"
