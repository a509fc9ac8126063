"""Do train and test come from one distribution? Prevalence, statistics, and a classifier that tells them apart."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from hf_model.audit.measures import STATISTICS, Measures
from hf_model.audit.pictures import TEST, Pictures
from hf_model.audit.probing import TooFewPatients, folds_for, linear, probe, trees
from hf_model.config import LABELS
from hf_model.metrics.intervals import wilson

FEWEST = 20
"""Pictures of a class on each side below which no classifier is tried."""


def prevalence(pictures: Pictures) -> dict[str, dict[str, Any]]:
    """Split -> pictures, pneumonia, share with Wilson's interval; every row counts, readable or not."""
    out = {}
    for split in pictures.splits:
        labels = pictures.labels[pictures.split == split]
        out[split] = {
            "n": len(labels),
            "pneumonia": int(labels.sum()),
            "value": float(labels.mean()),
            "interval": list(wilson(int(labels.sum()), len(labels))),
        }
    return out


def compare_statistics(pictures: Pictures, measures: Measures) -> list[dict[str, Any]]:
    """Per class and statistic: development's and test's mean, and their difference in pooled standard deviations."""
    test, labels = pictures.split[pictures.kept] == TEST, pictures.labels[pictures.kept]
    out = []
    for label, name in enumerate(LABELS):
        sides = [measures.statistics[(test == side) & (labels == label)] for side in (False, True)]
        if min(map(len, sides)) < 2:
            continue
        spread = np.sqrt((sides[0].var(axis=0, ddof=1) + sides[1].var(axis=0, ddof=1)) / 2)
        for column, statistic in enumerate(STATISTICS):
            first, second = (float(side[:, column].mean()) for side in sides)
            effect = (second - first) / spread[column] if spread[column] > 0 else 0.0
            out.append(
                {
                    "class": name,
                    "statistic": statistic,
                    "development": first,
                    "test": second,
                    "difference": float(effect),
                }
            )
    return out


def tell_apart(pictures: Pictures, measures: Measures, seed: int = 0) -> list[dict[str, Any]]:
    """AUC of telling test from development within a class, cross-validated by patient; 0.5 means no difference seen.

    The classes are taken one at a time: otherwise the other prevalence of the test split would count as a shift.
    """
    test, labels = pictures.split[pictures.kept] == TEST, pictures.labels[pictures.kept]
    views = (
        ("simple statistics", trees(seed), measures.statistics),
        ("16 px thumbnail", linear(seed), measures.tiny.reshape(len(labels), -1).astype(np.float64)),
    )
    out = []
    for label, name in enumerate(LABELS):
        chosen = np.flatnonzero(labels == label)
        side, groups = test[chosen].astype(int), pictures.groups[chosen]
        if min(np.bincount(side, minlength=2)) < FEWEST or folds_for(side, groups) < 2:
            continue
        for view, model, features in views:
            with suppress(TooFewPatients):  # of one side all in one fold
                out.append({"class": name, "view": view, "auc": probe(model, features[chosen], side, groups, seed)})
    return out


def find_shift(pictures: Pictures, measures: Measures, seed: int = 0) -> dict[str, Any]:
    """The JSON part on shift; without a test split only the prevalence."""
    has_test = TEST in pictures.splits
    return {
        "prevalence": prevalence(pictures),
        "statistics": compare_statistics(pictures, measures) if has_test else [],
        "classifiers": tell_apart(pictures, measures, seed) if has_test else [],
    }
