"""The audit's figures as sentences, the worst first."""

from __future__ import annotations

from typing import Any

from hf_model.audit.integrity import UNUSABLE
from hf_model.audit.leakage import unknown_sentence
from hf_model.audit.pictures import TEST
from hf_model.config import LABELS

FAULT, WARNING, NOTE = "fault", "warning", "note"
GUESSABLE = 0.6
"""AUC that the lower end of a probe's interval must pass before it is called a shortcut, or a shift."""

Finding = dict[str, str]


def finding(severity: str, topic: str, *parts: str) -> Finding:
    """severity: "fault" (mend it before training), "warning" (know it before believing a figure), "note"."""
    return {"severity": severity, "topic": topic, "text": " ".join(parts)}


def auc_text(entry: dict[str, Any]) -> str:
    """0.850 (0.838 to 0.861), or 0.850 alone where so few pictures give no interval."""
    if entry["interval"] is None:
        return f"{entry['value']:.3f}"
    low, high = entry["interval"]
    return f"{entry['value']:.3f} ({low:.3f} to {high:.3f})"


def is_above(entry: dict[str, Any], limit: float) -> bool:
    """Whether the whole interval lies above the limit; without an interval nothing is known."""
    return entry["interval"] is not None and entry["interval"][0] > limit


SHARP_SHORTCUT = 0.7
NOT_LUNG = ("metadata", "sharpness", "outside")
"""Probes to which the lungs' region is not shown as such."""


def shortcuts(audit: dict[str, Any]) -> list[Finding]:
    """What tells the classes apart without a lung."""
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
    if audit.get("probes_note"):
        out.append(finding(NOTE, topic, audit["probes_note"]))
    outside = _above({main: tables[main]}, "outside", GUESSABLE)
    if outside:
        text = f"With both lungs masked a linear model still reaches AUC {auc_text(tables[main]['outside']['auc'])}; on"
        out.append(finding(WARNING, topic, text, f"16 px thumbnails {auc_text(tables[main]['thumbnail']['auc'])}."))
    return out


def _above(tables: dict[str, dict[str, Any]], key: str, limit: float) -> str:
    """Renderings whose probe's interval lies above the limit, with their AUC."""
    found = [(name, table[key]["auc"]) for name, table in tables.items() if key in table]
    return "; ".join(f"{name} {auc_text(auc)}" for name, auc in found if is_above(auc, limit))


