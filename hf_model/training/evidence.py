"""A penalty on evidence outside the lungs, for training: serving and its cost stay as they are.

The class activation map of a network with global average pooling and a linear head says where its answer comes from.
Penalising the share of the map that lies outside the outline of the lungs ("right for the right reasons", Ross et al.,
IJCAI 2017, there on input gradients) moves the evidence inside at no loss of AUC (``docs/experiments.md``).
"""

from __future__ import annotations

from types import TracebackType

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hf_model.modeling.freezing import ModelError, head_of
from hf_model.modeling.modeling_chest_xray import map_channels

FLOOR = 0.01
"""Mean evidence a cell, in log-odds, added to the denominator: a map of next to nothing has no share to penalise."""


def evidence_outside(maps: Tensor, direction: Tensor, lungs: Tensor) -> Tensor:
    """Share of each picture's evidence, for either class, that lies outside the lungs.

    Args:
        maps: float (B, D, h, w), the last feature map.
        direction: float (D,), weights of the pneumonia logit minus those of the normal logit.
        lungs: float (B, H, W), 0 outside to 1 inside, on the pictures as the network saw them; averaged over the cells
            of the map. A picture of ones throughout has no penalty.

    Returns:
        float32 (B,), 0 to 1, differentiable.
    """
    activation = torch.einsum("bdhw,d->bhw", maps.float(), direction.float()).abs()
    outside = 1 - F.adaptive_avg_pool2d(lungs.float()[:, None], activation.shape[-2:])[:, 0]
    return (activation * outside).sum((1, 2)) / (activation.sum((1, 2)) + FLOOR * activation[0].numel())


def linear_head(model: nn.Module) -> nn.Linear:
    """The only layer with weights in the head.

    Raises:
        ModelError: there are more, or it is another kind: then the map is not a weighted sum of the last feature map.
    """
    layers = [layer for layer in head_of(model).modules() if not isinstance(layer, nn.Sequential | nn.Dropout)]
    if len(layers) != 1 or not isinstance(layers[0], nn.Linear):
        raise ModelError("--evidence_weight needs a head of one linear layer: use --head plain, or weight 0.")
    return layers[0]


def check_penalty(model: nn.Module) -> None:
    """Refuse a model whose evidence cannot be located, before anything is decoded.

    Raises:
        ModelError: its head is not one linear layer, or its backbone gives no feature map.
    """
    linear_head(model)
    if map_channels(model) is None:
        raise ModelError(
            f"--evidence_weight needs a feature map, and {type(model).__name__} gives none: use weight 0, or another "
            "--base_model."
        )


@torch.no_grad()
def drop_bias(model: nn.Module) -> None:
    """Fix the bias of the head at 0; call it after anything that thaws parameters.

    With a bias the penalty has an easy way out: "pneumonia unless the lungs say otherwise" needs no evidence for
    pneumonia anywhere (seen in ``docs/experiments.md``: the map of pneumonias was empty). Without one the mean of the
    map is the margin, so a positive answer needs positive evidence.
    """
    bias = linear_head(model).bias
    if bias is not None:
        bias.zero_()
        bias.requires_grad_(False)


class LastMap:
    """Keeps the last feature map of a model's newest forward pass; a context manager, so that the hook is taken away.

    Raises:
        ModelError: see ``linear_head``.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model, self.linear = model, linear_head(model)
        self.maps: Tensor | None = None

    def __enter__(self) -> LastMap:
        self._handle = self.model.base_model.register_forward_hook(self._keep)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._handle.remove()
        self.maps = None

    def _keep(self, _module: nn.Module, _inputs: object, outputs: object) -> None:
        self.maps = outputs.last_hidden_state

    def outside(self, lungs: Tensor) -> Tensor:
        """``evidence_outside`` of the newest forward pass, (B,)."""
        with torch.autocast(self.maps.device.type, enabled=False):  # shares of sums are not for bfloat16
            return evidence_outside(self.maps, self.linear.weight[1] - self.linear.weight[0], lungs)
