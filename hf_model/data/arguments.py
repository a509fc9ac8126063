"""Options that say where pictures come from, what the columns of a data set mean, and how it is split."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from hf_model.config import DEFAULT_DATASET

COLUMNS = {
    "image_column": "column of the pictures; default: the only one that holds pictures",
    "label_column": "column of the classes; default: the only one that holds classes",
    "patient_column": "column with the patient of each picture; default: the file name",
    "patient_pattern": "regular expression on file names, first group is the patient",
}
"""Option -> help; these four are the same in every command that reads a labelled data set."""


def add_column_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``COLUMNS`` to a command's parser."""
    for name, text in COLUMNS.items():
        parser.add_argument(f"--{name}", help=text)


def column_options(arguments: argparse.Namespace) -> dict[str, str | None]:
    """The values of the options of ``COLUMNS``, as keyword arguments."""
    return {name: getattr(arguments, name) for name in COLUMNS}


def check_options(options: object, names: Iterable[str], allowed: Callable[[Any], bool], rule: str) -> None:
    """Check values of an argument object; None, which stands for a default, passes.

    Args:
        names: of attributes, which are options of the same name. rule: what ``allowed`` asks for, in words.

    Raises:
        ValueError: naming the option, its value and the rule.
    """
    for name in names:
        value = getattr(options, name)
        if value is not None and not allowed(value):
            raise ValueError(f"--{name} {value}: {rule}.")


def _column(name: str) -> str | None:
    return field(default=None, metadata={"help": COLUMNS[name]})


@dataclass
class DataArguments:
    """The data options of ``train.py``.

    Raises:
        ValueError: a fraction outside 0 to 0.5, or too few pictures to split.
    """

    dataset: str = field(default=DEFAULT_DATASET, metadata={"help": "Hub id, image folder or Parquet folder."})
    renderings: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Further data sets with the same pictures rendered otherwise, joined by file name. Training draws "
            "one rendering each time; a test split among them is reported beside the main one."
        },
    )
    originals: str | None = field(
        default=None,
        metadata={"help": "Full-size originals of some training pictures: a check of the upload path, no metric."},
    )
    outlines: str | None = field(
        default=None,
        metadata={
            "help": "Outlines of the lungs by people: columns name (of the picture) and lungs (PNG). Measures how much "
            "of the evidence lies in the lungs of held-out patients; with --lungs training uses them where they are."
        },
    )
    adults: str | None = field(
        default=None,
        metadata={"help": "Films of adults, which the input checks learn to flag. Never trained on as classes."},
    )
    image_column: str | None = _column("image_column")
    label_column: str | None = _column("label_column")
    patient_column: str | None = _column("patient_column")
    patient_pattern: str | None = _column("patient_pattern")
    validation_fraction: float = field(default=0.1, metadata={"help": "Share of patients for development-validation."})
    calibration_fraction: float = field(default=0.2, metadata={"help": "Share of patients for calibration."})
    test_fraction: float = field(
        default=0.15, metadata={"help": "Share of patients held out as test where the data set has no test split."}
    )
    allow_leakage: bool = field(
        default=False,
        metadata={"help": "Train although patients or pictures are in development and in the test split."},
    )
    max_train_samples: int | None = field(default=None, metadata={"help": "Truncate every split, for trying things."})
    cache_dir: str | None = field(default=None, metadata={"help": "Where decoded pixels are kept."})

    def __post_init__(self) -> None:
        fractions = ("validation_fraction", "calibration_fraction", "test_fraction")
        check_options(self, fractions, lambda value: 0 < value < 0.5, "must lie between 0 and 0.5")
        check_options(self, ["max_train_samples"], lambda value: value >= 16, "at least 16 are needed to split")
