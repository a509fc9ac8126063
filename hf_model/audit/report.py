"""The audit as one HTML page that needs nothing beside it, in the style of the evaluation report."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from hf_model.audit.integrity import KINDS
from hf_model.audit.leakage import KINDS as OVERLAPS
from hf_model.audit.leakage import unknown_sentence
from hf_model.evaluation import report_markup as markup
from hf_model.evaluation.report_markup import Markup, Section, number, percent, rate, table, text

Images = dict[str, str]


def opening(audit: dict[str, Any]) -> str:
    """One line below the title."""
    rows = ", ".join(f"{split} {entry['n']:,}" for split, entry in audit["shift"]["prevalence"].items())
    height, width = audit["duplicates"]["pixel_size"]
    return f"{audit['rows']:,} pictures ({rows}), examined at {width} x {height} px on {audit['created'][:10]}."


def picture(images: Images, name: str, alt: str, css: str = "") -> str:
    """A figure, or nothing where it was not drawn. ``alt`` is its caption too."""
    if name not in images:
        return ""
    label = escape(alt)
    return f'<figure class="{css}"><img src="{images[name]}" alt="{label}"><figcaption>{label}</figcaption></figure>'


def files(lines: Sequence[str], summary: str) -> str:
    """A list that opens on a click."""
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<details><summary>{escape(summary)}</summary><ul class="files">{items}</ul></details>'


def _span(entry: dict[str, float] | None, digits: int = 0, unit: float = 1) -> str:
    if entry is None:
        return "–"
    low, middle, high = (f"{entry[key] / unit:,.{digits}f}" for key in ("least", "median", "largest"))
    return middle if low == high else f"{middle} ({low} to {high})"


def data(audit: dict[str, Any], images: Images) -> Section:
    """Counts, sizes, samples, means, intensities."""
    rows = [
        (
            f"{e['split']}, {e['class']}",
            f"{e['n']:,}",
            "–" if e["patients"] is None else f"{e['patients']:,}",
            f"{e['readable']:,}",
            _span(e["width"]),
            _span(e["height"]),
            _span(e["aspect"], 2),
            _span(e["bytes"], 1, 1024),
            ", ".join(f"{mode}: {n:,}" for mode, n in e["modes"].items()),
        )
        for e in audit["counts"]
    ]
    head = ("Split, class", "Pictures", "Patients", "Readable", "Width", "Height", "Aspect", "KiB", "Format and mode")
    body = table(head, rows, "Median (least to largest)")
    body += picture(images, "counts", "Pictures per split and class")
    sizes = (("longer_side", "Longer side"), ("aspect", "Width over height"), ("file_size", "File size"))
    body += f'<div class="figures matrices">{"".join(picture(images, n, t) for n, t in sizes)}</div>'
    body += picture(images, "samples_normal", "NORMAL, drawn at random", "sheet")
    body += picture(images, "samples_pneumonia", "PNEUMONIA, drawn at random", "sheet")
    body += picture(images, "means", "Mean pictures; difference of the classes (white: pneumonia is brighter)", "sheet")
    body += picture(images, "intensity", "Intensity histograms")
    body += picture(images, "augmentation", "Augmentation: one picture as training draws it", "sheet")
    return Section("data", "The pictures", body)


def integrity(audit: dict[str, Any], images: Images) -> Section:
    """Rows by name."""
    part = audit["integrity"]
    rows = [(title, f"{part['kinds'].get(kind, 0):,}") for kind, title in KINDS.items()]
    body = table(("Kind", "Rows"), rows)
    body += text(
        f"Training skips {part['skipped_by_training']} rows that cannot be used (unreadable, cut short, tiny or blank)."
    )
    return Section(
        "integrity",
        "Integrity",
        body
        + files([f"{p['where']}: {p['reason']}" for p in part["problems"]], f"{len(part['problems'])} notes by name"),
    )


def duplicates(audit: dict[str, Any], images: Images) -> Section:
    """Equal and nearly equal pictures."""
    part = audit["duplicates"]
    head = ("", "Groups", "Files", "Across splits", "Across patients", "Both labels")
    keys = ("groups", "files", "across_splits", "across_patients", "label_conflicts")
    rows = [
        ("Equal decoded pixels", *(part["exact"][k] for k in keys)),
        ("Nearly equal", *(part["near"][k] for k in keys)),
    ]
    for name, other in audit.get("renderings_exact", {}).items():
        rows.append((f"Equal decoded pixels, {name}", *(other[k] for k in keys)))
    body = table(head, rows, f"In {part['rendering']}; near duplicates: {part['method']}.")
    body += picture(images, "near", "Nearly equal pairs", "sheet")
    body += files([" = ".join(g["files"]) for g in part["exact"]["list"]], "Groups of equal pictures")
    body += files([f"{' ~ '.join(g['files'])} ({g['correlation']:.3f})" for g in part["near"]["list"]], "Near pairs")
    return Section("duplicates", "Duplicates", body)


def leakage(audit: dict[str, Any], images: Images) -> Section:
    """The certificate."""
    part = audit["leakage"]
    head = ("Splits", *(title.capitalize() for title in OVERLAPS.values()))
    rows = [
        (" and ".join(p["splits"]), *("–" if p["counts"][k] is None else p["counts"][k] for k in OVERLAPS))
        for p in part["pairs"]
    ]
    told = f" Patients are told apart by {part['told_by']}." if part["told_by"] else ""
    body = text(_verdict(part) + told)
    body += table(head, rows, "How many of each occur on both sides") if rows else ""
    body += text(part["explanation"]) if part["explanation"] else ""
    body += _numbering(part)
    examples = [line for p in part["pairs"] for lines in p["examples"].values() for line in lines]
    return Section("leakage", "Leakage certificate", body + files(examples, "Examples"))


def _verdict(part: dict[str, Any]) -> str:
    """Clean or not, and of what that can be said."""
    if not part["clean"]:
        verdict = "NOT clean: train.py refuses to start on this, unless told to."
    elif not part["pairs"]:
        verdict = "Nothing was compared: there is only one split."
    elif not part["test_split"]:
        verdict = "Nothing was compared with a test split: there is none. Training splits the others anew."
    else:
        complete = part["patient_keys"] and not part["unknown_patients"]
        verdict = "Clean." if complete else "Clean as far as compared."
    if not part["patient_keys"]:
        return f"{verdict} Patients were not compared: nothing says whose picture each is."
    return f"{verdict} {unknown_sentence(part['unknown_patients'])}".rstrip()


def _numbering(part: dict[str, Any]) -> str:
    """Series of patient numbers, and how alike films with one number are."""
    body = ""
    if part.get("series"):
        rows = [
            (f"{e['series']}, {e['split']}", f"{e['patients']:,}", e["lowest"], e["highest"])
            for e in sorted(part["series"]["ranges"], key=lambda e: (e["series"], e["lowest"]))
        ]
        body += table(("Series, split", "Patients", "Lowest number", "Highest"), rows)
        meet = [f"{split} {e['in_two_series']:,} of {e['numbers']:,}" for split, e in part["series"]["meet"].items()]
        body += text(f"Numbers that meet in two series within one split: {', '.join(meet)}.")
    if part.get("likeness"):
        titles = {
            "one_full_key": "One full key",
            "one_bare_number": "One bare number, two full keys, two splits",
            "strangers": "Strangers of the same split and class",
        }
        rows = [(titles[k], f"{v['pairs']:,}", f"{v['median']:.3f}") for k, v in part["likeness"].items()]
        body += table(("Pairs of pictures with", "Pairs", "Median correlation at 64 px"), rows)
    return body


def _by(audit: dict[str, Any]) -> str:
    known = audit["leakage"]["patient_keys"]
    return "patient" if known else "picture (patients are unknown, so these figures may be too good)"


def shortcuts(audit: dict[str, Any], images: Images) -> Section:
    """Probes, beside the model."""
    body = text(
        f"Each probe is cross-validated by {_by(audit)} on development pictures. What a probe that sees no lung "
        "reaches is what a model may reach without one; it does not prove that the model does so."
    )
    body += text(audit["probes_note"]) if audit.get("probes_note") else ""
    body += picture(images, "probes", "AUC of the probes" + (" and of the model" if audit.get("model") else ""))
    for name, probes in audit["probes"].items():
        if not probes:
            continue
        rows = [(p["title"], number(p["auc"]), p["how"]) for p in probes]
        body += table(("Probe", "AUC", "What it sees"), rows, f"{name}, {probes[0]['auc']['n']:,} pictures")
    held = audit["sharpness_on_test"]
    if held:
        body += table(("Sharpness alone, on test", "AUC"), [(f"{held['n']:,} pictures", number(held))])
    return Section("shortcuts", "Shortcuts", body + picture(images, "masks", "What the probes see", "sheet"))


def model(audit: dict[str, Any], images: Images) -> Section | None:
    """What the checkpoint's answer hangs on."""
    part = audit.get("model")
    if not part:
        return Section("model", "The model", text(audit["model_note"])) if audit.get("model_note") else None
    rows = [
        (
            v["title"],
            number(v["auc"]),
            f"{v['mean_normal']:.3f}",
            f"{v['mean_pneumonia']:.3f}",
            percent(v["changed_answers"]),
            f"{v['mean_change']:.3f}",
        )
        for v in part["views"]
    ]
    head = ("Picture", "AUC", "Mean probability, normal", "Pneumonia", "Answers changed", "Mean change")
    caption = f"{part['model_id']} on {part['n']} development-validation pictures; threshold {part['threshold']:.3f}"
    return Section(
        "model",
        "The model",
        table(head, rows, caption)
        + picture(images, "sharpness", "How the answer moves from blurred to sharpened pictures"),
    )


