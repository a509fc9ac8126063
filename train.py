"""Fine-tune a pneumonia classifier on chest X-rays, calibrate it, evaluate it once, and publish it.

    python train.py --dataset ../shared/data/chest-xray-pneumonia --output_dir outputs/model

The code below reads from top to bottom as the pipeline: data, model, two training stages, decision, test, checkpoint,
Hub. ``python train.py --help`` lists the options; a JSON or YAML file as first argument sets them too. It also runs
under ``accelerate launch`` and ``torchrun``.
"""

from __future__ import annotations

import logging
import sys

from transformers import set_seed

from hf_model.data.prepare import TRAIN, prepare
from hf_model.data.splits import class_weights
from hf_model.hub.access import HubAccessError, check_write_access
from hf_model.hub.push import PushError, push_checkpoint
from hf_model.metrics.trainer_metrics import make_compute_metrics
from hf_model.modeling.base import load_base_model
from hf_model.training.arguments import parse_arguments
from hf_model.training.batches import TrainingRows, validation_views
from hf_model.training.checkpoint_writer import write_outputs
from hf_model.training.evidence import check_penalty
from hf_model.training.finalize import TrainedModel, calibrate_checkpoint
from hf_model.training.leakage import refuse_leakage
from hf_model.training.lungs import guide
from hf_model.training.machine import keep_memory
from hf_model.training.records import command_line, refuse_finished, run_identity
from hf_model.training.stages import StageData, run_stages

logger = logging.getLogger("train")


def train(argv: list[str]) -> str:
    """Run the whole pipeline and return the checkpoint folder."""
    arguments = data_args, model_args, augmentation, _, training = parse_arguments(argv)
    refuse_finished(training)
    keep_memory()
    set_seed(training.seed)

    # 1. Write access to the Hub, which is better checked before an hour of training than after it.
    repo_id = None
    if training.push_to_hub and training.process_index == 0:
        if not training.hub_model_id:
            raise ValueError("--push_to_hub: name the repository with --hub_model_id NAME.")
        repo_id = check_write_access(training.hub_model_id, token=training.hub_token)

    # 2. Model and preprocessing, then data decoded with that preprocessing; patients never cross splits.
    base = load_base_model(
        model_args.base_model,
        dropout=model_args.dropout,
        image_size=model_args.image_size,
        token=training.hub_token,
        head=model_args.head,
    )
    if model_args.lungs and training.evidence_weight:
        check_penalty(base.model)
    with training.main_process_first(desc="decoding"):
        data = prepare(data_args, base.preprocessing, training.seed, training.hub_token)
        data.leakage = refuse_leakage(data, allowed=data_args.allow_leakage)
    for split in data.splits.values():
        logger.info("%s: %d pictures of %d patients, %s", split.name, len(split.indices), split.patients, split.counts)

    # 3. Class weights from development-train alone; with --lungs, outlines for the evidence penalty and draws of
    #    development-train that make style (sharpness, framing, borders) independent of the class.
    rows, labels = data.rows(TRAIN), data.main.labels
    weights = class_weights(labels[rows])
    guidance = guide(data, model_args.lungs, data_args.outlines)

    # 4. Head on a frozen backbone, then the upper blocks; the best state by development-validation in all renderings
    #    and one augmented view.
    validation, shown = validation_views(data, augmentation, training.seed)
    stage_data = StageData(
        TrainingRows(
            [(pixels.pixels, index[rows]) for pixels, index in data.renderings.values()],
            labels[rows],
            outlines=None if guidance is None else list(guidance.outlines.values()),
            weights=None if guidance is None else guidance.weights[rows],
        ),
        validation,
        base.preprocessing,
        augmentation,
        weights,
        run_identity(base, data, arguments),
        make_compute_metrics(weights=None if guidance is None else guidance.weights[shown]),
    )
    stages = run_stages(base.model, stage_data, training)
    if training.process_index != 0:
        return training.output_dir

    # 5. Temperature and thresholds on calibration patients, the out-of-distribution detector, the serving graph.
    trained = TrainedModel(base, data, arguments, training.device)
    checkpoint = calibrate_checkpoint(trained)

    # 6. The test split, once, and everything written down: metrics, scores, report and card.
    write_outputs(
        trained,
        checkpoint,
        stages,
        weights,
        command_line("train.py", argv),
        None if guidance is None else guidance.record,
    )

    # 7. The Hub, last: whatever happens there, the folder is complete.
    if repo_id is not None:
        url = push_checkpoint(
            training.output_dir,
            repo_id,
            token=training.hub_token,
            private=bool(training.hub_private_repo),
            revision=training.hub_revision,
        )
        logger.info("Published: %s", url)
    return training.output_dir


def main(argv: list[str] | None = None) -> int:
    """Entry point; 0 for success, 1 with one line on standard error for what the user can correct."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        train(list(sys.argv[1:] if argv is None else argv))
    except (ValueError, HubAccessError, PushError, OSError) as error:  # DatasetError, ModelError are values
        logger.debug("where it was raised", exc_info=error)
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
