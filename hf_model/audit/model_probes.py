"""What a checkpoint's answer depends on: its AUC with parts hidden, and how its probability moves with sharpness.

Only on development-validation pictures: its weights were not fitted on them, and the test split stays closed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFilter
from tqdm.auto import tqdm

from hf_model.audit.shortcuts import auc_entry, lungs_box
from hf_model.data.arguments import DataArguments
from hf_model.data.loading import DatasetError
from hf_model.data.prepare import VALIDATION, prepare
from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines.base import Engine
from hf_model.inference.engines.choice import open_engine

BLURS = (0.5, 1.0, 1.5, 2.0, 3.0)
"""Standard deviations of a Gaussian, px at the model's size."""
SHARPENINGS = (50, 100, 200, 300)
"""Per cent of an unsharp mask of radius 2 px at the model's size."""
_SPLIT_OPTIONS = (
    "image_column",
    "label_column",
    "patient_column",
    "patient_pattern",
    "validation_fraction",
    "calibration_fraction",
    "test_fraction",
    "max_train_samples",
)
_BATCH = 64


class NoHeldOutPicturesError(ValueError):
    """The checkpoint does not say which pictures of this data set it was not trained on."""


class View(NamedTuple):
    """A way to show the model a picture; ``strength`` orders blurs (negative) and sharpenings (positive)."""

    key: str
    title: str
    strength: float
    change: Callable[[np.ndarray], np.ndarray]


def probe_checkpoint(
    checkpoint: Checkpoint,
    dataset: str,
    engine: str = "auto",
    seed: int = 0,
    data_options: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Score the checkpoint on its development-validation pictures, whole, masked, blurred and sharpened.

    Args:
        data_options: fields of ``DataArguments`` that the user gave; they override those that the checkpoint recorded.

    Raises:
        NoHeldOutPicturesError: metrics.json is missing, or its split cannot be made again from ``dataset``.
    """
    pixels, labels, groups = held_out(checkpoint, dataset, data_options)
    runner, threshold = open_engine(checkpoint, engine), checkpoint.decision.threshold
    entries, whole = [], None
    for view in views():
        margins, probability = _score(runner, checkpoint, pixels, view)
        whole = probability if whole is None else whole
        entries.append(
            {
                "key": view.key,
                "title": view.title,
                "strength": view.strength,
                "auc": auc_entry(margins, labels, groups, seed),
                "mean_normal": float(probability[labels == 0].mean()),
                "mean_pneumonia": float(probability[labels == 1].mean()),
                "called": float((probability >= threshold).mean()),
                "mean_change": float(np.abs(probability - whole).mean()),
                "changed_answers": float(((probability >= threshold) != (whole >= threshold)).mean()),
            }
        )
    return {
        "model_id": checkpoint.model_id,
        "weights_sha256": checkpoint.weights_sha256,
        "engine": runner.name,
        "split": VALIDATION,
        "n": len(labels),
        "normal": int((labels == 0).sum()),
        "pneumonia": int(labels.sum()),
        "threshold": threshold,
        "views": entries,
    }


def held_out(
    checkpoint: Checkpoint, dataset: str, data_options: dict[str, Any] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Development-validation pixels uint8 (V, h, w), labels (V,) and patients (V,), made again and checked by hash."""
    metrics = checkpoint.metrics or {}
    recorded = ((metrics.get("data") or {}).get("splits") or {}).get(VALIDATION) or {}
    if "sha256" not in recorded:
        raise NoHeldOutPicturesError(
            f"{checkpoint.model_id} has no metrics.json that names its development-validation pictures, so it is not "
            "scored: which pictures it was trained on is unknown."
        )
    given = metrics.get("arguments") or {}
    options = {key: given[key] for key in _SPLIT_OPTIONS if given.get(key) is not None}
    options |= {key: value for key, value in (data_options or {}).items() if value is not None}
    try:
        data = prepare(
            DataArguments(dataset=dataset, **options), checkpoint.preprocessing, int(metrics.get("seed", 42))
        )
    except DatasetError as error:
        raise NoHeldOutPicturesError(
            f"{checkpoint.model_id} is not scored: its split cannot be made again here. {error}"
        ) from error
    if data.splits[VALIDATION].to_dict(data.main.names)["sha256"] != recorded["sha256"]:
        raise NoHeldOutPicturesError(
            f"{checkpoint.model_id} was trained on other data than {dataset} or on another split of it, so it is not "
            "scored here."
        )
    rows = data.rows(VALIDATION)
    patients = [data.main.names[i] if data.patients is None else data.patients[i] for i in rows]
    return np.asarray(data.main.pixels[rows]), data.main.labels[rows], np.asarray(patients)


def views() -> list[View]:
    """Every view, first the unchanged picture."""

    def filtered(kind: ImageFilter.Filter) -> Callable[[np.ndarray], np.ndarray]:
        return lambda picture: np.asarray(Image.fromarray(picture).filter(kind))

    return [
        View("whole", "As it is", 0.0, lambda picture: picture),
        View("outside", "Lungs masked", 0.0, lambda picture: hide(picture, inside=True)),
        View("inside", "Only the lungs' rectangle", 0.0, lambda picture: hide(picture, inside=False)),
        *(View("blur", f"Blurred by {s:g} px", -s, filtered(ImageFilter.GaussianBlur(s))) for s in BLURS),
        *(
            View("sharpen", f"Sharpened by {p} %", p / 100, filtered(ImageFilter.UnsharpMask(2, p, 0)))
            for p in SHARPENINGS
        ),
    ]


def hide(picture: np.ndarray, *, inside: bool) -> np.ndarray:
    """A copy of uint8 (H, W) with the lungs' rectangle, or all but it, at the mean of what is hidden."""
    hidden = np.full(picture.shape, not inside)
    hidden[lungs_box(*picture.shape)] = inside
    out = picture.copy()
    # its own mean keeps the brightness and nothing finer
    out[hidden] = round(float(picture[hidden].mean()))
    return out


def _score(engine: Engine, checkpoint: Checkpoint, pixels: np.ndarray, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Logit differences and calibrated probabilities, float64 (V,) each."""
    logits = []
    for start in tqdm(range(0, len(pixels), _BATCH), desc=f"model: {view.title}", leave=False):
        batch = np.stack([view.change(picture) for picture in pixels[start : start + _BATCH]])
        logits.append(engine.run(batch, bulk=True).logits)
    both = np.concatenate(logits).astype(np.float64)
    probability = [checkpoint.decision.probability(float(normal), float(sick)) for normal, sick in both]
    return both[:, 1] - both[:, 0], np.asarray(probability)
