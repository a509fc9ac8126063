"""The reference engine, the one for GPUs, and the fallback: the transformers model in torch, with its map.

``serving_module`` gives any image classifier the outputs that an engine has; the export converts the same module.
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModelForImageClassification

from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines.base import EngineOutput, EngineUnavailable
from hf_model.inference.engines.cores_and_memory import keep_freed_memory, usable_cores
from hf_model.modeling.heads import logits_and_gradient
from hf_model.modeling.modeling_chest_xray import ChestXrayForImageClassification

KEPT = 512 * 2**20
"""Bytes of freed memory that the process keeps: a batch's activations, and not more, because it serves for long."""
TOLERANCE = 1e-4
"""Largest difference of a logit from the model's own for a rebuilt forward pass, relative to logits above 1."""


class TorchEngine:
    """``AutoModelForImageClassification`` of the folder in float32, with its class activation map where it has one.

    device: ``"cuda"``, ``"cpu"``, ... (None: CUDA if there is one). Raises EngineUnavailable.
    """

    def __init__(self, checkpoint: Checkpoint, *, device: str | None = None) -> None:
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
        self._module = module.to(self._device, memory_format=torch.channels_last)
        self.name = "torch-f32" if on_cpu else f"torch-{self._device.type}-f32"
        self.workers = max(2, usable_cores())
        self.batch_size = 8 if on_cpu else 64

    def run(self, pixels: np.ndarray, *, bulk: bool = False) -> EngineOutput:
        """Grey uint8 (N, height, width) -> :class:`EngineOutput`. One call at a time: torch uses all cores for it."""
        values = torch.from_numpy(self._preprocessing.normalize(pixels))
        with self._lock, torch.inference_mode():
            values = values.to(self._device).contiguous(memory_format=torch.channels_last)
            outputs = [output.cpu().numpy() for output in self._module(values)]
        if len(outputs) == 3:
            return EngineOutput(*outputs)
        return EngineOutput(outputs[0], None, outputs[1] if len(outputs) == 2 else None)


def load_model(folder: Path) -> nn.Module:
    """The transformers model in float32 and evaluation mode; safetensors only, no code of the repository."""
    model = AutoModelForImageClassification.from_pretrained(
        folder, use_safetensors=True, trust_remote_code=False, local_files_only=True, dtype=torch.float32
    )
    return model.eval().requires_grad_(False)


def serving_module(model: nn.Module, label_order: tuple[int, int], size: tuple[int, int]) -> nn.Module:
    """The model with an engine's outputs: logits, then map and features where it has them.

    A :class:`HeadedModule` for our heads, a :class:`PooledModule` where that gives the model's own logits on a random
    input, else a :class:`NoMapModule`. Measuring replaces a list of architectures: whatever averages its last feature
    map and ends in one linear layer (EfficientNet, MobileNet, ResNet, RegNet, ...) has a map.
    """
    _pool_globally(model)
    if isinstance(model, ChestXrayForImageClassification):
        return HeadedModule(model, label_order).eval()
    probe = torch.randn((1, 3, *size), generator=torch.Generator().manual_seed(0))
    classifier = _final_linear(model)
    with torch.inference_mode():
        expected = model(probe).logits[:, list(label_order)]
        if classifier is not None:
            features = getattr(model.base_model(probe), "last_hidden_state", None)
            if features is not None and features.ndim == 4 and features.shape[1] == classifier.in_features:
                pooled = PooledModule(model, classifier, label_order).eval()
                if _agrees(pooled(probe)[0], expected):
                    return pooled
    return NoMapModule(model, label_order).eval()


class PooledModule(nn.Module):
    """Backbone, mean over the feature map, linear classifier: the class activation map is a matrix product.

    forward: float (N, 3, h, w) -> logits (N, 2), maps (N, fh, fw), features (N, D).
    """

    def __init__(self, model: nn.Module, classifier: nn.Linear, label_order: tuple[int, int]) -> None:
        super().__init__()
        self.body = model.base_model
        order = list(label_order)
        weight = classifier.weight.detach()[order].clone()
        bias = classifier.bias.detach()[order].clone() if classifier.bias is not None else torch.zeros(2)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("map_weight", (weight[1] - weight[0])[None, :, None, None].clone())

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.body(pixel_values).last_hidden_state
        pooled = features.mean((2, 3))
        logits = nn.functional.linear(pooled, self.weight, self.bias)
        return logits, nn.functional.conv2d(features, self.map_weight)[:, 0], pooled


