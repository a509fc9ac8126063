"""The model card against its full text, and against the numbers that it is made of."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from card_run_files import metrics, other_hospital, write_run
from generated import make_scores
from huggingface_hub import ModelCard

from hf_model.hub import model_card
from hf_model.hub.model_card import CHECKLIST, NOT, build_card, write_card
from hf_model.hub.push import check_card
from hf_model.metrics.decision import DecisionError
from hf_model.metrics.operating_point import fit_decision
from hf_model.metrics.policy import policy_record
from hf_model.wording import policy_sentence, rate

EXPECTED = Path(__file__).with_name("expected_card.txt")
TEMPLATE = Path(model_card.__file__).with_suffix(".md.jinja")
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


def test_the_card_is_word_for_word_the_expected_one(tmp_path):
    """The front matter as data; the lines that a run fills in, each after how many of the template; the checklist."""
    content = metrics()
    del content["test"]["xray-sharp"]
    card = ModelCard(build_card(write_run(tmp_path / "chest", content)))
    assert {key: value for key, value in card.data.to_dict().items() if key != "model-index"} == {
        "language": "en",
        "license": "apache-2.0",
        "library_name": "transformers",
        "pipeline_tag": "image-classification",
        "base_model": "google/efficientnet-b0",
        "datasets": ["hf-vision/chest-xray-pneumonia"],
        "metrics": ["accuracy", "recall", "precision", "f1", "roc_auc"],
        "tags": ["chest-x-ray", "pneumonia", "radiology", "medical-imaging", "pediatrics", "efficientnet"],
    }
    text, checklist = card.text.split("| Topic | CLAIM | TRIPOD+AI | Where |\n| --- | --- | --- | --- |\n")
    template = set(TEMPLATE.read_text(encoding="utf-8").splitlines())
    written, before = [], 0
    for line in filter(None, text.splitlines()):
        if line in template:
            before += 1
        else:
            written.append(f"{before:>2} {line}")
            before = 0
    written.append(f"{before:>2}")
    assert "\n".join(written) + "\n" == EXPECTED.read_text(encoding="utf-8")
    assert checklist == "".join(f"| {' | '.join(cells[:4])} |\n" for cells in CHECKLIST), "everything is answered"


def test_the_card_has_its_sections_in_order_and_no_gaps(run):
    text = build_card(run)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        "Intended use",
        "Data",
        "Protocol",
        "Operating points",
        "Results",
        "Calibration",
        "Subgroups",
        "Agreement between renderings",
        "As it is served",
        "Limits",
        "How to use",
        "How to cite",
        "Checklist",
    ]
    assert "\n\n\n" not in text
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 11
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1, table


def test_guidance_is_told_as_far_as_it_was_used(tmp_path):
    content = metrics()
    content["arguments"]["evidence_weight"] = 0
    content["guidance"]["style_auc"]["development_validation"] = None
    text = build_card(write_run(tmp_path / "chest", content))
    assert "evidence outside them is not penalised. Within each class a film is drawn" in text
    for absent in ({**content, "guidance": None}, {k: v for k, v in content.items() if k != "guidance"}):
        assert "Lungs in training" not in build_card(write_run(tmp_path / "without", absent))


def test_a_bar_in_a_name_does_not_break_the_table(tmp_path):
    content = metrics()
    content["test"] = {"a|b": content["test"]["xray"]}
    assert "\n| a\\|b | 40 | 0.938" in build_card(write_run(tmp_path / "chest", content))


def test_the_checklist_names_sections_and_files_that_there_are(run):
    sections = set(re.findall(r"^## (.+)$", build_card(run), re.MULTILINE))
    known = sections | {"Title", "Table at the top", "Not applicable", NOT}
    for row in CHECKLIST:
        for where in row[3:]:
            for part in re.split(r"[:,;] ", where)[:1]:
                assert part in known or (run / part).is_file(), where


def test_model_index_parses_back_to_the_numbers_of_metrics_json(run):
    data = ModelCard(build_card(run)).data
    source = json.loads((run / "metrics.json").read_text())["test"]
    found = {
        (result.dataset_config, result.metric_type, result.metric_args.get("threshold")): result
        for result in data.eval_results
    }
    assert data.model_name == "chest"
    assert len(found) == len(data.eval_results) == 2 * (1 + 2 * 4)
    for rendering, record in source.items():
        figures = {(rendering, "roc_auc", None): record["auc"]}
        for point in (record["points"]["default"], record["points"]["argmax"]):
            for kind, key in (("recall", "sensitivity"), ("accuracy",) * 2, ("specificity",) * 2, ("f1",) * 2):
                figures[rendering, kind, round(point["threshold"], 4)] = point[key]
        for key, figure in figures.items():
            assert found[key].metric_value == round(figure["value"], 4)
            assert found[key].metric_args["interval_95"] == [round(end, 4) for end in figure["interval"]]
    names = [result.metric_name for result in data.eval_results[:6]]
    assert names[1] == "Accuracy at the threshold (0.3750)"
    assert names[5] == "Accuracy at the larger logit (0.4688)"
    auc = data.eval_results[0]
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


def test_a_population_that_the_run_describes_is_said(tmp_path):
    content = other_hospital()
    content["data"]["population"] = {"patients": "adults", "text": "lateral films of adults in Bern"}
    text = build_card(write_run(tmp_path / "chest", content))
    assert "`clinic/our-xrays` (fingerprint `ffffffffffffffff`): lateral films of adults in Bern. **To be" in text
    assert "Nothing more is known" not in text


def test_the_known_data_set_is_known_by_its_counts_and_not_by_its_name(tmp_path):
    content = other_hospital()
    content["data"]["dataset"] = "hf-vision/chest-xray-pneumonia"
    assert "Guangzhou" not in build_card(write_run(tmp_path / "a", content))
    content["data"]["published"] = {"train": [1349, 3883], "test": [234, 390]}
    assert "Guangzhou" in build_card(write_run(tmp_path / "b", content))


def test_a_base_model_that_is_no_hub_id_is_named_in_the_text_only(tmp_path):
    content = metrics()
    content["base_model"] = {"name": "efficientnet-lite0", "hub_id": None}
    text = build_card(write_run(tmp_path / "a", content))
    assert ModelCard(text).data.base_model is None
    assert "from efficientnet-lite0;" in text


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


def test_the_policy_is_said_as_three_shares_of_each_class(tmp_path):
    scores = make_scores(600, separation=1.0)
    decision = fit_decision(scores)
    found = policy_record(scores, decision)
    content = metrics()
    content["test"]["xray"]["policy"] = found
    folder = write_run(tmp_path, content)
    decision.save(folder)
    card = build_card(folder)
    assert f"- {decision.provenance['guarantee']}\n" in card
    assert f"on which the thresholds were fitted: {policy_sentence(decision.shares)}\n" in card
    assert f"cleared below {decision.lower:.4f}, called pneumonia from {decision.upper:.4f} on" in card
    for label in ("NORMAL", "PNEUMONIA"):
        shares = " | ".join(rate(found[label][share]) for share in ("cleared", "referred", "called"))
        assert card.count(f"| {label} | {found[label]['n']:,} | {shares} |") == 1  # the other rendering has no record


def test_several_openings_of_the_test_split_are_counted(tmp_path):
    content = metrics()
    content["test_openings"] *= 3
    assert "- The test split was opened **3 times**:\n" in build_card(write_run(tmp_path / "chest", content))


def test_an_undefined_rate_is_said_to_be_undefined(tmp_path):
    content = metrics()
    content["test"] = {"xray": content["test"]["xray"]}
    content["test"]["xray"]["points"]["default"] |= {key: {"value": None, "interval": None} for key in ("ppv", "f1")}
    text = build_card(write_run(tmp_path / "chest", content))
    row = next(line for line in text.splitlines() if line.startswith("| xray | 40 |"))
    assert row.split(" | ")[5] == "not defined"
    kinds = [
        (r.metric_type, r.metric_args.get("threshold")) for r in ModelCard(text).data.eval_results if r.metric_args
    ]
    assert ("f1", 0.375) not in kinds
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


DEVELOPMENT = "- Development (training and every choice)"
CALIBRATION = "calibration (temperature and thresholds)"
CLEAN = {"clean": True, "allowed": False, "counts": {"patients": 0, "pixels": 0, "near": 0}}
SHARED = {"clean": False, "allowed": True, "counts": {"patients": 3, "pixels": 0, "near": 2}}
NO_NAMES = "**The data names no patients, so they may share patients.**"
UNSEEN = "whether training has seen their patients is not known."


@pytest.mark.parametrize(
    ("recorded", "lines"),
    [
        (
            {"patient_key": "file name", "leakage": CLEAN | {"unknown_patients": 0}},
            [f"{DEVELOPMENT}, {CALIBRATION} and test share no patient; patients are identified by file name."],
        ),
        (
            {"patient_key": "file name", "leakage": CLEAN | {"unknown_patients": 4}},
            [
                f"{DEVELOPMENT}, {CALIBRATION} and test share no patient that is known; patients are identified by "
                "file name.",
                f"- **4 test pictures do not say whose they are**: {UNSEEN}",
            ],
        ),
        (
            {"patient_key": "column mrn", "leakage": SHARED | {"unknown_patients": 1}},
            [
                f"{DEVELOPMENT} and {CALIBRATION} share no patient; patients are identified by column mrn. What the "
                "test split shares with them follows below.",
                "- **Development and test share 3 patients, 2 nearly equal pictures** (`--allow_leakage`): figures on "
                "the test split are too good.",
                f"- **1 test picture does not say whose it is**: {UNSEEN}",
            ],
        ),
        (
            {"patient_key": "file name"},
            [
                f"{DEVELOPMENT} and {CALIBRATION} share no patient; patients are identified by file name. Whether test "
                "does is not known."
            ],
        ),
        (
            {"patient_key": False, "leakage": CLEAN | {"unknown_patients": 40}},
            [f"{DEVELOPMENT}, {CALIBRATION} and test share no picture. {NO_NAMES}"],
        ),
        (
            {"patient_key": False, "leakage": SHARED | {"counts": {"patients": None, "pixels": 1, "near": 0}}},
            [
                f"{DEVELOPMENT} and {CALIBRATION} share no picture. {NO_NAMES} What the test split shares with them "
                "follows below.",
                "- **Development and test share 1 equal picture** (`--allow_leakage`): figures on the test split are "
                "too good.",
            ],
        ),
    ],
)
def test_what_splits_share_is_said_as_far_as_it_is_known(tmp_path, recorded, lines):
    values = metrics()
    values["data"] = {key: value for key, value in values["data"].items() if key != "leakage"} | recorded
    protocol = build_card(write_run(tmp_path, values)).split("\n## Protocol\n")[1].split("\n## ")[0]
    assert [line for line in protocol.splitlines() if line.startswith(("- Development", "- **"))] == lines


HEAD, BLOCKS = {"name": "head", "seconds": 60}, {"name": "fine_tuning", "seconds": 600}


@pytest.mark.parametrize(
    ("recorded", "arguments", "base", "words"),
    [
        ([HEAD, BLOCKS], {}, "b", "the head on a frozen backbone, then all blocks at a lower rate;"),
        ([HEAD, BLOCKS], {"unfreeze_blocks": "4"}, "b", "the head on a frozen backbone, then the upper 4 blocks at a"),
        ([HEAD], {}, "b", "the head on a frozen backbone, and nothing else;"),
        ([BLOCKS], {"unfreeze_blocks": "2"}, "b", "the head with the upper 2 blocks, in one stage;"),
        ([BLOCKS], {}, "baseline-cnn", "everything from random weights;"),
        ([], {}, "b", "stages that are not recorded;"),
    ],
)
def test_the_stages_that_ran(tmp_path, recorded, arguments, base, words) -> None:
    content = metrics()
    content |= {"stages": recorded, "base_model": {"name": base, "hub_id": None}}
    content["arguments"] = {**content.get("arguments", {}), **arguments}
    assert f"- Training: {words}" in build_card(write_run(tmp_path, content))


@pytest.mark.parametrize(("steps", "shown"), [(3, True), (-1, False)])
def test_a_limit_of_steps_is_a_setting(tmp_path, steps, shown) -> None:
    content = metrics()
    content["arguments"] = {**content.get("arguments", {}), "max_steps": steps}
    assert (f"max_steps {steps}" in build_card(write_run(tmp_path, content))) is shown
