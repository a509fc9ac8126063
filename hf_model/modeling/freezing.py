"""Which parts of a network are frozen, the learning rates of the others, and their BatchNorms."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hf_model.modeling.lite import NeutralSqueezeExcite

BATCH_NORM_MOMENTUM = 0.01


class ModelError(ValueError):
    """A base checkpoint that cannot be used; the message says why and what to do."""


def set_batch_norm_momentum(model: nn.Module, momentum: float = BATCH_NORM_MOMENTUM) -> int:
    """Set ``momentum`` (PyTorch's: the weight of the newest batch) on every BatchNorm; returns how many.

    Hub EfficientNets carry TensorFlow's 0.99, which transformers hands to PyTorch unchanged, where it means that
    running statistics are 99 per cent the last batch's. ``expand_bn`` ignores the configuration, so modules are set.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.momentum = momentum
    if hasattr(model, "config") and hasattr(model.config, "batch_norm_momentum"):
        model.config.batch_norm_momentum = momentum
    return len(norms)


def head_of(model: nn.Module) -> nn.Module:
    """The classifier on top of the backbone.

    Raises:
        ModelError: the model has no attribute ``classifier`` or ``fc``.
    """
    for name in ("classifier", "fc"):
        head = getattr(model, name, None)
        if isinstance(head, nn.Module):
            return head
    raise ModelError(f"{type(model).__name__} has no classifier that could be trained on a frozen backbone.")


class Layer(NamedTuple):
    """Parameters of one depth of the network, by name."""

    name: str
    parameters: list[tuple[str, nn.Parameter]]


def layers_of(model: nn.Module) -> list[Layer]:
    """The network from stem to head: stem, each block, what follows the blocks, head.

    Blocks are the outermost ``ModuleList`` of two or more modules.

    Raises:
        ModelError: there is no such list, so neither "upper blocks" nor layer-wise rates are defined.
    """
    blocks_name = next((n for n, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m) > 1), None)
    if blocks_name is None:
        raise ModelError(f"{type(model).__name__} has no list of blocks: use --unfreeze_blocks all --layer_decay 1.")
    head = {id(p) for p in head_of(model).parameters()}
    stem, top, blocks, last = Layer("stem", []), Layer("top", []), {}, Layer("head", [])
    for name, parameter in model.named_parameters():
        if id(parameter) in head:
            last.parameters.append((name, parameter))
        elif name.startswith(blocks_name + "."):
            number = int(name[len(blocks_name) + 1 :].split(".")[0])
            blocks.setdefault(number, Layer(f"block {number}", [])).parameters.append((name, parameter))
        else:
            (top if blocks else stem).parameters.append((name, parameter))
    return [stem, *(blocks[number] for number in sorted(blocks)), top, last]


def unfreeze(model: nn.Module, blocks: str) -> int:
    """Train the head, what follows the blocks, and the upper ``blocks`` of them; freeze the rest.

    Args:
        blocks: ``"all"`` (stem too) or a number, "0" leaving the head alone.

    Returns:
        The number of parameters that learn.
    """
    if blocks == "all":
        for parameter in model.parameters():
            parameter.requires_grad_(True)
    else:
        layers = layers_of(model)
        count = int(blocks)
        learning = layers[-1:] if count == 0 else layers[max(1, len(layers) - 2 - count) :]
        for layer in layers:
            for _, parameter in layer.parameters:
                parameter.requires_grad_(any(layer is chosen for chosen in learning))
    for module in model.modules():
        if isinstance(module, NeutralSqueezeExcite):
            module.requires_grad_(False)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def hold_frozen_norms(model: nn.Module) -> None:
    """Put BatchNorms whose weights are frozen into evaluation mode, so that their statistics stay as they are."""
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.affine and not module.weight.requires_grad:
            module.eval()


def parameter_groups(
    model: nn.Module, learning_rate: float, weight_decay: float, layer_decay: float, head_multiplier: float
) -> list[dict[str, object]]:
    """Optimizer groups: the rate falls by ``layer_decay`` with each layer below the top; the head's is multiplied.

    Biases and normalisation weights (one-dimensional) are not decayed.
    """
    if layer_decay == 1 and head_multiplier == 1:
        return _decay_groups("all", [p for p in model.parameters() if p.requires_grad], learning_rate, weight_decay)
    layers = layers_of(model)
    groups: list[dict[str, object]] = []
    for index, layer in enumerate(layers):
        depth = len(layers) - 2 - index
        rate = learning_rate * (head_multiplier if depth < 0 else layer_decay**depth)
        learning = [p for _, p in layer.parameters if p.requires_grad]
        groups += _decay_groups(layer.name, learning, rate, weight_decay)
    return groups


def _decay_groups(name: str, parameters: list[nn.Parameter], rate: float, decay: float) -> list[dict[str, object]]:
    halves = [(decay, [p for p in parameters if p.ndim > 1]), (0.0, [p for p in parameters if p.ndim <= 1])]
    return [{"params": part, "lr": rate, "weight_decay": d, "layer": name} for d, part in halves if part]
