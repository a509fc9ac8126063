"""After training: calibrate, open the test split once, and write the checkpoint folder.

Everything here is computed with the final weights in evaluation mode, through the preprocessing that serving uses.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

from hf_model.config import SCHEMA_VERSION
from hf_model.data.pixels import Pixels
from hf_model.data.prepare import CALIBRATION, TRAIN, VALIDATION, DevelopmentData
from hf_model.evaluation import sealing
from hf_model.evaluation.comparison import rendering_agreement
from hf_model.evaluation.decision import Decision
from hf_model.evaluation.metrics import evaluation_record
from hf_model.evaluation.operating_point import fit_decision
from hf_model.evaluation.picture_set import PERTURBATIONS
from hf_model.evaluation.scores import Scores
from hf_model.modeling.base import BaseModel
from hf_model.radiograph import FeatureGate
from hf_model.radiograph.population import known
from hf_model.training.batches import PlainCollator, PlainRows, plain_rows
from hf_model.training.features import compute_features, compute_logits
from hf_model.training.machine import describe_machine, versions
from hf_model.training.stages import StageResult


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

    @property
    def folder(self) -> Path:
        return Path(self.arguments[-1].output_dir)

    def save_model(self) -> str:
        """Weights, configuration and preprocessing into the checkpoint folder; returns the weights' SHA-256."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.base.model.to(memory_format=torch.contiguous_format).save_pretrained(self.folder)
        self.base.preprocessing.save(self.folder)
        self.base.model.to(memory_format=torch.channels_last)
        return hashlib.sha256((self.folder / "model.safetensors").read_bytes()).hexdigest()

    def scores(self, pixels: Pixels, what: str) -> Scores:
        """Logits of given pictures; the patients come from their file names or column."""
        return self._scores(pixels.pixels, pixels.labels, pixels.names, self.data.patients_in(pixels), what)

    def development_scores(self, split: str) -> Scores:
        """Logits of a development split, in the data set's own rendering."""
        rows, main = self.data.rows(split), self.data.main
        patients = ["" if self.data.patients is None else self.data.patients[i] for i in rows]
        return self._scores(main.pixels[rows], main.labels[rows], [main.names[i] for i in rows], patients, split)

    def _scores(self, pixels, labels, names, patients, what: str) -> Scores:
        batches = self._batches(PlainRows(pixels, labels))
        return Scores(compute_logits(self.base.model, batches, self.device, what), labels, names, patients)

    def _batches(self, rows: PlainRows) -> DataLoader:
        return DataLoader(rows, batch_size=64, collate_fn=PlainCollator(self.base.preprocessing))

    def calibrate(self, weights: str) -> tuple[Decision, Scores]:
        """Temperature and operating points from the calibration patients; writes decision.json."""
        scores = self.development_scores(CALIBRATION)
        options = self.arguments[3]
        decision = fit_decision(
            scores, target_sensitivity=options.target_sensitivity, confidence=options.confidence,
            seed=self.arguments[-1].seed,
            provenance={
                "weights_sha256": weights,
                "data_sha256": self.data.splits[CALIBRATION].to_dict(self.data.main.names)["sha256"],
                "dataset": self.arguments[0].dataset, "split": CALIBRATION,
            },
        )  # fmt: skip
        decision.save(self.folder)
        return decision, scores

    def sharpness(self, decision: Decision, plain: Scores) -> dict[str, object]:
        """How the answer moves when a picture is blurred or sharpened, on the calibration pictures.

        Sharpness gives the class away in this data, so a model may have learned it; the test split need not be opened
        to see how far.
        """
        rows, main = self.data.rows(CALIBRATION), self.data.main
        out = {}
        for name, (_, change) in PERTURBATIONS.items():
            pixels = np.stack([np.asarray(change(Image.fromarray(picture))) for picture in main.pixels[rows]])
            changed = self._scores(pixels, plain.labels, plain.names, plain.patients, f"{CALIBRATION}, {name}")
            out[f"{CALIBRATION} / {name}"] = rendering_agreement(plain, changed, decision)
        return out

    def open_test(self, weights: str) -> tuple[dict[str, Scores], list[dict[str, object]]]:
        """Logits of the test pictures in each rendering, and the record of the split's openings.

        The record and the logits are on disk before anything is computed from them. A run that was resumed with the
        same weights takes the stored logits: the split is not opened a second time.
        """
        files = {name: self.folder / "scores" / f"test-{name}.csv" for name in self.data.test}
        if recorded_openings(self.folder, weights) and all(file.exists() for file in files.values()):
            stored = {name: Scores.from_csv(file) for name, file in files.items()}
            return stored, recorded_openings(self.folder, weights)
        sealing.open_test(self.folder, weights, list(files), reopen=True, by="train.py")
        scores = {name: self.scores(decode(), f"test, {name}") for name, decode in self.data.test.items()}
        for name, file in files.items():
            scores[name].to_csv(file)
        return scores, recorded_openings(self.folder, weights)

    def fit_gate(self, weights: str) -> FeatureGate:
        """What development radiographs look like to the network, in every rendering; writes gate.safetensors.

        Refusal has to know what a radiograph is, not whose: patients are kept apart only so that the threshold is a
        quantile of radiographs that the subspace was not fitted on.
        """
        rows = np.concatenate([self.data.rows(TRAIN), self.data.rows(VALIDATION)])
        groups = self.data.patients or self.data.main.names
        features, owners = [], []
        for name, (pixels, index) in self.data.renderings.items():
            batches = self._batches(plain_rows(pixels.pixels, index, rows, self.data.main.labels))
            seen = compute_features(self.base.model, batches, self.device, f"development, {name}")
            features.append(seen["features"].numpy())
            owners += [groups[i] for i in rows[index[rows] >= 0]]
        gate = FeatureGate.fit(np.concatenate(features), groups=owners, seed=self.arguments[-1].seed)
        gate = replace(gate, metadata=gate.metadata | {"weights_sha256": weights})
        gate.save(self.folder)
        return gate

    def originals(self, decision: Decision, pixels: Pixels) -> dict[str, object]:
        """Full-size originals of training pictures against their copies: a check of the upload path, no metric."""
        row_of = {name: row for row, name in enumerate(self.data.main.names)}
        shared = [i for i, name in enumerate(pixels.names) if name in row_of]
        rows = np.asarray([row_of[pixels.names[i]] for i in shared])
        copies, uploads = self.data.main.select(rows), pixels.select(np.asarray(shared))
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

    def metrics(self, stages: list[StageResult], weights: str, **results: object) -> dict[str, object]:
        """Everything that metrics.json holds."""
        arguments, names = self.arguments, self.data.main.names
        population = known(self.data.counts)
        return {
            "schema_version": SCHEMA_VERSION,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": results.pop("command"),
            "arguments": changed_arguments(arguments),
            "seed": arguments[-1].seed,
            "versions": versions(),
            "machine": describe_machine(),
            "base_model": {"name": self.base.name, "hub_id": self.base.hub_id},
            "weights_sha256": weights,
            "data": {
                "dataset": arguments[0].dataset,
                "renderings": list(self.data.renderings),
                "sha256": self.data.fingerprint,
                "population": None if population is None else population.to_dict(),
                "patient_key": self.data.patients is not None,
                "unreadable": {n: len(p.skipped) for n, (p, _) in self.data.renderings.items()},
                "published": {
                    n: dict(zip(("NORMAL", "PNEUMONIA"), c, strict=True)) for n, c in self.data.counts.items()
                },
                "splits": {name: split.to_dict(names) for name, split in self.data.splits.items()},
                "class_weights": results.pop("class_weights"),
            },
            "stages": [{k: v for k, v in asdict(stage).items() if k != "history"} for stage in stages],
            "history": [{"stage": stage.name, **entry} for stage in stages for entry in stage.history],
            **results,
        }


