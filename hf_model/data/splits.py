"""Patient-grouped, label-stratified splits.

Development-train, development-validation and calibration come from the published train and validation splits, 70, 10
and 20 per cent by patients. A group is never cut: pictures of one patient, and equal or nearly equal pictures whatever
their names, stay together. Groups are formed with the coarser key (``bare_number``) where file names give one, so the
split holds whether ``person1000_bacteria`` and ``person1000_virus`` are one child or two.

scikit-learn's ``StratifiedGroupKFold`` is not used: it cuts into equal folds and balances pictures instead of patients.
In ten folds it would put 1,693 of the 3,669 published patients into other splits than those of the shipped checkpoint.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.utils.class_weight import compute_class_weight

from hf_model.config import LABELS, PNEUMONIA

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


def components(count: int, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """int (count,): the same number for items that pairs join, directly or through others."""
    ends = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def join_groups(*keys: Sequence[Hashable]) -> np.ndarray:
    """Group numbers (N,) in which rows are together when they share a value in any of ``keys``.

    Raises:
        ValueError: the key lists differ in length.
    """
    length = len(keys[0])
    if any(len(key) != length for key in keys):
        raise ValueError(f"Group keys differ in length: {[len(key) for key in keys]}.")
    pairs = []
    for key in keys:
        first: dict[Hashable, int] = {}
        pairs += [(row, first.setdefault(value, row)) for row, value in enumerate(key)]
    return components(length, pairs)


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
    rows: np.ndarray | None = None,
) -> dict[str, Split]:
    """``split_by_group`` with sizes and patient counts, and a warning where patients are unknown.

    Args:
        labels, patients, groups: N values. rows: which of them to split; None for all.
    """
    if patients is None:
        logger.warning(
            "NO PATIENT KEYS: the file names do not name the patient, so pictures of one patient may be on both sides "
            "of a split and every figure here may be too good. Give --patient_column or --patient_pattern if you can."
        )
    labels, groups = np.asarray(labels), np.asarray(groups)
    rows = np.arange(len(labels)) if rows is None else rows
    splits = {}
    for name, chosen in split_by_group(labels[rows], groups[rows], fractions, seed).items():
        indices = rows[chosen]
        counts = np.bincount(labels[indices], minlength=2)
        # without keys every picture counts as a patient of its own
        people = len(indices) if patients is None else len({patients[i] for i in indices})
        splits[name] = Split(name, indices, people, (int(counts[0]), int(counts[1])))
    return splits


def class_weights(labels: Sequence[int]) -> tuple[float, float]:
    """Balanced weights N / (2 n_c) of the two classes.

    Raises:
        ValueError: a class is absent.
    """
    counts = np.bincount(labels, minlength=2)
    if counts.min() == 0:
        raise ValueError(f"Training needs both classes; NORMAL and PNEUMONIA have {counts.tolist()} pictures.")
    normal, pneumonia = compute_class_weight("balanced", classes=np.array([0, 1]), y=labels)
    return float(normal), float(pneumonia)
