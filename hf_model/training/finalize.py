"""After training: save the model, calibrate it, fit the out-of-distribution detector, and score pictures.

Everything here is computed with the final weights in evaluation mode, through the preprocessing that serving uses.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import extract_model_from_parallel
from PIL import Image

from hf_model.data.patients import anonymous_keys
from hf_model.data.pixels import Pixels
from hf_model.data.prepare import CALIBRATION, TRAIN, VALIDATION, DevelopmentData
from hf_model.evaluation.labelled_dataset import PERTURBATIONS
from hf_model.files import sha256
from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines.base import EngineUnavailable
from hf_model.inference.engines.export import export
from hf_model.metrics.decision import Decision
from hf_model.metrics.operating_point import fit_decision
from hf_model.metrics.scores import Scores
from hf_model.modeling.base import BaseModel
from hf_model.modeling.features import PictureRows, compute_features, compute_logits, picture_batches
from hf_model.radiograph import OODDetector
from hf_model.training.arguments import Arguments
from hf_model.training.records import recorded_openings, refuse_finished

logger = logging.getLogger(__name__)


@dataclass
class TrainedModel:
    """A trained model with its data and options; gives the scores that everything after training is computed from.

    Attributes:
        base: the trained model and its preprocessing.
        data: the development data, with the test split still closed.
        device: where logits are computed.
    """

    base: BaseModel
    data: DevelopmentData
    arguments: Arguments
    device: torch.device

    def __post_init__(self) -> None:
        # accelerate leaves its autocast around the forward pass: in bf16 every logit, temperature and threshold below
        # would be a few hundredths off what is served
        self.base.model = extract_model_from_parallel(self.base.model, keep_fp32_wrapper=False)

    @property
    def folder(self) -> Path:
        """The checkpoint folder."""
        return Path(self.arguments.training.output_dir)

    def scores(self, pixels: Pixels, what: str) -> Scores:
        """Logits of given pictures; the patients come from their file names or column."""
        return self._scores(pixels.pixels, pixels.labels, pixels.names, self.data.patients_in(pixels), what)

    def development_scores(self, split: str) -> Scores:
        """Logits of a development split, in the data set's own rendering."""
        rows, main = self.data.rows(split), self.data.main
        patients = ["" if self.data.patients is None else self.data.patients[i] for i in rows]
        return self._scores(main.pixels[rows], main.labels[rows], [main.names[i] for i in rows], patients, split)

    def perturbed_scores(self, pixels: np.ndarray, reference: Scores, what: str) -> dict[str, Scores]:
        """Logits of the same pictures blurred and sharpened.

        Sharpness gives the class away in this data, so a model may have learned it: this shows how far.

        Args:
            pixels: uint8 (N, H, W). reference: scores of the pictures as they are.

        Returns:
            Name in ``PERTURBATIONS`` -> scores.
        """
        out = {}
        for name, (_, change) in PERTURBATIONS.items():
            changed = np.stack([np.asarray(change(Image.fromarray(picture))) for picture in pixels])
            out[name] = self._scores(changed, reference.labels, reference.names, reference.patients, f"{what}, {name}")
        return out

    def _scores(self, pixels, labels, names, patients, what: str) -> Scores:
        # scores are published with the weights, and a hospital's patient numbers must not be
        if self.data.patient_column is not None or self.data.pattern is not None:
            patients = anonymous_keys(patients)
        batches = picture_batches(PictureRows(pixels, labels), self.base.preprocessing)
        return Scores(compute_logits(self.base.model, batches, self.device, what), labels, names, patients)


@dataclass(frozen=True)
class CalibratedCheckpoint:
    """What is decided before the test split is opened.

    Attributes:
        weights: SHA-256 of ``model.safetensors``. calibration: the scores that ``decision`` was fitted on.
        gate: the out-of-distribution detector's record of its fit.
    """

    weights: str
    decision: Decision
    calibration: Scores
    gate: dict[str, Any]


