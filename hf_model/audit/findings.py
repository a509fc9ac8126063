"""Findings: what the audit's figures mean, as sentences, the worst first."""

from __future__ import annotations

from typing import Any

from hf_model.audit.integrity import UNUSABLE
from hf_model.audit.leakage import unknown_sentence
from hf_model.audit.pictures import TEST
from hf_model.config import LABELS
from hf_model.wording import decimal, percent, ratio

FAULT, WARNING, NOTE = "fault", "warning", "note"
SHORTCUT_AUC = 0.6
"""AUC that the lower end of a probe's interval must exceed before it is called a shortcut, or a shift."""
SHARPNESS_AUC = 0.7
"""The same of sharpness alone."""
NOT_LUNG = ("metadata", "sharpness", "outside")
"""Probes that are not shown the lungs as such."""
ODD = ("colour", "odd-mode")

Finding = dict[str, str]


def find_all(audit: dict[str, Any]) -> list[Finding]:
    """Every finding of the finished record: {"severity", "topic", "text"}; faults, then warnings, then notes.

    A "fault" has to be repaired before training; a "warning" has to be known before a figure is believed.
    """
    found = [
        *classes(audit.get("counts") or []),
        *integrity(audit["integrity"]),
        *duplicates(audit["duplicates"]),
        *leakage(audit["leakage"]),
        *shortcuts(audit),
        *model(audit),
        *shift(audit["shift"]),
        *labels(audit),
    ]
    order = (FAULT, WARNING, NOTE)
    return sorted(found, key=lambda entry: order.index(entry["severity"]))


def _finding(severity: str, topic: str, text: str) -> Finding:
    return {"severity": severity, "topic": topic, "text": text}


def is_above(entry: dict[str, Any], limit: float) -> bool:
    """Whether the whole interval of an AUC lies above the limit; never without an interval."""
    return entry["interval"] is not None and entry["interval"][0] > limit


def _listed(numbers: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in numbers.items())


def classes(counts: list[dict[str, Any]]) -> list[Finding]:
    """A class without a picture to learn from."""
    learned = [entry for entry in counts if entry["split"] != TEST]
    absent = [name for name in LABELS if not sum(e["n"] for e in learned if e["class"] == name)]
    text = "has no picture outside the test split: train.py needs both classes and does not start."
    return [_finding(FAULT, "pictures", f"{name} {text}") for name in absent] if learned else []


def integrity(part: dict[str, Any]) -> list[Finding]:
    """Rows that cannot be used, and unusual ones."""
    kinds, topic, out = part["kinds"], "integrity", []
    broken = {kind: kinds[kind] for kind in UNUSABLE if kinds.get(kind)}
    odd = {kind: kinds[kind] for kind in ODD if kinds.get(kind)}
    if broken:
        first = next(p["where"] for p in part["problems"] if p["kind"] in broken)
        text = (
            f"Of {part['rows']:,} rows some hold no usable picture: {_listed(broken)} (the first is {first}). Training "
            f"skips {part['skipped_by_training']} of them."
        )
        out.append(_finding(FAULT, topic, text))
    if odd:
        out.append(_finding(WARNING, topic, f"Rows that are not grey-scale pictures: {_listed(odd)}."))
    if not broken and not odd:
        text = f"All {part['rows']:,} rows decode; none is truncated, blank, tiny or in colour."
        out.append(_finding(NOTE, topic, text))
    if kinds.get("unusual"):
        codes = {p["code"] for p in part["problems"] if p["kind"] == "unusual"}
        listing = _listed({code: part["codes"][code] for code in sorted(codes)})
        text = f"The checks that every upload passes flag {kinds['unusual']} times: {listing}."
        out.append(_finding(NOTE, topic, text))
    return out


def duplicates(part: dict[str, Any]) -> list[Finding]:
    """Equal and nearly equal pictures, and labels that differ between them."""
    exact, near, (height, width) = part["exact"], part["near"], part["pixel_size"]
    text = (
        f"{exact['groups']} groups of pictures have equal decoded pixels ({exact['files']} files, in "
        f"{part['rendering']} at {width} x {height} px): {exact['across_splits']} groups cross splits, "
        f"{exact['across_patients']} join two patient keys. {near['groups']} further pairs are nearly equal."
    )
    out = [_finding(NOTE, "duplicates", text)]
    conflicts = exact["label_conflicts"] + near["label_conflicts"]
    if conflicts:
        example = next(g for g in exact["list"] + near["list"] if len(g["labels"]) > 1)["files"]
        text = (
            f"{conflicts} groups of equal or nearly equal pictures carry both labels, for example "
            f"{' and '.join(example[:2])}."
        )
        out.append(_finding(FAULT, "duplicates", text))
    return out


