"""Uploads: names, deletion, and zip archives from strangers (what is read, refused, and that nothing is written)."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest

from hf_model.inference.prediction import Failure
from hf_model.page import uploads
from hf_model.page.uploads import PENDING, PendingUploads, count_files, original_name, read_upload, unpack
from hf_model.radiograph import UnreadableRadiograph


def test_pending_uploads_keeps_a_file_for_as_many_readers_as_senders(upload_folder: Path) -> None:
    path = upload_folder / "content" / "a.png"
    path.parent.mkdir()
    path.write_bytes(b"x")
    pending = PendingUploads(grace=0.0)
    pending.arrived([str(path)] * 2)
    pending.finished([path])
    pending.sweep()
    assert path.exists()
    pending.finished([path])
    pending.sweep()
    assert not path.exists()
    assert not path.parent.exists()


def test_pending_uploads_gives_a_file_that_was_just_written_time(upload_folder: Path) -> None:
    path = upload_folder / "content" / "b.png"
    path.parent.mkdir()
    path.write_bytes(b"x")
    pending = PendingUploads(grace=3600.0)
    pending.finished([path])
    pending.sweep()
    assert path.exists()
    pending.grace = 0.0
    pending.sweep()
    assert not path.exists()


@pytest.mark.parametrize(
    ("path", "sent", "name"),
    [
        ("/up/h/a.png", None, "a.png"),
        ("/up/h/r%22n%22.png", "rn.png", 'r"n".png'),
        ("/up/h/rn.png", 'r"n:1?.png', 'r"n:1?.png'),
        ("/up/h/r%C3%B6.png", "r%C3%B6.png", "rö.png"),
        ("/up/h/a%20b.png", "a%20b.png", "a%20b.png"),
        ("/up/h/x.png", "C:\\films\\../x\n.png", "x.png"),
        ("/up/h/x.png", "\u202e\x00", "file"),
    ],
)
def test_original_name(path: str, sent: str | None, name: str) -> None:
    assert original_name(path, sent) == name


def test_take_deletes_only_uploads(tmp_path: Path, upload_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.png"
    own.write_bytes(b"mine")
    assert read_upload(own) == ("own.png", b"mine")
    assert own.exists()
    PENDING.finished([upload_folder / os.path.relpath(own, upload_folder)])
    assert own.exists()
    with pytest.raises(UnreadableRadiograph, match="no longer there") as caught:
        read_upload(upload_folder / "gone" / "x.png")
    assert caught.value.code == "missing"
    monkeypatch.setattr("hf_model.page.uploads.MAX_UPLOAD_BYTES", 3)
    with pytest.raises(UnreadableRadiograph, match="the limit is"):
        read_upload(own)


def packed(
    folder: Path, entries: dict[str, bytes], name: str = "batch.zip", method: int = zipfile.ZIP_DEFLATED
) -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w", method) as file:
        for entry, data in entries.items():
            file.writestr(entry, data)
    return path


def codes(*paths: Path) -> list[tuple[str, str]]:
    return [(file.name, file.code) if isinstance(file, Failure) else (file[0], "read") for file in unpack(paths)]


def test_files_and_archives_come_in_order_without_rubbish(tmp_path: Path) -> None:
    plain = tmp_path / "first.png"
    plain.write_bytes(b"one")
    inside = {"ward/a.png": b"two", "__MACOSX/ward/._a.png": b"x", "ward/.DS_Store": b"x", "b": b"three"}
    path = packed(tmp_path, inside)
    assert list(unpack([plain, path])) == [("first.png", b"one"), ("a.png", b"two"), ("b", b"three")]
    assert count_files([plain, path]) == 3


@pytest.mark.parametrize("name", ["../up.png", "ward/../../up.png", "/etc/up.png", "C:/up.png", "..\\up.png"])
def test_names_that_point_outside_are_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = packed(folder, {name: b"evil", "good.png": b"fine"})
    refused, read = unpack([path])
    assert (refused.code, read) == ("path-traversal", ("good.png", b"fine"))
    assert "outside the archive" in refused.reason
    assert sorted(entry.name for entry in tmp_path.rglob("*")) == ["batch.zip", "in"]


def test_bomb_by_ratio_is_refused_unread(tmp_path: Path) -> None:
    path = packed(tmp_path, {"bomb.png": bytes(8 * 2**20), "good.png": b"fine"})
    assert codes(path) == [("bomb.png", "zip-bomb"), ("good.png", "read")]


def test_bomb_by_total_is_refused_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_TOTAL_BYTES", 1000)
    path = packed(tmp_path, {f"{number}.png": bytes(300) for number in range(4)})
    assert codes(path) == [("batch.zip", "zip-bomb")]
    assert count_files([path]) == 1


def test_entry_larger_than_a_picture_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_UPLOAD_BYTES", 100)
    path = packed(tmp_path, {"large.png": bytes(101), "fits.png": bytes(100)})
    assert codes(path) == [("large.png", "too-large"), ("fits.png", "read")]


def test_header_that_lies_about_the_size_does_not_get_more_read(tmp_path: Path) -> None:
    path = packed(tmp_path, {"liar.png": bytes(range(256)) * 40})
    content = bytearray(path.read_bytes())
    central = content.index(b"PK\x01\x02")
    content[central + 24 : central + 28] = (50).to_bytes(4, "little")
    path.write_bytes(content)
    # zipfile stops at the declared size, and then the checksum does not fit.
    assert codes(path) == [("liar.png", "damaged")]


def test_nested_encrypted_and_linked_entries_are_refused(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("deep.png", b"x")
    path = tmp_path / "odd.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("inner.zip", inner.getvalue())
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
        file.writestr("secret.png", b"x")
    content = bytearray(path.read_bytes())
    last = content.rindex(b"PK\x01\x02")
    content[last + 8] |= 1
    path.write_bytes(content)
    assert codes(path) == [("inner.zip", "nested"), ("link.png", "link"), ("secret.png", "encrypted")]


def test_damaged_and_empty_archives(tmp_path: Path) -> None:
    path = packed(tmp_path, {"a.png": b"x" * 1000})
    path.write_bytes(path.read_bytes()[:-30])
    assert codes(path) == [("batch.zip", "damaged")]
    assert codes(packed(tmp_path, {}, "empty.zip")) == [("empty.zip", "empty")]


def test_a_broken_entry_leaves_the_others(tmp_path: Path) -> None:
    path = packed(tmp_path, {"a.png": b"A" * 50, "b.png": b"B" * 50}, method=zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"A" * 50, b"A" * 49 + b"x"))
    assert codes(path) == [("a.png", "damaged"), ("b.png", "read")]


def test_no_more_files_than_a_batch_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_BATCH_FILES", 3)
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for path in paths:
        path.write_bytes(b"x")
    assert codes(*paths) == [("0.png", "read"), ("1.png", "read"), ("2.png", "read"), ("3.png", "too-many")]
    assert count_files(paths) == 4
    assert codes(packed(tmp_path, {f"{number}.png": b"x" for number in range(4)})) == [("batch.zip", "too-many")]


def test_vanished_upload_is_a_row(tmp_path: Path) -> None:
    assert codes(tmp_path / "gone.png") == [("gone.png", "missing")]