class HeadedModule(nn.Module):
    """Backbone, mean over the feature map, one of our heads: the map is Grad-CAM's, weighted by the head's gradient.

    forward: as ``PooledModule``'s. The head is piecewise linear (ReLU), so that the mean of a map differs from
    ``logit_pneumonia - logit_normal`` only by a term that does not depend on the place.
    """

    def __init__(self, model: ChestXrayForImageClassification, label_order: tuple[int, int]) -> None:
        super().__init__()
        self.body, self.head, self.order = model.backbone, model.classifier, list(label_order)

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.body(pixel_values).last_hidden_state
        pooled = features.mean((2, 3))
        logits, gradient = logits_and_gradient(self.head, pooled, self.order)
        return logits, (features * gradient[:, :, None, None]).sum(1), pooled


class NoMapModule(nn.Module):
    """A classifier without a class activation map.

    forward: float (N, 3, h, w) -> logits (N, 2) and, where it can be observed, the input (N, D) of the last linear
    layer.
    """

    def __init__(self, model: nn.Module, label_order: tuple[int, int]) -> None:
        super().__init__()
        self.model = model
        self.order = list(label_order)
        self.seen: Tensor | None = None
        linear = _final_linear(model)
        if linear is not None:
            linear.register_forward_pre_hook(self._keep)

    def _keep(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.seen = inputs[0]

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        self.seen = None
        logits = self.model(pixel_values).logits[:, self.order]
        seen, self.seen = self.seen, None
        return (logits,) if seen is None or seen.ndim != 2 else (logits, seen)


def _final_linear(model: nn.Module) -> nn.Linear | None:
    """The two-row linear layer that gives the logits: the last such layer of the model; None without one."""
    layers = [module for module in model.modules() if isinstance(module, nn.Linear) and module.out_features == 2]
    return layers[-1] if layers else None


def _agrees(logits: Tensor, expected: Tensor) -> bool:
    """True if no logit differs by more than ``TOLERANCE`` (relative to the largest one above 1)."""
    scale = max(1.0, float(expected.abs().max()))
    return bool((logits - expected).abs().max() <= TOLERANCE * scale)


def _pool_globally(model: nn.Module) -> None:
    """Replace EfficientNet's average pooling over a window of ``hidden_dim`` pixels by global pooling, its equal here.

    In transformers its kernel is 1280 x 1280; with ``ceil_mode`` it averages the whole map, and no converter accepts
    it.
    """
    pooler = getattr(model.base_model, "pooler", None)
    if isinstance(pooler, nn.AvgPool2d) and pooler.ceil_mode and model.base_model.config.model_type == "efficientnet":
        model.base_model.pooler = nn.AdaptiveAvgPool2d(1)


class GreyInput(nn.Module):
    """Raw grey pictures instead of normalised RGB: float (N, 1, h, w) of 0..255 -> the module's outputs.

    With one mean and one std for all channels the three channels are equal, and the first convolution sees their sum
    through the sum of its weights: a third of its work. The zero padding stays zero, as it is applied after the mean
    is subtracted. Where that does not give the same logits the grey is normalised into three channels.
    """

    def __init__(self, module: nn.Module, factor: float, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.module = module
        self.factor = factor
        self.register_buffer("mean", torch.tensor(mean)[None, :, None, None])
        self.register_buffer("std", torch.tensor(std)[None, :, None, None])

    def forward(self, grey: Tensor) -> tuple[Tensor, ...]:
        return self.module((grey * self.factor - self.mean) / self.std)

    def fold_channels(self, probe: Tensor) -> bool:
        """Sum the channels of the first convolution if the logits of ``probe`` stay the same; True if so."""
        stem = next((layer for layer in self.module.modules() if isinstance(layer, nn.Conv2d)), None)
        equal = bool((self.mean == self.mean[:, :1]).all()) and bool((self.std == self.std[:, :1]).all())
        if stem is None or stem.in_channels != 3 or stem.groups != 1 or not equal:
            return False
        weight, mean, std = stem.weight, self.mean, self.std
        with torch.inference_mode():
            expected = self(probe)[0]
        stem.weight = nn.Parameter(weight.detach().double().sum(1, keepdim=True).float(), requires_grad=False)
        stem.in_channels, self.mean, self.std = 1, mean[:, :1], std[:, :1]
        try:
            with torch.inference_mode():
                if _agrees(self(probe)[0], expected):
                    return True
        except (RuntimeError, ValueError):
            pass  # a model that insists on three channels gets them
        stem.weight, stem.in_channels, self.mean, self.std = weight, 3, mean, std
        return False
