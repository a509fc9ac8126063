"""What the answer is worth where pneumonia is rarer or more common than among the calibration pictures."""

from __future__ import annotations

from hf_model.metrics.decision import LIKELY, NOT_LIKELY, Decision
from hf_model.metrics.held_out import Performance
from hf_model.metrics.prevalence import predictive_values
from hf_model.page.text import interval, percent, rounded

OUT_OF = 1000


def pretest_panel(
    probability: float,
    pretest: float,
    decision: Decision,
    performance: Performance | None,
    answer: str,
    many: str = "patients",
) -> str:
    """Post-test probability, PPV and NPV at ``pretest`` (strictly between 0 and 1) as HTML.

    The post-test probability uses the picture's own probability, PPV and NPV use only on which side of the threshold
    it lies. many: what to call them. Rows for which the checkpoint lacks the numbers say so.
    """
    rows = [_post_test(probability, pretest, decision)]
    sentence = ""
    if performance is not None:
        values = predictive_values(**performance.counts, prevalence=pretest)
        rows.append(_row("PPV", "pneumonia, if called likely", values["ppv"], answer == LIKELY))
        rows.append(_row("NPV", "no pneumonia, if called not likely", values["npv"], answer == NOT_LIKELY))
        sentence = f"<p>{_of_a_thousand(pretest, performance, many)}</p>"
    return (
        '<section class="cxr-pretest" aria-live="polite"><table class="cxr-values">'
        f'<caption class="cxr-hidden">At a pre-test probability of {rounded(pretest)}</caption>'
        f"<tbody>{''.join(rows)}</tbody></table>{sentence}</section>"
    )


def _post_test(probability: float, pretest: float, decision: Decision) -> str:
    if not decision.calibrated:
        return (
            '<tr><th scope="row">Post-test<small>this picture</small></th>'
            "<td>unknown<small>the checkpoint is not calibrated</small></td></tr>"
        )
    value = decision.posterior(probability, pretest)
    return (
        '<tr class="cxr-current"><th scope="row">Post-test<small>this picture</small></th>'
        f'<td data-post-test="{value:.6f}">{percent(value)}</td></tr>'
    )


def _row(name: str, words: str, figure: dict, current: bool) -> str:
    mark = ' class="cxr-current"' if current else ""
    return (
        f'<tr{mark}><th scope="row">{name}<small>{words}</small></th><td data-{name.lower()}="{figure["value"]:.6f}">'
        f"{percent(figure['value'])}<small>{interval(*figure['interval'])}</small></td></tr>"
    )


def _of_a_thousand(pretest: float, performance: Performance, many: str) -> str:
    sick = round(OUT_OF * pretest)
    found = round(sick * performance.sensitivity.value)
    alarms = round((OUT_OF - sick) * (1 - performance.specificity.value))
    return (
        f"Of {OUT_OF:,} such {many} {sick} have pneumonia: {found} are found and {sick - found} missed; "
        f"of the {OUT_OF - sick} without, {alarms} are called pneumonia."
    )
