"""About the model: the checkpoint's files as they are."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from hf_model.page import about
from hf_model.radiograph.population import KERMANY, Population


def test_table_shows_the_figures_of_metrics_json(checkpoint_folder: Path) -> None:
    metrics = json.loads((checkpoint_folder / "metrics.json").read_text())
    html = about.about(metrics, "tiny", KERMANY)
    record = metrics["test"]["test"]
    assert f"AUC {record['auc']['value']:.3f} ({record['auc']['interval'][0]:.3f}" in html
    for name in ("default", "rule_out", "rule_in", "0.5"):
        for rate in ("sensitivity", "specificity", "accuracy", "ppv", "npv"):
            value, (low, high) = (record["points"][name][rate][key] for key in ("value", "interval"))
            assert f"<td>{100 * value:.1f}\u00a0% ({100 * low:.1f} to {100 * high:.1f})</td>" in html
    assert "<td>3,657</td><td>2,100</td><td>945</td><td>2,712</td>" in html
    assert "No figure here speaks for adults" in html


def test_limits_name_the_checkpoints_own_population() -> None:
    assert "children aged one to five from one hospital in Guangzhou" in about.about({}, "shipped", KERMANY)
    adults = about.about({}, "mine", Population("adults", "PA films of <adults>", (18.0, 90.0), "PA"))
    assert "Trained on PA films of &lt;adults&gt;. No figure here speaks for patients of another kind." in adults
    assert "Guangzhou" not in adults


def test_input_checks_are_shown_as_recorded() -> None:
    share = {"value": 0.0058, "interval": [0.004, 0.0082]}
    tally = {"pictures": 5216, "held_back": share, "bar": "at most 0.02"}
    kind = {"group": "photographs", "kind": "in grey", "pictures": 27, "held_back": {"value": 1, "interval": [0.88, 1]}}
    record = {
        "radiographs": {"dataset": "films", "split": "train", "pictures": 5216},
        "groups": {"photographs": {**kind, "bar": "at least 0.95"}, "radiographs": tally},
        "kinds": [kind],
    }
    html = about.about({"input_checks": record}, "x")
    figures = "<td>at most 2\u00a0%</td><td>5,216</td><td>0.6\u00a0% (0.4 to 0.8)</td>"
    row = f'<tr><th scope="row">radiographs</th>{figures}</tr>'
    assert row in html
    assert html.index(row) < html.index("at least 95\u00a0%")
    assert '<th scope="row">photographs</th><td>in grey</td><td>27</td><td>100.0\u00a0% (88.0 to 100.0)</td>' in html
    assert "Radiographs: 5,216 of films, train split." in html
    assert "Input checks" not in about.about({}, "x")


def test_no_path_of_a_machine_is_shown() -> None:
    html = about.about({"data": {"dataset": "../shared/films", "splits": {"train": {"images": 3}}}}, "x")
    assert "<p>films. Nothing says whose a picture is" in html


CLEAN = {"clean": True, "counts": {"patients": 0, "pixels": 0, "near": 0}}
SHARED = {"clean": False, "counts": {"patients": 1, "pixels": 0, "near": 2}}
NONE_KNOWN = {"clean": True, "counts": {"patients": None, "pixels": 0, "near": 0}}


@pytest.mark.parametrize(
    ("recorded", "words"),
    [
        ({"patient_key": "file name", "leakage": CLEAN}, "No patient is in two splits."),
        ({"patient_key": "file name", "leakage": CLEAN | {"unknown_patients": 0}}, "No patient is in two splits."),
        (
            {"patient_key": "file name", "leakage": CLEAN | {"unknown_patients": 5}},
            "No patient that is known is in two splits. 5 test pictures do not say whose they are: whether training "
            "has seen their patients cannot be told.",
        ),
        (
            {"patient_key": "column mrn", "leakage": NONE_KNOWN},
            "No patient that is known is in two splits. The test pictures do not say whose they are: whether training "
            "has seen their patients cannot be told.",
        ),
        (
            {"patient_key": "file name", "leakage": SHARED},
            "Of training, validation and calibration no two share a patient. Development and test share 1 patient, "
            "2 nearly equal pictures: the figures on the test split are too good.",
        ),
        (
            {"patient_key": True},
            "Of training, validation and calibration no two share a patient. Whether the test split shares any with "
            "them is not known.",
        ),
        (
            {"patient_key": False, "leakage": NONE_KNOWN | {"unknown_patients": 9}},
            "Nothing says whose a picture is: each counts as a patient, and a patient may be in two splits.",
        ),
        (
            {"patient_key": False, "leakage": SHARED | {"counts": {"patients": None, "pixels": 3, "near": 0}}},
            "Nothing says whose a picture is: each counts as a patient, and a patient may be in two splits. "
            "Development and test share 3 equal pictures: the figures on the test split are too good.",
        ),
    ],
)
def test_what_splits_share_is_said_as_far_as_it_is_known(recorded: dict, words: str) -> None:
    html = about.about({"data": {"dataset": "films", "splits": {"train": {"images": 3}}, **recorded}}, "x")
    assert f"<h2>Data</h2><p>films. {words}</p>" in html


def test_checkpoint_without_metrics_says_so() -> None:
    html = about.about(None, "<bare>")
    assert "The population is not described by this checkpoint." in html
    assert "children" not in html
    assert "no metrics.json, so its errors are unknown" in html
    assert "&lt;bare&gt;" in html
    assert about.summary(None) == ""


def test_welcome_sentence_has_the_recorded_figures(checkpoint_folder: Path) -> None:
    metrics = json.loads((checkpoint_folder / "metrics.json").read_text())
    point = metrics["test"]["test"]["points"]["default"]
    expected = f"finds {100 * point['sensitivity']['value']:.1f}\u00a0% of pneumonias"
    assert expected in about.summary(metrics)


@pytest.mark.parametrize("rate", ["sensitivity", "specificity"])
def test_a_test_set_of_one_class_has_no_welcome_sentence(rate: str) -> None:
    rates = {"sensitivity": {"value": 0.9}, "specificity": {"value": 0.0}} | {rate: {"value": None, "interval": None}}
    assert about.summary({"test": {"films": {"n": 40, "points": {"default": rates}}}}) == ""


def test_a_rate_of_nought_is_a_figure() -> None:
    rates = {"sensitivity": {"value": 1.0}, "specificity": {"value": 0.0}}
    sentence = about.summary({"test": {"films": {"n": 40, "points": {"default": rates}}}})
    assert sentence.endswith("it finds 100.0\u00a0% of pneumonias and calls 0.0\u00a0% of normal chests normal.")


def test_card_comes_without_header_and_pictures(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(
        "---\nlicense: x\n---\n# Card\n\n![curve](https://elsewhere.example/a.png) text <img src='b'>\n",
        encoding="utf-8",
    )
    assert about.card(tmp_path) == "# Card\n\n text"
    assert "no model card" in about.card(tmp_path / "none")
    assert "no model card" in about.card(None)


def test_figures_are_embedded_from_the_folder(checkpoint_folder: Path, tmp_path: Path) -> None:
    html = about.figures(checkpoint_folder)
    content = base64.b64encode((checkpoint_folder / "confusion_matrix.png").read_bytes()).decode()
    assert f'src="data:image/png;base64,{content}" alt="Answers and truth on the held-out pictures"' in html
    assert about.figures(tmp_path) == ""


def test_audit_findings_are_shown_unless_they_are_of_other_weights(tmp_path: Path) -> None:
    assert about.audit(None) == about.audit(tmp_path) == ""
    findings = [
        {"topic": "labels", "text": "17 of 5,232 labels look <wrong>."},
        {"topic": "model", "text": "Without lungs 0.901."},
    ]
    record = {"name": "films", "rows": 5232, "findings": findings, "model": {"weights_sha256": "a1"}}
    (tmp_path / "audit.json").write_text(json.dumps(record))
    (tmp_path / "metrics.json").write_text(json.dumps({"weights_sha256": "a1"}))
    html = about.audit(tmp_path)
    assert "films, 5,232 pictures" in html
    assert "<li>17 of 5,232 labels look &lt;wrong&gt;.</li><li>Without lungs 0.901.</li>" in html
    (tmp_path / "metrics.json").write_text(json.dumps({"weights_sha256": "b2"}))
    assert "<li>Without lungs" not in about.audit(tmp_path)
    assert "<li>17 of" in about.audit(tmp_path)
    (tmp_path / "audit.json").write_text("[]")
    assert "cannot be read" in about.audit(tmp_path)
