"""JSON Schema (draft 2020-12) of what the API, ``predict --format json`` and the page's download give.

``schema_version`` is ``major.minor``: a new minor version only adds entries; a new major version changes or removes.
"""

from __future__ import annotations

from typing import Any

from hf_model.config import LABELS, SCHEMA_VERSION
from hf_model.evaluation.decision import LIKELY, NOT_LIKELY, REFER

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_VERSION = {"type": "string", "const": SCHEMA_VERSION, "description": "Version of this schema."}
_NAME = {"type": "string", "description": "Name of the file, without its folder."}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_MILLISECONDS = {"type": "number", "minimum": 0}


def _closed(properties: dict[str, Any], optional: tuple[str, ...] = (), **rest: Any) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False, **rest}


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
        "probability": {**_SHARE, "description": "Calibrated probability of pneumonia."},
        "threshold": {**_SHARE, "description": "Probability at and above which the decision is PNEUMONIA."},
        "decision": {"enum": list(LABELS)},
        "answer": {"enum": [LIKELY, NOT_LIKELY, REFER], "description": "The decision in words, with the refer band."},
        "calibrated": {"type": "boolean", "description": "False: the checkpoint has no decision.json."},
        "refused": {"type": "boolean", "description": "True: by the findings no frontal chest radiograph."},
        "logits": _closed({label: {"type": "number"} for label in LABELS}),
        "findings": {"type": "array", "items": FINDING},
        "model_id": {"type": "string", "description": "Hub id or folder name of the checkpoint."},
        "model_hash": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256 of model.safetensors."},
        "engine": {"type": "string", "description": "Engine and precision, e.g. openvino-f32."},
        "timing_ms": _closed(dict.fromkeys(("decode", "preprocess", "model", "total"), _MILLISECONDS)),
        "heat_map": {
            "type": ["string", "null"],
            "contentEncoding": "base64",
            "contentMediaType": "image/png",
            "description": "Evidence for pneumonia over the whole picture, grey, 255 strongest; only when asked for.",
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
