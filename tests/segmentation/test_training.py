"""Examples and training, on drawn chests."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hf_model.data.loading import DatasetError
from hf_model.segmentation.examples import ExampleBatches, OutlinedPictures, read_outlines
from hf_model.segmentation.network import LungNetwork, LungNetworkConfig, load_network, save_network
from hf_model.segmentation.training import segmentation_loss


def batches(pictures: OutlinedPictures, seed: int = 1) -> ExampleBatches:
    return ExampleBatches(pictures, pictures.rows("development_train"), [64] * 50, batch=8, seed=seed)


def test_a_batch_is_a_function_of_seed_and_number(pictures: OutlinedPictures):
    first, again = batches(pictures)[3], batches(pictures)[3]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], batches(pictures, seed=2)[3][0])
    assert not torch.equal(first[0], batches(pictures)[4][0])


def test_shapes_and_ranges(pictures: OutlinedPictures):
    grey, outline, view = batches(pictures)[0]
    assert (grey.shape, outline.shape, view.shape) == ((8, 1, 64, 64), (8, 1, 32, 32), (8, 3))
    assert 0 <= grey.min() <= grey.max() <= 255
    assert grey.max() > 100
    assert 0 <= outline.min() <= outline.max() <= 1
    assert outline.mean() > 0.05


def test_sides_may_change_from_batch_to_batch(pictures: OutlinedPictures):
    examples = ExampleBatches(pictures, pictures.rows("development_train"), [32, 64], batch=2, seed=0)
    assert [examples[step][0].shape[-1] for step in range(len(examples))] == [32, 64]


def test_every_picture_is_shown_once_an_epoch_and_no_held_out_one(pictures: OutlinedPictures):
    examples = batches(pictures)
    shown = np.concatenate([examples._drawn(step) for step in range(12)])  # 96 of 48 pictures: two epochs
    rows = pictures.rows("development_train")
    assert np.array_equal(np.sort(shown[:48]), rows)
    assert np.array_equal(np.sort(shown[48:]), rows)
    assert not np.array_equal(shown[:48], shown[48:])


def test_outline_goes_along_with_the_picture(pictures: OutlinedPictures):
    """Lungs are darker than the body around them wherever geometry has put them, in pictures that are not inverted."""
    darker = []
    for step in range(12):
        grey, outline, view = batches(pictures)[step]
        small = torch.nn.functional.avg_pool2d(grey, 2)
        for picture, lungs, (_, inverted, _) in zip(small, outline, view.tolist(), strict=True):
            inside = picture[lungs > 0.9].mean()
            around = torch.nn.functional.max_pool2d(lungs[None], 9, 1, 4)[0]
            ring = picture[(around > 0.5) & (lungs < 0.1)].mean()
            darker.append(bool(inside < ring) != bool(inverted))
    assert np.mean(darker) > 0.9


def test_loss_of_a_perfect_outline_is_next_to_nothing_and_of_a_wrong_one_large():
    target = torch.zeros(2, 1, 8, 8)
    target[:, :, 2:6, 2:6] = 1
    views = torch.tensor([[0, 0, 1], [2, 1, 0]])
    view = torch.full((2, 6), -20.0)
    view[0, 0] = view[0, 5] = view[1, 2] = view[1, 4] = 20
    right = 40 * target - 20
    assert segmentation_loss(right, view, target, views, 1.0).item() == pytest.approx(0, abs=1e-4)
    assert segmentation_loss(-right, view, target, views, 1.0).item() > 15
    # one of four turns and two binary answers, without any knowledge
    even = segmentation_loss(right, torch.zeros(2, 6), target, views, 1.0).item()
    assert even == pytest.approx(np.log(4) + np.log(2), abs=1e-3)


def test_contrast_and_brightness_of_a_picture_do_not_matter():
    torch.manual_seed(0)
    network = LungNetwork(LungNetworkConfig(size=32, channels=(4, 4, 4, 4), blocks=1)).eval()
    grey = torch.rand(1, 1, 32, 32) * 120
    with torch.inference_mode():
        first, second = network(grey)[0], network(grey * 1.5 + 40)[0]
    assert torch.allclose(first, second, atol=1e-3)


def test_weights_come_back_as_they_were_saved(tmp_path):
    network = LungNetwork(LungNetworkConfig(size=48, channels=(4, 8, 8, 12), blocks=2)).eval()
    save_network(network, tmp_path)
    again = load_network(tmp_path)
    assert again.config == network.config
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), again.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("size", [0, 40, 16])
def test_sizes_that_the_network_cannot_halve_four_times_are_refused(size: int):
    with pytest.raises(ValueError, match="multiple of 16"):
        LungNetworkConfig(size=size)


def test_shipped_size_is_at_most_a_megabyte(tmp_path):
    assert save_network(LungNetwork(LungNetworkConfig()), tmp_path).stat().st_size <= 2**20


def test_outlines_that_are_not_there(tmp_path):
    with pytest.raises(DatasetError, match="no such folder"):
        read_outlines(tmp_path / "nowhere")
