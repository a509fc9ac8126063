"""What goes up: an exact list of files, made before anything is sent and shown to the user as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd


@dataclass(frozen=True)
class Upload:
    """One file of an upload: where it comes from (a file, or text made for the occasion) and its path there."""

    path: str
    source: Path | bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    def operation(self) -> CommitOperationAdd:
        """The client's own form of it; the file is read, never changed."""
        source = self.source if isinstance(self.source, bytes) else str(self.source)
        return CommitOperationAdd(path_in_repo=self.path, path_or_fileobj=source)


def readable_size(size: int) -> str:
    """Bytes for a person, with decimal units as the Hub shows them: 999 B, 1.0 kB, 13.6 MB."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95 or unit == "GB":
            break
    return f"{value:.1f} {unit}"


def table(uploads: Sequence[Upload]) -> str:
    """One line a file, size first, and a line with the sum."""
    rows = [(readable_size(upload.size), upload.path) for upload in uploads]
    total = readable_size(sum(upload.size for upload in uploads))
    width = max(len(size) for size, _ in [*rows, (total, "")])
    lines = [f"  {size:>{width}}  {path}" for size, path in rows]
    return "\n".join([*lines, f"  {total:>{width}}  in {len(rows)} files"])