def leakage(part: dict[str, Any]) -> list[Finding]:
    """What the certificate says."""
    topic = "leakage"
    out = [_finding(FAULT, topic, f"Leakage: {sentence}") for sentence in part["leaks"]]
    doubt = _unknown_patients(part)
    if doubt:
        out.append(_finding(WARNING, topic, doubt))
    if not part["test_split"]:
        held = "patients out by itself." if part["patient_keys"] else "pictures out, not patients."
        text = f"There is no test split, so nothing was compared with one. Training holds {held}"
        return [*out, _finding(NOTE, topic, text)]
    if part["leaks"]:
        return out
    if doubt:
        compared = "not all compared" if part["patient_keys"] else "not compared"
        text = (
            "Clean as far as compared: no file, decoded picture or near duplicate is in test and elsewhere. Patients "
            f"were {compared}."
        )
        return [*out, _finding(NOTE, topic, text)]
    text = "No leakage: no patient (full key), file, decoded picture or near duplicate is in test and elsewhere."
    numbers = sum(p["counts"]["bare_numbers"] or 0 for p in part["pairs"] if set(p["splits"]) == {"train", "test"})
    if numbers:
        text += (
            f" By the bare number train and test seem to share {numbers} patients; "
            f"{_why_numbers_repeat(part.get('series'))}"
        )
    return [_finding(NOTE, topic, text)]


def _unknown_patients(part: dict[str, Any]) -> str:
    """Why patients were not compared, or not all of them; "" where all were."""
    if part["patient_keys"]:
        return unknown_sentence(part["unknown_patients"])
    lost = "could not be compared between the splits" if part["test_split"] else "cannot be held out together"
    return f"The patient of each picture is unknown, so patients {lost}."


def _why_numbers_repeat(part: dict[str, Any] | None) -> str:
    """Why numbers in common are not patients in common."""
    meet = ((part or {}).get("meet") or {}).get("train")
    text = "each is in two different series (bacteria, virus, IM, NORMAL2-IM), and each series counts on its own"
    if meet and meet["in_two_series"]:
        text += f": within train alone {meet['in_two_series']:,} of {meet['numbers']:,} numbers meet in two series"
    return f"{text}."


def shortcuts(audit: dict[str, Any]) -> list[Finding]:
    """What separates the classes without a lung."""
    topic, main = "shortcuts", audit["name"]
    tables = {name: {probe["key"]: probe for probe in probes} for name, probes in audit["probes"].items()}
    out = []
    metadata = _above(tables, "metadata", SHORTCUT_AUC)
    if metadata:
        text = (
            f"The class can be guessed from metadata alone (size, bytes, mode), AUC: {metadata}. No pixel was looked "
            "at; a file's length tells how much fine detail was compressed."
        )
        out.append(_finding(WARNING, topic, text))
    sharp = _above(tables, "sharpness", SHARPNESS_AUC)
    if sharp:
        direction = next(table["sharpness"]["how"] for table in tables.values() if "sharpness" in table).split("; ")[-1]
        held = audit["sharpness_on_test"]
        on_test = f" On test, {main}: {ratio(held)}." if held else ""
        text = f"Sharpness alone (mean absolute horizontal gradient; {direction}) separates the classes with AUC: "
        out.append(_finding(WARNING, topic, f"{text}{sharp}.{on_test}"))
    if audit.get("probes_note"):
        out.append(_finding(NOTE, topic, audit["probes_note"]))
    outside = tables[main].get("outside")
    if outside and is_above(outside["auc"], SHORTCUT_AUC):
        text = (
            f"With both lungs masked a linear model still reaches AUC {ratio(outside['auc'])}; on 16 px thumbnails "
            f"{ratio(tables[main]['thumbnail']['auc'])}."
        )
        out.append(_finding(WARNING, topic, text))
    return out


def _above(tables: dict[str, dict[str, Any]], key: str, limit: float) -> str:
    """Renderings in which the probe's interval lies above the limit, with their AUC."""
    found = [(name, table[key]["auc"]) for name, table in tables.items() if key in table]
    return "; ".join(f"{name} {ratio(auc)}" for name, auc in found if is_above(auc, limit))


