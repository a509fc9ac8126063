"""The file that keeps the lung network in a checkpoint folder. Reading its header loads no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

WEIGHTS = "lungs.safetensors"
FORMAT = "chest-xray-lungs-1"
REMEDY = "train it again with `python -m hf_model lungs`"


def read_header(path: Path) -> dict[str, Any]:
    """``config`` and ``training`` of a ``lungs.safetensors``; ValueError, naming the file, where it is none."""
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
        if header.get("format") != FORMAT:
            raise ValueError(f"its format is {header.get('format')!r}, not {FORMAT!r}")
        return {name: json.loads(header[name]) for name in ("config", "training")}
    except (SafetensorError, ValueError, KeyError) as error:
        raise ValueError(f"{path} holds no lung network ({error}); {REMEDY}") from error
