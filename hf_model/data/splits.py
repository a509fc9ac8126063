"""Patient-grouped, label-stratified splits.

Development-train, development-validation and calibration come from the published train and validation splits, 70, 10
and 20 per cent by patients. A group is never cut: pictures of one patient, and equal or nearly equal pictures whatever
their names, stay together. Groups are formed with the coarser key (``bare_number``) where file names give one, so the
split holds whether ``person1000_bacteria`` and ``person1000_virus`` are one child or two.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from hf_model.config import LABELS, PNEUMONIA
from hf_model.data.near_duplicates import components

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Row indices into one list of pictures, and what they hold."""

    name: str
    indices: np.ndarray
    patients: int
    counts: tuple[int, int]

    def to_dict(self, names: Sequence[str]) -> dict[str, object]:
        """For metrics.json: sizes and the SHA-256 of the sorted file names."""
        listing = "\n".join(sorted(names[i] for i in self.indices))
        return {
            "images": len(self.indices),
            "patients": self.patients,
            "NORMAL": self.counts[0],
            "PNEUMONIA": self.counts[1],
            "sha256": hashlib.sha256(listing.encode()).hexdigest(),
        }


def join_groups(*keys: Sequence[Hashable]) -> np.ndarray:
    """Group numbers (N,): rows that share a value in any of ``keys``, directly or through others, have one number.

    Raises:
        ValueError: the key lists differ in length.
    """
    length = len(keys[0])
    if any(len(key) != length for key in keys):
        raise ValueError(f"Group keys differ in length: {[len(key) for key in keys]}.")
    pairs: list[tuple[int, int]] = []
    for key in keys:
        first: dict[Hashable, int] = {}
        pairs += [(first.setdefault(value, row), row) for row, value in enumerate(key)]
    return components(length, pairs).astype(np.int64)


def split_by_group(
    labels: Sequence[int], groups: Sequence[Hashable], fractions: dict[str, float], seed: int
) -> dict[str, np.ndarray]:
    """Row indices of each named part, whole groups only, each label's groups shared out in the given fractions.

    Args:
        labels: (N,) 0 or 1. A group with any pneumonia picture counts as pneumonia.
        groups: (N,) one value per row.
        fractions: part -> share of the groups; the shares must sum to 1.
        seed: of the shuffle.

    Raises:
        ValueError: fractions do not sum to 1, or a part would have no group of some class.
    """
    if abs(sum(fractions.values()) - 1) > 1e-6 or min(fractions.values()) <= 0:
        raise ValueError(f"Split fractions must be positive and sum to 1, not {fractions}.")
    rows: dict[Hashable, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        rows[group].append(i)
    strata: dict[int, list[Hashable]] = defaultdict(list)
    for group, members in rows.items():
        strata[int(any(labels[i] == PNEUMONIA for i in members))].append(group)

    rng = np.random.default_rng(seed)
    parts: dict[str, list[int]] = {name: [] for name in fractions}
    for label in sorted(strata):
        members = strata[label]
        order = rng.permutation(len(members))
        bounds = np.round(np.cumsum([0.0, *fractions.values()]) * len(members)).astype(int)
        for name, start, stop in zip(parts, bounds[:-1], bounds[1:], strict=True):
            if start == stop:
                raise ValueError(
                    f"Too few patients to split: {len(members)} of class {LABELS[label]} leave none for {name}. "
                    "Add pictures, or raise that split's fraction."
                )
            parts[name] += [i for j in order[start:stop] for i in rows[members[j]]]
    return {name: np.sort(np.asarray(indices)) for name, indices in parts.items()}


def make_splits(
    labels: Sequence[int],
    patients: Sequence[str] | None,
    groups: Sequence[Hashable],
    fractions: dict[str, float],
    seed: int,
) -> dict[str, Split]:
    """``split_by_group`` with sizes and patient counts; says loudly when there is no patient to group by."""
    if patients is None:
        logger.warning(
            "NO PATIENT KEYS: the file names do not say whose picture each is, so pictures of one patient may fall "
            "on both sides of a split and every figure here may be too good. Give --patient_column or "
            "--patient_pattern if you can."
        )
    parts = split_by_group(labels, groups, fractions, seed)
    return {name: describe_split(name, indices, labels, patients) for name, indices in parts.items()}


def describe_split(name: str, indices: np.ndarray, labels: Sequence[int], patients: Sequence[str] | None) -> Split:
    """A ``Split`` over given rows; without patient keys every picture counts as a patient of its own."""
    counts = np.bincount(np.asarray(labels)[indices], minlength=2)
    people = len(indices) if patients is None else len({patients[i] for i in indices})
    return Split(name, indices, people, (int(counts[0]), int(counts[1])))


def class_weights(labels: Sequence[int]) -> tuple[float, float]:
    """Balanced weights N / (2 n_c), as scikit-learn's ``compute_class_weight("balanced")``.

    Raises:
        ValueError: a class is absent.
    """
    counts = np.bincount(np.asarray(labels), minlength=2)
    if counts.min() == 0:
        raise ValueError(f"Training needs both classes; NORMAL and PNEUMONIA have {counts.tolist()} pictures.")
    weights = counts.sum() / (2 * counts)
    return float(weights[0]), float(weights[1])