def model(audit: dict[str, Any]) -> list[Finding]:
    """The model beside the probes, and how its answers move."""
    part, topic = audit.get("model"), "model"
    if not part:
        return []
    views = {view["title"]: view for view in part["views"]}
    whole, masked, inside = (views[title]["auc"] for title in ("As it is", "Lungs masked", "Only the lungs' rectangle"))
    shown = [probe["auc"]["value"] for probe in audit["probes"][audit["name"]] if probe["key"] in NOT_LUNG]
    best = max(shown, default=0.5)
    worst = max((v for v in part["views"] if v["key"] in ("blur", "sharpen")), key=lambda v: v["changed_answers"])
    changed = worst["changed_answers"]
    masked_calls = 100 * views["Lungs masked"]["called"]
    beside = (
        f"The model's AUC on {part['n']} development-validation pictures is {auc_text(whole)}. The best probe that is",
        f"shown no lung as such reaches {best:.3f}{_share(best, whole)}",
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


def _share(best: float, whole: dict[str, Any]) -> str:
    """How much of the model's AUC the probe reaches, where that can be said."""
    if not is_above(whole, 0.5):
        return "; the model is not shown to be above chance, so no share is given."
    if best >= whole["value"]:
        return ", as much as the model or more: all of the model's AUC may not be lung. The AUC itself cannot tell."
    share = 100 * max(best - 0.5, 0) / (whole["value"] - 0.5)
    return (
        f", {share:.0f} % of the way from chance to the model: that much of the model's AUC may not be lung. The AUC "
        "itself cannot tell."
    )


def shift(part: dict[str, Any]) -> list[Finding]:
    """What test has in another way than the rest."""
    out, topic, shares = [], "shift", part["prevalence"]
    if "test" in shares and "train" in shares:
        test, train = shares["test"], shares["train"]
        if test["interval"][1] < train["interval"][0] or train["interval"][1] < test["interval"][0]:
            out.append(
                finding(
                    WARNING,
                    topic,
                    f"Prevalence differs: {100 * train['value']:.1f} % pneumonia in train,",
                    f"{100 * test['value']:.1f} % in test. Predictive values and calibration don't",
                    "carry over;",
                    "sensitivity and specificity can.",
                )
            )
    told = [entry for entry in part["classifiers"] if is_above(entry["auc"], GUESSABLE)]
    if told:
        listing = "; ".join(f"{e['class']} by {e['view']} {auc_text(e['auc'])}" for e in told)
        out.append(
            finding(
                WARNING,
                topic,
                "Test pictures can be told from the others of the same class, AUC:",
                f"{listing}. A held-out part of train therefore promises more than test keeps, and the gap",
                "between the two figures is not all overfitting.",
            )
        )
    elif part["classifiers"]:
        out.append(finding(NOTE, topic, "No classifier here tells test from the other pictures of the same class."))
    return out


def _unseen(audit: dict[str, Any]) -> str:
    return "the patient" if audit.get("leakage", {}).get("patient_keys", True) else "the picture (patients are unknown)"


def labels(audit: dict[str, Any]) -> list[Finding]:
    """Labels that a classifier contradicts, and those that confident learning calls wrong."""
    part, topic = audit.get("labels"), "labels"
    if not part:
        return [finding(NOTE, topic, audit["labels_note"])] if audit.get("labels_note") else []
    if not part["disagree"]:
        return [finding(NOTE, topic, "No label contradicts what the other patients' pictures suggest.")]
    if not part["suspects"]:
        text = f"A classifier that never saw {_unseen(audit)} contradicts {part['disagree']:,} of {part['n']:,} labels"
        rest = "Confident learning calls none of them wrong. They are listed for a reader and dropped nowhere."
        return [finding(NOTE, topic, text, f"(its AUC: {auc_text(part['auc'])}).", rest)]
    first = next(entry for entry in part["list"] if entry["confident"])
    text = (
        f"{part['suspects']} of {part['n']:,} labels look wrong to a classifier that never saw {_unseen(audit)}",
        "(its AUC:",
        f"{auc_text(part['auc'])}). The most doubtful is {first['file']}, {first['label']}, to which it gives",
        f"{100 * first['confidence']:.1f} %. They are listed for a reader and dropped nowhere.",
    )
    return [finding(WARNING, topic, *text)]


ODD = ("colour", "odd-mode")


def find_all(audit: dict[str, Any]) -> list[Finding]:
    """Every finding of the finished record: faults, then warnings, then notes."""
    found = [
        *_classes(audit.get("counts") or []),
        *_integrity(audit["integrity"]),
        *_duplicates(audit["duplicates"]),
        *_leakage(audit["leakage"]),
        *shortcuts(audit),
        *model(audit),
        *shift(audit["shift"]),
        *labels(audit),
    ]
    order = (FAULT, WARNING, NOTE)
    return sorted(found, key=lambda entry: order.index(entry["severity"]))


def _classes(counts: list[dict[str, Any]]) -> list[Finding]:
    """A class without a picture to learn from."""
    learned = [entry for entry in counts if entry["split"] != TEST]
    absent = [name for name in LABELS if not sum(e["n"] for e in learned if e["class"] == name)]
    text = "has no picture outside the test split: train.py needs both classes and does not start."
    return [finding(FAULT, "pictures", name, text) for name in absent] if learned else []


def _listed(numbers: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in numbers.items())


def _integrity(part: dict[str, Any]) -> list[Finding]:
    kinds, topic, out = part["kinds"], "integrity", []
    broken = {kind: kinds[kind] for kind in UNUSABLE if kinds.get(kind)}
    odd = {kind: kinds[kind] for kind in ODD if kinds.get(kind)}
    if broken:
        first = next(p["where"] for p in part["problems"] if p["kind"] in broken)
        out.append(
            finding(
                FAULT,
                topic,
                f"Of {part['rows']:,} rows some hold no usable picture:",
                f"{_listed(broken)} (the",
                f"first is {first}). Training skips {part['skipped_by_training']} of them.",
            )
        )
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
    out = [
        finding(
            NOTE,
            "duplicates",
            f"{exact['groups']} groups of pictures have equal decoded pixels ({exact['files']} files, in",
            f"{part['rendering']} at {width} x {height} px): {exact['across_splits']} groups cross splits,",
            f"{exact['across_patients']} join two patient keys. {near['groups']} further pairs are nearly equal.",
        )
    ]
    conflicts = exact["label_conflicts"] + near["label_conflicts"]
    if conflicts:
        example = next(g for g in exact["list"] + near["list"] if len(g["labels"]) > 1)["files"]
        out.append(
            finding(
                FAULT,
                "duplicates",
                f"{conflicts} groups of equal or nearly equal pictures carry both",
                f"labels, for example {' and '.join(example[:2])}.",
            )
        )
    return out


def _leakage(part: dict[str, Any]) -> list[Finding]:
    topic = "leakage"
    out = [finding(FAULT, topic, f"Leakage: {sentence}") for sentence in part["leaks"]]
    doubts = _unknown_patients(part)
    out += [finding(WARNING, topic, doubt) for doubt in doubts]
    if not part["test_split"]:
        text = "There is no test split, so nothing was compared with one."
        held = "patients out by itself." if part["patient_keys"] else "pictures out, not patients."
        return [*out, finding(NOTE, topic, text, f"Training holds {held}")]
    if part["leaks"]:
        return out
    if doubts:
        text = "Clean as far as compared: no file, decoded picture or near duplicate is in test and elsewhere."
        compared = "not all compared" if part["patient_keys"] else "not compared"
        return [*out, finding(NOTE, topic, text, f"Patients were {compared}.")]
    text = "No leakage: no patient (full key), file, decoded picture or near duplicate is in test and elsewhere."
    numbers = sum(p["counts"]["bare_numbers"] or 0 for p in part["pairs"] if set(p["splits"]) == {"train", "test"})
    if numbers:
        shared = f"By the bare number train and test seem to share {numbers} patients"
        text += f" {shared}; {_numbering(part.get('series'))}"
    return [finding(NOTE, topic, text)]


def _unknown_patients(part: dict[str, Any]) -> list[str]:
    """Why patients were not compared, or not all of them."""
    if not part["patient_keys"]:
        beside = "could not be compared between the splits" if part["test_split"] else "cannot be held out together"
        return [f"Nothing says whose picture each is, so patients {beside}."]
    return [sentence] if (sentence := unknown_sentence(part["unknown_patients"])) else []


def _numbering(part: dict[str, Any] | None) -> str:
    """Why numbers in common are no patients in common."""
    meet = ((part or {}).get("meet") or {}).get("train")
    text = "each is in two different series (bacteria, virus, IM, NORMAL2-IM), and each series counts on its own"
    if meet and meet["in_two_series"]:
        text += f": within train alone {meet['in_two_series']:,} of {meet['numbers']:,} numbers meet in two series"
    return f"{text}."
