"""After training: save, calibrate, fit the gate, and score whatever is evaluated.

Everything here is computed with the final weights in evaluation mode, through the preprocessing that serving uses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import extract_model_from_parallel
from PIL import Image

from hf_model.data.patients import anonymous_keys
from hf_model.data.pixels import Pixels
from hf_model.data.prepare import CALIBRATION, TRAIN, VALIDATION, DevelopmentData
from hf_model.evaluation.labelled_dataset import PERTURBATIONS
from hf_model.files import sha256
from hf_model.metrics.comparison import rendering_agreement
from hf_model.metrics.decision import Decision
from hf_model.metrics.operating_point import fit_decision
from hf_model.metrics.record import evaluation_record
from hf_model.metrics.scores import Scores
from hf_model.modeling.base import BaseModel
from hf_model.modeling.features import PictureRows, compute_features, compute_logits, picture_batches
from hf_model.radiograph import OODDetector


@dataclass
class Finisher:
    """Holds what the steps after training share.

    Attributes:
        base: the trained model and its preprocessing.
        data: the development data, with the test split still closed.
        arguments: the five argument objects of ``parse_arguments``.
        device: where logits are computed.
    """

    base: BaseModel
    data: DevelopmentData
    arguments: tuple
    device: torch.device

    def __post_init__(self) -> None:
        # accelerate leaves its autocast around the forward pass: in bf16 every logit, temperature and threshold below
        # would be a few hundredths off what is served
        self.base.model = extract_model_from_parallel(self.base.model, keep_fp32_wrapper=False)

    @property
    def folder(self) -> Path:
        return Path(self.arguments[-1].output_dir)

    def save_model(self) -> str:
        """Weights, configuration and preprocessing into the checkpoint folder; returns the weights' SHA-256."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.base.model.to(memory_format=torch.contiguous_format).save_pretrained(self.folder)
        self.base.preprocessing.save(self.folder)
        self.base.model.to(memory_format=torch.channels_last)
        return sha256(self.folder / "model.safetensors")

    def scores(self, pixels: Pixels, what: str) -> Scores:
        """Logits of given pictures; the patients come from their file names or column."""
        return self._scores(pixels.pixels, pixels.labels, pixels.names, self.data.patients_in(pixels), what)

    def development_scores(self, split: str) -> Scores:
        """Logits of a development split, in the data set's own rendering."""
        rows, main = self.data.rows(split), self.data.main
        patients = ["" if self.data.patients is None else self.data.patients[i] for i in rows]
        return self._scores(main.pixels[rows], main.labels[rows], [main.names[i] for i in rows], patients, split)

    def _scores(self, pixels, labels, names, patients, what: str) -> Scores:
        # scores are published with the weights, a hospital's numbers not
        if self.data.patient_column is not None or self.data.pattern is not None:
            patients = anonymous_keys(patients)
        batches = picture_batches(PictureRows(pixels, labels), self.base.preprocessing)
        return Scores(compute_logits(self.base.model, batches, self.device, what), labels, names, patients)

    def calibrate(self, weights: str) -> tuple[Decision, Scores]:
        """Temperature and operating points from the calibration patients, and their scores."""
        scores = self.development_scores(CALIBRATION)
        options = self.arguments[3]
        decision = fit_decision(
            scores,
            target_sensitivity=options.target_sensitivity,
            confidence=options.confidence,
            seed=self.arguments[-1].seed,
            provenance={
                "weights_sha256": weights,
                "data_sha256": self.data.splits[CALIBRATION].to_dict(self.data.main.names)["sha256"],
                "dataset": self.arguments[0].dataset,
                "split": CALIBRATION,
            },
        )
        return decision, scores

    def perturbed(self, pixels: np.ndarray, plain: Scores, what: str) -> dict[str, Scores]:
        """Logits of the same pictures uint8 (N, H, W) blurred and sharpened: name in ``PERTURBATIONS`` -> scores.

        Sharpness gives the class away in this data, so a model may have learned it: this shows how far.
        """
        out = {}
        for name, (_, change) in PERTURBATIONS.items():
            changed = np.stack([np.asarray(change(Image.fromarray(picture))) for picture in pixels])
            out[name] = self._scores(changed, plain.labels, plain.names, plain.patients, f"{what}, {name}")
        return out

    def fit_gate(self, weights: str) -> OODDetector:
        """What development radiographs look like to the network, in every rendering; writes gate.safetensors.

        Refusal has to know what a radiograph is, not whose: patients are kept apart only so that the threshold is a
        quantile of radiographs that the subspace was not fitted on.
        """
        rows = np.concatenate([self.data.rows(TRAIN), self.data.rows(VALIDATION)])
        groups = self.data.patients or self.data.main.names
        features, owners = [], []
        for name, (pixels, index) in self.data.renderings.items():
            pictures = PictureRows.of_rendering(pixels.pixels, index, rows, self.data.main.labels)
            batches = picture_batches(pictures, self.base.preprocessing)
            seen = compute_features(self.base.model, batches, self.device, f"development, {name}")
            features.append(seen["features"].numpy())
            owners += [groups[i] for i in rows[index[rows] >= 0]]
        gate = OODDetector.fit(np.concatenate(features), groups=owners, seed=self.arguments[-1].seed)
        gate = replace(gate, metadata=gate.metadata | {"weights_sha256": weights})
        gate.save(self.folder)
        return gate

    def originals(self, decision: Decision, pixels: Pixels) -> dict[str, object]:
        """Full-size originals of training pictures against their copies: a check of the upload path, no metric."""
        row_of = {name: row for row, name in enumerate(self.data.main.names)}
        shared = [i for i, name in enumerate(pixels.names) if name in row_of]
        rows = np.asarray([row_of[pixels.names[i]] for i in shared], dtype=np.int64)
        copies, uploads = self.data.main.select(rows), pixels.select(np.asarray(shared, dtype=np.int64))
        first, second = self.scores(copies, "copies"), self.scores(uploads, "originals")
        record = evaluation_record(second, decision)
        trained = np.isin(rows, self.data.rows(TRAIN)).sum()
        return {
            "pictures": len(shared),
            "of_development_train": int(trained),
            "accuracy_at_0.5": record["points"]["0.5"]["accuracy"]["value"],
            "accuracy_at_threshold": record["points"]["default"]["accuracy"]["value"],
            "agreement": rendering_agreement(first, second, decision),
        }
