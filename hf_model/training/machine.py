"""What the machine can be asked for before training starts."""

from __future__ import annotations

import ctypes
import importlib.metadata
import logging
import platform
import sys

import torch

logger = logging.getLogger(__name__)
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h of glibc


def keep_memory() -> bool:
    """Have glibc keep freed memory instead of giving it back; True where that was possible.

    Every step of a convolutional network allocates and frees hundreds of megabytes. By default each tensor is mapped
    anew, and the page faults cost as much as the arithmetic: on two cores of an AMD EPYC Lite0 trained on 17 pictures
    of 224 px a second without them and on 8 with them (forward and backward pass, batch 32, float32).
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 * 2**20))
    return all(libc.mallopt(option, value) == 1 for option, value in settings)


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
