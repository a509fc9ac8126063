"""All files below a folder, none lost without a word."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def walk_files(root: Path) -> Iterator[Path]:
    """Files below ``root`` in order of their paths, links to folders followed, hidden folders (``.name``) left out.

    Unlike ``Path.rglob``, which in Python 3.11 enters no linked folder and skips what it may not read. A link that
    leads nowhere comes as a path, so that reading it fails by name. A folder is entered once, so loops end.

    Raises:
        OSError: a folder that cannot be listed, with its name.
    """

    def refuse(error: OSError) -> None:
        raise error

    entered: set[tuple[int, int]] = set()
    found = []
    for folder, inner, names in os.walk(root, followlinks=True, onerror=refuse):
        stat = Path(folder).stat()
        if (stat.st_dev, stat.st_ino) in entered:
            inner.clear()
            continue
        entered.add((stat.st_dev, stat.st_ino))
        inner[:] = [name for name in inner if not name.startswith(".")]  # a trash folder may not even be readable
        found += [Path(folder, name) for name in names]
    yield from sorted(found)
