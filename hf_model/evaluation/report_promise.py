"""The report's first words: what was evaluated, and whether the promise of each operating point holds there."""

from __future__ import annotations

from html import escape
from typing import Any

from hf_model.evaluation.report_markup import POINT, Markup, Section, percent, text
from hf_model.evaluation.sharing import shared

_VERDICT = {"holds": "Holds.", "broken": "Does not hold.", "open": "Not settled."}
_ROLE = {
    "test": "This is the test split of the data set that the checkpoint was trained on: no weight, temperature or "
    "threshold was fitted on it.",
    "development": "These pictures, or some of them, are of the data that the checkpoint was trained or calibrated on: "
    "weights or thresholds may have been fitted on them, so every figure here is optimistic.",
    "external": "External validation: by the names of data set and files, these pictures are not of the data that the "
    "checkpoint was trained on. Weights, temperature and thresholds are frozen as the checkpoint has them.",
}


def opening_line(content: dict[str, Any]) -> str:
    """What was evaluated, in a sentence."""
    record = content["record"]
    return (
        f"{_leaked(content)}Split {content['split']}: {record['n']:,} pictures of {_people(content)}, "
        f"{record['normal']:,} normal and {record['pneumonia']:,} with pneumonia ({percent(record['prevalence'])}). "
        f"{_ROLE[content['role']]}{_rest(content.get('not_test_pictures'))}"
    )


def _leaked(content: dict[str, Any]) -> str:
    """What was allowed to be on both sides, as the training run recorded it; "" where there was nothing."""
    found = content.get("leakage")
    if content["role"] != "test" or not found or found.get("clean"):
        return ""
    return f"TRAINED ON PART OF THIS: development shares {shared(found)} with this split, so figures are too good. "


def _people(content: dict[str, Any]) -> str:
    if content.get("patients_known", True):
        return f"{content['record']['patients']:,} patients"
    return "unknown patients, so that intervals and promises below count pictures as patients and may be too good"


def _rest(others: list[str] | None) -> str:
    if not others:
        return ""
    return (
        f" {len(others):,} further pictures were left out, because they are not among the test pictures whose scores "
        "the checkpoint holds: it may have been fitted on them."
    )


def promise(content: dict[str, Any]) -> Section:
    """Whether each point's guarantee holds, and how the scores moved."""
    parts = []
    for name, entry in content["guarantees"].items():
        words = f"<strong>{POINT[name]}: {_VERDICT[entry['verdict']]}</strong> {escape(entry['sentence'])}"
        parts.append(f'<div class="verdict {entry["verdict"]}">{text(Markup(words))}</div>')
    for name, point in content["decision"]["points"].items():
        if point["threshold"] is None:
            sentence = (
                f"{POINT[name]}: there is no threshold. Calibration had {point['patients']} patients for it, and at "
                f"least {point['patients_needed']} are needed."
            )
            parts.append(f'<div class="verdict open">{text(sentence)}</div>')
    if not parts:
        parts.append(text("The checkpoint carries no operating point, so nothing was promised. The threshold is 0.5."))
    note = (
        "Patients are counted, not pictures: one picture of each is drawn at random, as on the calibration patients. "
        "Each promise stands by itself."
    )
    if content["role"] == "development":
        note += (
            " These pictures may be the very ones that the thresholds were fitted on: what holds here need not hold on "
            "new patients."
        )
    return Section("promise", "Does the guarantee hold?", "".join(parts) + text(note, "note") + _shift(content))


def _shift(content: dict[str, Any]) -> str:
    shift = content["shift"]
    if not shift:
        return ""
    body = f"<h3>Shift of the scores</h3>{text(shift['sentence'])}"
    if "calibration_slope" in shift:
        sentence = (
            f"Refitted on these pictures, the log-odds would have a slope of {shift['calibration_slope']:.2f} and an "
            f"intercept of {shift['calibration_intercept']:+.2f}; 1 and 0 mean probabilities that are right here. A "
            "slope below 1 says that they are too extreme, a negative intercept that they are too high."
        )
        body += text(sentence)
    return body
