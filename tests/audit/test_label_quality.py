"""Flipped labels are found; features of a frozen network are cached by its weights, and described as what they are."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from audit_folders import name_of
from safetensors.numpy import load_file, save_file

from hf_model.audit import label_quality


@pytest.fixture
def network(tiny_base, tmp_path):
    return shutil.copytree(tiny_base, tmp_path / "my run")


def test_weights_trained_anew_give_features_anew(network, clean_folder, read, tmp_path, monkeypatch):
    pictures = read(clean_folder)

    def features() -> np.ndarray:
        return label_quality.backbone_features(pictures, str(network), tmp_path / "features")

    first = features()
    assert len(first) == len(pictures.development)
    weights = load_file(network / "model.safetensors")
    trained = {name: value * np.float32(1.1) if value.ndim == 4 else value for name, value in weights.items()}
    save_file(trained, network / "model.safetensors", {"format": "pt"})
    second = features()
    assert not np.allclose(first, second)
    monkeypatch.setattr(label_quality, "_compute", lambda *_: pytest.fail("features are there already"))
    assert np.array_equal(features(), second)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("efficientnet-lite0", "features of efficientnet-lite0 as ImageNet left it"),
        ("mobilenet-v2", "features of mobilenet-v2 as ImageNet left it"),
        ("/home/somebody/outputs/my run", "features of the network as my run has it"),
        ("somebody/chest", "features of the network as chest has it"),
    ],
)
def test_only_networks_of_imagenet_are_called_so(name, words):
    assert label_quality.describe(name) == words


def features_of(pictures):
    """What a good network would see: the true class, which the file's name keeps, with a little noise."""
    names = [pictures.names[pictures.kept[i]] for i in pictures.development]
    truth = np.array([[name.startswith("person")] * 4 for name in names], dtype=float)
    return truth + np.random.default_rng(0).normal(0, 0.2, truth.shape)


def test_clean_labels_raise_no_suspect(clean_folder, read):
    pictures = read(clean_folder)
    assert label_quality.check_labels(pictures, features_of(pictures), "truth and noise")["suspects"] == 0


def test_flipped_labels_are_listed_and_nothing_is_dropped(folder, read):
    flipped = [name_of(2, 0, pneumonia=True), name_of(2, 1, pneumonia=True), name_of(5, 0, pneumonia=True)]
    for name in flipped:
        (folder / "train/PNEUMONIA" / name).rename(folder / "train/NORMAL" / name)
    pictures = read(folder)
    found = label_quality.check_labels(pictures, features_of(pictures), "truth and noise")
    assert {entry["file"] for entry in found["list"][:3]} == {f"train/{name}" for name in flipped}
    assert 1 <= found["suspects"] <= 3
    assert found["by_label"] == {"NORMAL": found["suspects"], "PNEUMONIA": 0}
    ranked = [entry["confidence"] for entry in found["list"]]
    assert ranked == sorted(ranked)
    assert ranked[-1] < 0.5
    assert found["n"] == 96
