"""Batches: renderings drawn evenly, a function of seed, epoch and rows, and normalised as serving does."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from hf_model.data.augmentation import AugmentationArguments
from hf_model.modeling.features import PictureCollator, PictureRows
from hf_model.radiograph import Preprocessing
from hf_model.training.batches import (
    AugmentedRows,
    TrainingCollator,
    TrainingRows,
    WeightedRows,
    generator_for,
    normalised,
)

SMALL = Preprocessing(height=16, width=16)


def _rows() -> TrainingRows:
    """Six pictures; rendering A has all (grey 10), B every other one (grey 200)."""
    first = np.full((6, 16, 16), 10, np.uint8)
    second = np.full((3, 16, 16), 200, np.uint8)
    index = np.array([0, -1, 1, -1, 2, -1])
    return TrainingRows([(first, np.arange(6)), (second, index)], np.array([0, 1, 0, 1, 0, 1]))


def test_renderings_are_drawn_evenly_among_those_there_are() -> None:
    rows, seen = _rows(), Counter()
    for epoch in range(400):
        pictures = rows.pictures([0, 1], generator_for(0, epoch, [0, 1]))
        seen[int(pictures[0, 0, 0])] += 1
        assert pictures[1, 0, 0] == 10  # picture 1 has only the first rendering
    assert 160 < seen[200] < 240  # 400 draws of one half: 200 +- 4 standard deviations


def test_a_batch_depends_on_seed_epoch_and_rows_alone() -> None:
    rows = _rows()
    collator = TrainingCollator(rows, SMALL, AugmentationArguments(), 0.1, seed=3)
    first = collator([(0, 2), (3, 2)])
    torch.rand(5)
    again, later = collator([(0, 2), (3, 2)]), collator([(0, 3), (3, 3)])
    assert torch.equal(first["pixel_values"], again["pixel_values"])
    assert not torch.equal(first["pixel_values"], later["pixel_values"])


def test_targets_are_smoothed() -> None:
    collator = TrainingCollator(_rows(), SMALL, AugmentationArguments(mixup=0.0), 0.1, seed=3)
    batch = collator([(0, 0), (1, 0)])
    torch.testing.assert_close(batch["targets"], torch.tensor([[0.95, 0.05], [0.05, 0.95]]))
    assert batch["labels"].tolist() == [0, 1]


def test_rows_stay_in_their_map_until_asked_for() -> None:
    pixels = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    rows = PictureRows.of_rendering(pixels, np.array([4, -1, 2]), np.array([0, 1, 2]), np.array([1, 0, 0]))
    assert rows.pixels is pixels
    assert [(int(picture[0, 0]), label) for picture, label in (rows[0], rows[1])] == [(4, 1), (2, 0)]


def test_an_augmented_view_is_fixed_for_each_picture() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 16, 16), dtype=np.uint8)
    labels = np.array([0, 1, 0, 1, 0, 1])
    every = AugmentedRows(pixels, labels, np.arange(6), AugmentationArguments(), seed=1)
    some = AugmentedRows(pixels, labels[3:], np.arange(3, 6), AugmentationArguments(), seed=1)
    np.testing.assert_array_equal(every[4][0], some[1][0])
    assert every[4][1] == some[1][1] == 0
    assert (every[4][0] != pixels[4]).any()


def test_training_and_serving_normalise_alike() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (4, 16, 16), dtype=np.uint8)
    ours = normalised(torch.from_numpy(grey).float() / 255, SMALL)
    plain = PictureCollator(SMALL)([(picture, 0) for picture in grey])["pixel_values"]
    torch.testing.assert_close(ours, plain, atol=2e-6, rtol=0)
    np.testing.assert_array_equal(plain.numpy(), SMALL.normalize(grey))


def test_rows_are_drawn_by_their_weights() -> None:
    rows = TrainingRows(
        [(np.zeros((8, 4, 4), np.uint8), np.arange(8))], np.zeros(8, int), weights=np.repeat([0.5, 1.5], 4)
    )
    sampler, seen = WeightedRows(rows, seed=5), Counter()
    for epoch in range(500):
        rows.epoch = epoch
        drawn = list(sampler)
        assert len(drawn) == len(sampler) == 8
        assert list(sampler) == drawn  # the same seed and epoch
        counts = Counter(drawn)
        assert all(counts[row] <= (1 if row < 4 else 2) for row in range(8))
        assert all(counts[row] >= 1 for row in range(4, 8))
        seen.update(drawn)
    assert all(abs(seen[row] / 500 - weight) < 0.1 for row, weight in enumerate(rows.weights))
    rows.epoch = 3
    assert list(WeightedRows(rows, seed=6)) != list(sampler)
