"""From the command to a model that beats the replaced project on the published test split."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.frame import Options
from benchmarks.markdown import grid

NAME = "train_time"
TITLE = "Time until the published test split's AUC passes 0.956"
GOAL = 0.956
EVERY = 16
"""Steps of stage two between two looks."""


def run(options: Options) -> dict:
    """The default recipe from nothing (pixels not decoded yet), scored at fixed steps until it passes.

    Looking at the test split is allowed here because nothing comes of it: the steps are fixed, the recipe is the
    default one, and the weights are thrown away. The time of the looks is not counted.
    """
    return {"goal": GOAL, "default": _until(options)}


def _until(options: Options) -> dict[str, Any]:
    from benchmarks.training import NO_EVALUATION, arguments_for, stage_data
    from hf_model.training.stages import fine_tuning_trainer, run_stages

    start, looking = time.perf_counter(), 0.0
    arguments = arguments_for(options, *NO_EVALUATION, "--cache_dir", str(options.scratch / "pixels"))
    base, data, stage = stage_data(arguments)
    training = arguments[-1]
    epochs, training.num_train_epochs = training.num_train_epochs, 0
    run_stages(base.model, stage, training)
    training.num_train_epochs = epochs
    after_head = time.perf_counter()
    look = _Looks(base, data)
    looks = [{"step": 0, "seconds": after_head - start, "auc": look(base.model)}]
    looking += time.perf_counter() - after_head
    if looks[0]["auc"] < GOAL:
        trainer = fine_tuning_trainer(base.model, stage, training, options.scratch / "stage")
        trainer.add_callback(_watcher(trainer, look, looks, start, looking, 8 if options.quick else None))
        trainer.train()
    passed = looks[-1]["auc"] >= GOAL
    return {"passed": passed, "seconds": looks[-1]["seconds"] if passed else None, "looks": looks}


class _Looks:
    """AUC of the published test pictures under the model's present weights, in bfloat16 where training uses it."""

    def __init__(self, base: Any, data: Any) -> None:
        self.pixels = data.test[data.main_name].decode()
        self.preprocessing = base.preprocessing

    def __call__(self, model: Any) -> float:
        import torch

        from hf_model.metrics.intervals import auc_components
        from hf_model.modeling.features import PictureRows, compute_logits, picture_batches

        batches = picture_batches(PictureRows(self.pixels.pixels, self.pixels.labels), self.preprocessing)
        was_training = model.training
        logits = compute_logits(model, batches, torch.device("cpu"), "a look at the test pictures")
        model.train(was_training)
        return float(auc_components(logits[:, 1] - logits[:, 0], self.pixels.labels)[0])


def _watcher(trainer: Any, look: _Looks, looks: list[dict], start: float, looking: float, limit: int | None) -> Any:
    """Looks every ``EVERY`` steps with the averaged weights, which are what a run keeps, and stops at the goal."""
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):
        spent = looking

        def on_step_end(self, args, state, control, model=None, **kwargs) -> None:
            if state.global_step % EVERY == 0 or state.global_step == limit:
                now = time.perf_counter()
                with trainer.average.swapped_in(model):
                    looks.append({"step": state.global_step, "seconds": now - start - self.spent, "auc": look(model)})
                self.spent += time.perf_counter() - now
                control.should_training_stop = looks[-1]["auc"] >= GOAL or state.global_step == limit

    return Watcher()


def table(section: dict) -> str:
    """Seconds, and the AUC at each look."""
    part = section["default"]
    seconds = f"{part['seconds']:.0f} s" if part["passed"] else "not passed"
    head = part["looks"][0]
    row = ["default recipe", seconds, f"{head['auc']:.3f} at {head['seconds']:.0f} s", part["looks"][-1]["step"]]
    return grid(["", f"AUC {section['goal']} passed after", "after the head", "steps of stage two"], [row]) + (
        "\n\nFrom the start of the command, decoding included, looks at the test pictures (every "
        f"{EVERY} steps) not counted; the weights are thrown away. The replaced project took 26 epochs of 250 s."
    )
