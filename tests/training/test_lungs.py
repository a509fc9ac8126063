"""training/lungs.py: outlines where training looks for them, weights against style, and what is refused early."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from generated import write_image_folder
from segmentation_drawings import outlined, write_outlines
from training_runs import BRIEF

import train
from hf_model.data.augmentation import AugmentationArguments
from hf_model.data.loading import DatasetError
from hf_model.data.pixels import Pixels
from hf_model.data.prepare import CALIBRATION, TRAIN, VALIDATION, DevelopmentData
from hf_model.data.splits import Split
from hf_model.inference.lungs import LungSegmenter
from hf_model.modeling.base import load_base_model
from hf_model.modeling.freezing import ModelError
from hf_model.modeling.modeling_chest_xray import with_head
from hf_model.segmentation.outline import Lungs, View
from hf_model.training.batches import TrainingRows, generator_for, validation_views
from hf_model.training.evidence import check_penalty
from hf_model.training.lungs import guide

COUNT = 64


def _pixels(pictures: np.ndarray, names: list[str], labels: np.ndarray) -> Pixels:
    return Pixels(pictures, names, labels, [str(row) for row in range(len(names))])


@pytest.fixture
def data() -> DevelopmentData:
    """64 drawn chests of 32 patients, the last eight in no split; another rendering has every third, backwards."""
    drawn = outlined(COUNT)
    main, shown = drawn.renderings["plain"][0], np.arange(0, COUNT, 3)
    backwards, index = shown[::-1], np.full(COUNT, -1)
    index[backwards] = np.arange(len(backwards)) + 1  # its first picture is none of the data set's
    names = ["stranger.png", *(drawn.names[row] for row in backwards)]
    pictures = np.concatenate([main[:1], 255 - main[backwards]])
    other = _pixels(pictures, names, np.array([0, *drawn.labels[backwards]]))
    rows = {TRAIN: np.arange(40), VALIDATION: np.arange(40, 48), CALIBRATION: np.arange(48, 56)}
    splits = {name: Split(name, part, len(part) // 2, (0, 0)) for name, part in rows.items()}
    pixels = _pixels(main, drawn.names, drawn.labels)
    renderings = {"plain": (pixels, np.arange(COUNT)), "other": (other, index)}
    return DevelopmentData(pixels, "plain", drawn.patients, splits, renderings, {}, "sha")


@pytest.fixture
def segmenter(data: DevelopmentData, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Picture n has lungs in its first n + 1 pixels; gives the pictures that were outlined, in order."""
    seen: list[int] = []

    def run(_: LungSegmenter, pictures: object) -> object:
        for picture in pictures:
            (row,) = np.flatnonzero((data.main.pixels == picture).all((1, 2)))
            seen.append(int(row))
            mask = (np.arange(64 * 64) <= row).reshape(64, 64)
            yield Lungs(mask, mask.astype(np.float32), View((1.0, 0.0, 0.0, 0.0), 0.0, 0.0))

    fake = LungSegmenter(lambda _: None, 64, 1, "fake")
    monkeypatch.setattr(LungSegmenter, "from_folder", lambda _: fake)
    monkeypatch.setattr(LungSegmenter, "outline", run)
    return seen


def test_each_rendering_has_the_outlines_in_its_own_order(data: DevelopmentData, segmenter: list[int]) -> None:
    guidance = guide(data, "lungs", None)
    assert segmenter == list(range(56))  # not the pictures that may become a test split
    areas = {name: (masks == 255).sum((1, 2)).tolist() for name, masks in guidance.outlines.items()}
    assert areas["plain"] == [*range(1, 57), *[0] * 8]
    assert areas["other"] == [0, *(row + 1 if row < 56 else 0 for row in range(63, -1, -3))]
    assert all(set(np.unique(masks)) == {0, 255} for masks in guidance.outlines.values())
    rows = data.rows(TRAIN)
    training = TrainingRows(
        [(pixels.pixels, index[rows]) for pixels, index in data.renderings.values()],
        data.main.labels[rows],
        list(guidance.outlines.values()),
    )
    pictures, lungs = training.draw(list(range(40)), generator_for(0, 0, [0]))
    inverted = [bool((picture.numpy() == 255 - data.main.pixels[row]).all()) for row, picture in enumerate(pictures)]
    assert 0 < sum(inverted) <= 14
    assert [int((mask == 255).sum()) for mask in lungs] == list(range(1, 41))


