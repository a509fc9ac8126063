"""What DICOM headers say before any pixel is decoded: whether there is a picture, and whose it is."""

from __future__ import annotations

import logging
from pathlib import Path

from hf_model.radiograph.dicom import has_prefix

logger = logging.getLogger(__name__)
SUFFIXES = {".dcm", ".dicom", ".dic"}
FEW = 0.05
"""Share of files without a PatientID up to which the others' are still used; each of the few is a patient then."""


def is_dicom(path: Path) -> bool:
    """By the suffix, or by its first bytes where it has none: archives give files no suffix."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return True
    if suffix and not suffix[1:].isdigit():
        return False
    try:
        with path.open("rb") as file:
            return has_prefix(file.read(132))
    except OSError:
        return False


def read_owner(path: Path) -> str | None:
    """``PatientID`` with its issuer, "" where there is none; None for a file without a picture, or that is no DICOM.

    A directory (``DICOMDIR``), a report and a damaged file have no rows and columns.
    """
    from pydicom import dcmread

    wanted = ["PatientID", "IssuerOfPatientID", "Rows", "Columns"]
    try:
        header = dcmread(path, force=True, stop_before_pixels=True, specific_tags=wanted)
        if "Rows" not in header or "Columns" not in header:
            return None
        number, issuer = (str(header.get(tag, "") or "").strip() for tag in wanted[:2])
    except Exception as error:  # pydicom raises anything at all on broken bytes; the file is told to be none
        logger.debug("%s: no header", path, exc_info=error)
        return None
    return f"{number}\n{issuer}" if number else ""


def owners(found: list[str], names: list[str]) -> list[str] | None:
    """The identifiers of N files ("" where a file has none), those of a few without one made up; None if no use.

    No use: all have the same, or more than ``FEW`` have none. names: of the files, for what is said about them.
    """
    without = [row for row, owner in enumerate(found) if not owner]
    same = len(set(found)) == 1 and len(found) > 1
    if len(without) > FEW * len(found) or same:
        reason = (
            "every file has the same PatientID"
            if same and not without
            else (f"{len(without)} of {len(found)} files have no PatientID (for example {names[without[0]]})")
        )
        logger.warning("%s: the DICOM headers do not tell patients apart.", reason)
        return None
    if without:
        listing = ", ".join(names[row] for row in without[:3])
        logger.warning(
            "%d of %d files have no PatientID and count as a patient each: %s. Take them out if they may show one of "
            "the others.",
            len(without),
            len(found),
            listing,
        )
    return [owner or f"file {row}" for row, owner in enumerate(found)]
