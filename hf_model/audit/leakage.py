"""Does anything that is tested on also occur where it is learned from? A certificate with every kind of overlap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DatasetDict

from hf_model.audit.pictures import TEST, Pictures, gather
from hf_model.data.near_duplicates import Pair, near_pairs
from hf_model.data.patients import bare_number
from hf_model.radiograph.preprocess import Preprocessing

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


def leakage_certificate(
    published: DatasetDict,
    preprocessing: Preprocessing = Preprocessing.DEFAULT,
    *,
    name: str = "data set",
    cache_dir: Path | None = None,
    patient_column: str | None = None,
    patient_pattern: str | None = None,
    near: bool = True,
) -> dict[str, Any]:
    """Every overlap between the published splits, without a model; cheap where the pixels are decoded already.

    Args:
        published: from ``load_splits``. preprocessing: the base checkpoint's, so that training's decoded pixels are
            shared. cache_dir, patient_column, patient_pattern: as for training. near: also look for near duplicates
            (seconds for 6,000 pictures).

    Returns:
        "clean" (bool), "leaks" (sentences, empty when clean), "pairs" of splits with counts and examples of every
        kind (None: could not be compared), "patient_keys" (False: nothing says whose pictures these are),
        "unknown_patients" (where some keys are missing: per split how many pictures have none, of how many),
        "explanation", "told_by" (what tells patients apart, or None).
        Overlap between train and validation is listed and is no leak: training splits those two anew, by patient.
    """
    pictures = gather(
        name,
        published,
        preprocessing,
        cache_dir=cache_dir,
        patient_column=patient_column,
        patient_pattern=patient_pattern,
    )
    return certificate(pictures, near_pairs(pictures.pixels, pictures.hashes) if near else None)


def certificate(pictures: Pictures, near: Sequence[Pair] | None) -> dict[str, Any]:
    """``leakage_certificate`` of gathered pictures; ``near`` None where nobody looked for near duplicates."""
    keys = _keys(pictures)
    members = {kind: _rows_by_key(values) for kind, values in keys.items()}
    pairs = []
    for first, second in combinations(pictures.splits, 2):
        entry: dict[str, Any] = {"splits": [first, second], "counts": {}, "examples": {}}
        for kind in KINDS:
            found = _near(pictures, near, first, second) if kind == "near" else None
            if kind in members:
                found = _shared(pictures, members[kind], first, second)
            entry["counts"][kind] = None if found is None else len(found)
            entry["examples"][kind] = (found or [])[:10]
        pairs.append(entry)
    leaks = leaks_of(pairs)
    return {
        "clean": not leaks,
        "leaks": leaks,
        "patient_keys": pictures.patients is not None,
        "unknown_patients": _unknown(pictures),
        "test_split": TEST in pictures.splits,
        "pairs": pairs,
        "explanation": EXPLANATION if pictures.named else "",
        "told_by": pictures.told_by,
        "pixel_size": list(pictures.pixels[0].shape),
        "rendering": pictures.name,
    }


def _keys(pictures: Pictures) -> dict[str, list[Hashable | None]]:
    """Kind -> one key per row; None where a row has none.

    Rows that cannot be decoded have none: nothing is learned from them and nothing tested on them.
    """
    pixels: list[Hashable | None] = [None] * len(pictures)
    for row, digest in zip(pictures.kept.tolist(), pictures.hashes, strict=True):
        pixels[row] = digest

    def of_decoded(values: Iterable[Hashable | None]) -> list[Hashable | None]:
        return [value if digest else None for value, digest in zip(values, pixels, strict=True)]

    keys = {"files": of_decoded(header.sha256 or None for header in pictures.headers), "pixels": pixels}
    if pictures.patients is not None:
        keys["patients"] = of_decoded(pictures.patients)
    if pictures.patients is not None and pictures.named:
        keys["bare_numbers"] = of_decoded(bare_number(name) for name in pictures.names)
    return keys


def _unknown(pictures: Pictures) -> dict[str, dict[str, int]]:
    """Split -> decoded pictures, and how many of them have no patient key; empty where all or none have one."""
    if pictures.patients is None:
        return {}
    missing = np.array([pictures.patients[row] is None for row in pictures.kept.tolist()])
    split = pictures.split[pictures.kept]
    if not missing.any():
        return {}
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


def _rows_by_key(values: Sequence[Hashable | None]) -> dict[Hashable, list[int]]:
    rows: dict[Hashable, list[int]] = defaultdict(list)
    for row, value in enumerate(values):
        if value is not None:
            rows[value].append(row)
    return rows


def _shared(pictures: Pictures, rows_by_key: dict[Hashable, list[int]], first: str, second: str) -> list[str] | None:
    """For every key on both sides: the key (or nothing for a hash) and one file of each side.

    None where a side has no key at all, so that there was nothing to compare.
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


def _near(pictures: Pictures, near: Sequence[Pair] | None, first: str, second: str) -> list[str] | None:
    if near is None:
        return None
    out = []
    for pair in near:
        rows = [int(pictures.kept[p]) for p in (pair.first, pair.second)]
        if {str(pictures.split[r]) for r in rows} == {first, second}:
            note = ", mirrored" if pair.mirrored else ""
            out.append(f"{' ~ '.join(pictures.where(r) for r in rows)} (correlation {pair.correlation:.3f}{note})")
    return out


def leaks_of(pairs: list[dict[str, Any]]) -> list[str]:
    """A sentence for each kind of leakage in each of a certificate's "pairs" that has the test split."""
    return [sentence for entry in pairs if TEST in entry["splits"] for sentence in _sentences(entry)]


def _sentences(entry: dict[str, Any]) -> list[str]:
    """One for each kind of leakage, with an example where the entry has one."""
    first, second = entry["splits"]
    out = []
    for kind in LEAKS:
        if entry["counts"][kind]:
            example = f", for example {entry['examples'][kind][0]}" if entry["examples"].get(kind) else ""
            out.append(f"{first} and {second} share {entry['counts'][kind]} {KINDS[kind]}{example}.")
    return out
