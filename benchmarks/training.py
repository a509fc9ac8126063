"""What the training benchmarks share: this project's Trainer on the real development data, with a clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.frame import Options

BATCH = 32
NO_EVALUATION = ("--eval_strategy=no", "--save_strategy=no", "--load_best_model_at_end=false")
"""Options for a stretch of steps without evaluation and without checkpoints."""


def arguments_for(options: Options, *extra: str) -> tuple:
    """``train.py``'s argument objects: the fixed default recipe on the two 224 px renderings, in a scratch folder."""
    from hf_model.training.arguments import parse_arguments

    folders = [str(options.folder(name)) for name in ("chest-xray-pneumonia", "chest-xray-pneumonia-sharp")]
    limit = ["--max_train_samples", "400"] if options.quick else []
    places = ["--dataset", folders[0], "--renderings", folders[1], "--output_dir", str(options.scratch / "run")]
    return parse_arguments([*places, *limit, "--disable_tqdm=true", *extra])


def stage_data(arguments: tuple, *, repeated: int | None = None) -> tuple[Any, Any, Any]:
    """``(base model, DevelopmentData, StageData)`` as ``train.py`` makes them.

    repeated: number of training rows, made by repeating the real ones, to see how the cost grows.
    """
    from torch.utils.data import ConcatDataset

    from hf_model.data.prepare import TRAIN, VALIDATION, prepare
    from hf_model.data.splits import class_weights
    from hf_model.modeling.base import load_base_model
    from hf_model.modeling.features import PictureRows
    from hf_model.training.batches import TrainingRows
    from hf_model.training.machine import keep_memory
    from hf_model.training.stages import StageData

    keep_memory()
    data_args, model_args, augmentation, _, training = arguments
    base = load_base_model(model_args.base_model)
    data = prepare(data_args, base.preprocessing, training.seed)
    rows, chosen_by, labels = data.rows(TRAIN), data.rows(VALIDATION), data.main.labels
    if repeated:  # shuffled first: the published rows are sorted by class
        rows = np.resize(np.random.default_rng(0).permutation(rows), repeated)
    train = TrainingRows([(pixels.pixels, index[rows]) for pixels, index in data.renderings.values()], labels[rows])
    validation = [PictureRows.of_rendering(p.pixels, index, chosen_by, labels) for p, index in data.renderings.values()]
    stage = StageData(train, ConcatDataset(validation), base.preprocessing, augmentation, class_weights(labels[rows]))
    return base, data, stage


@contextmanager
def waiting() -> Iterator[list[float]]:
    """Seconds that each ``next`` of a DataLoader took while the context lasts."""
    from torch.utils.data.dataloader import _BaseDataLoaderIter

    seconds: list[float] = []
    original = _BaseDataLoaderIter.__next__

    def timed(self: Any) -> Any:
        start = time.perf_counter()
        try:
            return original(self)
        finally:
            seconds.append(time.perf_counter() - start)

    _BaseDataLoaderIter.__next__ = timed
    try:
        yield seconds
    finally:
        _BaseDataLoaderIter.__next__ = original


def timed_steps(base: Any, stage: Any, training: Any, folder: Path) -> dict[str, Any]:
    """Run stage two without evaluation; when each step ended (seconds from the start), and the waits for batches."""
    from transformers import TrainerCallback

    from hf_model.training.stages import fine_tuning_trainer

    moments: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *args: object, **kwargs: object) -> None:
            moments.append(time.perf_counter())

    trainer = fine_tuning_trainer(base.model, stage, training, folder)
    trainer.add_callback(Clock())
    with waiting() as waited:
        start = time.perf_counter()
        trainer.train()
    return {"moments": [moment - start for moment in moments], "waited": waited, "trainer": trainer}


def speed(run: dict[str, Any], skip: int = 3) -> dict[str, float]:
    """Pictures per second (by the median step) and the share of the time spent waiting, after ``skip`` steps."""
    steps = np.diff(run["moments"])[skip - 1 :]
    waits = np.asarray(run["waited"][skip + 1 : skip + 1 + len(steps)])
    return {
        "pictures_per_second": BATCH / float(np.median(steps)),
        "waiting_share": float(waits.sum() / steps.sum()),
        "steps": len(steps),
    }
