"""Which engine serves a checkpoint on this machine."""

from __future__ import annotations

import importlib.util
import logging
import sys
from pathlib import Path

from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines.base import Engine, EngineUnavailable
from hf_model.inference.engines.openvino_engine import StaleExport, has_graph

logger = logging.getLogger(__name__)

NAMES = ("auto", "openvino", "torch")


def open_engine(checkpoint: Checkpoint, name: str = "auto", *, cache: str | Path | None = None) -> Engine:
    """Load an engine.

    ``"openvino"``: the export in the folder, or a conversion in memory if there is none; refuses a stale one.
    ``"torch"``: CUDA if there is one, else the CPU. ``"auto"``: torch on CUDA, else OpenVINO, and torch when OpenVINO
    cannot or its export is stale (said in the log). cache: folder for compiled models, "" for none.
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
    from hf_model.inference.engines.openvino_engine import OpenVinoEngine

    if has_graph(checkpoint.folder):
        return OpenVinoEngine(checkpoint, cache=cache)
    from hf_model.inference.export import convert

    logger.info("%s has no export; converting it in memory.", checkpoint.model_id)
    return OpenVinoEngine(checkpoint, graph=convert(checkpoint)[0], cache=cache)


def _torch(checkpoint: Checkpoint) -> Engine:
    from hf_model.inference.engines.torch_engine import TorchEngine

    return TorchEngine(checkpoint)


def _has_cuda() -> bool:
    """True if torch would find a CUDA device; does not import torch where there is no NVIDIA driver to find."""
    if "torch" not in sys.modules and not Path("/proc/driver/nvidia/version").exists() and sys.platform != "win32":
        return False
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()
