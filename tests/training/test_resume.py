"""Interrupted, resumed and refused runs; the test split is opened once whatever happens."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from datasets import Dataset, Features, Value
from datasets import Image as ImageColumn
from generated import chest
from PIL import Image
from safetensors.torch import load_file
from training_runs import BRIEF, run

import train
from hf_model.evaluation import test_split
from hf_model.metrics.scores import Scores
from hf_model.training import test_evaluation


def test_resumed_equals_uninterrupted(trained: Path, renderings, tiny_base: Path, tmp_path: Path) -> None:
    # the state after the first epoch, as a killed run leaves it, and a half-written one after it
    out = tmp_path / "killed"
    shutil.copytree(trained / "stages" / "head", out / "stages" / "head")
    shutil.copy(trained / "stages" / "identity.json", out / "stages")
    states = sorted((trained / "stages" / "fine_tuning").glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
    shutil.copytree(states[0], out / "stages" / "fine_tuning" / states[0].name)
    broken = out / "stages" / "fine_tuning" / "checkpoint-9999"
    broken.mkdir()
    (broken / "model.safetensors").write_bytes(b"half")
    run(renderings, tiny_base, out, "--resume")
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["stages"][1]["resumed_from"] == [int(states[0].name.split("-")[1])]
    assert not broken.exists()
    expected, found = load_file(trained / "model.safetensors"), load_file(out / "model.safetensors")
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_a_resumed_run_does_not_open_the_test_split_again(
    trained: Path, renderings, tiny_base, tmp_path, monkeypatch
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(trained, out)
    before = json.loads((out / "metrics.json").read_text())
    pages = [out / "report" / "index.html", out / "evaluation.html"]
    thumbnails = pages[0].read_text().count("image/jpeg")
    for page in pages:
        page.unlink()
    monkeypatch.setattr(test_evaluation, "_predict_as_uploads", None)  # whatever opens the split fails here
    monkeypatch.setattr(test_split, "open_test", None)
    run(renderings, tiny_base, out, "--resume")
    after = json.loads((out / "metrics.json").read_text())
    assert after["test_openings"] == before["test_openings"]
    for key in ("test", "renderings", "engines", "gate"):
        assert after[key] == before[key]
    assert pages[0].read_text().count("image/jpeg") == thumbnails > 0
    assert pages[1].exists()


def test_without_what_the_opening_kept_the_report_has_the_stored_logits(
    trained: Path, renderings, tiny_base, tmp_path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(trained, out)
    shutil.rmtree(out / "report")
    before = json.loads((out / "metrics.json").read_text())
    run(renderings, tiny_base, out, "--resume")
    after = json.loads((out / "metrics.json").read_text())
    assert (after["test"], after["test_openings"]) == (before["test"], before["test_openings"])
    assert (after["engines"], after["gate"]["test"]) == ({}, {})
    page = (out / "report" / "index.html").read_text()
    assert "image/jpeg" not in page
    assert all(case["name"] in page for case in json.loads((out / "report" / "metrics.json").read_text())["errors"])


def test_an_opening_stays_on_record(trained: Path, renderings, tiny_base: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(trained, out)
    before = json.loads((out / "metrics.json").read_text())["test_openings"]
    run(renderings, tiny_base, out, "--resume", "--no_open_test")
    assert json.loads((out / "metrics.json").read_text())["test_openings"] == before


def test_closed_test_split_stays_closed(renderings, tiny_base: Path, tmp_path: Path) -> None:
    out = run(renderings, tiny_base, tmp_path / "closed", "--no_open_test", "--max_train_samples", "200")
    metrics = json.loads((out / "metrics.json").read_text())
    assert "test" not in metrics
    assert "test_openings" not in metrics
    assert not list((out / "scores").glob("test-*"))
    content = json.loads((out / "report" / "metrics.json").read_text())
    assert (content["role"], content["split"], content["test_opening"]) == (
        "development",
        "development-validation",
        None,
    )
    assert content["record"] == metrics["development_validation"]


def test_resume_with_other_splits_is_refused(trained: Path, renderings, tiny_base, tmp_path, capsys) -> None:
    out = tmp_path / "copy"
    shutil.copytree(trained, out)
    argv = ["--dataset", str(renderings[0]), "--renderings", str(renderings[1]), "--base_model", str(tiny_base)]
    argv += ["--output_dir", str(out), "--num_train_epochs", "2", *BRIEF]
    assert train.main([*argv, "--seed", "7", "--resume"]) == 1
    assert "begun with another recipe, splits" in capsys.readouterr().err
    assert train.main(argv) == 1
    assert "holds a finished checkpoint" in capsys.readouterr().err


def test_missing_originals_are_said_before_training(renderings, tiny_base, tmp_path, capsys) -> None:
    argv = ["--dataset", str(renderings[0]), "--base_model", str(tiny_base), "--output_dir", str(tmp_path / "o")]
    assert train.main([*argv, "--originals", str(tmp_path / "none")]) == 1
    assert f"--originals {tmp_path / 'none'}" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_a_missing_data_set_is_one_line(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    assert train.main(["--dataset", str(tmp_path / "none"), "--output_dir", str(tmp_path / "o")]) == 1
    assert "there is no such folder" in capsys.readouterr().err


def test_the_command_that_is_recorded_hides_the_token() -> None:
    from hf_model.training.records import command_line

    line = command_line("train.py", ["--hub_token", "hf_secret", "--seed", "1", "--hub_token=hf_other"])
    assert line == "python train.py --hub_token '***' --seed 1 '--hub_token=***'"
    # argparse takes dashes and beginnings as well
    for spelt in ("--hub-token", "--hub_tok", "--hub-t"):
        assert command_line("train.py", [spelt, "secret"]) == f"python train.py {spelt} '***'"
        assert command_line("train.py", [f"{spelt}=secret"]) == f"python train.py '{spelt}=***'"
    line = command_line("train.py", ["--hub_model_id", "me/model", "--push_to_hub", "--dataset", "hf_" + "a1" * 17])
    assert line == "python train.py --hub_model_id me/model --push_to_hub --dataset '***'"


def test_a_stopped_run_is_neither_taken_over_nor_thrown_away(
    trained: Path, renderings, tiny_base: Path, tmp_path: Path, capsys
) -> None:
    """A run that died leaves stages; the next one in the folder, with other splits, may not start on them."""
    out = tmp_path / "reused"
    shutil.copytree(trained / "stages", out / "stages")
    argv = ["--dataset", str(renderings[0]), "--base_model", str(tiny_base), "--output_dir", str(out), *BRIEF]
    argv += ["--num_train_epochs", "0", "--seed", "7", "--no_open_test"]
    before = sorted(path.relative_to(out) for path in out.rglob("*"))
    assert train.main(argv) == 1
    assert "holds a run that stopped (" in capsys.readouterr().err
    assert sorted(path.relative_to(out) for path in out.rglob("*")) == before
    identity = (out / "stages" / "identity.json").read_text()
    for left in [*(out / "stages").glob("*/finished.json"), *(out / "stages").glob("*/checkpoint-*")]:
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    assert train.main(argv) == 0  # of a run that finished nothing there is nothing to keep, or to take over
    assert (out / "stages" / "identity.json").read_text() != identity
    assert {path.name for path in (out / "stages").iterdir()} == {"head", "identity.json"}


def test_stages_that_name_no_run_are_not_resumed(trained: Path, renderings, tiny_base, tmp_path, capsys) -> None:
    out = tmp_path / "nameless"
    shutil.copytree(trained / "stages", out / "stages")
    (out / "stages" / "identity.json").unlink()
    argv = ["--dataset", str(renderings[0]), "--base_model", str(tiny_base), "--output_dir", str(out), *BRIEF]
    assert train.main([*argv, "--resume"]) == 1
    assert "does not say which run it is of" in capsys.readouterr().err


def test_no_other_threshold_after_the_test_split_was_opened(
    trained: Path, renderings, tiny_base: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(trained, out)
    before = (out / "decision.json").read_bytes(), (out / "metrics.json").read_bytes()
    argv = ["--dataset", str(renderings[0]), "--renderings", str(renderings[1]), "--originals", str(renderings[1])]
    argv += ["--base_model", str(tiny_base), "--output_dir", str(out), "--num_train_epochs", "2", *BRIEF, "--resume"]
    assert train.main([*argv, "--target_sensitivity", "0.6", "--confidence", "0.6"]) == 1
    assert "the test split was opened for these weights with another decision" in capsys.readouterr().err
    assert ((out / "decision.json").read_bytes(), (out / "metrics.json").read_bytes()) == before


def test_originals_that_join_nothing_are_said_before_training(renderings, tiny_base, tmp_path, capsys) -> None:
    other = tmp_path / "other"
    for kind in ("NORMAL", "PNEUMONIA"):
        (other / kind).mkdir(parents=True)
        Image.fromarray(chest(1)).save(other / kind / "else.png")
    argv = ["--dataset", str(renderings[0]), "--base_model", str(tiny_base), "--output_dir", str(tmp_path / "o")]
    assert train.main([*argv, "--originals", str(other)]) == 1
    assert f"--originals {other}: no file name there is one of a picture to train on" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("content", [None, b"cut"])
def test_a_state_without_its_average_is_not_whole(trained: Path, tmp_path: Path, content: bytes | None) -> None:
    from hf_model.training.stages import drop_incomplete
    from hf_model.training.trainer import AVERAGE_FILE

    state = sorted((trained / "stages" / "fine_tuning").glob("checkpoint-*"))[0]
    copy = Path(shutil.copytree(state, tmp_path / state.name))
    assert drop_incomplete(tmp_path, (AVERAGE_FILE,)) == []
    (copy / AVERAGE_FILE).unlink()
    if content:
        (copy / AVERAGE_FILE).write_bytes(content)
    assert drop_incomplete(tmp_path) == []
    assert drop_incomplete(tmp_path, (AVERAGE_FILE,)) == [copy]


def test_patient_numbers_of_a_pattern_are_hashed_in_the_scores(tiny_base: Path, tmp_path: Path) -> None:
    for kind, base in (("NORMAL", 0), ("PNEUMONIA", 500)):
        (tmp_path / "clinic" / kind).mkdir(parents=True)
        for i in range(80):
            picture = Image.fromarray(chest(base + i, pneumonia=bool(base)))
            picture.save(tmp_path / "clinic" / kind / f"mrn{base + i // 2}_{i % 2}.png")
    argv = ["--dataset", str(tmp_path / "clinic"), "--patient_pattern", r"mrn(\d+)_", "--base_model", str(tiny_base)]
    out = tmp_path / "out"
    assert train.main([*argv, *BRIEF, "--output_dir", str(out), "--num_train_epochs", "0", "--no_open_test"]) == 0
    patients = Scores.from_csv(out / "scores" / "calibration.csv").patients
    assert all(patient.startswith("patient-") for patient in patients)
    assert len(set(patients)) == len(patients) / 2


def test_patient_numbers_of_a_column_are_not_written_down(tiny_base: Path, tmp_path: Path) -> None:
    """Parquet with a hospital number, and file names that repeat: everything joins by row."""
    numbers = [f"MRN-{i // 2}" for i in range(160)]
    pictures = [Image.fromarray(chest(i, pneumonia=i // 2 % 2 == 1)) for i in range(160)]
    encoded = []
    for picture in pictures:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        encoded.append({"bytes": buffer.getvalue(), "path": "scan.png"})
    features = Features({"image": ImageColumn(decode=False), "label": Value("int64"), "who": Value("string")})
    rows = {"image": encoded, "label": [i // 2 % 2 for i in range(160)], "who": numbers}
    (tmp_path / "clinic").mkdir()
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "clinic" / "train.parquet")
    argv = ["--dataset", str(tmp_path / "clinic"), "--patient_column", "who", "--base_model", str(tiny_base), *BRIEF]
    out = tmp_path / "out"
    assert train.main([*argv, "--output_dir", str(out), "--num_train_epochs", "0", "--test_fraction", "0.2"]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["data"]["patient_key"] == "column who"
    assert metrics["test"]["clinic"]["patients"] == metrics["test"]["clinic"]["n"] / 2
    assert set(Scores.from_csv(out / "scores" / "test-clinic.csv").names) == {"scan.png"}
    written = [path for path in out.rglob("*") if path.suffix in (".csv", ".json", ".md", ".html")]
    assert {"metrics.json", "calibration.csv", "index.html"} <= {path.name for path in written}
    assert not [path.name for path in written if "MRN-" in path.read_text()]
