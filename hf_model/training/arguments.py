"""The options of ``train.py`` as dataclasses for ``HfArgumentParser``, also read from one JSON or YAML file."""

from __future__ import annotations

import copy
import importlib.util
import json
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import yaml
from transformers import HfArgumentParser, SchedulerType, TrainingArguments

from hf_model.data.arguments import DataArguments, check_options
from hf_model.data.augmentation import AugmentationArguments
from hf_model.metrics.trainer_metrics import classification_figures
from hf_model.modeling.heads import HEADS, check_head
from hf_model.segmentation.weights import WEIGHTS as LUNG_WEIGHTS
from hf_model.training.machine import best_precision, loader_workers
from hf_model.training.trainer import LOSSES

NOT_NEGATIVE = (
    "num_train_epochs",
    "head_epochs",
    "learning_rate",
    "head_learning_rate",
    "weight_decay",
    "head_multiplier",
    "evidence_weight",
    "early_stopping_patience",
    "warmup_steps",
    "max_grad_norm",
)
AT_LEAST_ONE = (
    "head_views",
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
    "gradient_accumulation_steps",
)
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
TRACKERS = {"tensorboard": ("tensorboard", "tensorboardX"), "trackio": ("trackio",)}
"""Tracker that ``--report_to`` may name -> modules, one of which must be installed."""
PLATEAU = {"factor": 0.3, "patience": 1}
"""Reduce-on-plateau: the rate falls to 0.3 of itself after the second evaluation without gain."""


@dataclass
class ModelArguments:
    """The network that is fine-tuned."""

    base_model: str = field(
        default="efficientnet-lite0",
        metadata={
            "help": "efficientnet-lite0 (no network), efficientnet-b0 to -b7, mobilenet-v2, a Hub id, a "
            "folder, or baseline-cnn (from scratch, for comparison)."
        },
    )
    image_size: int | None = field(default=None, metadata={"help": "Pixels a side; default: the base checkpoint's."})
    dropout: float | None = field(default=None, metadata={"help": "Before the head; default: the checkpoint's."})
    head: str | None = field(
        default=None,
        metadata={
            "help": f"One of {', '.join(HEADS)}; default: the base checkpoint's, else plain. Only plain loads in "
            "transformers without this package."
        },
    )

    lungs: str | None = field(
        default=None,
        metadata={
            "help": "Folder written by `python -m hf_model lungs`; its network is copied into the checkpoint. Default: "
            "a checkpoint without lungs."
        },
    )

    def __post_init__(self) -> None:
        if self.lungs is not None and not (Path(self.lungs) / LUNG_WEIGHTS).is_file():
            raise ValueError(f"--lungs {self.lungs}: has no {LUNG_WEIGHTS}; make it with `python -m hf_model lungs`.")
        check_options(self, ["image_size"], lambda value: 32 <= value <= 1024, "must lie between 32 and 1024")
        check_options(self, ["dropout"], lambda value: 0 <= value < 1, "must be at least 0 and below 1")
        if self.head is not None:
            check_head(self.head)


@dataclass
class DecisionArguments:
    """The two-way threshold and the policy's two."""

    target_sensitivity: float = field(default=0.95, metadata={"help": "What the two-way threshold must guarantee."})
    rule_out_sensitivity: float = field(
        default=0.98, metadata={"help": 'What "not likely" must guarantee, in the worst block of file numbers too.'}
    )
    rule_in_specificity: float = field(
        default=0.95, metadata={"help": 'What "likely" must guarantee, in the worst block of file numbers too.'}
    )
    confidence: float = field(default=0.95, metadata={"help": "Of the exact one-sided lower bound."})
    open_test: bool = field(
        default=True, metadata={"help": "--no_open_test leaves the test split closed: for trying recipes."}
    )

    def __post_init__(self) -> None:
        shares = ("target_sensitivity", "rule_out_sensitivity", "rule_in_specificity", "confidence")
        check_options(self, shares, lambda value: 0.5 <= value < 1, "must be at least 0.5 and below 1")


