"""Whose picture each is: by a column, DICOM headers, file names or folders, whatever the data set has."""

from __future__ import annotations

from hf_model.data.folders import FROM_DICOM, FROM_FOLDER
from hf_model.data.loading import DatasetError
from hf_model.data.patients import patient_key_function, patients_of

FILE_NAME = "file name"
"""What patients are told apart by, where this project knows the names or was given a pattern."""
DICOM_KEY = "PatientID of the DICOM headers, hashed"
FOLDER_KEY = "the folder below the class, its name hashed"


def find_patients(
    names: list[str], columns: dict[str, list[object]], column: str | None, pattern: str | None
) -> tuple[list[str] | None, str | None]:
    """N patient keys with what they come from, or None twice where nothing says whose each picture is.

    From the column or pattern that the user named; else from the DICOM headers, from file names that this project
    knows, from the folders that pictures lie in.

    Raises:
        DatasetError: the column does not exist or is not filled everywhere, or the pattern misses a file name.
    """
    if column is not None:
        if column not in columns:
            raise DatasetError(f"--patient_column {column}: the data set has {', '.join(columns) or 'no others'}.")
        values = columns[column]
        if any(value in (None, "") for value in values):
            raise DatasetError(f"--patient_column {column}: empty in {sum(v in (None, '') for v in values)} rows.")
        return [str(value) for value in values], f"column {column}"
    if pattern is None and FROM_DICOM in columns:
        return list(columns[FROM_DICOM]), DICOM_KEY
    keys = patients_of(names, pattern)
    if pattern is not None and keys is None:
        key = patient_key_function(pattern)
        missed = [name for name in names if key(name) is None]
        raise DatasetError(
            f"--patient_pattern {pattern!r} finds nothing in {len(missed)} of {len(names)} file names, for example "
            f"{missed[0]}: give one that fits all of them."
        )
    folders = columns.get(FROM_FOLDER) if pattern is None else None
    if keys is not None and not (folders and _repeat(names, folders)):
        return keys, FILE_NAME
    return (list(folders), FOLDER_KEY) if folders else (None, None)


def _repeat(names: list[str], folders: list[object]) -> bool:
    """Whether one file name is in two patients' folders: then names number the films of a patient, not the patients.

    Viewers export ``IM-0001-0001.jpg`` for every patient alike.
    """
    first: dict[str, object] = {}
    return any(first.setdefault(name, folder) != folder for name, folder in zip(names, folders, strict=True))


def owners_of(
    names: list[str], columns: dict[str, list[object]], kind: str | None, column: str | None, pattern: str | None
) -> list[str]:
    """N patient keys of other pictures of a data set, "" where nothing says whose one is.

    Args:
        kind: what tells the data set's patients apart, from ``find_patients``: keys of another kind would equal none.
        column, pattern: as the user named them.
    """
    if kind is None:
        return [""] * len(names)
    if kind == FILE_NAME:
        key = patient_key_function(pattern)
        return [key(name) or "" for name in names]
    values = columns.get(column or {DICOM_KEY: FROM_DICOM, FOLDER_KEY: FROM_FOLDER}[kind], [None] * len(names))
    return ["" if value in (None, "") else str(value) for value in values]
