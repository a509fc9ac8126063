"""All rows of a data set as the audit sees them: headers of every file, decoded pixels of those that can be read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from datasets import DatasetDict
from tqdm.auto import tqdm

from hf_model.audit.headers import Header, read_header
from hf_model.audit.naming import row_names
from hf_model.audit.people import keys_of_rows
from hf_model.data.loading import DatasetError, file_name
from hf_model.data.patients import bare_number
from hf_model.data.pixels import Pixels, decode_split
from hf_model.data.prepare import pool_splits
from hf_model.data.splits import join_groups
from hf_model.radiograph.preprocess import Preprocessing

TEST = "test"


@dataclass(frozen=True, eq=False)
class Pictures:
    """N rows of one data set in one rendering, M of which can be decoded.

    Attributes:
        name: of the data set. source: the splits as loaded.
        split, names, labels: N values each; split is an array of strings.
        patients: N keys, or None where nothing says whose picture each is; a key is None where nothing says whose
            that one is.
        headers: N.
        kept: int64 (M,), the rows that were decoded, ascending.
        pixels: uint8 (M, H, W). hashes: M SHA-256 of them.
        skipped: row -> why it could not be decoded.
        named: whether the patients come from this project's own reading of file names.
        told_by: what tells patients apart, in words, or None.
        shown: N names that tell the rows of a split apart; None for ``names``.
    """

    name: str
    source: DatasetDict
    split: np.ndarray
    names: list[str]
    labels: np.ndarray
    patients: list[str | None] | None
    headers: list[Header]
    kept: np.ndarray
    pixels: np.ndarray
    hashes: list[str]
    skipped: dict[int, str]
    named: bool
    shown: list[str] | None = None
    told_by: str | None = None

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
            keys.append([self.patients[i] or ("row", i) for i in self.kept.tolist()])
        if self.patients is not None and self.named:
            numbers = [(bare_number(self.names[i]), i) for i in self.kept.tolist()]
            keys.append([(self.split[i] == TEST, number or ("row", i)) for number, i in numbers])
        return join_groups(*keys)

    def where(self, row: int) -> str:
        """A row as a report names it: ``train/IM-0115-0001.jpeg``, ``train/NORMAL/p1/0.png``."""
        return f"{self.split[row]}/{(self.shown or self.names)[row]}"


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
        DatasetError: no split but test, or a patient column that is not there or not filled.
        ValueError: a part of which no picture can be read.
    """
    pool, test = pool_splits(published)
    parts = [(pool, name)] + ([] if test is None else [(test, f"{name} {TEST}")])
    split = _splits(published)
    names, paths, headers, kept, found, skipped = [], [], [], [], [], {}
    for rows, what in parts:
        start = len(names)
        decoded = decode_split(rows, preprocessing, what=what, cache_dir=cache_dir)
        found.append(decoded)
        for row, image in enumerate(tqdm(rows["image"], desc=f"headers of {what}", leave=False)):
            headers.append(read_header(image))
            names.append(file_name(image, row))
            paths.append((image or {}).get("path"))
        readable, reasons = align(len(rows), decoded)
        kept.append(readable + start)
        skipped |= {row + start: reason for row, reason in reasons.items()}
    labels = np.concatenate([np.asarray(rows["label"], dtype=np.int64) for rows, _ in parts])
    patients, named, told_by = keys_of_rows(
        [rows for rows, _ in parts], names, found[0], patient_column, patient_pattern
    )
    return Pictures(
        name,
        published,
        split,
        names,
        labels,
        patients,
        headers,
        np.concatenate(kept),
        found[0].pixels if len(found) == 1 else np.concatenate([part.pixels for part in found]),
        [digest for part in found for digest in part.hashes],
        skipped,
        named,
        row_names(split, names, paths),
        told_by,
    )


def _splits(published: DatasetDict) -> np.ndarray:
    """The split of each row, (N,) strings, in the order of ``pool_splits`` and then test."""
    order = [n for n in ("train", "validation") if n in published] or [n for n in published if n != TEST]
    order += [TEST] if TEST in published else []
    return np.repeat(np.array(order), [len(published[n]) for n in order])


def align(count: int, found: Pixels) -> tuple[np.ndarray, dict[int, str]]:
    """Which of ``count`` rows ``found`` holds, int64 (M,), and why it left out each of the others.

    Raises:
        DatasetError: ``found`` is of another data set.
    """
    left_out = np.setdiff1d(np.arange(count), found.rows).tolist()
    if len(left_out) != len(found.skipped) or len(found.rows) + len(left_out) != count:
        raise DatasetError(
            f"The decoded pixels are of {len(found.rows) + len(found.skipped)} pictures and the data set has {count}: "
            "clear the cache (--cache_dir)."
        )
    # both in the order of the rows: file names would not do, since patients' folders hold equal ones
    return found.rows, dict(zip(left_out, (reason for _, reason in found.skipped), strict=True))
