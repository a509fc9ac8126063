"""The lung segmentation network as it is served: any picture -> its lungs.

OpenVINO runs the exported graph, one core a picture; torch is the fallback and the reference. A checkpoint folder need
not have one.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hf_model.files import sha256
from hf_model.inference.engines.base import EngineUnavailable
from hf_model.inference.engines.cores_and_memory import usable_cores
from hf_model.inference.engines.openvino_engine import import_converter, import_openvino, shared_core
from hf_model.segmentation.outline import Lungs, View, clean
from hf_model.segmentation.weights import GRAPH_FILE, WEIGHTS, read_header

logger = logging.getLogger(__name__)

SECTION = "chest_xray_lungs"
"""Where the graph keeps the SHA-256 of the weights that it was made from."""
ENGINES = ("auto", "openvino", "torch")

Run = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""uint8 (size, size) -> probability float32 (s, s), view float32 (6,)."""


class LungSegmenter:
    """Outlines both lungs. Any thread may call it; pictures of a batch go through on as many cores as there are."""

    def __init__(self, run: Run, size: int, workers: int, name: str, facts: dict[str, Any] | None = None) -> None:
        self._run = run
        self.size, self.workers, self.name, self.facts = size, workers, name, facts or {}

    @classmethod
    def from_folder(cls, folder: str | Path, *, engine: str = "auto", cores: int | None = None) -> LungSegmenter | None:
        """The network of a checkpoint folder; None where the folder has none.

        Args:
            folder: with ``lungs.safetensors`` and, for OpenVINO, ``lungs_openvino.xml`` and ``.bin``.
            engine: "openvino", "torch", or "auto": OpenVINO where its graph can be used, else torch.
            cores: for batches; default: those that this process may use.

        Raises:
            ValueError: the file holds no lung network.
            EngineUnavailable: the engine that was asked for cannot run it.
        """
        path = Path(folder) / WEIGHTS
        if engine not in ENGINES:
            raise ValueError(f"engine is {engine!r}; use one of {', '.join(ENGINES)}")
        if not path.is_file():
            return None
        facts = read_header(path)
        size, workers = int(facts["config"]["size"]), cores or usable_cores()
        if engine != "torch":
            try:
                return cls(_openvino(path, size, workers), size, workers, "openvino-f32", facts)
            except EngineUnavailable as error:
                if engine == "openvino":
                    raise
                logger.warning("Lungs are outlined with torch: %s", error)
        return cls(_torch(path), size, 1, "torch-f32", facts)

    def resize(self, pixels: np.ndarray) -> np.ndarray:
        """A grey picture uint8 (H, W), stretched as the network takes it: uint8 (size, size)."""
        if pixels.dtype != np.uint8 or pixels.ndim != 2:
            raise ValueError(f"the picture is {pixels.dtype} {pixels.shape}; give uint8 (H, W)")
        if pixels.shape == (self.size, self.size):
            return np.ascontiguousarray(pixels)
        # of a film of 2,000 pixels every second one is enough, and reading all of them takes as long as the network
        step = max(1, min(pixels.shape) // (4 * self.size))
        picture = Image.fromarray(np.ascontiguousarray(pixels[::step, ::step]))
        return np.asarray(picture.resize((self.size, self.size), Image.Resampling.BICUBIC, reducing_gap=2.0))

    def lungs(self, pixels: np.ndarray) -> Lungs:
        """The lungs of one grey picture uint8 (H, W)."""
        probability, view = self._run(self.resize(pixels))
        large = Image.fromarray(probability).resize((self.size, self.size), Image.Resampling.BILINEAR)
        probability, (*turns, inverted, mirrored) = np.asarray(large), view.tolist()
        return Lungs(clean(probability), probability, View(tuple(turns), inverted, mirrored))

    def outline(self, pictures: Iterable[np.ndarray]) -> Iterator[Lungs]:
        """The lungs of many pictures, each uint8 (H, W), in their order, as they are asked for.

        A whole data set takes seconds, and 0.2 MB a picture if all are kept.
        """
        source = iter(pictures)
        with ThreadPoolExecutor(self.workers) as pool:
            while part := list(islice(source, 256)):  # so that memory does not hold what is still to be read
                yield from pool.map(self.lungs, part)


def export_network(folder: str | Path) -> Path:
    """Make the OpenVINO graph of the weights in a folder, float32, beside them; give the path of the ``.xml``.

    It takes uint8 (1, 1, size, size) and gives ``outline`` and ``view`` as ``ServedNetwork`` does.
    """
    import torch

    from hf_model.segmentation.network import ServedNetwork, load_network

    folder = Path(folder)
    converter, openvino = import_converter(), import_openvino()
    network = load_network(folder)
    size = network.config.size
    example = torch.zeros(1, 1, size, size)
    graph = converter(
        ServedNetwork(network), example_input=(example,), input=[openvino.PartialShape([1, 1, size, size])]
    )
    for output, name in zip(graph.outputs, ("outline", "view"), strict=True):
        output.get_tensor().set_names({name})
    steps = openvino.preprocess.PrePostProcessor(graph)
    steps.input().tensor().set_element_type(openvino.Type.u8)
    steps.input().preprocess().convert_element_type(openvino.Type.f32)
    graph = steps.build()
    graph.inputs[0].get_tensor().set_names({"grey"})
    graph.set_rt_info(sha256(folder / WEIGHTS), [SECTION, "weights_sha256"])
    draft, path = folder / f"draft_{GRAPH_FILE}", folder / GRAPH_FILE
    openvino.save_model(graph, draft, compress_to_fp16=False)
    draft.with_suffix(".bin").replace(path.with_suffix(".bin"))
    draft.replace(path)
    return path


def _openvino(weights: Path, size: int, workers: int) -> Run:
    """The graph beside the weights, a core for each picture; EngineUnavailable if it is missing or of other weights."""
    path = weights.with_name(GRAPH_FILE)
    if not path.is_file() or not path.with_suffix(".bin").is_file():
        raise EngineUnavailable(f"{path} is missing")
    core = shared_core()
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": workers,
        "NUM_STREAMS": workers,
        "ENABLE_CPU_PINNING": False,
    }
    try:
        graph = core.read_model(path)
        keys = [SECTION, "weights_sha256"]
        made_from = graph.get_rt_info(keys).astype(str) if graph.has_rt_info(keys) else None
        compiled = core.compile_model(graph, "CPU", options)
    except RuntimeError as error:
        raise EngineUnavailable(f"{path} cannot be used: {str(error).strip().splitlines()[-1]}") from error
    if made_from != sha256(weights):
        raise EngineUnavailable(f"{path} was made from other weights than {WEIGHTS} has")
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for _ in range(workers):
        requests.put(compiled.create_infer_request())

    def run(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        request = requests.get()
        try:
            request.infer({0: pixels[None, None]}, share_inputs=True)
            return request.get_output_tensor(0).data[0, 0].copy(), request.get_output_tensor(1).data[0].copy()
        finally:
            requests.put(request)

    return run


def _torch(weights: Path) -> Run:
    import torch

    from hf_model.segmentation.network import ServedNetwork, load_network

    network = ServedNetwork(load_network(weights.parent)).eval()

    def run(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            outline, view = network(torch.from_numpy(pixels.astype(np.float32))[None, None])
        return outline[0, 0].numpy(), view[0].numpy()

    return run