def shift(audit: dict[str, Any], images: Images) -> Section:
    """Train against test."""
    part = audit["shift"]
    rows = [(split, f"{e['n']:,}", f"{e['pneumonia']:,}", rate(e)) for split, e in part["prevalence"].items()]
    body = table(("Split", "Pictures", "Pneumonia", "Prevalence"), rows)
    if part["classifiers"]:
        rows = [(e["class"], e["view"], number(e["auc"])) for e in part["classifiers"]]
        body += table(("Class", "Classifier sees", "AUC of telling test from the rest"), rows)
    return Section(
        "shift",
        "Shift between splits",
        body + picture(images, "shift", "Simple statistics: how far test lies from development"),
    )


def labels(audit: dict[str, Any], images: Images) -> Section | None:
    """Doubtful labels."""
    part = audit.get("labels")
    if not part:
        return Section("labels", "Labels", text(audit["labels_note"])) if audit.get("labels_note") else None
    shares = ", ".join(f"{count} {name}" for name, count in part["by_label"].items())
    body = text(
        f"Judged by {part['how']}, cross-validated by {_by(audit)}: AUC {part['auc']['value']:.3f}. Its answer "
        f"contradicts {part['disagree']} of {part['n']:,} labels; confident learning (cleanlab) calls "
        f"{part['suspects']} of them errors ({shares}), marked with a star. A picture that is only hard is listed as "
        "well. Nothing is dropped."
    )
    body += picture(images, "suspects", "The strongest contradictions: label, probability given to it", "sheet")
    lines = [f"{e['file']}: {e['label']}, {100 * e['confidence']:.1f} %{' *' * e['confident']}" for e in part["list"]]
    return Section("labels", "Labels", body + files(lines, "All of them"))


