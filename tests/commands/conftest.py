"""Generated pictures, and a tiny checkpoint "trained" on some of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from generated import write_image_folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set called "set": 62 patients a class in train, 12 in test; and a smoother rendering of its test."""
    folder = tmp_path_factory.mktemp("data")
    write_image_folder(folder / "set", {"train": 62, "test": 12})
    write_image_folder(folder / "set-smooth", {"train": 62, "test": 12}, smooth=True)
    write_image_folder(folder / "elsewhere", {"train": 62}, first=500)
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, pictures: Path) -> Path:
    """A checkpoint that "was trained on" the set: random weights, a decision fitted on its train split."""
    from hf_model.evaluation.labelled_dataset import LabelledDataset, score
    from hf_model.inference.classifier import Classifier
    from hf_model.metrics.operating_point import fit_decision

    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    shutil.copytree(tiny_base, folder)
    classifier = Classifier.from_pretrained(folder, engine="torch")
    scores = score(classifier, LabelledDataset.open(str(pictures / "set"), "train")).scores
    scores.to_csv(folder / "scores" / "calibration.csv")
    fit_decision(scores, provenance={"weights_sha256": classifier.model_hash}).save(folder)
    metrics = {"data": {"dataset": "somewhere/set", "renderings": ["set", "set-smooth"]}, "seed": 3}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


@pytest.fixture
def checkpoint(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "tiny"))
