"""OpenVINO = torch = plain transformers, and the map is Grad-CAM."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from generated import pictures
from PIL import Image
from tiny_checkpoint import SIDE, random_folder
from transformers import (
    AutoModelForImageClassification,
    MobileNetV2Config,
    MobileNetV2ForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    pipeline,
)

from hf_model.config import ID2LABEL, LABEL2ID
from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines.export import convert, export
from hf_model.inference.engines.openvino_engine import OpenVinoEngine
from hf_model.inference.engines.torch_engine import TorchEngine
from hf_model.radiograph import Preprocessing

PICTURES = pictures(5)


def plain_logits(folder: Path) -> np.ndarray:
    """Logits of the untouched transformers model, through the checkpoint's preprocessing."""
    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    values = torch.from_numpy(Preprocessing.from_pretrained(folder).normalize(PICTURES))
    with torch.inference_mode():
        return model(values).logits.numpy()


def test_the_tiny_model_tells_pictures_apart(exported_folder: Path) -> None:
    logits = plain_logits(exported_folder)
    assert (logits[:, 1] - logits[:, 0]).std() > 0.01


def test_engines_give_the_logits_of_the_plain_model(exported_folder, openvino_engine, torch_engine) -> None:
    expected = plain_logits(exported_folder)
    for engine in (openvino_engine, torch_engine):
        output = engine.run(PICTURES)
        assert output.logits.dtype == np.float32
        np.testing.assert_allclose(output.logits, expected, atol=1e-4, err_msg=engine.name)
        assert output.maps.shape == (5, 2, 2)
        assert output.features.shape == (5, 128)


def test_engines_agree_on_maps_and_features(openvino_engine, torch_engine) -> None:
    found, expected = openvino_engine.run(PICTURES), torch_engine.run(PICTURES)
    np.testing.assert_allclose(found.maps, expected.maps, atol=1e-4)
    np.testing.assert_allclose(found.features, expected.features, atol=1e-4)


def test_pipeline_gives_the_probability_of_the_engine(exported_folder, openvino_engine) -> None:
    files = [Image.fromarray(picture).convert("RGB") for picture in PICTURES]
    answers = pipeline("image-classification", model=str(exported_folder))(files)
    expected = [{row["label"]: row["score"] for row in answer}["PNEUMONIA"] for answer in answers]
    logits = openvino_engine.run(PICTURES).logits.astype(np.float64)
    np.testing.assert_allclose(1 / (1 + np.exp(logits[:, 0] - logits[:, 1])), expected, atol=2.5e-5)


def test_the_map_is_grad_cam(exported_folder: Path, openvino_engine: OpenVinoEngine) -> None:
    """Grad-CAM: channels weighted with the gradient of the score, averaged over the map."""
    model = AutoModelForImageClassification.from_pretrained(exported_folder).eval()
    kept = {}
    model.efficientnet.encoder.register_forward_hook(lambda _m, _i, out: kept.update(features=out.last_hidden_state))
    values = torch.from_numpy(Preprocessing.from_pretrained(exported_folder).normalize(PICTURES))
    logits = model(values).logits
    gradient = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), kept["features"])[0]
    cells = gradient.shape[2] * gradient.shape[3]
    grad_cam = (gradient.mean((2, 3), keepdim=True) * kept["features"]).sum(1) * cells
    np.testing.assert_allclose(openvino_engine.run(PICTURES).maps, grad_cam.detach().numpy(), atol=1e-4)


def test_mean_of_the_map_and_bias_is_the_difference_of_logits(exported_folder, torch_engine) -> None:
    bias = AutoModelForImageClassification.from_pretrained(exported_folder).classifier.bias.detach().numpy()
    output = torch_engine.run(PICTURES)
    expected = output.logits[:, 1] - output.logits[:, 0]
    np.testing.assert_allclose(output.maps.mean((1, 2)) + bias[1] - bias[0], expected, atol=1e-5)


def test_a_batch_gives_what_single_pictures_give(openvino_engine, torch_engine) -> None:
    for engine, bound in ((openvino_engine, 0.0), (torch_engine, 1e-5)):
        together = engine.run(PICTURES).logits
        alone = np.concatenate([engine.run(picture[None]).logits for picture in PICTURES])
        np.testing.assert_allclose(together, alone, rtol=0, atol=bound)


