"""The door through which base checkpoints come."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor, MobileNetV2Config, MobileNetV2ForImageClassification

from hf_model.modeling.base import load_base_model
from hf_model.modeling.freezing import ModelError
from hf_model.radiograph import Preprocessing


def test_lite0_by_name() -> None:
    base = load_base_model("efficientnet-lite0", dropout=0.4, image_size=192)
    assert base.hub_id is None
    assert base.model.config.id2label == {0: "NORMAL", 1: "PNEUMONIA"}
    assert base.model.dropout.p == 0.4
    assert (base.preprocessing.height, base.preprocessing.width) == (192, 192)
    assert base.model.config.image_size == 192
    assert {m.momentum for m in base.model.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {0.01}


def test_folder_with_our_labels_keeps_its_head(tiny_base: Path) -> None:
    base = load_base_model(str(tiny_base))
    saved = torch.nn.Linear(128, 2)
    from safetensors.torch import load_file

    weights = load_file(tiny_base / "model.safetensors")
    saved.weight.data = weights["classifier.weight"]
    assert torch.equal(base.model.classifier.weight, saved.weight)
    assert base.preprocessing == Preprocessing(height=64, width=64)


def test_another_architecture_with_a_centre_crop(tmp_path: Path) -> None:
    config = MobileNetV2Config(image_size=64, depth_multiplier=0.35, num_labels=10)
    MobileNetV2ForImageClassification(config).save_pretrained(tmp_path)
    processor = {
        "image_processor_type": "MobileNetV2ImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": 72},
        "do_center_crop": True,
        "crop_size": {"height": 64, "width": 64},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5] * 3,
        "image_std": [0.25] * 3,
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    base = load_base_model(str(tmp_path))
    assert base.model.config.num_labels == 2
    assert base.preprocessing == Preprocessing(height=64, width=64, resample=3, mean=(0.5,) * 3, std=(0.25,) * 3)
    assert base.model(pixel_values=torch.zeros(1, 3, 64, 64)).logits.shape == (1, 2)


def test_saved_preprocessing_is_what_transformers_applies(tmp_path: Path, tiny_base: Path) -> None:
    base = load_base_model(str(tiny_base))
    base.preprocessing.save(tmp_path)
    base.model.save_pretrained(tmp_path)
    grey = np.random.default_rng(0).integers(0, 256, (90, 70), dtype=np.uint8)
    theirs = AutoImageProcessor.from_pretrained(tmp_path)(np.stack([grey] * 3, -1), return_tensors="np")
    np.testing.assert_allclose(base.preprocessing(grey), theirs["pixel_values"], atol=1e-6)


def test_swapped_labels_are_refused(tmp_path: Path, tiny_base: Path) -> None:
    for name in ("model.safetensors", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((tiny_base / name).read_bytes())
    config = json.loads((tiny_base / "config.json").read_text())
    config |= {"id2label": {"0": "PNEUMONIA", "1": "NORMAL"}, "label2id": {"PNEUMONIA": 0, "NORMAL": 1}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="PNEUMONIA as label 0"):
        load_base_model(str(tmp_path))


def test_nothing_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="efficientnet-lite0 or a folder"):
        load_base_model(str(tmp_path / "missing"))


def test_pickled_weights_are_refused(tmp_path: Path, tiny_base: Path) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((tiny_base / name).read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load_base_model(str(tmp_path))
