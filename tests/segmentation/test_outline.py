"""Clean-up, boxes and evidence, against drawings that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from hf_model.segmentation.outline import Lungs, box_around, clean, crop, evidence_in_lungs, label_components


def rectangles(*boxes: tuple[int, int, int, int], side: int = 40) -> np.ndarray:
    """Probability map with 0.9 in each (top, left, bottom, right), 0.1 elsewhere."""
    probability = np.full((side, side), 0.1, np.float32)
    for top, left, bottom, right in boxes:
        probability[top:bottom, left:right] = 0.9
    return probability


def lungs_of(probability: np.ndarray) -> Lungs:
    return Lungs(clean(probability), probability)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.6, 0.8, 1.0])
def test_components_are_those_of_scipy(share: float):
    for seed in range(10):
        mask = np.random.default_rng(seed).random((17, 23)) < share
        labels, count = label_components(mask)
        expected, number = ndimage.label(mask)
        assert count == number
        assert np.array_equal(labels, expected)


def test_the_two_largest_components_are_the_lungs_and_specks_are_dropped():
    lungs = lungs_of(rectangles((5, 4, 25, 14), (5, 24, 30, 36), (34, 18, 37, 21)))
    assert lungs.found == 2
    assert lungs.areas == (200 / 1600, 300 / 1600)
    assert lungs.parts[10, 5] == 1
    assert lungs.parts[10, 30] == 2
    assert lungs.parts[35, 19] == 0


def test_holes_are_filled():
    probability = rectangles((5, 4, 25, 14), (5, 24, 25, 36))
    probability[10:13, 8:11] = 0.2
    assert lungs_of(probability).areas == (200 / 1600, 240 / 1600)


def test_what_two_touching_lungs_enclose_is_no_hole():
    probability = rectangles((5, 4, 25, 18), (5, 22, 25, 36))
    probability[[6, 7, 22, 23], 18:22] = 0.55  # bridges above and below
    lungs = lungs_of(probability)
    assert lungs.found == 2
    assert lungs.area == (2 * 280 + 4 * 4) / 1600


@pytest.mark.parametrize(("left", "part"), [(2, 1), (28, 2)])
def test_one_lung_is_named_by_the_half_it_lies_in(left: int, part: int):
    lungs = lungs_of(rectangles((5, left, 25, left + 10)))
    assert lungs.found == 1
    assert lungs.areas[part - 1] == 200 / 1600


def test_nothing_found_gives_the_whole_picture_as_box_and_no_confidence():
    lungs = lungs_of(rectangles((5, 5, 7, 8)))  # 6 of 1600 pixels: a speck
    assert (lungs.found, lungs.area, lungs.confidence) == (0, 0, 0)
    assert lungs.box() == (0, 0, 1, 1)


def test_touching_lungs_are_cut_where_the_probability_is_lowest():
    probability = rectangles((5, 4, 25, 18), (5, 22, 25, 36))
    probability[12:15, 18:22] = 0.55
    lungs = lungs_of(probability)
    assert lungs.found == 2
    # the bridge of 3 x 4 pixels is shared out by nearness, two columns a side
    assert lungs.areas == ((280 + 6) / 1600, (280 + 6) / 1600)


def test_touching_lungs_are_cut_though_a_speck_would_count_as_the_second():
    probability = rectangles((5, 4, 25, 18), (5, 22, 25, 36), (30, 4, 34, 8))
    probability[12:15, 18:22] = 0.55
    assert lungs_of(probability).areas == ((280 + 6) / 1600, (280 + 6) / 1600)


def test_a_small_second_lung_stays_where_the_first_has_no_seam():
    assert lungs_of(rectangles((5, 4, 35, 20), (10, 30, 20, 34))).areas == (480 / 1600, 40 / 1600)


def test_confidence_is_the_dice_that_the_probabilities_promise():
    probability = np.zeros((10, 10), np.float32)
    probability[2:8, 1:4] = probability[2:8, 6:9] = 0.75
    probability[0, 0] = 0.5  # outside the outline, 36 pixels at 0.75 inside
    assert Lungs(clean(probability), probability).confidence == pytest.approx(2 * 27 / (27.5 + 36))


def test_box_with_margin_is_cut_at_the_border():
    mask = np.zeros((20, 40), bool)
    mask[1:11, 10:30] = True
    assert box_around(mask, 0) == (0.25, 0.05, 0.75, 0.55)
    assert box_around(mask, 0.1) == pytest.approx((0.15, 0, 0.85, 0.65))


def test_crop_takes_the_pixels_that_a_box_names():
    pixels = np.arange(200).reshape(10, 20)
    assert np.array_equal(crop(pixels, (0.1, 0.2, 0.5, 0.6)), pixels[2:6, 2:10])
    assert crop(pixels, (1, 1, 1, 1)).shape == (1, 1)


def test_an_outline_can_be_had_at_another_size():
    probability = rectangles((10, 8, 30, 16), (10, 24, 30, 32), (36, 18, 38, 21))
    probability[15:17, 10:12] = 0.2
    lungs = lungs_of(probability)
    large = lungs.at(80, 120)
    assert large.shape == (80, 120)
    assert large.mean() == pytest.approx(lungs.area, abs=0.01)
    assert large[31, 32]  # the hole is filled
    assert not large[73, 58]  # the speck is gone
    assert np.array_equal(lungs.at(40, 40), lungs.mask)


def test_the_border_of_a_larger_outline_follows_the_probability():
    probability = np.zeros((8, 8), np.float32)
    probability[1:7, 1:3], probability[1:7, 5:7] = 1, 1
    probability[1:7, 0] = 0.4  # nearly a lung: the border lies further out than where it was 0
    large = Lungs(clean(probability), probability).at(80, 80)
    left, right = np.flatnonzero(large[40, :40]), np.flatnonzero(large[40, 40:]) + 40
    # between centres at 5 (0.4) and 15 (1.0), the value 0.5 lies at 5 + 10 / 6; between 0 and 1 halfway
    assert left[0] in (6, 7)
    assert (left[-1], right[0], right[-1]) == (29, 50, 69)


def test_evidence_is_shared_by_the_outline():
    mask = np.zeros((64, 64), bool)
    mask[:, :32] = True
    even = evidence_in_lungs(np.ones((4, 4)), mask)
    assert even.share == pytest.approx(0.5, abs=1e-6)
    left, right = np.zeros((4, 4)), np.zeros((4, 4))
    left[1, 0] = right[1, 3] = 3.0
    assert evidence_in_lungs(left, mask).peak_inside
    assert evidence_in_lungs(left, mask).share > 0.99
    assert not evidence_in_lungs(right, mask).peak_inside
    assert evidence_in_lungs(right, mask).share < 0.01


def test_evidence_against_counts_as_none():
    mask = np.zeros((64, 64), bool)
    mask[:, :32] = True
    activation = np.full((4, 4), -5.0)
    assert evidence_in_lungs(activation, mask) is None
    activation[1, 0] = 1.0
    assert evidence_in_lungs(activation, mask).share > 0.99


def test_a_map_of_the_box_is_compared_with_the_outline_in_the_box():
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    assert evidence_in_lungs(np.ones((5, 5)), mask).share == pytest.approx(0.25, abs=0.01)
    assert evidence_in_lungs(np.ones((5, 5)), mask, box_around(mask, 0)).share == 1
