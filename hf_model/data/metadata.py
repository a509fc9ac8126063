"""Columns for class folders from a ``metadata.csv`` or ``.jsonl`` beside them, as ``datasets`` has it."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterable
from pathlib import Path

logger = logging.getLogger(__name__)
FILES = ("metadata.csv", "metadata.jsonl")
KEYS = ("file_name", "file_path")
LABELLED = ("label", "labels")


def read_metadata(folders: Iterable[Path]) -> dict[Path, dict[str, str]]:
    """File -> its columns as text, from the metadata files in ``folders``; their paths are relative to these.

    Raises:
        ValueError: a file that cannot be read.
    """
    found: dict[Path, dict[str, str]] = {}
    for file in (folder / name for folder in folders for name in FILES):
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
        key = next((key for key in KEYS if rows and key in rows[0]), None)
        if key is None:
            logger.warning("%s has no column file_name, so its columns are not used.", file)
            continue
        for row in rows:
            values = {k: "" if v is None else str(v) for k, v in row.items() if k is not None and k not in KEYS}
            found[(file.parent / str(row[key])).resolve()] = values
    return found


def is_labelled(found: dict[Path, dict[str, str]]) -> bool:
    """Whether the metadata says the classes itself."""
    return any(name in row for row in found.values() for name in LABELLED)


def columns_for(files: list[Path], found: dict[Path, dict[str, str]], taken: Iterable[str]) -> dict[str, list[str]]:
    """The columns of N files, "" where the metadata has no row; none of the names in ``taken``."""
    names = dict.fromkeys(name for row in found.values() for name in row if name not in set(taken))
    rows = [found.get(file.resolve()) for file in files]
    missing = [file.name for file, row in zip(files, rows, strict=True) if row is None]
    if names and missing:
        logger.warning("The metadata has no row for %d pictures, for example %s.", len(missing), missing[0])
    return {name: [(row or {}).get(name, "") for row in rows] for name in names}
