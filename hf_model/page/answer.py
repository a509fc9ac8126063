"""What the page says of one picture: the answer, what it is worth at another pre-test probability, the details."""

from __future__ import annotations

from markupsafe import Markup

from hf_model.inference.prediction import Prediction
from hf_model.metrics.decision import LIKELY, NOT_LIKELY, REFER
from hf_model.metrics.held_out import Performance
from hf_model.metrics.prevalence import predictive_values
from hf_model.page import fragment
from hf_model.radiograph.population import UNDESCRIBED, Population

KIND = {LIKELY: "likely", NOT_LIKELY: "unlikely", REFER: "refer"}
"""Answer -> its part of CSS classes."""
SYMBOL = {LIKELY: "▲", NOT_LIKELY: "○", REFER: "◆"}
OUT_OF = 1000
"""Patients in the sentence on found and missed pneumonias."""


def answer_view(
    prediction: Prediction, performance: Performance | None, population: Population = UNDESCRIBED
) -> Markup:
    """The answer card, or why the answer is withheld.

    performance: measured at the prediction's threshold, or None for a checkpoint without held-out scores.
    """
    if prediction.refused:
        return fragment("answer", "refused", prediction=prediction, population=population)
    if prediction.needs_confirmation:
        return fragment("answer", "flagged", prediction=prediction)
    return fragment(
        "answer",
        "card",
        prediction=prediction,
        kind=KIND[prediction.answer],
        symbol=SYMBOL[prediction.answer],
        performance=performance,
        population=population,
    )


def pretest_panel(
    prediction: Prediction, pretest: float, performance: Performance | None, population: Population = UNDESCRIBED
) -> Markup:
    """Post-test probability, PPV and NPV at ``pretest`` (strictly between 0 and 1).

    The post-test probability uses the picture's own probability, PPV and NPV use only on which side of the threshold
    it lies. Rows for which the checkpoint lacks the numbers say so.
    """
    decision = prediction.rule
    values = counts = None
    if performance is not None:
        values = predictive_values(**performance.counts, prevalence=pretest)
        sick = round(OUT_OF * pretest)
        counts = {
            "patients": OUT_OF,
            "sick": sick,
            "found": round(sick * performance.sensitivity.value),
            "alarms": round((OUT_OF - sick) * (1 - performance.specificity.value)),
        }
    return fragment(
        "answer",
        "pretest_panel",
        pretest=pretest,
        post_test=decision.posterior(prediction.probability, pretest) if decision.calibrated else None,
        kind=KIND[prediction.answer],
        values=values,
        counts=counts,
        population=population,
    )


def details_view(prediction: Prediction) -> Markup:
    """Model, timing, file and input checks of a prediction that keeps its radiograph, folded."""
    return fragment("answer", "details", prediction=prediction)
