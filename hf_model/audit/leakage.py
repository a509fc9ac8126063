"""Does anything in the test split also occur in the data for training? A certificate with every kind of overlap."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from hf_model.audit.duplicates import positions_by_key
from hf_model.audit.pictures import TEST, Pictures
from hf_model.data.near_duplicates import Pair
from hf_model.data.patients import bare_number

KINDS = {
    "patients": "patients by the full key",
    "bare_numbers": "patients by the bare number",
    "files": "equal files",
    "pixels": "equal decoded pixels",
    "near": "nearly equal pictures",
}
LEAKS = ("patients", "files", "pixels", "near")
"""Kinds that count as leakage. The bare number does not: it is shown for comparison."""
EXPLANATION = (
    "The full key is person<N>_<bacteria|virus> or (NORMAL2-)IM-<N>; the bare number drops the aetiology and the "
    "prefix NORMAL2. Each series (bacteria, virus, IM, NORMAL2-IM) counts on its own, so that one number in two series "
    "is most likely two children: the same numbers meet in two series within one split too. A number of one series "
    "on both sides is a shared full key. "
    "Overlap by the bare number is therefore shown and not counted as leakage; overlap by the full key is. "
    "Within development, training groups by both keys, which is safe whichever reading is right."
)


def certificate(pictures: Pictures, near: Sequence[Pair]) -> dict[str, Any]:
    """Every overlap between the splits, found without a model.

    Args:
        near: the pairs of nearly equal pictures.

    Returns:
        "clean" (bool), "leaks" (sentences, empty when clean), "pairs" of splits with counts and examples of every
        kind (None: could not be compared), "patient_keys" (False: no patients are known), "unknown_patients" (where
        some keys are missing: per split how many pictures have none, of how many), "explanation", "told_by" (where
        the patient keys come from, or None).
        Overlap between train and validation is listed and does not count: training splits them anew by patient.
    """
    members = {kind: positions_by_key(keys) for kind, keys in _keys(pictures).items()}
    pairs = []
    for first, second in combinations(pictures.splits, 2):
        entry: dict[str, Any] = {"splits": [first, second], "counts": {}, "examples": {}}
        for kind in KINDS:
            if kind == "near":
                found = _near(pictures, near, first, second)
            else:
                found = _shared(pictures, members[kind], first, second) if kind in members else None
            entry["counts"][kind] = None if found is None else len(found)
            entry["examples"][kind] = (found or [])[:10]
        pairs.append(entry)
    leaks = leaks_of(pairs)
    return {
        "clean": not leaks,
        "leaks": leaks,
        "patient_keys": pictures.patients is not None,
        "unknown_patients": _unknown_patients(pictures),
        "test_split": TEST in pictures.splits,
        "pairs": pairs,
        "explanation": EXPLANATION if pictures.kermany_names else "",
        "told_by": pictures.patient_source,
        "pixel_size": list(pictures.pixels[0].shape),
        "rendering": pictures.name,
    }


def _keys(pictures: Pictures) -> dict[str, list[Hashable | None]]:
    """Kind of overlap -> the key of each row.

    Rows that cannot be decoded have none: they are neither learned from nor tested on.
    """
    decoded = dict(zip(pictures.kept.tolist(), pictures.hashes, strict=True))
    rows = range(len(pictures))
    keys = {
        "files": [pictures.files[row].sha256 or None if row in decoded else None for row in rows],
        "pixels": [decoded.get(row) for row in rows],
    }
    if pictures.patients is not None:
        keys["patients"] = [pictures.patients[row] if row in decoded else None for row in rows]
        if pictures.kermany_names:
            keys["bare_numbers"] = [bare_number(pictures.names[row]) if row in decoded else None for row in rows]
    return keys


def _shared(pictures: Pictures, rows_by_key: dict[Hashable, list[int]], first: str, second: str) -> list[str] | None:
    """For every key on both sides: the key (but not a hash) and one file of each side.

    None where one side has no key at all, so that there was nothing to compare.
    """
    if not {first, second} <= {str(pictures.split[row]) for rows in rows_by_key.values() for row in rows}:
        return None
    out = []
    for key, rows in rows_by_key.items():
        sides = [next((r for r in rows if pictures.split[r] == split), None) for split in (first, second)]
        if None not in sides:
            named = "" if len(str(key)) == 64 else f"{key}: "
            out.append(named + " = ".join(pictures.where(r) for r in sides))
    return out


def _near(pictures: Pictures, near: Sequence[Pair], first: str, second: str) -> list[str]:
    out = []
    for pair in near:
        rows = [int(pictures.kept[p]) for p in (pair.first, pair.second)]
        if {str(pictures.split[r]) for r in rows} == {first, second}:
            note = ", mirrored" if pair.mirrored else ""
            out.append(f"{' ~ '.join(pictures.where(r) for r in rows)} (correlation {pair.correlation:.3f}{note})")
    return out


def leaks_of(pairs: list[dict[str, Any]]) -> list[str]:
    """A sentence for each kind of leakage in each of a certificate's "pairs" that has the test split.

    With an example where the pair has one.
    """
    out = []
    for entry in pairs:
        if TEST not in entry["splits"]:
            continue
        first, second = entry["splits"]
        for kind in LEAKS:
            if entry["counts"][kind]:
                example = f", for example {entry['examples'][kind][0]}" if entry["examples"].get(kind) else ""
                out.append(f"{first} and {second} share {entry['counts'][kind]} {KINDS[kind]}{example}.")
    return out


def _unknown_patients(pictures: Pictures) -> dict[str, dict[str, int]]:
    """Split -> decoded pictures, and how many of them have no patient key; empty where all or none have one."""
    if pictures.patients is None:
        return {}
    missing = np.array([pictures.patients[row] is None for row in pictures.kept.tolist()])
    if not missing.any():
        return {}
    split = pictures.decoded_split
    return {
        name: {"pictures": int((split == name).sum()), "unknown": int(missing[split == name].sum())}
        for name in pictures.splits
    }


def unknown_sentence(unknown: dict[str, dict[str, int]]) -> str:
    """What "unknown_patients" of a certificate means, "" where every picture has a key."""
    if not unknown:
        return ""
    total = [sum(entry[key] for entry in unknown.values()) for key in ("unknown", "pictures")]
    listed = ", ".join(f"{entry['unknown']:,} in {split}" for split, entry in unknown.items() if entry["unknown"])
    return f"Patients of {total[0]:,} of {total[1]:,} pictures are unknown and were not compared ({listed})."


def verdict(part: dict[str, Any]) -> str:
    """Clean or not, and what that was compared on, from a certificate."""
    if not part["clean"]:
        text = "NOT clean: train.py refuses to start on this, unless told to."
    elif not part["pairs"]:
        text = "Nothing was compared: there is only one split."
    elif not part["test_split"]:
        text = "Nothing was compared with a test split: there is none. Training splits the others anew."
    else:
        complete = part["patient_keys"] and not part["unknown_patients"]
        text = "Clean." if complete else "Clean as far as compared."
    if not part["patient_keys"]:
        return f"{text} Patients were not compared: the patient of each picture is unknown."
    return f"{text} {unknown_sentence(part['unknown_patients'])}".rstrip()
