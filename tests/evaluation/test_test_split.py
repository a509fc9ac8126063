"""The sealed test split: openings are recorded and refused; which pictures belong to it, by name."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from generated import make_scores

from hf_model.evaluation import test_split
from hf_model.evaluation.recalibration import refit, write_recalibrated
from hf_model.evaluation.test_split import CheckpointPictures, file_key, is_distinctive
from hf_model.metrics.scores import Scores

METRICS = {"data": {"dataset": "hf-vision/chest-set", "renderings": ["chest-set", "chest-set-sharp"]}}
TESTED, CALIBRATED = ["person1_virus_6.jpeg", "0.png"], ["person7_virus_9.jpeg", "1.png"]
known_to = CheckpointPictures.read


def write_scores(folder: Path, name: str, names: list[str]) -> None:
    Scores(np.zeros((len(names), 2)), [0] * len(names), names, [""] * len(names)).to_csv(folder / "scores" / name)


def pictures(name: str, split: str, *names: str) -> SimpleNamespace:
    return SimpleNamespace(dataset=f"somewhere/{name}", name=name, split=split, names=list(names))


def test_an_opening_is_recorded_and_a_second_refused(tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps({"seed": 7, "test_openings": []}))
    first = test_split.open_test(tmp_path, "aaa", ["chest-set"], reopen=False)
    assert (first["count"], first["weights_sha256"], first["renderings"]) == (1, "aaa", ["chest-set"])
    with pytest.raises(test_split.SealedTestError, match=r"1 in all\)\. --reopen_test opens"):
        test_split.open_test(tmp_path, "aaa", ["chest-set"], reopen=False)
    assert test_split.open_test(tmp_path, "bbb", ["chest-set"], reopen=False)["count"] == 1  # other weights
    assert test_split.open_test(tmp_path, "aaa", ["chest-set"], reopen=True)["count"] == 2
    kept = json.loads((tmp_path / "metrics.json").read_text())
    assert kept["seed"] == 7
    assert [(entry["weights_sha256"], entry["count"]) for entry in kept["test_openings"]] == [
        ("aaa", 1),
        ("bbb", 1),
        ("aaa", 2),
    ]


def test_the_refusal_names_the_stored_scores_and_a_hub_folder_is_left_alone(tmp_path, scores):
    (tmp_path / "metrics.json").write_text(json.dumps({"test_openings": [{"weights_sha256": "aaa", "when": "then"}]}))
    before = (tmp_path / "metrics.json").read_bytes()
    scores.to_csv(tmp_path / "scores" / "test.csv")
    with pytest.raises(test_split.SealedTestError, match="--from_scores makes the report"):
        test_split.open_test(tmp_path, "aaa", ["x"], reopen=False)
    assert test_split.open_test(tmp_path, "aaa", ["x"], reopen=True, writable=False)["count"] == 2
    assert (tmp_path / "metrics.json").read_bytes() == before
    assert list(test_split.stored_scores(tmp_path)) == ["test"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_scores(tmp_path, "test-chest-set.csv", TESTED)
    write_scores(tmp_path, "calibration.csv", CALIBRATED)
    return tmp_path


def test_without_stored_scores_names_of_data_set_and_split_decide(tmp_path):
    known = known_to(METRICS, tmp_path)
    assert known.role(pictures("chest-set", "test", "a1b2.png")) == "test"
    assert known.role(pictures("chest-set-sharp", "train+test", "a1b2.png")) == "test"
    assert known.role(pictures("chest-set", "train", "a1b2.png")) == "development"
    assert known.role(pictures("elsewhere", "test", "a1b2.png")) == "external"
    assert known_to(None, tmp_path).role(pictures("chest-set", "test", "a1b2.png")) == "external"
    originals = METRICS | {"arguments": {"originals": "somewhere/chest-originals/"}}
    assert known_to(originals, tmp_path).role(pictures("chest-originals", "train", "a1b2.png")) == "development"


@pytest.mark.parametrize(
    ("name", "split", "names", "role"),
    [
        # the same pictures under another name, with another suffix, are what they were
        ("chest_xray", "train", ["new_face.jpeg", "person1_virus_6.png"], "test"),
        ("chest_xray", "train", ["new_face.jpeg", "PERSON7_virus_9.dcm"], "development"),
        ("chest_xray", "test", ["new_face.jpeg", "person7_virus_9.jpeg"], "development"),
        # a number may be anybody's, but not in the data set itself
        ("chest_xray", "train", ["0.png", "1.png"], "external"),
        ("chest-set", "train", ["0.png"], "test"),
        ("chest-set", "train", ["1.png"], "development"),
    ],
)
def test_roles_by_file_names(folder, name, split, names, role):
    assert known_to(METRICS, folder).role(pictures(name, split, *names)) == role


@pytest.mark.parametrize(
    "name",
    ["row-0", "0.png", "image.dcm", "IM-0001-0001.jpeg", "img_12.tif", "normal_1.jpg", "Chest X-Ray 7.png", "P03.png"],
)
def test_names_that_any_data_set_may_have(name):
    assert not is_distinctive(file_key(name))


@pytest.mark.parametrize(
    "name",
    ["person1_virus_6.jpeg", "BACTERIA-1008087-0001.jpeg", "1.2.840.113619.2.55.3", "20240131093012.png", "anna_1.png"],
)
def test_names_that_only_one_picture_has(name):
    assert is_distinctive(file_key(name))


def test_a_numbering_that_starts_anew_in_each_split_tells_nothing(tmp_path):
    every = [f"ward_{number}.png" for number in range(20)]
    write_scores(tmp_path, "test-chest-set.csv", every[:10])
    write_scores(tmp_path, "calibration.csv", every[5:15])
    known = known_to(METRICS, tmp_path)
    assert known.role(pictures("chest-set", "train", *every)) == "development"
    test = pictures("chest-set", "test", *every[:10])
    assert (known.role(test), known.test_rows(test)) == ("test", list(range(10)))
    # ... but a name or two on both sides are leakage, and the others still tell
    write_scores(tmp_path, "calibration.csv", ["ward_0.png", *(f"ward_{number}.png" for number in range(100, 130))])
    write_scores(tmp_path, "test-chest-set.csv", [*every, *(f"hall_{number}.png" for number in range(10))])
    both = pictures("renamed", "train", "ward_0.png", "ward_1.png", "ward_100.png")
    assert known_to(METRICS, tmp_path).test_rows(both) == [1]


def test_names_made_up_by_row_are_not_looked_at(tmp_path):
    write_scores(tmp_path, "test-chest-set.csv", ["row-0", "row-1"])
    known = known_to(METRICS, tmp_path)
    assert known.role(pictures("renamed", "train", "row-1")) == "external"
    assert known.role(pictures("chest-set", "validation", "row-1")) == "development"


def test_of_a_set_that_holds_more_only_the_stored_test_pictures_are_its_test_split(folder):
    known = known_to(METRICS, folder)
    mixed = pictures("chest-set", "train", "person3_virus_1.jpeg", "person1_virus_6.jpeg", "1.png", "0.png")
    assert (known.role(mixed), known.test_rows(mixed)) == ("test", [1, 3])
    twice = pictures("chest-set", "train", *TESTED, "0.png")
    with pytest.raises(ValueError, match=r"one file name, for example 0: rename them"):
        known.test_rows(twice)
    # in a published test split two classes may use one name
    assert known.test_rows(pictures("chest-set", "test", *TESTED, "0.png", "blank_1.png")) == [0, 1, 2]


def test_what_cannot_be_told_apart_is_refused(folder, tmp_path_factory):
    bare = known_to(METRICS, tmp_path_factory.mktemp("bare"))
    assert bare.test_rows(pictures("chest-set", "test", "a1b2.png", "c3d4.png")) == [0, 1]
    with pytest.raises(ValueError, match=r"split train\+test, holds .* with --split test\.$"):
        bare.test_rows(pictures("chest-set", "train+test", "a1b2.png"))
    known = known_to(METRICS, folder)
    other = pictures("chest-set", "test", "person900_virus_1.jpeg")
    assert known.role(other) == "test"
    with pytest.raises(ValueError, match=r"none of its pictures is one of the 2 .* another name\.$"):
        known.test_rows(other)
    assert known.test_rows(pictures("chest-set", "test", "row-0")) == [0]


def test_a_recalibrated_checkpoint_still_knows_what_it_was_trained_on(folder, tmp_path):
    local = make_scores(80)
    decision = refit(local)
    decision.save(folder)
    write_recalibrated(folder, tmp_path / "new", decision, local, METRICS, {})
    write_recalibrated(tmp_path / "new", tmp_path / "newer", decision, local, METRICS, {})
    for number, made in enumerate(("new", "newer"), 1):
        assert known_to(METRICS, tmp_path / made).role(pictures("chest_xray", "train", CALIBRATED[0])) == "development"
        kept = sorted(path.name for path in (tmp_path / made / "scores").glob("calibration-*"))
        assert kept == [f"calibration-before-{index + 1}.csv" for index in range(number)]
    assert Scores.from_csv(tmp_path / "newer" / "scores" / "calibration-before-1.csv").names == CALIBRATED
    assert set(Scores.from_csv(tmp_path / "newer" / "scores" / "calibration-before-2.csv").patients) == {""}
