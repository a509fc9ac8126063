"""One run of the study: a change, a seed, and what validation says of every epoch."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader
from transformers import set_seed

from hf_model.data.augmentation import AugmentationArguments
from hf_model.data.splits import class_weights
from hf_model.evaluation.hf_metric import classification_figures
from hf_model.experiments.plan import Budget, Change
from hf_model.experiments.study_data import StudyData
from hf_model.modeling.base import BaseModel, load_base_model
from hf_model.modeling.heads import build_head
from hf_model.modeling.own import BASELINE
from hf_model.training.arguments import DataArguments, FineTuningArguments
from hf_model.training.batches import PlainCollator, TrainingCollator
from hf_model.training.features import FeatureRows, HeadOnFeatures, compute_features
from hf_model.training.stages import StageData, run_stages
from hf_model.training.trainer import PneumoniaTrainer


@dataclass
class Recorder:
    """Trainer's ``compute_metrics`` that keeps the margins of every view at every evaluation."""

    study: StudyData
    seen: list[dict[str, np.ndarray]] = field(default_factory=list)

    def __call__(self, prediction: Any) -> dict[str, float]:
        logits = prediction.predictions[0] if isinstance(prediction.predictions, tuple) else prediction.predictions
        logits = np.asarray(logits, dtype=np.float64)
        ends = np.cumsum([len(view.rows) for view in self.study.views])
        parts = np.split(logits, ends[:-1])
        self.seen.append(
            {view.name: part[:, 1] - part[:, 0] for view, part in zip(self.study.views, parts, strict=True)}
        )
        # log_loss and not loss: Trainer's own eval_loss is the one that the change's loss function gives
        figures = classification_figures(logits, np.concatenate([view.rows.labels for view in self.study.views]))
        return {"roc_auc": float(figures["roc_auc"]), "log_loss": float(figures["loss"])}


