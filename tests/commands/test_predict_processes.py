"""python -m hf_model predict in several processes: shares, names of the parts, and what it imports."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from generated import pictures
from PIL import Image
from tiny_checkpoint import SIDE

from hf_model.commands.predict import launched, main, own_share, part_name

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    root.mkdir()
    for index, picture in enumerate(pictures(5, side=2 * SIDE)):
        Image.fromarray(picture).save(root / f"{index}.png")
    return root


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_two_processes_write_what_one_writes(folder: Path, exported_folder: Path, tmp_path: Path) -> None:
    options = ["--checkpoint", str(exported_folder), "--engine", "openvino", "--override"]
    assert main([str(folder), "--output", str(tmp_path / "alone.csv"), *options]) == 0
    together = str(tmp_path / "together.csv")
    command = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "hf_model", "predict", str(folder)]
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *command, "--output", together, *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    parts = [rows(tmp_path / f"together-{index}-of-2.csv") for index in range(2)]
    assert [len(part) for part in parts] == [3, 2]
    alone = rows(tmp_path / "alone.csv")
    assert [row["name"] for part in parts for row in part] == [row["name"] for row in alone]
    for one, other in zip(alone, parts[0] + parts[1], strict=True):
        assert float(other["probability"]) == pytest.approx(float(one["probability"]), abs=1e-2)
    assert not Path(together).exists()


def test_alone_nothing_changes_and_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not launched()
    files = [Path("a"), Path("b")]
    with own_share(files, None) as (share, output, speaks):
        assert (share, output, speaks) == (files, None, True)


def test_several_processes_need_an_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="give --output"), own_share([Path("a")], None):
        pass


def test_parts_keep_folder_and_suffix() -> None:
    assert part_name("out/results.json", 1, 4) == str(Path("out/results-1-of-4.json"))
