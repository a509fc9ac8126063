"""Bulk prediction in several processes, as ``torchrun`` or ``accelerate launch`` start them.

Accelerate deals the files out; every process predicts with the same engine and writes a file of its own, so that
nothing has to be shared but the pictures. accelerate and torch are imported only then.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def own_share(files: list[Path], output: str | None) -> Iterator[tuple[list[Path], str | None, bool]]:
    """The files of this process, where it writes, and whether it speaks for all.

    Alone: everything as given. As process 1 of 4: a contiguous share, so that the parts one after the other are in the
    order of the files, and ``results-1-of-4.csv`` for ``results.csv`` (counted from 0). Raises ValueError for several
    processes without an output, and ImportError where accelerate is not installed.
    """
    if not launched():
        yield files, output, True
        return
    if output is None:
        raise ValueError("several processes cannot share standard output; give --output, and each writes its part")
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available())
    try:
        with state.split_between_processes(files) as share:
            yield list(share), part_name(output, state.process_index, state.num_processes), state.is_main_process
    finally:
        state.destroy_process_group()


def launched() -> bool:
    """True if a launcher started several of this process: it says so in WORLD_SIZE and RANK."""
    count = os.environ.get("WORLD_SIZE", "1")
    return "RANK" in os.environ and count.isdigit() and int(count) > 1


def part_name(output: str, index: int, count: int) -> str:
    """``results-0-of-2.csv`` for ``results.csv``: the suffix still tells the format."""
    path = Path(output)
    return str(path.with_name(f"{path.stem}-{index}-of-{count}{path.suffix}"))