@dataclass
class Laboratory:
    """Runs changes; keeps data by size and the frozen backbone's features.

    Attributes:
        data: the data options. base: name of the base checkpoint. folder: of the study. load: (preprocessing) ->
            StudyData. report_to: tracker, or "none".
    """

    data: DataArguments
    base: str
    budget: Budget
    folder: Path
    load: Callable[[Any], StudyData]
    report_to: str = "none"
    _by_size: dict[int, StudyData] = field(default_factory=dict)
    _features: tuple[FeatureRows, FeatureRows] | None = None

    def study(self, base: BaseModel) -> StudyData:
        """The data at a base model's size."""
        side = base.preprocessing.height
        if side not in self._by_size:
            self._by_size[side] = self.load(base.preprocessing)
        return self._by_size[side]

    def run(self, change: Change, seed: int) -> dict[str, Any]:
        """Train and evaluate; the run's JSON."""
        set_seed(seed)
        base = load_base_model(BASELINE if change.kind == "scratch" else self.base, image_size=change.size)
        study = self.study(base)
        recorder, start = Recorder(study), time.perf_counter()
        with (
            self._tracked(change, seed),
            tempfile.TemporaryDirectory() as out,
            contextlib.redirect_stdout(io.StringIO()),
        ):
            arguments = self._arguments(change, seed, out)
            work = self._head if change.kind == "head" else self._fine
            parameters, pictures, epochs = work(change, base, study, arguments, recorder)
        seconds = time.perf_counter() - start
        return {
            "change": change.key, "seed": seed, "pictures": pictures, "image_size": base.preprocessing.height,
            "epochs": epochs, "seconds": round(seconds, 2), "seconds_per_epoch": round(seconds / max(epochs, 1), 2),
            "learning_parameters": parameters,
            "margins": [{k: np.round(v, 5).tolist() for k, v in one.items()} for one in recorder.seen],
        }  # fmt: skip

    def _arguments(self, change: Change, seed: int, out: str) -> FineTuningArguments:
        budget, settings = self.budget, dict(change.training)
        if change.kind == "scratch":
            settings |= {"head_epochs": 0, "num_train_epochs": budget.baseline_epochs, "learning_rate": 1e-3,
                         "layer_decay": 1.0, "head_multiplier": 1.0}  # fmt: skip
        elif change.kind == "head":
            rate = FineTuningArguments.head_learning_rate
            settings |= {"num_train_epochs": budget.head_epochs, "learning_rate": rate,
                         "per_device_train_batch_size": 128}  # fmt: skip
        elif settings.get("num_train_epochs") == 0:
            settings |= {"head_views": 1 + budget.epochs}  # as many looks at a picture as the others have
        return FineTuningArguments(**({
            "output_dir": out, "seed": seed, "head_epochs": budget.head_epochs, "head_views": 1,
            "num_train_epochs": budget.epochs, "save_strategy": "no", "load_best_model_at_end": False,
            "early_stopping_patience": 0, "disable_tqdm": True, "report_to": self.report_to,
            "run_name": f"{change.key}-seed{seed}", "project": "chest-xray-experiments",
        } | settings))  # fmt: skip

    @contextlib.contextmanager
    def _tracked(self, change: Change, seed: int) -> Iterator[None]:
        """TensorBoard's folder for this run: transformers takes it from the environment only."""
        name, before = "TENSORBOARD_LOGGING_DIR", os.environ.get("TENSORBOARD_LOGGING_DIR")
        os.environ[name] = str(self.folder / "tensorboard" / f"{change.key}-seed{seed}")
        try:
            yield
        finally:
            os.environ.pop(name) if before is None else os.environ.update({name: before})

    def _fine(self, change, base, study, arguments, recorder) -> tuple[int, int, float]:
        """The recipe of train.py on the subset (the baseline: on all of development-train)."""
        rows = study.training_rows(whole=change.kind == "scratch", one_rendering=change.one_rendering)
        stages = run_stages(base.model, StageData(
            rows, ConcatDataset([view.rows for view in study.views]), base.preprocessing,
            replace(AugmentationArguments(), **change.augmentation), class_weights(rows.labels), figures=recorder,
        ), arguments)  # fmt: skip
        last = stages[-1]
        recorder.seen = recorder.seen[-sum("eval_loss" in entry for entry in last.history) :]
        return last.learning_parameters, len(rows), last.epochs

    def _head(self, change, base, study, arguments, recorder) -> tuple[int, int, float]:
        """A head on stored features of the frozen backbone."""
        train, validation = self._frozen(base, study)
        set_seed(arguments.seed)  # computing features may have drawn
        arguments.label_names = ["labels"]
        holder = nn.Module()
        holder.config, holder.classifier = base.model.config, build_head(change.head, train.features.shape[1])
        head = HeadOnFeatures(holder)
        trainer = PneumoniaTrainer(
            model=head, args=arguments, train_dataset=train, eval_dataset=validation, compute_metrics=recorder,
            class_weights=class_weights(train.labels.numpy()), loss=arguments.loss,
        )  # fmt: skip
        trainer.train()
        pictures = len(train) // self.budget.views
        return sum(p.numel() for p in head.parameters()), pictures, float(trainer.state.epoch or 0)

    def _frozen(self, base: BaseModel, study: StudyData) -> tuple[FeatureRows, FeatureRows]:
        """Features of all of development-train in augmented views, and of the validation views; computed once."""
        if self._features is None:
            file = self.folder / "features.safetensors"
            if not file.exists():
                tensors = _features_of(base, study, self.budget.views)
                save_file(tensors, file.with_suffix(".part"))
                file.with_suffix(".part").replace(file)
            t = load_file(file)
            self._features = (FeatureRows(t["train"], t["train_labels"], t["train_targets"]),
                              FeatureRows(t["validation"], t["validation_labels"]))  # fmt: skip
        return self._features


def _features_of(base: BaseModel, study: StudyData, views: int) -> dict[str, torch.Tensor]:
    defaults = FineTuningArguments(output_dir="unused", report_to="none")
    model = base.model.to(defaults.device, memory_format=torch.channels_last)
    rows = study.training_rows(whole=True)
    augmentation = replace(AugmentationArguments(), mixup=0.0)
    collator = TrainingCollator(rows, base.preprocessing, augmentation, defaults.label_smoothing_factor, 0)
    parts = []
    for view in range(views):
        rows.epoch = -1 - view
        loader = DataLoader(rows, batch_size=64, collate_fn=collator)
        parts.append(compute_features(model, loader, defaults.device, f"view {view + 1} of {views}"))
    plain = DataLoader(ConcatDataset([v.rows for v in study.views]), 64, collate_fn=PlainCollator(base.preprocessing))
    seen = compute_features(model, plain, defaults.device, "development-validation")
    train = {key: torch.cat([part[key] for part in parts]) for key in ("features", "labels", "targets")}
    return {
        "train": train["features"], "train_labels": train["labels"], "train_targets": train["targets"],
        "validation": seen["features"], "validation_labels": seen["labels"],
    }  # fmt: skip
