"""``recalibrate`` on generated pictures, from the command line to the files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from generated import write_image_folder

from hf_model.commands import recalibrate as recalibrate_cli
from hf_model.files import sha256
from hf_model.inference.classifier import Classifier
from hf_model.metrics.decision import Decision
from hf_model.metrics.operating_point import fit_decision
from hf_model.metrics.scores import Scores


def recalibrate(*words: object) -> int:
    return recalibrate_cli.main(["--engine", "torch", *map(str, words)])


def test_recalibration_changes_the_decision_and_nothing_else(checkpoint, pictures, tmp_path, capsys):
    new = tmp_path / "local"
    assert recalibrate("--checkpoint", checkpoint, "--dataset", pictures / "elsewhere", "--output", new) == 0
    assert "default: Threshold" in capsys.readouterr().out
    for name in ("model.safetensors", "config.json", "preprocessor_config.json"):
        assert (new / name).read_bytes() == (checkpoint / name).read_bytes()
    decision, local = Decision.load(new), Scores.from_csv(new / "scores" / "calibration.csv")
    expected = fit_decision(local)
    assert (decision.temperature, decision.bias, decision.points) == (
        expected.temperature,
        expected.bias,
        expected.points,
    )
    facts = decision.provenance
    assert (facts["dataset"], facts["split"], facts["recalibrated"]) == ("elsewhere", "train", True)
    assert facts["weights_sha256"] == sha256(new / "model.safetensors")
    assert json.loads((new / "metrics.json").read_text())["recalibration"]["before"]["threshold"] == (
        Decision.load(checkpoint).threshold
    )
    probability = Classifier.from_pretrained(new, engine="torch").predict(
        next((pictures / "elsewhere").rglob(local.names[0])), heat_map=False
    )
    assert probability.probability == pytest.approx(decision.probability(*local.logits[0].tolist()), abs=1e-5)
    assert np.isfinite(local.logits).all()


def test_recalibration_refuses_what_proves_nothing(checkpoint, pictures, tmp_path, capsys):
    few = write_image_folder(tmp_path / "few", {"train": 12}, first=900)
    for words, message in (
        (["--dataset", few], "needs at least 59 with pneumonia"),
        (["--dataset", pictures / "set", "--split", "test"], "own test split"),
        (["--dataset", pictures / "set", "--split", "train"], "trained on"),
    ):
        assert recalibrate("--checkpoint", checkpoint, "--output", tmp_path / "new", *words) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "new").exists()
    assert recalibrate("--checkpoint", checkpoint, "--dataset", few, "--output", checkpoint) == 2
    assert "is there already" in capsys.readouterr().err
