"""One run of the study: a change, a seed, and what validation says of every epoch."""

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
from hf_model.training.stages import StageData, run_stages
from hf_model.training.trainer import PneumoniaTrainer

AUGMENTED = "augmented"
VIEW_SEED = 0


@dataclass(frozen=True)
class View:
    """Validation pictures in one rendering or augmented. at: int64 (n,), which of the chosen pictures they show."""

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
        arguments, seed: as for training. like: the data at another size, whose splits are taken over: which pictures
            are nearly equal, and so stay together, may depend on the size. pictures, validation: of the two subsets.

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
    """Whole patients of ``rows``, classes in their proportion, about ``limit`` pictures.

    All of them where there are not more, or so few more that a class would have nobody to leave out.

    Raises:
        ValueError: a class would have nobody in it; ``option`` says what to raise.
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


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """A head's products are too small to share: on two busy cores they took 16 s with two threads, 2 s with one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Learned(NamedTuple):
    """Parameters that learned, for how many epochs, in how many seconds with their evaluations."""

    parameters: int
    epochs: float
    seconds: float


@dataclass
class Laboratory:
    """Runs changes; keeps data by size and the frozen backbone's features.

    Attributes:
        data: the data options. base: name of the base checkpoint. folder: of the study. load: (preprocessing,
            data of another size or None) -> StudyData. report_to: tracker, or "none".
    """

    data: DataArguments
    base: str
    budget: Budget
    folder: Path
    load: Callable[[Any, StudyData | None], StudyData]
    report_to: str = "none"
    _by_size: dict[int, StudyData] = field(default_factory=dict)
    _features: dict[Path, dict[str, torch.Tensor]] = field(default_factory=dict)

    def study(self, base: BaseModel) -> StudyData:
        """The data at a base model's size."""
        side = base.preprocessing.height
        if side not in self._by_size:
            self._by_size[side] = self.load(base.preprocessing, next(iter(self._by_size.values()), None))
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
            pictures, learned = work(change, base, study, arguments, recorder)
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
        budget, settings = self.budget, dict(change.training)
        if change.kind == "scratch":
            settings |= {
                "head_epochs": 0,
                "num_train_epochs": budget.baseline_epochs,
                "learning_rate": 1e-3,
                "layer_decay": 1.0,
                "head_multiplier": 1.0,
            }
        elif settings.get("num_train_epochs") == 0:
            settings |= {"head_views": 1 + budget.epochs}  # as many looks at a picture as the others have
        return FineTuningArguments(
            **(
                {
                    "output_dir": out,
                    "seed": seed,
                    "head_epochs": budget.head_epochs,
                    "head_views": 1,
                    "num_train_epochs": budget.epochs,
                    "save_strategy": "no",
                    "load_best_model_at_end": False,
                    "early_stopping_patience": 0,
                    "disable_tqdm": True,
                    "report_to": self.report_to,
                    "run_name": f"{change.key}-seed{seed}",
                    "project": "chest-xray-experiments",
                }
                | settings
            )
        )

    @contextlib.contextmanager
    def _tracked(self, change: Change, seed: int) -> Iterator[None]:
        """TensorBoard's folder for this run: transformers takes it from the environment only."""
        name, before = "TENSORBOARD_LOGGING_DIR", os.environ.get("TENSORBOARD_LOGGING_DIR")
        os.environ[name] = str(self.folder / "tensorboard" / f"{change.key}-seed{seed}")
        try:
            yield
        finally:
            os.environ.pop(name) if before is None else os.environ.update({name: before})

    def _fine(self, change, base, study, arguments, recorder) -> tuple[int, _Learned]:
        """The recipe of train.py on the subset: head on stored features, then the blocks."""
        augmentation = replace(AugmentationArguments(), **change.augmentation)
        rows = study.training_rows(whole=change.kind == "scratch", one_rendering=change.one_rendering)
        learned = None
        if arguments.head_epochs:
            train = self._training_features(base, rows, augmentation, arguments.head_views)
            learned = self._train_head(HeadOnFeatures(base.model), train, base, study, arguments, recorder)
        if arguments.num_train_epochs:
            recorder.seen.clear()
            validation = ConcatDataset([view.rows for view in study.views])
            weights = class_weights(rows.labels)
            data = StageData(rows, validation, base.preprocessing, augmentation, weights, figures=recorder)
            last = run_stages(base.model, data, arguments.replaced(head_epochs=0))[-1]
            learned = _Learned(last.learning_parameters, last.epochs, last.seconds)
        return len(rows), learned

    def _head(self, change, base, study, arguments, recorder) -> tuple[int, _Learned]:
        """A head on stored features of the frozen backbone, from all of development-train."""
        rows = study.training_rows(whole=True)
        train = self._training_features(base, rows, AugmentationArguments(), self.budget.views)
        set_seed(arguments.seed)
        holder = nn.Module()
        holder.config, holder.classifier = base.model.config, build_head(change.head, train.features.shape[1])
        return len(rows), self._train_head(HeadOnFeatures(holder), train, base, study, arguments, recorder)

    def _train_head(self, head: nn.Module, train: FeatureRows, base, study, arguments, recorder) -> _Learned:
        """Stage one of train.py."""
        settings = arguments.replaced(
            num_train_epochs=arguments.head_epochs,
            learning_rate=arguments.head_learning_rate,
            per_device_train_batch_size=128,
            label_names=["labels"],
        )
        trainer = PneumoniaTrainer(
            model=head,
            args=settings,
            train_dataset=train,
            eval_dataset=self._validation_features(base, study),
            compute_metrics=recorder,
            class_weights=class_weights(train.labels.numpy()),
            loss=settings.loss,
        )
        set_seed(arguments.seed)
        start = time.perf_counter()
        with one_thread():
            trainer.train()
        learning = sum(p.numel() for p in head.parameters() if p.requires_grad)
        return _Learned(learning, float(trainer.state.epoch or 0), time.perf_counter() - start)

    def _training_features(
        self, base: BaseModel, rows: TrainingRows, augmentation: AugmentationArguments, views: int
    ) -> FeatureRows:
        """What the frozen backbone gives for augmented views of ``rows``; computed once for all seeds and heads."""
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

        stored = self._stored("training", what, compute)
        return FeatureRows(stored["features"], stored["labels"], stored["targets"])

    def _validation_features(self, base: BaseModel, study: StudyData) -> FeatureRows:
        """The same of the validation views."""
        rows = ConcatDataset([view.rows for view in study.views])
        loader = picture_batches(rows, base.preprocessing)
        stored = self._stored("validation", [base.preprocessing.height], lambda: _features(base, loader, "validation"))
        return FeatureRows(stored["features"], stored["labels"])

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
