"""The schedule: stage one trains the head on a frozen backbone, stage two the upper blocks at a lower rate.

A finished stage is kept in ``stages/<name>/finished.safetensors`` with ``finished.json``, an interrupted one in the
Trainer's ``checkpoint-<step>`` folders; ``stages/identity.json`` says which run they belong to.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import nn
from torch.utils.data import DataLoader, Dataset
from transformers import EarlyStoppingCallback, set_seed
from transformers.trainer_utils import get_last_checkpoint

from hf_model.data.augmentation import AugmentationArguments
from hf_model.files import write_json
from hf_model.metrics.trainer_metrics import make_compute_metrics
from hf_model.modeling.depthwise import quicken_depthwise
from hf_model.modeling.features import FeatureRows, HeadOnFeatures, PictureCollator, compute_features
from hf_model.modeling.freezing import unfreeze
from hf_model.radiograph.preprocess import Preprocessing
from hf_model.training.arguments import FineTuningArguments
from hf_model.training.batches import TrainingCollator, TrainingRows
from hf_model.training.evidence import drop_bias
from hf_model.training.trainer import AVERAGE_FILE, EpochCallback, PneumoniaTrainer, WeightAverage, swap_weights

logger = logging.getLogger(__name__)
HEAD_BATCH = 128
"""Pictures in a batch of stored features: a head is small, and so are its batches in memory."""


@dataclass
class StageData:
    """What both stages learn from and are chosen by.

    Attributes:
        train: development-train. validation: development-validation, in every rendering.
        class_weights: for NORMAL and PNEUMONIA.
        identity: data, splits, base checkpoint and recipe, which a run must share with the one that it resumes.
        figures: Trainer's ``compute_metrics`` on ``validation``.
    """

    train: TrainingRows
    validation: Dataset
    preprocessing: Preprocessing
    augmentation: AugmentationArguments
    class_weights: tuple[float, float]
    identity: dict[str, object] = field(default_factory=dict)
    figures: Callable[..., dict[str, float]] = field(default_factory=make_compute_metrics)


@dataclass
class StageResult:
    """For metrics.json: what a stage did.

    Attributes:
        history: Trainer's log, one dict a line. resumed_from: the step that it was resumed from, if it was.
    """

    name: str
    seconds: float
    epochs: float
    best_metric: float | None
    learning_parameters: int
    history: list[dict[str, float]] = field(default_factory=list)
    resumed_from: list[int] = field(default_factory=list)


def run_stages(model: nn.Module, data: StageData, arguments: FineTuningArguments) -> list[StageResult]:
    """Train ``model`` in place and return what each stage did. ``--resume`` does not repeat finished stages.

    Raises:
        ValueError: the folder holds another run, see ``check_identity``.
    """
    stages = Path(arguments.output_dir) / "stages"
    check_identity(stages, data.identity, arguments)
    results = []
    for name, epochs, trainer_of in (
        ("head", arguments.head_epochs, head_trainer),
        ("fine_tuning", arguments.num_train_epochs, fine_tuning_trainer),
    ):
        if epochs <= 0:
            continue
        done = _load_finished(model, stages / name) if arguments.resume else None
        if done is None:
            set_seed(arguments.seed)
            start = time.perf_counter()
            done = _train(trainer_of(model, data, arguments, stages / name), arguments, start)
            if arguments.should_save:
                _store_finished(model, stages / name, done)
        results.append(done)
    return results


def head_trainer(model: nn.Module, data: StageData, arguments: FineTuningArguments, folder: Path) -> PneumoniaTrainer:
    """The Trainer of stage one: the head of ``model`` on stored features of ``head_views`` augmented views.

    Mixing pictures would blur their features, so there is no mixup.
    """
    unfreeze(model, "0")
    if _penalises_evidence(data, arguments):
        drop_bias(model)
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
    settings = _stage_arguments(
        arguments,
        folder,
        num_train_epochs=arguments.head_epochs,
        learning_rate=arguments.head_learning_rate,
        per_device_train_batch_size=HEAD_BATCH,
        gradient_accumulation_steps=1,
        max_steps=-1,
    )
    return PneumoniaTrainer(
        model=HeadOnFeatures(model),
        args=settings,
        train_dataset=train,
        eval_dataset=FeatureRows(seen["features"], seen["labels"]),
        compute_metrics=data.figures,
        class_weights=data.class_weights,
        loss=arguments.loss,
        callbacks=_early_stopping(arguments),
    )


def fine_tuning_trainer(
    model: nn.Module, data: StageData, arguments: FineTuningArguments, folder: Path
) -> PneumoniaTrainer:
    """The Trainer of stage two; ``model`` is unfrozen and laid out for it in place.

    The head learns faster than the blocks, each picture comes in another rendering and augmentation every epoch.
    """
    unfreeze(model, arguments.unfreeze_blocks)
    if _penalises_evidence(data, arguments):
        drop_bias(model)
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
        evidence_weight=arguments.evidence_weight,
        average=WeightAverage(arguments.ema_decay) if arguments.ema_decay else None,
        callbacks=[*_early_stopping(arguments), EpochCallback(data.train)],
    )


def _penalises_evidence(data: StageData, arguments: FineTuningArguments) -> bool:
    return bool(arguments.evidence_weight) and data.train.outlines is not None


def _stage_arguments(arguments: FineTuningArguments, folder: Path, **values: object) -> FineTuningArguments:
    """The user's arguments with the folder of a stage; pushing is ours, after the evaluation."""
    return arguments.replaced(
        output_dir=str(folder), push_to_hub=False, resume_from_checkpoint=None, label_names=["labels"], **values
    )


