"""Generated pictures and data sets: nothing here comes from a patient."""

from __future__ import annotations

import json
import os
from pathlib import Path

# before any import of gradio, transformers or huggingface_hub: tests ask no network for anything
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# two test processes share two cores: a thread each is faster than two that wait for one another
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from generated import chest, make_scores, write_image_folder

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
    """A tiny EfficientNet from scratch as a base checkpoint folder: width 0.1, 64 px."""
    import torch
    from transformers import EfficientNetConfig, EfficientNetForImageClassification

    from hf_model.radiograph import Preprocessing

    torch.manual_seed(0)
    config = EfficientNetConfig(
        image_size=64,
        width_coefficient=0.1,
        depth_coefficient=0.1,
        hidden_dim=128,
        hidden_act="relu6",
        num_labels=2,
        id2label={0: "NORMAL", 1: "PNEUMONIA"},
        label2id={"NORMAL": 0, "PNEUMONIA": 1},
    )
    model = EfficientNetForImageClassification(config)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_parameters()  # transformers draws the weights from N(0, 0.02): the model would put out zeros
        elif isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    # a base checkpoint has seen pictures: running statistics of some, as a pre-trained one would have
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the plain mean over batches
    grey = np.stack([chest(seed, pneumonia=seed % 2 == 1) for seed in range(32)])
    with torch.no_grad():
        model.train()(pixel_values=torch.from_numpy(Preprocessing(height=64, width=64).normalize(grey)))
    folder = tmp_path_factory.mktemp("tiny") / "base"
    model.save_pretrained(folder)
    Preprocessing(height=64, width=64).save(folder)
    return folder


@pytest.fixture(scope="session")
def plain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as transformers saves it: no decision.json, no export."""
    from inference_checkpoints import build

    return build(tmp_path_factory.mktemp("plain") / "tiny")


@pytest.fixture(scope="session")
def exported_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete checkpoint: decision.json, metrics.json and the export."""
    from inference_checkpoints import build, decision

    from hf_model.inference.checkpoint import Checkpoint
    from hf_model.inference.engines.export import export

    folder = build(tmp_path_factory.mktemp("exported") / "tiny")
    decision().save(folder)
    (folder / "metrics.json").write_text(json.dumps({"seed": 1}), encoding="utf-8")
    export(Checkpoint.open(folder))
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real radiographs, or a skip."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("needs the radiographs of ../shared/data, which are not here")
    return folder