def calibrate_checkpoint(trained: TrainedModel) -> CalibratedCheckpoint:
    """Save weights, temperature and thresholds, detector and serving graph; none of it is changed afterwards.

    Raises:
        ValueError: another run has finished in this folder, or the test split was opened with another decision.
    """
    refuse_finished(trained.arguments.training)  # another run may have finished in this folder meanwhile
    folder, weights = trained.folder, _save_model(trained)
    calibration = trained.development_scores(CALIBRATION)
    decision = _fit_decision(trained, weights, calibration)
    _refuse_other_decision(folder, weights, decision)
    decision.save(folder)
    calibration.to_csv(folder / "scores" / "calibration.csv")
    if trained.data.pattern is not None:
        logger.warning(
            "Patients come from file names, and scores/ holds file names (patients are hashed): rename the pictures "
            "before you publish this checkpoint if their names say more than they should."
        )
    if (point := decision.points.get("default")) is None or point.threshold is None:
        logger.warning("NO GUARANTEE, the threshold is %g: %s", decision.threshold, point.describe() if point else "")
    detector = _fit_detector(trained, weights)
    detector.save(folder)
    try:
        report = export(Checkpoint.open(folder))
        logger.info("OpenVINO graph: largest difference of a logit from torch %.1e", report.difference)
    except EngineUnavailable as error:
        logger.warning("No OpenVINO graph, this checkpoint is served by torch: %s", error)
    return CalibratedCheckpoint(weights, decision, calibration, detector.metadata)


def _save_model(trained: TrainedModel) -> str:
    """Write weights, configuration and preprocessing; returns the SHA-256 of the weights."""
    model, folder = trained.base.model, trained.folder
    folder.mkdir(parents=True, exist_ok=True)
    model.to(memory_format=torch.contiguous_format).save_pretrained(folder)
    trained.base.preprocessing.save(folder)
    model.to(memory_format=torch.channels_last)
    return sha256(folder / "model.safetensors")


def _fit_decision(trained: TrainedModel, weights: str, calibration: Scores) -> Decision:
    """Temperature and operating points from the calibration patients."""
    data, arguments = trained.data, trained.arguments
    return fit_decision(
        calibration,
        target_sensitivity=arguments.decision.target_sensitivity,
        confidence=arguments.decision.confidence,
        seed=arguments.training.seed,
        provenance={
            "weights_sha256": weights,
            "data_sha256": data.splits[CALIBRATION].to_dict(data.main.names)["sha256"],
            "dataset": arguments.data.dataset,
            "split": CALIBRATION,
        },
    )


def _refuse_other_decision(folder: Path, weights: str, decision: Decision) -> None:
    """No other threshold once the test figures of these weights are known: it could be chosen by them.

    Raises:
        ValueError: the test split was opened for these weights with another decision.
    """
    if not recorded_openings(folder, weights):
        return
    before = Decision.load(folder)
    if (before.temperature, before.bias, before.points) != (decision.temperature, decision.bias, decision.points):
        raise ValueError(
            f"--resume: the test split was opened for these weights with another decision (threshold "
            f"{before.threshold:.4f}). Repeat that run's --target_sensitivity and --confidence; for another operating "
            f"point on your own pictures use `python -m hf_model recalibrate`."
        )


def _fit_detector(trained: TrainedModel, weights: str) -> OODDetector:
    """What development radiographs look like to the network, in every rendering.

    The detector has to know radiographs, not patients; patients are kept apart only so that the threshold is a
    quantile of radiographs that the subspace was not fitted on.
    """
    data, base = trained.data, trained.base
    rows = np.concatenate([data.rows(TRAIN), data.rows(VALIDATION)])
    patients = data.patients or data.main.names
    features, groups = [], []
    for name, (pixels, index) in data.renderings.items():
        pictures = PictureRows.of_rendering(pixels.pixels, index, rows, data.main.labels)
        batches = picture_batches(pictures, base.preprocessing)
        seen = compute_features(base.model, batches, trained.device, f"development, {name}")
        features.append(seen["features"].numpy())
        groups += [patients[i] for i in rows[index[rows] >= 0]]
    detector = OODDetector.fit(np.concatenate(features), groups=groups, seed=trained.arguments.training.seed)
    return replace(detector, metadata=detector.metadata | {"weights_sha256": weights})
