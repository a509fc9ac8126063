"""The runs of the study: train with one change and one seed, and keep the validation margins of every epoch."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader
from transformers import set_seed

from hf_model.config import BASELINE
from hf_model.data.arguments import DataArguments
from hf_model.data.augmentation import AugmentationArguments
from hf_model.data.prepare import TRAIN, VALIDATION, DevelopmentData, prepare
from hf_model.data.splits import class_weights, split_by_group
from hf_model.experiments.plan import Budget, Change
from hf_model.metrics.trainer_metrics import classification_figures
from hf_model.modeling.base import BaseModel, load_base_model
from hf_model.modeling.features import FeatureRows, HeadOnFeatures, PictureRows, compute_features, picture_batches
from hf_model.modeling.heads import build_head
from hf_model.radiograph.preprocess import Preprocessing
from hf_model.training.arguments import FineTuningArguments
from hf_model.training.batches import AugmentedRows, TrainingCollator, TrainingRows
from hf_model.training.stages import HEAD_BATCH, StageData, run_stages
from hf_model.training.trainer import PneumoniaTrainer

AUGMENTED = "augmented"
VIEW_SEED = 0


@dataclass(frozen=True)
class View:
    """Validation pictures in one rendering, or augmented. at: int64 (n,), which of the chosen pictures it has."""

    name: str
    rows: PictureRows
    at: np.ndarray


@dataclass(frozen=True)
class StudyData:
    """What runs at one input size share.

    Attributes:
        chosen: rows of the validation pictures. patients: int64, one code for each of them.
        subset: rows of development-train that fine-tunings get.
    """

    data: DevelopmentData
    chosen: np.ndarray
    patients: np.ndarray
    subset: np.ndarray
    views: list[View]

    @property
    def labels(self) -> np.ndarray:
        return self.data.main.labels[self.chosen]

    def training_rows(self, *, whole: bool, one_rendering: bool = False) -> TrainingRows:
        """Development-train, ``whole`` or the subset, drawn from all renderings or from the data set's own."""
        rows = self.data.rows(TRAIN) if whole else self.subset
        parts = list(self.data.renderings.values())[: 1 if one_rendering else None]
        return TrainingRows([(p.pixels, index[rows]) for p, index in parts], self.data.main.labels[rows])


def load(
    arguments: DataArguments,
    preprocessing: Preprocessing,
    like: StudyData | None = None,
    *,
    seed: int,
    pictures: int,
    validation: int,
) -> StudyData:
    """Decode (or map) development at one size; the same patients are chosen whatever the size.

    Args:
        arguments, seed: as for training.
        like: the data at another size, which gives its splits: which pictures are nearly equal, and so stay together,
            may depend on the size.
        pictures, validation: of the two subsets.

    Raises:
        DatasetError: see ``prepare``. ValueError: a subset without both classes.
    """
    data = prepare(arguments, preprocessing, seed)
    data.test.clear()
    if like is not None:
        if data.main.names != like.data.main.names:
            raise ValueError(f"At {preprocessing.height} px other pictures can be read: sizes cannot be compared.")
        data.splits = like.data.splits
    groups = np.asarray(data.patients if data.patients is not None else data.main.names)
    chosen = _subset(data, data.rows(VALIDATION), groups, validation, "--validation")
    subset = _subset(data, data.rows(TRAIN), groups, pictures, "--pictures")
    codes = np.unique(groups[chosen], return_inverse=True)[1]
    views = []
    for name, (pixels, index) in data.renderings.items():
        at = np.flatnonzero(index[chosen] >= 0)
        labels = data.main.labels[chosen[at]]
        if 0 < labels.sum() < len(labels):
            views.append(View(name, PictureRows.of_rendering(pixels.pixels, index, chosen, data.main.labels), at))
    changed = AugmentedRows(data.main.pixels, data.main.labels[chosen], chosen, AugmentationArguments(), VIEW_SEED)
    views.append(View(AUGMENTED, changed, np.arange(len(chosen))))
    return StudyData(data, chosen, codes, subset, views)


def _subset(data: DevelopmentData, rows: np.ndarray, groups: np.ndarray, limit: int, option: str) -> np.ndarray:
    """Whole patients of ``rows``, both classes in proportion, about ``limit`` pictures.

    All rows if there are not more, or so few more that no patient of a class can be left out.

    Raises:
        ValueError: the subset would have no patient of a class; ``option`` names the limit to raise.
    """
    if len(rows) <= limit:
        return rows
    share = limit / len(rows)
    try:
        parts = split_by_group(data.main.labels[rows], groups[rows], {"in": share, "out": 1 - share}, VIEW_SEED)
    except ValueError as error:
        if share > 0.5:
            return rows
        raise ValueError(f"{option} {limit}: too few pictures to hold a patient of each class; raise it.") from error
    return rows[parts["in"]]


