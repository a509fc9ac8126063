"""Development pictures for the study: subsets of whole patients, and validation in several views.

The test split is not decoded, and what could decode it is thrown away: nothing here can choose by it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hf_model.data.augmentation import AugmentationArguments
from hf_model.data.prepare import TRAIN, VALIDATION, DevelopmentData, prepare
from hf_model.data.splits import split_by_group
from hf_model.radiograph.preprocess import Preprocessing
from hf_model.training.arguments import DataArguments
from hf_model.training.batches import AugmentedRows, PlainRows, TrainingRows, plain_rows

AUGMENTED = "augmented"
VIEW_SEED = 0


@dataclass(frozen=True)
class View:
    """Validation pictures in one rendering or augmented. at: int64 (n,), which of the chosen pictures they show."""

    name: str
    rows: PlainRows
    at: np.ndarray


@dataclass(frozen=True)
class StudyData:
    """What runs at one input size share.

    Attributes:
        chosen: rows of the validation pictures. patients: int64, one code for each of them.
        subset: rows of development-train that fine-tunings get.
    """

    data: DevelopmentData
    chosen: np.ndarray
    patients: np.ndarray
    subset: np.ndarray
    views: list[View]

    @property
    def labels(self) -> np.ndarray:
        return self.data.main.labels[self.chosen]

    def training_rows(self, *, whole: bool, one_rendering: bool = False) -> TrainingRows:
        """Development-train, ``whole`` or the subset, drawn from all renderings or from the data set's own."""
        rows = self.data.rows(TRAIN) if whole else self.subset
        parts = list(self.data.renderings.values())[: 1 if one_rendering else None]
        return TrainingRows([(p.pixels, index[rows]) for p, index in parts], self.data.main.labels[rows])


def load(
    arguments: DataArguments,
    preprocessing: Preprocessing,
    like: StudyData | None = None,
    *,
    seed: int,
    pictures: int,
    validation: int,
) -> StudyData:
    """Decode (or map) development at one size; the same patients are chosen whatever the size.

    Args:
        arguments, seed: as for training. like: the data at another size, whose splits are taken over: which pictures
            are nearly equal, and so stay together, may depend on the size. pictures, validation: of the two subsets.

    Raises:
        DatasetError: see ``prepare``. ValueError: a subset without both classes.
    """
    data = prepare(arguments, preprocessing, seed)
    data.test.clear()
    if like is not None:
        if data.main.names != like.data.main.names:
            raise ValueError(f"At {preprocessing.height} px other pictures can be read: sizes cannot be compared.")
        data.splits = like.data.splits
    groups = np.asarray(data.patients if data.patients is not None else data.main.names)
    chosen = _subset(data, data.rows(VALIDATION), groups, validation, "--validation")
    subset = _subset(data, data.rows(TRAIN), groups, pictures, "--pictures")
    codes = np.unique(groups[chosen], return_inverse=True)[1]
    views = []
    for name, (pixels, index) in data.renderings.items():
        at = np.flatnonzero(index[chosen] >= 0)
        labels = data.main.labels[chosen[at]]
        if 0 < labels.sum() < len(labels):
            views.append(View(name, plain_rows(pixels.pixels, index, chosen, data.main.labels), at))
    changed = AugmentedRows(data.main.pixels, data.main.labels[chosen], chosen, AugmentationArguments(), VIEW_SEED)
    views.append(View(AUGMENTED, changed, np.arange(len(chosen))))
    return StudyData(data, chosen, codes, subset, views)


def _subset(data: DevelopmentData, rows: np.ndarray, groups: np.ndarray, limit: int, option: str) -> np.ndarray:
    """Whole patients of ``rows``, classes in their proportion, about ``limit`` pictures.

    All of them where there are not more, or so few more that a class would have nobody to leave out.

    Raises:
        ValueError: a class would have nobody in it; ``option`` says what to raise.
    """
    if len(rows) <= limit:
        return rows
    share = limit / len(rows)
    try:
        parts = split_by_group(data.main.labels[rows], groups[rows], {"in": share, "out": 1 - share}, VIEW_SEED)
    except ValueError as error:
        if share > 0.5:
            return rows
        raise ValueError(f"{option} {limit}: too few pictures to hold a patient of each class; raise it.") from error
    return rows[parts["in"]]
