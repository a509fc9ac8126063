"""Recalibration: a new decision for the same weights, fitted on local pictures."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from hf_model.evaluation import test_split
from hf_model.files import sha256, write_json
from hf_model.metrics.decision import FILE_NAME, Decision
from hf_model.metrics.operating_point import fit_decision, patients_needed
from hf_model.metrics.record import evaluation_record, full_record
from hf_model.metrics.scores import Scores
from hf_model.wording import setting

FEWEST_PER_CLASS = 20
"""Patients of either class. Temperature and bias are two numbers; ten patients of the rarer class for each is the usual
least of a logistic regression (Peduzzi et al., J Clin Epidemiol 1996)."""
_LEFT_BEHIND = {FILE_NAME, "metrics.json", "README.md", "confusion_matrix.png", "evaluation.html"}
_OF_OLD_DECISION = ("test", "renderings", "originals", "engines")


class TooFewPatientsError(ValueError):
    """The local pictures cannot prove the target; the message has the number needed."""


def refit(
    scores: Scores,
    *,
    target_sensitivity: float = 0.95,
    confidence: float = 0.95,
    seed: int = 0,
    provenance: dict[str, Any] | None = None,
) -> Decision:
    """Temperature, bias and points from local scores.

    Raises TooFewPatientsError unless there are enough patients with pneumonia to prove the target without an error,
    and ``FEWEST_PER_CLASS`` of either class.
    """
    sick, well = (len(np.unique(scores.patient_codes[scores.labels == label])) for label in (1, 0))
    needed = max(patients_needed(target_sensitivity, confidence), FEWEST_PER_CLASS)
    if sick < needed or well < FEWEST_PER_CLASS:
        raise TooFewPatientsError(
            f"There are {sick} patients with pneumonia and {well} without; a sensitivity of "
            f"{setting(target_sensitivity)} with {setting(confidence)} confidence needs at least {needed} with "
            f"pneumonia (and then not one may be missed) and {FEWEST_PER_CLASS} without. Collect more, or lower "
            "--target_sensitivity or --confidence."
        )
    return fit_decision(
        scores, target_sensitivity=target_sensitivity, confidence=confidence, seed=seed, provenance=provenance
    )


def write_recalibrated(
    source: Path, target: Path, decision: Decision, scores: Scores, metrics: dict[str, Any], facts: dict[str, Any]
) -> dict[str, Any]:
    """Copy the checkpoint with a new decision: weights and engine files byte for byte, figures and card renewed.

    ``metrics`` are the old metrics.json's contents. Figures on the test split are recomputed with the new decision
    from the scores the checkpoint holds, and dropped where it holds none; the split is not opened. ``facts`` (data
    set, counts, hashes) become ``metrics["recalibration"]``, beside the old decision. Returns the contents of the new
    metrics.json.
    """
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_file() and path.name not in _LEFT_BEHIND and not path.name.startswith("."):
            shutil.copyfile(path, target / path.name)
    stored = test_split.stored_scores(source)
    for name, test in stored.items():
        test.to_csv(target / "scores" / ("test.csv" if name == test_split.TEST else f"test-{name}.csv"))
    for number, path in enumerate(sorted((source / "scores").glob("calibration*.csv")), 1):
        # the names tell CheckpointPictures what the weights were trained on; patients are not needed for that
        earlier = Scores.from_csv(path)
        replace(earlier, patients=[""] * len(earlier)).to_csv(target / "scores" / f"calibration-before-{number}.csv")
    scores.to_csv(target / "scores" / "calibration.csv")
    decision.save(target)
    renewed = {key: value for key, value in metrics.items() if key not in _OF_OLD_DECISION}
    order = [name for name in metrics.get("test") or {} if name in stored]
    order += [name for name in stored if name not in order]
    renewed["test"] = {name: full_record(stored[name], decision, scores) for name in order}
    renewed["calibration"] = evaluation_record(scores, decision)
    renewed.pop("development_validation", None)
    renewed["recalibration"] = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
        "before": Decision.load(source).to_dict(),
        "before_sha256": sha256(before) if (before := source / FILE_NAME).is_file() else None,
    }
    write_json(target / "metrics.json", renewed)
    return renewed
