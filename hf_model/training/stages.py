"""The schedule: stage one trains the head on a frozen backbone, stage two the upper blocks at a lower rate."""

from __future__ import annotations

import copy
import json
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, load_model, save_model
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset
from transformers import EarlyStoppingCallback, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from hf_model.data.augmentation import AugmentationArguments
from hf_model.metrics.trainer_metrics import make_compute_metrics
from hf_model.modeling.depthwise import quicken_depthwise
from hf_model.modeling.features import FeatureRows, HeadOnFeatures, PictureCollator, compute_features
from hf_model.modeling.freezing import unfreeze
from hf_model.radiograph.preprocess import Preprocessing
from hf_model.training.arguments import FineTuningArguments
from hf_model.training.batches import TrainingCollator, TrainingRows
from hf_model.training.trainer import AVERAGE_FILE, EpochCallback, PneumoniaTrainer, WeightAverage, floating

logger = logging.getLogger(__name__)
_NEEDED = ("model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json")


def is_complete(state: Path, needed: Sequence[str] = ()) -> bool:
    """True where the state has every file, its weights and those in ``needed`` open, and its trainer state parses."""
    if not all((state / name).is_file() for name in (*_NEEDED, *needed)):
        return False
    try:
        for name in ("model.safetensors", *needed):
            with safe_open(state / name, "pt") as weights:
                list(weights.keys())
        json.loads((state / "trainer_state.json").read_text())
    except (SafetensorError, ValueError, OSError):
        return False
    return True


def drop_incomplete(folder: Path, needed: Sequence[str] = ()) -> list[Path]:
    """Delete the states in ``folder`` that are not whole, and say so; returns them.

    needed: further files in the safetensors format, such as the averaged weights, which are written last of all.
    """
    dropped = [state for state in sorted(folder.glob("checkpoint-*")) if not is_complete(state, needed)]
    for state in dropped:
        logger.warning("%s was not completely written and is deleted; going on from an earlier state.", state)
        shutil.rmtree(state)
    return dropped


def check_identity(folder: Path, identity: dict[str, object], arguments: TrainingArguments) -> None:
    """Refuse to go on from weights of another run: with other splits they would have seen calibration patients.

    Raises:
        ValueError: ``--resume``, and data, splits, base checkpoint or recipe differ from the interrupted run's, or
            nothing says what they were. No ``--resume``, and there is a stopped run.
    """
    file = folder / "identity.json"
    wanted = json.loads(json.dumps(identity))
    if arguments.resume and folder.is_dir():
        if not file.exists():
            raise ValueError(f"--resume: {folder} does not say which run it is of; start in another --output_dir.")
        stored = json.loads(file.read_text())
        changed = sorted(key for key in wanted.keys() | stored.keys() if wanted.get(key) != stored.get(key))
        if changed:
            raise ValueError(
                f"--resume: {folder.parent} was begun with another {', '.join(changed)}. Repeat that run's options, or "
                "start afresh in another --output_dir."
            )
    if arguments.should_save:
        if not arguments.resume:
            _refuse_begun(folder)
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(wanted, indent=1))


def _refuse_begun(folder: Path) -> None:
    """Neither throw away what a stopped run has trained, nor let a later ``--resume`` take it for this run's.

    Raises:
        ValueError: ``folder`` holds a finished stage or a saved state.
    """
    begun = [*folder.glob("*/finished.json"), *folder.glob("*/checkpoint-*")]
    if begun:
        raise ValueError(
            f"--output_dir {folder.parent} holds a run that stopped ({begun[0].relative_to(folder)}): go on with it by "
            f"--resume, name another folder, or delete {folder}."
        )


@dataclass
class StageData:
    """What both stages learn from and are chosen by."""

    train: TrainingRows
    validation: Dataset
    preprocessing: Preprocessing
    augmentation: AugmentationArguments
    class_weights: tuple[float, float]
    identity: dict[str, object] = field(default_factory=dict)
    """Data, splits, base checkpoint and recipe: what a run must share with the one that it resumes."""
    figures: Callable[..., dict[str, float]] = field(default_factory=make_compute_metrics)
    """Trainer's ``compute_metrics`` on ``validation``."""


