"""What ``evaluate`` and ``recalibrate`` must not count or write: other pictures, blank ones, patients' numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from generated import write_image_folder
from PIL import Image

from hf_model.commands import evaluate as evaluate_cli
from hf_model.commands import recalibrate as recalibrate_cli
from hf_model.data.loading import DatasetError
from hf_model.data.patients import anonymous_keys
from hf_model.evaluation import figures
from hf_model.evaluation.labelled_dataset import LabelledDataset
from hf_model.metrics.decision import Decision
from hf_model.metrics.scores import Scores

NUMBER = 4711000
"""First of the made-up hospital numbers."""


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "evaluation_figures", lambda *_: {})


def evaluate(checkpoint: Path, dataset: Path, output: Path, *words: object) -> int:
    plain = ["--engine", "torch", "--no_perturbations", "--max_errors", "0"]
    named = ["--checkpoint", checkpoint, "--dataset", dataset, "--output", output]
    return evaluate_cli.main([*plain, *map(str, named), *map(str, words)])


def recalibrate(checkpoint: Path, dataset: Path, output: Path, *words: object) -> int:
    named = ["--checkpoint", checkpoint, "--dataset", dataset, "--output", output]
    return recalibrate_cli.main(["--engine", "torch", *map(str, named), *map(str, words)])


@pytest.fixture
def mydata(tmp_path: Path) -> Path:
    """Eight patients a class without a test split, 24 pictures, and a smoother rendering."""
    write_image_folder(tmp_path / "mydata-smooth", {"train": 8}, first=300, smooth=True)
    return write_image_folder(tmp_path / "mydata", {"train": 8}, first=300)


def hold_out(checkpoint: Path, names: list[str]) -> None:
    """Make the names the checkpoint's test split, as train.py does where the data set has none."""
    scores = Scores(np.zeros((len(names), 2)), [0] * len(names), names, [""] * len(names))
    scores.to_csv(checkpoint / "scores" / "test-mydata.csv")


def test_of_a_data_set_without_a_test_split_only_what_was_held_out_is_scored(checkpoint, mydata, tmp_path, capsys):
    names = LabelledDataset.open(str(mydata)).names
    held = [*names[:5], *names[-4:]]
    hold_out(checkpoint, held)
    words = ("--renderings", mydata.with_name("mydata-smooth"))
    assert evaluate(checkpoint, mydata, tmp_path / "out", *words) == 0
    content = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (content["role"], content["record"]["n"], content["test_opening"]["count"]) == ("test", 9, 1)
    assert Scores.from_csv(tmp_path / "out" / "scores.csv").names == held
    assert content["renderings"]["mydata-smooth"]["n"] == 9
    assert content["not_test_pictures"] == names[5:-4]
    assert f"not among the checkpoint's test pictures: 15 ({', '.join(names[5:8])}, ...)" in capsys.readouterr().out
    page = (tmp_path / "out" / "report.html").read_text()
    assert "15 further pictures were left out, because they are not among the test pictures whose scores" in page
    assert "<dt>Left out, not among the test pictures whose scores the checkpoint holds</dt><dd>15: " in page


def test_a_second_checkpoints_test_split_is_not_mixed_with_others_either(checkpoint, mydata, tmp_path):
    other = Path(shutil.copytree(checkpoint, tmp_path / "twin"))
    names = LabelledDataset.open(str(mydata)).names
    held = [*names[:5], *names[-4:]]
    hold_out(other, held)
    assert evaluate(checkpoint, mydata, tmp_path / "out", "--against", other) == 0
    content = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (content["role"], content["record"]["n"], content["comparison"]["n"]) == ("external", 9, 9)
    assert json.loads((other / "metrics.json").read_text())["test_openings"][0]["renderings"] == ["mydata"]


