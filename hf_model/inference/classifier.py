"""The serving entry point: a checkpoint folder or Hub id in, a ``Prediction`` for every file out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines.base import Engine, EngineOutput
from hf_model.inference.engines.choice import open_engine
from hf_model.inference.heat_map import scale_map
from hf_model.inference.prediction import Failure, Prediction, Timing, checked_threshold
from hf_model.radiograph import Finding, Population, Radiograph, UnreadableRadiograph, check_radiograph, read_radiograph
from hf_model.radiograph.population import UNDESCRIBED

T, R = TypeVar("T"), TypeVar("R")

FINER = 4
"""A JPEG may be decoded at a fraction of its size that leaves each side at least this many times the model's.

``benchmarks/serving_files.py`` measures how far each factor moves probabilities: below 4 by more than 0.01.
"""

Content = bytes | str | Path | Radiograph
Source = Content | tuple[str, Content]
"""A file's bytes, its path, or a radiograph that is already read; or ``(name, one of these)``."""


class Classifier:
    """A loaded checkpoint.

    Attributes: decision, preprocessing, model_id, model_hash (SHA-256 of model.safetensors), engine_name, metrics
    (contents of metrics.json or None), population (of the training pictures; ``UNDESCRIBED`` where nobody says),
    ood_detector (OODDetector or None). Safe to use from several threads.
    """

    def __init__(self, checkpoint: Checkpoint, engine: Engine) -> None:
        self.decision = checkpoint.decision
        self.preprocessing = checkpoint.preprocessing
        self.model_id = checkpoint.model_id
        self.model_hash = checkpoint.weights_sha256
        self.metrics: dict[str, Any] | None = checkpoint.metrics
        self.population: Population = Population.of(checkpoint.metrics) or UNDESCRIBED
        self.ood_detector = checkpoint.ood_detector
        self.engine_name = engine.name
        self._engine = engine
        self._helpers = ThreadPoolExecutor(2, thread_name_prefix="check")

    @classmethod
    def from_pretrained(
        cls,
        folder_or_hub_id: str | Path | None = None,
        *,
        engine: str = "auto",
        revision: str | None = None,
        token: str | None = None,
        cache: str | Path | None = None,
    ) -> Classifier:
        """Load a checkpoint.

        folder_or_hub_id: None for the shipped checkpoint, a folder, or ``owner/name`` on the Hub (the only case in
        which the network is used; revision and token are for it). engine: "auto", "openvino" or "torch". cache: folder
        for compiled models (None: the user's cache folder, "" for none).

        Raises CheckpointError (a ValueError) if it is not a checkpoint that can be served, EngineUnavailable (a
        RuntimeError) if the engine cannot serve it here; both say what to do.
        """
        checkpoint = Checkpoint.open(folder_or_hub_id, revision=revision, token=token)
        return cls(checkpoint, open_engine(checkpoint, engine, cache=cache))

    def predict(
        self,
        source: Content,
        *,
        name: str | None = None,
        threshold: float | None = None,
        heat_map: bool = True,
        thumbnail: int | None = None,
    ) -> Prediction:
        """Predict one file.

        source: bytes, path or a Radiograph that is already read. name: what to call it. threshold: 0 to 1 (None: the
        checkpoint's own). heat_map: False leaves the class activation map out. thumbnail: longer side in pixels of the
        radiograph that the prediction keeps for showing (None: it keeps none).
        Raises UnreadableRadiograph, with a text for the person, and ValueError for a threshold outside 0 to 1.
        """
        limit = None if threshold is None else checked_threshold(threshold)
        ready = self._read(source, name)
        start = time.perf_counter()
        output = self._engine.run(ready.pixels[None])
        return self._make(ready, output, 0, _milliseconds(start), limit, heat_map, thumbnail)

    def predict_batch(
        self,
        sources: Iterable[Source],
        *,
        batch_size: int | None = None,
        threshold: float | None = None,
        heat_map: bool = True,
        thumbnail: int | None = None,
    ) -> Iterator[Prediction | Failure]:
        """Predict many files: one Prediction or Failure for each, in order, as they are done.

        sources: like ``predict``'s, or ``(name, source)``; may be a generator and is drawn from as needed.
        batch_size: pictures per pass (None: what the engine is fastest with). The rest is as in ``predict``. Files are
        read in threads while the engine works. Raises ValueError for a bad threshold or batch size.
        """
        limit = None if threshold is None else checked_threshold(threshold)
        jobs = _chunks(sources, self._engine.batch_size if batch_size is None else batch_size)

        def work(chunk: list[Source]) -> list[Prediction | Failure]:
            return self._chunk(chunk, limit, heat_map, thumbnail)

        return _ordered(work, jobs, self._engine.workers)

    def _read(self, source: Content, name: str | None, *, bulk: bool = False) -> _Ready:
        """Decode (unless it is already read), check and resize one file."""
        start = time.perf_counter()
        side = max(self.preprocessing.height, self.preprocessing.width)
        radiograph = source
        if not isinstance(source, Radiograph):
            # read_radiograph keeps twice the side that it is given
            radiograph = read_radiograph(source, name=name, target_side=FINER * side // 2)
        decode = _milliseconds(start)
        start = time.perf_counter()
        # Pillow and NumPy release the interpreter lock: a single picture is checked on one core while another resizes
        # it; in bulk each core has a picture of its own.
        checking = None if bulk else self._helpers.submit(check_radiograph, radiograph)
        pixels = self.preprocessing.resize(radiograph.pixels)
        findings = check_radiograph(radiograph) if checking is None else checking.result()
        return _Ready(radiograph, pixels, findings, decode, _milliseconds(start))

    def _chunk(
        self, chunk: list[Source], threshold: float | None, heat_map: bool, thumbnail: int | None
    ) -> list[Prediction | Failure]:
        """Read a chunk, run the readable ones in one pass, and put everything back in order."""
        results: list[Prediction | Failure | _Ready] = []
        for source in chunk:
            name, content = source if isinstance(source, tuple) else (None, source)
            try:
                results.append(self._read(content, name, bulk=True))
            except UnreadableRadiograph as error:
                results.append(Failure(name or _name_of(content), error.code, str(error)))
        ready = [item for item in results if isinstance(item, _Ready)]
        if not ready:
            return results
        start = time.perf_counter()
        output = self._engine.run(np.stack([item.pixels for item in ready]), bulk=True)
        each = _milliseconds(start) / len(ready)
        made = (self._make(item, output, row, each, threshold, heat_map, thumbnail) for row, item in enumerate(ready))
        return [next(made) if isinstance(item, _Ready) else item for item in results]

    def _make(
        self,
        ready: _Ready,
        output: EngineOutput,
        row: int,
        model: float,
        threshold: float | None,
        heat_map: bool,
        thumbnail: int | None,
    ) -> Prediction:
        """Row ``row`` of an engine's output as a Prediction; every Prediction is made here."""
        findings = ready.findings + self.population.findings(ready.radiograph.metadata)
        if self.ood_detector is not None and output.features is not None:
            findings += self.ood_detector.findings(output.features[row])
        drawn = scale_map(output.maps[row]) if heat_map and output.maps is not None else None
        return Prediction.make(
            rule=self.decision,
            logits=output.logits[row],
            threshold=threshold,
            name=ready.radiograph.name,
            class_activation_map=drawn,
            findings=findings,
            model_id=self.model_id,
            model_hash=self.model_hash,
            engine=self.engine_name,
            radiograph=None if thumbnail is None else ready.radiograph.thumbnail(thumbnail),
            timing=Timing(ready.decode, ready.preprocess, model, ready.decode + ready.preprocess + model),
        )


@dataclass(frozen=True)
class _Ready:
    """A radiograph on its way into the engine: uint8 (height, width), and milliseconds spent so far."""

    radiograph: Radiograph
    pixels: np.ndarray
    findings: tuple[Finding, ...]
    decode: float
    preprocess: float


def _name_of(source: Content) -> str:
    return Path(source).name if isinstance(source, str | Path) else "the upload"


def _milliseconds(start: float) -> float:
    return (time.perf_counter() - start) * 1e3


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of ``size`` items (the last one may be shorter), drawn only when asked for. ValueError for size below 1."""
    if size < 1:
        raise ValueError(f"batch_size is {size}; give at least 1")
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _ordered(work: Callable[[T], list[R]], jobs: Iterable[T], workers: int) -> Iterator[R]:
    """Results of ``work(job)`` one by one, in the order of ``jobs``, with ``workers`` threads at it.

    At most two jobs per worker are begun or waiting to be taken, so ``jobs`` may be endless. An exception of a job is
    raised in its place; what has not begun by then is dropped.
    """
    waiting: deque[Future[list[R]]] = deque()
    source = iter(jobs)
    with ThreadPoolExecutor(workers, thread_name_prefix="predict") as pool:
        try:
            for job in islice(source, 2 * workers):
                waiting.append(pool.submit(work, job))
            while waiting:
                results = waiting.popleft().result()
                for job in islice(source, 1):
                    waiting.append(pool.submit(work, job))
                yield from results
        finally:
            for future in waiting:
                future.cancel()
