"""Prediction and Failure: their JSON, its schema, and what is withheld."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hf_model.inference import prediction as schema
from hf_model.inference.prediction import Failure, Prediction, Timing
from hf_model.metrics.decision import Decision
from hf_model.radiograph import Finding


def prediction(**changes) -> Prediction:
    fields = {
        "rule": Decision(),
        "logits": (-1.0, 1.0),
        "threshold": None,
        "name": "a.png",
        "class_activation_map": np.zeros((7, 7), np.float32),
        "findings": (Finding("faint", "Little contrast.", "flag"),),
        "model_id": "owner/name",
        "model_hash": "ab" * 32,
        "engine": "openvino-f32",
        "timing": Timing(1.234, 2.0, 3.0, 6.234),
    }
    return Prediction.make(**{**fields, **changes})


def test_golden_json() -> None:
    """sigmoid(2) = 0.880797; anything that changes here is a new schema version."""
    assert prediction().override().to_dict() == {
        "schema_version": "2.0",
        "name": "a.png",
        "refused": False,
        "needs_confirmation": False,
        "overridden": True,
        "probability": 0.880797,
        "threshold": 0.5,
        "decision": "PNEUMONIA",
        "answer": "PNEUMONIA LIKELY",
        "calibrated": False,
        "logits": {"NORMAL": -1.0, "PNEUMONIA": 1.0},
        "findings": [{"code": "faint", "message": "Little contrast.", "severity": "flag"}],
        "model_id": "owner/name",
        "model_hash": "ab" * 32,
        "engine": "openvino-f32",
        "timing_ms": {"decode": 1.23, "preprocess": 2.0, "model": 3.0, "total": 6.23},
    }
    assert Failure("b.txt", "not-a-picture", "b.txt is no picture.").to_dict() == {
        "schema_version": "2.0",
        "name": "b.txt",
        "error": {"code": "not-a-picture", "reason": "b.txt is no picture."},
    }


TYPES = {"string": str, "number": (int, float), "boolean": bool, "object": dict, "array": list, "null": type(None)}


def conforms(value, rules: dict, where: str = "$") -> None:
    """The part of JSON Schema that prediction.py uses."""
    known = {"type", "enum", "const", "minimum", "maximum", "properties", "required", "additionalProperties", "items"}
    told = {"$schema", "title", "description", "pattern", "contentEncoding", "contentMediaType"}
    assert set(rules) <= known | told, where
    kinds = rules.get("type", list(TYPES))
    assert any(isinstance(value, TYPES[kind]) for kind in ([kinds] if isinstance(kinds, str) else kinds)), where
    assert "enum" not in rules or value in rules["enum"], where
    assert "const" not in rules or value == rules["const"], where
    if isinstance(value, int | float):
        assert rules.get("minimum", value) <= value <= rules.get("maximum", value), where
    if isinstance(value, dict):
        assert set(rules["required"]) <= set(value) <= set(rules["properties"]), where
        for key, entry in value.items():
            conforms(entry, rules["properties"][key], f"{where}.{key}")
    for index, entry in enumerate(value if isinstance(value, list) else []):
        conforms(entry, rules["items"], f"{where}[{index}]")


def test_json_conforms_to_its_schema() -> None:
    assert schema.PREDICTION["properties"]["schema_version"]["const"] == schema.PREDICTION_VERSION
    flagged = prediction()
    for made in (flagged, flagged.override(), prediction(class_activation_map=None, threshold=1.0, findings=())):
        for with_map in (False, True):
            conforms(json.loads(json.dumps(made.to_dict(heat_map=with_map))), schema.PREDICTION)
    conforms(Failure("b", "c", "d").to_dict(), schema.FAILURE)
    with pytest.raises(AssertionError):
        conforms({**flagged.override().to_dict(), "probability": 1.5}, schema.PREDICTION)


def test_refused_follows_the_findings() -> None:
    assert not prediction().refused
    assert prediction(findings=(Finding("blank", "Blank.", "refuse"),)).refused


def test_a_program_that_reads_the_answer_gets_none_for_what_is_flagged_or_refused() -> None:
    flagged, refused = prediction(), prediction(findings=(Finding("blank", "Blank.", "refuse"),))
    for made in (flagged, refused, refused.override()):
        content = made.to_dict(heat_map=True)
        assert made.withheld
        assert [content[key] for key in ("probability", "decision", "answer", "heat_map")] == [None] * 4
        assert set(content["logits"].values()) == {None}
    assert (flagged.needs_confirmation, refused.needs_confirmation) == (True, False)
    shown = flagged.override()
    assert (shown.withheld, shown.needs_confirmation, shown.overridden) == (False, False, True)
    assert shown.to_dict()["answer"] == "PNEUMONIA LIKELY"
    assert shown.at(0.99).overridden
    assert not prediction(findings=(Finding("view-pa", "PA.", "note"),)).withheld


def test_logits_that_are_not_finite_are_no_prediction() -> None:
    with pytest.raises(ValueError, match="not finite"):
        prediction(logits=(0.0, float("nan")))