@dataclass
class StageResult:
    """For metrics.json: what a stage did. ``history`` is Trainer's log, one dict a line."""

    name: str
    seconds: float
    epochs: float
    best_metric: float | None
    learning_parameters: int
    history: list[dict[str, float]] = field(default_factory=list)
    resumed_from: list[int] = field(default_factory=list)


def run_stages(model: nn.Module, data: StageData, arguments: FineTuningArguments) -> list[StageResult]:
    """Train ``model`` in place and return what each stage did. Finished stages are not repeated on ``--resume``."""
    check_identity(Path(arguments.output_dir) / "stages", data.identity, arguments)
    results = []
    plan: list[tuple[str, float, Callable[..., StageResult]]] = [
        ("head", arguments.head_epochs, _head_stage),
        ("fine_tuning", arguments.num_train_epochs, _fine_tuning_stage),
    ]
    for name, epochs, stage in plan:
        folder = Path(arguments.output_dir) / "stages" / name
        if epochs <= 0:
            continue
        done = _load_finished(model, folder) if arguments.resume else None
        if done is None:
            set_seed(arguments.seed)
            done = stage(model, data, arguments, folder)
            if arguments.should_save:
                _store_finished(model, folder, done)
        results.append(done)
    return results


def _head_stage(model: nn.Module, data: StageData, arguments: FineTuningArguments, folder: Path) -> StageResult:
    """The head on stored features of ``head_views`` augmented views; mixing pictures would blur them, so no mixup."""
    start = time.perf_counter()
    learning = unfreeze(model, "0")
    model.to(arguments.device, memory_format=torch.channels_last)
    collator = TrainingCollator(
        data.train,
        data.preprocessing,
        replace(data.augmentation, mixup=0.0),
        arguments.label_smoothing_factor,
        arguments.seed,
    )

    def features(rows: Dataset, collate: Callable, what: str) -> dict[str, torch.Tensor]:
        loader = DataLoader(
            rows,
            batch_size=arguments.per_device_eval_batch_size,
            collate_fn=collate,
            num_workers=arguments.dataloader_num_workers,
        )
        return compute_features(model, loader, arguments.device, what, bf16=arguments.bf16)

    views = []
    for view in range(arguments.head_views):
        data.train.epoch = -1 - view  # views of their own, not those of an epoch of stage two
        views.append(features(data.train, collator, f"view {view + 1} of {arguments.head_views}"))
    train = FeatureRows(*(torch.cat([view[key] for view in views]) for key in ("features", "labels", "targets")))
    seen = features(data.validation, PictureCollator(data.preprocessing), "development-validation")
    validation = FeatureRows(seen["features"], seen["labels"])
    head = HeadOnFeatures(model)
    settings = _stage_arguments(
        arguments,
        folder,
        num_train_epochs=arguments.head_epochs,
        learning_rate=arguments.head_learning_rate,
        per_device_train_batch_size=128,
        gradient_accumulation_steps=1,
        max_steps=-1,
    )
    trainer = PneumoniaTrainer(
        model=head,
        args=settings,
        train_dataset=train,
        eval_dataset=validation,
        compute_metrics=data.figures,
        class_weights=data.class_weights,
        callbacks=_callbacks(arguments),
        layer_decay=1.0,
        head_multiplier=1.0,
        loss=arguments.loss,
    )
    return _train(trainer, "head", folder, arguments, learning, start)


def _fine_tuning_stage(model: nn.Module, data: StageData, arguments: FineTuningArguments, folder: Path) -> StageResult:
    """Upper blocks, head faster than blocks, each picture in another rendering and augmentation every epoch."""
    start = time.perf_counter()
    trainer = fine_tuning_trainer(model, data, arguments, folder)
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    result = _train(trainer, "fine_tuning", folder, arguments, learning, start)
    if trainer.average is not None:
        _use_average(model, trainer, trainer.average)
    return result


