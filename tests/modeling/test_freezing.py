"""Freezing, layer-wise learning rates and BatchNorm, on a tiny EfficientNet and on hand-made networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import AutoModelForImageClassification

from hf_model.modeling.freezing import (
    ModelError,
    head_of,
    hold_frozen_norms,
    layers_of,
    parameter_groups,
    set_batch_norm_momentum,
    unfreeze,
)


@pytest.fixture
def tiny(tiny_base) -> nn.Module:
    return AutoModelForImageClassification.from_pretrained(tiny_base)


def test_momentum_reaches_every_batch_norm(tiny: nn.Module) -> None:
    norms = [m for m in tiny.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {m.momentum for m in norms} == {0.99, 0.1}  # expand_bn ignores the configuration: the trap
    assert set_batch_norm_momentum(tiny, 0.01) == len(norms)
    assert {m.momentum for m in norms} == {0.01}
    assert tiny.config.batch_norm_momentum == 0.01


def test_running_mean_moves_by_one_per_cent(tiny: nn.Module) -> None:
    set_batch_norm_momentum(tiny, 0.01)
    norm = tiny.efficientnet.embeddings.batchnorm
    norm.train()
    start = norm.running_mean.clone()
    x = torch.randn(4, norm.num_features, 8, 8) + 3
    norm(x)
    torch.testing.assert_close(norm.running_mean, 0.99 * start + 0.01 * x.mean((0, 2, 3)))


def test_layers_run_from_stem_to_head(tiny: nn.Module) -> None:
    layers = layers_of(tiny)
    assert layers[0].name == "stem"
    assert [layer.name for layer in layers[-2:]] == ["top", "head"]
    assert [layer.name for layer in layers[1:-2]] == [
        f"block {i}" for i in range(len(tiny.efficientnet.encoder.blocks))
    ]
    names = [name for layer in layers for name, _ in layer.parameters]
    assert sorted(names) == sorted(name for name, _ in tiny.named_parameters())


def test_unfreeze_zero_leaves_the_head(tiny: nn.Module) -> None:
    assert unfreeze(tiny, "0") == sum(p.numel() for p in tiny.classifier.parameters())
    assert [n for n, p in tiny.named_parameters() if p.requires_grad] == ["classifier.weight", "classifier.bias"]


def test_unfreeze_two_upper_blocks(tiny: nn.Module) -> None:
    unfreeze(tiny, "2")
    last = len(tiny.efficientnet.encoder.blocks) - 1
    for name, parameter in tiny.named_parameters():
        upper = f"blocks.{last}." in name or f"blocks.{last - 1}." in name
        assert parameter.requires_grad == (upper or ".top_" in name or name.startswith("classifier")), name


def test_unfreeze_all(tiny: nn.Module) -> None:
    unfreeze(tiny, "0")
    assert unfreeze(tiny, "all") == sum(p.numel() for p in tiny.parameters())


def test_frozen_norms_keep_their_statistics(tiny: nn.Module) -> None:
    unfreeze(tiny, "1")
    tiny.train()
    hold_frozen_norms(tiny)
    last = tiny.efficientnet.encoder.blocks[-1]
    before = {n: b.clone() for n, b in tiny.named_buffers() if "running_mean" in n}
    tiny(pixel_values=torch.randn(4, 3, 64, 64))
    moved = {n for n, b in tiny.named_buffers() if n in before and not torch.equal(b, before[n])}
    assert moved
    upper = f"blocks.{len(tiny.efficientnet.encoder.blocks) - 1}."
    assert all(upper in name or "top_bn" in name for name in moved)
    assert last.projection.project_bn.training


def test_learning_rates_fall_by_layer(tiny: nn.Module) -> None:
    groups = parameter_groups(tiny, 0.1, 0.02, 0.5, 5.0)
    rates = {group["layer"]: group["lr"] for group in groups}
    blocks = len(tiny.efficientnet.encoder.blocks)
    assert rates["head"] == pytest.approx(0.5)
    assert rates["top"] == pytest.approx(0.1)
    assert rates[f"block {blocks - 1}"] == pytest.approx(0.05)
    assert rates["stem"] == pytest.approx(0.1 * 0.5 ** (blocks + 1))
    assert sum(len(group["params"]) for group in groups) == len(list(tiny.parameters()))
    for group in groups:
        assert all((p.ndim > 1) == (group["weight_decay"] == 0.02) for p in group["params"])


def test_one_rate_needs_no_layers() -> None:
    groups = parameter_groups(nn.Linear(3, 2), 0.1, 0.02, 1.0, 1.0)
    assert [(len(g["params"]), g["lr"], g["weight_decay"]) for g in groups] == [(1, 0.1, 0.02), (1, 0.1, 0.0)]


def test_models_without_head_or_blocks_are_refused() -> None:
    with pytest.raises(ModelError, match="no classifier"):
        head_of(nn.Linear(2, 2))
    plain = nn.Sequential(nn.Linear(2, 2))
    plain.classifier = nn.Linear(2, 2)
    with pytest.raises(ModelError, match="no list of blocks"):
        layers_of(plain)
