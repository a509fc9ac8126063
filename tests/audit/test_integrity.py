"""Every kind of bad row is found by name, the run goes on past it, and clean rows are left alone."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from hf_model.audit import integrity


def kinds(problems) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for problem in problems:
        if problem.kind != "unusual":  # generated chests need not look like chests to the upload checks
            out.setdefault(problem.kind, []).append(problem.where)
    return out


def test_clean_rows_raise_nothing(clean_folder, read):
    pictures = read(clean_folder)
    assert kinds(integrity.inspect(pictures)) == {}
    assert len(pictures) == 144
    assert pictures.kept.tolist() == list(range(144))


def test_each_planted_fault_is_named_and_the_rest_is_read(folder, read):
    normal = folder / "train" / "NORMAL"
    victims = sorted(p.name for p in normal.iterdir())[:6]
    (normal / victims[0]).write_bytes(b"this is no picture at all")
    picture = Image.open(normal / victims[1])
    jpeg = normal / "IM-9001-0001.jpeg"
    picture.save(jpeg, "JPEG")
    jpeg.write_bytes(jpeg.read_bytes()[: jpeg.stat().st_size // 2])
    Image.fromarray(np.full((96, 96), 17, np.uint8)).save(normal / victims[2])
    picture.resize((40, 30)).save(normal / victims[3])
    red = np.stack([np.asarray(picture), np.zeros((96, 96), np.uint8), np.zeros((96, 96), np.uint8)], axis=2)
    Image.fromarray(red).save(normal / victims[4])
    picture.convert("RGBA").save(normal / "IM-9002-0001.png")

    pictures = read(folder)
    problems = integrity.inspect(pictures)
    assert kinds(problems) == {
        "unreadable": [f"train/{victims[0]}"],
        "truncated": ["train/IM-9001-0001.jpeg"],
        "blank": [f"train/{victims[2]}"],
        "tiny": [f"train/{victims[3]}"],
        "colour": [f"train/{victims[4]}"],
        "odd-mode": ["train/IM-9002-0001.png"],
    }
    summary = integrity.summarise(problems, pictures)
    # no picture, cut short, blank and too small: 146 rows, 142 of them usable by training
    assert summary["skipped_by_training"] == 4
    assert (summary["rows"], len(pictures.kept), len(pictures.pixels)) == (146, 142, 142)


def test_a_row_with_two_flags_counts_once(clean_folder, read):
    def flag(row: int, code: str) -> integrity.Problem:
        return integrity.Problem(row, f"train/{row}", "unusual", "odd", code)

    problems = [flag(0, "turned"), flag(0, "faint"), flag(1, "faint")]
    summary = integrity.summarise(problems, read(clean_folder))
    assert (summary["kinds"], summary["codes"]) == ({"unusual": 2}, {"turned": 1, "faint": 2})


def test_a_file_that_is_gone_is_a_row_and_no_crash(folder, read):
    pictures = read(folder)
    gone = next((folder / "train" / "NORMAL").iterdir())
    gone.unlink()
    assert kinds(integrity.inspect(pictures)) == {"unreadable": [f"train/{gone.name}"]}


@pytest.mark.parametrize(
    ("data", "kind", "expected"),
    [
        (b"\xff\xd8 cut", "JPEG", "truncated"),
        (b"\xff\xd8 whole \xff\xd9", "JPEG", "unreadable"),
        (b"\x89PNG cut", "PNG", "truncated"),
        (b"\x89PNG....IEND\xae\x42\x60\x82", "PNG", "unreadable"),
    ],
)
def test_truncation_is_told_by_the_end_marker(data, kind, expected):
    assert integrity._refusal_kind("damaged", data, kind) == expected
