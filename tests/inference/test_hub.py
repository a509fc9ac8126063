"""A checkpoint by Hub id, against the stand-in on 127.0.0.1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hub_standin import StandIn, hub
from inference_checkpoints import SIDE, pictures

from hf_model import Classifier
from hf_model.inference.checkpoint import FETCHED, CheckpointError, locate
from hf_model.radiograph import Radiograph

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
    with pytest.raises(CheckpointError, match="is no folder here and could not be fetched from the Hub"):
        Classifier.from_pretrained("ward/tiny")


def test_a_path_never_asks_the_hub(hub: StandIn, tmp_path: Path) -> None:
    for source in (tmp_path / "ward", "./ward/tiny", "/ward/tiny", "a/b/c", "~/ward"):
        with pytest.raises(CheckpointError, match="There is no folder"):
            Classifier.from_pretrained(source)
    assert hub.requests == []
