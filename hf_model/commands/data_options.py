"""Options of every command that reads a labelled data set: which columns hold pictures, classes and patients."""

from __future__ import annotations

import argparse
from typing import Any

_OPTIONS = {
    "image_column": "default: the only one that holds pictures",
    "label_column": "default: the only one that holds classes",
    "patient_column": "column with the patient of each picture (default: the file name)",
    "patient_pattern": "regular expression on file names whose first group is the patient",
}


def add_data_options(parser: argparse._ActionsContainer) -> None:
    """Add ``--image_column``, ``--label_column``, ``--patient_column`` and ``--patient_pattern``."""
    for name, text in _OPTIONS.items():
        parser.add_argument(f"--{name}", help=text)


def data_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was given for :func:`add_data_options`, None where nothing was, as keywords of ``PictureSet.open``."""
    return {name: getattr(arguments, name) for name in _OPTIONS}
