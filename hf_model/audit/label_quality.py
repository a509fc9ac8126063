"""Pictures whose label a classifier that never saw their patient finds unlikely. Listed for a person; never dropped.

Confident learning (Northcutt, Jiang and Chuang, JAIR 2021) by the package ``cleanlab`` (Apache 2.0).
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from hf_model.audit.pictures import Pictures
from hf_model.audit.probing import auc_entry, linear, out_of_fold
from hf_model.config import LABELS

logger = logging.getLogger(__name__)


def rank_suspects(labels: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the pictures whose label the probability contradicts, the strongest contradiction first.

    Args:
        labels: int (M,). probability: float (M,), out of fold, of class 1.

    Returns:
        int64 (K,) positions, and bool (K,): which of them confident learning calls label errors too (cleanlab's
        ``filter_by="both"``: pruning by class and by noise rate). It is the stricter: it asks for more confidence
        than the average picture of the other class has.
    """
    from cleanlab.filter import find_label_issues

    both = np.stack([1 - probability, probability], axis=1)
    given = both[np.arange(len(labels)), labels]
    order = np.argsort(given, kind="stable")
    positions = order[given[order] < 0.5]
    confident = find_label_issues(labels, both, filter_by="both", n_jobs=1)
    return positions, confident[positions]


def find_label_issues_in(pictures: Pictures, features: np.ndarray, how: str, seed: int = 0) -> dict[str, Any]:
    """The JSON part on labels, from development pictures only.

    Args:
        features: float (D, F) of the development pictures. how: what they are, for the report.

    Raises:
        TooFewPatients: a class has fewer than two patients there.
        ImportError: cleanlab is not installed.
    """
    at = pictures.development
    labels, groups = pictures.labels[pictures.kept[at]], pictures.groups[at]
    probability = out_of_fold(linear(seed), features, labels, groups, seed)
    listed = []
    for position, confident in zip(*rank_suspects(labels, probability), strict=True):
        row = int(pictures.kept[at[position]])
        listed.append(
            {
                "file": pictures.where(row),
                "position": int(at[position]),
                "label": LABELS[labels[position]],
                "confidence": float(probability[position] if labels[position] else 1 - probability[position]),
                "confident": bool(confident),
            }
        )
    suspects = [entry for entry in listed if entry["confident"]]
    counts = {name: sum(entry["label"] == name for entry in suspects) for name in LABELS}
    return {
        "how": how,
        "auc": auc_entry(probability, labels, groups, seed),
        "n": len(labels),
        "disagree": len(listed),
        "suspects": len(suspects),
        "by_label": counts,
        "list": listed,
    }
