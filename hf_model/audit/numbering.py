"""How the file names of the published data number their patients, and what that says of numbers met twice."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import Any

import numpy as np

from hf_model.audit.duplicates import equal_groups
from hf_model.audit.pictures import Pictures
from hf_model.data.near_duplicates import PIXEL_SIDE, standardised, thumbnails
from hf_model.data.patients import bare_number


def series(pictures: Pictures) -> dict[str, Any] | None:
    """Which numbers each series (a full key without its number) has in each split, and which meet in two series.

    "ranges": one entry per split and series with the count of patients, the lowest and the highest number. "meet":
    per split, how many bare numbers are in two series there, of how many. None where file names have no numbers.
    """
    if pictures.patients is None or not pictures.named:
        return None
    numbers: dict[tuple[str, str], set[int]] = defaultdict(set)
    kinds: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for split, name, key in zip(pictures.split.tolist(), pictures.names, pictures.patients, strict=True):
        if key is None:
            continue
        bare = bare_number(name)
        digits = "".join(c for c in bare if c.isdigit())
        kind = _without_number(key)
        numbers[split, kind].add(int(digits))
        kinds[split][bare].add(kind)
    return {
        "ranges": [
            {"split": split, "series": kind, "patients": len(found), "lowest": min(found), "highest": max(found)}
            for (split, kind), found in sorted(numbers.items())
        ],
        "meet": {
            split: {"numbers": len(found), "in_two_series": sum(len(k) > 1 for k in found.values())}
            for split, found in kinds.items()
        },
    }


def _without_number(key: str) -> str:
    """person7_virus -> virus, normal2-im-0530 -> normal2-im."""
    return key.split("_")[-1] if key.startswith("person") else key.rsplit("-", 1)[0]


def likeness(pictures: Pictures, seed: int = 0) -> dict[str, Any] | None:
    """Are pictures with one bare number across splits of one child? Correlations at 64 px of three kinds of pairs.

    A weak witness, since films of one child are hardly more alike than strangers'; ``series`` is the stronger.
    Medians and counts for pairs of one full key, of one bare number but two full keys and two splits, and of pairs
    drawn at random from the classes and splits of the second kind. None where file names have no such numbers.
    """
    if pictures.patients is None or not pictures.named:
        return None
    flat = standardised(thumbnails(pictures.pixels, PIXEL_SIDE))
    key = [pictures.patients[i] for i in pictures.kept]
    number = [bare_number(pictures.names[i]) for i in pictures.kept]
    split, label = pictures.split[pictures.kept], pictures.labels[pictures.kept]
    same = [pair for group in equal_groups(key) for pair in combinations(group, 2)]
    same = [(a, b) for a, b in same if pictures.hashes[a] != pictures.hashes[b]]
    bare = [
        (a, b)
        for group in equal_groups(number)
        for a, b in combinations(group, 2)
        if key[a] != key[b] and split[a] != split[b]
    ]
    generator = np.random.default_rng(seed)
    strangers = []
    for a, b in bare:
        others = np.flatnonzero((split == split[b]) & (label == label[b]))
        strangers.append((a, int(generator.choice(others))))
    kinds = {"one_full_key": same, "one_bare_number": bare, "strangers": strangers}
    return {
        kind: {"pairs": len(pairs), "median": float(np.median([flat[a] @ flat[b] for a, b in pairs]))}
        for kind, pairs in kinds.items()
        if pairs
    }
