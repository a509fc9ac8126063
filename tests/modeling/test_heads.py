"""Heads: sizes by hand, gradients against autograd, and what is saved is what is served."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from generated import chest
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification

from hf_model import Classifier
from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines.torch_engine import TorchEngine
from hf_model.modeling.base import load_base_model
from hf_model.modeling.freezing import ModelError, layers_of, unfreeze
from hf_model.modeling.heads import HEADS, build_head, logits_and_gradient
from hf_model.modeling.modeling_chest_xray import ChestXrayForImageClassification, with_head

LINEAR = 1280 * 2 + 2
PARAMETERS = {
    "plain": LINEAR,
    "dropout-0.5": LINEAR,
    "dropout-0.3": LINEAR,
    "dropout-0.7": LINEAR,
    "no-dropout": LINEAR,
    "dense-64": 1280 * 64 + 64 + 64 * 2 + 2,
    "dense-128": 1280 * 128 + 128 + 128 * 2 + 2,
    "batch-norm": 2 * 1280 + LINEAR,
    "dense-32-batch-norm": 1280 * 32 + 32 + 2 * 32 + 32 * 2 + 2,
    "two-batch-norms": 2 * 1280 + 2 * 1280 + LINEAR,
    "three-dense-two-batch-norms": 1280 * 64 + 64 + 4 * 64 + 64 * 32 + 32 + 32 * 2 + 2,
    "efficientnet": 2 * 1280 + 1280 * 256 + 256 + 256 * 2 + 2,
}


def stirred(head: torch.nn.Sequential) -> torch.nn.Sequential:
    """Running statistics and scales of its norms away from 0 and 1, in evaluation mode."""
    for module in head.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.normal_(module.weight, 1, 0.3)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    return head.eval()


def test_the_table_is_the_list_of_the_issue() -> None:
    assert set(HEADS) == set(PARAMETERS)


@pytest.mark.parametrize("name", HEADS)
def test_parameters_counted_by_hand(name: str) -> None:
    assert sum(p.numel() for p in build_head(name, 1280).parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", HEADS)
def test_the_gradient_is_autograd_s(name: str) -> None:
    torch.manual_seed(0)
    head, features = stirred(build_head(name, 20)), torch.randn(7, 20, requires_grad=True)
    logits = head(features)
    (expected,) = torch.autograd.grad((logits[:, 0] - logits[:, 1]).sum(), features)
    found, gradient = logits_and_gradient(head, features.detach(), [1, 0])
    torch.testing.assert_close(found, logits[:, [1, 0]])
    torch.testing.assert_close(gradient, expected)


def test_a_last_batch_of_one_picture_can_be_trained_on() -> None:
    head = build_head("batch-norm", 8).train()
    head(torch.randn(1, 8)).sum().backward()
    assert head[0].running_mean.tolist() == [0.0] * 8  # one picture has no variance, so it moves nothing


@pytest.fixture(scope="module")
def saved(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a head on the tiny EfficientNet and of the baseline CNN, with weights that tell pictures apart."""
    out = {}
    for name, base, head in (("headed", str(tiny_base), "three-dense-two-batch-norms"), ("cnn", "baseline-cnn", None)):
        torch.manual_seed(1)
        loaded = load_base_model(base, image_size=64, head=head)
        stirred(loaded.model.classifier)
        with torch.no_grad():
            loaded.model.classifier[-1].weight.mul_(60 if name == "cnn" else 20)
        out[name] = tmp_path_factory.mktemp("own") / name
        loaded.model.eval().save_pretrained(out[name])
        loaded.preprocessing.save(out[name])
    return out


@pytest.mark.parametrize("name", ["headed", "cnn"])
@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_reloaded_and_served_it_gives_the_same_logits_and_map(saved, tmp_path, name: str, engine: str) -> None:
    again = load_base_model(str(saved[name]))
    assert isinstance(again.model, ChestXrayForImageClassification)
    classifier = Classifier.from_pretrained(saved[name], engine=engine, cache="")
    tolerance, seen = {"torch": 1e-4, "openvino": 0.02}[engine], []  # OpenVINO takes bfloat16 where it is faster
    for seed in range(3):
        pixels = chest(seed, pneumonia=seed == 1)
        Image.fromarray(pixels).save(tmp_path / "chest.png")
        with torch.no_grad():
            tensor = torch.from_numpy(again.preprocessing.normalize(pixels[None]))
            expected = again.model.eval()(tensor).logits[0].tolist()
        prediction = classifier.predict(tmp_path / "chest.png")
        assert prediction.logits == pytest.approx(expected, abs=tolerance)
        assert prediction.class_activation_map is not None
        seen.append(expected[1])
    assert np.ptp(seen) > 5 * tolerance  # else any answer would do


