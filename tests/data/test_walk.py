"""No file below a folder is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hf_model.data.folders import walk_files


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    archive, data = tmp_path / "archive", tmp_path / "data"
    (archive / "deep").mkdir(parents=True)
    (archive / "deep" / "1.png").write_bytes(b"x")
    (data / "a").mkdir(parents=True)
    (data / "a" / "2.png").write_bytes(b"x")
    (data / "b").symlink_to(archive)
    (archive / "deep" / "self").symlink_to(archive)
    (data / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert [path.relative_to(data).as_posix() for path in walk_files(data)] == ["a/2.png", "b/deep/1.png", "gone.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o000)
    with pytest.raises(PermissionError, match="shut"):
        list(walk_files(tmp_path))


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path, monkeypatch) -> None:
    for name in ("shut", ".Trash-1000"):
        (tmp_path / name).mkdir()
    real = os.scandir

    def scandir(path):
        if Path(path).name in shut:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    shut = [".Trash-1000"]
    assert list(walk_files(tmp_path)) == []
    shut.append("shut")
    with pytest.raises(PermissionError, match="shut"):
        list(walk_files(tmp_path))
