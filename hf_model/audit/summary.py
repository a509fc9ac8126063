"""The audit's figures without a file name: small enough to keep in a repository, and naming nobody's picture.

Sentences are made anew from a record whose names are replaced first. To look for names in finished sentences would
miss those that a pattern does not expect, and would hit figures where a file is called ``1``.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from hf_model.audit.findings import find_all
from hf_model.audit.leakage import leaks_of
from hf_model.config import is_hub_id

LEFT_OUT = frozenset({"list", "problems", "examples", "leaks", "ranges", "statistics", "intensity", "seconds"})
"""Parts of the record that list pictures, or that fill pages: they are in audit.json and on its page."""
NOTES = frozenset({"model_note", "labels_note"})
"""Reasons in words, of which some quote paths."""
NAMELESS = "one picture"

_FILE = re.compile(r"\.(?:png|jpe?g?|tiff?|webp|bmp|dcm|dicom?)\b", re.IGNORECASE)


def summarise(record: dict[str, Any]) -> dict[str, Any]:
    """A copy of audit.json's record without ``LEFT_OUT``; in its sentences a picture's name becomes "one picture".

    Patients' keys are not named, and paths of the command lose their folders.
    """
    bare = _without_names(record)
    changed = {"command": short_command(record["command"]), "findings": find_all(bare)}
    return _kept({key: changed.get(key, part) for key, part in bare.items() if key not in NOTES})


def names_pictures(record: Any) -> bool:
    """Whether this is a whole record and not a summary: a part of ``LEFT_OUT`` or a file's name is in it."""
    if isinstance(record, dict):
        return any(key in LEFT_OUT or names_pictures(part) for key, part in record.items())
    if isinstance(record, list):
        return any(map(names_pictures, record))
    return isinstance(record, str) and _FILE.search(record) is not None


def short_command(command: str) -> str:
    """The command, of each path only the last part; Hub ids stay."""
    return shlex.join(_short(word) for word in shlex.split(command))


def _short(word: str) -> str:
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return word if "/" not in value or is_hub_id(value) else f"{option}{equals}{Path(value).name}"


def _without_names(record: dict[str, Any]) -> dict[str, Any]:
    """The record with "one picture" wherever a sentence would take a name from."""
    out = dict(record)
    problems = [problem | {"where": NAMELESS} for problem in record["integrity"]["problems"]]
    out["integrity"] = record["integrity"] | {"problems": problems}
    out["duplicates"] = record["duplicates"] | {
        kind: part | {"list": [group | {"files": [NAMELESS] * len(group["files"])} for group in part["list"]]}
        for kind, part in record["duplicates"].items()
        if kind in ("exact", "near")
    }
    # an example of a shared patient names the patient too
    pairs = [pair | {"examples": {}} for pair in record["leakage"]["pairs"]]
    out["leakage"] = record["leakage"] | {"pairs": pairs, "leaks": leaks_of(pairs)}
    if record.get("labels"):
        listed = [entry | {"file": NAMELESS} for entry in record["labels"]["list"]]
        out["labels"] = record["labels"] | {"list": listed}
    return out


def _kept(value: Any) -> Any:
    """Without ``LEFT_OUT``, numbers to four decimals."""
    if isinstance(value, dict):
        return {key: _kept(part) for key, part in value.items() if key not in LEFT_OUT}
    if isinstance(value, list):
        return [_kept(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value
