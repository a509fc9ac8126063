"""Whose picture each row is, as training tells patients apart, and without anybody's number."""

from __future__ import annotations

from collections.abc import Sequence

from datasets import Dataset

from hf_model.data.folders import FROM_DICOM, FROM_FOLDER
from hf_model.data.loading import DatasetError
from hf_model.data.patients import anonymous_keys
from hf_model.data.pixels import Pixels
from hf_model.data.prepare import FILE_NAME, find_patients, owners_of


def keys_of_rows(
    parts: Sequence[Dataset], names: list[str], development: Pixels, column: str | None, pattern: str | None
) -> tuple[list[str | None] | None, bool, str | None]:
    """N patient keys, whether they are this project's own reading of file names, and what they come from, in words.

    The decoded development pictures decide what tells patients apart, as in training: a broken file with an odd name
    switches nothing off. The keys are None where nothing tells them apart; one of them is None where nothing says
    whose that row is. Keys of a column or a pattern may be hospital numbers, so they are hashed; those of the DICOM
    headers and folders are already.

    Args:
        parts: development and, if there is one, test, N rows together. names: N file names.
        column, pattern: as for training.

    Raises:
        DatasetError: the column is missing from a part, or empty for a decoded development picture.
    """
    known, kind = find_patients(development.names, development.columns, column, pattern)
    if known is None:
        return None, False, None
    keys: list[str] = []
    for rows in parts:
        if column is not None and column not in rows.column_names:
            raise DatasetError(f"--patient_column {column}: the test split has {', '.join(rows.column_names)}.")
        columns = {name: list(rows[name]) for name in (column, FROM_DICOM, FROM_FOLDER) if name in rows.column_names}
        keys += owners_of(names[len(keys) : len(keys) + len(rows)], columns, kind, column, pattern)
    named = kind == FILE_NAME and pattern is None
    if column is not None or pattern is not None:
        keys = anonymous_keys(keys)  # of all parts together, so that a patient of two parts stays one
    return [key or None for key in keys], named, kind
