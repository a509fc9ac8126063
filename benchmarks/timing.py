"""Measuring: candidates in turn, so that what disturbs the machine disturbs all of them; medians and spread."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Measured = dict[str, float]
"""median, low and high (10th and 90th percentile) in seconds, and runs."""


def summary(seconds: Sequence[float]) -> Measured:
    """Median, 10th and 90th percentile of durations in seconds, and how many there are. ValueError for none."""
    if not len(seconds):
        raise ValueError("there are no durations to sum up")
    low, median, high = (float(value) for value in np.quantile(seconds, (0.1, 0.5, 0.9)))
    return {"median": median, "low": low, "high": high, "runs": len(seconds)}


def interleaved(
    candidates: Mapping[str, Callable[[], Any]], rounds: int, warmup: int = 3, burst: int = 1
) -> dict[str, Measured]:
    """``burst`` calls of each candidate in turn, ``rounds`` times after ``warmup`` rounds that do not count.

    Of a burst of more than one the first call does not count either: threads of the candidate before it may still be
    spinning, and the caches hold the other's data.
    """
    durations: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(warmup + rounds):
        for name, call in candidates.items():
            for repeat in range(burst):
                start = time.perf_counter()
                call()
                if turn >= warmup and (repeat or burst == 1):
                    durations[name].append(time.perf_counter() - start)
    return {name: summary(seconds) for name, seconds in durations.items()}


class PeakMemory:
    """Watches the largest resident memory of a process while it lives, in MiB (None where there is no /proc).

    ``VmHWM`` starts anew at exec; ``ru_maxrss`` does not, and would give a small child the memory of its parent.
    """

    def __init__(self, pid: int, every: float = 0.02) -> None:
        self.mib: float | None = None
        self._path = Path(f"/proc/{pid}/status")
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.is_set():
            try:
                lines = self._path.read_text(encoding="ascii", errors="replace").splitlines()
            except OSError:
                return
            for line in lines:
                if line.startswith("VmHWM:"):
                    self.mib = max(self.mib or 0.0, int(line.split()[1]) / 2**10)
            self._over.wait(self._every)


def fresh_process(
    arguments: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run a Python command (``["script.py", ...]`` or ``["-m", ...]``) in a process of its own until it ends.

    Gives seconds (wall), peak_rss_mib (of that process, not of its children; None where it cannot be told) and stdout.
    env: added to this process's. Raises RuntimeError with the end of its standard error if it fails.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, *map(str, arguments)], cwd=cwd, env={**os.environ, **(env or {})}, stdout=out, stderr=err
        )
        with PeakMemory(child.pid) as peak:
            child.wait()
            seconds = time.perf_counter() - start
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode("utf-8", errors="replace"))
    if child.returncode:
        raise RuntimeError(f"{' '.join(map(str, arguments))} ended with {child.returncode}: {texts[1][-2000:]}")
    return {"seconds": seconds, "peak_rss_mib": peak.mib, "stdout": texts[0]}
