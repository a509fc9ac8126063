"""Promoting a run: what the shipped folder then holds, and what does not get there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from card_run_files import decision, metrics

from hf_model.commands.promote import promote
from hf_model.hub.push import PushError


@pytest.fixture
def finished(checkpoint: Path) -> Path:
    (checkpoint / "metrics.json").write_text(json.dumps(metrics()))
    decision().save(checkpoint)
    return checkpoint


def test_the_shipped_folder_becomes_what_a_push_would_upload(finished: Path, tmp_path: Path) -> None:
    target = tmp_path / "shipped"
    target.mkdir()
    (target / "of-the-old-one.txt").write_text("gone")
    promote(finished, target)
    assert not (target / "of-the-old-one.txt").exists()
    assert (target / "model.safetensors").read_bytes() == (finished / "model.safetensors").read_bytes()
    assert not list(target.glob("*.pt"))


def test_pictures_of_an_audit_are_not_shipped_and_its_record_is_refused(finished: Path, tmp_path: Path) -> None:
    (finished / "figures").mkdir()
    for name in ("roc.png", "samples_normal.png"):
        (finished / "figures" / name).write_bytes(b"picture")
    (finished / "audit.json").write_text(json.dumps({"integrity": {"problems": [{"where": "train/Doe.png"}]}}))
    with pytest.raises(PushError, match=r"audit\.json cannot be pushed: it names pictures of the data set"):
        promote(finished, tmp_path / "shipped")
    assert not (tmp_path / "shipped").exists()
    (finished / "audit.json").unlink()
    promote(finished, tmp_path / "shipped")
    assert [path.name for path in (tmp_path / "shipped" / "figures").iterdir()] == ["roc.png"]


def test_a_head_that_transformers_does_not_load_is_not_shipped(finished: Path, tmp_path: Path) -> None:
    (finished / "config.json").write_text(json.dumps({"chest_xray_head": "dense-64"}))
    with pytest.raises(PushError, match="has the head dense-64, which transformers does not load"):
        promote(finished, tmp_path / "shipped")
    assert not (tmp_path / "shipped").exists()


def test_a_run_with_a_closed_test_split_is_not_shipped(finished: Path, tmp_path: Path) -> None:
    (finished / "metrics.json").write_text(json.dumps({key: v for key, v in metrics().items() if key != "test"}))
    with pytest.raises(PushError, match="has no test results"):
        promote(finished, tmp_path / "shipped")
