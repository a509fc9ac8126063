"""Real pictures for benchmarks: of the published training split only; the test split is never read."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from benchmarks.frame import Options, Skipped

FULL_SIZE, SMALL = "chest-xray-fullsize", "chest-xray-pneumonia"


def full_size(options: Options) -> list[Path]:
    """The originals, sorted; six of them with ``quick``."""
    files = sorted(options.folder(FULL_SIZE).glob("*/*.jpeg"))
    return files[::8] if options.quick else files


def training_files(options: Options, count: int | None = None) -> list[bytes]:
    """``count`` JPEG files of 224 px, evenly spread over the published training split; all of them for None."""
    import pyarrow.parquet as parquet

    parts = sorted(options.folder(SMALL).rglob("train-*.parquet"))
    if not parts:
        raise Skipped(f"needs train-*.parquet in {options.data / SMALL}")
    rows = sum(parquet.read_metadata(part).num_rows for part in parts)
    wanted = np.unique(np.linspace(0, rows - 1, min(count or rows, rows)).astype(int))
    files, first = [], 0
    for part in parts:
        column = parquet.read_table(part, columns=["image"]).column("image")
        inside = wanted[(wanted >= first) & (wanted < first + len(column))] - first
        files += [column[int(row)].as_py()["bytes"] for row in inside]
        first += len(column)
    return files


def decoded(files: list[bytes]) -> np.ndarray:
    """uint8 (N, 224, 224) grey of files that have this size."""
    from PIL import Image

    return np.stack([np.asarray(Image.open(io.BytesIO(file)).convert("L")) for file in files])
