"""Heat maps: scaling, colours, overlays."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest

from hf_model.inference.heat_map import colours, enlarge, overlay, scale_map


def test_scaling_by_hand() -> None:
    """Strong evidence is divided by its maximum, weak evidence by 2; evidence against counts as none."""
    strong = scale_map(np.array([[8.0, 4.0], [-6.0, 0.0]]))
    np.testing.assert_array_equal(strong, np.array([[1.0, 0.5], [0.0, 0.0]], np.float32))
    weak = scale_map(np.array([[1.0, 0.5], [-6.0, 0.0]]))
    np.testing.assert_array_equal(weak, np.array([[0.5, 0.25], [0.0, 0.0]], np.float32))
    np.testing.assert_array_equal(scale_map(np.full((2, 2), -3.0)), np.zeros((2, 2), np.float32))


def test_colours_are_inferno() -> None:
    expected = matplotlib.colormaps["inferno"](np.arange(256))[:, :3] * 255
    assert np.abs(colours() - expected).max() < 5


def test_colours_grow_lighter_all_the_way() -> None:
    """Perceptually uniform: the luminance (Rec. 709, linear light) never falls."""
    linear = (colours() / 255.0) ** 2.2
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    assert np.diff(luminance).min() >= -1e-4
    assert luminance[-1] > 0.8


def test_enlarging_keeps_constants_and_range() -> None:
    np.testing.assert_allclose(enlarge(np.full((7, 7), 0.3, np.float32), (50, 60)), 0.3, atol=1e-6)
    edge = enlarge(np.eye(7, dtype=np.float32), (224, 200))
    assert edge.shape == (224, 200)
    assert edge.min() >= 0
    assert edge.max() <= 1


def test_overlay_by_hand() -> None:
    """Half opacity at heat 1: half the radiograph, half the last colour (252, 255, 164)."""
    pixels = np.full((4, 6), 100, np.uint8)
    full = overlay(pixels, np.ones((7, 7), np.float32), opacity=0.5)
    assert full.shape == (4, 6, 3)
    assert full[2, 3].tolist() == [176, 178, 132]
    none = overlay(pixels, np.zeros((7, 7), np.float32), opacity=1.0)
    assert np.unique(none).tolist() == [100]
    clear = overlay(pixels, np.ones((7, 7), np.float32), opacity=0.0)
    assert np.unique(clear).tolist() == [100]


@pytest.mark.parametrize(
    ("pixels", "heat", "opacity", "message"),
    [
        (np.zeros((4, 4, 3), np.uint8), np.zeros((2, 2)), 0.5, "give grey uint8"),
        (np.zeros((4, 4)), np.zeros((2, 2)), 0.5, "give grey uint8"),
        (np.zeros((4, 4), np.uint8), np.zeros((1, 2, 2)), 0.5, "give one map"),
        (np.zeros((4, 4), np.uint8), np.zeros((2, 2)), 1.1, r"opacity is 1\.1"),
    ],
)
def test_overlay_refuses(pixels, heat, opacity, message) -> None:
    with pytest.raises(ValueError, match=message):
        overlay(pixels, heat, opacity)
