"""Generated scores: patients with several, correlated pictures, as in the real data."""

from __future__ import annotations

import numpy as np
import pytest

from hf_model.evaluation.scores import Scores


def make_scores(patients: int = 400, *, seed: int = 0, separation: float = 2.0, shared: float = 1.0) -> Scores:
    """Three of four patients have pneumonia; one to four pictures each; ``shared`` is the spread between patients."""
    generator = np.random.default_rng(seed)
    owner = np.repeat(np.arange(patients), generator.integers(1, 5, patients))
    labels = (owner % 4 > 0).astype(int)
    margins = np.where(labels == 1, separation, -separation) + shared * generator.normal(size=patients)[owner]
    margins = margins + generator.normal(size=len(owner))
    logits = np.stack([-margins / 2, margins / 2], axis=1)
    return Scores(logits, labels, [f"p{row:05d}.jpeg" for row in range(len(owner))], [f"person{key}" for key in owner])


@pytest.fixture
def scores() -> Scores:
    return make_scores()


@pytest.fixture
def scores_factory():
    return make_scores
