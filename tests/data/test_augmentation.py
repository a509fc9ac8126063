"""Augmentation: a function of its generator, bounded, and each variation does what it says."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from generated import chest
from scipy import ndimage

from hf_model.data.augmentation import AugmentationArguments, Augmenter, mixup

OFF = {field.name: 0.0 for field in fields(AugmentationArguments)}


def _pictures(count: int = 8) -> torch.Tensor:
    return torch.from_numpy(np.stack([chest(i) for i in range(count)]))


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_all_off_changes_nothing() -> None:
    out = Augmenter(AugmentationArguments(**OFF))(_pictures(), _generator())
    torch.testing.assert_close(out, _pictures().float() / 255, atol=1e-7, rtol=0)


def test_same_generator_same_pictures() -> None:
    augment = Augmenter(AugmentationArguments())
    first, again, other = (augment(_pictures(), _generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_values_stay_in_range_and_input_is_untouched() -> None:
    pictures = _pictures(32)
    out = Augmenter(AugmentationArguments())(pictures, _generator())
    assert out.min() >= 0
    assert out.max() <= 1
    assert torch.equal(pictures, _pictures(32))


@pytest.mark.parametrize("name", [f.name for f in fields(AugmentationArguments) if f.name != "mixup"])
def test_each_variation_changes_pictures(name: str) -> None:
    default = getattr(AugmentationArguments(), name)
    out = Augmenter(AugmentationArguments(**(OFF | {name: default})))(_pictures(16), _generator())
    changed = (out - _pictures(16).float() / 255).abs().amax((1, 2)) > 1 / 255
    assert changed.any()


def test_flip_of_everything_is_a_mirror() -> None:
    out = Augmenter(AugmentationArguments(**(OFF | {"flip": 1.0})))(_pictures(), _generator())
    torch.testing.assert_close(out, _pictures().flip(-1).float() / 255, atol=1e-6, rtol=0)


def test_shift_moves_by_whole_pixels_and_fills_with_black() -> None:
    picture = torch.zeros(1, 50, 50, dtype=torch.uint8)
    picture[0, 20:30, 20:30] = 255
    out = Augmenter(AugmentationArguments(**(OFF | {"shift": 0.2})))(picture, _generator(3))[0].numpy()
    y, x = np.mgrid[0:50, 0:50]
    moved = np.array([(out * y).sum(), (out * x).sum()]) / out.sum() - 24.5
    assert out.sum() == pytest.approx(100, abs=2)
    assert 0.5 < np.abs(moved).max() <= 10


def test_gamma_maps_greys_by_hand() -> None:
    flat = torch.full((1, 10, 10), 64, dtype=torch.uint8)
    out = Augmenter(AugmentationArguments(**(OFF | {"gamma": 0.6})))(flat, _generator(5))
    gamma = np.log(float(out[0, 0, 0])) / np.log(64 / 255)
    assert np.exp(-0.61) <= gamma <= np.exp(0.61)
    assert abs(gamma - 1) > 0.02


def test_mixup_is_convex_and_keeps_label_mass() -> None:
    x, y = torch.rand(16, 4, 4), torch.eye(2)[torch.arange(16) % 2]
    mixed, labels = mixup(x, y, 0.3, _generator())
    weight = float(labels.max(1).values.min())
    torch.testing.assert_close(labels.sum(1), torch.ones(16))
    order = torch.cdist(mixed.flatten(1) - x.flatten(1) * weight, x.flatten(1) * (1 - weight)).argmin(1)
    torch.testing.assert_close(mixed, x * weight + x[order] * (1 - weight))
    assert 0.5 <= weight <= 1


def test_mixup_weight_has_the_mean_of_a_folded_beta() -> None:
    # for Beta(1, 1) the larger of a weight and its complement is uniform on 0.5 to 1, with mean 0.75; a pair of two
    # is mixed with itself half the time, which leaves the labels as they were: (0.75 + 1) / 2
    generator = _generator(0)
    labels = [mixup(torch.rand(2, 1), torch.eye(2), 1.0, generator)[1] for _ in range(4000)]
    assert np.mean([float(pair[0].max()) for pair in labels]) == pytest.approx(0.875, abs=0.01)


def test_mixup_off() -> None:
    x, y = torch.rand(4, 2), torch.eye(2)[[0, 1, 0, 1]]
    assert mixup(x, y, 0.0, _generator())[0] is x


@pytest.mark.parametrize(("name", "value"), [("flip", 1.5), ("rotation", -1.0), ("jpeg", -0.1), ("mixup", -0.3)])
def test_values_out_of_range_are_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"--{name} {value}"):
        AugmentationArguments(**{name: value})


def _detail(pictures: torch.Tensor) -> np.ndarray:
    """Mean absolute vertical gradient of each picture."""
    return np.abs(np.diff(pictures.numpy().astype(float), axis=1)).mean((1, 2))


def test_exchanged_spectra_leave_no_sharpness_to_tell_a_class_by() -> None:
    """Blurred and sharp films: after an exchange of all, the sharpness of a film says little of which it was."""
    rng = np.random.default_rng(0)
    coarse = np.kron(rng.integers(60, 200, (64, 8, 8)), np.ones((12, 12)))
    sharp = coarse + rng.normal(0, 12, coarse.shape)
    smooth = np.stack([ndimage.gaussian_filter(picture, 0.7) for picture in sharp])
    blurred = np.arange(64) % 2 == 1
    films = torch.from_numpy(np.where(blurred[:, None, None], smooth, sharp).clip(0, 255).astype(np.uint8))
    out = (
        (Augmenter(AugmentationArguments(**OFF | {"spectrum": 1.0}))(films, _generator()) * 255).round().to(torch.uint8)
    )
    before, after = _detail(films), _detail(out)
    assert before[blurred].max() < before[~blurred].min()
    assert abs(np.corrcoef(after, blurred)[0, 1]) < 0.35
    # what is coarse stays: means over squares of 24 px
    squares = [f.numpy().astype(float).reshape(64, 4, 24, 4, 24).mean((2, 4)) for f in (films, out)]
    assert np.abs(squares[0] - squares[1]).mean() < 3
