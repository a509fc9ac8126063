"""What the model's own features say about the input, as a finding."""

from __future__ import annotations

import numpy as np

from hf_model.radiograph import FeatureGate, Finding


def gate_finding(gate: FeatureGate, features: np.ndarray) -> tuple[Finding, ...]:
    """A flag if pooled features (D,) lie farther from the development radiographs than the gate allows."""
    score = gate.score(features)
    if score <= gate.threshold:
        return ()
    message = (
        "To the model this does not look like the frontal chest radiographs that it was trained on "
        f"(distance {score:.1f}, limit {gate.threshold:.1f}); upload a frontal chest radiograph."
    )
    return (Finding("unlike-training", message, "flag"),)
