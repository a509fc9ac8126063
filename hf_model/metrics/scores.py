"""What a model said about a set of labelled pictures, and its CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hf_model.config import NORMAL, PNEUMONIA

COLUMNS = ("name", "patient", "label", "logit_normal", "logit_pneumonia")


@dataclass(frozen=True, eq=False)
class Scores:
    """Logits of N labelled pictures.

    ``logits`` float64 (N, 2), normal then pneumonia; ``labels`` int64 (N,) of 0 and 1; ``names`` and ``patients``
    lists of N. A picture whose patient is unknown ("" or None) counts as a patient of its own. Raises ValueError when
    lengths differ, a label is neither 0 nor 1, or a logit is not finite.
    """

    logits: np.ndarray
    labels: np.ndarray
    names: list[str]
    patients: list[str]

    def __post_init__(self) -> None:
        logits = np.asarray(self.logits, dtype=np.float64)
        labels = np.asarray(self.labels)
        count = len(labels)
        if logits.shape != (count, 2):
            raise ValueError(f"logits should have the shape ({count}, 2) for {count} labels, not {logits.shape}.")
        if len(self.names) != count or len(self.patients) != count:
            raise ValueError(f"{count} labels, but {len(self.names)} names and {len(self.patients)} patients.")
        if count and not np.isin(labels, (NORMAL, PNEUMONIA)).all():
            raise ValueError(f"Labels should be {NORMAL} (normal) or {PNEUMONIA} (pneumonia): {np.unique(labels)}.")
        bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
        if len(bad):
            raise ValueError(f"{len(bad)} pictures have logits that are not finite, the first is {self.names[bad[0]]}.")
        object.__setattr__(self, "logits", logits)
        object.__setattr__(self, "labels", labels.astype(np.int64))
        object.__setattr__(self, "names", [str(name) for name in self.names])
        object.__setattr__(self, "patients", ["" if key is None else str(key) for key in self.patients])

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def margins(self) -> np.ndarray:
        """Pneumonia logit minus normal logit, float64 (N,)."""
        return self.logits[:, 1] - self.logits[:, 0]

    @cached_property
    def patient_codes(self) -> np.ndarray:
        """Patients as integers 0 to P-1, int64 (N,); pictures of one patient share a code."""
        keys = [f"patient {key}" if key else f"picture {row}" for row, key in enumerate(self.patients)]
        return np.unique(np.array(keys, dtype=object).astype(str), return_inverse=True)[1].reshape(-1).astype(np.int64)

    @property
    def patient_count(self) -> int:
        """Number of patients."""
        return len(np.unique(self.patient_codes))

    def select(self, rows: Sequence[int] | np.ndarray) -> Scores:
        """The pictures of the given row numbers or boolean mask, in that order."""
        index = np.asarray(rows)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(int)
        names, patients = [self.names[row] for row in index], [self.patients[row] for row in index]
        return Scores(self.logits[index], self.labels[index], names, patients)

    def to_csv(self, path: str | Path) -> Path:
        """Write the columns of ``COLUMNS``; floats in full, so that reading gives the same numbers."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for name, patient, label, (normal, pneumonia) in zip(
                self.names, self.patients, self.labels.tolist(), self.logits.tolist(), strict=True
            ):
                writer.writerow((name, patient, label, repr(normal), repr(pneumonia)))
        return path

    @classmethod
    def from_csv(cls, path: str | Path) -> Scores:
        """Read what :meth:`to_csv` wrote. ValueError names the file and line of a bad row or the missing column."""
        path = Path(path)
        names, patients, labels, logits = [], [], [], []
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(f"{path} has no column {', '.join(missing)}; it should have {', '.join(COLUMNS)}.")
            for row in reader:
                try:
                    labels.append(int(row["label"]))
                    logits.append((float(row["logit_normal"]), float(row["logit_pneumonia"])))
                except (TypeError, ValueError) as error:
                    raise ValueError(f"{path}, line {reader.line_num}: {error}.") from error
                names.append(row["name"])
                patients.append(row["patient"])
        try:
            return cls(np.array(logits, dtype=np.float64).reshape(-1, 2), np.array(labels, int), names, patients)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
