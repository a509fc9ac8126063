"""The rows of a data set as the audit sees them: facts of every file, decoded pixels where readable, patient keys."""

from __future__ import annotations

import hashlib
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict
from PIL import Image
from tqdm.auto import tqdm

from hf_model.data.folders import FROM_DICOM, FROM_FOLDER, known_label
from hf_model.data.loading import DatasetError, file_name, read_bytes
from hf_model.data.patients import anonymous_keys, bare_number
from hf_model.data.pixels import Pixels, decode_split
from hf_model.data.prepare import FILE_NAME, find_patients, patients_from, pool_splits
from hf_model.data.splits import join_groups
from hf_model.radiograph.dicom import has_prefix, looks_like_dicom
from hf_model.radiograph.preprocess import Preprocessing

TEST = "test"
DICOM = "DICOM"
_TAGS = ["Rows", "Columns", "PhotometricInterpretation", "BitsStored"]


@dataclass(frozen=True)
class FileInfo:
    """What is known of a file without decoding it. format, mode and the sizes are None where it does not open.

    size: bytes. mode: Pillow's; of a DICOM file the photometric interpretation and the bits stored, "MONOCHROME2 12".
    """

    size: int
    sha256: str
    format: str | None = None
    mode: str | None = None
    width: int | None = None
    height: int | None = None


def read_file_info(image: dict[str, object] | None) -> FileInfo:
    """Length and SHA-256 of a picture's file, and what Pillow (for DICOM pydicom) reads from its header."""
    try:
        data = read_bytes(image)
    except OSError:
        return FileInfo(0, "")
    digest = hashlib.sha256(data).hexdigest()
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return FileInfo(len(data), digest, picture.format, picture.mode, *picture.size)
    except Exception:  # format readers raise anything at all on broken bytes; integrity reports what is wrong
        if has_prefix(data) or looks_like_dicom(data):
            return FileInfo(len(data), digest, *_dicom_facts(data))
        return FileInfo(len(data), digest)


def _dicom_facts(data: bytes) -> tuple[str, str, int, int] | tuple[()]:
    """Format, mode, width and height; empty where the header is broken or describes no picture."""
    from pydicom import dcmread

    try:
        found = dcmread(io.BytesIO(data), force=True, stop_before_pixels=True, specific_tags=_TAGS)
        height, width = int(found.get("Rows") or 0), int(found.get("Columns") or 0)
        mode = f"{found.get('PhotometricInterpretation', 'unknown')} {found.get('BitsStored', '?')}"
    except Exception:  # pydicom raises anything at all on broken bytes; integrity reports what is wrong
        return ()
    return (DICOM, mode, width, height) if width and height else ()


_SEPARATOR = re.compile(r"[\\/]")


def row_names(split: np.ndarray, names: list[str], paths: list[str | None]) -> list[str]:
    """N names that are unique within their split.

    The file names where these are all different. Where patients' folders hold equal names, the path from the class
    folder on, ``NORMAL/p1/0.png``; where that is not enough either, the row's number as well.

    Args:
        split: (N,) strings. names: N file names without folders. paths: N paths as loaded, None where there is none.
    """
    out = list(names)
    for part in dict.fromkeys(split.tolist()):
        rows = np.flatnonzero(split == part).tolist()
        own = [names[row] for row in rows]
        if len(set(own)) < len(own):
            own = _numbered(_below([_SEPARATOR.split(paths[row] or names[row]) for row in rows]))
        for row, name in zip(rows, own, strict=True):
            out[row] = name
    return out


def _below(paths: list[list[str]]) -> list[str]:
    """Each path without the folders that all have in common; a class folder stays even if it is the only one."""
    folders = zip(*(path[:-1] for path in paths), strict=False)
    common = list(takewhile(lambda met: len(set(met)) == 1, folders))
    start = len(common) - bool(common and known_label(common[-1][0]) is not None)
    return ["/".join(path[start:]) for path in paths]


def _numbered(names: list[str]) -> list[str]:
    """Names that occur twice get their row in the split, counted from 0."""
    met = Counter(names)
    return [name if met[name] == 1 else f"{name} (row {row})" for row, name in enumerate(names)]


def patient_keys(
    parts: Sequence[Dataset], names: list[str], development: Pixels, column: str | None, pattern: str | None
) -> tuple[list[str | None] | None, str | None]:
    """N patient keys and where they come from, in words (both None where no patients are known).

    The decoded development pictures decide where keys come from, as in training, so that a broken file with an odd
    name has no say. A key is None for a row of unknown patient. Keys of a column or a pattern may be hospital numbers,
    so they are hashed; those of the DICOM headers and folders already are.

    Args:
        parts: development and, if there is one, test, N rows together. names: N file names.
        column, pattern: as for training.

    Raises:
        DatasetError: the column is missing from a part, or empty for a decoded development picture.
    """
    known, source = find_patients(development.names, development.columns, column, pattern)
    if known is None:
        return None, None
    keys: list[str] = []
    for rows in parts:
        if column is not None and column not in rows.column_names:
            raise DatasetError(f"--patient_column {column}: the test split has {', '.join(rows.column_names)}.")
        columns = {name: list(rows[name]) for name in (column, FROM_DICOM, FROM_FOLDER) if name in rows.column_names}
        keys += patients_from(names[len(keys) : len(keys) + len(rows)], columns, source, column, pattern)
    if column is not None or pattern is not None:
        keys = anonymous_keys(keys)  # of all parts together: a patient of two parts keeps one key
    return [key or None for key in keys], source


