"""The Trainer: losses by hand, one step however it is accumulated, and the weight average."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from transformers.modeling_outputs import ImageClassifierOutputWithNoAttention

from hf_model.training.arguments import FineTuningArguments
from hf_model.training.trainer import PneumoniaTrainer, WeightAverage, focal_losses, unweighted_losses, weighted_losses

WEIGHTS = (1.9448, 0.6730)


def test_weighted_loss_by_hand() -> None:
    logits = torch.tensor([[1.0, 3.0], [0.5, -0.5], [0.0, 0.0]])
    targets = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.25, 0.75]])
    by_hand = [
        0.6730 * math.log(1 + math.exp(-2)),
        1.9448 * math.log(1 + math.exp(-1)),
        (0.25 * 1.9448 + 0.75 * 0.6730) * math.log(2),
    ]
    found = weighted_losses(logits, targets, torch.tensor(WEIGHTS))
    assert found.tolist() == pytest.approx(by_hand, abs=1e-6)


def test_it_is_torch_s_loss_up_to_the_weights_in_the_batch() -> None:
    torch.manual_seed(0)
    logits, labels, weights = torch.randn(8, 2), torch.tensor([0, 1] * 4), torch.tensor(WEIGHTS)
    ours = weighted_losses(logits, nn.functional.one_hot(labels, 2).float(), weights).sum() / weights[labels].sum()
    theirs = nn.functional.cross_entropy(logits, labels, weight=weights)
    torch.testing.assert_close(ours, theirs)


def test_focal_loss_by_hand() -> None:
    # probabilities 0.9 and 0.2 of the true class; then half of each class at p = 0.5
    logits = torch.tensor([[0.0, math.log(9)], [0.0, math.log(4)], [0.0, 0.0]])
    targets = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    by_hand = [0.1**2 * -math.log(0.9), 0.8**2 * -math.log(0.2), 0.5**2 * math.log(2)]
    assert focal_losses(logits, targets, torch.tensor(WEIGHTS)).tolist() == pytest.approx(by_hand, abs=1e-6)


def test_the_unweighted_loss_is_torch_s_cross_entropy() -> None:
    torch.manual_seed(1)
    logits, targets = torch.randn(6, 2), torch.rand(6, 1)
    targets = torch.cat([targets, 1 - targets], 1)
    found = unweighted_losses(logits, targets, torch.tensor(WEIGHTS))
    torch.testing.assert_close(found, nn.functional.cross_entropy(logits, targets, reduction="none"))


class Linear(nn.Module):
    """Logits of two features."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace()  # Trainer looks into it
        self.layer = nn.Linear(2, 2)
        with torch.no_grad():
            self.layer.weight.copy_(torch.tensor([[0.1, -0.2], [0.3, 0.4]]))
            self.layer.bias.zero_()

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None, **_: object):
        return ImageClassifierOutputWithNoAttention(logits=self.layer(pixel_values))


class Rows(torch.utils.data.Dataset):
    def __init__(self, count: int) -> None:
        rng = np.random.default_rng(0)
        self.x = torch.tensor(rng.normal(size=(count, 2)), dtype=torch.float32)
        self.y = torch.arange(count) % 3 % 2

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return {"pixel_values": self.x[i], "labels": self.y[i]}


def one_step(folder: Path, rows: Rows, batch: int, accumulation: int) -> tuple[torch.Tensor, float]:
    """Weights after one optimizer step of plain SGD over all rows, and the loss that was logged."""
    arguments = FineTuningArguments(
        output_dir=str(folder),
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        max_steps=1,
        learning_rate=1.0,
        optim="sgd",
        lr_scheduler_type="constant",
        warmup_steps=0,
        weight_decay=0.0,
        max_grad_norm=0.0,
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end=False,
        logging_steps=1,
        metric_for_best_model=None,
        use_cpu=True,
        disable_tqdm=True,
        precision="fp32",
    )
    trainer = PneumoniaTrainer(model=Linear(), args=arguments, train_dataset=rows, class_weights=WEIGHTS)
    trainer.train()
    return trainer.model.layer.weight.detach().clone(), trainer.state.log_history[0]["loss"]


def expected_step(rows: Rows) -> tuple[torch.Tensor, float]:
    """The same by hand: gradient of mean_i w_i CE_i over all rows."""
    weight = torch.tensor([[0.1, -0.2], [0.3, 0.4]], dtype=torch.float64)
    x, y, w = rows.x.double(), rows.y, torch.tensor(WEIGHTS, dtype=torch.float64)
    probability = (x @ weight.T).softmax(1)
    error = (probability - nn.functional.one_hot(y, 2)) * w[y][:, None] / len(y)
    loss = -(w[y] * probability[torch.arange(len(y)), y].log()).mean()
    return weight - error.T @ x, float(loss)


@pytest.mark.parametrize(("batch", "accumulation"), [(12, 1), (3, 4), (4, 3), (5, 3)])
def test_one_step_whatever_the_accumulation(tmp_path: Path, batch: int, accumulation: int) -> None:
    rows = Rows(12)  # batches of 5, 5 and 2: the remainder must not count more than its pictures
    weight, loss = one_step(tmp_path, rows, batch, accumulation)
    expected, expected_loss = expected_step(rows)
    torch.testing.assert_close(weight.double(), expected, atol=1e-6, rtol=0)
    assert loss == pytest.approx(expected_loss, abs=1e-5)


def test_a_loss_that_is_no_number_stops_training(tmp_path: Path) -> None:
    rows = Rows(4)
    rows.x[1, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="learning_rate"):
        one_step(tmp_path, rows, 4, 1)


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
