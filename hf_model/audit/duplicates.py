"""Pictures that are in the data set more than once: exactly, or nearly (see ``hf_model.data.near_duplicates``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from hf_model.audit.pictures import Pictures
from hf_model.data.near_duplicates import (
    CORRELATION,
    HASH_DISTANCE,
    PIXEL_SIDE,
    Pair,
    near_pairs,
    standardised,
    thumbnails,
)
from hf_model.data.patients import bare_number
from hf_model.data.splits import components


def positions_by_key(keys: Iterable[Hashable | None]) -> dict[Hashable, list[int]]:
    """Key -> its positions, in order of the first; None counts as no key."""
    found: dict[Hashable, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        if key is not None:
            found[key].append(position)
    return found


def find_duplicates(pictures: Pictures) -> tuple[dict[str, Any], list[Pair]]:
    """The JSON part on duplicates (of files, of decoded pixels, near), and the near pairs."""
    pairs = near_pairs(pictures.pixels, pictures.hashes)
    files = _repeated(file.sha256 or None for file in pictures.files)
    near = [
        _describe(pictures, (p.first, p.second))
        | {"correlation": p.correlation, "distance": p.distance, "mirrored": p.mirrored}
        for p in pairs
    ]
    return {
        "rendering": pictures.name,
        "pixel_size": list(pictures.pixels.shape[1:]),
        "equal_files": {"groups": len(files), "files": sum(map(len, files))},
        "exact": exact_duplicates(pictures),
        "near": _summarise(near),
        "surplus_pictures": len(pictures.hashes) - _count_distinct(pairs, pictures.hashes),
        "method": f"perceptual hash within {HASH_DISTANCE} of 64 bits, then correlation at {PIXEL_SIDE} px of at "
        f"least {CORRELATION}, also inside even borders; mirrored copies too",
    }, pairs


def exact_duplicates(pictures: Pictures) -> dict[str, Any]:
    """Counts and list of the groups of pictures whose decoded pixels are equal."""
    return _summarise([_describe(pictures, group) for group in _repeated(pictures.hashes)])


def _repeated(keys: Iterable[Hashable | None]) -> list[list[int]]:
    return [group for group in positions_by_key(keys).values() if len(group) > 1]


def _describe(pictures: Pictures, positions: Sequence[int]) -> dict[str, Any]:
    """One group of equal pictures as JSON; positions are in 0 to M."""
    rows = [int(pictures.kept[p]) for p in positions]
    patients = None if pictures.patients is None else sorted({pictures.patients[r] for r in rows} - {None})
    return {
        "files": [pictures.where(r) for r in rows],
        "splits": sorted({str(pictures.split[r]) for r in rows}),
        "labels": sorted({int(pictures.labels[r]) for r in rows}),
        "patients": patients,
    }


def _summarise(groups: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "groups": len(groups),
        "files": sum(len(g["files"]) for g in groups),
        "across_splits": sum(len(g["splits"]) > 1 for g in groups),
        "label_conflicts": sum(len(g["labels"]) > 1 for g in groups),
        "across_patients": sum(len(g["patients"] or ()) > 1 for g in groups),
        "list": groups,
    }


def _count_distinct(pairs: Sequence[Pair], hashes: Sequence[str]) -> int:
    """How many pictures are left when equal and nearly equal ones count once."""
    exact = np.unique(np.asarray(hashes), return_inverse=True)[1]
    joined = components(int(exact.max()) + 1, [(int(exact[p.first]), int(exact[p.second])) for p in pairs])
    return len(np.unique(joined))


def series(pictures: Pictures) -> dict[str, Any] | None:
    """Patient numbers of each series (``virus``, ``im``, ...: a full key without its number) in each split.

    "ranges": one entry per split and series with the count of patients, the lowest and the highest number. "meet":
    per split, how many bare numbers occur in two series there, of how many. None unless file names have such numbers.
    """
    if pictures.patients is None or not pictures.kermany_names:
        return None
    numbers: dict[tuple[str, str], set[int]] = defaultdict(set)
    series_of: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for split, name, key in zip(pictures.split.tolist(), pictures.names, pictures.patients, strict=True):
        if key is None:
            continue
        bare, kind = bare_number(name), _without_number(key)
        numbers[split, kind].add(int("".join(filter(str.isdigit, bare))))
        series_of[split][bare].add(kind)
    return {
        "ranges": [
            {"split": split, "series": kind, "patients": len(found), "lowest": min(found), "highest": max(found)}
            for (split, kind), found in sorted(numbers.items())
        ],
        "meet": {
            split: {"numbers": len(found), "in_two_series": sum(len(kinds) > 1 for kinds in found.values())}
            for split, found in series_of.items()
        },
    }


def _without_number(key: str) -> str:
    """person7_virus -> virus, normal2-im-0530 -> normal2-im."""
    return key.split("_")[-1] if key.startswith("person") else key.rsplit("-", 1)[0]


def likeness(pictures: Pictures, seed: int = 0) -> dict[str, Any] | None:
    """Do pictures with one bare number in two splits show one child? Median correlations at 64 px of three kinds of
    pairs: of one full key; of one bare number but two full keys and two splits; drawn at random from the classes and
    splits of the second kind.

    Weak evidence, since films of one child are hardly more alike than films of two; ``series`` is stronger. None unless
    file names have such numbers.
    """
    if pictures.patients is None or not pictures.kermany_names:
        return None
    flat = standardised(thumbnails(pictures.pixels, PIXEL_SIDE))
    key = [pictures.patients[i] for i in pictures.kept]
    number = [bare_number(pictures.names[i]) for i in pictures.kept]
    split, label = pictures.decoded_split, pictures.decoded_labels

    def pairs_of(keys: list[str | None]) -> list[tuple[int, int]]:
        return [pair for group in _repeated(keys) for pair in combinations(group, 2)]

    same = [(a, b) for a, b in pairs_of(key) if pictures.hashes[a] != pictures.hashes[b]]
    bare = [(a, b) for a, b in pairs_of(number) if key[a] != key[b] and split[a] != split[b]]
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
