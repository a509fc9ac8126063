"""How the C library treats freed memory, which decides half of torch's speed on a processor."""

from __future__ import annotations

import ctypes
import platform
import sys

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
"""Options of mallopt in glibc's malloc.h."""


def keep_freed_memory(limit: int) -> bool:
    """Have glibc keep freed memory, up to ``limit`` bytes, instead of giving it back; True where that was possible.

    Every layer of a convolutional network frees and allocates megabytes. By default each tensor is mapped anew, and the
    page faults cost as much as the arithmetic: on two cores of an AMD EPYC Lite0 trained on 17 pictures of 224 px a
    second without them and on 8 with them (forward and backward pass, batch 32, float32).
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((MMAP_MAX, 0), (TRIM_THRESHOLD, limit), (TOP_PAD, 64 * 2**20))
    return all(mallopt(option, value) == 1 for option, value in settings)
