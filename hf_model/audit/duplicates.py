"""Pictures that are in the data set more than once: exactly, or nearly (see ``hf_model.data.near_duplicates``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from hf_model.audit.pictures import Pictures
from hf_model.data.near_duplicates import (
    CORRELATION,
    HASH_DISTANCE,
    PIXEL_SIDE,
    Pair,
    components,
    near_pairs,
    standardised,
    thumbnails,
)
from hf_model.data.patients import bare_number


def equal_groups(keys: Sequence[Hashable | None]) -> list[list[int]]:
    """Positions that share a key, two and more, in order of their first. None is no key."""
    members: dict[Hashable, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        if key is not None:
            members[key].append(position)
    return [group for group in members.values() if len(group) > 1]


def describe_group(pictures: Pictures, positions: Sequence[int]) -> dict[str, Any]:
    """One group of equal pictures as JSON; positions are in 0 to M."""
    rows = [int(pictures.kept[p]) for p in positions]
    patients = None if pictures.patients is None else sorted({pictures.patients[r] for r in rows} - {None})
    return {
        "files": [pictures.where(r) for r in rows],
        "splits": sorted({str(pictures.split[r]) for r in rows}),
        "labels": sorted({int(pictures.labels[r]) for r in rows}),
        "patients": patients,
    }


def summarise_groups(groups: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts of groups from ``describe_group``, and the groups."""
    return {
        "groups": len(groups),
        "files": sum(len(g["files"]) for g in groups),
        "across_splits": sum(len(g["splits"]) > 1 for g in groups),
        "label_conflicts": sum(len(g["labels"]) > 1 for g in groups),
        "across_patients": sum(len(g["patients"] or ()) > 1 for g in groups),
        "list": groups,
    }


def find_duplicates(pictures: Pictures) -> tuple[dict[str, Any], list[Pair]]:
    """The JSON part on duplicates (of files, of decoded pixels, near), and the near pairs."""
    pairs = near_pairs(pictures.pixels, pictures.hashes)
    files = equal_groups([header.sha256 or f"row {i}" for i, header in enumerate(pictures.headers)])
    exact = [describe_group(pictures, g) for g in equal_groups(pictures.hashes)]
    near = [
        describe_group(pictures, (p.first, p.second))
        | {"correlation": p.correlation, "distance": p.distance, "mirrored": p.mirrored}
        for p in pairs
    ]
    return {
        "rendering": pictures.name,
        "pixel_size": list(pictures.pixels.shape[1:]),
        "equal_files": {"groups": len(files), "files": sum(map(len, files))},
        "exact": summarise_groups(exact),
        "near": summarise_groups(near),
        "surplus_pictures": len(pictures.hashes) - _distinct(pairs, pictures.hashes),
        "method": f"perceptual hash within {HASH_DISTANCE} of 64 bits, then correlation at {PIXEL_SIDE} px of at "
        f"least {CORRELATION}, also inside even borders; mirrored copies too",
    }, pairs


def _distinct(pairs: list[Pair], hashes: Sequence[str]) -> int:
    """How many pictures are left when equal and nearly equal ones count once."""
    exact = np.unique(np.asarray(hashes), return_inverse=True)[1]
    joined = components(int(exact.max()) + 1, [(int(exact[p.first]), int(exact[p.second])) for p in pairs])
    return len(np.unique(joined))


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
