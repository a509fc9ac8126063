"""Fine-tuning as the image-classification page of transformers' documentation has it: PIL transforms of each picture
when it is asked for, float32, and the Trainer's defaults.

``plain_trainer.py MODEL DATASET STEPS FROZEN OUT``: MODEL a checkpoint folder, FROZEN 1 to train the head alone. Prints
one JSON line: the moments (seconds) at which steps ended, and the seconds waited for batches.
"""

import json
import sys
import time

import numpy as np
import torch
from datasets import load_dataset
from PIL import Image
from torch.utils.data.dataloader import _BaseDataLoaderIter
from transformers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    DefaultDataCollator,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)


class Clock(TrainerCallback):
    """When each step ended."""

    def __init__(self):
        self.moments = []

    def on_step_end(self, *args, **kwargs):
        self.moments.append(time.perf_counter())


def augment(picture, random):
    """Rotation, shift, zoom and flip as the replaced projects had them, then contrast."""
    angle, zoom = random.uniform(-12, 12), random.uniform(0.85, 1.15)
    across, down = random.uniform(-0.12, 0.12, 2) * picture.width
    picture = picture.rotate(angle, Image.Resampling.BILINEAR, translate=(across, down))
    side = round(picture.width * zoom)
    left = (picture.width - side) // 2
    picture = picture.crop((left, left, left + side, left + side))
    if random.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    factor = random.uniform(0.6, 1.4)
    return picture.point(lambda grey: grey * factor)


def main():
    model_id, dataset, steps, frozen, out = sys.argv[1:]
    waited = []
    original = _BaseDataLoaderIter.__next__

    def timed(self):
        start = time.perf_counter()
        try:
            return original(self)
        finally:
            waited.append(time.perf_counter() - start)

    _BaseDataLoaderIter.__next__ = timed
    random = np.random.default_rng(0)
    processor = AutoImageProcessor.from_pretrained(model_id)
    model = AutoModelForImageClassification.from_pretrained(model_id)
    if frozen == "1":
        for parameter in model.base_model.parameters():
            parameter.requires_grad = False

    def transforms(batch):
        pictures = [augment(picture.convert("RGB"), random) for picture in batch["image"]]
        return processor(pictures, return_tensors="pt") | {"labels": torch.tensor(batch["label"])}

    clock = Clock()
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=out,
            per_device_train_batch_size=32,
            max_steps=int(steps),
            remove_unused_columns=False,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        ),
        train_dataset=load_dataset(dataset, split="train").with_transform(transforms),
        data_collator=DefaultDataCollator(),
        callbacks=[clock],
    )
    start = time.perf_counter()
    trainer.train()
    print(json.dumps({"moments": [moment - start for moment in clock.moments], "waited": waited}))


if __name__ == "__main__":
    main()
