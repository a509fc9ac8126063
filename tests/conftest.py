"""Generated pictures and data sets: nothing here comes from a patient."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType

# before any import of gradio, transformers or huggingface_hub: tests ask no network for anything
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# two test processes share two cores: a thread each is faster than two that wait for one another
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from generated import make_scores, write_image_folder

from hf_model.metrics.scores import Scores

SHARED = Path(__file__).parent.parent.parent / "shared"


@pytest.fixture(autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded pixels of one test never serve another run of the suite."""
    monkeypatch.setenv("CHEST_XRAY_CACHE", str(tmp_path_factory.getbasetemp() / "pixels"))


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 training and 12 test patients per class, 64 px."""
    return write_image_folder(tmp_path_factory.mktemp("chests"), {"train": 40, "test": 12})


@pytest.fixture
def scores() -> Scores:
    """Scores of 400 patients."""
    return make_scores()


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny EfficientNet as a base checkpoint folder."""
    return tiny_checkpoint().base_folder(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture(scope="session")
def plain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as transformers saves it: no decision.json, no graph."""
    return tiny_checkpoint().random_folder(tmp_path_factory.mktemp("plain") / "tiny")


@pytest.fixture(scope="session")
def exported_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete checkpoint: decision.json, metrics.json and the graph."""
    return tiny_checkpoint().exported_folder(tmp_path_factory.mktemp("exported") / "tiny")


def tiny_checkpoint() -> ModuleType:
    """The builders, which import torch: not for tests that do without."""
    return importlib.import_module("tiny_checkpoint")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real radiographs, or a skip."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("needs the radiographs of ../shared/data, which are not here")
    return folder
