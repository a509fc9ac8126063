"""All checks in order, into one record and its pictures."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from datasets import DatasetDict
from matplotlib.figure import Figure
from PIL import Image

from hf_model.audit import duplicates, figures, integrity, leakage, measures, model_probes, shortcuts
from hf_model.audit import label_quality as label_checks
from hf_model.audit import shortcuts as probes
from hf_model.audit.findings import find_all
from hf_model.audit.label_quality import backbone_features, describe
from hf_model.audit.pictures import Pictures, gather
from hf_model.audit.shortcuts import TooFewPatients
from hf_model.config import LABELS, SCHEMA_VERSION
from hf_model.data.loading import DatasetError, load_splits
from hf_model.data.prepare import rendering_name
from hf_model.inference.checkpoint import Checkpoint

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass
class Options:
    """What the command was given; the columns are named as in ``train.py``. backbone: "none" for no network."""

    dataset: str
    renderings: list[str] = field(default_factory=list)
    checkpoint: str | None = None
    engine: str = "auto"
    backbone: str = "efficientnet-lite0"
    seed: int = 0
    cache_dir: Path | None = None
    columns: dict[str, str | None] = field(default_factory=dict)
    patient_column: str | None = None
    patient_pattern: str | None = None


class Audit:
    """One run. ``record`` is audit.json; ``images`` the pictures of the page, by name.

    ``run`` raises DatasetError for what cannot be loaded; a bad row stops nothing.
    """

    def __init__(self, options: Options, command: str) -> None:
        self.options = options
        self.images: dict[str, Figure | Image.Image] = {}
        self.seconds: dict[str, float] = {}
        self.record: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
            "name": rendering_name(options.dataset),
        }

    def run(self) -> None:
        """Every check."""
        # opened first: a wrong --checkpoint or --renderings should not cost the minutes before it is needed
        self._check_names()
        checkpoint = None if self.options.checkpoint is None else Checkpoint.open(self.options.checkpoint)
        renderings = {rendering_name(folder): self._load(folder, "--renderings") for folder in self.options.renderings}
        published = self._load(self.options.dataset, "--dataset")
        pictures = self._timed("reading", lambda: self._gather(self.record["name"], published))
        self.record["rows"] = len(pictures)
        taken = self._timed("statistics", lambda: measures.measure(pictures))
        self._overview(pictures, taken)
        problems = self._timed("integrity", lambda: integrity.inspect(pictures))
        self.record["integrity"] = integrity.summarise(problems, pictures)
        self._timed("duplicates", lambda: self._duplicates(pictures))
        self._timed("shortcuts", lambda: self._shortcuts(pictures, taken, renderings))
        self.record["shift"] = self._timed("shift", lambda: shortcuts.find_shift(pictures, taken, self.options.seed))
        self._timed("labels", lambda: self._labels(pictures, taken))
        if checkpoint is not None:
            self._timed("model", lambda: self._model(checkpoint))
        self._charts()
        self.record["findings"] = find_all(self.record)
        self.record["seconds"] = self.seconds

    def _check_names(self) -> None:
        """Figures are kept under the name of their rendering, so that two of one name would be one."""
        seen = {self.record["name"]}
        for folder in self.options.renderings:
            name = rendering_name(folder)
            if name in seen:
                raise DatasetError(
                    f"--renderings {folder}: a rendering called {name} is there already; rename the folder."
                )
            seen.add(name)

    def _timed(self, name: str, work: Callable[[], T]) -> T:
        logger.info("%s ...", name)
        start = time.perf_counter()
        result = work()
        self.seconds[name] = round(time.perf_counter() - start, 1)
        return result

    def _load(self, name_or_folder: str, option: str) -> DatasetDict:
        return load_splits(name_or_folder, **self.options.columns, option=option)

    def _gather(self, name: str, published: DatasetDict) -> Pictures:
        options = self.options
        return gather(
            name,
            published,
            cache_dir=options.cache_dir,
            patient_column=options.patient_column,
            patient_pattern=options.patient_pattern,
        )

    def _overview(self, pictures: Pictures, taken: measures.Measures) -> None:
        self.record["counts"] = measures.count(pictures)
        self.record["intensity"] = measures.intensity(pictures, taken.histograms)
        seed = self.options.seed
        self.images |= dict(figures.sizes_chart(pictures))
        self.images["counts"] = figures.counts_chart(self.record["counts"])
        self.images["intensity"] = figures.intensity_chart(self.record["intensity"])
        for label, name in enumerate(LABELS):
            if (pictures.labels[pictures.kept[pictures.development]] == label).any():
                self.images[f"samples_{name.lower()}"] = figures.samples(pictures, label, seed)
        self.images["means"] = figures.means(measures.mean_pictures(pictures))
        self.images["augmentation"] = figures.augmentation_preview(pictures.pixels[pictures.development[0]], seed)
        self.images["masks"] = figures.masks_sheet(pictures, seed)

    def _duplicates(self, pictures: Pictures) -> None:
        self.record["duplicates"], pairs = duplicates.find_duplicates(pictures)
        self.record["leakage"] = leakage.certificate(pictures, pairs)
        self.record["leakage"]["likeness"] = duplicates.likeness(pictures, self.options.seed)
        self.record["leakage"]["series"] = duplicates.series(pictures)
        if pairs:
            self.images["near"] = figures.pairs_sheet(pictures, pairs)

    def _shortcuts(self, pictures: Pictures, taken: measures.Measures, renderings: dict[str, DatasetDict]) -> None:
        seed = self.options.seed
        found = {pictures.name: probes.run_probes(pictures, taken, seed)}
        if not any(probe["key"] == "metadata" for probe in found[pictures.name]):
            self.record["probes_note"] = probes.TOO_FEW
        self.record["sharpness_on_test"] = probes.sharpness_on_test(pictures, taken, seed)
        self.record["renderings_exact"] = {}
        for name, published in renderings.items():
            other = self._gather(name, published)
            found[other.name] = probes.run_probes(other, measures.measure(other), seed, whole=False)
            groups = [duplicates.describe_group(other, g) for g in duplicates.equal_groups(other.hashes)]
            summary = duplicates.summarise_groups(groups)
            self.record["renderings_exact"][other.name] = {k: v for k, v in summary.items() if k != "list"}
        self.record["probes"] = found

    def _labels(self, pictures: Pictures, taken: measures.Measures) -> None:
        at, options = pictures.development, self.options
        if options.backbone == "none":
            pixels = taken.small[at].reshape(len(at), -1)
            features, how = np.hstack([taken.statistics[at], pixels]), "simple statistics and 32 px thumbnails"
        else:
            features = backbone_features(pictures, options.backbone, options.cache_dir)
            how = describe(options.backbone)
        try:
            part = label_checks.find_label_issues_in(pictures, features, how, options.seed)
        except TooFewPatients as error:
            self.record["labels_note"] = f"Labels were not checked: {error}"
            return
        except ImportError as error:
            self.record["labels_note"] = f"Labels were not checked: {error}. Install it with: pip install cleanlab"
            return
        self.record["labels"] = part
        if part["list"]:
            self.images["suspects"] = figures.suspects_sheet(pictures, part["list"])

    def _model(self, checkpoint: Checkpoint) -> None:
        options = self.options
        given = {
            **options.columns,
            "patient_column": options.patient_column,
            "patient_pattern": options.patient_pattern,
            "cache_dir": options.cache_dir,
        }
        try:
            self.record["model"] = model_probes.probe_checkpoint(
                checkpoint, options.dataset, options.engine, options.seed, given
            )
        except model_probes.NoHeldOutPictures as error:
            logger.warning("%s", error)
            self.record["model_note"] = str(error)

    def _charts(self) -> None:
        rows = [(probe["title"], probe["auc"], False) for probe in self.record["probes"][self.record["name"]]]
        if "labels" in self.record:
            rows.append(
                (f"Label check: {self.record['labels']['how'].split(' as ')[0]}", self.record["labels"]["auc"], False)
            )
        if "model" in self.record:
            shown = self.record["model"]["views"][:3]
            rows += [(f"Model: {view['title'].lower()}", view["auc"], True) for view in shown]
            self.images["sharpness"] = figures.sharpness_chart(self.record["model"]["views"])
        if rows:
            self.images["probes"] = figures.probes_chart(rows)
        if self.record["shift"]["statistics"]:
            self.images["shift"] = figures.shift_chart(self.record["shift"]["statistics"])


def encode(image: Figure | Image.Image) -> bytes:
    """A PNG."""
    buffer = io.BytesIO()
    if isinstance(image, Figure):
        image.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    else:
        image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
