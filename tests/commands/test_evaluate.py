"""``evaluate`` and ``recalibrate`` on generated pictures, from the command line to the files."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from generated import make_scores, write_image_folder

from hf_model.commands import evaluate as evaluate_cli
from hf_model.evaluation import figures
from hf_model.files import sha256
from hf_model.inference.classifier import Classifier
from hf_model.metrics.comparison import compare
from hf_model.metrics.decision import Decision
from hf_model.metrics.scores import Scores


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures cost most of a report's time; ``report`` has them all, and they have tests of their own."""
    monkeypatch.setattr(figures, "evaluation_figures", lambda *_: {})


def evaluate(*words: object) -> int:
    return evaluate_cli.main(["--engine", "torch", *map(str, words)])


class Page(HTMLParser):
    """Every address on the page, its headings, its pictures and what was not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.headings: list[str] = []
        self.images: list[dict] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.addresses += [value for name, value in found.items() if name in ("src", "href", "srcset", "action")]
        if tag == "img":
            self.images.append(found)
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)


@pytest.fixture(scope="module")
def report(trained: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One report on the test split with everything in it."""
    root = tmp_path_factory.mktemp("report")
    folder = Path(shutil.copytree(trained, root / "tiny"))
    code = evaluate(
        "--checkpoint",
        folder,
        "--dataset",
        pictures / "set",
        "--split",
        "test",
        "--output",
        root / "out",
        "--renderings",
        pictures / "set-smooth",
        "--prevalence",
        0.1,
    )
    assert code == 0
    return root


def test_the_report_has_every_part(report, capsys):
    out = report / "out"
    content = json.loads((out / "metrics.json").read_text())
    assert (content["role"], content["split"], content["dataset_name"]) == ("test", "test", "set")
    assert content["record"]["n"] == 36
    assert content["record"]["patients"] == 24
    assert set(content["subgroups"]["aetiology (file name)"]) == {"bacterial pneumonia", "normal", "viral pneumonia"}
    assert content["renderings"]["set-smooth"]["n"] == 36
    assert set(content["perturbations"]) == {"blurred", "sharpened"}
    assert content["perturbations"]["blurred"]["largest_difference"] > 0
    assert [entry["prevalence"] for entry in content["predictive_values"]] == [0.1]
    assert content["shift"]["sentence"].startswith("In log-odds against the calibration pictures")
    assert content["test_opening"]["count"] == 1
    stems = {path.stem for path in (out / "figures").glob("*.svg")}
    assert stems == {path.stem for path in (out / "figures").glob("*.png")}
    assert stems >= {"roc", "precision_recall", "thresholds", "reliability", "decision_curve", "scores"}


def test_every_wrong_picture_is_listed_the_most_wrong_first(report):
    content = json.loads((report / "out" / "metrics.json").read_text())
    scores = Scores.from_csv(report / "out" / "scores.csv")
    decision = Decision.load(report / "tiny")
    wrong = {
        name
        for name, label, pair in zip(scores.names, scores.labels, scores.logits.tolist(), strict=True)
        if (decision.decide(decision.probability(*pair)) == "PNEUMONIA") != bool(label)
    }
    assert {case["name"] for case in content["errors"]} == wrong
    distances = [case["wrong_by"] for case in content["errors"]]
    assert distances == sorted(distances, reverse=True)
    cells = content["record"]["points"]["default"]["confusion"]
    kinds = [case["kind"] for case in content["errors"]]
    assert (kinds.count("false negative"), kinds.count("false positive")) == (cells["fn"], cells["fp"])
    page = (report / "out" / "report.html").read_text()
    assert page.count('<li class="case">') == len(wrong)


