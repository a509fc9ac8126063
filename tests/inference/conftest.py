"""Tiny checkpoints, built once for all tests of serving."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines.openvino_engine import OpenVinoEngine
from hf_model.inference.engines.torch_engine import TorchEngine


@pytest.fixture(scope="session")
def checkpoint(exported_folder: Path) -> Checkpoint:
    return Checkpoint.open(exported_folder)


@pytest.fixture(scope="session")
def openvino_engine(checkpoint: Checkpoint) -> OpenVinoEngine:
    return OpenVinoEngine(checkpoint, cache="")


@pytest.fixture(scope="session")
def torch_engine(checkpoint: Checkpoint) -> TorchEngine:
    return TorchEngine(checkpoint, device="cpu")
