"""``--push_to_hub``: checked before training, published after it, and nothing lost if that fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from generated import write_image_folder

import train

BRIEF = ("--num_train_epochs", "0", "--head_epochs", "1", "--head_views", "1", "--disable_tqdm", "true")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_image_folder(tmp_path_factory.mktemp("push"), {"train": 80, "test": 6})


def run(pictures: Path, base: Path, out: Path) -> int:
    argv = ["--dataset", str(pictures), "--base_model", str(base), "--output_dir", str(out), *BRIEF]
    return train.main([*argv, "--push_to_hub", "--hub_model_id", "chest"])


def test_checkpoint_card_and_metrics_go_up(hub, pictures: Path, tiny_base: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(pictures, tiny_base, out) == 0
    published = set(hub.files("tester/chest"))
    assert {"config.json", "model.safetensors", "decision.json", "metrics.json", "README.md"} <= published
    assert not [name for name in published if name.startswith("stages/") or name.endswith((".pt", "training_args.bin"))]
    assert "hf_" not in json.loads((out / "metrics.json").read_text())["command"]


def test_no_right_to_write_is_said_before_training(hub, pictures, tiny_base, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert run(pictures, tiny_base, tmp_path / "run") == 1
    assert "token" in capsys.readouterr().err.lower()
    assert not (tmp_path / "run").exists()


def test_a_failed_push_loses_nothing_and_says_how_to_go_on(hub, pictures, tiny_base, tmp_path, capsys) -> None:
    hub.faults = [(r"/commit/", 500)]
    out = tmp_path / "run"
    assert run(pictures, tiny_base, out) == 1
    assert f"python -m hf_model push {out} --hub_model_id tester/chest" in capsys.readouterr().err
    assert {path.name for path in out.iterdir()} >= {"model.safetensors", "metrics.json", "README.md", "decision.json"}