def test_the_page_is_whole_and_asks_for_nothing_outside(report):
    text = (report / "out" / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    assert page.addresses
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert "<script" not in text
    assert not re.search(r"url\(|@import", text)
    assert all(image.get("alt") for image in page.images)
    anchors = {address[1:] for address in page.addresses if address.startswith("#")}
    assert anchors == set(re.findall(r'<h2 id="([a-z]+)"', text))
    for title in ("Does the guarantee hold?", "Operating points", "Subgroups", "Every wrong picture"):
        assert title in page.headings


def test_scores_of_the_report_are_the_classifiers(report, pictures):
    scores = Scores.from_csv(report / "out" / "scores.csv")
    classifier = Classifier.from_pretrained(report / "tiny", engine="torch")
    path = next((pictures / "set" / "test").rglob(scores.names[5]))
    assert classifier.predict(path).logits == pytest.approx(scores.logits[5].tolist(), abs=1e-4)


def test_a_report_does_not_go_into_a_checkpoint(checkpoint, pictures, capsys):
    before = (checkpoint / "metrics.json").read_bytes()
    assert evaluate("--checkpoint", checkpoint, "--dataset", pictures / "set", "--output", checkpoint) == 2
    assert "is in the checkpoint" in capsys.readouterr().err
    # below it neither: a push or a deploy may take what lies there
    inside = checkpoint / "reports" / "new"
    assert evaluate("--checkpoint", checkpoint, "--dataset", pictures / "set", "--output", inside) == 2
    assert f"--output {inside} is in the checkpoint {checkpoint}" in capsys.readouterr().err
    assert not inside.parent.exists()
    assert (checkpoint / "metrics.json").read_bytes() == before


@pytest.mark.usefixtures("no_figures")
def test_a_second_opening_is_refused_until_asked_for(checkpoint, pictures, tmp_path, capsys):
    words = (
        "--checkpoint",
        checkpoint,
        "--dataset",
        pictures / "set",
        "--output",
        tmp_path / "out",
        "--no_perturbations",
        "--max_errors",
        0,
    )
    assert evaluate(*words) == 0
    shown = capsys.readouterr().out
    assert "set, split test: 36 pictures, 24 patients (18 normal, 18 with pneumonia)" in shown
    assert evaluate(*words) == 2
    assert "was opened for these weights before" in capsys.readouterr().err
    # Another folder with the same file names is the same test split, once its scores are stored.
    Scores.from_csv(tmp_path / "out" / "scores.csv").to_csv(checkpoint / "scores" / "test-set.csv")
    moved = shutil.copytree(pictures / "set" / "test", tmp_path / "another name" / "train")
    assert evaluate("--checkpoint", checkpoint, "--dataset", moved.parent, "--output", tmp_path / "o") == 2
    assert "--from_scores" in capsys.readouterr().err
    assert evaluate(*words, "--reopen_test") == 0
    recorded = json.loads((checkpoint / "metrics.json").read_text())
    assert [entry["count"] for entry in recorded["test_openings"]] == [1, 2]
    assert {entry["weights_sha256"] for entry in recorded["test_openings"]} == {
        sha256(checkpoint / "model.safetensors")
    }
    assert recorded["seed"] == 3


@pytest.mark.usefixtures("no_figures")
def test_from_scores_gives_the_same_figures_without_opening(report, tmp_path):
    folder = Path(shutil.copytree(report / "tiny", tmp_path / "tiny"))
    Scores.from_csv(report / "out" / "scores.csv").to_csv(folder / "scores" / "test-set.csv")
    before = (folder / "metrics.json").read_bytes()
    assert evaluate("--checkpoint", folder, "--from_scores", "--output", tmp_path / "out") == 0
    assert (folder / "metrics.json").read_bytes() == before
    first, second = (json.loads((root / "out" / "metrics.json").read_text()) for root in (report, tmp_path))
    for key in ("record", "guarantees", "errors", "subgroups", "shift"):
        assert second[key] == first[key]
    assert second["test_opening"] is None
    assert "made from the scores that the checkpoint holds" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.usefixtures("no_figures")
def test_pictures_of_elsewhere_are_external_and_of_training_optimistic(checkpoint, pictures, tmp_path):
    for name, role, words in (("elsewhere", "external", "External validation"), ("set", "development", "optimistic")):
        assert (
            evaluate(
                "--checkpoint",
                checkpoint,
                "--dataset",
                pictures / name,
                "--split",
                "train",
                "--output",
                tmp_path / name,
                "--no_perturbations",
                "--max_errors",
                3,
            )
            == 0
        )
        content = json.loads((tmp_path / name / "metrics.json").read_text())
        assert (content["role"], content["test_opening"]) == (role, None)
        assert words in (tmp_path / name / "report.html").read_text()
    assert "test_openings" not in json.loads((checkpoint / "metrics.json").read_text())


@pytest.mark.usefixtures("no_figures")
def test_two_checkpoints_on_the_same_pictures(checkpoint, pictures, tmp_path):
    other = Path(shutil.copytree(checkpoint, tmp_path / "twin"))
    assert (
        evaluate(
            "--checkpoint",
            checkpoint,
            "--against",
            other,
            "--dataset",
            pictures / "elsewhere",
            "--output",
            tmp_path / "out",
            "--no_perturbations",
            "--max_errors",
            0,
        )
        == 0
    )
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())["comparison"]
    assert (found["second"], found["auc"]["difference"], found["mcnemar"]["all"]["p_value"]) == ("twin", 0.0, 1.0)


