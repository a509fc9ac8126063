"""JSON Schema (draft 2020-12) of what the API, ``predict --format json`` and the page's download give.

``schema_version`` is ``major.minor``: a new minor version only adds entries; a new major version changes or removes.
Version 2: without ``override`` a flagged picture has ``needs_confirmation`` and, like a refused one, no answer.
"""

from __future__ import annotations

from typing import Any

from hf_model.config import LABELS
from hf_model.metrics.decision import LIKELY, NOT_LIKELY, REFER

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
            "description": "True: by the findings probably no frontal chest radiograph as the model knows it; there is "
            "no answer until it is asked for with override.",
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
