"""The default engine on a CPU: the exported graph in OpenVINO."""

from __future__ import annotations

import logging
import queue
import threading
from pathlib import Path
from typing import Any

import numpy as np

from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines.base import EngineOutput, EngineUnavailable
from hf_model.inference.engines.machine import cache_folder, usable_cores
from hf_model.inference.engines.openvino_runtime import shared_core
from hf_model.inference.engines.precision import choose_precision, golden_inputs
from hf_model.inference.graph import GRAPH_FILE, read_graph

logger = logging.getLogger(__name__)
LONGEST_WAIT = 30.0
"""Seconds that one process waits for another to compile into the cache before it compiles without."""


class OpenVinoEngine:
    """One graph, compiled twice when needed: all cores for one picture, or one core for each of many pictures.

    Pictures go through one at a time either way: on a CPU a batch is no faster than as many streams as cores, and so
    every picture gets the same answer alone and in a batch. cache: folder for the compiled model (None: the
    user's cache, "" for none). precision: "f32", "bf16", or "auto" to measure. Raises EngineUnavailable.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        graph: Any = None,
        cache: str | Path | None = None,
        precision: str = "auto",
        cores: int | None = None,
    ) -> None:
        self._core = shared_core()
        self._size = (checkpoint.preprocessing.height, checkpoint.preprocessing.width)
        self._model = read_graph(checkpoint, self._core) if graph is None else graph
        self._model.reshape([1, 1, *self._size])
        self._outputs = [output.get_any_name() for output in self._model.outputs]
        self._cache = _writable(cache)
        self.workers = cores or usable_cores()
        self.batch_size = 1
        self._precision = self._choose(checkpoint) if precision == "auto" else precision
        self.name = f"openvino-{self._precision}"
        self._quick = self._compile(streams=1)
        self._bulk: queue.SimpleQueue[Any] | None = None
        self._bulk_lock = threading.Lock()

    def run(self, pixels: np.ndarray, *, bulk: bool = False) -> EngineOutput:
        """Grey uint8 (N, height, width) -> :class:`EngineOutput`."""
        if pixels.dtype != np.uint8 or pixels.shape[1:] != self._size:
            raise ValueError(
                f"the pictures are {pixels.dtype} {pixels.shape}; give uint8 (N, {self._size[0]}, {self._size[1]})"
            )
        requests = self._bulk_requests() if bulk else self._quick
        request = requests.get()
        try:
            rows = [self._infer(request, picture) for picture in pixels]
        finally:
            requests.put(request)
        if not rows:
            raise ValueError("no pictures were given; give at least one")
        joined = {name: np.concatenate([row[name] for row in rows]) for name in self._outputs}
        return EngineOutput(joined["logits"], joined.get("maps"), joined.get("features"))

    def _infer(self, request: Any, picture: np.ndarray) -> dict[str, np.ndarray]:
        request.infer({0: np.ascontiguousarray(picture)[None, None]}, share_inputs=True)
        return {name: request.get_output_tensor(index).data.copy() for index, name in enumerate(self._outputs)}

    def _compile(self, streams: int, precision: str | None = None) -> queue.SimpleQueue[Any]:
        """As many inference requests as streams, ready to be taken by threads."""
        options = {
            "INFERENCE_PRECISION_HINT": precision or self._precision,
            "INFERENCE_NUM_THREADS": self.workers,
            "NUM_STREAMS": streams,
            # Pinned threads wait for their core while someone else has it; two cores always have someone else.
            "ENABLE_CPU_PINNING": False,
        }
        compiled = self._from_cache(options)
        if compiled is None:
            try:
                compiled = self._core.compile_model(self._model, "CPU", options)
            except RuntimeError as error:
                raise EngineUnavailable(f"OpenVINO cannot compile {GRAPH_FILE}: {error}") from error
        requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(streams):
            requests.put(compiled.create_infer_request())
        return requests

    def _from_cache(self, options: dict[str, Any]) -> Any | None:
        """The compiled model by way of the cache; None without a cache, or where it cannot be used."""
        if not self._cache:
            return None
        from filelock import FileLock

        try:
            Path(self._cache).mkdir(parents=True, exist_ok=True)
            # OpenVINO maps the cached file: one that another process is still writing ends this one (SIGBUS)
            with FileLock(Path(self._cache) / "lock", timeout=LONGEST_WAIT):
                return self._core.compile_model(self._model, "CPU", {**options, "CACHE_DIR": self._cache})
        except (RuntimeError, OSError) as error:  # a lock that is held too long is an OSError
            logger.debug("The cache %s cannot be used now (%s); compiling without it.", self._cache, error)
            return None

    def _bulk_requests(self) -> queue.SimpleQueue[Any]:
        with self._bulk_lock:
            if self._bulk is None:
                self._bulk = self._compile(streams=self.workers) if self.workers > 1 else self._quick
            return self._bulk

    def _choose(self, checkpoint: Checkpoint) -> str:
        def load(precision: str) -> Any:
            request = self._compile(streams=1, precision=precision).get()
            return lambda picture: self._infer(request, picture[0])["logits"]

        capabilities = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return choose_precision(load, capabilities, golden_inputs(*self._size), checkpoint.decision.temperature)


def _writable(cache: str | Path | None) -> str | None:
    """The folder for compiled models as OpenVINO wants it, or None for no cache."""
    if cache == "":
        return None
    if cache is None:
        base = cache_folder()
        return None if base is None else str(base / "openvino")
    return str(cache)