def model(audit: dict[str, Any]) -> list[Finding]:
    """The model beside the probes, and how its answers move."""
    part, topic = audit.get("model"), "model"
    if not part:
        return []
    views = {view["title"]: view for view in part["views"]}
    whole, masked, inside = (views[title] for title in ("As it is", "Lungs masked", "Only the lungs' rectangle"))
    shown = [probe["auc"]["value"] for probe in audit["probes"][audit["name"]] if probe["key"] in NOT_LUNG]
    best = max(shown, default=0.5)
    worst = max((v for v in part["views"] if v["key"] in ("blur", "sharpen")), key=lambda v: v["changed_answers"])
    beside = (
        f"The model's AUC on {part['n']} development-validation pictures is {ratio(whole['auc'])}. The best probe that "
        f"is shown no lung as such reaches {decimal(best)}{_share(best, whole['auc'])}"
    )
    hidden = (
        f"With the lungs masked the model has AUC {ratio(masked['auc'])} (calling {percent(masked['called'], 0)} "
        f"pneumonia), with only the lungs' rectangle {ratio(inside['auc'])}."
    )
    moved = (
        f"{worst['title']}, {percent(worst['changed_answers'])} of the model's answers change (mean change of "
        f"probability {decimal(worst['mean_change'])}, AUC {decimal(worst['auc']['value'])}); no other blur or "
        "sharpening changes more."
    )
    return [
        _finding(WARNING, topic, beside),
        _finding(NOTE, topic, hidden),
        _finding(WARNING if worst["changed_answers"] > 0.05 else NOTE, topic, moved),
    ]


def _share(best: float, whole: dict[str, Any]) -> str:
    """How much of the model's AUC the probe reaches, where that can be said."""
    if not is_above(whole, 0.5):
        return "; the model is not shown to be above chance, so no share is given."
    if best >= whole["value"]:
        return ", as much as the model or more: all of the model's AUC may not be lung. The AUC itself cannot tell."
    share = max(best - 0.5, 0) / (whole["value"] - 0.5)
    return (
        f", {percent(share, 0)} of the way from chance to the model: that much of the model's AUC may not be lung. The "
        "AUC itself cannot tell."
    )


def shift(part: dict[str, Any]) -> list[Finding]:
    """How test differs from the rest."""
    out, topic, shares = [], "shift", part["prevalence"]
    if "test" in shares and "train" in shares:
        test, train = shares["test"], shares["train"]
        if test["interval"][1] < train["interval"][0] or train["interval"][1] < test["interval"][0]:
            text = (
                f"Prevalence differs: {percent(train['value'])} pneumonia in train, {percent(test['value'])} in test. "
                "Predictive values and calibration don't carry over; sensitivity and specificity can."
            )
            out.append(_finding(WARNING, topic, text))
    separable = [entry for entry in part["classifiers"] if is_above(entry["auc"], SHORTCUT_AUC)]
    if separable:
        listing = "; ".join(f"{e['class']} by {e['view']} {ratio(e['auc'])}" for e in separable)
        text = (
            f"Test pictures can be told from the others of the same class, AUC: {listing}. A held-out part of train "
            "therefore promises more than test keeps, and the gap between the two figures is not all overfitting."
        )
        out.append(_finding(WARNING, topic, text))
    elif part["classifiers"]:
        text = "No classifier here tells test from the other pictures of the same class."
        out.append(_finding(NOTE, topic, text))
    return out


def labels(audit: dict[str, Any]) -> list[Finding]:
    """Labels that a classifier contradicts, and those that confident learning calls wrong."""
    part, topic = audit.get("labels"), "labels"
    if not part:
        return [_finding(NOTE, topic, audit["labels_note"])] if audit.get("labels_note") else []
    if not part["disagree"]:
        return [_finding(NOTE, topic, "No label contradicts what the other patients' pictures suggest.")]
    known = audit.get("leakage", {}).get("patient_keys", True)
    judge = f"a classifier that never saw {'the patient' if known else 'the picture (patients are unknown)'}"
    if not part["suspects"]:
        text = (
            f"A{judge[1:]} contradicts {part['disagree']:,} of {part['n']:,} labels (its AUC: {ratio(part['auc'])}). "
            "Confident learning calls none of them wrong. They are listed for a reader and dropped nowhere."
        )
        return [_finding(NOTE, topic, text)]
    first = next(entry for entry in part["list"] if entry["confident"])
    text = (
        f"{part['suspects']} of {part['n']:,} labels look wrong to {judge} (its AUC: {ratio(part['auc'])}). The most "
        f"doubtful is {first['file']}, {first['label']}, to which it gives {percent(first['confidence'])}. They are "
        "listed for a reader and dropped nowhere."
    )
    return [_finding(WARNING, topic, text)]
