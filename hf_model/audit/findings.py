"""The audit's figures as sentences, the worst first."""

from __future__ import annotations

from typing import Any

from hf_model.audit import findings_probes as probes
from hf_model.audit.finding import FAULT, NOTE, WARNING, Finding, finding
from hf_model.audit.integrity import UNUSABLE
from hf_model.audit.leakage import unknown_sentence
from hf_model.audit.pictures import TEST
from hf_model.config import LABELS

ODD = ("colour", "odd-mode")


def find_all(audit: dict[str, Any]) -> list[Finding]:
    """Every finding of the finished record: faults, then warnings, then notes."""
    found = [
        *_classes(audit.get("counts") or []),
        *_integrity(audit["integrity"]),
        *_duplicates(audit["duplicates"]),
        *_leakage(audit["leakage"]),
        *probes.shortcuts(audit),
        *probes.model(audit),
        *probes.shift(audit["shift"]),
        *probes.labels(audit),
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
