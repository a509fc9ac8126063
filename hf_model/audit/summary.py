"""The audit's figures without a file name: small enough to keep in a repository, and naming nobody's picture."""

from __future__ import annotations

import re
from typing import Any

LEFT_OUT = frozenset({"list", "problems", "examples", "leaks", "ranges", "statistics", "intensity", "seconds"})
"""Parts of the record that list pictures, or that fill pages: they are in audit.json and on its page."""


def summarise(record: dict[str, Any]) -> dict[str, Any]:
    """A copy of audit.json's record without ``LEFT_OUT``; in its sentences a picture's name becomes "one picture"."""
    splits = "|".join(re.escape(split) for split in sorted({entry["split"] for entry in record["counts"]}))
    name = re.compile(rf"\b(?:{splits})/[^\s,()]*[^\s,().]")
    return _kept(record, name)


def _kept(value: Any, name: re.Pattern[str]) -> Any:
    if isinstance(value, dict):
        return {key: _kept(part, name) for key, part in value.items() if key not in LEFT_OUT}
    if isinstance(value, list):
        return [_kept(part, name) for part in value]
    if isinstance(value, float):
        return round(value, 4)
    return name.sub("one picture", value) if isinstance(value, str) else value
