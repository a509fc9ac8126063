"""Uploaded files and zip archives -> one item per picture, read one at a time and never unpacked to disk.

An archive is content that a stranger made: its sizes may lie, its names may point outside (CWE-22), a few kilobytes may
hold terabytes (CWE-409). So only bytes are read from it, each member with a limit that does not trust the header, and
what an archive declares in all is limited before anything is read.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hf_model.config import MAX_BATCH_FILES, MAX_UPLOAD_BYTES
from hf_model.page.uploads import name_of

MAX_TOTAL_BYTES = 8 * 2**30
"""Unpacked bytes of one batch: more than 5,000 digital films have."""
MAX_RATIO = 250
"""Unpacked to packed size of one member. An uncompressed radiograph with black borders packs 3 to 20 times."""
MIB = 2**20
JUNK = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Item:
    """One file of a batch: its bytes, or the reason why it was not read."""

    name: str
    data: bytes | None = None
    code: str = ""
    reason: str = ""


def expand(paths: Sequence[str | Path]) -> Iterator[Item]:
    """Every picture of the uploaded files, archives opened, in order; at most ``MAX_BATCH_FILES``.

    A file that cannot or may not be read becomes an Item with a reason, and the others go on.
    """
    count = 0
    for source in paths:
        path, name = Path(source), name_of(source)
        for item in _members(path, name) if _is_zip(path) else [_file(path, name)]:
            if count == MAX_BATCH_FILES:
                yield Item(item.name, code="too-many", reason=_too_many())
                return
            count += 1
            yield item


def count_items(paths: Sequence[str | Path]) -> int:
    """How many items ``expand`` will give, without reading a picture; for the progress bar."""
    total = 0
    for path in map(Path, paths):
        try:
            total += len(_listed(path)) if _is_zip(path) and not _refusal(path, path.name) else 1
        except (OSError, zipfile.BadZipFile):
            total += 1
    return min(total, MAX_BATCH_FILES + (total > MAX_BATCH_FILES))


def _too_many() -> str:
    return f"A batch takes {MAX_BATCH_FILES:,} files at most; this one and all after it were left out. Send them apart."


def _is_zip(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False


def _file(path: Path, name: str) -> Item:
    try:
        if path.stat().st_size > MAX_UPLOAD_BYTES:
            return Item(name, code="too-large", reason=f"The file is larger than {MAX_UPLOAD_BYTES // MIB} MiB.")
        return Item(name, path.read_bytes())
    except OSError:
        return Item(name, code="missing", reason="The upload is no longer there; choose the file again.")


def _listed(path: Path) -> list[zipfile.ZipInfo]:
    with zipfile.ZipFile(path) as archive:
        return [info for info in archive.infolist() if not info.is_dir() and not _junk(info.filename)]


def _junk(name: str) -> bool:
    return name.startswith(JUNK[0]) or PurePosixPath(name).name in JUNK[1:] or PurePosixPath(name).name.startswith("._")


def _refusal(path: Path, name: str) -> Item | None:
    """The reason why an archive is not opened at all."""
    try:
        infos = _listed(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return Item(name, code="damaged", reason="The zip archive is damaged or incomplete; make it again.")
    if not infos:
        return Item(name, code="empty", reason="The zip archive holds no file.")
    if len(infos) > MAX_BATCH_FILES:
        reason = f"The zip archive holds {len(infos):,} files; {MAX_BATCH_FILES:,} are the limit. Split it."
        return Item(name, code="too-many", reason=reason)
    total = sum(info.file_size for info in infos)
    if total > MAX_TOTAL_BYTES:
        reason = f"The zip archive unpacks to {total / 2**30:.0f} GiB; {MAX_TOTAL_BYTES / 2**30:.0f} GiB are the limit."
        return Item(name, code="zip-bomb", reason=reason)
    return None


def _members(path: Path, name: str) -> Iterator[Item]:
    refusal = _refusal(path, name)
    if refusal:
        yield refusal
        return
    with zipfile.ZipFile(path) as archive:
        for info in _listed(path):
            yield _member(archive, info)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Item:
    name = PurePosixPath(info.filename).name or info.filename
    problem = _unsafe(info)
    if problem:
        return Item(info.filename, code=problem[0], reason=problem[1])
    try:
        with archive.open(info) as file:
            data = file.read(MAX_UPLOAD_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError):
        return Item(name, code="damaged", reason="This entry of the zip archive is damaged; make the archive again.")
    if len(data) > MAX_UPLOAD_BYTES:
        return Item(name, code="zip-bomb", reason="The entry unpacks to more than it declares; it was not read.")
    if data[:4] == b"PK\x03\x04":
        return Item(name, code="nested", reason="An archive inside an archive is not opened; send it by itself.")
    return Item(name, data)


def _unsafe(info: zipfile.ZipInfo) -> tuple[str, str] | None:
    """Code and reason for an entry that is not read by what its header says."""
    raw = info.orig_filename.replace("\\", "/")
    if raw.startswith("/") or ".." in PurePosixPath(raw).parts or raw[1:2] == ":" or "\0" in raw:
        return "path-traversal", "The entry's name points outside the archive; it was not read."
    if info.external_attr >> 28 == 0xA:
        return "link", "The entry is a link, not a file."
    if info.flag_bits & 0x1:
        return "encrypted", "The entry is encrypted; send the archive without a password."
    if info.file_size > MAX_UPLOAD_BYTES:
        return "too-large", f"The entry unpacks to more than {MAX_UPLOAD_BYTES // MIB} MiB."
    if info.file_size > MAX_RATIO * max(info.compress_size, 1) and info.file_size > MIB:
        return "zip-bomb", f"The entry unpacks to more than {MAX_RATIO} times its size; it was not read."
    return None
