"""style.py: features of drawn films, crossed propensities, weights by hand, and style made independent of the class."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from hf_model.data.style import balancing_weights, propensities, style_features


def film(seed: int = 0, blur: float = 0.0, left: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(80, 180, (224, 224)).astype(np.uint8)
    lungs = np.zeros((224, 224), bool)
    lungs[50:170, left : left + 50] = lungs[50:170, left + 80 : left + 130] = True
    if blur:
        pixels = np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(blur)))
    return pixels, lungs


def test_what_is_in_the_lungs_changes_nothing():
    pixels, lungs = film()
    opaque = pixels.copy()
    opaque[60:150, 50:80] = 250  # a consolidation, well inside
    before, after = style_features(pixels, lungs), style_features(opaque, lungs)
    # detail is measured on smoothed pictures, so that a trace comes over the border at the coarsest scale
    np.testing.assert_allclose(after, before, atol=0.02)


def test_sharpness_position_and_borders_are_seen():
    plain = style_features(*film())
    blurred, moved = style_features(*film(blur=2)), style_features(*film(left=60))
    assert (blurred[:2] < plain[:2] - 0.5).all()
    assert plain[-4:].tolist() == pytest.approx([40 / 224, 50 / 224, 130 / 224, 120 / 224])
    assert moved[-4] == pytest.approx(60 / 224)
    pixels, lungs = film()
    pixels[:, :20] = 0
    assert style_features(pixels, lungs)[13] == 0.0  # mean of the left border
    assert len(plain) == len(blurred) == 27


def test_no_lungs_and_other_sizes():
    pixels, lungs = film()
    assert style_features(pixels, np.zeros_like(lungs))[-4:].tolist() == [0, 0, 1, 1]
    large = np.asarray(Image.fromarray(pixels).resize((448, 448)))
    assert style_features(large, np.kron(lungs, np.ones((2, 2), bool)))[-3:] == pytest.approx(
        style_features(pixels, lungs)[-3:], abs=0.02
    )
    with pytest.raises(ValueError, match="give"):
        style_features(pixels, lungs[:10])


def test_weights_by_hand():
    weights = balancing_weights(np.array([0.5, 0.2, 0.99, 0.01, 0.5]), np.array([0, 0, 0, 1, 1]), limit=10)
    # normals: 1/0.5, 1/0.8, 1/0.01 clipped to 10; pneumonias: 1/0.01 clipped to 10, 1/0.5; means 4.41667 and 6
    assert weights == pytest.approx([2 / 4.4166667, 1.25 / 4.4166667, 10 / 4.4166667, 10 / 6, 2 / 6])
    assert balancing_weights(np.array([0.1, 0.9]), np.array([0, 0]), limit=1).tolist() == [1, 1]
    with pytest.raises(ValueError, match="1 or more"):
        balancing_weights(np.array([0.5]), np.array([0]), limit=0.5)


def test_propensities_are_of_patients_not_seen_and_weights_undo_the_shortcut():
    rng = np.random.default_rng(0)
    labels = np.arange(1200) % 2
    style = np.where(rng.random(1200) < 0.85, labels, 1 - labels)  # 85 per cent of either class in its own style
    features = np.stack([style + 0.1 * rng.normal(size=1200), rng.normal(size=1200)], axis=1)
    groups = np.arange(1200) // 2
    fit = np.arange(1000)
    propensity = propensities(features, labels, groups, fit)
    assert np.corrcoef(propensity, style)[0, 1] > 0.9
    weights = balancing_weights(propensity, labels)
    shares = [np.average(style[labels == label], weights=weights[labels == label]) for label in (0, 1)]
    assert shares == pytest.approx([0.5, 0.5], abs=0.12)  # 0.15 and 0.85 without weights
    # a label that depends on nothing: had a film's own label been learned from, its propensity would follow it
    random = rng.permutation(labels)
    noise = propensities(rng.normal(size=(1200, 5)), random, groups, fit)
    assert abs(np.corrcoef(noise[fit], random[fit])[0, 1]) < 0.1
    with pytest.raises(ValueError, match="both classes"):
        propensities(features, np.zeros(1200, int), groups)
