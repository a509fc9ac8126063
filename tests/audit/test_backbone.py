"""Features of a frozen network: kept by its weights, and described as what they are."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
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
