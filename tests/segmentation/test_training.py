"""Examples and training, on drawn chests."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hf_model.data.loading import DatasetError
from hf_model.segmentation import training
from hf_model.segmentation.examples import (
    MILD_SHARE,
    MILD_SHARE_AT_LAST,
    ExampleBatches,
    OutlinedPictures,
    read_outlines,
)
from hf_model.segmentation.network import LungNetwork, LungNetworkConfig, load_network, save_network
from hf_model.segmentation.training import LungTraining, segmentation_loss, train_network


def batches(outlined_pictures: OutlinedPictures, seed: int = 1) -> ExampleBatches:
    return ExampleBatches(outlined_pictures, outlined_pictures.rows("development_train"), [64] * 50, batch=8, seed=seed)


def test_a_batch_is_a_function_of_seed_and_number(outlined_pictures: OutlinedPictures):
    first, again = batches(outlined_pictures)[3], batches(outlined_pictures)[3]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], batches(outlined_pictures, seed=2)[3][0])
    assert not torch.equal(first[0], batches(outlined_pictures)[4][0])


def test_shapes_and_ranges(outlined_pictures: OutlinedPictures):
    grey, outline, view = batches(outlined_pictures)[0]
    assert (grey.shape, outline.shape, view.shape) == ((8, 1, 64, 64), (8, 1, 32, 32), (8, 3))
    assert 0 <= grey.min() <= grey.max() <= 255
    assert grey.max() > 100
    assert 0 <= outline.min() <= outline.max() <= 1
    assert outline.mean() > 0.05


def test_sides_may_change_from_batch_to_batch(outlined_pictures: OutlinedPictures):
    examples = ExampleBatches(outlined_pictures, outlined_pictures.rows("development_train"), [32, 64], batch=2, seed=0)
    assert [examples[step][0].shape[-1] for step in range(len(examples))] == [32, 64]


def test_every_picture_is_shown_once_an_epoch_and_no_held_out_one(outlined_pictures: OutlinedPictures):
    examples = batches(outlined_pictures)
    shown = np.concatenate([examples._drawn(step) for step in range(12)])  # 96 of 48 pictures: two epochs
    rows = outlined_pictures.rows("development_train")
    assert np.array_equal(np.sort(shown[:48]), rows)
    assert np.array_equal(np.sort(shown[48:]), rows)
    assert not np.array_equal(shown[:48], shown[48:])


def test_outline_goes_along_with_the_picture(outlined_pictures: OutlinedPictures):
    """Lungs are darker than the body around them wherever geometry has put them, unless inverted."""
    darker = []
    for step in range(12):
        grey, outline, view = batches(outlined_pictures)[step]
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


def test_an_interrupted_training_goes_on_to_the_same_weights(outlined_pictures: OutlinedPictures, tmp_path):
    config = LungNetworkConfig(size=32, channels=(4, 4, 4, 4), blocks=1)
    rows, options = outlined_pictures.rows("development_train"), LungTraining(epochs=3, batch_size=8)

    def train(state, options=options):
        return train_network(outlined_pictures, rows, config, options, workers=0, state=state).state_dict()

    whole = train(tmp_path / "whole.pt")
    stored = []

    class StoppedError(RuntimeError):
        pass

    def stop(state, parts, identity, steps):
        store(state, parts, identity, steps)
        stored.append(steps)
        if len(stored) == 2:
            raise StoppedError

    store = training._store
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_store", stop)
        with pytest.raises(StoppedError):
            train(tmp_path / "state.pt")
    assert stored == [6, 12]
    resumed = train(tmp_path / "state.pt")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    other = train(tmp_path / "state.pt", LungTraining(epochs=1, batch_size=8, seed=5))
    assert not all(torch.equal(whole[name], other[name]) for name in whole)


def test_the_last_batches_hold_more_mild_examples(outlined_pictures: OutlinedPictures):
    rows = outlined_pictures.rows("development_train")
    examples = ExampleBatches(outlined_pictures, rows, [32] * 20, batch=32, seed=3, last=10)
    mirrored = [float(examples[step][2][:, 2].float().mean()) for step in range(20)]
    # 0.5 of varied and 0.2 of mild examples are mirrored
    assert np.mean(mirrored[:10]) == pytest.approx(0.5 - 0.3 * MILD_SHARE, abs=0.08)
    assert np.mean(mirrored[10:]) == pytest.approx(0.5 - 0.3 * MILD_SHARE_AT_LAST, abs=0.08)


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
