"""After training: save the model, calibrate it, fit what the input checks need, and score pictures.

Everything here is computed with the final weights in evaluation mode, through the preprocessing that serving uses.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import extract_model_from_parallel
from PIL import Image

from hf_model.data.adults import read_adults
from hf_model.data.patients import anonymous_keys
from hf_model.data.pixels import Pixels
from hf_model.data.prepare import CALIBRATION, TRAIN, VALIDATION, DevelopmentData, rendering_name
from hf_model.evaluation.labelled_dataset import PERTURBATIONS
from hf_model.files import sha256
from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines.base import EngineUnavailable
from hf_model.inference.engines.choice import open_engine
from hf_model.inference.engines.export import export
from hf_model.metrics.decision import Decision
from hf_model.metrics.intervals import proportion
from hf_model.metrics.operating_point import fit_decision
from hf_model.metrics.policy import HELD_OUT
from hf_model.metrics.record import evidence_figures
from hf_model.metrics.scores import Scores
from hf_model.modeling.base import BaseModel
from hf_model.modeling.features import PictureRows, compute_features, compute_logits, picture_batches
from hf_model.radiograph import OODDetector
from hf_model.radiograph.adults import FILE_NAME as ADULTS_FILE
from hf_model.radiograph.adults import AdultDiscriminant
from hf_model.segmentation.examples import read_outlines
from hf_model.segmentation.outline import Evidence, evidence_in_lungs
from hf_model.segmentation.weights import FILES as LUNG_FILES
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
        adults: shares of held-out adults and children that the adult check flags, or None.
    """

    weights: str
    decision: Decision
    calibration: Scores
    gate: dict[str, Any]
    adults: dict[str, Any] | None = None


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
    if trained.arguments.model.lungs is not None:
        for name in LUNG_FILES:
            if (source := Path(trained.arguments.model.lungs) / name).is_file():
                shutil.copyfile(source, folder / name)
    features = _development_features(trained)
    detector = _fit_detector(trained, weights, features)
    detector.save(folder)
    adults = _fit_adults(trained, weights, features)
    try:
        report = export(Checkpoint.open(folder))
        logger.info("OpenVINO graph: largest difference of a logit from torch %.1e", report.difference)
    except EngineUnavailable as error:
        logger.warning("No OpenVINO graph, this checkpoint is served by torch: %s", error)
    return CalibratedCheckpoint(weights, decision, calibration, detector.metadata, adults)


def _save_model(trained: TrainedModel) -> str:
    """Write weights, configuration and preprocessing; returns the SHA-256 of the weights."""
    model, folder = trained.base.model, trained.folder
    folder.mkdir(parents=True, exist_ok=True)
    model.to(memory_format=torch.contiguous_format).save_pretrained(folder)
    trained.base.preprocessing.save(folder)
    model.to(memory_format=torch.channels_last)
    return sha256(folder / "model.safetensors")


def _fit_decision(trained: TrainedModel, weights: str, calibration: Scores) -> Decision:
    """Temperature, two-way threshold and policy from the calibration patients, on which no weight was fitted."""
    data, arguments = trained.data, trained.arguments
    return fit_decision(
        calibration,
        target_sensitivity=arguments.decision.target_sensitivity,
        rule_out_sensitivity=arguments.decision.rule_out_sensitivity,
        rule_in_specificity=arguments.decision.rule_in_specificity,
        confidence=arguments.decision.confidence,
        source=HELD_OUT,
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
            f"{before.threshold:.4f}). Repeat that run's --target_sensitivity, --rule_out_sensitivity, "
            f"--rule_in_specificity and --confidence; for another operating point on your own pictures use "
            f"`python -m hf_model recalibrate`."
        )


Features = dict[str, tuple[np.ndarray, list[str]]]
"""Rendering -> (pooled features float32 (N, D), N patients)."""


