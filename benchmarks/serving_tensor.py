"""One 224 px picture to logits and class activation map: every engine beside eager transformers."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import engines, machine, markdown, radiographs, timing
from benchmarks.frame import Options

NAME = "serving_tensor"
TITLE = "One 224 px picture to logits and class activation map"
PRECISION = {engines.BRAIN: "bf16"}
CALIBRATION = 64


def run(options: Options) -> dict[str, Any]:
    """Durations of each candidate, the machine's limit, and which of them serves."""
    from hf_model.inference.engines.openvino_engine import OpenVinoEngine

    checkpoint = engines.shipped()
    files = radiographs.training_files(options, 8 if options.quick else CALIBRATION)
    pictures = radiographs.decoded(files)
    one = pictures[:1]
    plain, prepare = engines.eager(checkpoint)
    values = prepare(one)
    runs = engines.candidates(checkpoint, options.scratch, pictures)
    calls = {engines.EAGER: lambda: plain(values), **{name: _call(run, one) for name, run in runs.items()}}
    rounds = {"rounds": 2 if options.quick else 20, "warmup": 1 if options.quick else 3, "burst": 4}
    durations = timing.interleaved(calls, **rounds)
    # Last, because it changes how this process keeps memory, and that would speed up eager transformers too
    durations |= timing.interleaved({engines.TORCH: _call(engines.torch_engine(checkpoint), one)}, **rounds)
    needed = engines.multiply_adds(checkpoint)
    rates = {name: machine.matrix_rate(name) for name in ("f32", "bf16")}
    return {
        "durations": durations,
        "multiply_adds": needed,
        "matrix_rates": rates,
        "limits": {name: needed / rate for name, rate in rates.items()},
        "taken": OpenVinoEngine(checkpoint, cache="").name,
        "agreement": {
            name: agreement(plain(prepare(pictures))[0].numpy(), run, pictures) for name, run in runs.items()
        },
        "pictures": len(pictures),
    }


def agreement(expected: np.ndarray, run: engines.Run, pictures: np.ndarray) -> dict[str, float]:
    """Largest difference of a logit and of an uncalibrated probability from the expected logits (N, 2)."""
    found = np.concatenate([run(picture[None])[0] for picture in pictures])
    probabilities = [1 / (1 + np.exp(logits[:, 0] - logits[:, 1])) for logits in (expected, found)]
    return {
        "logit": float(np.abs(found - expected).max()),
        "probability": float(np.abs(probabilities[1] - probabilities[0]).max()),
    }


def _call(run: engines.Run, picture: np.ndarray) -> Any:
    return lambda: run(picture)


def table(section: dict[str, Any]) -> str:
    """Rows by candidate; the share of the limit is of the matrix rate in the candidate's own precision."""
    base = section["durations"][engines.EAGER]["median"]
    rows = []
    for name, measured in section["durations"].items():
        limit = section["limits"][PRECISION.get(name, "f32")]
        share = "" if name == engines.INT8 else f"{100 * limit / measured['median']:.0f} %"
        apart = section["agreement"].get(name)
        moved = [f"{apart[key]:.1g}" for key in ("logit", "probability")] if apart else ["", ""]
        rows.append([name, markdown.spread(measured), markdown.ratio(measured["median"] / base), share, *moved])
    head = ["engine", "median (10 to 90 %)", "of eager", "of the limit", "logit moved", "probability moved"]
    rates = section["matrix_rates"]
    return "\n".join(
        [
            markdown.grid(head, rows),
            "",
            f"The network needs {section['multiply_adds'] / 1e6:.0f} million multiply-adds; torch's matrix product "
            f"does {rates['f32'] / 1e9:.0f} billion a second in f32 and {rates['bf16'] / 1e9:.0f} in bf16, so the "
            f"limit is {markdown.ms(section['limits']['f32'])} and {markdown.ms(section['limits']['bf16'])}. Moved: "
            f"the largest difference from eager transformers on {section['pictures']} training pictures (probability "
            f"before calibration). Served: `{section['taken']}`.",
        ]
    )
