"""About the model: what the files of its checkpoint say, shown as recorded."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from markupsafe import Markup

from hf_model.page import fragment, percent
from hf_model.radiograph.population import KERMANY, UNDESCRIBED, Population
from hf_model.templates import data_uri
from hf_model.wording import patients_unknown, shared_between_splits

ADULTS = "On adults of another hospital models of this data score little better than chance."
LIMITS = (
    "It knows two answers, pneumonia or not. It does not look for effusion, pneumothorax, tuberculosis or anything "
    "else, and does not tell bacteria from virus.",
    "The heat map shows what moved the model, not where the disease is.",
    "Sharpness, contrast and compression of a picture move the probability; upload the original where you can.",
)
CAPTIONS = {
    "training_curves": "Training and validation loss by epoch",
    "confusion_matrix": "Answers and truth on the held-out pictures",
    "reliability": "Predicted probability and observed share",
    "roc": "Sensitivity and specificity over all thresholds",
    "precision_recall": "Precision and recall over all thresholds",
}
"""Figures by the names of their files, in the order of the page; others follow, captioned by their names."""


def summary(metrics: dict[str, Any] | None) -> str:
    """One sentence with the main figure, for the welcome text; "" without metrics."""
    for record in (metrics or {}).get("test", {}).values():
        point = (record.get("points") or {}).get("default") or {}
        found, cleared = ((point.get(rate) or {}).get("value") for rate in ("sensitivity", "specificity"))
        if found is not None and cleared is not None:  # a set of one class has only one of them
            return (
                f"On {record['n']:,} held-out pictures it finds {percent(found)} of pneumonias and calls "
                f"{percent(cleared)} of normal chests normal."
            )
    return ""


def about(metrics: dict[str, Any] | None, model_id: str, population: Population = UNDESCRIBED) -> Markup:
    """The tab's head: limits, evaluation, input checks and data. ``metrics`` is metrics.json or None."""
    adults = f" {ADULTS}" if population == KERMANY else ""
    limits = (f"{population.trained_on} {population.out_of_scope}{adults}", *LIMITS)
    shared = _sharing((metrics or {}).get("data") or {})
    return fragment("about", "about", metrics=metrics, model_id=model_id, limits=limits, sharing=shared)


def _sharing(data: dict[str, Any]) -> str:
    """What is known of patients in two splits, from ``patient_key`` and ``leakage`` of metrics.json's "data"."""
    key, found = data.get("patient_key"), data.get("leakage") or {}
    clean, unknown = bool(found.get("clean")), patients_unknown(found) if key else ""
    said = []
    if not key:
        said.append("Nothing says whose a picture is: each counts as a patient, and a patient may be in two splits.")
    elif clean:
        said.append("No patient that is known is in two splits." if unknown else "No patient is in two splits.")
    else:
        said.append("Of training, validation and calibration no two share a patient.")
    if not clean:
        shared = (
            f"Development and test share {shared_between_splits(found)}: the figures on the test split are too good."
        )
        said.append(shared if found else "Whether the test split shares any with them is not known.")
    if unknown:
        said.append(f"{unknown}: whether training has seen their patients cannot be told.")
    return " ".join(said)


def audit(folder: str | Path | None) -> Markup:
    """The data audit's findings, from ``audit.json`` of the checkpoint folder; "" without one.

    Findings on the model are left out where they are of other weights than ``metrics.json`` names.
    """
    path = Path(folder or "") / "audit.json"
    if folder is None or not path.is_file():
        return Markup()
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        findings = [(finding["topic"], finding["text"]) for finding in record["findings"]]
        of_model = (record.get("model") or {}).get("weights_sha256")
    except (ValueError, KeyError, TypeError, AttributeError):
        return fragment("about", "unreadable_audit", name=path.name)
    metrics = Path(folder) / "metrics.json"
    stored = json.loads(metrics.read_text(encoding="utf-8")) if metrics.is_file() else {}
    other = of_model is not None and of_model != stored.get("weights_sha256")
    shown = [text for topic, text in findings if not (other and topic == "model")]
    name, rows = record.get("name", "the data"), record.get("rows", 0)
    return fragment("about", "audit", name=name, rows=rows, findings=shown)


def figures(folder: str | Path) -> Markup:
    """The folder's PNG figures with captions, training curves and confusion matrix first; "" without any."""
    known = list(CAPTIONS)
    found = sorted(
        Path(folder).glob("**/*.png"),
        key=lambda path: (known.index(path.stem) if path.stem in known else len(known), path.name),
    )
    pairs = [(CAPTIONS.get(path.stem, re.sub("[-_]", " ", path.stem)), data_uri(path.read_bytes())) for path in found]
    return fragment("about", "figures", figures=pairs) if found else Markup()


def card(folder: str | Path | None) -> str:
    """The model card as Markdown, without its YAML header and without pictures, which the page shows from files."""
    path = Path(folder or "") / "README.md"
    if folder is None or not path.is_file():
        return "_This checkpoint has no model card (README.md)._"
    text = re.sub(r"\A---\n.*?\n---\n", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"!\[[^\]]*\]\([^)]*\)|<img\b[^>]*>", "", text).strip()
