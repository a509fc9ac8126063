"""How a report names a row, so that a person finds its file."""

from __future__ import annotations

import re
from collections import Counter
from itertools import takewhile

import numpy as np

from hf_model.data.folders import known_label

_SEPARATOR = re.compile(r"[\\/]")


def row_names(split: np.ndarray, names: list[str], paths: list[str | None]) -> list[str]:
    """N names, each of one row of its split alone.

    A split's rows have their file names where these are all different. Where patients' folders hold equal names, the
    class folder and what follows it, ``NORMAL/p1/0.png``; where that is not enough either, the row's number as well.

    Args:
        split: (N,) strings. names: N file names without folders. paths: N paths as loaded, None where there is none.
    """
    out = list(names)
    for part in dict.fromkeys(split.tolist()):
        rows = np.flatnonzero(split == part).tolist()
        own = [names[row] for row in rows]
        if len(set(own)) < len(own):
            own = _numbered(_below([_SEPARATOR.split(paths[row] or names[row]) for row in rows]))
        for row, name in zip(rows, own, strict=True):
            out[row] = name
    return out


def _below(paths: list[list[str]]) -> list[str]:
    """Each path without the folders that all have, but with the class folder where there is only one class."""
    folders = zip(*(path[:-1] for path in paths), strict=False)
    common = list(takewhile(lambda met: len(set(met)) == 1, folders))
    start = len(common) - bool(common and known_label(common[-1][0]) is not None)
    return ["/".join(path[start:]) for path in paths]


def _numbered(names: list[str]) -> list[str]:
    """Names that are met twice get their row in the split, counted from 0."""
    met = Counter(names)
    return [name if met[name] == 1 else f"{name} (row {row})" for row, name in enumerate(names)]
