"""What a run records of itself: its identity, its command and options, and the contents of metrics.json."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from hf_model.config import LABELS, SCHEMA_VERSION
from hf_model.data.prepare import DevelopmentData, rendering_name
from hf_model.evaluation import test_split
from hf_model.files import sha256
from hf_model.modeling.base import BaseModel
from hf_model.radiograph.population import known
from hf_model.segmentation.weights import WEIGHTS as LUNG_WEIGHTS
from hf_model.training.arguments import Arguments, FineTuningArguments
from hf_model.training.machine import describe_machine, versions
from hf_model.training.stages import StageResult

RECIPE = (
    "head_epochs",
    "head_views",
    "head_learning_rate",
    "unfreeze_blocks",
    "layer_decay",
    "head_multiplier",
    "evidence_weight",
    "ema_decay",
    "num_train_epochs",
    "learning_rate",
    "per_device_train_batch_size",
    "weight_decay",
    "seed",
    "gradient_accumulation_steps",
    "label_smoothing_factor",
    "loss",
    "metric_for_best_model",
    "max_steps",
)
"""Training options that decide the weights, besides the schedule's type."""
TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}")
"""Tokens of the Hub."""


def run_record(
    base: BaseModel,
    data: DevelopmentData,
    arguments: Arguments,
    stages: Sequence[StageResult],
    weights: str,
    **results: object,
) -> dict[str, object]:
    """The contents of metrics.json.

    Args:
        weights: SHA-256 of ``model.safetensors``.
        results: ``command``, ``class_weights`` and the records of what was evaluated.
    """
    names, population = data.main.names, known(data.counts)
    return {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": results.pop("command"),
        "arguments": recorded_arguments(arguments),
        "seed": arguments.training.seed,
        "versions": versions(),
        "machine": describe_machine(),
        "base_model": {"name": base.name, "hub_id": base.hub_id},
        "weights_sha256": weights,
        "data": {
            "dataset": arguments.data.dataset,
            "renderings": list(data.renderings),
            "sha256": data.fingerprint,
            "population": None if population is None else population.to_dict(),
            "patient_key": data.patient_key or False,
            "leakage": data.leakage,
            "unreadable": {n: len(p.skipped) for n, (p, _) in data.renderings.items()},
            "published": {n: dict(zip(LABELS, c, strict=True)) for n, c in data.counts.items()},
            "splits": {name: split.to_dict(names) for name, split in data.splits.items()},
            "class_weights": results.pop("class_weights"),
        },
        "stages": [{k: v for k, v in asdict(stage).items() if k != "history"} for stage in stages],
        "history": [{"stage": stage.name, **entry} for stage in stages for entry in stage.history],
        **results,
    }


def recorded_openings(folder: Path, weights: str) -> list[dict[str, object]]:
    """The openings of the test split for these weights that metrics.json of ``folder`` records."""
    file = folder / "metrics.json"
    return test_split.openings(json.loads(file.read_text(encoding="utf-8")), weights) if file.exists() else []


def recorded_arguments(arguments: Arguments) -> dict[str, object]:
    """All options of this project and those of transformers' that decide what is learned; never a token."""
    out: dict[str, object] = {}
    for part in arguments[:-1]:
        out |= asdict(part)
    values = arguments.training.to_dict()  # masks tokens
    theirs = {"gradient_accumulation_steps", "max_grad_norm", "max_steps", "optim", "seed"}
    names = sorted(theirs.union(FineTuningArguments.__annotations__))
    return out | {name: values[name] for name in names if name in values and "token" not in name}


def run_identity(base: BaseModel, data: DevelopmentData, arguments: Arguments) -> dict[str, object]:
    """What decides a run's weights: decoded data, splits, base checkpoint, preprocessing, augmentation and recipe."""
    names, training, lungs = data.main.names, arguments.training, arguments.model.lungs
    return {
        "data": data.fingerprint,
        "renderings": list(data.renderings),
        "splits": {name: split.to_dict(names)["sha256"] for name, split in data.splits.items()},
        "base_model": base.name,
        "preprocessing": base.preprocessing.to_dict(),
        "augmentation": asdict(arguments.augmentation),
        "lungs": None if lungs is None else sha256(Path(lungs) / LUNG_WEIGHTS),
        "outlines": None if arguments.data.outlines is None else rendering_name(arguments.data.outlines),
        "recipe": {name: getattr(training, name) for name in RECIPE}
        | {"lr_scheduler_type": str(training.lr_scheduler_type)}
        | {"dropout": arguments.model.dropout, "head": arguments.model.head},
    }


def refuse_finished(training: FineTuningArguments) -> None:
    """Do not overwrite a finished checkpoint: its record that the test split was opened would be lost.

    Raises:
        ValueError: ``--output_dir`` holds metrics.json, and this is not ``--resume``.
    """
    folder = Path(training.output_dir)
    if not training.resume and (folder / "metrics.json").exists():
        raise ValueError(
            f"--output_dir {folder} holds a finished checkpoint: name another folder, or --resume that run."
        )


def command_line(program: str, argv: list[str]) -> str:
    """The command as typed, for metrics.json, which is published; tokens left out in every spelling of the option."""
    shown, hide = [], False
    for word in argv:
        option, equals, _ = word.partition("=")
        secret = _names_token(option)
        shown.append("***" if hide else f"{option}=***" if secret and equals else TOKEN.sub("***", word))
        hide = secret and not equals
    return shlex.join(["python", program, *shown])


def _names_token(option: str) -> bool:
    """Whether argparse takes it for an option that holds a token, with dashes or abbreviated."""
    name = option.replace("-", "_")
    return name.startswith("__") and ("token" in name or ("__hub_token".startswith(name) and len(name) > len("__hub_")))