@pytest.mark.usefixtures("no_figures")
def test_two_checkpoints_by_their_stored_scores(checkpoint, tmp_path, capsys):
    other = Path(shutil.copytree(checkpoint, tmp_path / "twin"))
    first, second = make_scores(80, seed=1), make_scores(80, seed=1, separation=2.5)
    first.to_csv(checkpoint / "scores" / "test-set.csv")
    words = ("--checkpoint", checkpoint, "--against", other, "--from_scores", "--output", tmp_path / "out")
    assert evaluate(*words) == 2
    assert "--against twin: it holds test scores none, not of set" in capsys.readouterr().err
    second.to_csv(other / "scores" / "test-set.csv")
    assert evaluate(*words) == 0
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())["comparison"]
    assert found == json.loads(
        json.dumps(
            {"first": "tiny", "second": "twin"}
            | compare(first, second, Decision.load(checkpoint), Decision.load(other))
        )
    )
    shown = capsys.readouterr().out
    assert f"twin against tiny, {len(first)} pictures of 80 patients:" in shown
    assert f"= {found['auc']['difference']:+.4f} (" in shown
    assert f"p = {found['mcnemar']['all']['p_value']:.3g}." in shown
    assert "has chosen by the test split" in (tmp_path / "out" / "report.html").read_text()
    assert "test_openings" not in json.loads((other / "metrics.json").read_text())


@pytest.mark.usefixtures("no_figures")
def test_two_checkpoints_where_a_class_is_missing(checkpoint, tmp_path, capsys):
    folder = write_image_folder(tmp_path / "sick", {"train": 6}, first=700)
    shutil.rmtree(folder / "train" / "NORMAL")
    other = Path(shutil.copytree(checkpoint, tmp_path / "twin"))
    (folder / "train" / "NORMAL").mkdir()
    assert (
        evaluate(
            "--checkpoint",
            checkpoint,
            "--against",
            other,
            "--dataset",
            folder,
            "--output",
            tmp_path / "out",
            "--no_perturbations",
            "--max_errors",
            0,
        )
        == 0
    )
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())["comparison"]
    assert found["auc"] == {"first": None, "second": None, "difference": None, "interval": None}
    assert found["sensitivity"]["difference"] == 0.0
    assert "McNemar" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--split", "holdout"], "has the splits test, train"),
        (["--subgroups", "sex"], "--subgroups sex: the columns are none"),
        (["--patient_column", "who"], "--patient_column who"),
        (["--prevalence", "1.5"], "--prevalence 1.5"),
        (["--renderings", "{elsewhere}"], "no file name there is one of set's"),
    ],
)
def test_mistakes_are_one_line_and_open_nothing(checkpoint, pictures, tmp_path, capsys, words, message):
    words = [word.format(elsewhere=pictures / "elsewhere") for word in words]
    base = ["--checkpoint", checkpoint, "--dataset", pictures / "set", "--output", tmp_path / "out"]
    split = [] if "--split" in words else ["--split", "train"]
    assert evaluate(*base, *split, *words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1]
    assert "test_openings" not in json.loads((checkpoint / "metrics.json").read_text())
