"""``Prediction`` and ``Failure``, which page, API, tables and reports show, with the schema of their JSON and CSV.

Importing this loads NumPy and Pillow, but neither an engine nor weights.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TextIO

import numpy as np

from hf_model.config import LABELS, NORMAL, PNEUMONIA
from hf_model.inference.heat_map import heat_map_png
from hf_model.metrics.decision import LIKELY, NOT_LIKELY, REFER, Decision
from hf_model.radiograph import Finding, Radiograph

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
PREDICTION_VERSION = "2.0"
"""Of a Prediction's and a Failure's JSON and CSV; decision.json and metrics.json have config.SCHEMA_VERSION."""

_VERSION = {"type": "string", "const": PREDICTION_VERSION, "description": "Version of this schema."}
_NAME = {"type": "string", "description": "Name of the file, without its folder."}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_MILLISECONDS = {"type": "number", "minimum": 0}


def _closed(properties: dict[str, Any], optional: tuple[str, ...] = (), **rest: Any) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False, **rest}


def _withheld(rules: dict[str, Any]) -> dict[str, Any]:
    return {**rules, "description": f"{rules['description']} Null if refused or needs_confirmation."}


FINDING: dict[str, Any] = _closed(
    {
        "code": {"type": "string", "description": "Stable short name of the check."},
        "message": {"type": "string", "description": "A sentence for a person."},
        "severity": {"enum": ["refuse", "flag", "note"]},
    }
)

PREDICTION: dict[str, Any] = _closed(
    {
        "schema_version": _VERSION,
        "name": _NAME,
        "refused": {"type": "boolean", "description": "True: the picture is unusable; there is no answer."},
        "needs_confirmation": {
            "type": "boolean",
            "description": "True: by the findings probably not a frontal chest radiograph as the model knows it; there "
            "is no answer until it is asked for with override.",
        },
        "overridden": {"type": "boolean", "description": "True: flags were overridden, the answer is given anyway."},
        "probability": _withheld(
            {**_SHARE, "type": ["number", "null"], "description": "Calibrated probability of pneumonia."}
        ),
        "threshold": {**_SHARE, "description": "Probability at and above which the decision is PNEUMONIA."},
        "decision": _withheld({"enum": [*LABELS, None], "description": "The label at the threshold."}),
        "answer": _withheld(
            {"enum": [LIKELY, NOT_LIKELY, REFER, None], "description": "The decision in words, with the refer band."}
        ),
        "calibrated": {"type": "boolean", "description": "False: the checkpoint has no decision.json."},
        "logits": _closed({label: {"type": ["number", "null"]} for label in LABELS}),
        "findings": {"type": "array", "items": FINDING},
        "model_id": {"type": "string", "description": "Hub id or folder name of the checkpoint."},
        "model_hash": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256 of model.safetensors."},
        "engine": {"type": "string", "description": "Engine and precision, e.g. openvino-f32."},
        "timing_ms": _closed(dict.fromkeys(("decode", "preprocess", "model", "total"), _MILLISECONDS)),
        "heat_map": {
            "type": ["string", "null"],
            "contentEncoding": "base64",
            "contentMediaType": "image/png",
            "description": "Evidence for pneumonia over the whole picture, grey, 255 strongest; only when asked for. "
            "Null where the model has none or the answer is withheld.",
        },
    },
    optional=("heat_map",),
    **{"$schema": _DIALECT, "title": "Prediction"},
)

FAILURE: dict[str, Any] = _closed(
    {
        "schema_version": _VERSION,
        "name": _NAME,
        "error": _closed(
            {
                "code": {"type": "string", "description": "Stable short name of the reason."},
                "reason": {"type": "string", "description": "A sentence for a person."},
            }
        ),
    },
    **{"$schema": _DIALECT, "title": "Failure"},
)


PRECISION = 6
"""Decimals of probabilities and logits in JSON and CSV."""
CSV_COLUMNS = (
    "name",
    "probability",
    "threshold",
    "decision",
    "answer",
    "logit_normal",
    "logit_pneumonia",
    "refused",
    "needs_confirmation",
    "findings",
    "error",
    "reason",
    "model_id",
    "model_hash",
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters of a cell that a spreadsheet would take for a formula, and run (CWE-1236)."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds of wall time: reading the file, checking and resizing, the model with its map; all together."""

    decode: float
    preprocess: float
    model: float
    total: float

    def to_dict(self) -> dict[str, float]:
        """The four numbers, rounded to a hundredth of a millisecond."""
        return {name: round(getattr(self, name), 2) for name in ("decode", "preprocess", "model", "total")}


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the model says about one radiograph.

    name: the file's name (never its folder). probability: calibrated probability of pneumonia, 0 to 1. threshold: the
    one that ``decision`` ("PNEUMONIA" or "NORMAL") and ``answer`` (words for a person) were made at. logits:
    ``(normal, pneumonia)``. class_activation_map: float32 (h, w) in 0..1 over the whole picture, or None when it was
    not asked for or the architecture has none. findings: what the input checks noticed. model_hash: SHA-256 of
    ``model.safetensors``. overridden: a person or program said that flags do not matter. radiograph: what was read,
    its pixels reduced for showing, or None when it was not asked for.

    The numbers are always there, for evaluation. Code that shows them to a person checks ``withheld`` first, as
    ``to_dict`` and the CSV do.
    """

    name: str
    probability: float
    threshold: float
    decision: str
    answer: str
    logits: tuple[float, float]
    class_activation_map: np.ndarray | None
    findings: tuple[Finding, ...]
    model_id: str
    model_hash: str
    engine: str
    timing: Timing
    rule: Decision
    overridden: bool = False
    radiograph: Radiograph | None = None
    schema_version: str = PREDICTION_VERSION

    ok: ClassVar[bool] = True

    @classmethod
    def make(cls, *, rule: Decision, logits: Sequence[float], threshold: float | None, **rest: Any) -> Prediction:
        """Apply the checkpoint's decision to two logits; ``rest`` are the other fields.

        Raises ValueError for a threshold outside 0..1 and for logits that are not finite.
        """
        normal, pneumonia = (float(value) for value in logits)
        limit = checked_threshold(rule.threshold if threshold is None else threshold)
        probability = rule.probability(normal, pneumonia)
        return cls(
            probability=probability,
            threshold=limit,
            decision=rule.decide(probability, limit),
            answer=rule.answer(probability, limit),
            logits=(normal, pneumonia),
            rule=rule,
            **rest,
        )

    @property
    def refused(self) -> bool:
        """True if an input check finds the picture unusable (blank), so that there is no answer."""
        return any(finding.severity == "refuse" for finding in self.findings)

    @property
    def needs_confirmation(self) -> bool:
        """True if an input check doubts that this is a frontal chest radiograph, and nobody has overridden it."""
        flagged = any(finding.severity == "flag" for finding in self.findings)
        return flagged and not self.overridden and not self.refused

    @property
    def withheld(self) -> bool:
        """True if no answer may be shown: refused, or in need of confirmation."""
        return self.refused or self.needs_confirmation

    @property
    def objections(self) -> list[str]:
        """What the input checks hold against the picture, as sentences; findings that are only notes are left out."""
        return [finding.message for finding in self.findings if finding.severity != "note"]

    def override(self) -> Prediction:
        """The same prediction with its flags overridden; a refusal stays one."""
        return replace(self, overridden=True)

    def at(self, threshold: float) -> Prediction:
        """The same prediction decided at another threshold (0 to 1), without running the model again."""
        limit = checked_threshold(threshold)
        return replace(
            self,
            threshold=limit,
            decision=self.rule.decide(self.probability, limit),
            answer=self.rule.answer(self.probability, limit),
        )

    def to_dict(self, heat_map: bool = False) -> dict[str, Any]:
        """JSON of this prediction, as ``PREDICTION`` describes it.

        heat_map: add the class activation map as a base64 PNG under "heat_map" (null if there is none). Where the
        answer is withheld, probability, decision, answer, logits and heat map are null.
        """
        shown = not self.withheld
        content: dict[str, Any] = {
            "schema_version": self.schema_version,
            "name": self.name,
            "refused": self.refused,
            "needs_confirmation": self.needs_confirmation,
            "overridden": self.overridden,
            "probability": round(self.probability, PRECISION) if shown else None,
            "threshold": self.threshold,
            "decision": self.decision if shown else None,
            "answer": self.answer if shown else None,
            "calibrated": self.rule.calibrated,
            "logits": {
                LABELS[index]: round(self.logits[index], PRECISION) if shown else None for index in (NORMAL, PNEUMONIA)
            },
            "findings": [finding.to_dict() for finding in self.findings],
            "model_id": self.model_id,
            "model_hash": self.model_hash,
            "engine": self.engine,
            "timing_ms": self.timing.to_dict(),
        }
        if heat_map:
            drawn = self.class_activation_map
            content["heat_map"] = heat_map_png(drawn) if shown and drawn is not None else None
        return content

    def to_row(self) -> dict[str, Any]:
        """One row of the CSV, by ``CSV_COLUMNS``; a withheld answer leaves its columns empty."""
        answer = {
            "probability": f"{self.probability:.{PRECISION}f}",
            "decision": self.decision,
            "answer": self.answer,
            "logit_normal": f"{self.logits[NORMAL]:.{PRECISION}f}",
            "logit_pneumonia": f"{self.logits[PNEUMONIA]:.{PRECISION}f}",
        }
        return {
            "name": _not_a_formula(self.name),
            **({} if self.withheld else answer),
            "threshold": self.threshold,
            "refused": str(self.refused).lower(),
            "needs_confirmation": str(self.needs_confirmation).lower(),
            "findings": " ".join(finding.code for finding in self.findings),
            "model_id": _not_a_formula(self.model_id),
            "model_hash": self.model_hash,
        }


@dataclass(frozen=True)
class Failure:
    """A file that could not be read, in the place of its Prediction. ``reason`` is a sentence for a person."""

    name: str
    code: str
    reason: str
    schema_version: str = PREDICTION_VERSION

    ok: ClassVar[bool] = False

    def to_dict(self, heat_map: bool = False) -> dict[str, Any]:
        """JSON as ``FAILURE`` describes it; ``heat_map`` is accepted as by ``Prediction.to_dict`` and adds nothing."""
        return {
            "schema_version": self.schema_version,
            "name": self.name,
            "error": {"code": self.code, "reason": self.reason},
        }

    def to_row(self) -> dict[str, Any]:
        """One row of the CSV, by ``CSV_COLUMNS``: name, error (the code) and reason."""
        return {"name": _not_a_formula(self.name), "error": self.code, "reason": _not_a_formula(self.reason)}


def _not_a_formula(text: str) -> str:
    """The text, with an apostrophe before it where a spreadsheet would run it."""
    return f"'{text}" if text.startswith(FORMULA) else text


def write_csv(results: Iterable[Prediction | Failure], output: TextIO) -> None:
    """Write a table with ``CSV_COLUMNS``, each row as soon as its result is there."""
    table = csv.DictWriter(output, CSV_COLUMNS, restval="", lineterminator="\n")
    table.writeheader()
    for result in results:
        table.writerow(result.to_row())
        output.flush()


def write_json(results: Iterable[Prediction | Failure], output: TextIO, *, heat_map: bool = False) -> None:
    """Write an array with one object a line; it is closed even when interrupted, so that what is there can be read."""
    separator = "[\n"
    try:
        for result in results:
            output.write(separator + json.dumps(result.to_dict(heat_map=heat_map)))
            output.flush()
            separator = ",\n"
    finally:
        output.write("[]\n" if separator == "[\n" else "\n]\n")


def checked_threshold(value: float) -> float:
    """The threshold as a float; ValueError unless it is a number from 0 to 1."""
    number = float(value)
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"threshold is {value!r}; give a probability from 0 to 1")
    return number
