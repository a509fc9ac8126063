"""Options: defaults, files, and refusals in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hf_model.training.arguments import parse_arguments


def test_defaults() -> None:
    data, model, augmentation, decision, training = parse_arguments([])
    assert data.dataset == "hf-vision/chest-xray-pneumonia"
    assert model.base_model == "efficientnet-lite0"
    assert decision.target_sensitivity == 0.95
    assert (decision.rule_out_sensitivity, decision.rule_in_specificity, decision.confidence) == (0.98, 0.95, 0.95)
    assert (augmentation.mixup, augmentation.spectrum) == (0.0, 0.7)
    assert training.load_best_model_at_end
    assert not training.push_to_hub


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_a_file_gives_defaults_and_the_command_line_wins(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"settings{suffix}"
    file.write_text(json.dumps({"rotation": 5.0, "seed": 7, "renderings": ["a", "b"]}))  # JSON is YAML too
    data, _, augmentation, _, training = parse_arguments([str(file), "--seed", "9"])
    assert (augmentation.rotation, training.seed, data.renderings) == (5.0, 9, ["a", "b"])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--rotation", "-1"], "--rotation -1.0: must not be negative"),
        (["--target_sensitivity", "1.2"], "--target_sensitivity 1.2"),
        (["--rule_out_sensitivity", "1"], "--rule_out_sensitivity 1.0"),
        (["--rule_in_specificity", "0.2"], "--rule_in_specificity 0.2"),
        (["--unfreeze_blocks", "some"], "--unfreeze_blocks some"),
        (["--precision", "fp8"], "--precision fp8"),
        (["--calibration_fraction", "0.6"], "--calibration_fraction 0.6"),
        (["--no_such_option", "1"], "no_such_option"),
        (["--image_size", "8"], "--image_size 8"),
        (["--num_train_epochs", "-1"], "--num_train_epochs -1.0: must not be negative"),
        (["--head_epochs", "-1"], "--head_epochs -1: must not be negative"),
        (["--learning_rate", "-0.001"], "--learning_rate -0.001: must not be negative"),
        (["--learning_rate", "nan"], "--learning_rate nan: must not be negative"),
        (["--head_learning_rate", "-1"], "--head_learning_rate -1.0: must not be negative"),
        (["--head_views", "0"], "--head_views 0: must be at least 1"),
        (["--per_device_train_batch_size", "0"], "--per_device_train_batch_size 0: must be at least 1"),
        (["--label_smoothing_factor", "1"], "--label_smoothing_factor 1.0"),
        (["--metric_for_best_model", "auc"], "--metric_for_best_model auc: one of accuracy, average_precision"),
        (["--loss", "hinge"], "--loss hinge: one of weighted, plain, focal"),
        (["--head", "dense"], "--head dense: there is no such head; one of plain"),
    ],
)
def test_bad_options_are_named_in_one_line(argv: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises((SystemExit, ValueError)) as caught:
        parse_arguments(argv)
    assert message in capsys.readouterr().err + str(caught.value)


def test_unknown_setting_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{"rotatoin": 5}')
    with pytest.raises(SystemExit):
        parse_arguments([str(file)])
    assert "rotatoin" in capsys.readouterr().err


def test_missing_file(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["nowhere.yaml"])
    assert "nowhere.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(("metric", "better", "worse"), [("roc_auc", 0.9, 0.5), ("loss", 0.1, 0.4)])
def test_plateau_reduces_the_rate_when_the_metric_stops_gaining(metric: str, better: float, worse: float) -> None:
    import torch
    from transformers import get_scheduler

    argv = ["--lr_scheduler_type", "reduce_lr_on_plateau", "--metric_for_best_model", metric]
    training = parse_arguments(argv)[-1]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    plateau = get_scheduler(
        training.lr_scheduler_type, optimizer, scheduler_specific_kwargs=training.lr_scheduler_kwargs
    )
    gaining = [worse + (better - worse) * step / 4 for step in range(5)]
    for value in gaining:
        plateau.step(value)
    assert optimizer.param_groups[0]["lr"] == 1.0
    plateau.step(worse)
    plateau.step(worse)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.3)


@pytest.mark.parametrize("metric", ["eval_roc_auc", "log_loss", "loss", "sensitivity"])
def test_metrics_that_are_computed_may_choose_the_best_state(metric: str) -> None:
    assert parse_arguments(["--metric_for_best_model", metric])[-1].metric_for_best_model == metric


def test_the_names_are_those_that_evaluation_gives() -> None:
    from types import SimpleNamespace

    import numpy as np

    from hf_model.metrics.trainer_metrics import make_compute_metrics
    from hf_model.training.arguments import metric_names

    prediction = SimpleNamespace(predictions=np.array([[1.0, 0.0], [0.0, 1.0]]), label_ids=np.array([0, 1]))
    assert {*make_compute_metrics()(prediction), "loss"} == set(metric_names())


@pytest.mark.parametrize("tracker", ["tensorboard", "trackio"])
def test_a_tracker_that_is_not_installed_is_named_at_the_start(tracker: str, monkeypatch, capsys) -> None:
    from hf_model.training import arguments

    found = arguments.importlib.util.find_spec
    missing = {"tensorboard", "tensorboardX", "trackio"}
    monkeypatch.setattr(arguments.importlib.util, "find_spec", lambda name: None if name in missing else found(name))
    with pytest.raises(SystemExit):
        parse_arguments(["--report_to", tracker])
    expected = f"--report_to {tracker}: the package is not installed; pip install {tracker}"
    assert expected in " ".join(capsys.readouterr().err.split())
