"""Generated pictures and data sets: nothing here comes from a patient."""

from __future__ import annotations

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
from PIL import Image

SHARED = Path(__file__).parent.parent.parent / "shared"


def chest(seed: int, *, pneumonia: bool = False, side: int = 64) -> np.ndarray:
    """A radiograph-like picture, uint8 (side, side): bright body, two dark lungs, ribs; pneumonia adds opacity."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    jitter = rng.normal(0, 0.015, 6)
    picture = 0.62 * np.exp(-(((x - 0.5) / 0.55) ** 4)) + 0.1
    for centre in (0.3 + jitter[0], 0.7 + jitter[1]):
        lung = ((x - centre) / (0.15 + jitter[2])) ** 2 + ((y - 0.48 - jitter[3]) / (0.3 + jitter[4])) ** 2 < 1
        picture = np.where(lung, 0.2 + 0.05 * np.sin(y * 60 + rng.uniform(0, 6)), picture)
        if pneumonia:
            spot = np.exp(-(((x - centre) / 0.12) ** 2 + ((y - rng.uniform(0.45, 0.65)) / 0.14) ** 2))
            picture = picture + 0.4 * rng.uniform(0.7, 1.0) * spot
    picture += 0.25 * np.exp(-(((x - 0.52) / 0.05) ** 2)) + rng.normal(0, 0.02, picture.shape)
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8)


def file_name(patient: int, picture: int, pneumonia: bool) -> str:
    """A name as the Kermany data set has it."""
    if pneumonia:
        return f"person{patient}_{('bacteria', 'virus')[patient % 2]}_{patient * 10 + picture}.png"
    return f"IM-{patient:04d}-{picture + 1:04d}.png"


def write_image_folder(
    folder: Path, splits: dict[str, int], *, side: int = 64, pictures: int = 2, seed: int = 0, smooth: bool = False
) -> Path:
    """An image folder ``<split>/<CLASS>/<name>``, each split with so many patients per class.

    Patient numbers do not repeat over splits. ``smooth`` gives another rendering of the same pictures.
    """
    number = 0
    for split, patients in splits.items():
        for pneumonia in (False, True):
            target = folder / split / ("PNEUMONIA" if pneumonia else "NORMAL")
            target.mkdir(parents=True, exist_ok=True)
            for patient in range(number, number + patients):
                for picture in range(1 + patient % pictures):
                    name = file_name(patient, picture, pneumonia)
                    pixels = chest(seed + 1000 * patient + picture + 500 * pneumonia, pneumonia=pneumonia, side=side)
                    image = Image.fromarray(pixels)
                    if smooth:
                        image = image.resize((side // 2, side // 2)).resize((side, side), Image.Resampling.BICUBIC)
                    image.save(target / name)
        number += patients
    return folder


@pytest.fixture(autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded pixels of one test never serve another run of the suite."""
    monkeypatch.setenv("CHEST_XRAY_CACHE", str(tmp_path_factory.getbasetemp() / "pixels"))


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 training and 12 test patients per class, 64 px."""
    return write_image_folder(tmp_path_factory.mktemp("chests"), {"train": 40, "test": 12})


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny EfficientNet from scratch as a base checkpoint folder: width 0.1, 64 px."""
    import torch
    from transformers import EfficientNetConfig, EfficientNetForImageClassification

    from hf_model.modeling.layers import reset_norms
    from hf_model.radiograph import Preprocessing

    torch.manual_seed(0)
    config = EfficientNetConfig(
        image_size=64, width_coefficient=0.1, depth_coefficient=0.1, hidden_dim=128, hidden_act="relu6",
        num_labels=2, id2label={0: "NORMAL", 1: "PNEUMONIA"}, label2id={"NORMAL": 0, "PNEUMONIA": 1},
    )  # fmt: skip
    model = EfficientNetForImageClassification(config)
    reset_norms(model)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
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
def shared_data() -> Path:
    """The real radiographs, or a skip."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("needs the radiographs of ../shared/data, which are not here")
    return folder
