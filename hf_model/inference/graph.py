"""The exported serving graph: two files in the checkpoint folder, and the facts that tie them to its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines.base import EngineUnavailable
from hf_model.inference.engines.openvino_runtime import import_openvino

GRAPH_FILE, GRAPH_WEIGHTS = "openvino_model.xml", "openvino_model.bin"
OUTPUTS = ("logits", "maps", "features")
_SECTION = "chest_xray_pneumonia"
_REMEDY = "run `python -m hf_model export --checkpoint {folder}`"


class StaleExport(EngineUnavailable):
    """The graph was made from other weights, labels or preprocessing than the folder has now."""


def has_graph(folder: Path) -> bool:
    """True if both files of an export are there."""
    return (folder / GRAPH_FILE).is_file() and (folder / GRAPH_WEIGHTS).is_file()


def stamp(checkpoint: Checkpoint) -> dict[str, str]:
    """What the graph depends on, as text: weights, rows of the labels, size and normalisation."""
    parts = checkpoint.preprocessing
    normalisation = [parts.height, parts.width, parts.rescale_factor, list(parts.mean), list(parts.std)]
    return {
        "weights_sha256": checkpoint.weights_sha256,
        "label_order": json.dumps(list(checkpoint.label_order)),
        "preprocessing": json.dumps(normalisation),
    }


def write_graph(model: Any, checkpoint: Checkpoint) -> list[Path]:
    """Save a graph with its stamp beside the weights (float32, as the weights are); give the paths.

    The two files appear complete or not at all: each is written beside its place and then moved there.
    """
    openvino = import_openvino()
    for key, value in stamp(checkpoint).items():
        model.set_rt_info(value, [_SECTION, key])
    draft = checkpoint.folder / f"draft_{GRAPH_FILE}"
    openvino.save_model(model, draft, compress_to_fp16=False)
    moves = {draft.with_suffix(".bin"): checkpoint.folder / GRAPH_WEIGHTS, draft: checkpoint.folder / GRAPH_FILE}
    for source, target in moves.items():
        source.replace(target)
    return list(moves.values())


def read_graph(checkpoint: Checkpoint, core: Any) -> Any:
    """The graph of a checkpoint folder, checked against its weights.

    core: an ``openvino.Core``. Raises StaleExport for one made from something else, EngineUnavailable for one that is
    missing or damaged.
    """
    remedy = _REMEDY.format(folder=checkpoint.folder)
    if not has_graph(checkpoint.folder):
        raise EngineUnavailable(f"{checkpoint.model_id} has no {GRAPH_FILE}; {remedy}")
    path = checkpoint.folder / GRAPH_FILE
    try:
        model = core.read_model(path)
        names = [output.get_any_name() for output in model.outputs]
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1]
        raise EngineUnavailable(f"{path} cannot be read ({first}); {remedy}") from error
    for key, expected in stamp(checkpoint).items():
        found = model.get_rt_info([_SECTION, key]).astype(str) if model.has_rt_info([_SECTION, key]) else None
        if found != expected:
            raise StaleExport(f"{path} was made with another {key} than {checkpoint.model_id} has now; {remedy}")
    if not names or names[0] != OUTPUTS[0] or not set(names) <= set(OUTPUTS):
        raise StaleExport(f"{path} has the outputs {names} and not {list(OUTPUTS)}; {remedy}")
    return model
