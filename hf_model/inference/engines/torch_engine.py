"""The reference engine, the one for GPUs, and the fallback: the plain transformers model in torch."""

from __future__ import annotations

import threading

import numpy as np

from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines.base import EngineOutput, EngineUnavailable
from hf_model.inference.engines.machine import usable_cores
from hf_model.memory import keep_freed_memory

KEPT = 512 * 2**20
"""Bytes of freed memory that the process keeps: activations of a batch, and no more, as it serves for long."""


class TorchEngine:
    """``AutoModelForImageClassification`` of the folder, with its class activation map where there is one.

    device: ``"cuda"``, ``"cpu"``, ... (None: CUDA if there is one). precision: ``"f32"``, or ``"f16"`` / ``"bf16"``
    for weights and activations at half the size (logits are float32 again). Raises EngineUnavailable.
    """

    def __init__(self, checkpoint: Checkpoint, *, device: str | None = None, precision: str = "f32") -> None:
        try:
            import torch

            from hf_model.inference.engines.serving_module import load_model, serving_module
        except ImportError as error:
            raise EngineUnavailable(f"torch cannot be imported ({error}); install torch and transformers") from error
        types = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
        if precision not in types:
            raise EngineUnavailable(f"the torch engine has no precision {precision!r}; use one of {', '.join(types)}")
        self._torch = torch
        self._type = types[precision]
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if self._device.type == "cuda" and self._device.index is None:
            # the current device is a thread's own, and pictures come from several threads
            self._device = torch.device("cuda", torch.cuda.current_device())
        self._preprocessing = checkpoint.preprocessing
        self._lock = threading.Lock()
        on_cpu = self._device.type == "cpu"
        if on_cpu:
            keep_freed_memory(KEPT)
        try:
            model = load_model(checkpoint.folder)
        except (OSError, ValueError, RuntimeError) as error:
            raise EngineUnavailable(f"transformers cannot load {checkpoint.model_id}: {error}") from error
        size = (checkpoint.preprocessing.height, checkpoint.preprocessing.width)
        module = serving_module(model, checkpoint.label_order, size)
        self._module = module.to(self._device, self._type, memory_format=torch.channels_last)
        self.name = f"torch-{precision}" if on_cpu else f"torch-{self._device.type}-{precision}"
        self.workers = max(2, usable_cores())
        self.batch_size = 8 if on_cpu else 64

    def run(self, pixels: np.ndarray, *, bulk: bool = False) -> EngineOutput:
        """Grey uint8 (N, height, width) -> :class:`EngineOutput`. One call at a time: torch uses all cores for it."""
        torch = self._torch
        values = torch.from_numpy(self._preprocessing.normalize(pixels))
        with self._lock, torch.inference_mode():
            values = values.to(self._device, self._type).contiguous(memory_format=torch.channels_last)
            outputs = [output.float().cpu().numpy() for output in self._module(values)]
        if len(outputs) == 3:
            return EngineOutput(*outputs)
        return EngineOutput(outputs[0], None, outputs[1] if len(outputs) == 2 else None)
