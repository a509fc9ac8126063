"""`train.main([...])` on generated pictures, resumed, predicted with and served: nothing on the path is replaced."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Value
from datasets import Image as ImageColumn
from generated import chest, write_image_folder
from PIL import Image
from safetensors.torch import load_file
from statsmodels.stats.proportion import proportion_confint
from transformers import pipeline

import train
from hf_model import Classifier
from hf_model.data.prepare import CALIBRATION, TRAIN, VALIDATION
from hf_model.evaluation import sealing
from hf_model.evaluation.decision import Decision
from hf_model.evaluation.scores import Scores
from hf_model.evaluation.validation import check_guarantees
from hf_model.hub.push import checkpoint_files
from hf_model.training import opening

BRIEF = [
    *("--head_epochs", "2", "--head_views", "1", "--per_device_train_batch_size", "16", "--logging_steps", "2"),
    *("--disable_tqdm", "true", "--learning_rate", "1e-3", "--ema_decay", "0.9", "--gamma", "0.1", "--zoom", "0.05"),
    *("--save_total_limit", "5", "--early_stopping_patience", "0"),
]


@pytest.fixture(scope="module")
def renderings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """80 training and 12 test patients per class, in two renderings."""
    folder, splits = tmp_path_factory.mktemp("data"), {"train": 80, "test": 12}
    return write_image_folder(folder / "plain", splits), write_image_folder(folder / "smooth", splits, smooth=True)


def run(renderings: tuple[Path, Path], base: Path, out: Path, *more: str) -> Path:
    """One training run to the end; fails the test if it does."""
    plain, smooth = map(str, renderings)
    argv = ["--dataset", plain, "--renderings", smooth, "--originals", smooth, "--base_model", str(base)]
    assert train.main([*argv, "--output_dir", str(out), "--num_train_epochs", "2", *BRIEF, *more]) == 0
    return out


@pytest.fixture(scope="module")
def trained(renderings, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(renderings, tiny_base, tmp_path_factory.mktemp("out") / "run")


def test_the_folder_is_complete(trained: Path) -> None:
    names = {path.relative_to(trained).as_posix() for path in trained.rglob("*") if path.is_file()}
    assert {
        "config.json", "model.safetensors", "preprocessor_config.json", "decision.json", "metrics.json", "README.md",
        "training_curves.png", "confusion_matrix.png", "scores/calibration.csv", "scores/test-plain.csv",
        "scores/test-smooth.csv", "gate.safetensors", "openvino_model.xml", "openvino_model.bin",
        "evaluation.html", "report/index.html", "report/metrics.json", "figures/roc.svg", "figures/reliability.png",
    } <= names  # fmt: skip
    top = {name for name in names if not name.startswith("stages/")}
    assert not [name for name in top if name.endswith((".bin", ".pt", ".pth", ".pkl")) and "openvino" not in name]


def test_metrics_hold_every_figure(trained: Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    splits = metrics["data"]["splits"]
    assert set(splits) == {TRAIN, VALIDATION, CALIBRATION}
    assert sum(split["images"] for split in splits.values()) == 240
    assert metrics["data"]["published"] == {
        "train": {"NORMAL": 120, "PNEUMONIA": 120},
        "test": {"NORMAL": 18, "PNEUMONIA": 18},
    }
    assert [stage["name"] for stage in metrics["stages"]] == ["head", "fine_tuning"]
    assert {entry["stage"] for entry in metrics["history"]} == {"head", "fine_tuning"}
    assert set(metrics["test"]) == {"plain", "smooth"}
    assert len(metrics["test_openings"]) == 1
    assert metrics["test_openings"][0]["weights_sha256"] == metrics["weights_sha256"]
    assert metrics["originals"]["pictures"] == 240
    assert set(metrics["renderings"]) == {
        *("plain / smooth", "plain / blurred", "plain / sharpened", "calibration / blurred", "calibration / sharpened")
    }
    assert metrics["command"].startswith("python train.py --dataset ")


def test_figures_follow_from_the_stored_logits(trained: Path) -> None:
    from sklearn.metrics import confusion_matrix, roc_auc_score

    metrics = json.loads((trained / "metrics.json").read_text())
    decision = json.loads((trained / "decision.json").read_text())
    for name, record in metrics["test"].items():
        scores = Scores.from_csv(trained / "scores" / f"test-{name}.csv")
        margin = scores.logits[:, 1] - scores.logits[:, 0]
        probability = 1 / (1 + np.exp(-(margin / decision["temperature"] + decision["bias"])))
        assert record["auc"]["value"] == pytest.approx(roc_auc_score(scores.labels, margin))
        at = record["points"]["default"]
        tn, fp, fn, tp = confusion_matrix(scores.labels, probability >= at["threshold"]).ravel()
        assert at["confusion"] == {"tn": tn, "fp": fp, "fn": fn, "tp": tp}
        assert at["sensitivity"]["value"] == pytest.approx(tp / (tp + fn))
        assert record["guarantees"] == check_guarantees(scores, Decision.load(trained))
        assert record["shift"]["sentence"].startswith("In log-odds against the calibration pictures")


def test_pipeline_evaluation_and_app_give_the_same_logits(trained: Path, renderings) -> None:
    scores = Scores.from_csv(trained / "scores" / "test-plain.csv")
    files = {path.name: path for path in (renderings[0] / "test").rglob("*.png")}
    classify = pipeline("image-classification", model=str(trained), function_to_apply="none")
    engines = [Classifier.from_pretrained(trained, engine=engine) for engine in ("torch", "openvino")]
    for row in range(0, len(scores), 5):
        file, expected = files[scores.names[row]], scores.logits[row]
        by_label = {answer["label"]: answer["score"] for answer in classify(Image.open(file))}
        assert [by_label["NORMAL"], by_label["PNEUMONIA"]] == pytest.approx(expected, abs=1e-4)
        for classifier in engines:
            assert classifier.predict(file).logits == pytest.approx(expected, abs=1e-4)


def test_the_head_learns_on_the_default_base_checkpoint(renderings, tmp_path: Path) -> None:
    """The tiny network of the other tests is too small to learn; Lite0's frozen features are not."""
    head_only = ("--image_size", "64", "--num_train_epochs", "0", "--head_epochs", "6", "--no_open_test")
    out = run(renderings, Path("efficientnet-lite0"), tmp_path / "lite0", *head_only)
    metrics = json.loads((out / "metrics.json").read_text())
    assert [stage["name"] for stage in metrics["stages"]] == ["head"]
    assert metrics["development_validation"]["auc"]["value"] > 0.9
    assert metrics["calibration"]["auc"]["value"] > 0.9


