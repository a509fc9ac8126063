"""What a file name says of the patient.

The file names of Kermany, Zhang and Goldbaum (Mendeley Data, doi 10.17632/rscbjbr9sj) carry the patient:
``person1018_virus_1706.jpeg``, ``IM-0115-0001.jpeg``, ``NORMAL2-IM-0530-0001.jpeg`` and, in version 3 of the data
set, ``BACTERIA-1008087-0001.jpeg``. The number after the patient counts the patient's pictures.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

_KEYS = (
    re.compile(r"^(?P<key>person(?P<bare>\d+)_(?P<aetiology>bacteria|virus))(?:_|\.|$)", re.IGNORECASE),
    re.compile(r"^(?P<key>(?:NORMAL2-)?IM-(?P<bare>\d+))(?:-|\.|$)", re.IGNORECASE),
    re.compile(r"^(?P<key>(?P<aetiology>NORMAL|BACTERIA|VIRUS)-(?P<bare>\d+))(?:-|\.|$)", re.IGNORECASE),
)


def _match(file_name: str) -> re.Match[str] | None:
    stem = PurePosixPath(file_name.replace("\\", "/")).name
    return next((m for m in (pattern.match(stem) for pattern in _KEYS) if m), None)


def patient_key(file_name: str) -> str | None:
    """The patient that ``file_name`` names, or None: ``person<N>_<bacteria|virus>``, ``(NORMAL2-)IM-<N>``.

    With this key the published train and test splits share no patient.
    """
    match = _match(file_name)
    return match["key"].lower() if match else None


def bare_number(file_name: str) -> str | None:
    """The coarser key ``person<N>`` or ``im-<N>``, which merges what the full key keeps apart.

    Each series (bacteria, virus, ``IM``, ``NORMAL2-IM``) has a numbering of its own, so across *splits* this key sees
    patients that are not there: 170 ``person`` numbers between train and test, none of them in the same series. Within
    one split, grouping by it is safe whichever reading is right.
    """
    match = _match(file_name)
    if not match:
        return None
    prefix = "person" if match.re is _KEYS[0] else "im" if match.re is _KEYS[1] else "patient"
    return f"{prefix}-{int(match['bare'])}"


def aetiology(file_name: str) -> str | None:
    """``"bacteria"`` or ``"virus"`` where the file name of a pneumonia picture says so, else None."""
    match = _match(file_name)
    value = match.groupdict().get("aetiology") if match else None
    return value.lower() if value and value.lower() != "normal" else None


def patient_key_function(pattern: str | None) -> Callable[[str], str | None]:
    """``patient_key``, or for a user's own file names the first group of the regular expression ``pattern``.

    Raises:
        ValueError: ``pattern`` does not compile or has no group.
    """
    if pattern is None:
        return patient_key
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"--patient_pattern {pattern!r} is no regular expression: {error}.") from error
    if compiled.groups < 1:
        raise ValueError(f"--patient_pattern {pattern!r} has no group: put the patient's part in (parentheses).")

    def key(file_name: str) -> str | None:
        match = compiled.search(PurePosixPath(file_name.replace("\\", "/")).name)
        return match[1] if match else None

    return key


def anonymous_keys(ids: Sequence[str]) -> list[str]:
    """Keys that are equal where the identifiers are, and from which no identifier can be had; "" stays "".

    Hospital numbers are few enough to try them all, so a plain hash would give them away. This one is salted with the
    whole set of identifiers: the same data gives the same keys, and who wants to try has to know everybody else first.
    """
    salt = hashlib.sha256("\0".join(sorted(set(ids) - {""})).encode()).digest()
    return [
        f"patient-{hashlib.blake2b(value.encode(), key=salt, digest_size=8).hexdigest()}" if value else ""
        for value in ids
    ]


def patients_of(names: Sequence[str], pattern: str | None = None) -> list[str] | None:
    """One patient key per file name, or None where any name says nothing (then no grouping can be trusted)."""
    function = patient_key_function(pattern)
    keys = [function(name) for name in names]
    return None if any(key is None for key in keys) else keys
