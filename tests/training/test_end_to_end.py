"""`train.main([...])` on generated pictures, resumed, predicted with and served: nothing on the path is replaced."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from statsmodels.stats.proportion import proportion_confint
from training_runs import run
from transformers import pipeline

from hf_model import Classifier
from hf_model.data.prepare import CALIBRATION, TRAIN, VALIDATION
from hf_model.hub.push import checkpoint_files
from hf_model.metrics.decision import Decision
from hf_model.metrics.guarantees import check_guarantees
from hf_model.metrics.scores import Scores


def test_the_folder_is_complete(trained: Path) -> None:
    names = {path.relative_to(trained).as_posix() for path in trained.rglob("*") if path.is_file()}
    assert {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "decision.json",
        "metrics.json",
        "README.md",
        "training_curves.png",
        "confusion_matrix.png",
        "scores/calibration.csv",
        "scores/test-plain.csv",
        "scores/test-smooth.csv",
        "gate.safetensors",
        "openvino_model.xml",
        "openvino_model.bin",
        "evaluation.html",
        "report/index.html",
        "report/metrics.json",
        "figures/roc.svg",
        "figures/reliability.png",
    } <= names
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
