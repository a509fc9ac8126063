"""Networks that transformers does not have: any backbone under one of our heads, and the baseline CNN.

Their checkpoints have a ``model_type`` that transformers alone does not know, on purpose: with a type that it knows it
would load the backbone, draw a random classifier, warn, and predict. Importing this module registers the types, and
then ``AutoModelForImageClassification`` loads such a folder like any other.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForImageClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndNoAttention, ImageClassifierOutputWithNoAttention

from hf_model.config import BASELINE, ID2LABEL, LABEL2ID
from hf_model.modeling.freezing import ModelError
from hf_model.modeling.heads import PLAIN, build_head

BASELINE_HEAD = "dense-64"
BASELINE_SIZE = 128


class ChestXrayConfig(PreTrainedConfig):
    """``chest_xray_head``: a name of ``HEADS``; ``backbone_config``: the backbone's own configuration, whole."""

    model_type = "chest_xray_classifier"

    chest_xray_head: str = PLAIN
    backbone_config: dict | None = None
    features: int = 0
    image_size: int = 224


class _ChestXrayPreTrainedModel(PreTrainedModel):
    main_input_name = "pixel_values"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """PyTorch's own initialisation, which transformers would replace by N(0, 0.02)."""
        if isinstance(module, nn.Linear | nn.Conv2d | nn.BatchNorm1d):
            module.reset_parameters()


class ChestXrayForImageClassification(_ChestXrayPreTrainedModel):
    """Backbone, mean over the last feature map, head.

    forward: ``pixel_values`` float (N, 3, h, w) -> an output with ``logits`` (N, 2).
    """

    config_class = ChestXrayConfig
    base_model_prefix = "backbone"

    def __init__(self, config: ChestXrayConfig) -> None:
        super().__init__(config)
        settings = dict(config.backbone_config or {})
        self.backbone = AutoModel.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings))
        self.classifier = build_head(config.chest_xray_head, config.features)
        self.post_init()

    def forward(self, pixel_values: Tensor, **_: Any) -> ImageClassifierOutputWithNoAttention:
        features = self.backbone(pixel_values).last_hidden_state.mean((2, 3))
        return ImageClassifierOutputWithNoAttention(logits=self.classifier(features))


class BaselineCnnConfig(PreTrainedConfig):
    """``channels``: filters of each block, one convolution and one halving of the side each."""

    model_type = "chest_xray_baseline_cnn"

    channels: list[int] | tuple[int, ...] = (32, 64, 128)


class BaselineCnn(_ChestXrayPreTrainedModel):
    """The CNN of the project that this one replaces: 3 x 3 convolution, ReLU and 2 x 2 maximum, three times.

    That one flattened the last map; here its mean is taken, so that the size is free and a heat map can be drawn.
    """

    config_class = BaselineCnnConfig

    def __init__(self, config: BaselineCnnConfig) -> None:
        super().__init__(config)
        widths = [3, *config.channels]
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)) for a, b in pairwise(widths)
        )
        self.post_init()

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPoolingAndNoAttention:
        for block in self.blocks:
            pixel_values = block(pixel_values)
        return BaseModelOutputWithPoolingAndNoAttention(
            last_hidden_state=pixel_values, pooler_output=pixel_values.mean((2, 3))
        )


def baseline_cnn(head: str | None = None, image_size: int | None = None) -> ChestXrayForImageClassification:
    """The baseline with random weights, to be trained from scratch.

    Raises:
        ModelError: for the head ``plain``, which makes a model of transformers, and this is none.
    """
    if head == PLAIN:
        raise ModelError(f"--head {PLAIN}: {BASELINE} is no model of transformers; leave it out or name another head.")
    config = BaselineCnnConfig()
    return ChestXrayForImageClassification(
        _config(config, config.channels[-1], head or BASELINE_HEAD, image_size or BASELINE_SIZE)
    )


def with_head(model: nn.Module, name: str) -> ChestXrayForImageClassification:
    """``model``'s backbone, weights kept, under a fresh head ``name``.

    Raises:
        ModelError: no such head, or a backbone without a feature map to average (a plain vision transformer).
    """
    backbone, side, channels = model.base_model, _side(model), map_channels(model)
    if channels is None:
        raise ModelError(f"--head {name}: {type(model).__name__} gives no feature map to average; use --head {PLAIN}.")
    made = ChestXrayForImageClassification(_config(backbone.config, channels, name, side))
    made.backbone = backbone  # the very modules: skipped layers and BatchNorm momentum stay as they were set
    return made


def map_channels(model: nn.Module) -> int | None:
    """Channels of the last feature map (B, C, h, w) of ``model``'s backbone; None where it gives no such map."""
    backbone, side = model.base_model, _side(model)
    was_training = backbone.training
    with torch.inference_mode():
        seen = getattr(backbone.eval()(torch.zeros(1, 3, side, side)), "last_hidden_state", None)
    backbone.train(was_training)
    return seen.shape[1] if seen is not None and seen.ndim == 4 else None


def _side(model: nn.Module) -> int:
    return int(getattr(model.config, "image_size", 224) or 224)


def without_head(model: ChestXrayForImageClassification, dropout: float | None = None) -> PreTrainedModel:
    """``model``'s backbone, weights kept, under a fresh linear head: a model of transformers alone.

    dropout: before the head; None for the backbone's own.

    Raises:
        ModelError: transformers has no classifier for the backbone (the baseline CNN).
    """
    settings = dict(model.config.backbone_config)
    kind = settings.pop("model_type")
    if dropout is not None:
        settings |= {key: dropout for key in ("dropout_rate", "classifier_dropout_prob") if key in settings}
    config = AutoConfig.for_model(kind, **settings, id2label=dict(ID2LABEL), label2id=dict(LABEL2ID))
    try:
        made = AutoModelForImageClassification.from_config(config)
    except ValueError as error:
        raise ModelError(f"--head {PLAIN}: transformers has no classifier for {kind}; name another head.") from error
    setattr(made, made.base_model_prefix, model.backbone)  # the very modules, as in with_head
    return made


def _config(backbone: PreTrainedConfig, features: int, head: str, image_size: int) -> ChestXrayConfig:
    settings = backbone.to_dict()
    for key in ("id2label", "label2id", "architectures", "_name_or_path", "transformers_version", "dtype"):
        settings.pop(key, None)
    return ChestXrayConfig(
        chest_xray_head=head,
        backbone_config=settings,
        features=int(features),
        image_size=image_size,
        id2label=dict(ID2LABEL),
        label2id=dict(LABEL2ID),
    )


def _register() -> None:
    AutoConfig.register(ChestXrayConfig.model_type, ChestXrayConfig, exist_ok=True)
    AutoConfig.register(BaselineCnnConfig.model_type, BaselineCnnConfig, exist_ok=True)
    AutoModel.register(BaselineCnnConfig, BaselineCnn, exist_ok=True)
    AutoModelForImageClassification.register(ChestXrayConfig, ChestXrayForImageClassification, exist_ok=True)


_register()
