"""Files of the lung network in a checkpoint folder. Reading the header of the weights loads no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

WEIGHTS = "lungs.safetensors"
GRAPH_FILE, GRAPH_WEIGHTS, FIGURES = "lungs_openvino.xml", "lungs_openvino.bin", "lungs.json"
FILES = (WEIGHTS, GRAPH_FILE, GRAPH_WEIGHTS, FIGURES)
"""What a checkpoint folder may have of the lungs: weights, OpenVINO graph, figures on held-out patients."""
FORMAT = "chest-xray-lungs-1"
ATTRIBUTION = (
    "Trained on outlines of both lungs from V7 Labs' COVID-19 X-ray data set (https://github.com/v7labs/covid-19-xray-"
    "dataset, CC BY 4.0), drawn on chest X-rays of Kermany, Zhang and Goldbaum (2018), doi 10.17632/rscbjbr9sj.2 "
    "(CC BY 4.0)."
)
"""Owed by whoever ships the weights; kept in the file and in lungs.json."""
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