def fine_tuning_trainer(
    model: nn.Module, data: StageData, arguments: FineTuningArguments, folder: Path
) -> PneumoniaTrainer:
    """The Trainer of stage two, ready to start; ``model`` is unfrozen and laid out for it in place."""
    unfreeze(model, arguments.unfreeze_blocks)
    quicken_depthwise(model)
    model.to(memory_format=torch.channels_last)
    return PneumoniaTrainer(
        model=model,
        args=_stage_arguments(arguments, folder),
        train_dataset=data.train,
        eval_dataset=data.validation,
        data_collator=TrainingCollator(
            data.train, data.preprocessing, data.augmentation, arguments.label_smoothing_factor, arguments.seed
        ),
        eval_collator=PictureCollator(data.preprocessing),
        compute_metrics=data.figures,
        class_weights=data.class_weights,
        layer_decay=arguments.layer_decay,
        head_multiplier=arguments.head_multiplier,
        loss=arguments.loss,
        average=WeightAverage(arguments.ema_decay) if arguments.ema_decay else None,
        callbacks=[*_callbacks(arguments), EpochCallback(data.train)],
    )


def _use_average(model: nn.Module, trainer: PneumoniaTrainer, average: WeightAverage) -> None:
    """The averaged weights of the best state (the last, where none is chosen) become the model's.

    In the process that goes on after training: on another machine the state's file may not exist.
    """
    if not trainer.args.should_save:
        return
    best = trainer.state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    weights = load_file(Path(best) / AVERAGE_FILE) if best else average.shadow
    current = floating(model)
    with torch.no_grad():
        for name, value in weights.items():
            if name in current:
                current[name].copy_(value)


def _train(
    trainer: PneumoniaTrainer, name: str, folder: Path, arguments: FineTuningArguments, learning: int, start: float
) -> StageResult:
    state = None
    if arguments.resume:
        needed = (AVERAGE_FILE,) if trainer.average is not None else ()
        with arguments.main_process_first(local=False, desc="looking at saved states"):
            drop_incomplete(folder, needed)  # the first process deletes, the others find nothing to delete
        state = get_last_checkpoint(folder) if folder.is_dir() else None
    trainer.train(resume_from_checkpoint=state)
    history = [entry for entry in trainer.state.log_history if "train_runtime" not in entry]
    return StageResult(
        name,
        time.perf_counter() - start,
        float(trainer.state.epoch or 0),
        trainer.state.best_metric,
        learning,
        history,
        [int(Path(state).name.split("-")[1])] if state else [],
    )


def _stage_arguments(arguments: FineTuningArguments, folder: Path, **overrides: object) -> FineTuningArguments:
    """The user's arguments with this stage's folder; pushing is ours, after the evaluation."""
    settings = copy.copy(arguments)
    changes = {
        "output_dir": str(folder),
        "push_to_hub": False,
        "resume_from_checkpoint": None,
        "label_names": ["labels"],
    } | overrides
    for key, value in changes.items():
        setattr(settings, key, value)
    return settings


def _callbacks(arguments: FineTuningArguments) -> list[object]:
    if not arguments.early_stopping_patience or arguments.eval_strategy == "no":
        return []
    return [EarlyStoppingCallback(early_stopping_patience=arguments.early_stopping_patience)]


def _store_finished(model: nn.Module, folder: Path, result: StageResult) -> None:
    save_model(model, str(folder / "finished.safetensors"))
    # written last: a stage without this file is not finished
    (folder / "finished.json").write_text(json.dumps(result.__dict__))


def _load_finished(model: nn.Module, folder: Path) -> StageResult | None:
    file = folder / "finished.json"
    if not file.exists():
        return None
    load_model(model, str(folder / "finished.safetensors"))
    logger.info("Stage %s is finished; its weights are taken from %s.", folder.name, folder)
    return StageResult(**json.loads(file.read_text()))


def validation_rows(parts: list[Dataset]) -> Dataset:
    """Development-validation in all its renderings, so that the best checkpoint is good on each."""
    return parts[0] if len(parts) == 1 else ConcatDataset(parts)