def test_the_map_is_grad_cam(saved: dict[str, Path]) -> None:
    model = load_base_model(str(saved["headed"])).model.eval()
    checkpoint = Checkpoint.open(saved["headed"])
    pixels = np.stack([chest(seed) for seed in range(2)])
    found = TorchEngine(checkpoint, device="cpu").run(pixels)
    features = model.backbone(torch.from_numpy(checkpoint.preprocessing.normalize(pixels))).last_hidden_state
    features = features.detach().requires_grad_(True)
    logits = model.classifier(features.mean((2, 3)))
    (gradient,) = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), features)
    weights = gradient.sum((2, 3), keepdim=True)  # of the mean over places: each place's share is one of them
    np.testing.assert_allclose(found.maps, (features * weights).sum(1).detach().numpy(), atol=1e-4)


def test_transformers_without_this_package_refuses_the_folder(saved: dict[str, Path]) -> None:
    code = f"from transformers import pipeline; pipeline('image-classification', model={str(saved['headed'])!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=saved["headed"],
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.returncode != 0
    assert "chest_xray_classifier" in done.stderr.splitlines()[-1] + done.stderr


def test_a_folder_keeps_its_head_unless_another_is_asked_for(saved: dict[str, Path]) -> None:
    assert load_base_model(str(saved["headed"])).model.config.chest_xray_head == "three-dense-two-batch-norms"
    other = load_base_model(str(saved["headed"]), head="dense-64").model
    assert other.config.chest_xray_head == "dense-64"
    assert len(other.classifier) == 4


def test_plain_stays_a_model_of_transformers(tiny_base: Path) -> None:
    assert type(load_base_model(str(tiny_base), head="plain").model).__name__ == "EfficientNetForImageClassification"


def test_plain_takes_our_head_off_again(saved: dict[str, Path], tmp_path: Path) -> None:
    from transformers import AutoModelForImageClassification

    headed = load_base_model(str(saved["headed"])).model
    plain = load_base_model(str(saved["headed"]), head="plain", dropout=0.3).model
    assert type(plain).__name__ == "EfficientNetForImageClassification"
    assert (plain.config.dropout_rate, plain.config.id2label) == (0.3, {0: "NORMAL", 1: "PNEUMONIA"})
    mine, theirs = headed.backbone.state_dict(), plain.base_model.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    plain.eval().save_pretrained(tmp_path / "plain")
    again = AutoModelForImageClassification.from_pretrained(tmp_path / "plain").eval()
    pixels = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(again(pixels).logits, plain(pixels).logits)


def test_the_baseline_has_no_plain_head() -> None:
    with pytest.raises(ModelError, match="--head plain: baseline-cnn is no model of transformers"):
        load_base_model("baseline-cnn", head="plain")


def test_depth_of_training_is_understood_below_our_heads(saved: dict[str, Path]) -> None:
    model = load_base_model(str(saved["headed"])).model
    assert [layer.name for layer in layers_of(model)][-2:] == ["top", "head"]
    assert unfreeze(model, "0") == sum(p.numel() for p in model.classifier.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": "dense"}, "--head dense: there is no such head; one of plain, dropout-0.5"),
        ({"head": "dense-64", "dropout": 0.1}, "--dropout belongs to the plain head"),
    ],
)
def test_what_cannot_be_had_is_said(tiny_base: Path, options: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_base_model(str(tiny_base), **options)


def test_a_network_without_a_feature_map_is_refused() -> None:
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    model = ViTForImageClassification(ViTConfig(**small, image_size=32, patch_size=16, num_labels=2))
    with pytest.raises(ModelError, match="gives no feature map to average; use --head plain"):
        with_head(model, "dense-64")
