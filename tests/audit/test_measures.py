"""Statistics of a picture, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hf_model.audit import measures


def test_statistics_of_a_picture_worked_out_by_hand():
    pixels = np.zeros((8, 8), np.uint8)
    pixels[:, 4:] = 200
    values = measures.picture_statistics(pixels, np.bincount(pixels.ravel(), minlength=256))
    found = dict(zip(measures.STATISTICS, values, strict=True))
    assert found["mean"] == 100
    assert found["standard deviation"] == 100
    assert found["horizontal gradient"] == pytest.approx(200 / 7)  # one step of 200 in seven differences
    assert found["vertical gradient"] == 0
    assert (found["share of black"], found["share of white"]) == (0.5, 0)
    assert (found["percentile 25"], found["percentile 75"]) == (0, 200)
    assert found["border mean"] == 100
    assert found["asymmetry"] == 200
    assert found["Laplacian"] == pytest.approx(2 * 200 / 6)  # two of six inner columns see the step
