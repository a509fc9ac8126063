"""Make the serving graph: torch -> one OpenVINO graph from raw grey pixels to logits, map and features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines.base import EngineOutput, EngineUnavailable
from hf_model.inference.engines.openvino_engine import (
    OUTPUTS,
    OpenVinoEngine,
    import_converter,
    import_openvino,
    write_graph,
)
from hf_model.inference.engines.precision import golden_inputs
from hf_model.inference.engines.torch_engine import TorchEngine

MAX_DIFFERENCE = 1e-3
"""Largest difference of a logit of the graph from torch's on the golden inputs (relative to logits above 1)."""


@dataclass(frozen=True)
class ExportReport:
    """What was written, how many gates were taken out, and the largest difference of a logit from torch in float32."""

    files: tuple[Path, ...]
    gates_removed: int
    has_map: bool
    difference: float


def convert(checkpoint: Checkpoint) -> tuple[Any, int]:
    """``(graph, gates removed)`` of a checkpoint, in memory.

    The graph takes uint8 (1, 1, height, width) named ``grey`` and gives ``logits``, ``maps`` and ``features`` (those
    that there are). Raises EngineUnavailable where torch, transformers or OpenVINO cannot do it.
    """
    converter, openvino = import_converter(), import_openvino()
    try:
        import torch

        from hf_model.inference.engines.torch_engine import GreyInput, load_model, remove_neutral_gates, serving_module
    except ImportError as error:
        raise EngineUnavailable(f"export needs torch and transformers ({error}); install them") from error
    parts = checkpoint.preprocessing
    size = (parts.height, parts.width)
    try:
        model = load_model(checkpoint.folder)
        removed = remove_neutral_gates(model)
        module = serving_module(model, checkpoint.label_order, size)
        grey = GreyInput(module, parts.rescale_factor, parts.mean, parts.std).eval()
        example = torch.from_numpy(golden_inputs(*size, count=1)[None]).float()
        grey.fold_channels(example)
        with torch.inference_mode():
            count = len(grey(example))
        graph = converter(grey, example_input=(example,), input=[openvino.PartialShape([1, 1, *size])])
    except (OSError, ValueError, RuntimeError, openvino.frontend.OpConversionFailure) as error:
        raise EngineUnavailable(f"{checkpoint.model_id} does not convert to OpenVINO: {error}") from error
    names = OUTPUTS if count == 3 else ("logits", "features")[:count]
    for output, name in zip(graph.outputs, names, strict=True):
        output.get_tensor().set_names({name})
    return _take_bytes(graph, openvino), removed


def _take_bytes(graph: Any, openvino: Any) -> Any:
    """Let the graph take uint8 itself, so that a quarter of the bytes go in and nothing is converted outside."""
    steps = openvino.preprocess.PrePostProcessor(graph)
    steps.input().tensor().set_element_type(openvino.Type.u8)
    steps.input().preprocess().convert_element_type(openvino.Type.f32)
    graph = steps.build()
    graph.inputs[0].get_tensor().set_names({"grey"})
    return graph


def export(checkpoint: Checkpoint) -> ExportReport:
    """Convert, compare with torch on the golden inputs, and only then write the graph into the checkpoint folder.

    Raises EngineUnavailable if it does not convert or differs by more than ``MAX_DIFFERENCE``.
    """
    graph, removed = convert(checkpoint)
    reference = TorchEngine(checkpoint, device="cpu", precision="f32")
    engine = OpenVinoEngine(checkpoint, graph=graph.clone(), cache="", precision="f32")
    pictures = golden_inputs(checkpoint.preprocessing.height, checkpoint.preprocessing.width)
    found = engine.run(pictures)
    difference = _difference(found, reference.run(pictures))
    if not difference <= MAX_DIFFERENCE:
        raise EngineUnavailable(
            f"the graph's logits differ from torch's by {difference:.2g} and the limit is {MAX_DIFFERENCE:g}; "
            "nothing was written. Serve this checkpoint with --engine torch."
        )
    files = write_graph(graph, checkpoint)
    return ExportReport(tuple(files), removed, found.maps is not None, difference)


def _difference(found: EngineOutput, expected: EngineOutput) -> float:
    scale = max(1.0, float(np.abs(expected.logits).max()))
    return float(np.abs(found.logits - expected.logits).max()) / scale
