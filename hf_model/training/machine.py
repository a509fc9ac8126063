"""Settings that depend on the machine (memory, loader processes, precision), and its description for the record."""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import os
import platform
import sys
import time

import torch
from torch import nn

from hf_model.inference.engines.cores_and_memory import keep_freed_memory
from hf_model.modeling.depthwise import quicken_depthwise

logger = logging.getLogger(__name__)


def keep_memory() -> bool:
    """``keep_freed_memory`` without a limit: a training step needs again what the one before has freed."""
    return keep_freed_memory(2**31 - 1)


def loader_workers() -> int:
    """Processes that prepare batches beside the training step.

    One augments 200 pictures of 224 px a second, more than a processor's cores train on. Where processes are not
    forked (Windows, macOS) each would get a copy of all pixels: none there.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    if sys.platform != "linux" or cores < 2:
        return 0
    return min(8, cores - 1) if torch.cuda.is_available() else 1


MIN_GAIN = 1.1
"""How many times faster bfloat16 has to train to be chosen."""


def best_precision() -> str:
    """``bf16`` where it trains faster (looked up for a GPU, measured on a CPU), else ``fp32`` (GPU: ``fp16``)."""
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.get_device_capability()[0] >= 8 else "fp16"
    return "bf16" if bf16_gain() >= MIN_GAIN else "fp32"


@functools.cache
def bf16_gain() -> float:
    """How many times faster this processor trains one EfficientNet block under bf16 autocast than in float32.

    Measured once a process (0.5 s). 0 without a measurement where the hardware has no bfloat16 and emulates it.
    """
    if not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return 0.0
    generator = torch.Generator().manual_seed(0)
    block = nn.Sequential(
        nn.Conv2d(24, 144, 1, bias=False),
        nn.BatchNorm2d(144),
        nn.ReLU6(),
        nn.Conv2d(144, 144, 5, padding=2, groups=144, bias=False),
        nn.BatchNorm2d(144),
        nn.ReLU6(),
        nn.Conv2d(144, 24, 1, bias=False),
        nn.BatchNorm2d(24),
    ).to(memory_format=torch.channels_last)
    quicken_depthwise(block)
    x = torch.randn(16, 24, 56, 56, generator=generator).contiguous(memory_format=torch.channels_last)

    def step(enabled: bool) -> float:
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = block(x)
        y.float().square().mean().backward()
        return time.perf_counter() - start

    step(False), step(True)
    return min(step(False) for _ in range(3)) / min(step(True) for _ in range(3))


def versions() -> dict[str, str]:
    """Python and the libraries that figures depend on."""
    names = ("torch", "transformers", "datasets", "evaluate", "accelerate", "pillow", "numpy", "scikit-learn")
    found = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version()} | found


def describe_machine() -> dict[str, object]:
    """Processor, cores and accelerator, for metrics.json."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:  # noqa: PTH123 (a stream, read to the first match)
            model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        logger.debug("no /proc/cpuinfo here")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"processor": model, "threads": torch.get_num_threads(), "accelerator": gpu}
