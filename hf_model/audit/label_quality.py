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


def rank_suspects(labels: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Positions of likely mislabelled pictures, the likeliest first, int64 (K,).

    Args:
        labels: int (M,). probability: float (M,), out of fold, of class 1.

    A picture is suspect if it counts as an error in the confident joint and the pruning by noise rate both (cleanlab's
    ``filter_by="both"``); either alone lists many that are only hard. The rank is by the probability that
    their label was given.
    """
    from cleanlab.filter import find_label_issues

    return np.asarray(
        find_label_issues(
            labels, np.stack([1 - probability, probability], axis=1), filter_by="both", n_jobs=1,
            return_indices_ranked_by="self_confidence",
        ),
        dtype=np.int64,
    )  # fmt: skip


def find_label_issues_in(pictures: Pictures, features: np.ndarray, how: str, seed: int = 0) -> dict[str, Any]:
    """The JSON part on labels, from development pictures only.

    Args:
        features: float (D, F) of the development pictures. how: what they are, for the report.
    """
    at = pictures.development
    labels, groups = pictures.labels[pictures.kept[at]], pictures.groups[at]
    probability = out_of_fold(linear(seed), features, labels, groups, seed)
    suspects = rank_suspects(labels, probability)
    listed = []
    for position in suspects.tolist():
        row = int(pictures.kept[at[position]])
        listed.append({
            "file": pictures.where(row), "position": int(at[position]), "label": LABELS[labels[position]],
            "confidence": float(probability[position] if labels[position] else 1 - probability[position]),
        })  # fmt: skip
    counts = {name: sum(entry["label"] == name for entry in listed) for name in LABELS}
    return {
        "how": how,
        "auc": auc_entry(probability, labels, groups, seed),
        "n": len(labels),
        "suspects": len(listed),
        "by_label": counts,
        "list": listed,
    }
