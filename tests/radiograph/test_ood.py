"""OODDetector: scores worked out by hand, the quantile, groups, and the file."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from hf_model.radiograph import OODDetector


def by_hand() -> OODDetector:
    """Mean (1, 0, 0); inside: the first two axes with variances 4 and 1; residual 0.5."""
    return OODDetector(
        mean=np.array([1, 0, 0], np.float32),
        components=np.array([[1, 0, 0], [0, 1, 0]], np.float32),
        variances=np.array([4, 1], np.float32),
        residual=0.5,
        threshold=3.0,
    )


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    """float32 (600, 40): a 5-dimensional cloud with a little noise in all directions."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(40, 5)))[0].T
    cloud = rng.normal(size=(600, 5)) * [8, 6, 5, 4, 3] @ basis
    return (cloud + rng.normal(size=(600, 40)) * 0.2 + 3).astype(np.float32)


@pytest.mark.parametrize(
    ("feature", "score"),
    [
        ((1, 0, 0), 0),
        ((5, 0, 0), 2),  # (4^2 / 4) / 2
        ((1, 3, 0), 4.5),  # (3^2 / 1) / 2
        ((1, 0, 2), 8),  # 2^2 / 0.5
        ((5, 3, 2), 14.5),
    ],
)
def test_score_by_hand(feature, score):
    detector = by_hand()
    assert detector.scores(np.array([feature], np.float32)) == pytest.approx([score], abs=1e-12)
    found = detector.findings(np.array(feature))
    assert [(finding.code, finding.severity) for finding in found] == [("unlike-training", "flag")] * (score > 3)


def test_what_is_not_finite_is_infinitely_far():
    detector = by_hand()
    assert detector.scores(np.array([[np.nan, 0, 0]])).tolist() == [np.inf]
    assert detector.findings(np.array([np.inf, 0, 0]))
    with pytest.raises(ValueError, match=r"\(N, 3\)"):
        detector.findings(np.zeros(4))


def test_fit_finds_the_subspace_of_a_worked_example():
    # half is held out; the fitted half is what the detector's own numbers must follow
    corners = np.array([[2, 0, 0], [-2, 0, 0], [0, 1, 0], [0, -1, 0]], np.float64)
    detector = OODDetector._fitted(np.concatenate([corners] * 3), components=1)
    # 12 rows: variance of the first axis 24 / 11, of the second 6 / 11
    assert detector.mean.tolist() == [0, 0, 0]
    assert np.abs(detector.components).tolist() == [[1, 0, 0]]
    assert detector.variances == pytest.approx([24 / 11])
    assert detector.residual == pytest.approx(6 / 11)
    # 2^2 / (24 / 11) + 1^2 / (6 / 11)
    assert detector.scores(np.array([[2, 1, 0]])) == pytest.approx([44 / 24 + 11 / 6])


def test_quantile_is_the_share_that_passes(features):
    detector = OODDetector.fit(features, components=5, quantile=0.9)
    assert detector.metadata == {
        "fitted_on": 300,
        "held_out": 300,
        "dimensions": 40,
        "components": 5,
        "quantile": 0.9,
        "seed": 0,
    }
    rng = np.random.default_rng(0)
    held = np.isin(np.arange(600), rng.permutation(600)[:300])
    scores = detector.scores(features[held])
    # the 0.9 quantile of 300 scores lies between the 270th and 271st; the higher is taken
    assert detector.threshold == np.sort(scores)[270]
    assert int((scores > detector.threshold).sum()) == 29
    assert detector.components @ detector.components.T == pytest.approx(np.eye(5), abs=1e-5)


def test_others_are_far_and_the_same_kind_near(features):
    detector = OODDetector.fit(features, components=5)
    rng = np.random.default_rng(1)
    assert np.mean(detector.scores(features) > detector.threshold) <= 0.02
    other = rng.normal(size=(100, 40)) * 3 + 3
    assert np.all(detector.scores(other) > detector.threshold)
    far_inside = features.mean(axis=0) + 60 * detector.components[0]
    assert detector.findings(far_inside)


def test_groups_stay_together(features):
    groups = np.arange(600) // 3
    detector = OODDetector.fit(features, groups=groups, held_out=0.25)
    assert (detector.metadata["held_out"], detector.metadata["fitted_on"]) == (150, 450)
    same = OODDetector.fit(features, groups=[f"patient {number}" for number in groups], held_out=0.25)
    assert same.metadata["held_out"] == 150
    with pytest.raises(ValueError, match="one group for each"):
        OODDetector.fit(features, groups=groups[:5])


def test_save_and_load(features, tmp_path):
    assert OODDetector.load(tmp_path) is None
    detector = OODDetector.fit(features, components=5)
    path = detector.save(tmp_path)
    assert path.name == "gate.safetensors"
    loaded = OODDetector.load(tmp_path)
    assert (loaded.threshold, loaded.residual, loaded.metadata) == (
        detector.threshold,
        detector.residual,
        detector.metadata,
    )
    assert np.array_equal(loaded.scores(features), detector.scores(features))


def test_broken_files_are_named(tmp_path):
    path = tmp_path / "gate.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"gate\.safetensors is not an OOD detector"):
        OODDetector.load(tmp_path)
    save_file({"mean": np.zeros(3, np.float32)}, path)
    with pytest.raises(ValueError, match="format"):
        OODDetector.load(tmp_path)
    detector = by_hand()
    OODDetector(detector.mean, detector.components[:, :2].copy(), detector.variances, 1.0, 1.0).save(tmp_path)
    with pytest.raises(ValueError, match="not an OOD detector"):
        OODDetector.load(tmp_path)


@pytest.mark.parametrize(
    ("features", "options", "word"),
    [
        (np.zeros((10, 3)), {}, "equal"),
        (np.full((10, 3), np.nan), {}, "finite"),
        (np.zeros(10), {}, r"\(N, D\)"),
        (np.eye(3), {}, "too few"),
        (np.random.default_rng(0).normal(size=(20, 3)), {"quantile": 1.0}, "quantile"),
        (np.random.default_rng(0).normal(size=(20, 3)), {"components": 0}, "components"),
        (np.random.default_rng(0).normal(size=(20, 3)), {"held_out": 1.0}, "held_out"),
    ],
)
def test_what_cannot_be_fitted_is_refused(features, options, word):
    with pytest.raises(ValueError, match=word):
        OODDetector.fit(features, **options)
