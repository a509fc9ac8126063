"""What the training benchmarks make of their measurements, on numbers worked out by hand."""

from __future__ import annotations

import pytest

from benchmarks import train_finetune, train_head, train_processes, train_scale, train_time
from benchmarks.training import speed, waiting


def test_speed_is_by_the_median_step_after_the_first_ones() -> None:
    """Steps end at 9, 10, 11, 12, 20: after two of them they take 1, 1 and 8 s; batch 4, 5, 6 were waited for."""
    run = {"moments": [9.0, 10.0, 11.0, 12.0, 20.0], "waited": [5.0, 0.1, 0.1, 0.2, 0.1, 0.2, 3.0]}
    found = speed(run, skip=2)
    assert found["pictures_per_second"] == pytest.approx(32.0)
    assert found["waiting_share"] == pytest.approx((0.2 + 0.1 + 0.2) / 10)
    assert found["steps"] == 3


def test_waits_of_a_loader_are_seen_and_the_loader_is_left_as_it_was() -> None:
    from torch.utils.data import DataLoader
    from torch.utils.data.dataloader import _BaseDataLoaderIter

    before = _BaseDataLoaderIter.__next__
    with waiting() as seconds:
        assert len(list(DataLoader([1, 2, 3]))) == 3
    assert len(seconds) == 4  # the last one found the end
    assert _BaseDataLoaderIter.__next__ is before


def test_fine_tuning_table() -> None:
    section = {
        "plain": {"pictures_per_second": 8.0, "waiting_share": 0.04},
        "fp32": {"pictures_per_second": 24.0, "waiting_share": 0.001, "bf16": False},
        "auto": {"pictures_per_second": 40.0, "waiting_share": 0.002, "bf16": True},
        "step": {"convolutions, backward": 0.25, "everything else": 0.75},
        "limit": 400.0,
        "limit_precision": "bf16",
        "multiply_adds": 1.2e9,
    }
    text = train_finetune.table(section)
    assert "| train.py, precision chosen here (bf16) | 40.0/s | 5.0 | 0.2 % |" in text
    assert "10 % of that is reached" in text


def test_multiply_adds_of_a_known_network() -> None:
    """One 3 x 3 convolution from 3 to 4 channels on 224 x 224 px with padding: 224 * 224 * 27 * 4."""
    import torch

    class Tiny(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 4, 3, padding=1, bias=False)

        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            return self.layer(pixel_values)

    assert train_finetune._forward_multiply_adds(Tiny()) == 224 * 224 * 27 * 4


def test_head_table() -> None:
    section = {
        "each_epoch_fp32": {"seconds": 900.0, "bf16": False},
        "each_epoch": {"seconds": 300.0, "bf16": True},
        "views_1": {"seconds": 45.0, "auc": 0.981},
        "views_2": {"seconds": 90.0, "auc": 0.984},
        "pictures": 3678,
    }
    text = train_head.table(section)
    assert "| features of two augmented views stored (default) | 90 s | 10.0 | 0.9840 |" in text
    assert "| backbone in every epoch, float32, batches made in the step | 900 s | 1.0 |  |" in text


def test_scale_table() -> None:
    part = {"rows": 50_000, "private_mib": 1801.2, "pictures_per_second": 33.3, "waiting_share": 0.0042, "steps": 12}
    assert "| 50,000 | 33.3/s | 0.4 % | 1801 MiB |" in train_scale.table({"rows": [part]})


def test_time_table_says_when_the_goal_was_not_reached() -> None:
    looks = [{"step": 0, "seconds": 60.4, "auc": 0.9412}, {"step": 16, "seconds": 75.2, "auc": 0.9571}]
    passed = {"passed": True, "seconds": 75.2, "looks": looks}
    missed = {"passed": False, "seconds": None, "looks": looks[:1]}
    assert "| default recipe | 75 s | 0.941 at 60 s | 16 |" in train_time.table({"goal": 0.956, "default": passed})
    assert "| default recipe | not passed | 0.941 at 60 s | 0 |" in train_time.table({"goal": 0.956, "default": missed})


def test_processes_are_read_from_the_last_evaluation_of_stage_two() -> None:
    cells = {"eval_tn": 30, "eval_fp": 2, "eval_fn": 3, "eval_tp": 65}
    metrics = {
        "history": [
            {"stage": "head", "eval_roc_auc": 0.5, **dict.fromkeys(cells, 0)},
            {"stage": "fine_tuning", "loss": 0.9},
            {"stage": "fine_tuning", "eval_roc_auc": 0.91, "eval_log_loss": 0.4, **dict.fromkeys(cells, 1)},
            {"stage": "fine_tuning", "loss": 0.3},
            {"stage": "fine_tuning", "eval_roc_auc": 0.97, "eval_log_loss": 0.2, **cells},
        ],
        "stages": [{"seconds": 5.0, "epochs": 10.0}, {"seconds": 20.0, "epochs": 2.0}],
        "data": {"splits": {"development_train": {"images": 700}}},
    }
    found = train_processes._read(metrics)
    assert found == {
        "counted": 100,
        "auc": 0.97,
        "log_loss": 0.2,
        "first_loss": 0.9,
        "last_loss": 0.3,
        "seconds": 20.0,
        "pictures": 700,
        "epochs": 2.0,
    }
    text = train_processes.table({"one": found, "two": found})
    assert "| two processes, 16 a step each | 0.9700 | 0.200 | 0.900 | 0.300 | 100 | 70.0/s |" in text
