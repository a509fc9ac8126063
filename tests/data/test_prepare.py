"""From options to decoded, split, joined development data."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from generated import chest, write_image_folder
from PIL import Image

from hf_model.data.arguments import DataArguments
from hf_model.data.loading import DatasetError, file_name, load_splits
from hf_model.data.prepare import CALIBRATION, TRAIN, VALIDATION, prepare
from hf_model.radiograph import Preprocessing

SMALL = Preprocessing(height=32, width=32)


def _prepare(folder: Path, tmp_path: Path, preprocessing: Preprocessing = SMALL, **options: object):
    return prepare(DataArguments(dataset=str(folder), cache_dir=str(tmp_path / "cache"), **options), preprocessing, 0)


def test_patients_do_not_cross_and_test_stays_closed(image_folder: Path, tmp_path: Path) -> None:
    data = _prepare(image_folder, tmp_path)
    people = [{data.patients[i] for i in data.rows(name)} for name in (TRAIN, VALIDATION, CALIBRATION)]
    assert people[0].isdisjoint(people[1] | people[2])
    assert people[1].isdisjoint(people[2])
    assert sum(len(data.rows(name)) for name in (TRAIN, VALIDATION, CALIBRATION)) == len(data.main) == 120
    assert data.counts == {"train": (60, 60), "test": (18, 18)}
    # nothing of the test split is decoded before it is asked for
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert len(data.test[data.main_name].decode()) == 36
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_pixels_are_what_serving_sees(image_folder: Path, tmp_path: Path) -> None:
    data = _prepare(image_folder, tmp_path)
    name = data.main.names[0]
    file = next(image_folder.rglob(name))
    expected = Image.open(file).resize((32, 32), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(data.main.pixels[0], np.asarray(expected))


def test_bad_pictures_are_skipped_and_counted(tmp_path: Path) -> None:
    folder = write_image_folder(tmp_path / "d", {"train": 12, "test": 4})
    (folder / "train" / "NORMAL" / "IM-9001-0001.png").write_bytes(b"not a picture")
    good = (folder / "train" / "NORMAL" / "IM-0000-0001.png").read_bytes()
    (folder / "train" / "PNEUMONIA" / "person9002_virus_1.png").write_bytes(good[: len(good) // 2])
    Image.new("L", (96, 96), 40).save(folder / "train" / "NORMAL" / "IM-9003-0001.png")
    Image.new("L", (96, 96), 40).save(folder / "test" / "NORMAL" / "IM-9004-0001.png")
    data = _prepare(folder, tmp_path)
    skipped = dict(data.main.skipped)
    assert sorted(skipped) == ["IM-9001-0001.png", "IM-9003-0001.png", "person9002_virus_1.png"]
    assert skipped["IM-9003-0001.png"].startswith("The picture is blank")
    assert len(data.main) == 36
    assert data.main.labels.sum() == 18
    test = data.test["d"].decode()
    assert [name for name, _ in test.skipped] == ["IM-9004-0001.png"]
    assert [name for name, _ in data.test["d"].contents(test)] == test.names
    rows = load_splits(str(folder))["train"]
    assert [file_name(rows[row]["image"], row) for row in data.main.rows.tolist()] == data.main.names


def test_renderings_join_by_file_name(image_folder: Path, tmp_path: Path) -> None:
    other = write_image_folder(tmp_path / "smooth", {"train": 40, "test": 12}, smooth=True)
    for extra in list((other / "train").rglob("*.png"))[::3]:
        extra.unlink()
    data = _prepare(image_folder, tmp_path, renderings=[str(other)])
    pixels, index = data.renderings["smooth"]
    assert (index >= 0).sum() == len(pixels) < len(data.main)
    for row in np.flatnonzero(index >= 0)[:5]:
        assert pixels.names[index[row]] == data.main.names[row]
    assert list(data.test) == [data.main_name, "smooth"]


def test_rendering_with_another_label_is_refused(image_folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(image_folder, other)
    wrong = next((other / "train" / "NORMAL").iterdir())
    wrong.rename(other / "train" / "PNEUMONIA" / wrong.name)
    with pytest.raises(DatasetError, match=f"{wrong.name} has another label"):
        _prepare(image_folder, tmp_path, renderings=[str(other)])


def test_rendering_of_other_pictures_is_refused(image_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "else" / "NORMAL"
    folder.mkdir(parents=True)
    (tmp_path / "else" / "PNEUMONIA").mkdir()
    for label, name in (("NORMAL", "a.png"), ("PNEUMONIA", "b.png")):
        Image.fromarray(chest(1)).save(tmp_path / "else" / label / name)
    with pytest.raises(DatasetError, match="no file name there"):
        _prepare(image_folder, tmp_path, renderings=[str(tmp_path / "else")])


def test_without_a_test_split_patients_are_held_out(tmp_path: Path) -> None:
    folder = write_image_folder(tmp_path / "d", {"": 40})
    # at 32 px some generated chests would count as nearly equal, and stay together
    data = _prepare(folder, tmp_path, Preprocessing(height=64, width=64), test_fraction=0.2)
    held_out = data.test["d"].decode()
    names = {data.main.names[i] for split in data.splits for i in data.rows(split)}
    assert names.isdisjoint(held_out.names)
    assert len(names) + len(held_out) == len(data.main) == 120
    people = {data.patients[i] for split in data.splits for i in data.rows(split)}
    assert people.isdisjoint(data.patients_in(held_out))
    assert len(set(data.patients_in(held_out))) == 16
    files = {path.name: path.read_bytes() for path in folder.rglob("*.png")}
    assert list(data.test["d"].contents(held_out)) == [(name, files[name]) for name in held_out.names]


def test_equal_pictures_stay_together_whatever_their_names(tmp_path: Path) -> None:
    folder = write_image_folder(tmp_path / "d", {"train": 20, "test": 4}, pictures=1)
    original = folder / "train" / "NORMAL" / "IM-0000-0001.png"
    for number in range(900, 906):
        shutil.copy(original, folder / "train" / "NORMAL" / f"IM-{number}-0001.png")
    data = _prepare(folder, tmp_path)
    copies = [i for i, n in enumerate(data.main.names) if n.startswith(("IM-0000", "IM-90"))]
    assert len(copies) == 7
    assert sum(set(copies) <= set(data.rows(split)) for split in data.splits) == 1


@pytest.mark.parametrize("split", ["", "train"], ids=["our test split", "theirs"])
def test_nearly_equal_pictures_stay_together(tmp_path: Path, split: str, caplog) -> None:
    folder = write_image_folder(tmp_path / "d", {split: 30} | ({"test": 4} if split else {}), pictures=1)
    original = Image.open(folder / split / "NORMAL" / "IM-0000-0001.png")
    for number in range(900, 908):
        copy = original.point(lambda grey, by=number: round(grey * (1 - (by - 899) / 50)))
        copy.save(folder / split / "NORMAL" / f"IM-{number}-0001.png")
    with caplog.at_level("INFO"):
        data = _prepare(folder, tmp_path, Preprocessing(height=64, width=64))
    held_out = data.test["d"].decode().names if not split else []
    parts = [held_out, *([data.main.names[i] for i in data.rows(name)] for name in data.splits)]
    copies = {"IM-0000-0001.png"} | {f"IM-{number}-0001.png" for number in range(900, 908)}
    assert [len(copies & set(part)) for part in parts].count(0) == len(parts) - 1
    assert "pairs of nearly equal pictures: each stays on one side of every split" in caplog.text


def test_patient_column_is_checked(image_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="--patient_column who"):
        _prepare(image_folder, tmp_path, patient_column="who")


def test_same_data_same_fingerprint(image_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(image_folder, copy)
    first, second = _prepare(image_folder, tmp_path), _prepare(copy, tmp_path)
    assert first.fingerprint == second.fingerprint
    changed = next((copy / "train" / "NORMAL").iterdir())
    Image.fromarray(chest(777)).save(changed)
    assert _prepare(copy, tmp_path).fingerprint != first.fingerprint
