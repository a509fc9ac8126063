"""What development and test share, from ``data.leakage`` of metrics.json, in words for card and page.

``data.leakage``: "clean", "counts" by kind (None: could not be compared), and since it is counted "unknown_patients".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KINDS = {
    "patients": ("patient", "patients"),
    "pixels": ("equal picture", "equal pictures"),
    "near": ("nearly equal picture", "nearly equal pictures"),
}


def shared(found: Mapping[str, Any]) -> str:
    """What is on both sides: "3 patients, 1 equal picture"; "something" where the record counts nothing."""
    counts = found.get("counts") or {}
    listed = [f"{count:,} {KINDS[kind][count != 1]}" for kind in KINDS if (count := counts.get(kind))]
    return ", ".join(listed) or "something"


def unknown(found: Mapping[str, Any]) -> str:
    """Which test pictures could not be compared by patient, as the beginning of a sentence; "" where all could."""
    count = found.get("unknown_patients") or 0
    if count == 1:
        return "1 test picture does not say whose it is"
    if count:
        return f"{count:,} test pictures do not say whose they are"
    compared = (found.get("counts") or {}).get("patients", 0) is not None
    return "" if compared else "The test pictures do not say whose they are"