def how(audit: dict[str, Any], images: Images) -> Section:
    """How the page was made."""
    times = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in audit["seconds"].items())
    return Section("how", "How this was made", text(Markup(f"<code>{escape(audit['command'])}</code>")) + text(times))


ALL: tuple[Callable[[dict[str, Any], Images], Section | None], ...] = (
    data,
    integrity,
    duplicates,
    leakage,
    shortcuts,
    model,
    shift,
    labels,
    how,
)


_STYLE = Path(markup.__file__).with_name("page.css")
_OWN_STYLE = (
    ".verdict.fault { border-color: var(--bad); background: #fdf1ea; } .verdict.warning { border-color: #c98a00; } "
    ".verdict.note { border-color: var(--good); font-size: 1rem; color: inherit; } figure { margin: 0 0 20px; } "
    "figure.sheet img { max-width: 100%; width: auto; } section > figure:not(.sheet) { max-width: 760px; } "
    "ul.files { font-size: .9rem; columns: 2 24rem; overflow-wrap: anywhere; }"
)
BADGES = {"fault": "Fault", "warning": "Warning", "note": "Note"}


def page(audit: dict[str, Any], images: dict[str, bytes]) -> str:
    """The page; ``images`` are PNG or JPEG files by name, some of which may be missing."""
    shown = {name: _data_uri(data) for name, data in images.items()}
    parts = [part for part in (make(audit, shown) for make in ALL) if part is not None]
    links = "".join(f'<li><a href="#{part.anchor}">{escape(part.title)}</a></li>' for part in parts)
    body = "".join(
        f'<section aria-labelledby="{part.anchor}"><h2 id="{part.anchor}">{escape(part.title)}</h2>'
        f"{part.body}</section>"
        for part in parts
    )
    title = f"Audit of {audit['name']}"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE.read_text(encoding='utf-8')}{_OWN_STYLE}</style></head><body>"
        f'<main><header class="top"><h1>{escape(title)}</h1>'
        f"{markup.text(opening(audit))}"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header>{_findings(audit)}{body}</main></body></html>\n'
    )


def _findings(audit: dict[str, Any]) -> str:
    cards = "".join(
        f'<div class="verdict {entry["severity"]}"><p><strong>{BADGES[entry["severity"]]}, {escape(entry["topic"])}.'
        f"</strong>{escape(entry['text'])}</p></div>"
        for entry in audit["findings"]
    )
    return f'<section aria-labelledby="findings"><h2 id="findings">What was found</h2>{cards}</section>'


def _data_uri(data: bytes) -> str:
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
