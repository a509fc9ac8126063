"""What the figures were measured on, and how fast that machine multiplies matrices."""

from __future__ import annotations

import platform
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hf_model.inference.engines.cores_and_memory import usable_cores

PACKAGES = ("torch", "transformers", "openvino", "onnxruntime", "pillow", "numpy", "gradio", "accelerate", "datasets")
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8")
SIDES = (512, 1024, 2048)


def describe() -> dict[str, Any]:
    """CPU model, usable cores, the flags that matter to a network, memory (GiB), and library versions."""
    import psutil

    facts = _cpu_facts(Path("/proc/cpuinfo"))
    return {
        "cpu": facts["cpu"],
        "cores": usable_cores(),
        "flags": facts["flags"],
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def sentence(described: dict[str, Any]) -> str:
    """The machine in one line for README."""
    flags = f", {' '.join(described['flags'])}" if described["flags"] else ""
    versions = ", ".join(f"{name} {number}" for name, number in described["versions"].items())
    memory = f"{described['memory_gib']} GiB"
    return f"{described['cpu']}, {described['cores']} cores{flags}, {memory}; Python {described['python']}, {versions}"


@cache
def matrix_rate(precision: str = "f32", cores: int | None = None) -> float:
    """Multiply-adds per second of torch's matrix product (bf16 with float32 sums), the best of several square sizes.

    precision: "f32" or "bf16". cores: threads (None: as many as the process may use). Needs torch.
    """
    import torch

    types = {"f32": torch.float32, "bf16": torch.bfloat16}
    if precision not in types:
        raise ValueError(f"there is no precision {precision!r}; use one of {', '.join(types)}")
    before = torch.get_num_threads()
    torch.set_num_threads(cores or usable_cores())
    try:
        return max(_rate(torch, types[precision], side) for side in SIDES)
    finally:
        torch.set_num_threads(before)


def _rate(torch: Any, kind: Any, side: int, rounds: int = 8) -> float:
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn((side, side), generator=generator).to(kind) for _ in range(2))
    best = float("inf")
    with torch.inference_mode():
        left @ right
        for _ in range(rounds):
            start = time.perf_counter()
            left @ right
            best = min(best, time.perf_counter() - start)
    return side**3 / best


def _cpu_facts(path: Path) -> dict[str, Any]:
    """Model name and known flags of the first processor of a ``/proc/cpuinfo``."""
    facts: dict[str, str] = {}
    try:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            facts.setdefault(key.strip(), value.strip())
    except OSError:
        pass  # not Linux: the platform's own name has to do
    name = facts.get("model name") or platform.processor() or platform.machine()
    numbers = [facts.get(key) for key in ("cpu family", "model")]
    known = f" (family {numbers[0]}, model {numbers[1]})" if all(numbers) else ""
    present = set(facts.get("flags", "").split())
    return {"cpu": name + known, "flags": [flag for flag in FLAGS if flag in present]}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
