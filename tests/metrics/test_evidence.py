"""Evidence in the lungs of many pictures, against means worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hf_model.metrics.evidence import evidence_figures
from hf_model.segmentation.outline import Evidence


def test_means_of_each_class_and_pictures_without_evidence() -> None:
    evidence = [Evidence(0.2, False), None, Evidence(0.9, True), Evidence(0.7, True), Evidence(0.5, False)]
    found = evidence_figures(evidence, np.array([0, 0, 1, 1, 1]), ["a", "b", "c", "c", "d"])
    assert {name: (part["pictures"], part["patients"], part["without_evidence"]) for name, part in found.items()} == {
        "all": (5, 4, 1),
        "NORMAL": (2, 2, 1),
        "PNEUMONIA": (3, 2, 0),
    }
    assert found["PNEUMONIA"]["share"]["value"] == pytest.approx(0.7)
    assert found["PNEUMONIA"]["peak_inside"]["value"] == pytest.approx(2 / 3)
    assert found["all"]["share"]["value"] == pytest.approx(0.575)
    # patients c (mean 0.8) and d (0.5): whole patients are drawn
    assert found["PNEUMONIA"]["share"]["interval"] == pytest.approx([0.5, 0.8])


def test_no_evidence_at_all() -> None:
    found = evidence_figures([None, None], np.array([1, 1]), ["a", "b"])
    assert found["PNEUMONIA"] == {
        "pictures": 2, "patients": 2, "without_evidence": 2, "share": None, "peak_inside": None
    }  # fmt: skip
    assert "NORMAL" not in found
