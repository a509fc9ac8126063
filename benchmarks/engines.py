"""Candidates for serving one 224 px picture: ours, transformers as it is, and those that were tried and not taken."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hf_model.config import CHECKPOINT_DIR
from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines.cores_and_memory import usable_cores

Run = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Grey uint8 (1, 224, 224) -> logits (1, 2) and class activation map (1, 7, 7), float32."""

EAGER, TORCH, SINGLE, BRAIN = "transformers, eager", "torch engine", "OpenVINO f32", "OpenVINO bf16"
ONNX, INT8 = "ONNX Runtime f32", "OpenVINO int8"


def eager(checkpoint: Checkpoint) -> tuple[Callable[[Any], tuple[Any, Any]], Callable[[np.ndarray], Any]]:
    """The transformers model: ``(call, prepare)``; prepare makes the normalised tensor, so call is only the model."""
    import torch
    from transformers import AutoModelForImageClassification

    model = AutoModelForImageClassification.from_pretrained(checkpoint.folder).eval()
    weight = model.classifier.weight[1] - model.classifier.weight[0]

    def call(values: Any) -> tuple[Any, Any]:
        with torch.inference_mode():
            output = model.efficientnet(values)
            logits = model.classifier(model.dropout(output.pooler_output))
            return logits, torch.einsum("nchw,c->nhw", output.last_hidden_state, weight)

    return call, lambda pixels: torch.from_numpy(checkpoint.preprocessing.normalize(pixels))


def openvino(checkpoint: Checkpoint, precision: str) -> Run:
    """The serving engine (f32), or the same graph in bf16, which is not served."""
    from hf_model.inference.engines.openvino_engine import OpenVinoEngine

    return _run(OpenVinoEngine(checkpoint, cache="", precision=precision))


def torch_engine(checkpoint: Checkpoint) -> Run:
    """The reference engine on the CPU."""
    from hf_model.inference.engines.torch_engine import TorchEngine

    return _run(TorchEngine(checkpoint, device="cpu"))


def _run(engine: Any) -> Run:
    def run(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        output = engine.run(pixels)
        return output.logits, output.maps

    return run


def has_bf16() -> bool:
    """True where OpenVINO lists bf16 among what this CPU is built for."""
    from hf_model.inference.engines.openvino_engine import shared_core

    return "BF16" in shared_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def has_onnx() -> bool:
    """True if onnxruntime and onnx are installed: the project does not need them."""
    return all(importlib.util.find_spec(name) for name in ("onnxruntime", "onnx"))


def write_onnx(checkpoint: Checkpoint, path: Path) -> Path:
    """The module that OpenVINO serves, before uint8 input is added, as ONNX with one grey float input."""
    import torch

    from hf_model.inference.engines.export import grey_module

    grey, example, _ = grey_module(checkpoint)
    names = ["logits", "maps", "features"]
    torch.onnx.export(grey, (example,), path, dynamo=False, input_names=["grey"], output_names=names)
    return path


def onnx_runtime(model: Path) -> Run:
    """ONNX Runtime on all usable cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits, maps = session.run(["logits", "maps"], {"grey": pixels[None].astype(np.float32)})
        return logits, maps

    return run


def quantised(model: Path, pictures: np.ndarray, path: Path) -> Run:
    """The graph in int8 (per channel, calibrated on ``pictures`` uint8 (N, 224, 224)), run by OpenVINO."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from hf_model.inference.engines.openvino_engine import shared_core

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.rows = iter(pictures)

        def get_next(self) -> dict[str, np.ndarray] | None:
            row = next(self.rows, None)
            return None if row is None else {"grey": row[None, None].astype(np.float32)}

    prepared = path.with_name(f"prepared-{path.name}")
    quant_pre_process(model, prepared)
    quantize_static(
        prepared, path, Reader(), per_channel=True, weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8
    )
    compiled = shared_core().compile_model(
        path, "CPU", {"INFERENCE_NUM_THREADS": usable_cores(), "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
    )
    request = compiled.create_infer_request()

    def run(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        request.infer({0: pixels[None].astype(np.float32)})
        return tuple(request.get_output_tensor(index).data.copy() for index in (0, 1))

    return run


def candidates(checkpoint: Checkpoint, scratch: Path, pictures: np.ndarray) -> dict[str, Run]:
    """What can be run here beside transformers and the torch engine; ``pictures`` calibrate int8."""
    found = {SINGLE: openvino(checkpoint, "f32")}
    if has_bf16():
        found[BRAIN] = openvino(checkpoint, "bf16")
    if has_onnx():
        model = write_onnx(checkpoint, scratch / "serving.onnx")
        found[ONNX] = onnx_runtime(model)
        found[INT8] = quantised(model, pictures, scratch / "int8.onnx")
    return found


def shipped() -> Checkpoint:
    """The shipped checkpoint: 224 px and a class activation map."""
    return Checkpoint.open(CHECKPOINT_DIR)


def multiply_adds(checkpoint: Checkpoint) -> int:
    """Of one picture through the serving graph: convolutions and the linear layer."""
    from hf_model.inference.engines.openvino_engine import read_graph, shared_core

    graph = read_graph(checkpoint, shared_core())
    total = 0
    for op in graph.get_ordered_ops():
        kind = op.get_type_name()
        if kind not in ("Convolution", "GroupConvolution", "MatMul"):
            continue
        weight = list(op.input(1).get_partial_shape().to_shape())
        output = int(np.prod(list(op.get_output_partial_shape(0).to_shape())))
        # every output value sums over the weights of its channel; a MatMul's second dimension is what it sums over
        each = {"Convolution": weight[1:], "GroupConvolution": weight[2:], "MatMul": weight[1:]}[kind]
        total += output * int(np.prod(each))
    return total