def recorded_openings(folder: Path, weights: str) -> list[dict[str, object]]:
    """Openings of the test split that metrics.json of ``folder`` records for these weights."""
    file = folder / "metrics.json"
    return sealing.openings(json.loads(file.read_text(encoding="utf-8")), weights) if file.exists() else []


def changed_arguments(arguments: tuple) -> dict[str, object]:
    """Options that differ from their defaults, and all of this project's own; never a token."""
    out: dict[str, object] = {}
    for part in arguments[:-1]:
        out |= asdict(part)
    training = arguments[-1]
    own = set(type(training).__annotations__) | {"gradient_accumulation_steps", "max_grad_norm", "optim", "seed"}
    values = training.to_dict()  # masks tokens
    return out | {key: values[key] for key in sorted(own) if key in values and "token" not in key}


RECIPE = ("head_epochs", "head_views", "head_learning_rate", "unfreeze_blocks", "layer_decay", "head_multiplier",
          "ema_decay", "num_train_epochs", "learning_rate", "per_device_train_batch_size", "weight_decay", "seed",
          "gradient_accumulation_steps", "label_smoothing_factor", "metric_for_best_model", "max_steps")  # fmt: skip


def run_identity(base: BaseModel, data: DevelopmentData, arguments: tuple) -> dict[str, object]:
    """What decides a run's weights: decoded data, splits, base checkpoint, preprocessing, augmentation and recipe."""
    names = data.main.names
    return {
        "data": data.fingerprint,
        "renderings": list(data.renderings),
        "splits": {name: split.to_dict(names)["sha256"] for name, split in data.splits.items()},
        "base_model": base.name,
        "preprocessing": base.preprocessing.to_dict(),
        "augmentation": asdict(arguments[2]),
        "recipe": {name: getattr(arguments[-1], name) for name in RECIPE}
        | {"lr_scheduler_type": str(arguments[-1].lr_scheduler_type), "dropout": arguments[1].dropout},
    }


def refuse_finished(training: object) -> None:
    """Do not write over a finished checkpoint, whose record of the opened test split would go with it.

    Raises:
        ValueError: ``--output_dir`` holds metrics.json and this is no ``--resume``.
    """
    folder = Path(training.output_dir)
    if not training.resume and (folder / "metrics.json").exists():
        raise ValueError(
            f"--output_dir {folder} holds a finished checkpoint: name another folder, or --resume that run."
        )


def command_line(program: str, argv: list[str]) -> str:
    """The command as typed, for metrics.json; tokens left out."""
    shown, hide = [], False
    for word in argv:
        shown.append("***" if hide else word.split("=")[0] + "=***" if word.startswith("--hub_token=") else word)
        hide = word == "--hub_token"
    return shlex.join(["python", program, *shown])


def development_records(finisher: Finisher, decision: Decision, calibration: Scores) -> dict[str, object]:
    """Records of the two held-out development splits. Calibration's is optimistic: the threshold was fitted there."""
    return {
        VALIDATION: evaluation_record(finisher.development_scores(VALIDATION), decision),
        CALIBRATION: evaluation_record(calibration, decision),
    }
