"""Ten epochs of head training: stored features of the frozen backbone against running it in each epoch."""

from __future__ import annotations

from benchmarks.frame import Options
from benchmarks.markdown import grid, ratio

NAME = "train_head"
TITLE = "Ten epochs of head training on a frozen backbone"
EPOCHS = 10


def run(options: Options) -> dict:
    """Stage one as train.py runs it, and the same head through the whole network (one epoch timed, ten stated).

    The peer is this project's own Trainer with everything but the head frozen, so that nothing but the stored
    features differs: same pictures, precision, loss and batches made beside the step.
    """
    import time

    from benchmarks.training import NO_EVALUATION, arguments_for, stage_data, timed_steps
    from hf_model.training.stages import run_stages

    shared = ["--head_epochs", str(EPOCHS), "--early_stopping_patience", "0"]
    result = {}
    for views in (1, 2):
        arguments = arguments_for(options, *shared, "--num_train_epochs", "0", "--head_views", str(views))
        base, _, stage = stage_data(arguments)
        arguments[-1].output_dir = str(options.scratch / f"head-{views}")
        start = time.perf_counter()
        done = run_stages(base.model, stage, arguments[-1])
        result[f"views_{views}"] = {"seconds": time.perf_counter() - start, "auc": done[0].best_metric}
    for name, precision, workers in (("each_epoch", "auto", "-1"), ("each_epoch_fp32", "fp32", "0")):
        steps = 3 if options.quick else 24
        measured = [f"--max_steps={steps}", f"--precision={precision}", f"--dataloader_num_workers={workers}"]
        alike = ["--unfreeze_blocks=0", "--ema_decay=0", "--mixup=0"]
        arguments = arguments_for(options, *measured, *alike, *NO_EVALUATION)
        base, _, stage = stage_data(arguments)
        trained = timed_steps(base, stage, arguments[-1], options.scratch / name)
        step = (trained["moments"][-1] - trained["moments"][0]) / (steps - 1)
        # evaluation after each epoch is left out on this side: it would cost a forward pass of the validation pictures
        result[name] = {"seconds": EPOCHS * step * len(stage.train) / 32, "bf16": arguments[-1].bf16}
    result["pictures"] = len(stage.train)
    return result


def table(section: dict) -> str:
    """Seconds for ten epochs."""
    rows = []
    for key, label in (
        ("each_epoch_fp32", "backbone in every epoch, float32, batches made in the step"),
        ("each_epoch", "backbone in every epoch, train.py's speed otherwise"),
        ("views_2", "features of two augmented views stored (default)"),
        ("views_1", "features of one augmented view stored (`--head_views 1`)"),
    ):
        part = section[key]
        auc = f"{part['auc']:.4f}" if "auc" in part else ""
        slower = section["each_epoch_fp32"]["seconds"] / part["seconds"]
        rows.append([label, f"{part['seconds']:.0f} s", ratio(slower), auc])
    return grid(["", f"ten epochs of {section['pictures']} pictures", "times the first", "validation AUC"], rows) + (
        "\n\nThe rows above the stored features are one stretch of steps, extrapolated to ten epochs, without any "
        "evaluation; those below are whole runs with one after each epoch."
    )
