"""All checks in order, into one record (audit.json) and its pictures; and the summary that may be published."""

from __future__ import annotations

import logging
import shlex
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

from hf_model.audit import duplicates, figures, integrity, label_quality, leakage, measures, model_probes, shortcuts
from hf_model.audit.findings import find_all
from hf_model.audit.measures import Measures
from hf_model.audit.pictures import Pictures, gather
from hf_model.config import LABELS, SCHEMA_VERSION, is_hub_id
from hf_model.data.loading import DatasetError, load_splits
from hf_model.data.prepare import rendering_name
from hf_model.hub.push import PICTURE_PARTS
from hf_model.inference.checkpoint import Checkpoint

logger = logging.getLogger(__name__)
T = TypeVar("T")
NOTES = frozenset({"model_note", "labels_note"})
"""Reasons in words, some of which quote paths: not for the summary."""
NAMELESS = "one picture"


@dataclass
class Options:
    """The options of the command. backbone: "none" for no network. columns: those of ``column_options``."""

    dataset: str
    renderings: list[str] = field(default_factory=list)
    checkpoint: str | None = None
    engine: str = "auto"
    backbone: str = "efficientnet-lite0"
    seed: int = 0
    cache_dir: Path | None = None
    columns: dict[str, str | None] = field(default_factory=dict)


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
        measured = self._timed("statistics", lambda: measures.measure(pictures))
        self._overview(pictures, measured)
        problems = self._timed("integrity", lambda: integrity.inspect(pictures))
        self.record["integrity"] = integrity.summarise(problems, pictures)
        self._timed("duplicates", lambda: self._duplicates(pictures))
        self._timed("shortcuts", lambda: self._shortcuts(pictures, measured, renderings))
        self.record["shift"] = self._timed("shift", lambda: shortcuts.find_shift(pictures, measured, self.options.seed))
        self._timed("labels", lambda: self._labels(pictures, measured))
        if checkpoint is not None:
            self._timed("model", lambda: self._model(checkpoint))
        self._charts()
        self.record["findings"] = find_all(self.record)
        self.record["seconds"] = self.seconds

    def _check_names(self) -> None:
        """Figures are kept under the name of their rendering, so two of one name would become one."""
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
        columns = {name: self.options.columns.get(name) for name in ("image_column", "label_column")}
        return load_splits(name_or_folder, **columns, option=option)

    def _gather(self, name: str, published: DatasetDict) -> Pictures:
        patients = {name: self.options.columns.get(name) for name in ("patient_column", "patient_pattern")}
        return gather(name, published, cache_dir=self.options.cache_dir, **patients)

    def _overview(self, pictures: Pictures, measured: Measures) -> None:
        self.record["counts"] = measures.count(pictures)
        self.record["intensity"] = measures.intensity(pictures, measured.histograms)
        seed = self.options.seed
        self.images |= figures.sizes_charts(pictures)
        self.images["counts"] = figures.counts_chart(self.record["counts"])
        self.images["intensity"] = figures.intensity_chart(self.record["intensity"])
        for label, name in enumerate(LABELS):
            if (pictures.decoded_labels[pictures.development] == label).any():
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

    def _shortcuts(self, pictures: Pictures, measured: Measures, renderings: dict[str, DatasetDict]) -> None:
        seed = self.options.seed
        found = {pictures.name: shortcuts.run_probes(pictures, measured, seed)}
        if not any(probe["key"] == "metadata" for probe in found[pictures.name]):
            self.record["probes_note"] = shortcuts.TOO_FEW
        self.record["sharpness_on_test"] = shortcuts.sharpness_on_test(pictures, measured, seed)
        self.record["renderings_exact"] = {}
        for name, published in renderings.items():
            other = self._gather(name, published)
            found[name] = shortcuts.run_probes(other, measures.measure(other), seed, whole=False)
            exact = duplicates.exact_duplicates(other)
            self.record["renderings_exact"][name] = {key: value for key, value in exact.items() if key != "list"}
        self.record["probes"] = found

    def _labels(self, pictures: Pictures, measured: Measures) -> None:
        at, options = pictures.development, self.options
        if options.backbone == "none":
            pixels = measured.small[at].reshape(len(at), -1)
            features, how = np.hstack([measured.statistics[at], pixels]), "simple statistics and 32 px thumbnails"
        else:
            features = label_quality.backbone_features(pictures, options.backbone, options.cache_dir)
            how = label_quality.describe(options.backbone)
        try:
            part = label_quality.check_labels(pictures, features, how, options.seed)
        except shortcuts.TooFewPatientsError as error:
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
        data_options = {**options.columns, "cache_dir": options.cache_dir}
        try:
            self.record["model"] = model_probes.probe_checkpoint(
                checkpoint, options.dataset, options.engine, options.seed, data_options
            )
        except model_probes.NoHeldOutPicturesError as error:
            logger.warning("%s", error)
            self.record["model_note"] = str(error)

    def _charts(self) -> None:
        rows = [(probe["title"], probe["auc"], False) for probe in self.record["probes"][self.record["name"]]]
        if "labels" in self.record:
            part = self.record["labels"]
            rows.append((f"Label check: {part['how'].split(' as ')[0]}", part["auc"], False))
        if "model" in self.record:
            views = self.record["model"]["views"]
            rows += [(f"Model: {view['title'].lower()}", view["auc"], True) for view in views[:3]]
            self.images["sharpness"] = figures.sharpness_chart(views)
        if rows:
            self.images["probes"] = figures.probes_chart(rows)
        if self.record["shift"]["statistics"]:
            self.images["shift"] = figures.shift_chart(self.record["shift"]["statistics"])


