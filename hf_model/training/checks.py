"""What is wrong with the training options, said before anything is loaded rather than after an epoch."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from hf_model.metrics.trainer_metrics import classification_figures
from hf_model.training.losses import LOSSES

NOT_NEGATIVE = (
    "num_train_epochs",
    "head_epochs",
    "learning_rate",
    "head_learning_rate",
    "weight_decay",
    "head_multiplier",
    "early_stopping_patience",
    "warmup_steps",
    "max_grad_norm",
    "small_epochs",
)
AT_LEAST_ONE = (
    "head_views",
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
    "gradient_accumulation_steps",
)
TRACKERS = {"tensorboard": ("tensorboard", "tensorboardX"), "trackio": ("trackio",)}
"""What ``--report_to`` may name -> modules of which one must be installed."""


def metric_names() -> list[str]:
    """What ``metric_for_best_model`` may be: the names that ``make_compute_metrics`` gives, and the Trainer's loss."""
    figures = classification_figures(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1]))
    return sorted({*figures, "log_loss"})


def check_values(arguments: Any) -> None:
    """Refuse training options that are out of range, before transformers reads them.

    Raises:
        ValueError: naming the option.
    """
    for name in NOT_NEGATIVE:
        if not getattr(arguments, name) >= 0:  # not "< 0": that lets NaN through
            raise ValueError(f"--{name} {getattr(arguments, name)}: must not be negative.")
    for name in AT_LEAST_ONE:
        if getattr(arguments, name) < 1:
            raise ValueError(f"--{name} {getattr(arguments, name)}: must be at least 1.")
    if not 0 <= arguments.label_smoothing_factor < 1:
        raise ValueError(f"--label_smoothing_factor {arguments.label_smoothing_factor}: at least 0 and below 1.")
    if not 32 <= arguments.small_size <= 1024:
        raise ValueError(f"--small_size {arguments.small_size}: must lie between 32 and 1024.")
    if arguments.loss not in LOSSES:
        raise ValueError(f"--loss {arguments.loss}: one of {', '.join(LOSSES)}.")
    metric = arguments.metric_for_best_model
    if metric is not None and metric.removeprefix("eval_") not in metric_names():
        raise ValueError(f"--metric_for_best_model {metric}: one of {', '.join(metric_names())}.")
    check_tracker(arguments.report_to)


def check_tracker(report_to: str | list[str] | None) -> None:
    """Refuse a tracker that is not installed, and say how to install it.

    Raises:
        ValueError: naming the package.
    """
    for name in [report_to] if isinstance(report_to, str) else report_to or []:
        modules = TRACKERS.get(name, ())
        if modules and not any(importlib.util.find_spec(module) for module in modules):
            raise ValueError(f"--report_to {name}: the package is not installed; pip install {modules[0]}")