def _early_stopping(arguments: FineTuningArguments) -> list[EarlyStoppingCallback]:
    if not arguments.early_stopping_patience or arguments.eval_strategy == "no":
        return []
    return [EarlyStoppingCallback(early_stopping_patience=arguments.early_stopping_patience)]


def _train(trainer: PneumoniaTrainer, arguments: FineTuningArguments, start: float) -> StageResult:
    """Train, from the newest complete state on ``--resume``; the model ends in its best state.

    start: ``time.perf_counter()`` when the stage began, its features included.
    """
    folder, state = Path(trainer.args.output_dir), None
    learning = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    if arguments.resume:
        needed = (AVERAGE_FILE,) if trainer.average is not None else ()
        with arguments.main_process_first(local=False, desc="looking at saved states"):
            drop_incomplete(folder, needed)  # the first process deletes, the others find nothing to delete
        state = get_last_checkpoint(folder) if folder.is_dir() else None
    trainer.train(resume_from_checkpoint=state)
    _use_average(trainer)
    return StageResult(
        name=folder.name,
        seconds=time.perf_counter() - start,
        epochs=float(trainer.state.epoch or 0),
        best_metric=trainer.state.best_metric,
        learning_parameters=learning,
        history=[_finite(entry) for entry in trainer.state.log_history if "train_runtime" not in entry],
        resumed_from=[int(Path(state).name.split("-")[1])] if state else [],
    )


def _finite(entry: dict[str, float]) -> dict[str, float]:
    """A log entry without what JSON cannot hold: float16 training logs an infinite gradient norm now and then."""
    return {key: value for key, value in entry.items() if not isinstance(value, float) or math.isfinite(value)}


def _use_average(trainer: PneumoniaTrainer) -> None:
    """Give the model the averaged weights of its best state (of the last, where none is chosen).

    Only in the process that goes on after training: on another machine the file may not exist.
    """
    if trainer.average is None or not trainer.args.should_save:
        return
    averaged = trainer.average.averaged
    best = trainer.state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    if best:
        load_model(averaged, Path(best) / AVERAGE_FILE)
    swap_weights(averaged.module, trainer.model)


def _store_finished(model: nn.Module, folder: Path, result: StageResult) -> None:
    save_model(model, str(folder / "finished.safetensors"))
    write_json(folder / "finished.json", asdict(result))  # written last: a stage without this file is not finished


def _load_finished(model: nn.Module, folder: Path) -> StageResult | None:
    file = folder / "finished.json"
    if not file.exists():
        return None
    load_model(model, folder / "finished.safetensors")
    logger.info("Stage %s is finished; its weights are taken from %s.", folder.name, folder)
    return StageResult(**json.loads(file.read_text(encoding="utf-8")))


def check_identity(folder: Path, identity: dict[str, object], arguments: FineTuningArguments) -> None:
    """Refuse to resume from weights of another run: with other splits they would have seen calibration patients.

    Raises:
        ValueError: with ``--resume``, data, splits, base checkpoint or recipe differ from those of the interrupted run,
            or nothing says what they were; without, there is a stopped run, whose weights would be lost.
    """
    file = folder / "identity.json"
    wanted = json.loads(json.dumps(identity))
    if arguments.resume and folder.is_dir():
        if not file.exists():
            raise ValueError(f"--resume: {folder} does not say which run it is of; start in another --output_dir.")
        stored = json.loads(file.read_text(encoding="utf-8"))
        changed = sorted(key for key in wanted.keys() | stored.keys() if wanted.get(key) != stored.get(key))
        if changed:
            raise ValueError(
                f"--resume: {folder.parent} was begun with another {', '.join(changed)}. Repeat that run's options, or "
                "start afresh in another --output_dir."
            )
    if arguments.should_save:
        if not arguments.resume:
            begun = [*folder.glob("*/finished.json"), *folder.glob("*/checkpoint-*")]
            if begun:
                raise ValueError(
                    f"--output_dir {folder.parent} holds a run that stopped ({begun[0].relative_to(folder)}): go on "
                    f"with it by --resume, name another folder, or delete {folder}."
                )
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(file, wanted)


def drop_incomplete(folder: Path, needed: Sequence[str] = ()) -> list[Path]:
    """Delete the states in ``folder`` that were not completely written, with a warning; returns them.

    Args:
        needed: further files in the safetensors format, such as the averaged weights, which are written last.
    """
    dropped = [state for state in sorted(folder.glob("checkpoint-*")) if not _is_complete(state, needed)]
    for state in dropped:
        logger.warning("%s was not completely written and is deleted; going on from an earlier state.", state)
        shutil.rmtree(state)
    return dropped


def _is_complete(state: Path, needed: Sequence[str]) -> bool:
    """Whether every file exists, the weights and those in ``needed`` open, and the trainer state parses."""
    weights = ("model.safetensors", *needed)
    if not all((state / name).is_file() for name in (*weights, "optimizer.pt", "scheduler.pt", "trainer_state.json")):
        return False
    try:
        for name in weights:
            with safe_open(state / name, "pt"):
                pass
        json.loads((state / "trainer_state.json").read_text(encoding="utf-8"))
    except (SafetensorError, ValueError, OSError):
        return False
    return True