def test_every_wrong_test_picture_is_on_the_page_of_the_run_and_on_nothing_that_ships(trained: Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    content = json.loads((trained / "report" / "metrics.json").read_text())
    at_default = metrics["test"]["plain"]["points"]["default"]["confusion"]
    wrong = at_default["fn"] + at_default["fp"]
    assert wrong > 0
    assert len(content["errors"]) == wrong
    assert content["test_opening"] == metrics["test_openings"][0]
    page = (trained / "report" / "index.html").read_text()
    assert page.count('<li class="case">') == wrong
    assert page.count("data:image/jpeg;base64,") == 2 * wrong  # the picture, and the heat map over it
    assert "As it is served" in page
    assert page.count('<th scope="row">openvino-f32</th>') == 2
    assert "240 full-size originals of development pictures" in page
    shipped = [upload.path for upload in checkpoint_files(trained)]
    assert not [path for path in shipped if path.startswith("report/")]
    assert {"evaluation.html", "figures/roc.svg"} <= set(shipped)
    assert "image/jpeg" not in (trained / "evaluation.html").read_text()
    assert all(case["name"] in (trained / "evaluation.html").read_text() for case in content["errors"])


def test_the_opening_measures_engines_and_input_checks(trained: Path, renderings) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    decision = Decision.load(trained)
    assert "openvino-f32" in metrics["engines"]
    for name in ("plain", "smooth"):
        reference = Scores.from_csv(trained / "scores" / f"test-{name}.csv")
        other = Scores.from_csv(trained / "report" / "scores" / "openvino-f32" / f"{name}.csv")
        found = metrics["engines"]["openvino-f32"][name]
        assert found["max_logit_difference"] == np.abs(other.logits - reference.logits).max() < 1e-3
        pairs = zip(reference.logits.tolist(), other.logits.tolist(), strict=True)
        called = [[decision.decide(decision.probability(*logits)) for logits in pair] for pair in pairs]
        assert (found["n"], found["flips"]) == (36, sum(one != two for one, two in called))
        assert found["flips_outside_band"] == 0
    # what the input checks say of the test pictures is what an upload of each would be told
    classifier = Classifier.from_pretrained(trained)
    seen = [classifier.predict(path, heat_map=False).findings for path in (renderings[0] / "test").rglob("*.png")]
    held = [{finding.code for finding in findings if finding.severity == "flag"} for findings in seen]
    found = metrics["gate"]["test"]["plain"]
    assert (found["n"], found["flagged"]["count"]) == (36, sum(map(bool, held)))
    assert found["feature_gate"]["count"] == sum("unlike-training" in codes for codes in held)
    assert found["flagged"]["interval"] == pytest.approx(proportion_confint(sum(map(bool, held)), 36, method="wilson"))


def test_resumed_equals_uninterrupted(trained: Path, renderings, tiny_base: Path, tmp_path: Path) -> None:
    # the state after the first epoch, as a killed run leaves it, and a half-written one after it
    out = tmp_path / "killed"
    shutil.copytree(trained / "stages" / "head", out / "stages" / "head")
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
    monkeypatch.setattr(opening, "_serve", None)  # whatever opens the split fails here
    monkeypatch.setattr(sealing, "open_test", None)
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
