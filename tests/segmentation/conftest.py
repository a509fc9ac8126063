"""Drawn chests with the outline of their lungs, and a network trained on them for a few seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
from segmentation_drawings import outlined

from hf_model.inference.lungs import export_network
from hf_model.segmentation.examples import OutlinedPictures
from hf_model.segmentation.network import LungNetworkConfig, save_network
from hf_model.segmentation.training import LungTraining, train_network

TINY = LungNetworkConfig(size=64, channels=(8, 12, 16, 24), blocks=1)


@pytest.fixture(scope="session")
def pictures() -> OutlinedPictures:
    return outlined(64)


@pytest.fixture(scope="session")
def lungs_folder(pictures: OutlinedPictures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``lungs.safetensors`` and its graph."""
    folder = tmp_path_factory.mktemp("lungs")
    options = LungTraining(epochs=40, batch_size=8, learning_rate=1e-2, average=0.9)
    network = train_network(pictures, pictures.rows("development_train"), TINY, options, workers=0)
    save_network(network, folder, {"pictures": 48})
    export_network(folder)
    return folder
