"""The patient of a picture, from its file name or its DICOM header.

The file names of Kermany, Zhang and Goldbaum (Mendeley Data, doi 10.17632/rscbjbr9sj) carry the patient:
``person1018_virus_1706.jpeg``, ``IM-0115-0001.jpeg``, ``NORMAL2-IM-0530-0001.jpeg`` and, in version 3 of the data
set, ``BACTERIA-1008087-0001.jpeg``. The number after the patient counts the patient's pictures.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from hf_model.radiograph.dicom import has_prefix

logger = logging.getLogger(__name__)
DICOM_SUFFIXES = {".dcm", ".dicom", ".dic"}
MOST_WITHOUT_ID = 0.05
"""Share of DICOM files without a PatientID up to which those of the others are used."""
_KEYS = (
    re.compile(r"^(?P<key>person(?P<bare>\d+)_(?P<aetiology>bacteria|virus))(?:_|\.|$)", re.IGNORECASE),
    re.compile(r"^(?P<key>(?:NORMAL2-)?IM-(?P<bare>\d+))(?:-|\.|$)", re.IGNORECASE),
    re.compile(r"^(?P<key>(?P<aetiology>NORMAL|BACTERIA|VIRUS)-(?P<bare>\d+))(?:-|\.|$)", re.IGNORECASE),
)


def _match(file_name: str) -> re.Match[str] | None:
    stem = PurePosixPath(file_name.replace("\\", "/")).name
    return next((m for m in (pattern.match(stem) for pattern in _KEYS) if m), None)


def patient_key(file_name: str) -> str | None:
    """The patient that ``file_name`` names: ``person<N>_<bacteria|virus>``, ``(NORMAL2-)IM-<N>``; else None.

    With this key the published train and test splits share no patient.
    """
    match = _match(file_name)
    return match["key"].lower() if match else None


def bare_number(file_name: str) -> str | None:
    """The coarser key ``person-<N>`` or ``im-<N>``, which merges series that the full key keeps apart.

    Each series (bacteria, virus, ``IM``, ``NORMAL2-IM``) has its own numbering, so between *splits* this key finds
    patients that are not shared: 170 ``person`` numbers occur in train and in test, none of them in the same series.
    Within one split, grouping by it is safe whether numbers of two series mean one patient or two.
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
        raise ValueError(f"--patient_pattern {pattern!r} is not a regular expression: {error}.") from error
    if compiled.groups < 1:
        raise ValueError(f"--patient_pattern {pattern!r} has no group: put the patient's part in (parentheses).")

    def key(file_name: str) -> str | None:
        match = compiled.search(PurePosixPath(file_name.replace("\\", "/")).name)
        return match[1] if match else None

    return key


def anonymous_keys(ids: Sequence[str]) -> list[str]:
    """Hashed identifiers, equal where the identifiers are equal; "" stays "".

    Hospital numbers are few enough to try them all, so an unsalted hash would reveal them. This one is salted with the
    whole set of identifiers: the same data gives the same keys, and a guess can only be checked with all the others.
    """
    salt = hashlib.sha256("\0".join(sorted(set(ids) - {""})).encode()).digest()
    return [
        f"patient-{hashlib.blake2b(value.encode(), key=salt, digest_size=8).hexdigest()}" if value else ""
        for value in ids
    ]


def patients_of(names: Sequence[str], pattern: str | None = None) -> list[str] | None:
    """One patient key per file name, or None if any name has none: then no grouping can be trusted."""
    function = patient_key_function(pattern)
    keys = [function(name) for name in names]
    return None if any(key is None for key in keys) else keys


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its suffix or, without one (archives give none), by its first bytes."""
    suffix = path.suffix.lower()
    if suffix in DICOM_SUFFIXES:
        return True
    if suffix and not suffix[1:].isdigit():
        return False
    try:
        with path.open("rb") as file:
            return has_prefix(file.read(132))
    except OSError:
        return False


def read_patient_id(path: Path) -> str | None:
    """``PatientID`` with its issuer, "" if the header has none; None for a file that is not DICOM or has no picture.

    A directory (``DICOMDIR``), a report and a damaged file have no rows and columns.
    """
    from pydicom import dcmread

    wanted = ["PatientID", "IssuerOfPatientID", "Rows", "Columns"]
    try:
        header = dcmread(path, force=True, stop_before_pixels=True, specific_tags=wanted)
        if "Rows" not in header or "Columns" not in header:
            return None
        number, issuer = (str(header.get(tag, "") or "").strip() for tag in wanted[:2])
    except Exception as error:  # pydicom raises anything at all on broken bytes; such a file is not DICOM
        logger.debug("%s: no header", path, exc_info=error)
        return None
    return f"{number}\n{issuer}" if number else ""


def dicom_patients(ids: list[str], names: list[str]) -> list[str] | None:
    """Patients of N files from their ``PatientID``s; a file without one ("") counts as a patient of its own.

    None, with a warning, if all files have the same, or more than ``MOST_WITHOUT_ID`` have none.

    Args:
        names: file names, for the warnings.
    """
    without = [row for row, number in enumerate(ids) if not number]
    reason = None
    if len(without) > MOST_WITHOUT_ID * len(ids):
        reason = f"{len(without)} of {len(ids)} files have no PatientID (for example {names[without[0]]})"
    elif len(set(ids)) == 1 and len(ids) > 1:
        reason = "every file has the same PatientID"
    if reason:
        logger.warning("%s: patients are not taken from the DICOM headers.", reason)
        return None
    if without:
        logger.warning(
            "%d of %d files have no PatientID and count as a patient each: %s. Take them out if they may show one of "
            "the others.",
            len(without),
            len(ids),
            ", ".join(names[row] for row in without[:3]),
        )
    return [number or f"file {row}" for row, number in enumerate(ids)]