def test_bulk_from_many_threads_gives_the_same(openvino_engine: OpenVinoEngine) -> None:
    many = pictures(40, seed=3)
    expected = openvino_engine.run(many).logits
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda picture: openvino_engine.run(picture[None], bulk=True).logits[0], many))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_removing_neutral_gates_changes_nothing(tmp_path: Path) -> None:
    """The same weights with gates: the plain model has them, the graph does not."""
    folder = random_folder(tmp_path / "gated")
    graph, removed = convert(Checkpoint.open(folder))
    blocks = len(AutoModelForImageClassification.from_pretrained(folder).efficientnet.encoder.blocks)
    assert removed == blocks > 0
    assert not [op for op in graph.get_ordered_ops() if op.get_type_name() == "Sigmoid"]
    engine = OpenVinoEngine(Checkpoint.open(folder), graph=graph, cache="")
    np.testing.assert_allclose(engine.run(PICTURES).logits, plain_logits(folder), atol=1e-5)


def test_gates_that_do_something_stay(tmp_path: Path) -> None:
    folder = random_folder(tmp_path / "swish", neutral=False, activation="swish")
    checkpoint = Checkpoint.open(folder)
    graph, removed = convert(checkpoint)
    assert removed == 0
    engine = OpenVinoEngine(checkpoint, graph=graph, cache="")
    np.testing.assert_allclose(engine.run(PICTURES).logits, plain_logits(folder), atol=1e-4)


def test_swapped_labels_are_put_right(tmp_path: Path) -> None:
    folder = random_folder(tmp_path / "swapped", swap=True)
    checkpoint = Checkpoint.open(folder)
    assert checkpoint.label_order == (1, 0)
    expected = plain_logits(folder)[:, ::-1]
    export(checkpoint)
    for engine in (OpenVinoEngine(checkpoint, cache=""), TorchEngine(checkpoint, device="cpu")):
        output = engine.run(PICTURES)
        np.testing.assert_allclose(output.logits, expected, atol=1e-4)
    bias = AutoModelForImageClassification.from_pretrained(folder).classifier.bias.detach().numpy()
    difference = output.logits[:, 1] - output.logits[:, 0]
    np.testing.assert_allclose(output.maps.mean((1, 2)) + bias[0] - bias[1], difference, atol=1e-5)


def test_channels_of_different_mean_are_not_folded(tmp_path: Path) -> None:
    folder = random_folder(tmp_path / "imagenet")
    Preprocessing(SIDE, SIDE, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)).save(folder)
    checkpoint = Checkpoint.open(folder)
    engine = OpenVinoEngine(checkpoint, graph=convert(checkpoint)[0], cache="")
    np.testing.assert_allclose(engine.run(PICTURES).logits, plain_logits(folder), atol=1e-4)


def other(folder: Path, kind: str) -> Path:
    """A tiny MobileNetV2 (has a map) or ViT (has none) in a folder."""
    labels = {"id2label": ID2LABEL, "label2id": LABEL2ID}
    torch.manual_seed(0)
    if kind == "mobilenet":
        model = MobileNetV2ForImageClassification(MobileNetV2Config(depth_multiplier=0.25, image_size=SIDE, **labels))
    else:
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        model = ViTForImageClassification(ViTConfig(image_size=SIDE, patch_size=16, **sizes, **labels))
    model.eval().save_pretrained(folder)
    Preprocessing(height=SIDE, width=SIDE).save(folder)
    return folder


@pytest.mark.parametrize(("kind", "has_map"), [("mobilenet", True), ("vit", False)])
def test_other_architectures(tmp_path: Path, kind: str, has_map: bool) -> None:
    folder = other(tmp_path / kind, kind)
    checkpoint = Checkpoint.open(folder)
    for engine in (
        TorchEngine(checkpoint, device="cpu"),
        OpenVinoEngine(checkpoint, graph=convert(checkpoint)[0], cache=""),
    ):
        output = engine.run(PICTURES)
        np.testing.assert_allclose(output.logits, plain_logits(folder), atol=1e-4)
        assert (output.maps is not None) is has_map
        assert output.features.shape[0] == 5


def test_pictures_of_another_size_are_refused(openvino_engine: OpenVinoEngine) -> None:
    with pytest.raises(ValueError, match=r"give uint8 \(N, 64, 64\)"):
        openvino_engine.run(np.zeros((1, 32, 32), np.uint8))
