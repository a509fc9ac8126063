"""A report on disk: metrics.json, scores, figures, the page, and the thumbnails of wrong pictures kept beside it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hf_model.evaluation.report import Material
from hf_model.evaluation.report_html import Case, page
from hf_model.files import write_json
from hf_model.inference.heat_map import overlay

THUMBNAIL = 224
"""Longest side of a thumbnail, pixels."""
CASES = "cases"


def make_case(row: int, picture: np.ndarray, heat: np.ndarray | None) -> Case:
    """A wrong picture, grey uint8 (H, W), with its class activation map (h, w) in 0 to 1, or None, laid over it."""
    return Case(row, _jpeg(picture), None if heat is None else _jpeg(overlay(picture, heat, 0.7)))


def _jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def save_cases(folder: Path, cases: Sequence[Case]) -> None:
    """Keep thumbnails in ``folder/cases``, so that the page can be written again without the pictures."""
    (folder / CASES).mkdir(parents=True, exist_ok=True)
    for case in cases:
        (folder / CASES / f"{case.row}.jpg").write_bytes(case.picture)
        if case.overlay is not None:
            (folder / CASES / f"{case.row}-map.jpg").write_bytes(case.overlay)


def load_cases(folder: Path) -> list[Case]:
    """What ``save_cases`` kept, by row."""
    cases = []
    for path in sorted((folder / CASES).glob("*.jpg")):
        if path.stem.isdigit():
            heat = path.with_name(f"{path.stem}-map.jpg")
            cases.append(Case(int(path.stem), path.read_bytes(), heat.read_bytes() if heat.exists() else None))
    return cases


def write_figures(folder: Path, material: Material, content: dict[str, Any]) -> dict[str, bytes]:
    """Every figure as PNG and SVG into ``folder``; gives the SVG files by stem."""
    from hf_model.evaluation import figures as figure_set

    drawn = figure_set.evaluation_figures(material.scores, material.decision, content["record"])
    paths = figure_set.write_figures(drawn, folder)
    return {path.stem: path.read_bytes() for path in paths if path.suffix == ".svg"}


def write_page(path: Path, content: dict[str, Any], figures: dict[str, bytes], cases: Sequence[Case]) -> None:
    """The self-contained page; with no cases it holds no picture of the data set."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(content, figures, list(cases)), encoding="utf-8")


def write_report(folder: Path, material: Material, content: dict[str, Any], cases: Sequence[Case]) -> None:
    """metrics.json, scores.csv, figures/ and report.html."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = write_figures(folder / "figures", material, content)
    write_json(folder / "metrics.json", content)
    material.scores.to_csv(folder / "scores.csv")
    write_page(folder / "report.html", content, figures, cases)
