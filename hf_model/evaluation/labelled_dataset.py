"""A labelled data set for ``evaluate`` and ``recalibrate``: one split, and a checkpoint's logits on it.

Pictures are scored as uploads are: bytes -> ``Classifier``. Nothing is decoded before it is scored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets
from PIL import Image, ImageFilter
from tqdm import tqdm

from hf_model.data.loading import DatasetError, file_name, load_splits, read_bytes
from hf_model.data.patients import anonymous_keys, patient_key, patient_key_function
from hf_model.data.prepare import find_patients, rendering_name
from hf_model.inference.classifier import Classifier
from hf_model.metrics.scores import Scores
from hf_model.radiograph import Radiograph, read_radiograph

PERTURBATIONS: dict[str, tuple[str, Callable[[Image.Image], Image.Image]]] = {
    "blurred": ("Gaussian blur of 1 px at the model's size", lambda p: p.filter(ImageFilter.GaussianBlur(1))),
    "sharpened": (
        "unsharp mask of 2 px, 150 %, at the model's size",
        lambda p: p.filter(ImageFilter.UnsharpMask(2, 150, 0)),
    ),
}


@dataclass(frozen=True, eq=False)
class LabelledDataset:
    """N labelled pictures, not decoded.

    ``dataset`` as given, ``name`` its last part, ``split``; ``names``, ``labels`` (N,), ``patients`` ("" where
    unknown); ``columns`` the data set's further columns, lists of N.
    """

    dataset: str
    name: str
    split: str
    rows: Dataset
    names: list[str]
    labels: np.ndarray
    patients: list[str]
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def open(
        cls,
        dataset: str,
        split: str | None = None,
        *,
        image_column: str | None = None,
        label_column: str | None = None,
        patient_column: str | None = None,
        patient_pattern: str | None = None,
    ) -> LabelledDataset:
        """List a split without reading its pictures.

        ``split`` None is "test" where there is one, else the only split; "all" is every split together. Raises
        DatasetError (a ValueError) for what cannot be loaded or a split or column that is not there.
        """
        splits = load_splits(dataset, image_column=image_column, label_column=label_column)
        chosen = _choose(splits, split, dataset)
        rows = concatenate_datasets([splits[name] for name in chosen]) if len(chosen) > 1 else splits[chosen[0]]
        names = [file_name(image, row) for row, image in enumerate(rows.select_columns("image")["image"])]
        columns = {name: list(rows[name]) for name in rows.column_names if name not in ("image", "label")}
        keys = _patients(names, columns, patient_column, patient_pattern)
        labels = np.asarray(rows["label"], dtype=np.int64)
        return cls(dataset, rendering_name(dataset), "+".join(chosen), rows, names, labels, keys, columns)

    def named(self, wanted: list[str]) -> LabelledDataset:
        """Only the pictures with one of the file names."""
        keep = set(wanted)
        return self.select([row for row, name in enumerate(self.names) if name in keep])

    def select(self, rows: list[int]) -> LabelledDataset:
        """The pictures of the given row numbers."""
        columns = {name: [values[row] for row in rows] for name, values in self.columns.items()}
        names, patients = [self.names[row] for row in rows], [self.patients[row] for row in rows]
        chosen = self.rows.select(rows)
        return LabelledDataset(self.dataset, self.name, self.split, chosen, names, self.labels[rows], patients, columns)

    def content(self, row: int) -> bytes:
        """The encoded picture of a row."""
        return read_bytes(self.rows[row]["image"])

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """``(name, bytes)`` of every picture, one at a time. A file that is gone comes as no bytes."""
        for row, name in enumerate(self.names):
            try:
                yield name, self.content(row)
            except OSError:
                yield name, b""

    def sha256(self) -> str:
        """Hash over names, labels and file contents in any order."""
        lines = [
            f"{name} {label} {hashlib.sha256(data).hexdigest()}"
            for (name, data), label in zip(self.contents(), self.labels.tolist(), strict=True)
        ]
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _patients(names: list[str], columns: dict[str, list[Any]], column: str | None, pattern: str | None) -> list[str]:
    """Patient keys as in training, but where only some pictures have a known patient, those keep their key.

    Keys of a column or pattern may be hospital numbers, and scores are written and published: they are hashed.
    """
    if column is not None:
        if column not in columns:
            raise DatasetError(f"--patient_column {column}: there is {', '.join(columns) or 'no other column'}.")
        return anonymous_keys(["" if value is None else str(value) for value in columns[column]])
    if pattern is None:
        found, _ = find_patients(names, columns, None, None)
        return found or [patient_key(name) or "" for name in names]
    key = patient_key_function(pattern)
    keys = [key(name) or "" for name in names]
    if not any(keys):
        like = f", for example {names[0]}" if names else ""
        raise DatasetError(f"--patient_pattern {pattern!r} finds nothing in {len(names)} file names{like}: correct it.")
    return anonymous_keys(keys)


def _choose(splits: dict[str, Dataset], split: str | None, dataset: str) -> list[str]:
    if split == "all":
        return list(splits)
    if split is None:
        split = "test" if "test" in splits else next(iter(splits)) if len(splits) == 1 else ""
    if split not in splits:
        there = ", ".join(sorted(splits))
        raise DatasetError(f"{dataset} has the splits {there}; name one of them, or all, with --split.")
    return [split]


@dataclass(frozen=True, eq=False)
class Scored:
    """A checkpoint's logits on the pictures of a set that can be read and get an answer.

    ``rows`` are their row numbers in the set; ``maps`` class activation maps, float32 (h, w) or None each. Not among
    them: ``failures`` (name, reason) of unreadable files, and ``refused``, names of pictures that the input checks give
    no answer to (blank): training leaves them out of every split.
    """

    scores: Scores
    rows: list[int]
    maps: list[np.ndarray | None]
    failures: list[tuple[str, str]]
    refused: list[str]


def score(classifier: Classifier, dataset: LabelledDataset, *, what: str = "scoring") -> Scored:
    """Predict every picture, with heat maps. ValueError if none can be used."""
    results = classifier.predict_batch(dataset.contents())
    rows, logits, maps, failures, refused = [], [], [], [], []
    for row, result in enumerate(tqdm(results, total=len(dataset), desc=what, disable=None)):
        if not result.ok:
            failures.append((result.name, result.reason))
        elif result.refused:
            refused.append(dataset.names[row])
        else:
            rows.append(row)
            logits.append(result.logits)
            maps.append(result.class_activation_map)
    if not rows:
        reason = f"; the first reason: {failures[0][1]}" if failures else "; all are blank" if refused else ""
        raise ValueError(f"{dataset.dataset}: none of {len(dataset)} pictures could be used{reason}")
    names, patients = [dataset.names[row] for row in rows], [dataset.patients[row] for row in rows]
    return Scored(Scores(np.array(logits), dataset.labels[rows], names, patients), rows, maps, failures, refused)


def score_perturbed(classifier: Classifier, dataset: LabelledDataset, scored: Scored) -> dict[str, Scores]:
    """The same pictures blurred and sharpened at the model's own size: name in ``PERTURBATIONS`` -> scores."""
    result = {}
    for name, (_, change) in PERTURBATIONS.items():
        sources = (_changed(classifier, dataset, row, change) for row in scored.rows)
        found = list(
            tqdm(classifier.predict_batch(sources, heat_map=False), total=len(scored.rows), desc=name, disable=None)
        )
        logits = np.array([prediction.logits for prediction in found])
        result[name] = Scores(logits, scored.scores.labels, scored.scores.names, scored.scores.patients)
    return result


def _changed(classifier: Classifier, dataset: LabelledDataset, row: int, change: Callable) -> tuple[str, Radiograph]:
    name = dataset.names[row]
    small = read_small(classifier, dataset, row)
    changed = np.ascontiguousarray(np.asarray(change(Image.fromarray(small))))
    return name, Radiograph(changed, name, "array", (changed.shape[1], changed.shape[0]))


def read_small(classifier: Classifier, dataset: LabelledDataset, row: int) -> np.ndarray:
    """One picture as the model sees it, uint8 (height, width). Raises UnreadableRadiograph."""
    radiograph = read_radiograph(dataset.content(row), name=dataset.names[row])
    return classifier.preprocessing.resize(radiograph.pixels)
