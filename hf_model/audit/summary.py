"""The audit's figures without a file name: small enough to keep in a repository, and naming nobody's picture.

Sentences are made anew from a record whose names are replaced first. To look for names in finished sentences would
miss those that a pattern does not expect, and would hit figures where a file is called ``1``.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from hf_model.audit.findings import find_all
from hf_model.audit.leakage import leaks_of
from hf_model.config import is_hub_id
from hf_model.hub.push import PICTURE_PARTS

NOTES = frozenset({"model_note", "labels_note"})
"""Reasons in words, of which some quote paths."""
NAMELESS = "one picture"


def summarise(record: dict[str, Any]) -> dict[str, Any]:
    """A copy of audit.json's record without ``PICTURE_PARTS``; in its sentences a picture's name becomes "one picture".

    Patients' keys are not named, and paths of the command lose their folders.
    """
    bare = _without_names(record)
    changed = {"command": short_command(record["command"]), "findings": find_all(bare)}
    return _kept({key: changed.get(key, part) for key, part in bare.items() if key not in NOTES})


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
    """Without ``PICTURE_PARTS``, numbers to four decimals."""
    if isinstance(value, dict):
        return {key: _kept(part) for key, part in value.items() if key not in PICTURE_PARTS}
    if isinstance(value, list):
        return [_kept(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value
