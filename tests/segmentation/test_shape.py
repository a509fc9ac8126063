"""Shape features of drawn lungs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hf_model.segmentation.outline import Lungs
from hf_model.segmentation.shape import SHAPE_FEATURES, contrast_inside, shape_features


def ellipses(*lungs: tuple[float, float, float, float, float], side: int = 200) -> Lungs:
    """Lungs as ellipses (x, y, half width, half height, lean of the top to the right in degrees), fractions."""
    y, x = (np.mgrid[0:side, 0:side] + 0.5) / side
    parts = np.zeros((side, side), np.uint8)
    for number, (cx, cy, a, b, lean) in enumerate(lungs, start=1):
        cos, sin = math.cos(math.radians(lean)), math.sin(math.radians(lean))
        across, along = (x - cx) * cos + (y - cy) * sin, -(x - cx) * sin + (y - cy) * cos
        parts[(across / a) ** 2 + (along / b) ** 2 < 1] = number
    return Lungs(parts, (parts > 0).astype(np.float32))


def named(lungs: Lungs, aspect: float = 1.0) -> dict[str, float]:
    return dict(zip(SHAPE_FEATURES, shape_features(lungs, aspect).tolist(), strict=True))


def test_two_equal_ellipses():
    found = named(ellipses((0.3, 0.5, 0.1, 0.3, 0), (0.7, 0.5, 0.1, 0.3, 0)))
    assert found["found"] == 2
    assert found["area"] == pytest.approx(2 * math.pi * 0.03, rel=0.01)
    assert (found["area_ratio"], found["width_ratio"], found["height_ratio"], found["overlap"]) == (1, 1, 1, 1)
    assert (found["centre_x"], found["centre_y"]) == pytest.approx((0.5, 0.5), abs=1e-6)
    assert found["centre_apart"] == pytest.approx(0.4, abs=1e-6)
    assert found["centre_angle"] == pytest.approx(0, abs=1e-6)
    assert (found["box_aspect"], found["box_height"], found["gap"]) == pytest.approx((1, 0.6, 0.2), abs=0.01)
    assert (found["elongation_left"], found["elongation_right"]) == pytest.approx((3, 3), abs=0.02)
    assert (found["tilt_left"], found["tilt_right"]) == pytest.approx((0, 0), abs=1e-6)
    assert found["taper"] == pytest.approx(1, abs=1e-6)
    assert found["symmetry"] == 1
    assert found["edge"] == 0
    assert found["confidence"] == 1


def test_tops_that_lean_to_the_middle_have_a_positive_tilt():
    found = named(ellipses((0.3, 0.5, 0.08, 0.3, 10), (0.7, 0.5, 0.08, 0.3, -20)))
    assert (found["tilt_left"], found["tilt_right"]) == pytest.approx((10, 20), abs=0.5)


def test_proportions_are_those_of_the_film_and_not_of_the_square():
    lungs = ellipses((0.3, 0.5, 0.1, 0.3, 0), (0.7, 0.5, 0.1, 0.3, 0))
    found = named(lungs, aspect=1.5)
    assert found["box_aspect"] == pytest.approx(1.5, abs=0.01)
    assert found["centre_apart"] == pytest.approx(0.6, abs=1e-6)
    assert found["elongation_left"] == pytest.approx(2, abs=0.02)
    assert found["gap"] == pytest.approx(0.3, abs=0.01)


def test_lungs_above_each_other_stand_at_a_right_angle():
    found = named(ellipses((0.5, 0.3, 0.3, 0.1, 0), (0.5, 0.7, 0.3, 0.1, 0)))
    assert found["centre_angle"] == pytest.approx(90, abs=1e-6)
    assert found["overlap"] == 0


def test_taper_tells_which_way_up():
    lungs = ellipses((0.3, 0.6, 0.1, 0.3, 0), (0.7, 0.6, 0.1, 0.3, 0))
    parts = lungs.parts.copy()
    rows = np.arange(200)[:, None]
    for part, centre in ((1, 60), (2, 140)):  # triangles, broad below
        inside = (rows > 60) & (rows < 160) & (np.abs(np.arange(200)[None, :] - centre) < (rows - 60) / 4)
        parts[(parts == part) & ~inside] = 0
    upright = named(Lungs(parts, lungs.probability))
    upside_down = named(Lungs(parts[::-1], lungs.probability))
    assert upright["taper"] < 0.6
    assert upside_down["taper"] == pytest.approx(1 / upright["taper"], rel=0.05)


def test_what_needs_two_lungs_is_nan_without_them():
    one = named(ellipses((0.3, 0.5, 0.1, 0.3, 0)))
    assert (one["found"], math.isnan(one["gap"]), math.isnan(one["symmetry"])) == (1, True, True)
    assert one["centre_x"] == pytest.approx(0.3, abs=1e-6)
    none = named(ellipses())
    assert (none["found"], none["area"], none["edge"]) == (0, 0, 0)
    assert math.isnan(none["centre_x"])


def test_unequal_lungs():
    found = named(ellipses((0.3, 0.5, 0.1, 0.3, 0), (0.7, 0.5, 0.05, 0.15, 0)))
    assert found["area_ratio"] == pytest.approx(0.25, abs=0.01)
    assert found["symmetry"] == pytest.approx(0.25, abs=0.01)


def test_edge_counts_the_outline_at_the_border():
    parts = np.zeros((10, 10), np.uint8)
    parts[0:5, 2:4] = 1
    parts[0:5, 6:8] = 2
    assert named(Lungs(parts, (parts > 0).astype(np.float32)))["edge"] == 4 / 20


def test_contrast_changes_its_sign_with_inversion():
    lungs = ellipses((0.3, 0.5, 0.1, 0.3, 0), (0.7, 0.5, 0.1, 0.3, 0))
    pixels = np.where(lungs.mask, 60, 180).astype(np.uint8)
    assert contrast_inside(pixels, lungs) == pytest.approx(120 / pixels[40:160, 40:160].std(), rel=0.01)
    assert contrast_inside(255 - pixels, lungs) == pytest.approx(-contrast_inside(pixels, lungs))
    assert math.isnan(contrast_inside(pixels, ellipses()))
