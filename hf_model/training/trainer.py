"""The Trainer with a class-weighted loss, right under accumulation and several processes, and weight averaging."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainerCallback

from hf_model.modeling.freezing import hold_frozen_norms, parameter_groups

GAMMA = 2.0
"""Of the focal loss; what its authors recommend."""


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


def plain_losses(logits: Tensor, targets: Tensor, _weights: Tensor) -> Tensor:
    """Cross-entropy of each picture, both classes alike."""
    return -(targets * logits.float().log_softmax(-1)).sum(-1)


def focal_losses(logits: Tensor, targets: Tensor, _weights: Tensor) -> Tensor:
    """Focal loss of each picture, -sum_c t_c (1 - p_c)^2 log p_c (Lin et al., ICCV 2017), without class weights.

    Soft targets (mixup, smoothing) weigh the two classes' terms, as in cross-entropy.
    """
    log_p = logits.float().log_softmax(-1)
    return -(targets * (1 - log_p.exp()) ** GAMMA * log_p).sum(-1)


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "weighted": weighted_losses,
    "plain": plain_losses,
    "focal": focal_losses,
}


AVERAGE_FILE = "average.safetensors"


class PneumoniaTrainer(Trainer):
    """Trainer with the weighted loss, layer-wise learning rates, frozen BatchNorms held, and an optional EMA.

    Args:
        class_weights: for NORMAL and PNEUMONIA.
        loss: a name of ``LOSSES``; only "weighted" uses the class weights.
        layer_decay, head_multiplier: see ``parameter_groups``.
        average: the weight average whose weights evaluation sees, or None.
        eval_collator: evaluation's collator, where it differs from training's.
    """

    # compute_loss divides by the pictures of the whole accumulated batch, in all processes: nothing is left to divide
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        *args: object,
        class_weights: tuple[float, float],
        loss: str = "weighted",
        layer_decay: float = 1.0,
        head_multiplier: float = 1.0,
        average: WeightAverage | None = None,
        eval_collator: object | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(*args, **kwargs)
        # makes Trainer count the pictures of an accumulated batch and hand the number to compute_loss
        self.model_accepts_loss_kwargs = True
        self.class_weights = torch.tensor(class_weights, dtype=torch.float32)
        self.losses = LOSSES[loss]
        self.layer_decay, self.head_multiplier = layer_decay, head_multiplier
        self.average = average
        self.eval_collator = eval_collator
        if average is not None:
            self.add_callback(average)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, object]:
        """Weighted loss summed over the batch and divided by ``num_items_in_batch`` (or the batch's own size)."""
        if model.training:
            hold_frozen_norms(model)
        labels = inputs["labels"]
        targets = inputs.get("targets")
        if targets is None:
            targets = nn.functional.one_hot(labels, 2).to(torch.float32)
        outputs = model(pixel_values=inputs["pixel_values"])
        losses = self.losses(outputs.logits, targets, self.class_weights.to(outputs.logits.device))
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

    def get_eval_dataloader(self, eval_dataset: str | Dataset | None = None) -> DataLoader:
        """Evaluation's loader, with evaluation's own collator."""
        return self._with_eval_collator(super().get_eval_dataloader, eval_dataset)

    def get_test_dataloader(self, test_dataset: Dataset) -> DataLoader:
        """As ``get_eval_dataloader``."""
        return self._with_eval_collator(super().get_test_dataloader, test_dataset)

    def _with_eval_collator(self, build, dataset: object) -> DataLoader:
        if self.eval_collator is None:
            return build(dataset)
        training_collator, self.data_collator = self.data_collator, self.eval_collator
        try:
            return build(dataset)
        finally:
            self.data_collator = training_collator

    def evaluation_loop(self, *args: object, **kwargs: object) -> object:
        """Evaluation with the averaged weights in place, where there is an average."""
        if self.average is None or not self.average.ready:
            return super().evaluation_loop(*args, **kwargs)
        with self.average.swapped_in(self.accelerator.unwrap_model(self.model)):
            return super().evaluation_loop(*args, **kwargs)


class EpochCallback(TrainerCallback):
    """Tells the training rows which epoch it is, which their augmentation depends on."""

    def __init__(self, rows: object) -> None:
        self.rows = rows

    def on_epoch_begin(self, args, state, control, **kwargs) -> None:
        self.rows.epoch = int(state.epoch or 0)


class WeightAverage(TrainerCallback):
    """Exponential moving average of weights and BatchNorm statistics, in float32, kept beside each checkpoint.

    The decay grows as (1 + t) / (10 + t) up to ``decay`` (Polyak averaging with warm-up, as TensorFlow's), so that the
    first steps do not weigh on a short run.
    """

    def __init__(self, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"--ema_decay {decay}: must lie between 0 and 1.")
        self.decay, self.shadow, self.steps = decay, {}, 0

    @property
    def ready(self) -> bool:
        return bool(self.shadow)

    def on_train_begin(self, args, state, control, model=None, **kwargs) -> None:
        saved = Path(args.output_dir) / f"checkpoint-{state.global_step}" / AVERAGE_FILE
        if state.global_step and saved.exists():
            tensors = load_file(saved)
            self.steps = int(tensors.pop("__steps__").item())
            self.shadow = tensors
        else:
            self.shadow, self.steps = {k: v.detach().clone() for k, v in floating(model).items()}, 0

    @torch.no_grad()
    def on_step_end(self, args, state, control, model=None, **kwargs) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        current = floating(model)
        names = list(self.shadow)
        torch._foreach_lerp_([self.shadow[n] for n in names], [current[n] for n in names], 1 - decay)

    def on_save(self, args, state, control, **kwargs) -> None:
        if state.is_world_process_zero and self.ready:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            tensors = {k: v.contiguous() for k, v in self.shadow.items()} | {"__steps__": torch.tensor(self.steps)}
            save_file(tensors, folder / AVERAGE_FILE)

    def swapped_in(self, model: nn.Module) -> _Swap:
        """Context in which ``model`` has the averaged weights."""
        return _Swap(model, self.shadow)


class _Swap:
    def __init__(self, model: nn.Module, weights: dict[str, torch.Tensor]) -> None:
        self.model, self.weights = model, weights

    @torch.no_grad()
    def __enter__(self) -> None:
        current = floating(self.model)
        self.saved = {k: current[k].clone() for k in self.weights}
        for key, value in self.weights.items():
            current[key].copy_(value)

    @torch.no_grad()
    def __exit__(self, *error: object) -> None:
        current = floating(self.model)
        for key, value in self.saved.items():
            current[key].copy_(value)


def floating(model: nn.Module) -> dict[str, torch.Tensor]:
    """Weights and running statistics that are floating point, by name; unwrapped from distributed wrappers."""
    inner = getattr(model, "module", model)
    return {name: value for name, value in inner.state_dict().items() if value.is_floating_point()}
