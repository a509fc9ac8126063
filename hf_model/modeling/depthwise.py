"""Depthwise convolutions whose backward pass is fast on a CPU too.

oneDNN, which torch uses on CPUs, has quick kernels for a depthwise 3 x 3 convolution of stride 1 and for every forward
pass. What it lacks it computes by a reference loop: the weight gradient of 5 x 5 kernels (108 ms where four 3 x 3 ones
take 6) and the input gradient at stride 2 in bfloat16 (121 ms against 6), for 32 pictures on two cores of a Sapphire
Rapids. Half of Lite0's training step went there. Both are the quick kernels on rearranged inputs:

- The input gradient is a forward convolution, stride 1, of the output gradient (zeros between its pixels where the
  stride was 2) with the kernel turned by half a circle.
- A 5 x 5 weight gradient is four overlapping 3 x 3 ones, of inputs shifted by two pixels.

Same sums in another order: equal to torch's own gradient up to rounding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class _Depthwise(torch.autograd.Function):
    """Odd square kernel, one filter a channel, no bias, on a CPU."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding, 1, x.shape[1])

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_x = input_gradient(gradient, x, weight, ctx.stride, ctx.padding) if ctx.needs_input_grad[0] else None
        of_weight = weight_gradient(gradient, x, weight, ctx.stride, ctx.padding) if ctx.needs_input_grad[1] else None
        return of_x, of_weight, None, None


def input_gradient(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Gradient (N, C, H, W) of a depthwise convolution's input ``x``, from that of its output (N, C, h, w)."""
    kernel, shape = weight.shape[-1], x.shape
    if stride > 1 and gradient.dtype == torch.float32:
        arguments = ([stride] * 2, [padding] * 2, [1, 1], False, [0, 0], shape[1], [True, False, False])
        return torch.ops.aten.convolution_backward(gradient, x, weight, None, *arguments)[0]
    if stride > 1:
        # as many rows and columns as a stride of 1 would have given; those that the stride skipped stay zero
        rows, columns = (side + 2 * padding - kernel + 1 for side in shape[-2:])
        spread = torch.empty((*shape[:2], rows, columns), dtype=gradient.dtype, memory_format=torch.channels_last)
        spread.zero_()[:, :, ::stride, ::stride] = gradient
        gradient = spread
    turned = weight.flip(2, 3)
    outside = kernel - 1 - padding
    return F.conv2d(gradient, turned, None, 1, outside, 1, shape[1])


def weight_gradient(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Gradient (C, 1, k, k) of the kernel, from inputs (N, C, H, W) and the gradient of the output (N, C, h, w)."""
    kernel = weight.shape[-1]
    if kernel == 3:
        return _weight_gradient(gradient, x, weight, stride, padding)
    wide = F.pad(x, (padding,) * 4) if padding else x
    height, width = ((side - 1) * stride + 3 for side in gradient.shape[-2:])
    out = torch.empty_like(weight)
    for top in (0, 2):
        for left in (0, 2):
            # a window's 3 x 3 gradients are the kernel's at (top, left) and to the right and below; overlaps agree
            window = wide[:, :, top : top + height, left : left + width]
            window = window.contiguous(memory_format=torch.channels_last)
            corner = weight[:, :, top : top + 3, left : left + 3]
            out[:, :, top : top + 3, left : left + 3] = _weight_gradient(gradient, window, corner, stride, 0)
    return out


def _weight_gradient(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    arguments = ([stride] * 2, [padding] * 2, [1, 1], False, [0, 0], x.shape[1], [False, True, False])
    return torch.ops.aten.convolution_backward(gradient, x, weight, None, *arguments)[1]


class FastDepthwise(nn.Conv2d):
    """A depthwise ``Conv2d`` (3 x 3 or 5 x 5, stride 1 or 2) with the quick gradient on CPUs; the same weights."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not torch.is_grad_enabled() or not self.weight.requires_grad:
            return super().forward(x)
        weight = self.weight
        if torch.is_autocast_enabled("cpu"):
            kind = torch.get_autocast_dtype("cpu")
            x, weight = x.to(kind), weight.to(kind)
        return _Depthwise.apply(x, weight, self.stride[0], _padding(self))


def quicken_depthwise(model: nn.Module) -> int:
    """Give every depthwise convolution that qualifies the quick gradient, in place; returns how many."""
    chosen = [module for module in model.modules() if _qualifies(module)]
    for module in chosen:
        module.__class__ = FastDepthwise
    return len(chosen)


def _qualifies(module: nn.Module) -> bool:
    if not isinstance(module, nn.Conv2d) or module.bias is not None or module.padding_mode != "zeros":
        return False
    depthwise = module.groups == module.in_channels == module.out_channels > 1
    square = module.kernel_size in {(3, 3), (5, 5)} and module.stride in {(1, 1), (2, 2)} and module.dilation == (1, 1)
    return depthwise and square and 0 <= _padding(module) < module.kernel_size[0]


def _padding(module: nn.Conv2d) -> int:
    """Pixels of padding on every side; -1 where the sides differ."""
    if isinstance(module.padding, str):
        return {"valid": 0, "same": module.kernel_size[0] // 2}[module.padding]
    return module.padding[0] if module.padding[0] == module.padding[1] else -1
