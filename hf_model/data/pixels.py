"""Decode and resize every picture once, into a uint8 memory map.

Decoding and resizing go through ``read_radiograph`` and the checkpoint's ``Preprocessing``, the code that serves an
upload, so training sees what serving will show the model. The map is keyed by the data set's fingerprint and the
preprocessing. Rows that cannot be read or are blank, which serving refuses, are skipped, named and counted.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from datasets import Dataset
from tqdm.auto import tqdm

from hf_model.data.loading import file_name, read_bytes
from hf_model.files import cache_folder, write_json
from hf_model.radiograph import UnreadableRadiograph, read_radiograph
from hf_model.radiograph.checks import BLANK, is_blank
from hf_model.radiograph.preprocess import Preprocessing

logger = logging.getLogger(__name__)
T, R = TypeVar("T"), TypeVar("R")
STALE = 86400
"""Seconds after which an unfinished map counts as abandoned."""
_FORMAT = 2
"""Raise when decoding changes, so that old maps are not read as new ones."""


@dataclass(frozen=True)
class Pixels:
    """One split in one rendering.

    Attributes:
        pixels: uint8 (N, H, W), grey, read-only map.
        names: N file names without folders.
        labels: int64 (N,), 0 NORMAL, 1 PNEUMONIA.
        hashes: N SHA-256 of the pixels, equal for equal pictures.
        columns: further columns of the data set, one list of N values each.
        skipped: (file name, reason) of rows that could not be read or are blank.
        rows: int64 (N,), the row of the data set that each picture was read from.
    """

    pixels: np.ndarray
    names: list[str]
    labels: np.ndarray
    hashes: list[str]
    columns: dict[str, list[object]] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    rows: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.names)

    def select(self, rows: np.ndarray) -> Pixels:
        """The given rows, pixels copied into memory."""
        return Pixels(
            np.asarray(self.pixels[rows]),
            [self.names[i] for i in rows],
            self.labels[rows],
            [self.hashes[i] for i in rows],
            {key: [values[i] for i in rows] for key, values in self.columns.items()},
            rows=self.rows[rows],
        )


def decode_split(rows: Dataset, preprocessing: Preprocessing, *, what: str, cache_dir: Path | None = None) -> Pixels:
    """Decode ``rows`` (columns ``image`` and ``label``) or map what an earlier run decoded.

    Args:
        rows: from ``load_splits``.
        preprocessing: gives the size and the resampling.
        what: name for the progress bar and messages.
        cache_dir: where maps are kept; None for ``files.cache_folder()``.

    Raises:
        ValueError: no row can be used.
    """
    folder = (cache_dir or cache_folder()) / _key(rows, preprocessing)
    index_file = folder / "index.json"
    if not index_file.exists():  # written last, so an interrupted run leaves no half map that looks whole
        _decode(rows, preprocessing, folder, what)
    index = json.loads(index_file.read_text())
    if index["skipped"]:
        listing = "; ".join(f"{name}: {reason}" for name, reason in index["skipped"][:5])
        count = len(index["skipped"])
        logger.warning("%s: %d pictures cannot be read or are blank and are left out (%s)", what, count, listing)
    kept = index["rows"]
    if not kept:
        raise ValueError(f"{what}: none of {len(rows)} pictures can be used; first reason: {index['skipped'][0][1]}")
    pixels = np.load(folder / "pixels.npy", mmap_mode="r")[: len(kept)]
    extra = [c for c in rows.column_names if c not in {"image", "label"}]
    return Pixels(
        pixels,
        index["names"],
        np.asarray(rows["label"], dtype=np.int64)[kept],
        index["hashes"],
        {c: [rows[c][i] for i in kept] for c in extra},
        [tuple(item) for item in index["skipped"]],
        np.asarray(kept, dtype=np.int64),
    )


def _key(rows: Dataset, preprocessing: Preprocessing) -> str:
    size = [preprocessing.height, preprocessing.width, preprocessing.resample]
    text = json.dumps([_FORMAT, rows._fingerprint, len(rows), size])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _decode(rows: Dataset, preprocessing: Preprocessing, folder: Path, what: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    height, width = preprocessing.height, preprocessing.width
    # written under this process's name and moved: two processes may decode the same data set at once
    partial = folder / f"pixels-{os.getpid()}.npy"
    out = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=(len(rows), height, width))
    kept, names, hashes, skipped = [], [], [], []

    def read(job: tuple[int, dict[str, object]]) -> tuple[int, str, np.ndarray | str]:
        name = file_name(job[1], job[0])
        try:
            pixels = read_radiograph(read_bytes(job[1]), name=name).pixels
        except (UnreadableRadiograph, OSError) as error:
            return job[0], name, str(error)
        return job[0], name, BLANK if is_blank(pixels) else preprocessing.resize(pixels)

    for i, name, picture in tqdm(_in_threads(read, enumerate(rows["image"])), desc=f"decoding {what}", total=len(rows)):
        if isinstance(picture, str):
            skipped.append((name, picture))
            continue
        out[len(kept)] = picture
        hashes.append(hashlib.sha256(picture.tobytes()).hexdigest())
        kept.append(i)
        names.append(name)
    out.flush()
    del out
    partial.replace(folder / "pixels.npy")
    for left in folder.glob("pixels-*.npy"):  # by a process that was killed while it decoded the same
        if time.time() - left.stat().st_mtime > STALE:
            left.unlink(missing_ok=True)
    write_json(folder / "index.json", {"rows": kept, "names": names, "hashes": hashes, "skipped": skipped})


def _in_threads(work: Callable[[T], R], jobs: Iterable[T]) -> Iterator[R]:
    """``work`` of each job, in order, by a thread per core (Pillow decodes and resizes without Python's lock).

    A few hundred jobs are taken at a time, so that memory does not grow with the data set.
    """
    source = iter(jobs)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while part := list(islice(source, 256)):
            yield from pool.map(work, part)
