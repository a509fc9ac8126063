"""The answer card: words, the probability on a bar with threshold and refer band, and what that means."""

from __future__ import annotations

from hf_model.config import NOT_A_DEVICE
from hf_model.metrics.decision import LIKELY, NOT_LIKELY, REFER, Decision
from hf_model.metrics.held_out import Performance
from hf_model.page.text import escape, interval, percent, rounded
from hf_model.radiograph.population import NOT_DESCRIBED, UNDESCRIBED, Population

KIND = {LIKELY: "likely", NOT_LIKELY: "unlikely", REFER: "refer"}
SYMBOL = {LIKELY: "▲", NOT_LIKELY: "○", REFER: "◆"}


def answer_card(
    answer: str,
    probability: float,
    threshold: float,
    decision: Decision,
    performance: Performance | None,
    population: Population = UNDESCRIBED,
) -> str:
    """The card as HTML.

    answer is one of the three of ``Decision.answer``; probability and threshold are 0 to 1; performance is measured at
    that threshold, or None for a checkpoint without held-out scores; population is the checkpoint's.
    """
    kind = KIND[answer]
    return (
        f'<section class="cxr-answer cxr-{kind}" aria-live="polite" data-answer="{escape(answer)}">'
        f'<h2><span class="cxr-symbol" aria-hidden="true">{SYMBOL[answer]}</span>{escape(answer)}</h2>'
        f'<p class="cxr-headline"><strong data-probability="{probability:.6f}">{percent(probability)}</strong> '
        f"calibrated probability of pneumonia</p>"
        f"{probability_bar(probability, threshold, decision)}"
        f'<div class="cxr-meaning">{meaning(answer, probability, threshold, decision, performance, population)}</div>'
        f'<p class="cxr-standing">{escape(NOT_A_DEVICE)}</p></section>'
    )


def probability_bar(probability: float, threshold: float, decision: Decision) -> str:
    """A bar from 0 to 100 %: zones for the three answers, a tick at the threshold, a marker at the probability."""
    band = decision.refer_band_at(threshold)
    low, high = (threshold, threshold) if band is None else band
    drawn = "".join(
        f'<span class="cxr-zone cxr-zone-{kind}" '
        f'style="left:{100 * start:.3f}%;width:{100 * (end - start):.3f}%"></span>'
        for kind, start, end in (("unlikely", 0.0, low), ("refer", low, high), ("likely", high, 1.0))
        if end > start
    )
    spoken = f"Probability {percent(probability)}, threshold {percent(threshold)}"
    if band:
        spoken += f", refer band from {percent(low)} to {percent(high)}"
    return (
        f'<div class="cxr-bar" role="img" aria-label="{spoken}">'
        f'<span class="cxr-tick-label" style="left:clamp(4em,{100 * threshold:.3f}%,calc(100% - 4em))">'
        f"threshold {percent(threshold)}</span>"
        f'<span class="cxr-tick" style="left:{100 * threshold:.3f}%"></span>'
        f'<span class="cxr-marker" style="left:{100 * probability:.3f}%"></span>'
        f'<div class="cxr-track">{drawn}</div>{_zone_names(low, high)}</div>'
    )


def _zone_names(low: float, high: float) -> str:
    """Names under the zones: the outer two at the ends of the bar, "refer" in its zone if it keeps clear of them."""
    middle = (low + high) / 2
    names = [("left:0", "Not likely", low > 0), ("right:0", "Likely", high < 1)]
    names.append(
        (f"left:{100 * middle:.3f}%;transform:translateX(-50%)", "Refer", low < high and 0.35 <= middle <= 0.7)
    )
    return "".join(f'<span class="cxr-zone-name" style="{style}">{name}</span>' for style, name, fits in names if fits)


def meaning(
    answer: str,
    probability: float,
    threshold: float,
    decision: Decision,
    performance: Performance | None,
    population: Population = UNDESCRIBED,
) -> str:
    """What the answer means, in plain words with the held-out figures, as HTML paragraphs."""
    parts = [_why(answer, probability, threshold, decision, population.plural)]
    if performance is None:
        parts.append("This checkpoint carries no held-out scores, so nothing is known of its errors.")
    else:
        found, cleared = performance.sensitivity, performance.specificity
        parts.append(
            f"At this threshold the model finds <strong>{rounded(found.value)}</strong> ({interval(*found.interval)}) "
            f"of pneumonias and clears <strong>{rounded(cleared.value)}</strong> ({interval(*cleared.interval)}) of "
            f"normal chests, on {performance.pictures} held-out pictures. In brackets: 95 % intervals."
        )
    if decision.calibrated:
        parts.append(_holds(decision, population))
    else:
        parts.append(
            "The probability of this checkpoint is <strong>not calibrated</strong>: it ranks pictures, but 80 % does "
            "not mean eight in ten."
        )
    return "".join(f"<p>{part}</p>" for part in parts)


def _holds(decision: Decision, population: Population) -> str:
    """For whom the probability holds: who was calibrated on, which after a recalibration are other pictures."""
    if decision.provenance.get("recalibrated"):
        name = escape(str(decision.provenance.get("dataset") or "local pictures"))
        shown = f"The probability was refitted on {name}"
    elif population.described:
        shown = f"The probability holds for {escape(population.patients)} as in the training data"
    else:
        shown = f"{NOT_DESCRIBED} The probability holds for its calibration pictures"
    return (
        f"{shown}, of whom {rounded(decision.prevalence)} have pneumonia. Set your own pre-test probability below. "
        f"{population.out_of_scope}"
    )


def _why(answer: str, probability: float, threshold: float, decision: Decision, many: str) -> str:
    if answer == REFER:
        low, high = decision.refer_band_at(threshold)
        return (
            f"{percent(probability)} lies between rule-out ({percent(low)}) and rule-in ({percent(high)}): the model "
            "is not sure enough either way. A radiologist should read this picture."
        )
    if answer == LIKELY:
        return (
            f"{percent(probability)} is at or above the threshold of {percent(threshold)}: the picture resembles those "
            f"of {many} with pneumonia. It does not say which kind, nor rule out another disease."
        )
    return (
        f"{percent(probability)} is below the threshold of {percent(threshold)}: the picture resembles those of "
        f"{many} without pneumonia. This does not rule pneumonia out."
    )