def _development_features(trained: TrainedModel) -> Features:
    """Features of the pictures that weights were fitted on or chosen by, in every rendering."""
    data = trained.data
    rows = np.concatenate([data.rows(TRAIN), data.rows(VALIDATION)])
    patients = data.patients or data.main.names
    features = {}
    for name, (pixels, index) in data.renderings.items():
        pictures = PictureRows.of_rendering(pixels.pixels, index, rows, data.main.labels)
        if len(pictures):
            there = rows[index[rows] >= 0]
            features[name] = (_features(trained, pictures, f"development, {name}"), [patients[i] for i in there])
    return features


def _features(trained: TrainedModel, pictures: PictureRows, what: str) -> np.ndarray:
    batches = picture_batches(pictures, trained.base.preprocessing)
    return compute_features(trained.base.model, batches, trained.device, what)["features"].numpy()


def _fit_detector(trained: TrainedModel, weights: str, features: Features) -> OODDetector:
    """What development radiographs look like to the network, in every rendering.

    The detector has to know radiographs, not patients; patients are kept apart only so that the threshold is a
    quantile of radiographs that the subspace was not fitted on.
    """
    rows, patients = zip(*features.values(), strict=True)
    groups = [patient for part in patients for patient in part]
    detector = OODDetector.fit(np.concatenate(rows), groups=groups, seed=trained.arguments.training.seed)
    return replace(detector, metadata=detector.metadata | {"weights_sha256": weights})


def _fit_adults(trained: TrainedModel, weights: str, children: Features) -> dict[str, Any] | None:
    """Fit and save the adult check if ``--adults`` was given; return what it flags of held-out patients, or None."""
    options = trained.arguments.data
    if options.adults is None:
        (trained.folder / ADULTS_FILE).unlink(missing_ok=True)  # of an earlier run with other weights
        return None
    cache = Path(options.cache_dir) if options.cache_dir else None
    adults = {
        name: (_features(trained, PictureRows(pixels, np.zeros(len(pixels), np.int64)), f"adults, {name}"), patients)
        for name, (pixels, patients) in read_adults(options.adults, trained.base.preprocessing, cache).items()
    }
    seed = trained.arguments.training.seed
    fitted = AdultDiscriminant.fit(list(children.values()), list(adults.values()), seed=seed)
    replace(fitted, metadata=fitted.metadata | {"weights_sha256": weights}).save(trained.folder)
    record: dict[str, Any] = {"dataset": rendering_name(options.adults)}
    for group, renderings in (("adults", adults), ("children", children)):
        flagged = fitted.metadata[group]["held_out"]
        record[group] = {name: proportion(*counts) for name, counts in zip(renderings, flagged, strict=False)}
    return record


def held_out_evidence(trained: TrainedModel) -> dict[str, dict[str, Any]] | None:
    """Evidence in the lungs as people outlined them, of development-validation and calibration patients, by rendering.

    None without ``--outlines``, or for a network without class activation maps.
    """
    data, options = trained.data, trained.arguments.data
    if options.outlines is None:
        return None
    outlines = read_outlines(options.outlines)
    rows = np.concatenate([data.rows(VALIDATION), data.rows(CALIBRATION)])
    rows = np.array([row for row in rows if data.main.names[row] in outlines], dtype=np.int64)
    engine, found = open_engine(Checkpoint.open(trained.folder)), {}
    for name, (pixels, index) in data.renderings.items():
        there = rows[index[rows] >= 0]
        evidence: list[Evidence | None] = []
        for part in np.array_split(there, len(there) // 64 + 1) if len(there) else ():
            maps = engine.run(np.asarray(pixels.pixels[index[part]]), bulk=True).maps
            if maps is None:
                return None
            names = [data.main.names[row] for row in part]
            evidence += [evidence_in_lungs(one, outlines[name]) for one, name in zip(maps, names, strict=True)]
        if evidence:
            patients = data.main.names if data.patients is None else data.patients
            found[name] = evidence_figures(evidence, data.main.labels[there], [patients[row] for row in there])
    return found
