"""Make the serving graph: torch -> one OpenVINO graph from raw grey pixels to logits, map and features.

The graph is compared with torch on golden inputs before it is written. Needs torch and transformers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines.base import EngineUnavailable
from hf_model.inference.engines.openvino_engine import (
    OUTPUTS,
    OpenVinoEngine,
    import_converter,
    import_openvino,
    write_graph,
)
from hf_model.inference.engines.torch_engine import GreyInput, TorchEngine, load_model, serving_module
from hf_model.modeling.lite import bypass_neutral_squeeze_excite

MAX_DIFFERENCE = 1e-3
"""Largest difference of a logit of the graph from torch's on the golden inputs (relative to logits above 1)."""


@dataclass(frozen=True)
class ExportReport:
    """What was written, how many squeeze-excite gates were removed, whether the graph gives a class activation map,
    and the largest difference of a logit from torch in float32."""

    files: tuple[Path, ...]
    gates_removed: int
    has_map: bool
    difference: float


def export(checkpoint: Checkpoint) -> ExportReport:
    """Convert, compare with torch on the golden inputs, and only then write the graph into the checkpoint folder.

    Raises EngineUnavailable if it does not convert or differs by more than ``MAX_DIFFERENCE``.
    """
    graph, removed = convert(checkpoint)
    engine = OpenVinoEngine(checkpoint, graph=graph.clone(), cache="")
    pictures = golden_inputs(checkpoint.preprocessing.height, checkpoint.preprocessing.width)
    found, expected = engine.run(pictures), TorchEngine(checkpoint, device="cpu").run(pictures)
    scale = max(1.0, float(np.abs(expected.logits).max()))
    difference = float(np.abs(found.logits - expected.logits).max()) / scale
    if not difference <= MAX_DIFFERENCE:
        raise EngineUnavailable(
            f"the graph's logits differ from torch's by {difference:.2g} and the limit is {MAX_DIFFERENCE:g}; "
            "nothing was written. Serve this checkpoint with --engine torch."
        )
    files = write_graph(graph, checkpoint)
    return ExportReport(tuple(files), removed, found.maps is not None, difference)


def golden_inputs(height: int, width: int, count: int = 6) -> np.ndarray:
    """Grey uint8 (count, height, width), always the same: smooth random fields at several scales, some with noise."""
    generator = np.random.default_rng(20180222)
    pictures = np.empty((count, height, width), dtype=np.uint8)
    for index in range(count):
        cells = 3 + 3 * (index % 3)
        coarse = generator.uniform(0.0, 255.0, (cells, cells))
        rows, columns = np.linspace(0, cells - 1, height), np.linspace(0, cells - 1, width)
        across = np.stack([np.interp(columns, np.arange(cells), row) for row in coarse])
        field = np.stack([np.interp(rows, np.arange(cells), column) for column in across.T], axis=1)
        noise = generator.normal(0.0, 8.0 * (index % 2), field.shape)
        pictures[index] = np.clip(np.rint(field + noise), 0, 255)
    return pictures


def convert(checkpoint: Checkpoint) -> tuple[Any, int]:
    """``(graph, squeeze-excite gates removed)`` of a checkpoint, in memory.

    The graph takes uint8 (1, 1, height, width) named ``grey`` and gives ``logits``, ``maps`` and ``features`` (those
    that the architecture has). Raises EngineUnavailable where OpenVINO is missing or cannot convert the model.
    """
    converter, openvino = import_converter(), import_openvino()
    try:
        grey, example, removed = grey_module(checkpoint)
        with torch.inference_mode():
            count = len(grey(example))
        graph = converter(grey, example_input=(example,), input=[openvino.PartialShape(list(example.shape))])
    except (OSError, ValueError, RuntimeError, openvino.frontend.OpConversionFailure) as error:
        raise EngineUnavailable(f"{checkpoint.model_id} does not convert to OpenVINO: {error}") from error
    names = OUTPUTS if count == 3 else ("logits", "features")[:count]
    for output, name in zip(graph.outputs, names, strict=True):
        output.get_tensor().set_names({name})
    # The graph takes uint8 itself: a quarter of the bytes go in, and nothing is converted outside.
    steps = openvino.preprocess.PrePostProcessor(graph)
    steps.input().tensor().set_element_type(openvino.Type.u8)
    steps.input().preprocess().convert_element_type(openvino.Type.f32)
    graph = steps.build()
    graph.inputs[0].get_tensor().set_names({"grey"})
    return graph, removed


def grey_module(checkpoint: Checkpoint) -> tuple[GreyInput, torch.Tensor, int]:
    """``(module, example, squeeze-excite gates removed)``: what is converted.

    module: float32 grey (1, 1, height, width) of 0 to 255 -> logits, map and features, with neutral gates removed and
    the normalisation inside. example: an input of that shape.
    """
    parts = checkpoint.preprocessing
    model = load_model(checkpoint.folder)
    removed = bypass_neutral_squeeze_excite(model)
    module = serving_module(model, checkpoint.label_order, (parts.height, parts.width))
    grey = GreyInput(module, parts.rescale_factor, parts.mean, parts.std).eval()
    example = torch.from_numpy(golden_inputs(parts.height, parts.width, count=1)[None]).float()
    grey.fold_channels(example)
    return grey, example, removed
