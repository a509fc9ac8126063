"""Classification heads, between the pooled features and the two logits: a table of named heads.

The project that this one replaces trained ten Keras heads on a frozen MobileNetV2, each ending in one sigmoid, and its
EfficientNet variant an eleventh. Here every head ends in two logits: softmax of two logits is the sigmoid of their
difference, so the family of answers is the same. The names say what a head changes; where they leave something open
(the width and dropout of ``efficientnet``, dropout 0.5 after a dense layer), the value here is ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hf_model.config import LABELS
from hf_model.modeling.freezing import ModelError

PLAIN = "plain"
HEADS: dict[str, tuple[tuple[str, float], ...]] = {
    PLAIN: (("dropout", 0.2),),
    "dropout-0.5": (("dropout", 0.5),),
    "dense-64": (("dense", 64), ("dropout", 0.5)),
    "dropout-0.3": (("dropout", 0.3),),
    "dropout-0.7": (("dropout", 0.7),),
    "dense-128": (("dense", 128), ("dropout", 0.5)),
    "no-dropout": (),
    "batch-norm": (("norm", 1), ("dropout", 0.5)),
    "dense-32-batch-norm": (("dense", 32), ("norm", 1), ("dropout", 0.5)),
    "two-batch-norms": (("norm", 2),),
    "three-dense-two-batch-norms": (("dense", 64), ("norm", 2), ("dense", 32)),
    "efficientnet": (("norm", 1), ("dense", 256), ("dropout", 0.45)),
}
"""Name -> layers before the last one, which is always linear with two outputs. ("dense", units) has a ReLU,
("norm", n) is n batch normalisations in a row, ("dropout", share) what it says."""
NORM_MOMENTUM = 0.1
"""PyTorch's. A head starts from nothing and may train for a few hundred steps only: the backbone's 0.01 would leave its
running statistics behind."""


class HeadNorm(nn.BatchNorm1d):
    """BatchNorm1d that takes a last batch of one picture, which has no variance, with its running statistics."""

    def forward(self, features: Tensor) -> Tensor:
        if self.training and len(features) == 1:
            return nn.functional.batch_norm(
                features, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(features)


def check_head(name: str) -> str:
    """Return the name of a head.

    Raises:
        ModelError: no head has that name; the message lists the names.
    """
    if name not in HEADS:
        raise ModelError(f"--head {name}: there is no such head; one of {', '.join(HEADS)}.")
    return name


def build_head(name: str, features: int) -> nn.Sequential:
    """A fresh head: float (N, features) -> logits (N, 2). Raises ModelError for an unknown name."""
    layers: list[nn.Module] = []
    width = features
    for kind, value in HEADS[check_head(name)]:
        if kind == "dense":
            layers += [nn.Linear(width, int(value)), nn.ReLU()]
            width = int(value)
        elif kind == "norm":
            layers += [HeadNorm(width, momentum=NORM_MOMENTUM) for _ in range(int(value))]
        else:
            layers.append(nn.Dropout(value))
    return nn.Sequential(*layers, nn.Linear(width, len(LABELS)))


def set_head_norm_momentum(head: nn.Module) -> None:
    """Set ``NORM_MOMENTUM`` on the BatchNorms of a head, after that of the backbone was set everywhere."""
    for module in head.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = NORM_MOMENTUM


def logits_and_gradient(head: nn.Sequential, features: Tensor, order: list[int]) -> tuple[Tensor, Tensor]:
    """Logits and what Grad-CAM weights the feature map with, without autograd, so that it can be traced and exported.

    A head in evaluation mode is linear on the side of each ReLU that a picture falls on; going back through its layers
    is a few small matrix products. For the plain head the gradient is the difference of the classifier's rows, and the
    map is the class activation map.

    Args:
        head: from ``build_head``, in evaluation mode. features: (N, D), pooled. order: rows (normal, pneumonia).

    Returns:
        Logits (N, 2), normal first, and d(logit_pneumonia - logit_normal) / d(features), (N, D).
    """
    inputs, seen = features, []
    for layer in head:
        seen.append(inputs)
        inputs = layer(inputs)
    last = head[-1]
    # one row for each picture; written as a sum because a traced graph would keep the number of pictures
    gradient = torch.zeros_like(inputs[:, :1]) + (last.weight[order[1]] - last.weight[order[0]])
    for layer, before in zip(reversed(head[:-1]), reversed(seen[:-1]), strict=True):
        if isinstance(layer, nn.Linear):
            gradient = gradient @ layer.weight
        elif isinstance(layer, nn.ReLU):
            gradient = gradient * (before > 0).to(gradient.dtype)
        elif isinstance(layer, _BatchNorm):
            gradient = gradient * (layer.weight / torch.sqrt(layer.running_var + layer.eps))
    return inputs[:, order], gradient
