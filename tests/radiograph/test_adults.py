"""adults.py: direction against a closed form, threshold and counts by hand, patients on one side, files."""

from __future__ import annotations

import numpy as np
import pytest

from hf_model.radiograph.adults import FILE_NAME, AdultDiscriminant

WIDTH = 6


def group(mean: float, patients: int, prefix: str, seed: int) -> tuple[np.ndarray, list[str]]:
    """Two pictures a patient around ``mean`` in the first coordinate."""
    rows = np.random.default_rng(seed).normal(size=(2 * patients, WIDTH))
    rows[:, 0] += mean
    return rows, [f"{prefix}{number // 2}" for number in range(2 * patients)]


@pytest.fixture
def fitted() -> AdultDiscriminant:
    return AdultDiscriminant.fit([group(0.0, 400, "child", 1)], [group(5.0, 60, "adult", 2)], quantile=0.99)


def test_held_out_adults_are_flagged_and_children_are_not(fitted):
    ((flagged, adults),) = fitted.metadata["adults"]["held_out"]
    assert (fitted.metadata["adults"]["fitted_on"], adults) == (60, 60)
    assert flagged >= 0.95 * adults
    ((alarms, children),) = fitted.metadata["children"]["held_out"]
    # "higher" takes the score at index ceil(0.99 * 399) = 396 of 400, so the three above it are flagged
    assert (alarms, children) == (3, 400)
    new = group(0.0, 500, "new", 3)[0]
    assert np.mean(fitted.scores(new) > fitted.threshold) < 0.02


def test_direction_is_fishers_with_the_shrunk_covariance():
    children, adults = group(0.0, 8, "child", 4), group(2.0, 8, "adult", 5)
    found = AdultDiscriminant.fit([children], [adults], shrinkage=1.0, quantile=0.9)
    # with the identity alone the direction is the difference of the means of the halves that were fitted on
    names = np.unique(children[1])
    first = np.isin(children[1], np.random.default_rng(0).permutation(names)[:4])
    names = np.unique(adults[1])
    second = np.isin(adults[1], np.random.default_rng(0).permutation(names)[:4])
    expected = adults[0][second].mean(0) - children[0][first].mean(0)
    assert found.direction / np.linalg.norm(found.direction) == pytest.approx(
        expected / np.linalg.norm(expected), abs=1e-6
    )


def test_the_rendering_with_most_false_alarms_sets_the_threshold():
    plain = group(0.0, 200, "child", 6)
    nearer = (plain[0] + np.eye(WIDTH)[0], plain[1])
    adults = [group(6.0, 40, "adult", 7)]
    one = AdultDiscriminant.fit([plain], adults, quantile=0.95)
    two = AdultDiscriminant.fit([plain, nearer], adults, quantile=0.95)
    shares = [flagged / count for flagged, count in two.metadata["children"]["held_out"]]
    assert max(shares) <= 0.05
    assert shares[0] < shares[1]
    assert len(one.metadata["children"]["held_out"]) == 1


def test_patients_are_on_one_side_in_every_rendering():
    """Two pictures a patient and two renderings: all four are fitted on or all are held out."""
    children = group(0.0, 101, "child", 8)
    found = AdultDiscriminant.fit([children, children], [group(4.0, 20, "adult", 9)])
    assert found.metadata["children"]["fitted_on"] == 2 * 2 * 50
    assert [count for _, count in found.metadata["children"]["held_out"]] == [2 * 51, 2 * 51]


def test_what_is_saved_is_loaded(fitted, tmp_path):
    fitted.save(tmp_path)
    loaded = AdultDiscriminant.load(tmp_path)
    assert loaded.threshold == fitted.threshold
    assert loaded.metadata == fitted.metadata
    np.testing.assert_array_equal(loaded.direction, fitted.direction)
    adult = np.eye(WIDTH)[0] * 8
    assert loaded.looks_adult(adult)
    assert not loaded.looks_adult(-adult)
    assert AdultDiscriminant.load(tmp_path / "elsewhere") is None


def test_bad_files_and_features_are_named(fitted, tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b"nothing")
    with pytest.raises(ValueError, match=FILE_NAME):
        AdultDiscriminant.load(tmp_path)
    with pytest.raises(ValueError, match=r"takes \(N, 6\)"):
        fitted.scores(np.zeros((1, 7)))
    with pytest.raises(ValueError, match="too few adults"):
        AdultDiscriminant.fit([group(0, 20, "child", 1)], [group(0, 3, "adult", 2)])
    with pytest.raises(ValueError, match="no features of adults"):
        AdultDiscriminant.fit([group(0, 20, "child", 1)], [])
    broken = group(0, 20, "child", 1)
    broken[0][3, 2] = np.nan
    with pytest.raises(ValueError, match="children are not finite"):
        AdultDiscriminant.fit([broken], [group(0, 20, "adult", 2)])
    with pytest.raises(ValueError, match="different widths"):
        AdultDiscriminant.fit([group(0, 20, "child", 1)], [(np.zeros((40, 3)), group(0, 20, "adult", 2)[1])])
    assert np.isinf(fitted.scores(np.full((1, WIDTH), np.nan)))
