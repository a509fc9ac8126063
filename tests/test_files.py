"""Hashing, atomic JSON and the cache folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from hf_model import files


def test_sha256_of_a_known_text(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # FIPS 180-2, B.1
    assert files.sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    files.write_json(path, {"auc": 0.5})
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, {"auc": float("nan")})
    assert json.loads(path.read_text()) == {"auc": 0.5}
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.json"]


@pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME decides on Linux only")
def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHEST_XRAY_CACHE", str(tmp_path / "own"))
    assert files.cache_folder() == tmp_path / "own"
    monkeypatch.delenv("CHEST_XRAY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert files.cache_folder() == tmp_path / "cache" / "chest-xray-pneumonia"
