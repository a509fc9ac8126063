"""Uploaded files and zip archives: read, and deleted from the disk shortly after their last reader is done.

Gradio keeps an upload at a path made of its content and name, so the same picture sent several times at once is one
file with several readers. It is deleted when it was read as often as it was sent and has not been touched for
``GRACE_SECONDS``; what is never read goes with Gradio's own hourly cleaning. Archives come from strangers: they are
read in memory, entry by entry, within limits on names, sizes and ratios.
"""

from __future__ import annotations

import re
import threading
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from gradio.utils import get_upload_folder
from gradio_client.utils import strip_invalid_filename_characters

from hf_model.config import MAX_BATCH_FILES, MAX_UPLOAD_BYTES
from hf_model.inference.prediction import Failure
from hf_model.radiograph import UnreadableRadiograph

GRACE_SECONDS = 30.0
"""A file that was just read may be the one that another request, whose upload is not yet counted, is about to read."""
LONGEST_NAME = 200
ESCAPES = re.compile("%22|%0[DA]", re.IGNORECASE)
"""What a form upload makes of a quotation mark and of line ends in a file name (WHATWG HTML, multipart/form-data)."""
MAX_TOTAL_BYTES = 8 * 2**30
"""Unpacked bytes of one batch: more than 5,000 digital films have."""
MAX_RATIO = 250
"""Unpacked to packed size of one member. An uncompressed radiograph with black borders packs 3 to 20 times."""
MIB = 2**20
TOO_MANY = f"A batch takes {MAX_BATCH_FILES:,} files at most; this one and all after it were left out. Send them apart."
JUNK = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")


class Uploaded(str):
    """Path of an upload; ``name`` is what its sender calls it."""

    name: str

    def __new__(cls, path: str, name: str) -> Uploaded:
        made = super().__new__(cls, path)
        made.name = name
        return made


class PendingUploads:
    """Counts how many readers each upload still has, and deletes it after the last. Thread-safe."""

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
        """Each of these was read once; files outside the upload folder are left alone."""
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


PENDING = PendingUploads()

BatchFile = tuple[str, bytes] | Failure
"""Name and content of one file of a batch, or the reason why it was not read."""


def read_upload(path: str | Path) -> tuple[str, bytes]:
    """Name and bytes of one upload. Its file is deleted soon after; one outside the upload folder is left alone.

    Raises UnreadableRadiograph if it is gone or larger than MAX_UPLOAD_BYTES.
    """
    file, name = Path(path), name_of(path)
    try:
        size = file.stat().st_size
        data = file.read_bytes() if size <= MAX_UPLOAD_BYTES else b""
    except OSError as error:
        raise UnreadableRadiograph("missing", f"{name} is no longer there; send it again.") from error
    finally:
        PENDING.finished([path])
    if size > MAX_UPLOAD_BYTES:
        limit = MAX_UPLOAD_BYTES >> 20
        raise UnreadableRadiograph(
            "too-large", f"{name} has {size >> 20} MiB and the limit is {limit} MiB; export it with fewer pixels."
        )
    return name, data


def name_of(path: str | Path) -> str:
    """What the sender calls the file."""
    return path.name if isinstance(path, Uploaded | Path) else Path(path).name


