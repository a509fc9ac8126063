"""The quick gradients of depthwise convolutions against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hf_model.modeling.depthwise import FastDepthwise, quicken_depthwise
from hf_model.modeling.lite import lite_config


def _pair(kernel: int, stride: int, padding: int | str, kind: torch.dtype) -> tuple[nn.Conv2d, nn.Conv2d]:
    torch.manual_seed(0)
    plain = nn.Conv2d(8, 8, kernel, stride, padding, groups=8, bias=False).to(kind)
    quick = nn.Conv2d(8, 8, kernel, stride, padding, groups=8, bias=False).to(kind)
    quick.load_state_dict(plain.state_dict())
    assert quicken_depthwise(quick) == 1
    assert type(quick) is FastDepthwise
    return plain, quick


def _gradients(module: nn.Conv2d, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x = x.clone().requires_grad_()
    out = module(x)
    torch.manual_seed(1)
    # drawn in bfloat16, so that every type gets the same numbers
    out.backward(torch.randn(out.shape, dtype=torch.bfloat16).to(out.dtype))
    return out.detach(), x.grad, module.weight.grad


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 1), (1, "same"), (1, "valid"), (2, 0), (2, 1), (2, 2)])
@pytest.mark.parametrize("side", [15, 16])
@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
def test_output_and_gradients_are_those_of_torch(kernel, stride, padding, side, kind) -> None:
    plain, quick = _pair(kernel, stride, padding, kind)
    x = torch.randn(3, 8, side, side, dtype=kind)
    for expected, found in zip(_gradients(plain, x), _gradients(quick, x), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4 if kind == torch.float32 else 1e-12)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_bfloat16_gradients_are_within_its_precision(kernel: int, stride: int) -> None:
    """Against float64: no further off than a few of bfloat16's steps of 1/256, relative to the largest gradient."""
    plain, quick = _pair(kernel, stride, kernel // 2, torch.float64)
    x = torch.randn(3, 8, 16, 16, dtype=torch.bfloat16)
    expected, found = _gradients(plain, x.double()), _gradients(quick.to(torch.bfloat16), x)
    for exact, near in zip(expected, found, strict=True):
        assert (near.double() - exact).abs().max() < 0.03 * exact.abs().max()


def test_autocast_reaches_the_quick_convolution() -> None:
    _, quick = _pair(5, 1, 2, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        out = quick(torch.randn(2, 8, 12, 12))
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert quick.weight.grad.dtype == torch.float32


def test_only_depthwise_convolutions_are_taken_and_weights_stay() -> None:
    from transformers import EfficientNetForImageClassification

    model = EfficientNetForImageClassification(lite_config("efficientnet-lite0", num_labels=2))
    names = list(model.state_dict())
    assert quicken_depthwise(model) == 16  # one in each block
    assert list(model.state_dict()) == names
    others = nn.ModuleList(
        [
            nn.Conv2d(8, 8, 3, groups=4, bias=False),
            nn.Conv2d(8, 8, 3, groups=8),
            nn.Conv2d(8, 16, 3, groups=8, bias=False),
            nn.Conv2d(8, 8, 7, groups=8, bias=False),
            nn.Conv2d(8, 8, 3, dilation=2, groups=8, bias=False),
            nn.Conv2d(8, 8, 3, padding=(1, 0), groups=8, bias=False),
            nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect", groups=8, bias=False),
        ]
    )
    assert quicken_depthwise(others) == 0