def test_outlines_by_people_replace_those_of_the_network(
    data: DevelopmentData, segmenter: list[int], tmp_path: Path
) -> None:
    left = np.zeros((32, 32), bool)
    left[:, :16] = True
    by_people = [data.main.names[row] for row in (0, 9, 41, 60)]
    guidance = guide(data, "lungs", str(write_outlines(tmp_path / "people", dict.fromkeys(by_people, left))))
    enlarged = np.zeros((64, 64), np.uint8)
    enlarged[:, :32] = 255
    other = data.renderings["other"][1]
    for masks in (guidance.outlines["plain"][[0, 9, 41]], guidance.outlines["other"][other[[0, 9]]]):
        np.testing.assert_array_equal(masks, np.broadcast_to(enlarged, masks.shape))
    assert (guidance.outlines["plain"][1] == 255).sum() == 2
    assert (guidance.record["by_people"], guidance.record["by_network"]) == (3, 53)


def test_no_lungs_found_leaves_nothing_to_penalise(data: DevelopmentData, segmenter: list[int], tmp_path: Path) -> None:
    folder = write_outlines(tmp_path / "people", {data.main.names[2]: np.zeros((8, 8), bool)})
    outlines = guide(data, "lungs", str(folder)).outlines["plain"]
    assert (outlines[2] == 255).all()
    assert (outlines[1] == 255).sum() == 2


def test_weights_have_mean_one_in_each_class(data: DevelopmentData, segmenter: list[int]) -> None:
    guidance, labels = guide(data, "lungs", None), data.main.labels[:56]
    for label in (0, 1):
        assert guidance.weights[:56][labels == label].mean() == pytest.approx(1)
    assert (guidance.weights[:56] > 0).all()
    assert not guidance.weights[56:].any()
    assert guidance.record["largest_weight"] == guidance.weights[:40].max()
    assert set(guidance.record["style_auc"]) == {TRAIN, VALIDATION}


def test_outlines_of_other_pictures_are_refused(data: DevelopmentData, segmenter: list[int], tmp_path: Path) -> None:
    folder = write_outlines(tmp_path / "people", {"elsewhere.png": np.ones((8, 8), bool)})
    with pytest.raises(DatasetError, match="no name there is the file name of a picture of plain"):
        guide(data, "lungs", str(folder))
    assert segmenter == []


def test_without_a_network_there_is_no_guidance(data: DevelopmentData) -> None:
    assert guide(data, None, None) is None


def test_items_of_validation_are_the_pictures_that_their_weights_are_of(data: DevelopmentData) -> None:
    unchanged = AugmentationArguments(
        rotation=0, shift=0, zoom=0, shear=0, flip=0, gamma=0, contrast=0, brightness=0, blur=0, noise=0, erasing=0,
        jpeg=0, downscale=0, mixup=0,
    )  # fmt: skip
    items, shown = validation_views(data, unchanged, seed=0)
    there = [row for row in range(40, 48) if row % 3 == 0]
    assert shown.tolist() == [*range(40, 48), *there, *range(40, 48)]
    assert len(items) == len(shown)
    for number, (row, (picture, label)) in enumerate(zip(shown, items, strict=True)):
        expected = data.main.pixels[row]
        np.testing.assert_array_equal(picture, 255 - expected if 8 <= number < 8 + len(there) else expected)
        assert label == data.main.labels[row]


def test_a_model_without_a_linear_head_or_a_map_is_refused(tiny_base: Path) -> None:
    base = load_base_model(str(tiny_base))
    check_penalty(base.model)
    with pytest.raises(ModelError, match="--evidence_weight needs a head of one linear layer: use --head plain"):
        check_penalty(with_head(base.model, "dense-64"))


def test_a_head_that_is_not_plain_ends_in_one_line_or_trains_without_the_penalty(
    tiny_base: Path, lungs_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """A limit on the pictures leaves enough patients; the other rendering is not limited."""
    plain = write_image_folder(tmp_path / "plain", {"train": 60})
    smooth = write_image_folder(tmp_path / "smooth", {"train": 60}, smooth=True)
    argv = ["--dataset", str(plain), "--renderings", str(smooth), "--base_model", str(tiny_base), "--head", "dense-64"]
    argv += ["--lungs", str(lungs_folder), "--output_dir", str(tmp_path / "run"), "--num_train_epochs", "1", *BRIEF]
    argv += ["--max_train_samples", "100", "--no_open_test"]
    assert train.main(argv) == 1
    error = capsys.readouterr().err
    assert "train.py: --evidence_weight needs a head of one linear layer: use --head plain, or weight 0.\n" in error
    assert "Traceback" not in error
    assert train.main([*argv, "--evidence_weight", "0"]) == 0
    assert (tmp_path / "run" / "metrics.json").is_file()