def original_name(path: str, sent: str | None) -> str:
    """The file's name as its sender knows it, without folder or control characters.

    path: where Gradio stored it; the name in it has form escapes (``%22``) and lacks characters that file systems
    forbid. sent: the name in the request or None; from a web address it is percent-encoded, from gradio_client it lacks
    quotation marks.
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


def unpack(paths: Sequence[str | Path]) -> Iterator[BatchFile]:
    """Every picture of the uploaded files, archives opened, in order; at most ``MAX_BATCH_FILES``.

    A file that cannot or may not be read becomes a Failure with its reason, and the others go on.
    """
    count = 0
    for source in paths:
        path, name = Path(source), name_of(source)
        for file in _members(path, name) if _is_zip(path) else [_read_file(path, name)]:
            if count == MAX_BATCH_FILES:
                left_out = file.name if isinstance(file, Failure) else file[0]
                yield Failure(left_out, "too-many", TOO_MANY)
                return
            count += 1
            yield file


def count_files(paths: Sequence[str | Path]) -> int:
    """How many files ``unpack`` will yield, without reading a picture; for the progress bar."""
    total = 0
    for path in map(Path, paths):
        try:
            total += len(_listed(path)) if _is_zip(path) and not _refusal(path, path.name) else 1
        except (OSError, zipfile.BadZipFile):
            total += 1
    return min(total, MAX_BATCH_FILES + (total > MAX_BATCH_FILES))


def _is_zip(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False


def _read_file(path: Path, name: str) -> BatchFile:
    try:
        if path.stat().st_size > MAX_UPLOAD_BYTES:
            return Failure(name, "too-large", f"The file is larger than {MAX_UPLOAD_BYTES // MIB} MiB.")
        return name, path.read_bytes()
    except OSError:
        return Failure(name, "missing", "The upload is no longer there; choose the file again.")


def _listed(path: Path) -> list[zipfile.ZipInfo]:
    with zipfile.ZipFile(path) as archive:
        return [info for info in archive.infolist() if not info.is_dir() and not _junk(info.filename)]


def _junk(name: str) -> bool:
    return name.startswith(JUNK[0]) or PurePosixPath(name).name in JUNK[1:] or PurePosixPath(name).name.startswith("._")


def _refusal(path: Path, name: str) -> Failure | None:
    """The reason why an archive is not opened at all."""
    try:
        infos = _listed(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return Failure(name, "damaged", "The zip archive is damaged or incomplete; make it again.")
    if not infos:
        return Failure(name, "empty", "The zip archive holds no file.")
    if len(infos) > MAX_BATCH_FILES:
        reason = f"The zip archive holds {len(infos):,} files; {MAX_BATCH_FILES:,} are the limit. Split it."
        return Failure(name, "too-many", reason)
    total = sum(info.file_size for info in infos)
    if total > MAX_TOTAL_BYTES:
        reason = f"The zip archive unpacks to {total / 2**30:.0f} GiB; {MAX_TOTAL_BYTES / 2**30:.0f} GiB are the limit."
        return Failure(name, "zip-bomb", reason)
    return None


def _members(path: Path, name: str) -> Iterator[BatchFile]:
    refusal = _refusal(path, name)
    if refusal:
        yield refusal
        return
    with zipfile.ZipFile(path) as archive:
        for info in _listed(path):
            yield _member(archive, info)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BatchFile:
    name = PurePosixPath(info.filename).name or info.filename
    if unsafe := _unsafe(info):
        return unsafe
    try:
        with archive.open(info) as file:
            data = file.read(MAX_UPLOAD_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError):
        return Failure(name, "damaged", "This entry of the zip archive is damaged; make the archive again.")
    if len(data) > MAX_UPLOAD_BYTES:
        return Failure(name, "zip-bomb", "The entry unpacks to more than it declares; it was not read.")
    if data[:4] == b"PK\x03\x04":
        return Failure(name, "nested", "An archive inside an archive is not opened; send it by itself.")
    return name, data


def _unsafe(info: zipfile.ZipInfo) -> Failure | None:
    """The reason why an entry is not read, judged by what its header says."""
    raw = info.orig_filename.replace("\\", "/")
    if raw.startswith("/") or ".." in PurePosixPath(raw).parts or raw[1:2] == ":" or "\0" in raw:
        code, reason = "path-traversal", "The entry's name points outside the archive; it was not read."
    elif info.external_attr >> 28 == 0xA:
        code, reason = "link", "The entry is a link, not a file."
    elif info.flag_bits & 0x1:
        code, reason = "encrypted", "The entry is encrypted; send the archive without a password."
    elif info.file_size > MAX_UPLOAD_BYTES:
        code, reason = "too-large", f"The entry unpacks to more than {MAX_UPLOAD_BYTES // MIB} MiB."
    elif info.file_size > MAX_RATIO * max(info.compress_size, 1) and info.file_size > MIB:
        code, reason = "zip-bomb", f"The entry unpacks to more than {MAX_RATIO} times its size; it was not read."
    else:
        return None
    return Failure(info.filename, code, reason)
