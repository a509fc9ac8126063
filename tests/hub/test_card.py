"""The model card against its full text, and against the numbers that it is made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from card_run_files import metrics, other_hospital, write_run
from huggingface_hub import ModelCard

from hf_model.hub.card import build_card, write_card
from hf_model.hub.push import check_card
from hf_model.metrics.decision import DecisionError

EXPECTED = Path(__file__).with_name("expected_card.md")
KERMANY_WORDS = (
    "Kermany",
    "Guangzhou",
    "hildren",
    "CC BY",
    "aged one",
    "0.45 to 0.67",
    "AUC of 0.995",
    "physicians",
    "pediatrics",
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "chest", metrics())


def test_the_card_is_word_for_word_the_expected_one(run):
    assert build_card(run) == EXPECTED.read_text(encoding="utf-8")


def test_model_index_parses_back_to_the_numbers_of_metrics_json(run):
    data = ModelCard(build_card(run)).data
    source = json.loads((run / "metrics.json").read_text())["test"]
    found = {
        (result.dataset_config, result.metric_type, (result.metric_args or {}).get("threshold")): result.metric_value
        for result in data.eval_results
    }
    assert data.model_name == "chest"
    assert len(found) == len(data.eval_results) == 2 * (3 + 3 * 5)
    for rendering, record in source.items():
        assert found[rendering, "roc_auc", None] == record["auc"]["value"]
        assert found[rendering, "brier_score", None] == record["brier"]
        for point in (value for value in record["points"].values() if value):
            for kind, key in (("recall", "sensitivity"), ("specificity", "specificity"), ("precision", "ppv")):
                assert found[rendering, kind, point["threshold"]] == point[key]["value"]
    auc = next(result for result in data.eval_results if result.metric_type == "roc_auc")
    assert auc.metric_args["interval_95"] == source["xray"]["auc"]["interval"]
    assert (auc.dataset_type, auc.dataset_split) == ("hf-vision/chest-xray-pneumonia", "test")


def test_front_matter_survives_the_client_unchanged(run):
    card = ModelCard(build_card(run))
    assert ModelCard(str(card)).data.to_dict() == card.data.to_dict()
    assert card.data.to_dict()["license"] == "apache-2.0"
    assert card.data.base_model == "google/efficientnet-b0"
    assert card.data.pipeline_tag == "image-classification"
    assert card.data.library_name == "transformers"


def test_no_path_of_the_machine_that_trained_gets_into_the_card(run):
    text = build_card(run)
    assert "/home/someone" not in text
    assert str(run.parent) not in text


def test_another_data_set_does_not_get_the_known_ones_population(tmp_path):
    text = build_card(write_run(tmp_path / "chest", other_hospital()))
    assert [word for word in KERMANY_WORDS if word in text] == []
    assert "The model was fitted on the data set `clinic/our-xrays` (fingerprint `ffffffffffffffff`)." in text
    assert "**To be filled in by whoever publishes this model:**\n\n- population (age, sex, place, dates)" in text
    assert "| Data sources | 7 | 5a | **Not answered** |" in text
    assert ModelCard(text).data.datasets == ["clinic/our-xrays"]


def test_the_known_data_set_is_known_by_its_counts_and_not_by_its_name(tmp_path):
    content = other_hospital()
    content["data"]["dataset"] = "hf-vision/chest-xray-pneumonia"
    assert "Guangzhou" not in build_card(write_run(tmp_path / "a", content))
    content["data"]["published"] = {"train": [1349, 3883], "test": [234, 390]}
    assert "Guangzhou" in build_card(write_run(tmp_path / "b", content))


def test_a_base_model_that_is_no_hub_id_is_named_in_the_text_only(tmp_path, monkeypatch):
    content = metrics()
    content["base_model"] = "efficientnet-lite0"
    text = build_card(write_run(tmp_path / "a", content))
    assert ModelCard(text).data.base_model is None
    assert "from efficientnet-lite0;" in text
    content["base_model"] = "google/mobilenet_v2_1.0_224"
    assert ModelCard(build_card(write_run(tmp_path / "a", content))).data.base_model == content["base_model"]
    (tmp_path / "google" / "mobilenet_v2_1.0_224").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert ModelCard(build_card(tmp_path / "a")).data.base_model is None


def test_a_folder_with_nothing_but_a_model_gets_a_card_that_says_so(tmp_path):
    text = build_card(write_run(tmp_path / "bare", None))
    assert "**No test split was evaluated, so nothing is known of this checkpoint's errors.**" in text
    assert "No opening of the test split is recorded." in text
    assert "the threshold is 0.5, and nothing is guaranteed for it" in text
    assert "| Calibration | 28 | 12e, 23a | **Not answered** |" in text
    assert "model-index" not in text
    assert "None" not in text


@pytest.mark.parametrize(
    "key", ["data", "stages", "versions", "calibration", "test_openings", "renderings", "arguments"]
)
def test_any_part_of_metrics_json_may_be_missing(tmp_path, key):
    content = metrics()
    del content[key]
    text = build_card(write_run(tmp_path / "chest", content))
    assert "None" not in text
    assert ModelCard(text).data.eval_results[0].metric_value == 0.9375


def test_a_default_point_without_a_threshold_says_what_is_used(tmp_path):
    folder = write_run(tmp_path / "chest", metrics())
    content = json.loads((folder / "decision.json").read_text())
    content["points"]["default"]["threshold"] = None
    (folder / "decision.json").write_text(json.dumps(content))
    assert "\n- So the threshold in use is 0.5, and nothing is guaranteed for it.\n" in build_card(folder)


def test_several_openings_of_the_test_split_are_counted(tmp_path):
    content = metrics()
    content["test_openings"] *= 3
    assert "- The test split was opened **3 times**:\n" in build_card(write_run(tmp_path / "chest", content))


def test_an_undefined_rate_is_said_to_be_undefined(tmp_path):
    content = metrics()
    content["test"] = {"xray": content["test"]["xray"]}
    content["test"]["xray"]["points"]["default"]["ppv"] = {"value": None, "interval": None}
    text = build_card(write_run(tmp_path / "chest", content))
    row = next(line for line in text.splitlines() if line.startswith("| xray | 40 |"))
    assert row.split(" | ")[5] == "not defined"
    kinds = [
        (r.metric_type, r.metric_args.get("threshold")) for r in ModelCard(text).data.eval_results if r.metric_args
    ]
    assert ("precision", 0.375) not in kinds
    assert ("recall", 0.375) in kinds


def test_files_that_cannot_be_trusted_are_named(run):
    (run / "decision.json").write_text('{"schema_version": "9.0"}')
    with pytest.raises(DecisionError, match=r"decision\.json: schema_version should be"):
        build_card(run)
    (run / "metrics.json").write_text("{")
    with pytest.raises(ValueError, match=r"metrics\.json is not JSON .*restore it"):
        build_card(run)
    (run / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no config\.json"):
        build_card(run)


def test_a_written_card_passes_the_check_before_a_push(hub, run):
    (run / "confusion_matrix.png").write_bytes(b"png")
    text = write_card(run).read_text(encoding="utf-8")
    assert "\n\n![Confusion matrix](confusion_matrix.png)\n\n" in text
    check_card(text)
    assert hub.requests[-1] == "POST /api/validate-yaml"


def test_a_head_of_our_own_is_said_not_to_load_in_transformers(tmp_path):
    config = json.loads((write_run(tmp_path, metrics()) / "config.json").read_text())
    config |= {"chest_xray_head": "dense-64", "model_type": "chest_xray_classifier"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    card = build_card(tmp_path)
    assert "from transformers import pipeline" not in card
    assert "Transformers alone refuses this folder: its head, `dense-64`" in card
    assert "head: mean of the last feature map, `dense-64` of this project." in card
    assert "library_name" not in card


@pytest.mark.parametrize(
    ("loss", "words"),
    [("plain", "cross-entropy without class weights"), ("focal", "focal loss (gamma 2, no class weights)")],
)
def test_another_loss_is_named(tmp_path, loss, words):
    values = metrics()
    values["arguments"]["loss"] = loss
    card = build_card(write_run(tmp_path, values))
    assert f"at a lower rate; {words}; augmentation" in card
    assert "class-weighted" not in card