@dataclass
class MarginRecorder:
    """Trainer's ``compute_metrics`` that keeps the margins of every view at every evaluation."""

    views: list[View]
    seen: list[dict[str, np.ndarray]] = field(default_factory=list)

    def __call__(self, prediction: Any) -> dict[str, float]:
        logits = prediction.predictions[0] if isinstance(prediction.predictions, tuple) else prediction.predictions
        logits = np.asarray(logits, dtype=np.float64)
        margins = np.split(logits[:, 1] - logits[:, 0], np.cumsum([len(view.rows) for view in self.views])[:-1])
        self.seen.append({view.name: part for view, part in zip(self.views, margins, strict=True)})
        # log_loss and not loss: Trainer's own eval_loss is the one that the change's loss function gives
        figures = classification_figures(logits, np.concatenate([view.rows.labels for view in self.views]))
        return {"roc_auc": float(figures["roc_auc"]), "log_loss": float(figures["loss"])}


class _Learned(NamedTuple):
    """Parameters that learned, for how many epochs, in how many seconds with their evaluations."""

    parameters: int
    epochs: float
    seconds: float


@dataclass(frozen=True)
class _Run:
    """What the steps of one run share."""

    change: Change
    base: BaseModel
    study: StudyData
    arguments: FineTuningArguments
    recorder: MarginRecorder

    @property
    def validation(self) -> ConcatDataset:
        return ConcatDataset([view.rows for view in self.study.views])