def test_training_pictures_under_another_name_are_no_external_validation(checkpoint, pictures, tmp_path, capsys):
    renamed = Path(shutil.copytree(pictures / "set", tmp_path / "chest_xray"))
    shutil.rmtree(renamed / "test")
    assert evaluate(checkpoint, renamed, tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["role"] == "development"
    assert "so every figure here is optimistic" in (tmp_path / "out" / "report.html").read_text()
    assert recalibrate(checkpoint, renamed, tmp_path / "new") == 2
    assert "was trained on or calibrated with, by its name or by file names" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_several_splits_without_stored_scores_are_refused_before_the_opening(checkpoint, pictures, tmp_path, capsys):
    assert evaluate(checkpoint, pictures / "set", tmp_path / "out", "--split", "all") == 2
    assert "nothing tells which of them are its test pictures" in capsys.readouterr().err
    assert "test_openings" not in json.loads((checkpoint / "metrics.json").read_text())


def test_a_blank_picture_is_listed_and_in_no_figure(checkpoint, mydata, tmp_path, capsys):
    Image.new("L", (64, 64), 0).save(mydata / "train" / "PNEUMONIA" / "blank_film.png")
    (mydata / "train" / "NORMAL" / "broken_film.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    assert evaluate(checkpoint, mydata, tmp_path / "out") == 0
    content = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (content["record"]["n"], content["record"]["pneumonia"]) == (24, 12)
    assert content["refused_by_input_checks"] == ["blank_film.png"]
    assert not {"blank_film.png", "broken_film.png"} & set(Scores.from_csv(tmp_path / "out" / "scores.csv").names)
    shown = capsys.readouterr().out
    assert "Left out, unreadable: 1 (broken_film.png)\n" in shown
    assert "Left out, refused by the input checks (blank): 1 (blank_film.png)\n" in shown
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<dd>1: blank_film.png (left out of every figure)</dd>" in page


def test_only_blank_pictures_are_a_mistake(checkpoint, tmp_path, capsys):
    for kind in ("NORMAL", "PNEUMONIA"):
        (tmp_path / "set" / kind).mkdir(parents=True)
        Image.new("L", (64, 64), 9).save(tmp_path / "set" / kind / f"{kind}.png")
    assert evaluate(checkpoint, tmp_path / "set", tmp_path / "out", "--split", "train") == 2
    assert "none of 2 pictures could be used; all are blank" in capsys.readouterr().err


def test_recalibration_counts_no_blank_picture_and_writes_no_number_of_a_patient(checkpoint, tmp_path, capsys):
    local = write_image_folder(tmp_path / "local", {"train": 60}, first=2000)
    blank = local / "train" / "PNEUMONIA" / "blank_film.png"
    Image.new("L", (64, 64), 0).save(blank)
    files = sorted(local.rglob("*.png"))
    numbers = {
        file: NUMBER + int(file.stem.split("_")[0].split("-")[1 if file.stem[0] == "I" else 0].strip("person"))
        for file in files
        if file != blank
    }
    lines = [f"{file.relative_to(local / 'train')},{numbers.get(file, NUMBER)}" for file in files]
    (local / "train" / "metadata.csv").write_text("\n".join(["file_name,mrn", *lines]))
    assert recalibrate(checkpoint, local, tmp_path / "new", "--patient_column", "mrn") == 0
    assert "Left out, refused by the input checks (blank): 1 (blank_film.png)\n" in capsys.readouterr().out
    written = Scores.from_csv(tmp_path / "new" / "scores" / "calibration.csv")
    assert sorted(written.names) == sorted(file.name for file in numbers)
    assert (written.patient_count, all(key.startswith("patient-") for key in written.patients)) == (60, True)
    assert "47110" not in (tmp_path / "new" / "scores" / "calibration.csv").read_text()
    facts = json.loads((tmp_path / "new" / "metrics.json").read_text())["recalibration"]
    assert (facts["refused"], facts["unreadable"], facts["patients_known"]) == (1, 0, True)
    assert Decision.load(tmp_path / "new").prevalence == pytest.approx(0.5)


def test_numbers_of_a_column_or_pattern_are_hashed_and_known_file_names_stay(mydata):
    files = sorted((mydata / "train").rglob("*.png"))
    raw = [str(NUMBER + row // 2) if row else "" for row in range(len(files))]
    lines = [f"{file.relative_to(mydata / 'train')},{number}" for file, number in zip(files, raw, strict=True)]
    (mydata / "train" / "metadata.csv").write_text("\n".join(["file_name,mrn", *lines]))
    names = LabelledDataset.open(str(mydata)).names
    assert LabelledDataset.open(str(mydata)).patients[0] == names[0].rsplit("-", 1)[0].lower()
    assert LabelledDataset.open(str(mydata), patient_column="mrn").patients == anonymous_keys(raw)
    pattern = r"person(\d+)_"
    found = LabelledDataset.open(str(mydata), patient_pattern=pattern).patients
    assert found == anonymous_keys([name.split("_")[0][6:] if name.startswith("person") else "" for name in names])
    with pytest.raises(DatasetError, match=r"'ward\(.\)' finds nothing in 24 file names, for example IM-0300"):
        LabelledDataset.open(str(mydata), patient_pattern="ward(.)")


def test_a_report_names_no_patient_by_number(checkpoint, mydata, tmp_path):
    files = sorted((mydata / "train").rglob("*.png"))
    lines = [f"{file.relative_to(mydata / 'train')},{NUMBER + row // 2}" for row, file in enumerate(files)]
    (mydata / "train" / "metadata.csv").write_text("\n".join(["file_name,mrn", *lines]))
    assert evaluate(checkpoint, mydata, tmp_path / "out", "--patient_column", "mrn") == 0
    content = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert content["record"]["patients"] == 12
    assert content["errors"]
    for file in ("metrics.json", "scores.csv", "report.html"):
        assert "47110" not in (tmp_path / "out" / file).read_text()
