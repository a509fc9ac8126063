"""What several rooms do with files: hash one, write JSON atomically, find the cache folder."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

CACHE_VARIABLE = "CHEST_XRAY_CACHE"


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: object, *, ensure_ascii: bool = True) -> None:
    """Write strict JSON (no NaN or infinity) to a temporary file beside ``path`` and move it there.

    A reader sees the old file or the new one, never a part. Raises ValueError for a float that is not finite.
    """
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=ensure_ascii) + "\n"
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def cache_folder() -> Path:
    """The project's cache folder, which may not exist yet: ``$CHEST_XRAY_CACHE``, else the user's cache.

    The user's cache is ``$XDG_CACHE_HOME`` or ``~/.cache`` on Linux, ``~/Library/Caches`` on macOS and
    ``%LOCALAPPDATA%`` on Windows.
    """
    from platformdirs import user_cache_path

    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else user_cache_path("chest-xray-pneumonia", appauthor=False)