@dataclass
class ExperimentRunner:
    """Runs changes; keeps the data of each size and the features of the frozen backbone.

    Attributes:
        data: the data options. base: name of the base checkpoint. folder: of the study. report_to: tracker, or "none".
        split_seed: of the splits, the same for all runs.
    """

    data: DataArguments
    base: str
    budget: Budget
    folder: Path
    report_to: str
    split_seed: int
    _by_size: dict[int, StudyData] = field(default_factory=dict)
    _features: dict[Path, dict[str, torch.Tensor]] = field(default_factory=dict)

    def study(self, base: BaseModel) -> StudyData:
        """The data at a base model's size."""
        side = base.preprocessing.height
        if side not in self._by_size:
            self._by_size[side] = load(
                self.data,
                base.preprocessing,
                next(iter(self._by_size.values()), None),
                seed=self.split_seed,
                pictures=self.budget.pictures,
                validation=self.budget.validation,
            )
        return self._by_size[side]

    def run(self, change: Change, seed: int) -> dict[str, Any]:
        """Train and evaluate; the run's JSON."""
        set_seed(seed)
        base = load_base_model(BASELINE if change.kind == "scratch" else self.base, image_size=change.size)
        study = self.study(base)
        recorder, start = MarginRecorder(study.views), time.perf_counter()
        with (
            _tensorboard_in(self.folder / "tensorboard" / f"{change.key}-seed{seed}"),
            tempfile.TemporaryDirectory() as out,
            contextlib.redirect_stdout(io.StringIO()),
        ):
            run = _Run(change, base, study, self._arguments(change, seed, out), recorder)
            pictures, learned = self._head(run) if change.kind == "head" else self._fine_tune(run)
        seconds = time.perf_counter() - start
        return {
            "change": change.key,
            "seed": seed,
            "pictures": pictures,
            "image_size": base.preprocessing.height,
            "epochs": learned.epochs,
            "seconds": round(seconds, 2),
            "seconds_per_epoch": round(learned.seconds / max(learned.epochs, 1), 3),
            "learning_parameters": learned.parameters,
            "margins": [{k: np.round(v, 5).tolist() for k, v in one.items()} for one in recorder.seen],
        }

    def _arguments(self, change: Change, seed: int, out: str) -> FineTuningArguments:
        budget = self.budget
        settings: dict[str, Any] = {
            "output_dir": out,
            "seed": seed,
            "head_epochs": budget.head_epochs,
            "head_views": 1,
            "num_train_epochs": budget.epochs,
            "save_strategy": "no",
            "load_best_model_at_end": False,
            "metric_for_best_model": "roc_auc",  # the study has no style weights
            "early_stopping_patience": 0,
            "disable_tqdm": True,
            "report_to": self.report_to,
            "run_name": f"{change.key}-seed{seed}",
            "project": "chest-xray-experiments",
        }
        settings |= change.training
        if change.kind == "scratch":
            settings |= {
                "head_epochs": 0,
                "num_train_epochs": budget.baseline_epochs,
                "learning_rate": 1e-3,
                "layer_decay": 1.0,
                "head_multiplier": 1.0,
            }
        elif settings["num_train_epochs"] == 0:
            settings |= {"head_views": 1 + budget.epochs}  # as many looks at a picture as the others have
        return FineTuningArguments(**settings)

    def _fine_tune(self, run: _Run) -> tuple[int, _Learned]:
        """The recipe of train.py on the subset: head on stored features, then the blocks."""
        change, arguments, base = run.change, run.arguments, run.base
        augmentation = replace(AugmentationArguments(), **change.augmentation)
        rows = run.study.training_rows(whole=change.kind == "scratch", one_rendering=change.one_rendering)
        learned = None
        if arguments.head_epochs:
            train = self._training_features(base, rows, augmentation, arguments.head_views)
            learned = self._train_head(run, HeadOnFeatures(base.model), train)
        if arguments.num_train_epochs:
            run.recorder.seen.clear()
            weights = class_weights(rows.labels)
            data = StageData(rows, run.validation, base.preprocessing, augmentation, weights, figures=run.recorder)
            last = run_stages(base.model, data, arguments.replaced(head_epochs=0))[-1]
            learned = _Learned(last.learning_parameters, last.epochs, last.seconds)
        return len(rows), learned

    def _head(self, run: _Run) -> tuple[int, _Learned]:
        """A head on stored features of the frozen backbone, from all of development-train."""
        rows = run.study.training_rows(whole=True)
        train = self._training_features(run.base, rows, AugmentationArguments(), self.budget.views)
        set_seed(run.arguments.seed)
        holder = nn.Module()
        holder.config = run.base.model.config
        holder.classifier = build_head(run.change.head, train.features.shape[1])
        return len(rows), self._train_head(run, HeadOnFeatures(holder), train)

    def _train_head(self, run: _Run, head: HeadOnFeatures, train: FeatureRows) -> _Learned:
        """Stage one of train.py, on features that are computed once for all seeds and heads."""
        arguments = run.arguments
        trainer = PneumoniaTrainer(
            model=head,
            args=arguments.replaced(
                num_train_epochs=arguments.head_epochs,
                learning_rate=arguments.head_learning_rate,
                per_device_train_batch_size=HEAD_BATCH,
                label_names=["labels"],
            ),
            train_dataset=train,
            eval_dataset=self._validation_features(run),
            compute_metrics=run.recorder,
            class_weights=class_weights(train.labels.numpy()),
            loss=arguments.loss,
        )
        set_seed(arguments.seed)
        start = time.perf_counter()
        with _one_thread():
            trainer.train()
        learning = sum(p.numel() for p in head.parameters() if p.requires_grad)
        return _Learned(learning, float(trainer.state.epoch or 0), time.perf_counter() - start)

    def _training_features(
        self, base: BaseModel, rows: TrainingRows, augmentation: AugmentationArguments, views: int
    ) -> FeatureRows:
        """Features of the frozen backbone for augmented views of ``rows``."""
        what = [base.preprocessing.height, len(rows), len(rows.renderings), views, asdict(augmentation)]
        collator = TrainingCollator(
            rows, base.preprocessing, replace(augmentation, mixup=0.0), FineTuningArguments.label_smoothing_factor, 0
        )

        def compute() -> dict[str, torch.Tensor]:
            parts = []
            for view in range(views):
                rows.epoch = -1 - view
                loader = DataLoader(rows, batch_size=64, collate_fn=collator)
                parts.append(_features(base, loader, f"view {view + 1} of {views}"))
            return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}

        return FeatureRows(**self._stored("training", what, compute))

    def _validation_features(self, run: _Run) -> FeatureRows:
        """Features of the frozen backbone for the validation views."""
        loader = picture_batches(run.validation, run.base.preprocessing)
        what = [run.base.preprocessing.height]
        return FeatureRows(**self._stored("validation", what, lambda: _features(run.base, loader, "validation")))

    def _stored(self, name: str, what: list[Any], compute: Callable[[], dict[str, torch.Tensor]]) -> dict:
        """``compute()``, kept in memory and in the study's folder under a hash of what it depends on."""
        key = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
        file = self.folder / "features" / f"{name}-{key}.safetensors"
        if file not in self._features:
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                save_file(compute(), file.with_suffix(".part"))
                file.with_suffix(".part").replace(file)
            self._features[file] = load_file(file)
        return self._features[file]


def _features(base: BaseModel, loader: DataLoader, what: str) -> dict[str, torch.Tensor]:
    """``compute_features`` in the precision that training has here."""
    defaults = FineTuningArguments(output_dir="unused", report_to="none")
    model = base.model.to(defaults.device, memory_format=torch.channels_last)
    return compute_features(model, loader, defaults.device, what, bf16=defaults.bf16)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """A head's products are too small to share: on two busy cores they took 16 s with two threads, 2 s with one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _tensorboard_in(folder: Path) -> Iterator[None]:
    """Let TensorBoard write to ``folder``, which transformers takes from the environment only."""
    name, before = "TENSORBOARD_LOGGING_DIR", os.environ.get("TENSORBOARD_LOGGING_DIR")
    os.environ[name] = str(folder)
    try:
        yield
    finally:
        os.environ.pop(name) if before is None else os.environ.update({name: before})
