"""The audit's figures as sentences, the worst first."""

from __future__ import annotations

from typing import Any

from hf_model.audit.integrity import UNUSABLE

FAULT, WARNING, NOTE = "fault", "warning", "note"
GUESSABLE = 0.6
"""AUC that the lower end of a probe's interval must pass before it is called a shortcut, or a shift."""
SHARP_SHORTCUT = 0.7
NOT_LUNG = ("metadata", "sharpness", "outside")
"""Probes to which the lungs' region is not shown as such."""
ODD = ("colour", "odd-mode")

Finding = dict[str, str]


def finding(severity: str, topic: str, *parts: str) -> Finding:
    """severity: "fault" (mend it before training), "warning" (know it before believing a figure), "note"."""
    return {"severity": severity, "topic": topic, "text": " ".join(parts)}


def find_all(audit: dict[str, Any]) -> list[Finding]:
    """Every finding of the finished record: faults, then warnings, then notes."""
    found = [
        *_integrity(audit["integrity"]),
        *_duplicates(audit["duplicates"]),
        *_leakage(audit["leakage"]),
        *_shortcuts(audit),
        *_model(audit),
        *_shift(audit["shift"]),
        *_labels(audit.get("labels")),
    ]
    order = (FAULT, WARNING, NOTE)
    return sorted(found, key=lambda entry: order.index(entry["severity"]))


def auc_text(entry: dict[str, Any]) -> str:
    """0.850 (0.838 to 0.861)"""
    low, high = entry["interval"]
    return f"{entry['value']:.3f} ({low:.3f} to {high:.3f})"


def _listed(numbers: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in numbers.items())


def _integrity(part: dict[str, Any]) -> list[Finding]:
    kinds, topic, out = part["kinds"], "integrity", []
    broken = {kind: kinds[kind] for kind in UNUSABLE if kinds.get(kind)}
    odd = {kind: kinds[kind] for kind in ODD if kinds.get(kind)}
    if broken:
        first = next(p["where"] for p in part["problems"] if p["kind"] in broken)
        out.append(finding(FAULT, topic, f"Of {part['rows']:,} rows some hold no usable picture:",
                           f"{_listed(broken)} (the",
                           f"first is {first}). Training skips {part['skipped_by_training']} of them."))  # fmt: skip
    if odd:
        out.append(finding(WARNING, topic, f"Rows that are no plain grey picture: {_listed(odd)}."))
    if not broken and not odd:
        text = f"All {part['rows']:,} rows decode; none is truncated, blank, tiny or in colour."
        out.append(finding(NOTE, topic, text))
    if kinds.get("unusual"):
        codes = {p["code"] for p in part["problems"] if p["kind"] == "unusual"}
        listing = _listed({code: part["codes"][code] for code in sorted(codes)})
        out.append(
            finding(NOTE, topic, f"The checks that every upload passes flag {kinds['unusual']} times:", f"{listing}.")
        )
    return out


def _duplicates(part: dict[str, Any]) -> list[Finding]:
    exact, near, (height, width) = part["exact"], part["near"], part["pixel_size"]
    out = [finding(
        NOTE, "duplicates",
        f"{exact['groups']} groups of pictures have equal decoded pixels ({exact['files']} files, in",
        f"{part['rendering']}",
        f"at {width} x {height} px): {exact['across_splits']} groups cross splits, {exact['across_patients']} join two",
        f"patient keys. {near['groups']} further pairs are nearly equal.",
    )]  # fmt: skip
    conflicts = exact["label_conflicts"] + near["label_conflicts"]
    if conflicts:
        example = next(g for g in exact["list"] + near["list"] if len(g["labels"]) > 1)["files"]
        out.append(finding(FAULT, "duplicates", f"{conflicts} groups of equal or nearly equal pictures carry both",
                           f"labels, for example {' and '.join(example[:2])}."))  # fmt: skip
    return out


def _leakage(part: dict[str, Any]) -> list[Finding]:
    topic = "leakage"
    if not part["test_split"]:
        return [finding(NOTE, topic, "There is no test split; training holds patients out by itself.")]
    out = [finding(FAULT, topic, f"Leakage: {sentence}") for sentence in part["leaks"]]
    if not part["patient_keys"]:
        text = "File names do not say whose picture each is, so patients could not be compared between the splits."
        out.append(finding(WARNING, topic, text))
    if out:
        return out
    text = "No leakage: no patient (full key), file, decoded picture or near duplicate is in test and elsewhere."
    numbers = sum(p["counts"]["bare_numbers"] or 0 for p in part["pairs"] if set(p["splits"]) == {"train", "test"})
    if numbers:
        shared = f"By the bare number train and test seem to share {numbers} patients"
        text += f" {shared}; {_numbering(part.get('series'))}"
    return [finding(NOTE, topic, text)]


def _numbering(part: dict[str, Any] | None) -> str:
    """Why numbers in common are no patients in common."""
    meet = ((part or {}).get("meet") or {}).get("train")
    text = "each is in two different series (bacteria, virus, IM, NORMAL2-IM), and each series counts on its own"
    if meet and meet["in_two_series"]:
        text += f": within train alone {meet['in_two_series']:,} of {meet['numbers']:,} numbers meet in two series"
    return f"{text}."


