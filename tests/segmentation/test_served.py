"""The served network: engines, missing and stale files, drawn chests end to end, the command."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from generated import write_image_folder
from PIL import Image
from segmentation_drawings import drawn_lungs, write_outlines

from hf_model.commands import lungs as command
from hf_model.evaluation.lungs import iou, measure
from hf_model.inference.engines.base import EngineUnavailable
from hf_model.inference.lungs import LungSegmenter
from hf_model.segmentation.examples import OutlinedPictures
from hf_model.segmentation.shape import contrast_inside
from hf_model.segmentation.weights import GRAPH_FILE, WEIGHTS


@pytest.fixture(scope="module")
def segmenter(lungs_folder: Path) -> LungSegmenter:
    return LungSegmenter.from_folder(lungs_folder)


def test_lungs_of_drawn_chests_are_found(segmenter: LungSegmenter):
    overlaps = []
    for seed in range(900, 912):
        picture, outline = drawn_lungs(seed)
        lungs = segmenter.lungs(picture)
        assert lungs.found == 2
        assert contrast_inside(picture, lungs) > 0.5
        overlaps.append(iou(lungs.at(64, 64), outline))
    assert np.median(overlaps) > 0.85


def test_a_picture_of_any_size_and_shape_is_taken(segmenter: LungSegmenter):
    picture, _ = drawn_lungs(900)
    large = np.asarray(Image.fromarray(picture).resize((500, 300), Image.Resampling.BICUBIC))
    lungs = segmenter.lungs(large)
    assert lungs.mask.shape == (64, 64)
    assert lungs.at(300, 500).shape == (300, 500)
    assert iou(lungs.mask, segmenter.lungs(picture).mask) > 0.9


def test_engines_agree(segmenter: LungSegmenter, lungs_folder: Path):
    reference = LungSegmenter.from_folder(lungs_folder, engine="torch")
    assert (segmenter.name, reference.name) == ("openvino-f32", "torch-f32")
    for seed in range(4):
        picture, _ = drawn_lungs(seed)
        one, other = segmenter.lungs(picture), reference.lungs(picture)
        assert np.abs(one.probability - other.probability).max() < 1e-4
        assert one.view.turns == pytest.approx(other.view.turns, abs=1e-4)


def test_a_batch_gives_what_single_pictures_give(segmenter: LungSegmenter):
    pictures = [drawn_lungs(seed, side=60 + seed)[0] for seed in range(10)]
    for one, picture in zip(segmenter.outline(pictures), pictures, strict=True):
        assert np.array_equal(one.parts, segmenter.lungs(picture).parts)


def test_a_folder_without_lungs_gives_none(tmp_path: Path):
    assert LungSegmenter.from_folder(tmp_path) is None


def test_weights_without_a_graph_are_served_by_torch(lungs_folder: Path, tmp_path: Path, caplog):
    shutil.copy(lungs_folder / WEIGHTS, tmp_path)
    with caplog.at_level(logging.WARNING):
        assert LungSegmenter.from_folder(tmp_path).name == "torch-f32"
    assert GRAPH_FILE in caplog.text
    with pytest.raises(EngineUnavailable, match="is missing"):
        LungSegmenter.from_folder(tmp_path, engine="openvino")


def test_a_graph_of_other_weights_is_not_served(lungs_folder: Path, tmp_path: Path):
    shutil.copytree(lungs_folder, tmp_path / "copy")
    from hf_model.segmentation.network import load_network, save_network

    save_network(load_network(lungs_folder), tmp_path / "copy", {"another": "header"})
    with pytest.raises(EngineUnavailable, match="other weights"):
        LungSegmenter.from_folder(tmp_path / "copy", engine="openvino")


def test_a_damaged_file_is_named(tmp_path: Path):
    (tmp_path / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(ValueError, match=WEIGHTS):
        LungSegmenter.from_folder(tmp_path)


def test_pictures_that_are_not_grey_are_refused(segmenter: LungSegmenter):
    with pytest.raises(ValueError, match="uint8"):
        segmenter.lungs(np.zeros((64, 64, 3), np.uint8))


def test_figures(segmenter: LungSegmenter, outlined_pictures: OutlinedPictures):
    rows = outlined_pictures.rows("calibration")
    record = measure(segmenter, outlined_pictures, rows)
    plain = record["renderings"]["plain"]
    assert (plain["pictures"], plain["patients"]) == (16, 8)
    values = [
        iou(segmenter.lungs(outlined_pictures.renderings["plain"][0][i]).at(64, 64), outlined_pictures.outlines[i])
        for i in rows
    ]
    assert plain["median_iou"]["value"] == pytest.approx(np.median(values))
    low, high = plain["median_iou"]["interval"]
    assert low <= plain["median_iou"]["value"] <= high
    assert record["renderings"]["bright"]["pictures"] == len([i for i in rows if i % 3 == 0])
    assert record["classes"]["NORMAL"]["pictures"] + record["classes"]["PNEUMONIA"]["pictures"] == 16
    assert set(record["between_renderings"]) == {"plain and bright"}
    json.dumps(record)


def test_the_command_writes_what_a_checkpoint_needs(tmp_path: Path, capsys):
    dataset = write_image_folder(tmp_path / "dataset", {"train": 20, "test": 4})
    names = [path.name for path in sorted((dataset / "train").rglob("*.png"))]
    outlines = {name: drawn_lungs(seed, side=48)[1] for seed, name in enumerate(names)}
    folder = write_outlines(tmp_path / "outlines", outlines)
    argv = ["--dataset", str(dataset), "--outlines", str(folder), "--output", str(tmp_path / "out")]
    assert command.main([*argv, "--epochs", "0.5"]) == 0
    shown = capsys.readouterr().out
    record = json.loads((tmp_path / "out" / "lungs.json").read_text())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "lungs.json", "lungs.safetensors", "lungs_openvino.bin", "lungs_openvino.xml",
    ]  # fmt: skip
    value = record["held_out"]["renderings"]["dataset"]["median_iou"]["value"]
    assert f"{value:.3f} (" in shown
    assert record["training"]["pictures"] + record["held_out"]["renderings"]["dataset"]["pictures"] == len(names)
    assert LungSegmenter.from_folder(tmp_path / "out").facts["training"] == record["training"]


def test_the_command_names_what_is_wrong(tmp_path: Path, capsys):
    argv = ["--dataset", str(tmp_path), "--outlines", str(tmp_path / "none"), "--output", str(tmp_path / "out")]
    assert command.main(argv) == 2
    assert "--outlines" in capsys.readouterr().err
