"""The default engine on a CPU: the engine, the graph file that it runs, and OpenVINO without its telemetry."""

from __future__ import annotations

import functools
import json
import logging
import queue
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from hf_model.files import cache_folder
from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines.base import EngineOutput, EngineUnavailable
from hf_model.inference.engines.cores_and_memory import usable_cores

logger = logging.getLogger(__name__)

GRAPH_FILE, GRAPH_WEIGHTS = "openvino_model.xml", "openvino_model.bin"
OUTPUTS = ("logits", "maps", "features")
LONGEST_WAIT = 30.0
"""Seconds that one process waits for another to compile into the cache before it compiles without it."""
_TELEMETRY = "openvino_telemetry"
_CONVERTER = "openvino.tools.ovc"
_SECTION = "chest_xray_pneumonia"
_REMEDY = "run `python -m hf_model export --checkpoint {folder}`"


class StaleExport(EngineUnavailable):
    """The graph was made from other weights, labels or preprocessing than the folder has now."""


class OpenVinoEngine:
    """One graph, compiled for all cores at one picture, and at the first bulk call for one core at each of several.

    Pictures are inferred one at a time either way: on a CPU a batch is no faster than as many streams as cores, and so
    every picture gets the same answer alone and in a batch. graph: an ``openvino.Model`` instead of the folder's.
    cache: folder for the compiled model (None: in the project's cache folder, "" for none). precision: "f32", which is
    served; "bf16" for comparisons, because it moves probabilities of real radiographs by more than 0.01. Raises
    EngineUnavailable.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, graph: Any = None, cache: str | Path | None = None, precision: str = "f32"
    ) -> None:
        self._core = shared_core()
        self._size = (checkpoint.preprocessing.height, checkpoint.preprocessing.width)
        self._model = read_graph(checkpoint, self._core) if graph is None else graph
        self._model.reshape([1, 1, *self._size])
        self._outputs = [output.get_any_name() for output in self._model.outputs]
        self._cache = "" if cache == "" else str(cache or cache_folder() / "openvino")
        self._precision = precision
        self.name = f"openvino-{precision}"
        self.workers = usable_cores()
        self.batch_size = 1
        self._single = self._compile(streams=1)
        self._bulk: queue.SimpleQueue[Any] | None = None
        self._bulk_lock = threading.Lock()

    def run(self, pixels: np.ndarray, *, bulk: bool = False) -> EngineOutput:
        """Grey uint8 (N, height, width) -> :class:`EngineOutput`."""
        if pixels.dtype != np.uint8 or pixels.shape[1:] != self._size:
            raise ValueError(
                f"the pictures are {pixels.dtype} {pixels.shape}; give uint8 (N, {self._size[0]}, {self._size[1]})"
            )
        if not len(pixels):
            raise ValueError("no pictures were given; give at least one")
        requests = self._bulk_requests() if bulk else self._single
        request = requests.get()
        try:
            rows = [self._infer(request, picture) for picture in pixels]
        finally:
            requests.put(request)
        joined = {name: np.concatenate([row[name] for row in rows]) for name in self._outputs}
        return EngineOutput(joined["logits"], joined.get("maps"), joined.get("features"))

    def _infer(self, request: Any, picture: np.ndarray) -> dict[str, np.ndarray]:
        request.infer({0: np.ascontiguousarray(picture)[None, None]}, share_inputs=True)
        return {name: request.get_output_tensor(index).data.copy() for index, name in enumerate(self._outputs)}

    def _bulk_requests(self) -> queue.SimpleQueue[Any]:
        with self._bulk_lock:
            if self._bulk is None:
                self._bulk = self._compile(streams=self.workers) if self.workers > 1 else self._single
            return self._bulk

    def _compile(self, streams: int) -> queue.SimpleQueue[Any]:
        """As many inference requests as streams, ready to be taken by threads."""
        options = {
            "INFERENCE_PRECISION_HINT": self._precision,
            "INFERENCE_NUM_THREADS": self.workers,
            "NUM_STREAMS": streams,
            # A pinned thread waits while another process has its core.
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
        """The model compiled into the cache or read from it; None without a cache, or where it cannot be used."""
        if not self._cache:
            return None
        from filelock import FileLock

        try:
            Path(self._cache).mkdir(parents=True, exist_ok=True)
            # OpenVINO maps the cached file: if another process is still writing it, this process is killed (SIGBUS)
            with FileLock(Path(self._cache) / "lock", timeout=LONGEST_WAIT):
                return self._core.compile_model(self._model, "CPU", {**options, "CACHE_DIR": self._cache})
        except (RuntimeError, OSError) as error:  # a lock that is held too long is an OSError
            logger.debug("The cache %s cannot be used now (%s); compiling without it.", self._cache, error)
            return None


def has_graph(folder: Path) -> bool:
    """True if both files of the graph are there."""
    return (folder / GRAPH_FILE).is_file() and (folder / GRAPH_WEIGHTS).is_file()


def read_graph(checkpoint: Checkpoint, core: Any) -> Any:
    """The graph of a checkpoint folder, checked against its weights.

    core: an ``openvino.Core``. Raises StaleExport for one made from something else, EngineUnavailable for one that is
    missing or damaged.
    """
    remedy = _REMEDY.format(folder=checkpoint.folder)
    if not has_graph(checkpoint.folder):
        raise EngineUnavailable(f"{checkpoint.model_id} has no {GRAPH_FILE}; {remedy}")
    path = checkpoint.folder / GRAPH_FILE
    try:
        model = core.read_model(path)
        names = [output.get_any_name() for output in model.outputs]
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise EngineUnavailable(f"{path} cannot be read ({reason}); {remedy}") from error
    for key, expected in _stamp(checkpoint).items():
        found = model.get_rt_info([_SECTION, key]).astype(str) if model.has_rt_info([_SECTION, key]) else None
        if found != expected:
            raise StaleExport(f"{path} was made with another {key} than {checkpoint.model_id} has now; {remedy}")
    if not names or names[0] != OUTPUTS[0] or not set(names) <= set(OUTPUTS):
        raise StaleExport(f"{path} has the outputs {names} and not {list(OUTPUTS)}; {remedy}")
    return model


def write_graph(model: Any, checkpoint: Checkpoint) -> list[Path]:
    """Save a graph with its stamp beside the weights, in float32 as the weights are; returns the paths.

    Each file is written beside its place and then moved there, the weights first, so that neither is ever half there.
    """
    openvino = import_openvino()
    for key, value in _stamp(checkpoint).items():
        model.set_rt_info(value, [_SECTION, key])
    draft = checkpoint.folder / f"draft_{GRAPH_FILE}"
    openvino.save_model(model, draft, compress_to_fp16=False)
    moves = {draft.with_suffix(".bin"): checkpoint.folder / GRAPH_WEIGHTS, draft: checkpoint.folder / GRAPH_FILE}
    for source, target in moves.items():
        source.replace(target)
    return list(moves.values())


def _stamp(checkpoint: Checkpoint) -> dict[str, str]:
    """What the graph depends on, as text: weights, rows of the labels, size and normalisation."""
    parts = checkpoint.preprocessing
    normalisation = [parts.height, parts.width, parts.rescale_factor, list(parts.mean), list(parts.std)]
    return {
        "weights_sha256": checkpoint.weights_sha256,
        "label_order": json.dumps(list(checkpoint.label_order)),
        "preprocessing": json.dumps(normalisation),
    }


@functools.cache
def shared_core() -> Any:
    """The process's one ``openvino.Core``, never freed.

    A Core's CPU plug-in makes a stack of its own for signals (AMX needs a large one) and frees it with the Core. When
    two Cores end in another order than they began, the process is left with a freed signal stack, and the next SIGCHLD
    that Python handles is a segmentation fault: seen in training with loader processes.
    """
    return import_openvino().Core()


def import_openvino() -> ModuleType:
    """The ``openvino`` module for running models, without its converter and telemetry.

    Raises EngineUnavailable if it is not installed.
    """
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    _disable_telemetry()
    hidden = _CONVERTER not in sys.modules
    if hidden:
        sys.modules[_CONVERTER] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise EngineUnavailable(
            f"OpenVINO cannot be imported ({error}); install it with `pip install openvino`"
        ) from error
    finally:
        if hidden:
            del sys.modules[_CONVERTER]
    return openvino


def import_converter() -> Any:
    """``openvino.convert_model``, which needs torch. Raises EngineUnavailable if it is not installed."""
    import_openvino()
    _disable_telemetry()
    try:
        from openvino.tools.ovc import convert_model
    except ImportError as error:
        raise EngineUnavailable(f"OpenVINO's converter cannot be imported ({error}); reinstall openvino") from error
    return convert_model


def _disable_telemetry() -> None:
    """Let openvino_telemetry count as not installed, unless it has been imported already."""
    if _TELEMETRY not in sys.modules:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
