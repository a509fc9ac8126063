"""About the model: what the checkpoint folder says of itself, shown as it is, computed by nobody here."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from hf_model.evaluation import sharing
from hf_model.page.text import escape, interval, note, percent, rounded
from hf_model.radiograph.population import KERMANY, UNDESCRIBED, Population

POINTS = (
    ("default", "model's own"),
    ("rule_out", "rule-out"),
    ("rule_in", "rule-in"),
    ("0.5", "0.5"),
    ("argmax", "uncalibrated 0.5 (larger logit)"),
)
COUNTED = ("images", "patients", "NORMAL", "PNEUMONIA")
RATES = ("sensitivity", "specificity", "accuracy", "ppv", "npv")
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


def about(metrics: dict[str, Any] | None, model_id: str, population: Population = UNDESCRIBED) -> str:
    """The tab's head as HTML: limits, evaluation table, data. ``metrics`` is metrics.json or None."""
    parts = [f"<p>Model <strong>{escape(model_id)}</strong>.</p>", "<h2>Limits</h2><ul>"]
    parts += [f"<li>{escape(limit)}</li>" for limit in (_whom(population), *LIMITS)]
    parts.append("</ul>")
    if metrics is None:
        parts.append(note("warn", "No evaluation", "This checkpoint has no metrics.json, so its errors are unknown."))
    else:
        parts += [evaluation(name, record) for name, record in metrics.get("test", {}).items()]
        parts.append(checks_table(metrics.get("input_checks")))
        parts.append(data_table(metrics.get("data", {})))
    return f'<div class="cxr-about">{"".join(parts)}</div>'


def _whom(population: Population) -> str:
    adults = f" {ADULTS}" if population == KERMANY else ""
    return f"{population.trained_on} {population.out_of_scope}{adults}"


