"""Weight averaging: the recursion by hand, swapping in and out, storing and taking up again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hf_model.training.trainer import WeightAverage


def _step(average: WeightAverage, model: nn.Module, value: float) -> None:
    with torch.no_grad():
        model.weight.fill_(value)
    average.on_step_end(None, None, None, model=model)


def test_recursion_by_hand(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    average = WeightAverage(0.2)
    average.on_train_begin(SimpleNamespace(output_dir=tmp_path), SimpleNamespace(global_step=0), None, model=model)
    _step(average, model, 2.0)  # decay min(0.2, 2 / 11) = 0.1818: 0.1818 * 1 + 0.8182 * 2
    assert average.averaged.module.weight.item() == pytest.approx(2 / 11 * 1 + 9 / 11 * 2)
    _step(average, model, 3.0)  # decay 0.2 now
    assert average.averaged.module.weight.item() == pytest.approx(0.2 * (2 / 11 + 18 / 11) + 0.8 * 3, abs=1e-6)


def test_swap_and_back(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(0.9)
    average.on_train_begin(SimpleNamespace(output_dir=tmp_path), SimpleNamespace(global_step=0), None, model=model)
    _step(average, model, 5.0)
    averaged = average.averaged.module.weight.item()
    with average.swapped_in(model):
        assert model.weight.item() == averaged
        assert model.weight.item() != 5.0
    assert model.weight.item() == 5.0
    assert average.averaged.module.weight.item() == averaged


def test_stored_beside_the_state_and_taken_up_again(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    first = WeightAverage(0.9)
    arguments = SimpleNamespace(output_dir=tmp_path)
    first.on_train_begin(arguments, SimpleNamespace(global_step=0), None, model=model)
    _step(first, model, 4.0)
    (tmp_path / "checkpoint-1").mkdir()
    first.on_save(arguments, SimpleNamespace(global_step=1, is_world_process_zero=True), None)
    second = WeightAverage(0.9)
    second.on_train_begin(arguments, SimpleNamespace(global_step=1), None, model=model)
    _step(first, model, 7.0)
    _step(second, model, 7.0)
    assert second.averaged.module.weight.item() == first.averaged.module.weight.item()


def test_decay_out_of_range() -> None:
    with pytest.raises(ValueError, match="ema_decay"):
        WeightAverage(1.0)
