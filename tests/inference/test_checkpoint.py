"""Checkpoints: folders that are refused and why, and Hub ids, against a Hub on 127.0.0.1."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from generated import pictures
from hub_standin import StandIn, hub
from tiny_checkpoint import SIDE, random_folder

from hf_model import Classifier
from hf_model.inference.checkpoint import FETCHED, CheckpointError, locate
from hf_model.radiograph import OODDetector, Radiograph

__all__ = ["hub"]

PIXELS = pictures(1)[0]
RADIOGRAPH = Radiograph(pixels=PIXELS, name="a", format="PNG", original_size=(SIDE, SIDE))
EXTRA = {"pytorch_model.bin": b"pickle", "training_args.bin": b"pickle", "code.py": b"raise SystemExit"}


def publish(hub: StandIn, folder: Path, name: str) -> None:
    """Put a folder into the stand-in, with files beside it that must not be fetched."""
    contents = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    large = (".safetensors", ".bin")
    files = {key: hub.store(data, lfs=key.endswith(large)) for key, data in {**contents, **EXTRA}.items()}
    hub.add_commit(hub.add_repo(name), "main", files, "checkpoint")


def test_hub_id_gives_what_the_folder_gives(hub: StandIn, exported_folder: Path) -> None:
    publish(hub, exported_folder, "ward/tiny")
    remote = Classifier.from_pretrained("ward/tiny", cache="")
    local = Classifier.from_pretrained(exported_folder, cache="")
    assert remote.model_id == "ward/tiny"
    assert remote.model_hash == local.model_hash
    assert remote.engine_name == local.engine_name
    np.testing.assert_array_equal(remote.predict(RADIOGRAPH).logits, local.predict(RADIOGRAPH).logits)


def test_only_the_listed_files_are_fetched(hub: StandIn, exported_folder: Path) -> None:
    publish(hub, exported_folder, "ward/tiny")
    folder, _ = locate("ward/tiny")
    fetched = {path.name for path in folder.iterdir()}
    assert fetched == {path.name for path in exported_folder.iterdir()} & set(FETCHED)
    assert not fetched & set(EXTRA)


@pytest.mark.parametrize(
    ("name", "revision", "message"),
    [
        ("ward/absent", None, "ward/absent is neither a folder here nor a repository that this token can read"),
        ("ward/tiny", "v9", "ward/tiny has no revision 'v9'; name a branch, tag or commit"),
    ],
)
def test_what_is_not_there_is_said(hub: StandIn, exported_folder: Path, name, revision, message) -> None:
    publish(hub, exported_folder, "ward/tiny")
    with pytest.raises(CheckpointError, match=message):
        Classifier.from_pretrained(name, revision=revision)


def test_a_hub_that_cannot_be_reached_is_said(hub: StandIn) -> None:
    hub.stop()
    with pytest.raises(CheckpointError, match="is not a folder here and could not be fetched from the Hub"):
        Classifier.from_pretrained("ward/tiny")


def test_a_path_never_asks_the_hub(hub: StandIn, tmp_path: Path) -> None:
    for source in (tmp_path / "ward", "./ward/tiny", "/ward/tiny", "a/b/c", "~/ward"):
        with pytest.raises(CheckpointError, match="There is no folder"):
            Classifier.from_pretrained(source)
    assert hub.requests == []


def test_an_ood_detector_of_other_weights_is_refused(exported_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported_folder, tmp_path / "gated")
    one = np.ones(1, np.float32)
    OODDetector(one, one[None], one, 1.0, 1.0, metadata={"weights_sha256": "1" * 64}).save(folder)
    with pytest.raises(CheckpointError, match=r"gate\.safetensors of gated was fitted on other weights"):
        Classifier.from_pretrained(folder)


def test_decision_of_other_weights_is_refused(exported_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported_folder, tmp_path / "mixed")
    content = json.loads((folder / "decision.json").read_text())
    content["provenance"] = {"weights_sha256": "0" * 64}
    (folder / "decision.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"decision\.json of mixed was fitted on other weights \(000000000000…"):
        Classifier.from_pretrained(folder)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"0": "normal", "1": " Pneumonia"}, None),
        ({"0": "cat", "1": "dog"}, "has the labels cat, dog; only a classifier with the two labels NORMAL and PNEUMON"),
        ({"0": "NORMAL", "1": "PNEUMONIA", "2": "COVID"}, "COVID, NORMAL, PNEUMONIA"),
        (None, "LABEL_0, LABEL_1"),
    ],
)
def test_labels(tmp_path: Path, labels: dict | None, message: str | None) -> None:
    folder = random_folder(tmp_path / "labelled")
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = labels
    (folder / "config.json").write_text(json.dumps(config))
    if message is None:
        assert Classifier.from_pretrained(folder, engine="torch").predict(RADIOGRAPH).ok
        return
    with pytest.raises(CheckpointError, match=message):
        Classifier.from_pretrained(folder)


def test_folders_that_are_no_checkpoint_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no config\.json, so it is not a checkpoint"):
        Classifier.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="There is no folder"):
        Classifier.from_pretrained(tmp_path / "absent")
    (tmp_path / "config.json").write_text('{"id2label": {"0": "NORMAL", "1": "PNEUMONIA"}}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(CheckpointError, match="Pickled weights are never loaded"):
        Classifier.from_pretrained(tmp_path)
