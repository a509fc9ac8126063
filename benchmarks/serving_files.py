"""Full-size JPEG to Prediction: this project beside transformers' pipeline, and where the time goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import markdown, radiographs, timing
from benchmarks.frame import Options

NAME = "serving_files"
TITLE = "Full-size JPEG to Prediction"
OURS, PEER = "this project", "transformers pipeline"
STEPS = ("decode", "check", "resize", "model", "all")
LARGE = 2_000
"""Pixels on the longer side from which a radiograph counts as large."""
FINENESS = (1, 2, 3, 4)
"""Times the model's side that scaled decoding leaves at least."""


def run(options: Options) -> dict[str, Any]:
    """Median over files of each file's median; the steps likewise; and what scaled decoding would change."""
    from transformers import pipeline

    from hf_model import Classifier
    from hf_model.config import CHECKPOINT_DIR

    files = radiographs.full_size(options)
    classifier = Classifier.from_pretrained()
    classify = pipeline("image-classification", model=str(CHECKPOINT_DIR))
    rounds = 1 if options.quick else 3
    for file in files[:6]:
        classify(str(file)), classifier.predict(file)
    ours, peer = [], []
    for file in files:
        both = timing.interleaved(
            {OURS: lambda f=file: classifier.predict(f), PEER: lambda f=file: classify(str(f))},
            rounds=rounds,
            warmup=0,
            burst=2,
        )
        ours.append(both[OURS]["median"])
        peer.append(both[PEER]["median"])
    sides = [_longer_side(file) for file in files]
    steps = [_steps(classifier, file, rounds) for file in files]
    return {
        "pictures": len(files),
        "durations": {OURS: timing.summary(ours), PEER: timing.summary(peer)},
        "ratio_of_means": float(np.mean(ours) / np.mean(peer)),
        "steps": {name: float(np.median([step[name] for step in steps])) for name in STEPS},
        "large": {
            "pictures": sum(side >= LARGE for side in sides),
            **{
                name: float(np.median([step[name] for step, side in zip(steps, sides, strict=True) if side >= LARGE]))
                for name in STEPS
                if any(side >= LARGE for side in sides)
            },
        },
        "scaled": scaled(classifier, files),
        "engine": classifier.engine_name,
    }


def _longer_side(file: Path) -> int:
    from PIL import Image

    with Image.open(file) as opened:
        return max(opened.size)


def _steps(classifier: Any, file: Path, rounds: int) -> dict[str, float]:
    """Median seconds of each step of one file, in the order of ``Classifier.predict``."""
    from hf_model.inference.classifier import FINER
    from hf_model.radiograph import check_radiograph, read_radiograph

    side = FINER * classifier.preprocessing.height // 2
    found: dict[str, list[float]] = {name: [] for name in STEPS}
    for _ in range(rounds):
        radiograph = _timed(found["decode"], lambda: read_radiograph(file, target_side=side))
        _timed(found["check"], lambda picture=radiograph: check_radiograph(picture))
        pixels = _timed(found["resize"], lambda picture=radiograph: classifier.preprocessing.resize(picture.pixels))
        _timed(found["model"], lambda values=pixels: classifier._engine.run(values[None]))
        _timed(found["all"], lambda: classifier.predict(file))
    return {name: float(np.median(seconds)) for name, seconds in found.items()}


def _timed(into: list[float], call: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    result = call()
    into.append(time.perf_counter() - start)
    return result


def scaled(classifier: Any, files: list[Path]) -> list[dict[str, float]]:
    """For each fineness: pictures it touches, the largest change of a probability, and seconds of decoding."""
    from hf_model.radiograph import read_radiograph

    side = classifier.preprocessing.height
    full, seconds = [], []
    for file in files:
        full.append(classifier.predict(_timed(seconds, lambda f=file: read_radiograph(f)), heat_map=False))
    rows = [{"fineness": 0, "touched": 0, "moved": 0.0, "seconds": float(np.mean(seconds))}]
    for fineness in FINENESS:
        moved, seconds, touched = [], [], 0
        for file, expected in zip(files, full, strict=True):
            picture = _timed(
                seconds, lambda f=file, finer=fineness: read_radiograph(f, target_side=max(1, finer * side // 2))
            )
            touched += picture.pixels.shape != picture.original_size[::-1]
            moved.append(abs(classifier.predict(picture, heat_map=False).probability - expected.probability))
        rows.append({"fineness": fineness, "touched": touched, "moved": max(moved), "seconds": float(np.mean(seconds))})
    return rows


def table(section: dict[str, Any]) -> str:
    """Both medians, the steps, and the variants of scaled decoding."""
    durations = section["durations"]
    base = durations[PEER]["median"]
    rows = [[name, markdown.spread(found), markdown.ratio(found["median"] / base)] for name, found in durations.items()]
    steps, large = section["steps"], section["large"]
    split = [["all", *(markdown.ms(steps[name]) for name in STEPS)]]
    if large["pictures"]:
        split.append([f"{LARGE:,} px and more", *(markdown.ms(large[name]) for name in STEPS)])
    variants = [
        [
            f"{row['fineness']} times the model's side" if row["fineness"] else "none: in full",
            row["touched"],
            f"{row['moved']:.4f}",
            markdown.ms(row["seconds"]),
        ]
        for row in section["scaled"]
    ]
    return "\n\n".join(
        [
            markdown.grid(["", "median a file (10 to 90 %)", "of the pipeline"], rows),
            f"{section['pictures']} originals of training pictures, one at a time, `{section['engine']}`; by means the "
            f"ratio is {markdown.ratio(section['ratio_of_means'])}. Each step alone "
            "(medians; in all of them together one core checks while the other resizes):",
            markdown.grid(["pictures", *STEPS], split),
            "Decoding a JPEG at 1/2, 1/4 or 1/8 by libjpeg, as long as this much is left (in use: 4):",
            markdown.grid(["left at least", "pictures touched", "largest move of a probability", "decode"], variants),
        ]
    )
