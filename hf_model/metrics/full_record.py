"""All that metrics.json says of one rendering of the test split."""

from __future__ import annotations

from typing import Any

from hf_model.metrics.decision import Decision
from hf_model.metrics.guarantees import check_guarantees, score_shift
from hf_model.metrics.record import evaluation_record
from hf_model.metrics.scores import Scores
from hf_model.metrics.subgroups import aetiology_column, subgroup_table


def full_record(scores: Scores, decision: Decision, calibration: Scores | None) -> dict[str, Any]:
    """The evaluation record with "subgroups", "guarantees" (does each promise hold here) and "shift".

    ``calibration`` are the scores that the decision was fitted on; without them "shift" is None.
    """
    return evaluation_record(scores, decision) | {
        "subgroups": subgroup_table(scores, decision, aetiology_column(scores)),
        "guarantees": check_guarantees(scores, decision),
        "shift": None if calibration is None else score_shift(calibration, scores, decision),
    }
