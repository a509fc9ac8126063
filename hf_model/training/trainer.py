"""The Trainer with this project's losses, correct under accumulation and several processes, and weight averaging."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain
from pathlib import Path

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import Trainer, TrainerCallback

from hf_model.modeling.freezing import hold_frozen_norms, parameter_groups
from hf_model.training.batches import WeightedRows
from hf_model.training.evidence import LastMap

GAMMA = 2.0
"""Of the focal loss; what its authors recommend."""
AVERAGE_FILE = "average.safetensors"
"""Averaged weights in the folder of each saved state."""


def weighted_losses(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Class-weighted cross-entropy of each picture: -sum_c w_c t_c log softmax(logits)_c.

    Args:
        logits: (B, 2). targets: (B, 2), rows summing to 1. weights: (2,).

    Returns:
        (B,), not negative. Its mean over pictures is Keras's ``class_weight`` loss; torch's own
        ``CrossEntropyLoss(weight=...)`` divides by the sum of the batch's weights instead, which is not additive over
        micro-batches.
    """
    return -(targets * weights * logits.float().log_softmax(-1)).sum(-1)


def unweighted_losses(logits: Tensor, targets: Tensor, _weights: Tensor) -> Tensor:
    """Cross-entropy of each picture without class weights; shapes as in ``weighted_losses``."""
    return -(targets * logits.float().log_softmax(-1)).sum(-1)


def focal_losses(logits: Tensor, targets: Tensor, _weights: Tensor) -> Tensor:
    """Focal loss of each picture, -sum_c t_c (1 - p_c)^2 log p_c (Lin et al., ICCV 2017), without class weights.

    Soft targets (mixup, smoothing) weigh the terms of the two classes, as in cross-entropy.
    """
    log_p = logits.float().log_softmax(-1)
    return -(targets * (1 - log_p.exp()) ** GAMMA * log_p).sum(-1)


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "weighted": weighted_losses,
    "plain": unweighted_losses,
    "focal": focal_losses,
}
"""``--loss`` -> function."""


class PneumoniaTrainer(Trainer):
    """Trainer with the weighted loss, layer-wise learning rates, frozen BatchNorms held, and an optional EMA.

    Args:
        class_weights: for NORMAL and PNEUMONIA.
        loss: a name of ``LOSSES``; only "weighted" uses the class weights.
        layer_decay, head_multiplier: see ``parameter_groups``.
        average: the weight average that is evaluated in place of the weights, or None.
        evidence_weight: of the share of evidence outside the lungs, added to the loss of batches that have ``lungs``.
        eval_collator: collator for evaluation, if it differs from the one for training.
    """

    # compute_loss divides by the pictures of the whole accumulated batch in all processes, so Trainer must not divide
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        *args: object,
        class_weights: tuple[float, float],
        loss: str = "weighted",
        layer_decay: float = 1.0,
        head_multiplier: float = 1.0,
        average: WeightAverage | None = None,
        evidence_weight: float = 0.0,
        eval_collator: object | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(*args, **kwargs)
        # makes Trainer count the pictures of an accumulated batch and pass the number to compute_loss
        self.model_accepts_loss_kwargs = True
        self.class_weights = torch.tensor(class_weights, dtype=torch.float32)
        self.losses = LOSSES[loss]
        self.layer_decay, self.head_multiplier = layer_decay, head_multiplier
        self.average = average
        self.evidence_weight = evidence_weight
        self.eval_collator = eval_collator or self.data_collator
        if average is not None:
            self.add_callback(average)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, object]:
        """Loss summed over the batch and divided by ``num_items_in_batch`` (or the batch's own size).

        Raises:
            FloatingPointError: the loss is not finite.
        """
        if model.training:
            hold_frozen_norms(model)
        labels = inputs["labels"]
        targets = inputs.get("targets")
        if targets is None:
            targets = nn.functional.one_hot(labels, 2).to(torch.float32)
        lungs = inputs.get("lungs") if model.training and self.evidence_weight else None
        with LastMap(self.accelerator.unwrap_model(model)) if lungs is not None else nullcontext() as last:
            outputs = model(pixel_values=inputs["pixel_values"])
            losses = self.losses(outputs.logits, targets, self.class_weights.to(outputs.logits.device))
            if lungs is not None:
                losses = losses + self.evidence_weight * last.outside(lungs)
        if model.training and num_items_in_batch is not None:
            # DistributedDataParallel averages gradients over processes; the count is of all of them
            loss = losses.sum() / num_items_in_batch * self.accelerator.num_processes
        else:
            loss = losses.mean()
        if model.training and not torch.isfinite(loss):
            raise FloatingPointError(
                f"The loss is {loss.item()} at step {self.state.global_step}: lower --learning_rate, or train in "
                "float32 (--precision fp32)."
            )
        return (loss, outputs) if return_outputs else loss

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """The configured optimizer over layer-wise parameter groups."""
        if self.optimizer is None:
            chosen = self.model if model is None else model
            groups = parameter_groups(
                chosen, self.args.learning_rate, self.args.weight_decay, self.layer_decay, self.head_multiplier
            )
            kind, settings = self.get_optimizer_cls_and_kwargs(self.args, chosen)
            # "layer" is for people who print the groups; it must not reach the optimizer's saved state
            self.optimizer = kind([{k: v for k, v in group.items() if k != "layer"} for group in groups], **settings)
        return self.optimizer

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler | None:
        """Rows by their weights, where they have any."""
        rows = self.train_dataset if train_dataset is None else train_dataset
        if getattr(rows, "weights", None) is None:
            return super()._get_train_sampler(train_dataset)
        return WeightedRows(rows, self.args.seed)

    def get_eval_dataloader(self, eval_dataset: str | Dataset | None = None) -> DataLoader:
        """The loader for evaluation, with its own collator."""
        training_collator, self.data_collator = self.data_collator, self.eval_collator
        try:
            return super().get_eval_dataloader(eval_dataset)
        finally:
            self.data_collator = training_collator

    def evaluation_loop(self, *args: object, **kwargs: object) -> object:
        """Evaluation of the averaged weights, where there is an average."""
        if self.average is None or self.average.averaged is None:
            return super().evaluation_loop(*args, **kwargs)
        with self.average.swapped_in(self.accelerator.unwrap_model(self.model)):
            return super().evaluation_loop(*args, **kwargs)


