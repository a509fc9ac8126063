"""Data sets of every shape that a user brings, and the refusals."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from generated import chest, write_image_folder
from PIL import Image as Pillow

from hf_model.data.loading import DatasetError, file_name, load_splits, read_bytes


def _png(seed: int) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(chest(seed)).save(buffer, "PNG")
    return buffer.getvalue()


def _parquet(folder: Path, label: object, values: list, *, image: str = "image", key: str = "label") -> Path:
    (folder / "data").mkdir(parents=True)
    rows = [{"bytes": _png(i), "path": f"IM-{i:04d}-0001.png"} for i in range(len(values))]
    features = Features({image: Image(decode=False), key: label})
    Dataset.from_dict({image: rows, key: values}, features=features).to_parquet(folder / "data" / "train-0.parquet")
    return folder


def test_image_folder_with_splits(image_folder: Path) -> None:
    splits = load_splits(str(image_folder))
    assert set(splits) == {"train", "test"}
    assert splits["train"].features["label"].names == ["NORMAL", "PNEUMONIA"]
    row = splits["train"][0]
    assert row["label"] == 0
    assert file_name(row["image"], 0).startswith("IM-")
    assert Pillow.open(io.BytesIO(read_bytes(row["image"]))).size == (64, 64)


def test_image_folder_without_splits(tmp_path: Path) -> None:
    write_image_folder(tmp_path, {"": 4})
    splits = load_splits(str(tmp_path))
    assert list(splits) == ["train"]
    assert splits["train"]["label"].count(1) == splits["train"]["label"].count(0) == 6


def test_parquet_folder_keeps_names_and_bytes(tmp_path: Path) -> None:
    folder = _parquet(tmp_path / "p", ClassLabel(names=["NORMAL", "PNEUMONIA"]), [0, 1, 1])
    rows = load_splits(str(folder))["train"]
    assert rows["label"] == [0, 1, 1]
    assert file_name(rows[1]["image"], 1) == "IM-0001-0001.png"
    assert read_bytes(rows[1]["image"]) == _png(1)


@pytest.mark.parametrize(
    ("label", "values"),
    [(ClassLabel(names=["pneumonia", "normal"]), [1, 0, 0]), (Value("string"), ["Normal", "Pneumonia", "Pneumonia"])],
)
def test_labels_by_name_in_any_order_and_case(tmp_path: Path, label: object, values: list) -> None:
    rows = load_splits(str(_parquet(tmp_path / "p", label, values)))["train"]
    assert rows["label"] == [0, 1, 1]


@pytest.mark.parametrize(
    ("label", "values"),
    [
        (Value("int64"), [0, 1, 1]),
        (Value("float32"), [0.0, 1.0, 1.0]),
        (Value("string"), ["0", "1", "1"]),
        (ClassLabel(names=["0", "1"]), [0, 1, 1]),
        (ClassLabel(names=["1", "0"]), [1, 0, 0]),
    ],
)
def test_numbers_without_names(tmp_path: Path, caplog, label: object, values: list) -> None:
    rows = load_splits(str(_parquet(tmp_path / "p", label, values)))["train"]
    assert rows["label"] == [0, 1, 1]
    assert rows.features["label"].names == ["NORMAL", "PNEUMONIA"]
    assert "0 is taken for NORMAL and 1 for PNEUMONIA" in caplog.text


def test_numbers_that_may_mean_the_opposite_are_refused(tmp_path: Path) -> None:
    folder = _parquet(tmp_path / "p", Value("int64"), [0, 1], key="Normal")
    with pytest.raises(DatasetError, match="1 would mean normal"):
        load_splits(str(folder), label_column="Normal")
    other = _parquet(tmp_path / "q", Value("int64"), [0, 1, 2])
    with pytest.raises(DatasetError, match="classes are 0, 1, 2"):
        load_splits(str(other))


def test_columns_of_other_names(tmp_path: Path) -> None:
    folder = _parquet(tmp_path / "p", Value("string"), ["NORMAL", "PNEUMONIA"], image="xray", key="finding")
    with pytest.raises(DatasetError, match="--label_column"):
        load_splits(str(folder))
    assert load_splits(str(folder), label_column="finding")["train"]["label"] == [0, 1]
    with pytest.raises(DatasetError, match="no column 'x'; it has xray, finding"):
        load_splits(str(folder), label_column="x")


@pytest.mark.parametrize("names", [["NORMAL", "PNEUMONIA", "COVID"], ["cat", "dog"]])
def test_other_classes_are_refused_by_name(tmp_path: Path, names: list[str]) -> None:
    folder = _parquet(tmp_path / "p", ClassLabel(names=names), list(range(len(names))))
    with pytest.raises(DatasetError, match=f"classes are {', '.join(names)}"):
        load_splits(str(folder))


def test_one_class_under_two_spellings_is_one(tmp_path: Path) -> None:
    folder = _parquet(tmp_path / "p", Value("string"), ["NORMAL", "normal", "Pneumonia"])
    assert load_splits(str(folder))["train"]["label"] == [0, 0, 1]


def test_a_row_without_a_picture_is_told_when_it_is_read(tmp_path: Path) -> None:
    features = Features({"image": Image(decode=False), "label": ClassLabel(names=["NORMAL", "PNEUMONIA"])})
    rows = {"image": [{"bytes": _png(0), "path": "a.png"}, None], "label": [0, 1]}
    (tmp_path / "p").mkdir()
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "p" / "train.parquet")
    image = load_splits(str(tmp_path / "p"))["train"][1]["image"]
    assert file_name(image, 1) == "row-1"
    with pytest.raises(OSError, match="the row holds no picture"):
        read_bytes(image)


def test_two_folders_that_mean_one_split_are_refused(tmp_path: Path) -> None:
    write_image_folder(tmp_path, {"train": 2, "val": 1, "validation": 1})
    with pytest.raises(DatasetError, match="two of its splits mean validation; validation is one"):
        load_splits(str(tmp_path))


def test_zipped_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chest_xray.zip").write_bytes(b"PK")
    with pytest.raises(DatasetError, match=r"chest_xray\.zip.*unpack"):
        load_splits(str(tmp_path))


def test_empty_folder_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is empty"):
        load_splits(str(tmp_path))
    with pytest.raises(DatasetError, match="no such folder"):
        load_splits(str(tmp_path / "nothing"))


def test_folder_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "notes.docx").write_bytes(b"x")
    with pytest.raises(DatasetError, match="no pictures that can be read"):
        load_splits(str(tmp_path))


def test_kaggle_split_names_become_ours(tmp_path: Path) -> None:
    write_image_folder(tmp_path, {"train": 3, "val": 2, "test": 2})
    assert isinstance(load_splits(str(tmp_path)), DatasetDict)
    assert set(load_splits(str(tmp_path))) == {"train", "validation", "test"}
