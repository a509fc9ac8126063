"""Cores that this process may use, and having glibc keep the memory that it frees. Standard library only."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import sys
from pathlib import Path

CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
"""Options of mallopt in glibc's malloc.h."""


def usable_cores(limit_file: Path = CGROUP_LIMIT) -> int:
    """Cores this process may use, at least 1: its affinity, cut to the container's quota (cgroup v2 ``cpu.max``).

    A container with two cores on a host with 64 sees 64 of them; as many threads would only wait for each other. Where
    a launcher started several processes on this machine (LOCAL_WORLD_SIZE of torchrun), each takes its share.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = os.environ.get("LOCAL_WORLD_SIZE", "1")
    share = max(1, int(processes)) if processes.isdigit() else 1
    return max(1, min(cores, _quota(limit_file) or cores) // share)


def _quota(limit_file: Path) -> int | None:
    """Whole cores of a ``cpu.max``, rounded up; None where there is no limit."""
    try:
        quota, period = limit_file.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return math.ceil(int(quota) / int(period)) if quota.isdigit() and period.isdigit() else None


def keep_freed_memory(limit: int) -> bool:
    """Have glibc keep up to ``limit`` bytes of freed memory instead of returning them; True where that was possible.

    Every layer of a convolutional network frees and allocates megabytes. By default each tensor is mapped anew, and the
    page faults cost as much as the arithmetic: on two cores of an AMD EPYC, Lite0 trained on 8 pictures of 224 px a
    second with these faults and on 17 without (forward and backward pass, batch 32, float32).
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((MMAP_MAX, 0), (TRIM_THRESHOLD, limit), (TOP_PAD, 64 * 2**20))
    return all(mallopt(option, value) == 1 for option, value in settings)
