"""Preprocessing: numbers worked out by hand, and equality with transformers' processor."""

import json

import numpy as np
import pytest
from PIL import Image

from hf_model.radiograph import Preprocessing

EFFICIENTNET_B0 = {
    "crop_size": {"height": 289, "width": 289},
    "do_center_crop": False,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "EfficientNetImageProcessor",
    "image_std": [0.47853944, 0.4732864, 0.47434163],
    "include_top": True,
    "resample": 0,
    "rescale_factor": 1 / 255,
    "rescale_offset": False,
    "size": {"height": 224, "width": 224},
}


@pytest.fixture
def grey():
    return np.random.default_rng(0).integers(0, 256, (150, 210), dtype=np.uint8)


def reference(config, folder, grey, colour=True):
    """The tensor of transformers' own processor for this configuration."""
    from transformers import AutoImageProcessor

    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    picture = Image.fromarray(grey)
    processor = AutoImageProcessor.from_pretrained(folder)
    return processor(picture.convert("RGB") if colour else picture, return_tensors="np")["pixel_values"]


def test_default_is_the_lite0_processor():
    default = Preprocessing.DEFAULT
    assert (default.height, default.width, default.resample) == (224, 224, 3)
    assert default.mean == (0.498,) * 3
    assert default.std == (0.502,) * 3
    out = default(np.full((80, 64), 255, np.uint8))
    assert out.shape == (1, 3, 224, 224)
    assert out.dtype == np.float32
    assert out == pytest.approx(1.0, abs=1e-6)  # (1 - 0.498) / 0.502
    assert default(np.zeros((80, 64), np.uint8)) == pytest.approx(-0.498 / 0.502, abs=1e-6)


def test_channels_have_their_own_numbers():
    preprocessing = Preprocessing(height=1, width=2, rescale_factor=0.5, mean=(0, 1, 2), std=(1, 2, 4))
    out = preprocessing.normalize(np.array([[[10, 20]]], np.uint8))
    assert out.tolist() == [[[[5, 10]], [[2, 4.5]], [[0.75, 2]]]]


def test_resize_is_pillows(grey):
    preprocessing = Preprocessing(height=40, width=30, resample=2)
    expected = np.asarray(Image.fromarray(grey).resize((30, 40), Image.Resampling.BILINEAR))
    assert np.array_equal(preprocessing.resize(grey), expected)
    already = grey[:40, :30]
    assert np.array_equal(preprocessing.resize(already), already)


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize(
    "preprocessing", [Preprocessing(), Preprocessing(60, 100, 2, 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
)
def test_saved_configuration_gives_transformers_the_same_tensor(preprocessing, colour, grey, tmp_path):
    theirs = reference(preprocessing.to_dict(), tmp_path, grey, colour)
    assert theirs.shape == (1, 3, preprocessing.height, preprocessing.width)
    assert np.array_equal(preprocessing(grey), theirs)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"include_top": False},
        {"rescale_offset": True, "rescale_factor": 1 / 127.5},
        {"rescale_offset": True, "rescale_factor": 1 / 127.5, "include_top": False, "do_normalize": False},
        {"do_center_crop": True, "crop_size": {"height": 224, "width": 224}, "resample": 3},
        {"do_normalize": False},
        {"do_rescale": False, "include_top": False},
    ],
)
def test_folded_configuration_equals_transformers(change, grey, tmp_path):
    config = EFFICIENTNET_B0 | change
    theirs = reference(config, tmp_path, grey)
    np.testing.assert_allclose(Preprocessing.from_dict(config)(grey), theirs, rtol=1e-6, atol=1e-6)


def test_missing_keys_take_the_class_defaults_of_efficientnet(grey, tmp_path):
    config = {"image_processor_type": "EfficientNetImageProcessor", "size": {}}
    ours = Preprocessing.from_dict(config)
    assert (ours.height, ours.width, ours.std) == (346, 346, (0.25,) * 3)
    del config["size"]
    np.testing.assert_allclose(ours(grey), reference(config, tmp_path, grey), rtol=1e-6, atol=1e-6)


def test_save_and_from_pretrained_come_back(tmp_path):
    preprocessing = Preprocessing(60, 100, 2, 1 / 127.5, (1.1, 1.2, 1.3), (0.2, 0.3, 0.4))
    path = preprocessing.save(tmp_path)
    assert Preprocessing.from_pretrained(tmp_path) == preprocessing
    assert Preprocessing.from_pretrained(path) == preprocessing


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"size": {"shortest_edge": 224}}, "shortest_edge"),
        ({"do_center_crop": True}, "do_center_crop"),
        ({"do_resize": False}, "do_resize"),
        ({"do_pad": True}, "do_pad"),
        ({"crop_pct": 0.875}, "crop_pct"),
        ({"image_processor_type": "ViTImageProcessor", "image_mean": None}, "image_mean"),
        ({"image_processor_type": "ViTImageProcessor", "resample": None}, "resample"),
        ({"image_mean": [0.5, 0.5]}, "image_mean"),
        ({"image_std": [0.5, 0.0, 0.5]}, "std"),
        ({"resample": 9}, "resample"),
        ({"size": {"height": -1, "width": 4}}, "size"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(change, word, tmp_path):
    config = EFFICIENTNET_B0 | change
    with pytest.raises(ValueError, match=word):
        Preprocessing.from_dict(config)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"preprocessor_config\.json: .*" + word):
        Preprocessing.from_pretrained(tmp_path)


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"preprocessor_config\.json is missing"):
        Preprocessing.from_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"preprocessor_config\.json"):
        Preprocessing.from_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("[]")
    with pytest.raises(ValueError, match=r"preprocessor_config\.json"):
        Preprocessing.from_pretrained(tmp_path)


def test_wrong_arrays_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        Preprocessing().resize(np.zeros((4, 4), np.float32))
    with pytest.raises(ValueError, match="uint8"):
        Preprocessing().normalize(np.zeros((4, 4), np.uint8))