def _shortcuts(audit: dict[str, Any]) -> list[Finding]:
    topic, main = "shortcuts", audit["name"]
    tables = {name: {probe["key"]: probe for probe in probes} for name, probes in audit["probes"].items()}
    out = []
    bytes_tell = _above(tables, "metadata", GUESSABLE)
    if bytes_tell:
        text = "The class can be guessed from metadata alone (size, bytes, mode), AUC:"
        why = "No pixel was looked at; a file's length tells how much fine detail was compressed."
        out.append(finding(WARNING, topic, text, f"{bytes_tell}.", why))
    sharp = _above(tables, "sharpness", SHARP_SHORTCUT)
    if sharp:
        way = next(table["sharpness"]["how"] for table in tables.values() if "sharpness" in table)
        way = way.split("; ")[-1]
        held = audit["sharpness_on_test"]
        on_test = f" On test, {main}: {auc_text(held)}." if held else ""
        text = f"Sharpness alone (mean absolute horizontal gradient; {way}) separates the classes with AUC:"
        out.append(finding(WARNING, topic, text, f"{sharp}.{on_test}"))
    outside = _above({main: tables[main]}, "outside", GUESSABLE)
    if outside:
        text = f"With both lungs masked a linear model still reaches AUC {auc_text(tables[main]['outside']['auc'])}; on"
        out.append(finding(WARNING, topic, text, f"16 px thumbnails {auc_text(tables[main]['thumbnail']['auc'])}."))
    return out


def _above(tables: dict[str, dict[str, Any]], key: str, limit: float) -> str:
    """Renderings whose probe's interval lies above the limit, with their AUC."""
    found = [(name, table[key]["auc"]) for name, table in tables.items() if key in table]
    return "; ".join(f"{name} {auc_text(auc)}" for name, auc in found if auc["interval"][0] > limit)


def _model(audit: dict[str, Any]) -> list[Finding]:
    model, topic = audit.get("model"), "model"
    if not model:
        return []
    views = {view["title"]: view for view in model["views"]}
    whole, masked, inside = (views[title]["auc"] for title in ("As it is", "Lungs masked", "Only the lungs' rectangle"))
    shown = [probe["auc"]["value"] for probe in audit["probes"][audit["name"]] if probe["key"] in NOT_LUNG]
    best = max(shown, default=0.5)
    share = 100 * (best - 0.5) / max(whole["value"] - 0.5, 1e-9)
    worst = max((v for v in model["views"] if v["key"] in ("blur", "sharpen")), key=lambda v: v["changed_answers"])
    changed = worst["changed_answers"]
    masked_calls = 100 * views["Lungs masked"]["called"]
    beside = (
        f"The model's AUC on {model['n']} development-validation pictures is {auc_text(whole)}. The best probe that is",
        f"shown no lung as such reaches {best:.3f}, {share:.0f} % of the way from chance to the model: that much",
        "of the model's AUC may not be lung. The AUC itself cannot tell.",
    )
    hidden = (
        f"With the lungs masked the model has AUC {auc_text(masked)} (calling {masked_calls:.0f} % pneumonia), with",
        f"only the lungs' rectangle {auc_text(inside)}.",
    )
    moved = (
        f"{worst['title']}, {100 * changed:.1f} % of the model's answers change (mean change of probability",
        f"{worst['mean_change']:.3f}, AUC {worst['auc']['value']:.3f}); no other blur or sharpening changes more.",
    )
    return [
        finding(WARNING, topic, *beside),
        finding(NOTE, topic, *hidden),
        finding(WARNING if changed > 0.05 else NOTE, topic, *moved),
    ]


def _shift(part: dict[str, Any]) -> list[Finding]:
    out, topic, shares = [], "shift", part["prevalence"]
    if "test" in shares and "train" in shares:
        test, train = shares["test"], shares["train"]
        if test["interval"][1] < train["interval"][0] or train["interval"][1] < test["interval"][0]:
            out.append(finding(WARNING, topic, f"Prevalence differs: {100 * train['value']:.1f} % pneumonia in train,",
                               f"{100 * test['value']:.1f} % in test. Predictive values and calibration don't",
                               "carry over;",
                               "sensitivity and specificity can."))  # fmt: skip
    told = [entry for entry in part["classifiers"] if entry["auc"]["interval"][0] > GUESSABLE]
    if told:
        listing = "; ".join(f"{e['class']} by {e['view']} {auc_text(e['auc'])}" for e in told)
        out.append(finding(WARNING, topic, "Test pictures can be told from the others of the same class, AUC:",
                           f"{listing}. A held-out part of train therefore promises more than test keeps, and the gap",
                           "between the two figures is not all overfitting."))  # fmt: skip
    elif part["classifiers"]:
        out.append(finding(NOTE, topic, "No classifier here tells test from the other pictures of the same class."))
    return out


def _labels(part: dict[str, Any] | None) -> list[Finding]:
    if not part:
        return []
    if not part["suspects"]:
        return [finding(NOTE, "labels", "No label contradicts what the other patients' pictures suggest.")]
    first = part["list"][0]
    text = (
        f"{part['suspects']} of {part['n']:,} labels look wrong to a classifier that never saw the patient",
        "(its AUC:",
        f"{auc_text(part['auc'])}). The most doubtful is {first['file']}, {first['label']}, to which it gives",
        f"{100 * first['confidence']:.1f} %. They are listed for a reader and dropped nowhere.",
    )
    return [finding(WARNING, "labels", *text)]
