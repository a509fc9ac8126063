"""evidence.py: shares by hand, outlines that move with their pictures, and a penalty that moves the evidence inside."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithNoAttention

from hf_model.data.augmentation import AugmentationArguments, Augmenter, mixup
from hf_model.modeling.freezing import ModelError
from hf_model.radiograph import Preprocessing
from hf_model.training.batches import TrainingCollator, TrainingRows, generator_for
from hf_model.training.evidence import FLOOR, LastMap, drop_bias, evidence_outside


def test_share_outside_by_hand():
    maps = torch.zeros(2, 2, 2, 2)
    maps[0, 0] = torch.tensor([[3.0, 1.0], [0.0, 0.0]])
    maps[1, 1] = torch.tensor([[0.0, 0.0], [2.0, 2.0]])
    lungs = torch.zeros(2, 4, 4)
    lungs[:, :2, :2] = 1  # the upper left cell
    lungs[1, 2:, 1:3] = 1  # half of either lower cell
    outside = evidence_outside(maps, torch.tensor([1.0, -1.0]), lungs)
    # first: 1 of 4 outside; second, evidence against pneumonia: half of 4; both over the sum plus 4 cells of FLOOR
    assert outside.tolist() == pytest.approx([1 / (4 + 4 * FLOOR), 2 / (4 + 4 * FLOOR)])


def test_lungs_that_are_not_known_and_empty_maps_have_no_penalty():
    maps = torch.rand(1, 3, 5, 5)
    assert evidence_outside(maps, torch.ones(3), torch.ones(1, 20, 20)).item() == pytest.approx(0.0, abs=1e-6)
    assert evidence_outside(maps * 0, torch.ones(3), torch.zeros(1, 20, 20)).item() == 0.0


def test_outlines_move_as_their_pictures_and_leave_them_as_they_are():
    square = np.zeros((8, 32, 32), np.uint8)
    square[:, 8:20, 6:14] = 255
    pictures = torch.from_numpy(square)
    geometry = AugmentationArguments(
        gamma=0, contrast=0, brightness=0, blur=0, noise=0, erasing=0, jpeg=0, downscale=0, mixup=0
    )
    augment = Augmenter(geometry)
    x, lungs = augment(pictures, torch.Generator().manual_seed(1), pictures.clone())
    torch.testing.assert_close(x, lungs, atol=1 / 255, rtol=0)
    assert (lungs.sum((1, 2)) != lungs[0].sum()).any()
    alone = Augmenter(AugmentationArguments())
    first = alone(pictures, torch.Generator().manual_seed(2))
    second, _ = alone(pictures, torch.Generator().manual_seed(2), pictures)
    assert torch.equal(first, second)


def test_mixed_pictures_have_the_lungs_of_both():
    lungs = torch.eye(4)[:, None].expand(4, 4, 4)
    x, targets, mixed = mixup(
        torch.rand(4, 4, 4), torch.eye(2)[[0, 1, 0, 1]], 1.0, torch.Generator().manual_seed(1), lungs
    )
    assert (x.shape, targets.shape) == ((4, 4, 4), (4, 2))
    assert torch.all(mixed >= lungs)
    assert mixed.sum() > lungs.sum()


def test_batches_hold_the_lungs_of_the_rendering_that_was_drawn():
    whole, box = np.full((2, 16, 16), 10, np.uint8), np.full((2, 16, 16), 200, np.uint8)
    outlines = [np.zeros((2, 16, 16), np.uint8), np.full((2, 16, 16), 255, np.uint8)]
    rows = TrainingRows([(whole, np.arange(2)), (box, np.arange(2))], np.array([0, 1]), outlines)
    for epoch in range(6):
        pictures, lungs = rows.draw([0, 1], generator_for(0, epoch, [0, 1]))
        assert ((pictures[:, 0, 0] == 200) == (lungs[:, 0, 0] == 255)).all()
    batch = TrainingCollator(rows, Preprocessing(height=16, width=16), AugmentationArguments(), 0.0, 1)(
        [(0, 0), (1, 0)]
    )
    assert batch["lungs"].shape == (2, 16, 16)


class _Tiny(nn.Module):
    """One convolution, global average pooling, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.base_model = _Body()
        self.classifier = nn.Linear(8, 2)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.base_model(pixel_values).last_hidden_state.mean((2, 3)))


class _Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 8, 4, stride=4)

    def forward(self, x: torch.Tensor) -> BaseModelOutputWithNoAttention:
        return BaseModelOutputWithNoAttention(last_hidden_state=self.layer(x).relu())


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_the_penalty_moves_the_evidence_from_a_marker_into_the_lungs(weight):
    """Lungs and a marker in the corner both tell the class; without the penalty the brighter marker decides."""
    torch.manual_seed(0)
    labels = torch.arange(64) % 2
    x = 0.1 * torch.randn(64, 1, 16, 16)
    x[:, :, 4:12, 4:12] += 0.5 * labels[:, None, None, None]
    x[:, :, :4, 12:] += 3.0 * labels[:, None, None, None]
    lungs = torch.zeros(64, 16, 16)
    lungs[:, 4:12, 4:12] = 1
    model = _Tiny()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(150):
        with LastMap(model) as last:
            loss = nn.functional.cross_entropy(model(x), labels) + weight * last.outside(lungs).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            share = last.outside(lungs).mean().item()
    assert (model(x).argmax(1) == labels).float().mean() > 0.95
    assert (share < 0.2) == bool(weight)
    assert not model.base_model._forward_hooks


def test_a_head_that_is_not_linear_is_refused_with_what_to_do():
    model = _Tiny()
    model.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(8, 2))
    LastMap(model)
    model.classifier = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(ModelError, match="--head plain"):
        LastMap(model)


def test_without_a_bias_the_margin_is_the_mean_of_the_map():
    model = _Tiny()
    drop_bias(model)
    assert not model.classifier.bias.requires_grad
    x = torch.randn(3, 1, 16, 16)
    with LastMap(model) as last:
        logits = model(x)
        direction = model.classifier.weight[1] - model.classifier.weight[0]
        activation = torch.einsum("bdhw,d->bhw", last.maps, direction)
    torch.testing.assert_close(logits[:, 1] - logits[:, 0], activation.mean((1, 2)))