def summarise(record: dict[str, Any]) -> dict[str, Any]:
    """A copy of audit.json without the parts and names of single pictures, small enough to keep in a repository.

    ``PICTURE_PARTS`` and patient keys are left out, numbers have four decimals, and paths of the command lose their
    folders. Sentences are made again from a record in which "one picture" replaces every name: a search for names in
    finished sentences would miss unexpected ones, and would hit figures where a file is called ``1``.
    """
    bare = _without_names(record)
    changed = {"command": short_command(record["command"]), "findings": find_all(bare)}
    return _kept({key: changed.get(key, part) for key, part in bare.items() if key not in NOTES})


def short_command(command: str) -> str:
    """The command with only the last part of each path; Hub ids stay."""

    def short(word: str) -> str:
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        return word if "/" not in value or is_hub_id(value) else f"{option}{equals}{Path(value).name}"

    return shlex.join(map(short, shlex.split(command)))


def _without_names(record: dict[str, Any]) -> dict[str, Any]:
    """The record with "one picture" wherever a sentence would take a name from."""
    out = dict(record)
    problems = [problem | {"where": NAMELESS} for problem in record["integrity"]["problems"]]
    out["integrity"] = record["integrity"] | {"problems": problems}
    out["duplicates"] = record["duplicates"] | {
        kind: part | {"list": [group | {"files": [NAMELESS] * len(group["files"])} for group in part["list"]]}
        for kind, part in record["duplicates"].items()
        if kind in ("exact", "near")
    }
    # an example of a shared patient names the patient too
    pairs = [pair | {"examples": {}} for pair in record["leakage"]["pairs"]]
    out["leakage"] = record["leakage"] | {"pairs": pairs, "leaks": leakage.leaks_of(pairs)}
    if record.get("labels"):
        out["labels"] = record["labels"] | {"list": [entry | {"file": NAMELESS} for entry in record["labels"]["list"]]}
    return out


def _kept(value: Any) -> Any:
    """Without ``PICTURE_PARTS``, numbers to four decimals."""
    if isinstance(value, dict):
        return {key: _kept(part) for key, part in value.items() if key not in PICTURE_PARTS}
    if isinstance(value, list):
        return [_kept(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value