@dataclass
class FineTuningArguments(TrainingArguments):
    """transformers' TrainingArguments with this project's defaults and schedule."""

    output_dir: str = field(default="outputs/model", metadata={"help": "The finished checkpoint folder."})
    loss: str = field(
        default="weighted",
        metadata={"help": "weighted (cross-entropy with class weights), plain (without), focal (gamma 2, without)."},
    )
    head_epochs: int = field(default=10, metadata={"help": "Stage one: epochs of the head on frozen features."})
    head_views: int = field(default=2, metadata={"help": "Augmented views of each picture that stage one learns from."})
    head_learning_rate: float = field(default=2e-3, metadata={"help": "Stage one."})
    unfreeze_blocks: str = field(
        default="all", metadata={"help": "Stage two: upper blocks that learn; all: everything."}
    )
    layer_decay: float = field(
        default=0.95, metadata={"help": "Learning rate factor from each block to the one below."}
    )
    head_multiplier: float = field(default=5.0, metadata={"help": "Stage two: the head's rate over the blocks'."})
    evidence_weight: float = field(
        default=0.5,
        metadata={
            "help": "Stage two: weight of the share of evidence outside the lungs in the loss; used where outlines are "
            "known (--lungs), needs the plain head. 0 for none."
        },
    )
    ema_decay: float = field(default=0.995, metadata={"help": "Weight averaging in stage two; 0 for none."})
    early_stopping_patience: int = field(default=3, metadata={"help": "Evaluations without gain; 0 never stops."})
    precision: str = field(default="auto", metadata={"help": "auto (measured), fp32, bf16 or fp16."})
    resume: bool = field(default=False, metadata={"help": "Go on from the newest complete state in output_dir."})

    num_train_epochs: float = field(default=4.0, metadata={"help": "Stage two; 0 skips it."})
    learning_rate: float = field(default=1e-3, metadata={"help": "Stage two, the top block's."})
    per_device_train_batch_size: int = field(default=16, metadata={"help": "Pictures."})
    per_device_eval_batch_size: int = field(default=64, metadata={"help": "Pictures."})
    dataloader_num_workers: int = field(
        default=-1, metadata={"help": "Processes that augment beside the training step; -1: by the machine."}
    )
    weight_decay: float = field(default=0.01, metadata={"help": "Of weights with two dimensions or more."})
    label_smoothing_factor: float = field(default=0.02, metadata={"help": "0 for none."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "reduce_lr_on_plateau is another choice."})
    warmup_steps: float = field(default=0.1, metadata={"help": "Below 1: share of all steps."})
    eval_strategy: str = field(default="epoch", metadata={"help": "no, steps or epoch."})
    save_strategy: str = field(default="epoch", metadata={"help": "no, steps or epoch."})
    save_total_limit: int | None = field(default=2, metadata={"help": "States kept, the best among them."})
    load_best_model_at_end: bool = field(default=True, metadata={"help": "By metric_for_best_model."})
    metric_for_best_model: str | None = field(
        default="style_balanced_auc", metadata={"help": "On development-validation."}
    )
    greater_is_better: bool | None = field(default=None, metadata={"help": "Default: by the metric's name."})
    logging_steps: float = field(default=10, metadata={"help": "Steps."})
    logging_nan_inf_filter: bool = field(default=False, metadata={"help": "A loss that is not a number must be seen."})
    report_to: str | None = field(default="none", metadata={"help": "tensorboard or trackio to watch the run."})
    ddp_timeout: int = field(
        default=21600, metadata={"help": "Seconds that processes wait for each other, decoding included."}
    )
    remove_unused_columns: bool = field(default=False, metadata={"help": "Rows become batches in the collator."})

    def __post_init__(self) -> None:
        self.unfreeze_blocks = str(self.unfreeze_blocks)  # a settings file may hold a number
        _check_values(self)
        if not torch.cuda.is_available():
            self.use_cpu = True
        if self.dataloader_num_workers < 0:
            self.dataloader_num_workers = loader_workers()
        chosen = best_precision() if self.precision == "auto" else self.precision
        self.bf16, self.fp16 = self.bf16 or chosen == "bf16", self.fp16 or chosen == "fp16"
        super().__post_init__()
        if self.lr_scheduler_type == SchedulerType.REDUCE_ON_PLATEAU:
            # torch's default takes every metric for a loss: it would lower the rate while the AUC rises
            mode = "max" if self.greater_is_better else "min"
            self.lr_scheduler_kwargs = PLATEAU | {"mode": mode} | (self.lr_scheduler_kwargs or {})

    def replaced(self, **values: object) -> FineTuningArguments:
        """A copy with other values; ``dataclasses.replace`` would set up a second time what is set up."""
        changed = copy.copy(self)
        for name, value in values.items():
            setattr(changed, name, value)
        return changed


