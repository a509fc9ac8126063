"""Uploaded files: counted in, read, and deleted from the disk shortly after nobody waits for them any more.

Gradio keeps an upload at a path made of its content and name, so the same picture sent several times at once is one
file with several readers. It is deleted when it was read as often as it was sent and has not been touched for
``GRACE_SECONDS``; what is never read goes with Gradio's own hourly cleaning.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from gradio.utils import get_upload_folder
from gradio_client.utils import strip_invalid_filename_characters

from hf_model.config import MAX_UPLOAD_BYTES
from hf_model.radiograph import UnreadableRadiograph

GRACE_SECONDS = 30.0
"""A file that was just read may be the one that another request, whose upload is not yet counted, is about to read."""
LONGEST_NAME = 200
ESCAPES = re.compile("%22|%0[DA]", re.IGNORECASE)
"""What a form upload makes of a quotation mark and of line ends in a file name (WHATWG HTML, multipart/form-data)."""


class Uploaded(str):
    """Path of an upload; ``name`` is what its sender calls it."""

    name: str

    def __new__(cls, path: str, name: str) -> Uploaded:
        made = super().__new__(cls, path)
        made.name = name
        return made


class Ledger:
    """Which uploads somebody still waits for. Thread-safe."""

    def __init__(self, grace: float = GRACE_SECONDS) -> None:
        self.grace = grace
        self._lock = threading.Lock()
        self._expected: Counter[str] = Counter()
        self._read: dict[str, float] = {}
        self._timer: threading.Timer | None = None

    def arrived(self, paths: Iterable[str]) -> None:
        """Each of these was uploaded once more."""
        with self._lock:
            self._expected.update(map(_key, paths))

    def finished(self, paths: Iterable[str | Path]) -> None:
        """Each of these was read once; files outside the upload folder are nobody's business here."""
        with self._lock:
            for path in map(_key, paths):
                if _upload_folder() not in Path(path).parents:
                    continue
                if self._expected[path] > 1:
                    self._expected[path] -= 1
                else:
                    del self._expected[path]
                self._read[path] = time.monotonic()
            self._start()

    def sweep(self) -> None:
        """Delete what was read, is not expected again, and has been left alone for the time of grace."""
        with self._lock:
            self._timer = None
            for path, read in list(self._read.items()):
                if self._expected[path] > 0:
                    del self._read[path]  # its next reader puts it back
                elif time.monotonic() - read >= self.grace and _age(path) >= self.grace:
                    del self._read[path]
                    _delete(Path(path))
            for path in [path for path in self._expected if not Path(path).exists()]:
                del self._expected[path]  # never read, and gone with Gradio's cleaning
            self._start()

    def _start(self) -> None:
        if self._read and self._timer is None:
            self._timer = threading.Timer(max(self.grace, 0.05), self.sweep)
            self._timer.daemon = True
            self._timer.start()


LEDGER = Ledger()


def take(path: str | Path) -> tuple[str, bytes]:
    """Name and bytes of one upload, whose file is deleted soon; a file outside the upload folder is left alone.

    Raises UnreadableRadiograph if it is gone or larger than MAX_UPLOAD_BYTES.
    """
    file, name = Path(path), name_of(path)
    try:
        size = file.stat().st_size
        data = file.read_bytes() if size <= MAX_UPLOAD_BYTES else b""
    except OSError as error:
        raise UnreadableRadiograph("missing", f"{name} is no longer there; send it again.") from error
    finally:
        discard([path])
    if size > MAX_UPLOAD_BYTES:
        limit = MAX_UPLOAD_BYTES >> 20
        raise UnreadableRadiograph(
            "too-large", f"{name} has {size >> 20} MiB and the limit is {limit} MiB; export it with fewer pixels."
        )
    return name, data


def discard(paths: Iterable[str | Path]) -> None:
    """These uploads were read, or are not wanted; files outside the upload folder stay."""
    LEDGER.finished(paths)


def name_of(path: str | Path) -> str:
    """What the sender calls the file."""
    return path.name if isinstance(path, Uploaded | Path) else Path(path).name


def true_name(path: str, sent: str | None) -> str:
    """The file's name as its sender knows it, without folder or control characters.

    path: where Gradio put it; the name in it has form escapes (``%22``) and lacks what file systems forbid. sent: the
    name that came along, None without; of a web address it is percent-encoded, of gradio_client it lacks quotes.
    """
    stored = ESCAPES.sub(lambda found: '"' if found.group() == "%22" else "", Path(path).name)
    name = stored
    if sent:
        name = re.split(r"[/\\]", sent)[-1]
        if len(stored) > len(name) and strip_invalid_filename_characters(stored) == name:
            name = stored
    decoded = unquote(name, errors="replace")
    if not decoded.isascii() and "\ufffd" not in decoded:
        name = decoded
    return "".join(letter for letter in name if letter.isprintable())[:LONGEST_NAME] or "file"


def _key(path: str | Path) -> str:
    return str(Path(path).resolve())


def _upload_folder() -> Path:
    return Path(get_upload_folder()).resolve()


def _age(path: str) -> float:
    """Seconds since the file was written; endless for one that is not there."""
    try:
        return time.time() - Path(path).stat().st_mtime
    except OSError:
        return float("inf")


def _delete(path: Path) -> None:
    """The file, and the folder that Gradio made for it."""
    with suppress(OSError):
        path.unlink()
    if path.parent != _upload_folder():
        with suppress(OSError):  # another upload of the same content may still lie there
            path.parent.rmdir()