class EpochCallback(TrainerCallback):
    """Sets the epoch of the training rows, which their augmentation depends on."""

    def __init__(self, rows: object) -> None:
        self.rows = rows

    def on_epoch_begin(self, args, state, control, **kwargs) -> None:
        self.rows.epoch = int(state.epoch or 0)


class WeightAverage(TrainerCallback):
    """Exponential moving average of weights and BatchNorm statistics, in float32, saved beside each state.

    The decay grows as (1 + t) / (10 + t) up to ``decay`` (Polyak averaging with warm-up, as TensorFlow's), so that the
    first steps do not weigh on a short run.

    Attributes:
        averaged: torch's ``AveragedModel``, None before training.

    Raises:
        ValueError: a decay outside 0 to 1.
    """

    def __init__(self, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"--ema_decay {decay}: must lie between 0 and 1.")
        self.decay = decay
        self.averaged: AveragedModel | None = None

    def on_train_begin(self, args, state, control, model=None, **kwargs) -> None:
        self.averaged = AveragedModel(unwrapped(model), multi_avg_fn=self._update, use_buffers=True)
        self.averaged.n_averaged.fill_(1)  # the weights that training starts from are the first of the average
        saved = Path(args.output_dir) / f"checkpoint-{state.global_step}" / AVERAGE_FILE
        if state.global_step and saved.exists():
            load_model(self.averaged, saved)

    def on_step_end(self, args, state, control, model=None, **kwargs) -> None:
        self.averaged.update_parameters(unwrapped(model))

    def on_save(self, args, state, control, **kwargs) -> None:
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            save_model(self.averaged, str(folder / AVERAGE_FILE))

    def _update(self, averaged: list[Tensor], current: list[Tensor], step: Tensor) -> None:
        """One step; tensors of one type, ``step`` is 1 at the first."""
        if averaged[0].is_floating_point():  # BatchNorm also counts batches
            decay = min(self.decay, (1 + step.item()) / (10 + step.item()))
            torch._foreach_lerp_(averaged, current, 1 - decay)

    @contextmanager
    def swapped_in(self, model: nn.Module) -> Iterator[None]:
        """Context in which ``model`` has the averaged weights."""
        swap_weights(self.averaged.module, model)
        try:
            yield
        finally:
            swap_weights(self.averaged.module, model)


@torch.no_grad()
def swap_weights(first: nn.Module, second: nn.Module) -> None:
    """Exchange the floating-point weights and statistics of two models of the same architecture."""
    ours, theirs = (chain(model.parameters(), model.buffers()) for model in (first, second))
    for one, other in zip(ours, theirs, strict=True):
        if one.is_floating_point():
            kept = one.clone()
            one.copy_(other)
            other.copy_(kept)


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside a distributed wrapper, or the model itself."""
    return getattr(model, "module", model)
