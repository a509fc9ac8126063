"""The interface of an engine: logits, class activation map and pooled features in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class EngineUnavailable(RuntimeError):  # noqa: N818 - not an error of the program: another engine may be available
    """This engine cannot serve this checkpoint here; the message says why and what to do."""


@dataclass(frozen=True)
class EngineOutput:
    """Output for N pictures. logits: float32 (N, 2), normal before pneumonia.

    maps: float32 (N, fh, fw), the pneumonia row minus the normal row of the classifier times the last feature map,
    without bias: its mean over a picture plus the difference of the biases is ``logit_pneumonia - logit_normal``. None
    where the architecture has no such map. features: float32 (N, D), what the classifier sees; None if unknown.
    """

    logits: np.ndarray
    maps: np.ndarray | None
    features: np.ndarray | None


class Engine(Protocol):
    """One loaded model. ``run`` may be called from several threads at once."""

    name: str
    """Engine and precision, e.g. ``openvino-f32``."""

    workers: int
    """How many threads should read files and call ``run`` with ``bulk=True`` to keep the machine busy."""

    batch_size: int
    """Pictures per bulk call that this engine is fastest with."""

    def run(self, pixels: np.ndarray, *, bulk: bool = False) -> EngineOutput:
        """Grey uint8 (N, height, width) of the preprocessing's size -> :class:`EngineOutput`.

        bulk: many pictures are waiting, so throughput counts and not the time of this call.
        """
        ...
