"""Pictures that are in the data set more than once: exactly, or nearly (see ``hf_model.data.near_duplicates``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from hf_model.audit.pictures import Pictures
from hf_model.data.near_duplicates import CORRELATION, HASH_DISTANCE, PIXEL_SIDE, Pair, components, near_pairs


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
