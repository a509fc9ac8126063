"""Uploaded files: read once, then deleted from the disk."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from gradio.utils import get_upload_folder

from hf_model.config import MAX_UPLOAD_BYTES
from hf_model.radiograph import UnreadableRadiograph


def take(path: str | Path) -> tuple[str, bytes]:
    """Name and bytes of one upload, whose file is deleted; a file outside the upload folder is left alone.

    Raises UnreadableRadiograph if it is gone or larger than MAX_UPLOAD_BYTES.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_UPLOAD_BYTES else b""
    except OSError as error:
        raise UnreadableRadiograph("missing", "The upload is no longer there; choose the file again.") from error
    finally:
        discard([path])
    if size > MAX_UPLOAD_BYTES:
        limit = MAX_UPLOAD_BYTES >> 20
        raise UnreadableRadiograph(
            "too-large", f"{path.name} has {size >> 20} MiB and the limit is {limit} MiB; export it with fewer pixels."
        )
    return path.name, data


def discard(paths: Iterable[str | Path]) -> None:
    """Delete uploads, with the folder that Gradio made for each; files outside the upload folder stay."""
    folder = Path(get_upload_folder()).resolve()
    for path in map(Path, paths):
        resolved = path.resolve()
        if folder in resolved.parents:
            with suppress(OSError):
                resolved.unlink()
            if resolved.parent != folder:
                with suppress(OSError):  # another upload of the same content may still lie there
                    resolved.parent.rmdir()