def _check_values(options: FineTuningArguments) -> None:
    """Refuse training options out of range before transformers reads them.

    Raises:
        ValueError: naming the option.
    """
    metrics = metric_names()
    for names, allowed, rule in (
        (["precision"], PRECISIONS.__contains__, f"one of {', '.join(PRECISIONS)}"),
        (["loss"], LOSSES.__contains__, f"one of {', '.join(LOSSES)}"),
        (NOT_NEGATIVE, lambda value: value >= 0, "must not be negative"),
        (AT_LEAST_ONE, lambda value: value >= 1, "must be at least 1"),
        (["label_smoothing_factor", "ema_decay"], lambda value: 0 <= value < 1, "must be at least 0 and below 1"),
        (["layer_decay"], lambda value: 0 < value <= 1, "must be above 0 and at most 1"),
        (["unfreeze_blocks"], lambda value: value == "all" or value.isdecimal(), "a number of blocks, or all"),
        (["metric_for_best_model"], lambda v: v.removeprefix("eval_") in metrics, f"one of {', '.join(metrics)}"),
    ):
        check_options(options, names, allowed, rule)
    check_tracker(options.report_to)


def metric_names() -> list[str]:
    """What ``--metric_for_best_model`` may be: what ``make_compute_metrics`` computes, and the Trainer's loss."""
    figures = classification_figures(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1]))
    return sorted({*figures, "log_loss"})


def check_tracker(report_to: str | list[str] | None) -> None:
    """Refuse a tracker that is not installed.

    Raises:
        ValueError: says which package to install.
    """
    for name in [report_to] if isinstance(report_to, str) else report_to or []:
        modules = TRACKERS.get(name, ())
        if modules and not any(importlib.util.find_spec(module) for module in modules):
            raise ValueError(f"--report_to {name}: the package is not installed; pip install {modules[0]}")


class Arguments(NamedTuple):
    """Every option of a training run."""

    data: DataArguments
    model: ModelArguments
    augmentation: AugmentationArguments
    decision: DecisionArguments
    training: FineTuningArguments


ARGUMENT_TYPES = (DataArguments, ModelArguments, AugmentationArguments, DecisionArguments, FineTuningArguments)


def parse_arguments(argv: list[str] | None = None) -> Arguments:
    """Parse a command line. A first argument that ends in .json, .yaml or .yml is a file of defaults for the others.

    Raises:
        SystemExit: with one line, for an unknown option or a value out of range.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = HfArgumentParser(
        ARGUMENT_TYPES,
        description="Fine-tune a pneumonia classifier on chest X-rays.",
        usage="train.py [SETTINGS.json|.yaml] [--option value ...]   (--help lists the options)",
    )
    if argv and argv[0].endswith((".json", ".yaml", ".yml")):
        settings = _read_settings(parser, Path(argv.pop(0)))
        parser.set_defaults(**settings)
    try:
        return Arguments(*parser.parse_args_into_dataclasses(args=argv, look_for_args_file=False))
    except ValueError as error:
        parser.error(str(error))


def _read_settings(parser: HfArgumentParser, file: Path) -> dict[str, object]:
    try:
        text = file.read_text(encoding="utf-8")
        settings = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        parser.error(f"{file}: cannot be read: {error}")
    known = {f.name for kind in ARGUMENT_TYPES for f in fields(kind) if f.init}
    if not isinstance(settings, dict) or set(settings) - known:
        unknown = sorted(set(settings) - known) if isinstance(settings, dict) else "no mapping"
        parser.error(f"{file}: holds options that train.py does not know: {unknown}")
    return settings
