"""A run with --lungs, --outlines and --adults: what it puts into the checkpoint, metrics.json, report and card."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from generated import write_image_folder
from segmentation_drawings import write_outlines
from training_runs import run

from hf_model import Classifier
from hf_model.hub.push import checkpoint_files
from hf_model.training.arguments import parse_arguments


@pytest.fixture(scope="module")
def with_lungs(renderings, tiny_base: Path, lungs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lungs")
    names = [path.name for path in sorted((renderings[0] / "train").rglob("*.png"))]
    left = np.zeros((64, 64), bool)
    left[:, :32] = True
    outlines = write_outlines(folder / "outlines", dict.fromkeys(names[::2], left))
    adults = write_image_folder(folder / "adults", {"train": 6}, smooth=True, seed=9)
    options = ["--lungs", str(lungs_folder), "--outlines", str(outlines), "--adults", str(adults)]
    return run(renderings, tiny_base, folder / "run", *options)


def test_the_network_is_part_of_the_checkpoint_and_of_what_is_published(with_lungs: Path) -> None:
    paths = {upload.path for upload in checkpoint_files(with_lungs)}
    assert {"lungs.safetensors", "lungs_openvino.xml", "lungs_openvino.bin", "adults.safetensors"} <= paths
    classifier = Classifier.from_pretrained(with_lungs)
    assert classifier.lungs is not None
    assert classifier.adults is not None


def test_metrics_count_evidence_and_adults(with_lungs: Path) -> None:
    metrics = json.loads((with_lungs / "metrics.json").read_text())
    evidence = metrics["evidence"]
    assert set(evidence["outlines"]) == set(evidence["test"]) == {"plain", "smooth"}
    for groups in evidence["test"].values():
        assert groups["all"]["pictures"] == groups["NORMAL"]["pictures"] + groups["PNEUMONIA"]["pictures"] == 36
    outlined = evidence["outlines"]["plain"]["all"]
    splits = metrics["data"]["splits"]
    assert 0 < outlined["pictures"] < splits["development_validation"]["images"] + splits["calibration"]["images"]
    guidance = metrics["guidance"]
    assert guidance["by_people"] == guidance["by_network"] == 120  # every second picture of 240
    assert guidance["largest_weight"] >= 1
    assert 0 <= guidance["style_auc"]["development_validation"] <= 1
    adults = metrics["adults"]
    assert adults["dataset"] == "adults"
    assert set(adults["adults"]) == {"antialiased", "JPEG of quality 75", "nearest neighbour"}
    assert set(adults["children"]) == {"plain", "smooth"}
    low, high = adults["adults"]["antialiased"]["interval"]
    assert 0 <= low <= adults["adults"]["antialiased"]["value"] <= high <= 1


def test_report_and_card_show_them(with_lungs: Path, trained: Path) -> None:
    page, card = (with_lungs / "evaluation.html").read_text(), (with_lungs / "README.md").read_text()
    assert "Evidence in the lungs" in page
    assert "## Lungs" in card
    assert "## Adults" in card
    assert "outlined in 120 pictures by people and in 120 by the network" in card
    assert json.loads((trained / "metrics.json").read_text())["guidance"] is None
    assert "Lungs in training" not in (trained / "README.md").read_text()
    assert "Evidence in the lungs" not in (trained / "evaluation.html").read_text()
    assert "## Lungs" not in (trained / "README.md").read_text()


def test_a_folder_without_a_network_is_refused_at_the_start(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["--lungs", str(tmp_path)])
    assert "has no lungs.safetensors; make it with `python -m hf_model lungs`" in capsys.readouterr().err
