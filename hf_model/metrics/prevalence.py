"""What an answer is worth where pneumonia is rarer or more common: PPV, NPV and likelihood ratios.

Standard library only, so that the page can use it.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from hf_model.metrics.decision import posterior


def likelihood_ratios(tp: int, fn: int, tn: int, fp: int, confidence: float = 0.95) -> dict[str, dict]:
    """LR+ and LR- with log-method intervals (Simel, Samsa and Matchar, J Clin Epidemiol 1991).

    Returns {"lr_positive": {"value", "interval"}, "lr_negative": ...}; intervals are [low, high]. Where a count is
    zero, half a patient is added to all four before the interval (value too, when it would be 0 or infinite).
    ValueError for negative counts or an empty class.
    """
    if min(tp, fn, tn, fp) < 0 or not tp + fn or not tn + fp:
        raise ValueError(f"Likelihood ratios need pictures of both classes: tp {tp}, fn {fn}, tn {tn}, fp {fp}.")
    cells = [count + 0.5 for count in (tp, fn, tn, fp)] if 0 in (tp, fn, tn, fp) else [tp, fn, tn, fp]
    hit, miss, clear, alarm = cells
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    result = {}
    for name, of_sick, of_well in (("lr_positive", hit, alarm), ("lr_negative", miss, clear)):
        sick, well = hit + miss, clear + alarm
        ratio = (of_sick / sick) / (of_well / well)
        half = z * math.sqrt(1 / of_sick - 1 / sick + 1 / of_well - 1 / well)
        result[name] = {"value": ratio, "interval": [ratio * math.exp(-half), ratio * math.exp(half)]}
    return result


def predictive_values(
    tp: int, fn: int, tn: int, fp: int, prevalence: float, confidence: float = 0.95
) -> dict[str, dict]:
    """PPV and NPV at a prevalence in (0, 1), with likelihood ratios and their intervals.

    Bayes on the likelihood ratios; the intervals are the logit intervals of Mercaldo, Lau and Zhou (Statistics in
    Medicine 2007). Returns {"ppv", "npv", "lr_positive", "lr_negative"}: {"value", "interval"}, and "prevalence".
    """
    ratios = likelihood_ratios(tp, fn, tn, fp, confidence)

    def after(ratio: float) -> float:
        # A likelihood ratio moves even odds to ratio : 1, and these are moved to the prevalence.
        return posterior(ratio / (1 + ratio), prevalence, 0.5)

    positive, negative = ratios["lr_positive"], ratios["lr_negative"]
    ppv = {"value": after(positive["value"]), "interval": [after(end) for end in positive["interval"]]}
    npv_ends = [1 - after(end) for end in reversed(negative["interval"])]
    npv = {"value": 1 - after(negative["value"]), "interval": npv_ends}
    return {"prevalence": prevalence, "ppv": ppv, "npv": npv, **ratios}
