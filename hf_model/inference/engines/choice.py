"""Which engine serves a checkpoint on this machine."""

from __future__ import annotations

import importlib.util
import logging
import sys
from pathlib import Path

from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines.base import Engine, EngineUnavailable
from hf_model.inference.engines.openvino_engine import OpenVinoEngine, StaleExport, has_graph

logger = logging.getLogger(__name__)

NAMES = ("auto", "openvino", "torch")


def open_engine(checkpoint: Checkpoint, name: str = "auto", *, cache: str | Path | None = None) -> Engine:
    """Load an engine.

    ``"openvino"``: the graph in the folder, or a conversion in memory if there is none; refuses a stale graph.
    ``"torch"``: on CUDA if there is a device, else on the CPU. ``"auto"``: torch on CUDA, else OpenVINO, and torch
    where OpenVINO fails or the graph is stale (a warning is logged). cache: folder for compiled models, "" for none.
    Raises EngineUnavailable, and ValueError for another name.
    """
    if name not in NAMES:
        raise ValueError(f"there is no engine {name!r}; use one of {', '.join(NAMES)}")
    if name == "openvino":
        return _openvino(checkpoint, cache)
    if name == "torch" or _has_cuda():
        return _torch(checkpoint)
    try:
        return _openvino(checkpoint, cache)
    except StaleExport as error:
        logger.warning("%s. Until then torch serves it, which is slower.", error)
    except EngineUnavailable as error:
        logger.warning("OpenVINO cannot serve %s: %s. Torch serves it, which is slower.", checkpoint.model_id, error)
    return _torch(checkpoint)


def _openvino(checkpoint: Checkpoint, cache: str | Path | None) -> Engine:
    if has_graph(checkpoint.folder):
        return OpenVinoEngine(checkpoint, cache=cache)
    try:
        from hf_model.inference.engines.export import convert
    except ImportError as error:
        raise EngineUnavailable(
            f"{checkpoint.model_id} has no OpenVINO graph, and making one needs torch and transformers ({error}); "
            "install them, or run `python -m hf_model export` where they are"
        ) from error
    logger.info("%s has no OpenVINO graph; converting it in memory.", checkpoint.model_id)
    return OpenVinoEngine(checkpoint, graph=convert(checkpoint)[0], cache=cache)


def _torch(checkpoint: Checkpoint) -> Engine:
    try:
        from hf_model.inference.engines.torch_engine import TorchEngine
    except ImportError as error:
        raise EngineUnavailable(f"torch cannot be imported ({error}); install torch and transformers") from error
    return TorchEngine(checkpoint)


def _has_cuda() -> bool:
    """True if torch would find a CUDA device; does not import torch where there is no NVIDIA driver."""
    if "torch" not in sys.modules and not Path("/proc/driver/nvidia/version").exists() and sys.platform != "win32":
        return False
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()
