"""The losses that ``--loss`` names, one value per picture so that they add up over micro-batches and processes."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

GAMMA = 2.0
"""Of the focal loss; what its authors recommend."""


def weighted_losses(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Class-weighted cross-entropy of each picture: -sum_c w_c t_c log softmax(logits)_c.

    Args:
        logits: (B, 2). targets: (B, 2), rows summing to 1. weights: (2,).

    Returns:
        (B,), not negative. Its mean over pictures is Keras's ``class_weight`` loss; torch's own
        ``CrossEntropyLoss(weight=...)`` divides by the sum of the batch's weights instead, which is not additive over
        micro-batches.
    """
    return -(targets * weights * logits.float().log_softmax(-1)).sum(-1)


def plain_losses(logits: Tensor, targets: Tensor, _weights: Tensor) -> Tensor:
    """Cross-entropy of each picture, both classes alike."""
    return -(targets * logits.float().log_softmax(-1)).sum(-1)


def focal_losses(logits: Tensor, targets: Tensor, _weights: Tensor) -> Tensor:
    """Focal loss of each picture, -sum_c t_c (1 - p_c)^2 log p_c (Lin et al., ICCV 2017), without class weights.

    Soft targets (mixup, smoothing) weigh the two classes' terms, as in cross-entropy.
    """
    log_p = logits.float().log_softmax(-1)
    return -(targets * (1 - log_p.exp()) ** GAMMA * log_p).sum(-1)


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "weighted": weighted_losses,
    "plain": plain_losses,
    "focal": focal_losses,
}
