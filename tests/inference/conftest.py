"""Tiny checkpoints, built once for all tests of serving."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inference_checkpoints import build, decision

from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines.export import export
from hf_model.inference.engines.openvino_engine import OpenVinoEngine
from hf_model.inference.engines.torch_engine import TorchEngine


@pytest.fixture(scope="session")
def plain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as transformers saves it: no decision.json, no export."""
    return build(tmp_path_factory.mktemp("plain") / "tiny")


@pytest.fixture(scope="session")
def exported_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete checkpoint: decision.json, metrics.json and the export."""
    folder = build(tmp_path_factory.mktemp("exported") / "tiny")
    decision().save(folder)
    (folder / "metrics.json").write_text(json.dumps({"seed": 1}), encoding="utf-8")
    export(Checkpoint.open(folder))
    return folder


@pytest.fixture(scope="session")
def checkpoint(exported_folder: Path) -> Checkpoint:
    return Checkpoint.open(exported_folder)


@pytest.fixture(scope="session")
def openvino_engine(checkpoint: Checkpoint) -> OpenVinoEngine:
    return OpenVinoEngine(checkpoint, cache="")


@pytest.fixture(scope="session")
def torch_engine(checkpoint: Checkpoint) -> TorchEngine:
    return TorchEngine(checkpoint, device="cpu")
