"""python -m hf_model predict: rows, failures, exit codes."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
from generated import pictures
from PIL import Image
from tiny_checkpoint import SIDE

from hf_model import Classifier
from hf_model.commands.predict import find_files, main
from hf_model.inference.prediction import CSV_COLUMNS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures in two folders, a broken one, a text and a hidden file."""
    root = tmp_path / "pictures"
    (root / "inner").mkdir(parents=True)
    for name, picture in zip(("b.png", "inner/a.JPEG", "c.webp"), pictures(3, side=2 * SIDE), strict=True):
        Image.fromarray(picture).save(root / name)
    (root / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (root / "notes.txt").write_text("not a picture")
    (root / ".hidden.png").write_bytes(b"")
    return root


def test_a_folder_gives_its_pictures_in_order(folder: Path) -> None:
    names = [path.relative_to(folder).as_posix() for path in find_files([str(folder)])]
    assert names == ["b.png", "broken.png", "c.webp", "inner/a.JPEG"]
    assert find_files([str(folder / "notes.txt"), "absent"]) == [folder / "notes.txt", Path("absent")]


def test_a_file_comes_once_and_dicom_files_may_be_named_by_their_uid(folder: Path) -> None:
    uid = folder / "1.2.840.113619.2.55"
    uid.write_bytes(b"")
    named = [uid, folder / "b.png", folder / "broken.png", folder / "c.webp", folder / "inner" / "a.JPEG"]
    assert find_files([str(folder), str(folder / "b.png"), str(folder / "inner")]) == named


def test_links_are_followed_and_a_link_to_nothing_has_a_row(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    (folder / "b.png").rename(archive / "linked.png")
    (folder / "archive").symlink_to(archive)
    (archive / "back").symlink_to(folder)
    (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (folder / "round.png").symlink_to(folder / "round.png")
    os.mkfifo(folder / "pipe.png")
    names = [path.relative_to(folder).as_posix() for path in find_files([str(folder)])]
    assert names == ["archive/linked.png", "broken.png", "c.webp", "gone.png", "inner/a.JPEG", "round.png"]


def test_a_link_to_nothing_fails_by_name(folder: Path, exported_folder: Path, tmp_path: Path, capsys) -> None:
    (folder / "inner" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert main([str(folder / "inner"), "--checkpoint", str(exported_folder)]) == 0
    captured = capsys.readouterr()
    assert [line.split(",")[0].rsplit("/", 1)[-1] for line in captured.out.splitlines()[1:]] == ["a.JPEG", "gone.png"]
    assert "1 of 2 files could not be read; their rows say why." in captured.err


def test_a_folder_that_cannot_be_read_is_named_in_one_line(folder: Path, capsys, monkeypatch) -> None:
    real = os.scandir

    def scandir(path):  # root, who runs tests too, may read every folder
        if Path(path).name == "inner":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert main([str(folder)]) == 2
    assert capsys.readouterr().err == (
        f"predict: the folder {folder / 'inner'} cannot be read (Permission denied); make it readable, or name the "
        "others\n"
    )


def test_a_picture_is_not_written_over(folder: Path, capsys: pytest.CaptureFixture) -> None:
    picture = folder / "b.png"
    before = picture.read_bytes()
    assert main([str(folder), "--output", str(picture)]) == 2
    assert "is one of the pictures" in capsys.readouterr().err
    assert picture.read_bytes() == before


def test_csv_has_a_row_for_every_file(folder: Path, exported_folder: Path, tmp_path: Path, capsys) -> None:
    output = tmp_path / "results.csv"
    command = [str(folder), "--output", str(output), "--checkpoint", str(exported_folder), "--threshold", "0.4"]
    assert main([*command, "--override"]) == 0
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [Path(row["name"]).name for row in rows] == ["b.png", "broken.png", "c.webp", "a.JPEG"]
    assert rows[1]["error"] == "damaged"
    assert rows[1]["reason"]
    assert rows[1]["probability"] == ""
    alone = Classifier.from_pretrained(exported_folder, cache="").predict(folder / "c.webp", threshold=0.4)
    assert float(rows[2]["probability"]) == pytest.approx(alone.probability, abs=1e-6)
    assert rows[2]["decision"] == alone.decision
    assert rows[2]["threshold"] == "0.4"
    assert rows[2]["model_hash"] == alone.model_hash
    assert rows[2]["needs_confirmation"] == "false"
    assert "1 of 4 files could not be read" in capsys.readouterr().err

    # These drawn squares are no chests: without --override there is no answer to be mistaken for one.
    assert main(command) == 0
    with output.open(newline="") as file:
        withheld = list(csv.DictReader(file))[2]
    answer = ("probability", "decision", "answer", "logit_normal", "logit_pneumonia")
    assert [withheld[column] for column in answer] == [""] * 5
    assert (withheld["needs_confirmation"], withheld["refused"]) == ("true", "false")
    assert withheld["findings"] == rows[2]["findings"]
    assert "3 of 4 pictures were flagged by the input checks and have no answer" in capsys.readouterr().err


def test_json_is_an_array_of_the_schema(folder: Path, exported_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    command = [str(folder), "--output", str(output), "--checkpoint", str(exported_folder), "--batch_size", "3"]
    assert main([*command, "--heat_map", "--override"]) == 0
    content = json.loads(output.read_text())
    assert [("error" in entry) for entry in content] == [False, True, False, False]
    assert content[0]["heat_map"].startswith("iVBOR")
    assert content[1]["error"]["code"] == "damaged"
    assert main(command) == 0
    assert "heat_map" not in json.loads(output.read_text())[0]


def test_standard_output_is_the_default(folder: Path, exported_folder: Path, capsys) -> None:
    assert main([str(folder / "b.png"), "--checkpoint", str(exported_folder), "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == ",".join(CSV_COLUMNS)
    assert len(lines) == 2


def test_exit_code_1_if_nothing_could_be_read(folder: Path, exported_folder: Path, capsys) -> None:
    assert main([str(folder / "broken.png"), str(folder / "notes.txt"), "--checkpoint", str(exported_folder)]) == 1
    assert "2 of 2 files could not be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--threshold", "2"], "threshold is 2.0; give a probability from 0 to 1"),
        (["--batch_size", "0"], "batch_size is 0; give at least 1"),
        (["--checkpoint", "./absent"], "There is no folder ./absent"),
        (["--output", "absent/results.csv"], "there is no folder absent for --output"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(folder, exported_folder, capsys, extra, message) -> None:
    given = extra if "--checkpoint" in extra else [*extra, "--checkpoint", str(exported_folder)]
    assert main([str(folder), *given]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("predict: ")
    assert message in error
    assert len(error.splitlines()) == 1


def test_an_empty_folder_is_a_mistake(tmp_path: Path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty")]) == 2
    assert "there are no pictures in the folder" in capsys.readouterr().err
