"""Generated scores with several, correlated pictures of a patient, as in the real data; pictures and a checkpoint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from hf_model.metrics.scores import Scores


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


def write_pictures(folder: Path, splits: dict[str, int], *, first: int = 0, smooth: bool = False) -> Path:
    """An image folder ``<split>/<CLASS>/<name>``; one or two 64 px pictures a patient, pneumonia brighter."""
    number = first
    for split, patients in splits.items():
        for label, kind in enumerate(("NORMAL", "PNEUMONIA")):
            target = folder / split / kind
            target.mkdir(parents=True)
            for patient in range(number, number + patients):
                for picture in range(1 + patient % 2):
                    noise = np.random.default_rng([patient, picture, label]).normal(0, 30, (64, 64))
                    level = np.linspace(60, 160, 64) + 25 * label
                    image = Image.fromarray(np.clip(level + noise, 0, 255).astype(np.uint8))
                    image = image.filter(ImageFilter.GaussianBlur(1)) if smooth else image
                    aetiology = ("bacteria", "virus")[patient // 2 % 2]
                    name = f"person{patient}_{aetiology}_{picture}" if label else f"IM-{patient:04d}-{picture:04d}"
                    image.save(target / f"{name}.png")
        number += patients
    return folder


@pytest.fixture(scope="session")
def picture_writer():
    return write_pictures


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set called "set": 62 patients a class in train, 12 in test; and a smoother rendering of its test."""
    folder = tmp_path_factory.mktemp("data")
    write_pictures(folder / "set", {"train": 62, "test": 12})
    write_pictures(folder / "set-smooth", {"train": 62, "test": 12}, smooth=True)
    write_pictures(folder / "elsewhere", {"train": 62}, first=500)
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, pictures: Path) -> Path:
    """A checkpoint that "was trained on" the set: random weights, a decision fitted on its train split."""
    from hf_model.evaluation.labelled_dataset import PictureSet, score
    from hf_model.inference.classifier import Classifier
    from hf_model.metrics.operating_point import fit_decision

    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    shutil.copytree(tiny_base, folder)
    classifier = Classifier.from_pretrained(folder, engine="torch")
    scores = score(classifier, PictureSet.open(str(pictures / "set"), "train")).scores
    scores.to_csv(folder / "scores" / "calibration.csv")
    fit_decision(scores, provenance={"weights_sha256": classifier.model_hash}).save(folder)
    metrics = {"data": {"dataset": "somewhere/set", "renderings": ["set", "set-smooth"]}, "seed": 3}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


@pytest.fixture
def checkpoint(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "tiny"))
