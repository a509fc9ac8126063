"""Many pictures: chunks through a few threads, results in the order of the inputs, never more than a few in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of ``size`` items (the last one may be shorter), drawn only when asked for. ValueError for size below 1."""
    if size < 1:
        raise ValueError(f"batch_size is {size}; give at least 1")
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def ordered(work: Callable[[T], list[R]], jobs: Iterable[T], workers: int) -> Iterator[R]:
    """Results of ``work(job)`` one by one, in the order of ``jobs``, with ``workers`` threads at it.

    At most two jobs per worker are begun or waiting to be taken, so ``jobs`` may be endless. An exception of a job is
    raised in its place; what has not begun by then is dropped.
    """
    waiting: deque[Future[list[R]]] = deque()
    source = iter(jobs)
    with ThreadPoolExecutor(workers, thread_name_prefix="predict") as pool:
        try:
            for job in islice(source, 2 * workers):
                waiting.append(pool.submit(work, job))
            while waiting:
                results = waiting.popleft().result()
                for job in islice(source, 1):
                    waiting.append(pool.submit(work, job))
                yield from results
        finally:
            for future in waiting:
                future.cancel()
