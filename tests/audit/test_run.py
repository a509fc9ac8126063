"""The summary that ships names no picture, whatever pictures, patients and folders are called."""

from __future__ import annotations

import copy
import json

import pytest

from hf_model.audit.run import short_command, summarise
from hf_model.config import CHECKPOINT_DIR
from hf_model.hub.push import names_pictures


@pytest.fixture
def record() -> dict:
    """A record with names that are hard to find in a sentence."""
    group = {"files": ["train/Doe John 1960 (left), 2.png", "test/1"], "labels": [0, 1]}
    empty = {"groups": 0, "files": 0, "across_splits": 0, "across_patients": 0, "label_conflicts": 0, "list": []}
    counts = dict.fromkeys(("patients", "files", "pixels", "near"), 0) | {"bare_numbers": None, "patients": 1}
    return {
        "command": "python -m hf_model audit --dataset '/home/Dr. No/chests' --output=/tmp/x/out --renderings a/b/c",
        "name": "chests",
        "rows": 3,
        "integrity": {
            "rows": 3,
            "kinds": {"unreadable": 1},
            "codes": {},
            "skipped_by_training": 1,
            "problems": [{"where": "train/1", "kind": "unreadable", "reason": "1", "code": "damaged"}],
        },
        "duplicates": {
            "rendering": "chests",
            "pixel_size": [224, 224],
            "near": empty,
            "exact": empty | {"groups": 1, "files": 2, "label_conflicts": 1, "list": [group]},
        },
        "leakage": {
            "test_split": True,
            "patient_keys": True,
            "unknown_patients": {},
            "clean": False,
            "leaks": ["train and test share 1 patients by the full key, for example 12345: train/1 = test/1."],
            "pairs": [
                {"splits": ["train", "test"], "counts": counts, "examples": {"patients": ["12345: train/1 = test/1"]}}
            ],
        },
        "probes": {"chests": []},
        "shift": {"prevalence": {}, "classifiers": []},
        "labels": {
            "n": 3,
            "disagree": 1,
            "suspects": 1,
            "auc": {"value": 0.87654321, "interval": None},
            "list": [{"file": "train/1", "label": "NORMAL", "confidence": 0.1, "confident": True}],
        },
        "findings": [],
        "model_note": "outputs/m was trained on other data than /home/Dr. No/chests.",
    }


def test_no_name_is_left_and_no_figure_is_lost(record):
    before = copy.deepcopy(record)
    summary = summarise(record)
    assert record == before
    text = json.dumps(summary)
    for private in ("Doe", "John", "1960", "left", "12345", "train/", "test/", "home", "Dr.", "/tmp", "a/b"):
        assert private not in text
    assert [finding["text"] for finding in summary["findings"]] == [
        "Of 3 rows some hold no usable picture: 1 unreadable (the first is one picture). Training skips 1 of them.",
        "1 groups of equal or nearly equal pictures carry both labels, for example one picture and one picture.",
        "Leakage: train and test share 1 patients by the full key.",
        "1 of 3 labels look wrong to a classifier that never saw the patient (its AUC: 0.877). The most doubtful is "
        "one picture, NORMAL, to which it gives 10.0 %. They are listed for a reader and dropped nowhere.",
        "1 groups of pictures have equal decoded pixels (2 files, in chests at 224 x 224 px): 0 groups cross splits, 0 "
        "join two patient keys. 0 further pairs are nearly equal.",
    ]
    assert summary["labels"] == {"n": 3, "disagree": 1, "suspects": 1, "auc": {"value": 0.8765, "interval": None}}


@pytest.mark.parametrize(
    ("command", "short"),
    [
        (
            "python -m hf_model audit --dataset ../shared/data/xray --output outputs/audit/",
            "python -m hf_model audit --dataset xray --output audit",
        ),
        (
            "python -m hf_model audit --dataset hf-vision/chest-xray-pneumonia --output=/tmp/o",
            "python -m hf_model audit --dataset hf-vision/chest-xray-pneumonia --output=o",
        ),
        (
            "python -m hf_model audit --checkpoint hf_model/checkpoint --patient_pattern 'patient(\\d+)_'",
            "python -m hf_model audit --checkpoint checkpoint --patient_pattern 'patient(\\d+)_'",
        ),
        (
            "python -m hf_model audit --dataset '/home/Dr. No/chests (2)'",
            "python -m hf_model audit --dataset 'chests (2)'",
        ),
    ],
)
def test_paths_of_the_command_lose_their_folders(command, short, monkeypatch):
    monkeypatch.chdir(CHECKPOINT_DIR.parent.parent)
    assert short_command(command) == short


def test_a_whole_record_is_told_from_a_summary(record):
    assert names_pictures(record)
    assert not names_pictures(summarise(record))
    assert not names_pictures(json.loads((CHECKPOINT_DIR / "audit.json").read_text(encoding="utf-8")))
    # as an earlier version shortened "train/Doe John 1960.png"
    assert names_pictures({"findings": [{"text": "The most doubtful is one picture John 1960.png, NORMAL"}]})
