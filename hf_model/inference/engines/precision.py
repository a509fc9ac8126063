"""Choosing the arithmetic by measuring it here, never by assumption.

OpenVINO takes bfloat16 by itself wherever the CPU knows it. That is right with AVX512-BF16 or AMX and wrong elsewhere,
and it is right only as long as the answers stay the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

SINGLE, BRAIN = "f32", "bf16"
MAX_PROBABILITY_SHIFT = 0.01
"""Largest change of a probability with which the faster arithmetic may be used."""
MIN_GAIN = 1.1
"""How many times faster it has to be."""

Run = Callable[[np.ndarray], np.ndarray]


def golden_inputs(height: int, width: int, count: int = 6) -> np.ndarray:
    """Grey uint8 (count, height, width), always the same: smooth random fields at several scales, some with noise."""
    generator = np.random.default_rng(20180222)
    pictures = np.empty((count, height, width), dtype=np.uint8)
    for index in range(count):
        cells = 3 + 3 * (index % 3)
        coarse = generator.uniform(0.0, 255.0, (cells, cells))
        rows, columns = np.linspace(0, cells - 1, height), np.linspace(0, cells - 1, width)
        across = np.stack([np.interp(columns, np.arange(cells), row) for row in coarse])
        field = np.stack([np.interp(rows, np.arange(cells), column) for column in across.T], axis=1)
        noise = generator.normal(0.0, 8.0 * (index % 2), field.shape)
        pictures[index] = np.clip(np.rint(field + noise), 0, 255)
    return pictures


def choose_precision(
    load: Callable[[str], Run], capabilities: list[str], inputs: np.ndarray, temperature: float = 1.0
) -> str:
    """``"bf16"`` if the machine has it, it is ``MIN_GAIN`` times faster and keeps every probability; else ``"f32"``.

    load: precision -> function from uint8 (1, h, w) to logits (1, 2); called for bf16 only where ``capabilities``
    (OpenVINO's OPTIMIZATION_CAPABILITIES) lists it. inputs: uint8 (N, h, w). temperature: of the calibration.

    How far a probability could move is told from the margin between the logits, by the steepest place of the logistic
    curve (a quarter for each unit of log-odds): the inputs are no radiographs and their own probabilities may be so
    near 0 or 1 that nothing moves them, while a radiograph near the threshold is moved by all of it.
    """
    if BRAIN.upper() not in capabilities:
        return SINGLE
    runs = {precision: load(precision) for precision in (SINGLE, BRAIN)}
    margins = {precision: _margins(run, inputs) for precision, run in runs.items()}
    shift = np.abs(margins[SINGLE] - margins[BRAIN]).max() / temperature / 4
    if not shift <= MAX_PROBABILITY_SHIFT:
        return SINGLE
    seconds = {precision: _fastest(run, inputs) for precision, run in runs.items()}
    return BRAIN if seconds[BRAIN] * MIN_GAIN <= seconds[SINGLE] else SINGLE


def _margins(run: Run, inputs: np.ndarray) -> np.ndarray:
    logits = np.concatenate([run(picture[None]) for picture in inputs]).astype(np.float64)
    return logits[:, 1] - logits[:, 0]


def _fastest(run: Run, inputs: np.ndarray, rounds: int = 3) -> float:
    """Seconds of the fastest single run: the minimum is what the machine can do when nobody disturbs it."""
    best = float("inf")
    for _ in range(rounds):
        for picture in inputs:
            start = time.perf_counter()
            run(picture[None])
            best = min(best, time.perf_counter() - start)
    return best