@dataclass(frozen=True, eq=False)
class Pictures:
    """N rows of one data set in one rendering, M of which can be decoded.

    Attributes:
        name: of the data set.
        split: (N,) strings. names: N file names. labels: (N,).
        patients: N keys, or None where no patients are known; a key is None for a row of unknown patient.
        files: N.
        kept: int64 (M,), the rows that were decoded, ascending.
        pixels: uint8 (M, H, W). hashes: M SHA-256 of them.
        kermany_names: whether the patient keys come from file names as the Kermany data set has them.
        patient_source: where the patient keys come from, in words, or None.
        source: the splits as loaded.
        display_names: N names that are unique within a split; None for ``names``.
    """

    name: str
    split: np.ndarray
    names: list[str]
    labels: np.ndarray
    patients: list[str | None] | None
    files: list[FileInfo]
    kept: np.ndarray
    pixels: np.ndarray | Sequence[np.ndarray]
    hashes: list[str]
    kermany_names: bool
    patient_source: str | None = None
    source: DatasetDict = field(default_factory=DatasetDict)
    display_names: list[str] | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def splits(self) -> list[str]:
        """Split names in the data set's order, test last."""
        return list(dict.fromkeys(self.split.tolist()))

    @property
    def skipped(self) -> np.ndarray:
        """int64 (N - M,), the rows that could not be decoded."""
        return np.setdiff1d(np.arange(len(self)), self.kept)

    @cached_property
    def development(self) -> np.ndarray:
        """Positions (in 0 to M) of the decoded pictures that are not in the test split."""
        return np.flatnonzero(self.decoded_split != TEST)

    @property
    def decoded_split(self) -> np.ndarray:
        """(M,) the split of each decoded picture."""
        return self.split[self.kept]

    @property
    def decoded_labels(self) -> np.ndarray:
        """int64 (M,), the label of each decoded picture."""
        return self.labels[self.kept]

    @cached_property
    def groups(self) -> np.ndarray:
        """int64 (M,): decoded pictures that no cross-validation may separate (one patient, or equal pixels).

        Within development the coarser bare number groups as well, as for training's own splits; it is prefixed with
        "test" or not, because the two are compared.
        """
        keys: list[list[object]] = [list(self.hashes)]
        if self.patients is not None:
            keys.append([self.patients[i] or ("row", i) for i in self.kept.tolist()])
        if self.patients is not None and self.kermany_names:
            numbers = [(bare_number(self.names[i]), i) for i in self.kept.tolist()]
            keys.append([(self.split[i] == TEST, number or ("row", i)) for number, i in numbers])
        return join_groups(*keys)

    def where(self, row: int) -> str:
        """A row as a report names it: ``train/IM-0115-0001.jpeg``, ``train/NORMAL/p1/0.png``."""
        return f"{self.split[row]}/{(self.display_names or self.names)[row]}"


def gather(
    name: str,
    published: DatasetDict,
    preprocessing: Preprocessing = Preprocessing.DEFAULT,
    *,
    cache_dir: Path | None = None,
    patient_column: str | None = None,
    patient_pattern: str | None = None,
) -> Pictures:
    """Read every file's header and decode every picture, pooled as in training, which shares the decoded pixels.

    Args:
        name: what reports call the data set. published: from ``load_splits``.
        preprocessing: size and resampling of the decoded pixels.
        cache_dir: as for ``decode_split``.
        patient_column, patient_pattern: as for training.

    Raises:
        DatasetError: no split but test, or a patient column that is not there or not filled.
        ValueError: a part of which no picture can be read.
    """
    pool, test = pool_splits(published)
    parts = [(pool, name)] + ([] if test is None else [(test, f"{name} {TEST}")])
    split = _splits(published)
    names, paths, files, kept, found = [], [], [], [], []
    for rows, what in parts:
        start = len(names)
        decoded = decode_split(rows, preprocessing, what=what, cache_dir=cache_dir)
        check_decoded(len(rows), decoded)
        found.append(decoded)
        kept.append(decoded.rows + start)
        for row, image in enumerate(tqdm(rows["image"], desc=f"headers of {what}", leave=False)):
            files.append(read_file_info(image))
            names.append(file_name(image, row))
            paths.append((image or {}).get("path"))
    patients, source = patient_keys([rows for rows, _ in parts], names, found[0], patient_column, patient_pattern)
    return Pictures(
        name=name,
        split=split,
        names=names,
        labels=np.concatenate([np.asarray(rows["label"], dtype=np.int64) for rows, _ in parts]),
        patients=patients,
        files=files,
        kept=np.concatenate(kept),
        pixels=found[0].pixels if len(found) == 1 else np.concatenate([part.pixels for part in found]),
        hashes=[digest for part in found for digest in part.hashes],
        kermany_names=source == FILE_NAME and patient_pattern is None,
        patient_source=source,
        source=published,
        display_names=row_names(split, names, paths),
    )


def _splits(published: DatasetDict) -> np.ndarray:
    """The split of each row, (N,) strings, in the order of ``pool_splits`` and then test."""
    order = [n for n in ("train", "validation") if n in published] or [n for n in published if n != TEST]
    order += [TEST] if TEST in published else []
    return np.repeat(np.array(order), [len(published[n]) for n in order])


def check_decoded(count: int, decoded: Pixels) -> None:
    """Raise DatasetError unless ``decoded`` accounts for ``count`` rows."""
    if len(decoded.rows) + len(decoded.skipped) != count:
        raise DatasetError(
            f"The decoded pixels are of {len(decoded.rows) + len(decoded.skipped)} pictures and the data set has "
            f"{count}: clear the cache (--cache_dir)."
        )
