"""What the machine is asked before training starts."""

from __future__ import annotations

import pytest
import torch

from hf_model.training import machine
from hf_model.training.arguments import FineTuningArguments


@pytest.mark.parametrize(("gain", "chosen"), [(0.0, "fp32"), (1.05, "fp32"), (1.1, "bf16"), (3.0, "bf16")])
def test_precision_follows_the_measurement(monkeypatch: pytest.MonkeyPatch, gain: float, chosen: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine, "bf16_gain", lambda: gain)
    assert machine.best_precision() == chosen


@pytest.mark.parametrize(("capability", "chosen"), [((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_a_gpu_is_looked_up(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], chosen: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert machine.best_precision() == chosen


def test_emulated_bfloat16_is_not_even_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert machine.bf16_gain.__wrapped__() == 0


@pytest.mark.parametrize(
    ("platform", "cores", "cuda", "expected"),
    [
        ("linux", 1, False, 0),
        ("linux", 2, False, 1),
        ("linux", 32, False, 1),
        ("linux", 4, True, 3),
        ("linux", 32, True, 8),
        ("win32", 8, True, 0),
    ],
)
def test_loader_processes(monkeypatch, platform: str, cores: int, cuda: bool, expected: int) -> None:
    monkeypatch.setattr(machine.sys, "platform", platform)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert machine.loader_workers() == expected


def test_a_number_of_processes_that_was_given_is_kept(tmp_path) -> None:
    assert FineTuningArguments(output_dir=str(tmp_path), dataloader_num_workers=3).dataloader_num_workers == 3
