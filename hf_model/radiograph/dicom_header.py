"""What a DICOM header says that bears on the answer: modality, view, age, body part; nothing that identifies."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from hf_model.radiograph.types import Finding

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

HEADER_TAGS = (
    *("Modality", "ViewPosition", "BodyPartExamined", "PatientAge", "PatientBirthDate", "StudyDate"),
    *("PresentationIntentType", "BurnedInAnnotation"),
)
RADIOGRAPHY = ("CR", "DX", "DR", "RG")
CHEST_WORDS = ("CHEST", "THORA", "LUNG", "TORAX", "RIB")
YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def number(dataset: Dataset, keyword: str) -> float | None:
    """The first value of an element as a finite number; None where it is missing or none."""
    try:
        value = dataset.get(keyword)
        value = value[0] if hasattr(value, "__getitem__") and not isinstance(value, str) else value
        value = float(value)
    except (TypeError, ValueError, IndexError, OverflowError, NotImplementedError):
        return None
    return value if abs(value) < float("inf") else None


def facts(dataset: Dataset) -> dict[str, Any]:
    """Non-identifying facts; keys with no value are left out. age_years is a number of years."""
    found = {
        "modality": _text(dataset, "Modality"),
        "view_position": _text(dataset, "ViewPosition"),
        "body_part": _text(dataset, "BodyPartExamined"),
        "presentation_intent": _text(dataset, "PresentationIntentType"),
        "age_years": _age(dataset),
        "photometric_interpretation": _text(dataset, "PhotometricInterpretation"),
        "transfer_syntax": dataset.file_meta.TransferSyntaxUID.name,
    }
    return {key: value for key, value in found.items() if value not in (None, "")}


def header_findings(found: dict[str, Any]) -> tuple[Finding, ...]:
    """What in the facts speaks against a frontal chest radiograph; age and view are the population's matter."""
    findings = []
    modality, view, part = (found.get(key, "") for key in ("modality", "view_position", "body_part"))
    if modality and modality not in RADIOGRAPHY:
        findings.append(Finding("modality", f"The header says modality {modality}, which is no radiograph.", "flag"))
    if part and not any(word in part for word in CHEST_WORDS):
        findings.append(Finding("body-part", f"The header says body part {part}, not chest.", "flag"))
    if view not in ("", "AP", "PA"):
        findings.append(Finding("view", f"The header says {view} view, which is not frontal (AP or PA).", "flag"))
    if found.get("presentation_intent") == "FOR PROCESSING":
        message = "The header says FOR PROCESSING: raw detector values, not the picture a reader sees; export that one."
        findings.append(Finding("for-processing", message, "flag"))
    return tuple(findings)


def _text(dataset: Dataset, keyword: str) -> str:
    """The element's first value, upper case, at most 32 characters; empty where it is missing or broken."""
    try:
        value = dataset.get(keyword)
    except (ValueError, TypeError, NotImplementedError, LookupError, OverflowError):
        return ""
    value = value if isinstance(value, str) else next(iter(value or [""]))
    return "".join(letter for letter in str(value).upper() if letter.isprintable()).strip()[:32]


def _age(dataset: Dataset) -> float | None:
    """Years from PatientAge ("004Y", "018M"), else from birth date and study date."""
    text = _text(dataset, "PatientAge")
    if len(text) >= 2 and text[:-1].isdecimal() and text[-1] in YEARS:
        return round(int(text[:-1]) * YEARS[text[-1]], 2)
    try:
        born, studied = (date.fromisoformat(_text(dataset, keyword)) for keyword in ("PatientBirthDate", "StudyDate"))
    except ValueError:
        return None
    years = (studied - born).days / 365.25
    return round(years, 2) if 0 <= years <= 130 else None