def evaluation(name: str, record: dict[str, Any]) -> str:
    """One evaluated set: AUC and a row per operating point, with 95 % intervals."""
    head = (
        f"{record['n']:,} pictures ({record['normal']:,} normal, {record['pneumonia']:,} with pneumonia) of "
        f"{record['patients']:,} patients. AUC {_figure(record.get('auc'), 3)}, Brier score {record['brier']:.3f}."
    )
    columns = "".join(f'<th scope="col">{rate.upper() if len(rate) == 3 else rate}</th>' for rate in RATES)
    rows = "".join(_point(label, record["points"].get(key)) for key, label in POINTS)
    return (
        f"<h2>Held-out evaluation: {escape(name)}</h2><p>{head} In brackets: 95 % intervals.</p>"
        f'<div class="cxr-scroll" tabindex="0" role="region" aria-label="Evaluation on {escape(name)}"><table><thead>'
        f'<tr><th scope="col">operating point</th><th scope="col">threshold</th>{columns}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _point(label: str, point: dict[str, Any] | None) -> str:
    if point is None:
        return ""
    cells = "".join(f"<td>{_share(point.get(rate))}</td>" for rate in RATES)
    return f'<tr><th scope="row">{label}</th><td>{percent(point["threshold"])}</td>{cells}</tr>'


def _share(figure: dict[str, Any] | None) -> str:
    if not figure or figure.get("value") is None:
        return "—"
    ends = figure.get("interval")
    brackets = f" ({interval(*ends)})" if ends else ""
    return f"{percent(figure['value'])}{brackets}"


def _figure(figure: dict[str, Any] | None, digits: int) -> str:
    if not figure or figure.get("value") is None:
        return "unknown"
    ends = figure.get("interval")
    brackets = f" ({ends[0]:.{digits}f}–{ends[1]:.{digits}f})" if ends else ""
    return f"{figure['value']:.{digits}f}{brackets}"


def checks_table(record: dict[str, Any] | None) -> str:
    """What the input checks hold back, from metrics.json's "input_checks" (``python -m hf_model gate``); "" without."""
    if not record:
        return ""
    order = sorted(record["groups"].items(), key=lambda group: group[0] != "radiographs")
    groups = [(name, _wanted(group), group) for name, group in order]
    about = record.get("radiographs")
    whose = f" Radiographs: {about['pictures']:,} of {about['dataset']}, {about['split']} split." if about else ""
    kinds = [(kind["group"], kind["kind"], kind) for kind in record["kinds"]]
    return (
        "<h2>Input checks</h2><p>Share of pictures that get no answer unless somebody confirms them. Radiographs "
        f"should pass, everything else should not. In brackets: 95\u00a0% intervals.{escape(whose)}</p>"
        f"{_checked('pictures', 'wanted', groups)}<details><summary>Kind by kind</summary>"
        f"{_checked('pictures', 'kind', kinds)}</details>"
    )


def _wanted(group: dict[str, Any]) -> str:
    """ "at most 0.02" as "at most 2 %"."""
    words, _, share = str(group.get("bar", "")).rpartition(" ")
    return f"{words} {rounded(float(share))}" if words else "—"


def _checked(first: str, second: str, rows: list[tuple[str, str, dict[str, Any]]]) -> str:
    head = "".join(f'<th scope="col">{label}</th>' for label in (first, second, "number", "held back"))
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(more)}</td><td>{tally["pictures"]:,}</td>'
        f"<td>{_share(tally['held_back'])}</td></tr>"
        for name, more, tally in rows
    )
    return (
        f'<div class="cxr-scroll" tabindex="0" role="region" aria-label="Input checks by {second}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def data_table(data: dict[str, Any]) -> str:
    """What the weights were fitted on, from metrics.json's "data"; "" if it says nothing."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name.replace("_", " "))}</th>'
        + "".join(f"<td>{split[key]:,}</td>" if key in split else "<td>—</td>" for key in COUNTED)
        + "</tr>"
        for name, split in data.get("splits", {}).items()
    )
    if not rows:
        return ""
    name = Path(str(data.get("dataset") or "Not named")).name
    columns = "".join(
        f'<th scope="col">{label}</th>' for label in ("split", "pictures", "patients", "normal", "pneumonia")
    )
    return (
        f"<h2>Data</h2><p>{escape(name)}. {escape(_sharing(data))}</p>"
        '<div class="cxr-scroll" tabindex="0" role="region" aria-label="Data">'
        f"<table><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _sharing(data: dict[str, Any]) -> str:
    """What is known of patients in two splits, from ``patient_key`` and ``leakage``."""
    key, found = data.get("patient_key"), data.get("leakage") or {}
    clean, unknown = bool(found.get("clean")), sharing.unknown(found) if key else ""
    said = []
    if not key:
        said.append("Nothing says whose a picture is: each counts as a patient, and a patient may be in two splits.")
    elif clean:
        said.append("No patient that is known is in two splits." if unknown else "No patient is in two splits.")
    else:
        said.append("Of training, validation and calibration no two share a patient.")
    if not clean:
        shared = f"Development and test share {sharing.shared(found)}: the figures on the test split are too good."
        said.append(shared if found else "Whether the test split shares any with them is not known.")
    if unknown:
        said.append(f"{unknown}: whether training has seen their patients cannot be told.")
    return " ".join(said)


def figures(folder: str | Path) -> str:
    """The folder's PNG figures with captions as HTML, training curves and confusion matrix first; "" without any."""
    known = list(CAPTIONS)
    found = sorted(
        Path(folder).glob("**/*.png"),
        key=lambda path: (known.index(path.stem) if path.stem in known else len(known), path.name),
    )
    drawn = "".join(_drawn(path) for path in found)
    return f'<div class="cxr-about"><h2>Figures</h2><div class="cxr-figures">{drawn}</div></div>' if found else ""


def _drawn(path: Path) -> str:
    caption = escape(CAPTIONS.get(path.stem, path.stem.replace("_", " ").replace("-", " ")))
    source = base64.b64encode(path.read_bytes()).decode("ascii")
    return (
        f'<figure><img src="data:image/png;base64,{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    )


def audit(folder: str | Path | None) -> str:
    """The data audit's findings as HTML, from ``audit.json`` of the checkpoint folder; "" without one.

    Findings on the model are left out where they are of other weights than ``metrics.json`` names.
    """
    path = Path(folder or "") / "audit.json"
    if folder is None or not path.is_file():
        return ""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        findings = [(finding["topic"], finding["text"]) for finding in record["findings"]]
        of_model = (record.get("model") or {}).get("weights_sha256")
    except (ValueError, KeyError, TypeError, AttributeError):
        return note("warn", "No audit", f"{path.name} of this checkpoint cannot be read.")
    metrics = Path(folder) / "metrics.json"
    stored = json.loads(metrics.read_text(encoding="utf-8")) if metrics.is_file() else {}
    other = of_model is not None and of_model != stored.get("weights_sha256")
    items = "".join(f"<li>{escape(text)}</li>" for topic, text in findings if not (other and topic == "model"))
    data = f"{escape(str(record.get('name', 'the data')))}, {record.get('rows', 0):,} pictures"
    return f'<div class="cxr-about"><h2>What an audit of the data found</h2><p>{data}.</p><ul>{items}</ul></div>'


def card(folder: str | Path | None) -> str:
    """The model card as Markdown, without its YAML header and without pictures, which the page shows from files."""
    path = Path(folder or "") / "README.md"
    if folder is None or not path.is_file():
        return "_This checkpoint has no model card (README.md)._"
    text = re.sub(r"\A---\n.*?\n---\n", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"!\[[^\]]*\]\([^)]*\)|<img\b[^>]*>", "", text).strip()


def summary(metrics: dict[str, Any] | None) -> str:
    """One sentence with the main figure, for the welcome text; "" without metrics."""
    for record in (metrics or {}).get("test", {}).values():
        point = (record.get("points") or {}).get("default") or {}
        found, cleared = ((point.get(rate) or {}).get("value") for rate in ("sensitivity", "specificity"))
        if found is not None and cleared is not None:  # a set of one class has only one of them
            return (
                f"On {record['n']:,} held-out pictures it finds {rounded(found)} of pneumonias and clears "
                f"{rounded(cleared)} of normal chests."
            )
    return ""
