"""What a finished run left in its folder, read for the card; and how the card writes numbers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_model.config import DEFAULT_DATASET, is_hub_id
from hf_model.metrics.decision import Decision
from hf_model.radiograph.population import known

KERMANY_TITLE = "Chest X-Ray Images (Pneumonia), Kermany et al. 2018"
PLACEHOLDER = "path/to/this/folder"
"""Stands in the card's code for the model's name while it has none; a push puts the repository's in its place."""
POINTS = {"0.5": "0.5", "argmax": "larger logit", "default": "default", "rule_out": "rule-out", "rule_in": "rule-in"}
"""Key in the records -> name in the card, in the order of the tables."""


@dataclass(frozen=True)
class Run:
    """The JSON files of a checkpoint folder; what is not there is empty."""

    folder: Path
    config: dict[str, Any]
    preprocessing: dict[str, Any]
    metrics: dict[str, Any]
    decision: Decision

    @classmethod
    def read(cls, folder: Path | str) -> Run:
        """Read the folder. ``config.json`` must be there; ValueError for JSON that does not parse, naming the file."""
        folder = Path(folder)
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(f"{folder} has no config.json, so it is no checkpoint and gets no card.")
        names = ("config.json", "preprocessor_config.json", "metrics.json")
        return cls(folder, *(_read(folder / name) for name in names), decision=Decision.load(folder))

    @property
    def data(self) -> dict[str, Any]:
        return self.metrics.get("data") or {}

    @property
    def kermany(self) -> bool:
        """True if the published splits count what the Kermany set's do: names of folders prove nothing."""
        return known(self.data.get("published") or self.data.get("counts")) is not None

    @property
    def dataset_name(self) -> str | None:
        """The data set as given, of a path only the last part (a card shows no path of a machine)."""
        name = self.data.get("dataset")
        return None if not name else name if is_hub_id(name) else re.split(r"[/\\]", str(name).rstrip("/\\"))[-1]

    @property
    def dataset_title(self) -> str:
        """For a person."""
        return KERMANY_TITLE if self.kermany else self.dataset_name or "unknown"

    @property
    def dataset_id(self) -> str | None:
        """Its Hub id, if it has one."""
        if self.kermany:
            return DEFAULT_DATASET
        return self.dataset_name if is_hub_id(self.data.get("dataset")) else None

    @property
    def fingerprint(self) -> str | None:
        return self.data.get("sha256") or self.data.get("fingerprint")

    @property
    def base_model(self) -> tuple[str | None, str | None]:
        """(name, Hub id); metrics.json has a string or ``{"name", "hub_id"}``."""
        base = self.metrics.get("base_model")
        if isinstance(base, dict):
            return base.get("name"), base.get("hub_id")
        return base, base if is_hub_id(base) else None

    @property
    def architecture(self) -> str:
        return str((self.config.get("architectures") or [self.config.get("model_type") or "unknown architecture"])[0])

    @property
    def own_head(self) -> str | None:
        """Name of the head where it is one of this project's, which transformers does not load; None for plain."""
        return self.config.get("chest_xray_head")

    @property
    def image_size(self) -> str | None:
        """Height x width in pixels, as the preprocessing has it."""
        size = self.preprocessing.get("size")
        return f"{size['height']} x {size['width']}" if isinstance(size, dict) and "height" in size else None

    @property
    def tests(self) -> dict[str, dict[str, Any]]:
        """Rendering name -> record of the test split."""
        return {name: record for name, record in (self.metrics.get("test") or {}).items() if record}

    def argument(self, name: str) -> Any:
        """A training argument, whether metrics.json lists them flat or in groups; None if it does not."""
        arguments = self.metrics.get("arguments") or {}
        groups = [value for value in arguments.values() if isinstance(value, dict)]
        return next((group[name] for group in [arguments, *groups] if name in group), None)


def value_of(figure: Any) -> float | None:
    """The number of a figure, which is a number or ``{"value", ...}``."""
    return figure.get("value") if isinstance(figure, dict) else figure


def with_interval(figure: Any, *, key: str = "interval") -> str:
    """``0.934 (0.912 to 0.951)``, ``0.934`` without an interval; ``not given``; ``not defined`` (a rate of nothing)."""
    if figure is None:
        return "not given"
    value = value_of(figure)
    if value is None:
        return "not defined"
    interval = figure.get(key) if isinstance(figure, dict) else None
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def markdown_table(head: list[str], rows: list[list[object]]) -> str:
    """A Markdown table; cells are written as they are, with ``|`` escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): restore it from the run.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} should hold a JSON object, not {type(content).__name__}.")
    return content
