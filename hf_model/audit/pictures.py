"""All rows of a data set as the audit sees them: headers of every file, decoded pixels of those that can be read."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict
from PIL import Image
from tqdm.auto import tqdm

from hf_model.data.folders import FROM_DICOM, FROM_FOLDER
from hf_model.data.loading import DatasetError, file_name, read_bytes
from hf_model.data.patients import bare_number
from hf_model.data.pixels import Pixels, decode_split
from hf_model.data.prepare import FILE_NAME, find_patients, pool_splits
from hf_model.data.splits import join_groups
from hf_model.radiograph.preprocess import Preprocessing

TEST = "test"


@dataclass(frozen=True)
class Header:
    """What a file says before it is decoded. format, mode and the sizes are None where no picture opens."""

    size: int
    sha256: str
    format: str | None = None
    mode: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, eq=False)
class Pictures:
    """N rows of one data set in one rendering, M of which can be decoded.

    Attributes:
        name: of the data set. source: the splits as loaded.
        split, names, labels: N values each; split is an array of strings.
        patients: N keys, or None where nothing says whose picture each is.
        headers: N.
        kept: int64 (M,), the rows that were decoded, ascending.
        pixels: uint8 (M, H, W). hashes: M SHA-256 of them.
        skipped: row -> why it could not be decoded.
        named: whether the patients come from this project's own reading of file names.
    """

    name: str
    source: DatasetDict
    split: np.ndarray
    names: list[str]
    labels: np.ndarray
    patients: list[str] | None
    headers: list[Header]
    kept: np.ndarray
    pixels: np.ndarray
    hashes: list[str]
    skipped: dict[int, str]
    named: bool

    def __len__(self) -> int:
        return len(self.names)

    @property
    def splits(self) -> list[str]:
        """Split names in the data set's order, test last."""
        return list(dict.fromkeys(self.split.tolist()))

    @cached_property
    def development(self) -> np.ndarray:
        """Positions (in 0 to M) of the decoded pictures that are not in the test split."""
        return np.flatnonzero(self.split[self.kept] != TEST)

    @cached_property
    def groups(self) -> np.ndarray:
        """int64 (M,): decoded pictures that no cross-validation may separate (one patient, or equal pixels).

        Within development the coarser bare number groups as well, as for training's own splits; it is prefixed with
        "test" or not, because the two are compared.
        """
        keys: list[list[object]] = [list(self.hashes)]
        if self.patients is not None:
            keys.append([self.patients[i] for i in self.kept])
        if self.patients is not None and self.named:
            keys.append([(self.split[i] == TEST, bare_number(self.names[i])) for i in self.kept])
        return join_groups(*keys)

    def where(self, row: int) -> str:
        """A row as a report names it: ``train/IM-0115-0001.jpeg``."""
        return f"{self.split[row]}/{self.names[row]}"


def gather(
    name: str,
    published: DatasetDict,
    preprocessing: Preprocessing = Preprocessing.DEFAULT,
    *,
    cache_dir: Path | None = None,
    patient_column: str | None = None,
    patient_pattern: str | None = None,
) -> Pictures:
    """Read every header and decode every picture, in the same pooled way as training, whose decoded pixels it shares.

    Args:
        name: what reports call the data set. published: from ``load_splits``.
        preprocessing: size and resampling of the decoded pixels.
        cache_dir: as for ``decode_split``.
        patient_column, patient_pattern: as for training.

    Raises:
        DatasetError: no split but test, or a patient column that is not there.
        ValueError: a part of which no picture can be read.
    """
    pool, test = pool_splits(published)
    order = [n for n in ("train", "validation") if n in published] or [n for n in published if n != TEST]
    parts = [(pool, f"{name}")] + ([] if test is None else [(test, f"{name} {TEST}")])
    split = np.repeat(np.array([*order, *([TEST] if test is not None else [])]),
                      [len(published[n]) for n in order] + ([len(test)] if test is not None else []))  # fmt: skip
    names, headers, kept, pixels, hashes, skipped = [], [], [], [], [], {}
    for rows, what in parts:
        start = len(names)
        found = decode_split(rows, preprocessing, what=what, cache_dir=cache_dir)
        headers += [read_header(image) for image in tqdm(rows["image"], desc=f"headers of {what}", leave=False)]
        names += [file_name(image, i) for i, image in enumerate(rows.select_columns("image")["image"])]
        readable, reasons = align(names[start:], found)
        kept.append(readable + start)
        skipped |= {row + start: reason for row, reason in reasons.items()}
        pixels.append(found.pixels)
        hashes += found.hashes
    labels = np.concatenate([np.asarray(rows["label"], dtype=np.int64) for rows, _ in parts])
    patients, key = _patients([rows for rows, _ in parts], names, patient_column, patient_pattern)
    return Pictures(
        name, published, split, names, labels, patients, headers, np.concatenate(kept),
        pixels[0] if len(pixels) == 1 else np.concatenate(pixels), hashes, skipped,
        key == FILE_NAME and patient_pattern is None,
    )  # fmt: skip


def read_header(image: dict[str, object]) -> Header:
    """Length, SHA-256 and what Pillow tells of a picture without decoding it."""
    try:
        data = read_bytes(image)
    except OSError:
        return Header(0, "")
    digest = hashlib.sha256(data).hexdigest()
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return Header(len(data), digest, picture.format, picture.mode, *picture.size)
    except Exception:  # format readers raise anything at all on broken bytes; what is wrong is told by integrity
        return Header(len(data), digest)


def align(names: list[str], found: Pixels) -> tuple[np.ndarray, dict[int, str]]:
    """Which rows ``found`` holds, int64 (M,), and why it left the others out: both of its lists are in row order."""
    kept: list[int] = []
    reasons: dict[int, str] = {}
    for row, name in enumerate(names):
        skipped = len(reasons)
        if len(kept) < len(found) and found.names[len(kept)] == name:
            kept.append(row)
        elif skipped < len(found.skipped) and found.skipped[skipped][0] == name:
            reasons[row] = found.skipped[skipped][1]
        else:
            raise DatasetError(f"The decoded pixels do not match the data set at row {row} ({name}): clear the cache.")
    return np.asarray(kept, dtype=np.int64), reasons


def _patients(
    parts: list[Dataset], names: list[str], column: str | None, pattern: str | None
) -> tuple[list[str] | None, str | None]:
    """As training tells patients apart, and by what."""
    if column is None:
        added = [name for name in (FROM_DICOM, FROM_FOLDER) if all(name in part.column_names for part in parts)]
        return find_patients(names, {name: [v for part in parts for v in part[name]] for name in added}, None, pattern)
    missing = [part for part in parts if column not in part.column_names]
    if missing:
        raise DatasetError(f"--patient_column {column}: the data set has {', '.join(missing[0].column_names)}.")
    return [str(value) for part in parts for value in part[column]], f"column {column}"
