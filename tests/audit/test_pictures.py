"""Rows of a data set: which of them were decoded, how each is named, what its header says, which patient it shows."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from audit_folders import film, png, write_dicom, write_nested, write_table
from PIL import Image

from hf_model.audit import figures, integrity, measures, shortcuts
from hf_model.audit.measures import count
from hf_model.audit.pictures import FileInfo, Pictures, check_decoded, gather, read_file_info, row_names
from hf_model.data.loading import DatasetError, load_splits
from hf_model.data.patients import anonymous_keys
from hf_model.data.pixels import Pixels
from hf_model.radiograph import Preprocessing


def read_table(folder: Path, tmp_path: Path, column: str | None = "who", pattern: str | None = None) -> Pictures:
    published = load_splits(str(folder), cache_dir=str(tmp_path / "hf"))
    return gather(
        "table",
        published,
        Preprocessing(height=96, width=96),
        cache_dir=tmp_path / "cache",
        patient_column=column,
        patient_pattern=pattern,
    )


def test_one_broken_row_among_equal_names_moves_no_other(tmp_path, read):
    folder = write_nested(tmp_path / "data", patients=3)
    (folder / "NORMAL/p1/0.png").write_bytes(b"broken")
    pictures = read(folder)
    assert pictures.kept.tolist() == list(range(1, 12))
    assert pictures.skipped.tolist() == [0]
    assert pictures.where(0) == "train/NORMAL/p1/0.png"
    for position, row in enumerate(pictures.kept.tolist()):
        file = folder / pictures.where(row).removeprefix("train/")
        assert np.array_equal(pictures.pixels[position], np.asarray(Image.open(file)))
        assert pictures.labels[row] == (file.parent.parent.name == "PNEUMONIA")
    problems = [p for p in integrity.inspect(pictures) if p.kind == "unreadable"]
    assert [p.where for p in problems] == ["train/NORMAL/p1/0.png"]


def test_pixels_of_another_data_set_are_refused():
    none = np.empty((0, 2, 2), np.uint8)
    found = Pixels(none, [], np.empty(0), [], skipped=[("a", "broken")], rows=np.array([0, 2]))
    check_decoded(3, found)
    with pytest.raises(DatasetError, match="of 3 pictures and the data set has 4: clear the cache"):
        check_decoded(4, found)


@pytest.mark.parametrize(
    ("names", "paths", "expected"),
    [
        (["a", "b"], ["/d/NORMAL/a", "/d/NORMAL/b"], ["a", "b"]),
        (
            ["0", "0", "1"],
            ["/d/NORMAL/p/0", "/d/PNEUMONIA/p/0", "/d/NORMAL/p/1"],
            ["NORMAL/p/0", "PNEUMONIA/p/0", "NORMAL/p/1"],
        ),
        (["0", "0"], ["/d/NORMAL/p/0", "/d/NORMAL/q/0"], ["NORMAL/p/0", "NORMAL/q/0"]),
        (["0", "0"], ["C:\\d\\p\\0", "C:\\d\\q\\0"], ["p/0", "q/0"]),
        (["0", "row-1", "0"], ["0", None, "0"], ["0 (row 0)", "row-1", "0 (row 2)"]),
    ],
    ids=["names", "classes", "one class", "Windows", "no folders"],
)
def test_rows_are_named_so_that_each_is_found(names, paths, expected):
    assert row_names(np.array(["train"] * len(names)), names, paths) == expected


def test_equal_names_in_two_splits_need_no_folders():
    assert row_names(np.array(["train", "test"]), ["a", "a"], ["/d/train/NORMAL/a", "/d/test/NORMAL/a"]) == ["a", "a"]


def test_a_broken_file_with_an_odd_name_switches_no_patient_off(folder, read):
    (folder / "train/NORMAL/scan.bmp").write_bytes(b"broken")
    pictures = read(folder)
    row = pictures.names.index("scan.bmp")
    assert pictures.patients[row] is None
    assert pictures.patients.count(None) == 1
    assert pictures.kermany_names
    assert next(e for e in count(pictures) if (e["split"], e["class"]) == ("train", "NORMAL"))["patients"] == 24
    Image.fromarray(film(9, pneumonia=False)).save(folder / "train/NORMAL/scan.bmp")
    assert read(folder).patients is None  # a picture that training learns from, of unknown patient


def test_pictures_without_a_patient_are_no_group(folder, read):
    for number in (1, 2):
        Image.fromarray(film(500 + number, pneumonia=False)).save(folder / f"test/NORMAL/scan{number}.bmp")
    pictures = read(folder)
    first, second = (pictures.kept.tolist().index(pictures.names.index(f"scan{number}.bmp")) for number in (1, 2))
    assert pictures.groups[first] != pictures.groups[second]


def table_rows(people: list[str]):
    return [(png(film(n, pneumonia=bool(n % 2))), f"{n}.png", n % 2, who) for n, who in enumerate(people)]


def test_numbers_of_a_patient_column_are_hashed_over_both_splits(tmp_path):
    write_table(tmp_path / "t", "train", table_rows(["12345", "12345", "777"]))
    write_table(tmp_path / "t", "test", table_rows(["12345", "", "888"])[::-1])
    pictures = read_table(tmp_path / "t", tmp_path)
    numbers = ["12345", "12345", "777", "888", "", "12345"]
    assert pictures.patients == [key or None for key in anonymous_keys(numbers)]
    assert pictures.patients[0] == pictures.patients[1] == pictures.patients[5] != pictures.patients[2]
    assert pictures.patients[4] is None
    assert not pictures.kermany_names


def test_numbers_that_a_pattern_finds_are_hashed_too(folder, tmp_path):
    pattern = r"^(?:person|IM-)(\d+)"
    pictures = read_table(folder, tmp_path, None, pattern)
    assert pictures.patients == anonymous_keys([re.match(pattern, name)[1] for name in pictures.names])
    assert not pictures.kermany_names


def test_an_empty_patient_column_is_refused_as_training_does(tmp_path):
    write_table(tmp_path / "t", "train", table_rows(["1", "", "2"]))
    with pytest.raises(DatasetError, match="--patient_column who: empty in 1 rows"):
        read_table(tmp_path / "t", tmp_path)


def test_a_patient_column_that_is_not_there_is_refused(tmp_path):
    write_table(tmp_path / "t", "train", table_rows(["1", "2"]))
    with pytest.raises(DatasetError, match="--patient_column whose: the data set has who"):
        read_table(tmp_path / "t", tmp_path, "whose")


@pytest.fixture
def dicoms(tmp_path: Path) -> Path:
    """34 patients of each class, normal ones in larger files."""
    for number in range(34):
        tall = np.pad(film(number, pneumonia=False), ((0, 24), (0, 0)), "edge")
        write_dicom(tmp_path / f"d/NORMAL/n{number:02}.dcm", tall, f"N{number}")
        write_dicom(tmp_path / f"d/PNEUMONIA/s{number:02}.dcm", film(900 + number, pneumonia=True), f"S{number}")
    return tmp_path / "d"


def test_dicom_headers_give_size_and_mode(dicoms, read):
    pictures = read(dicoms)
    assert {(h.format, h.mode, h.width, h.height) for h in pictures.files} == {
        ("DICOM", "MONOCHROME2 8", 96, 120),
        ("DICOM", "MONOCHROME2 8", 96, 96),
    }
    normal = count(pictures)[0]
    assert (normal["height"]["median"], normal["modes"]) == (120, {"DICOM MONOCHROME2 8": 34})
    assert {p.kind for p in integrity.inspect(pictures)} <= {"unusual"}  # a DICOM's mode is not odd
    shown = figures.sizes_charts(pictures)["longer_side"].axes[0]
    assert len(shown.patches) > 0
    probes = {p["key"]: p["auc"]["value"] for p in shortcuts.run_probes(pictures, measures.measure(pictures))}
    assert probes["metadata"] == 1.0


def test_a_header_that_is_cut_short_is_none(dicoms):
    data = (dicoms / "NORMAL/n00.dcm").read_bytes()
    for broken in (data[:140], data[:128] + b"DICM", b"no picture"):
        info = read_file_info({"bytes": broken, "path": "a.dcm"})
        assert (info.size, info.format, info.width) == (len(broken), None, None)
    assert read_file_info(None) == FileInfo(0, "")


def test_a_test_split_without_the_column_is_refused(tmp_path):
    for split in ("train", "test"):
        write_table(tmp_path / "t", split, table_rows(["1", "2"]))
    published = load_splits(str(tmp_path / "t"), cache_dir=str(tmp_path / "hf"))
    published["test"] = published["test"].remove_columns("who")
    with pytest.raises(DatasetError, match="--patient_column who: the test split has image, label"):
        gather("table", published, Preprocessing(height=96, width=96), cache_dir=tmp_path, patient_column="who")
