"""Whose radiographs a checkpoint was fitted on: from metrics.json, by known counts, or not described."""

import json

import pytest

from hf_model.config import CHECKPOINT_DIR
from hf_model.radiograph.population import KERMANY, UNDESCRIBED, Population, known

COUNTS = {"train": {"NORMAL": 1341, "PNEUMONIA": 3875}, "test": {"NORMAL": 234, "PNEUMONIA": 390}}
ADULTS = {"patients": "adults", "text": "PA films of adults", "age_years": [18, 90], "view": "PA", "hospital": None}


def test_the_shipped_checkpoint_is_known_by_its_counts():
    metrics = json.loads((CHECKPOINT_DIR / "metrics.json").read_text(encoding="utf-8"))
    assert Population.of(metrics) == KERMANY
    assert KERMANY.children


def test_counts_decide_and_names_do_not():
    assert known(COUNTS) == KERMANY
    assert known({"train": (1349, 3883), "test": [234, 390]}) == KERMANY
    assert known({**COUNTS, "test": {"NORMAL": 234, "PNEUMONIA": 391}}) is None
    assert Population.of({"data": {"dataset": "hf-vision/chest-xray-pneumonia", "published": {"train": 5}}}) is None
    assert Population.of(None) is None
    assert Population.of({}) is None


def test_what_metrics_json_describes_comes_first_and_comes_back():
    described = Population.of({"data": {"published": COUNTS, "population": ADULTS}})
    assert described == Population("adults", "PA films of adults", (18.0, 90.0), "PA")
    assert not described.children
    assert Population.of({"data": {"population": json.loads(json.dumps(KERMANY.to_dict()))}}) == KERMANY
    assert Population.of({"data": {"published": COUNTS, "population": None}}) is None


@pytest.mark.parametrize("content", ["children", {}, {**ADULTS, "age_years": [1]}, {**ADULTS, "text": " "}])
def test_a_description_of_another_shape_is_named(content):
    with pytest.raises(ValueError, match=r"data\.population of metrics\.json"):
        Population.of({"data": {"population": content}})


def test_findings_follow_the_described_population():
    adults = Population.of({"data": {"population": ADULTS}})
    assert [found.code for found in adults.findings({"view_position": "AP", "age_years": 3.0})] == ["view-ap", "age"]
    assert adults.findings({"view_position": "PA", "age_years": 90.9}) == ()
    assert adults.findings({}) == ()
    assert Population("somebody", "films of somebody").findings({"view_position": "PA", "age_years": 3.0}) == ()
    assert [found.code for found in KERMANY.findings({"age_years": 6.0})] == ["age"]
    assert KERMANY.findings({"age_years": 5.99, "view_position": "LL"}) == ()


def test_sentences_name_children_patients_or_nobody():
    assert (KERMANY.singular, KERMANY.plural) == ("child", "children")
    assert KERMANY.out_of_scope == "No figure here speaks for adults."
    adults = Population.of({"data": {"population": ADULTS}})
    assert (adults.singular, adults.plural, adults.trained_on) == (
        "patient",
        "patients",
        "Trained on PA films of adults.",
    )
    assert adults.out_of_scope == UNDESCRIBED.out_of_scope == "No figure here speaks for patients of another kind."
    assert UNDESCRIBED.trained_on == "The population is not described by this checkpoint."
    assert (KERMANY.described, UNDESCRIBED.described) == (True, False)
