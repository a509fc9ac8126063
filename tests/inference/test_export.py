"""The exported graph: stale and damaged ones, the cache of compiled models, and the choice of engine."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from generated import pictures
from tiny_checkpoint import SIDE, random_folder

from hf_model.commands import export
from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines.base import EngineUnavailable
from hf_model.inference.engines.choice import open_engine
from hf_model.inference.engines.export import golden_inputs
from hf_model.inference.engines.openvino_engine import GRAPH_FILE, GRAPH_WEIGHTS, OpenVinoEngine, StaleExport
from hf_model.radiograph import Preprocessing

PICTURES = pictures(2)


@pytest.fixture
def folder(exported_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(exported_folder, tmp_path / "tiny")


def change_weights(folder: Path) -> None:
    random_folder(folder.parent / "other", seed=7)
    shutil.copy(folder.parent / "other" / "model.safetensors", folder)


def change_labels(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "PNEUMONIA", "1": "NORMAL"}
    (folder / "config.json").write_text(json.dumps(config))


def change_preprocessing(folder: Path) -> None:
    Preprocessing(height=SIDE, width=SIDE, mean=(0.4, 0.4, 0.4)).save(folder)


def test_processes_wait_for_one_another_at_the_cache(checkpoint, tmp_path: Path) -> None:
    """Two of them at one file that is not written yet: the one that maps it is killed by the kernel."""
    lock = FileLock(tmp_path / "lock")
    made = []
    other = threading.Thread(target=lambda: made.append(OpenVinoEngine(checkpoint, cache=tmp_path)))
    with lock:
        other.start()
        other.join(0.5)
        assert not made
    other.join(60)
    assert made[0].name == "openvino-f32"
    assert list(tmp_path.glob("*.blob"))


@pytest.mark.parametrize(
    ("change", "what"),
    [(change_weights, "weights_sha256"), (change_labels, "label_order"), (change_preprocessing, "preprocessing")],
)
def test_a_stale_export_is_refused_and_torch_takes_over(
    folder: Path, change, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    change(folder)
    checkpoint = Checkpoint.open(folder)
    with pytest.raises(StaleExport, match=f"another {what} than tiny has now; run `python -m hf_model export"):
        open_engine(checkpoint, "openvino", cache="")
    with caplog.at_level(logging.WARNING):
        engine = open_engine(checkpoint, "auto", cache="")
    assert engine.name == "torch-f32"
    assert f"another {what}" in caplog.text
    fresh = open_engine(checkpoint, "torch")
    np.testing.assert_array_equal(engine.run(PICTURES).logits, fresh.run(PICTURES).logits)


def test_exporting_again_mends_a_stale_export(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_weights(folder)
    assert export.main(["--checkpoint", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "neutral squeeze-excite gates removed: 7" in printed
    assert "class activation map: yes" in printed
    checkpoint = Checkpoint.open(folder)
    found = open_engine(checkpoint, "openvino", cache="").run(PICTURES).logits
    np.testing.assert_allclose(found, open_engine(checkpoint, "torch").run(PICTURES).logits, atol=1e-4)
    assert sorted(path.name for path in folder.glob("*openvino*")) == [GRAPH_WEIGHTS, GRAPH_FILE]


def test_export_is_in_single_precision(exported_folder: Path) -> None:
    """Half-precision storage (OpenVINO's default) would halve the file and move the logits."""
    weights = (exported_folder / GRAPH_WEIGHTS).stat().st_size
    gates = 0.35
    assert weights > (1 - gates) * (exported_folder / "model.safetensors").stat().st_size


@pytest.mark.parametrize("damage", ["cut", "text"])
def test_a_damaged_export_is_told_from_a_stale_one(folder: Path, damage: str) -> None:
    if damage == "cut":
        (folder / GRAPH_WEIGHTS).write_bytes((folder / GRAPH_WEIGHTS).read_bytes()[:1000])
    else:
        (folder / GRAPH_FILE).write_text("<net")
    with pytest.raises(EngineUnavailable, match=r"openvino_model\.xml cannot be read .*run `python -m hf_model export"):
        open_engine(Checkpoint.open(folder), "openvino", cache="")


def test_export_of_a_folder_that_is_no_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main(["--checkpoint", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("export: ")


def test_without_torch_a_checkpoint_that_has_no_graph_names_what_is_missing(
    plain_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("export", "torch_engine"):  # None: importing it fails, as without torch
        monkeypatch.setitem(sys.modules, f"hf_model.inference.engines.{module}", None)
    checkpoint = Checkpoint.open(plain_folder)
    with pytest.raises(EngineUnavailable, match="tiny has no OpenVINO graph, and making one needs torch"):
        open_engine(checkpoint, "openvino", cache="")
    with pytest.raises(EngineUnavailable, match="torch cannot be imported"):
        open_engine(checkpoint, cache="")


def test_unknown_engines_are_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(ValueError, match="there is no engine 'tensorrt'; use one of auto, openvino, torch"):
        open_engine(checkpoint, "tensorrt")


def test_the_compiled_model_is_kept_in_the_cache(checkpoint: Checkpoint, tmp_path: Path) -> None:
    first = OpenVinoEngine(checkpoint, cache=tmp_path / "kept")
    blobs = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").glob("*.blob")}
    assert len(blobs) == 1
    second = OpenVinoEngine(checkpoint, cache=tmp_path / "kept")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").glob("*.blob")} == blobs
    np.testing.assert_array_equal(first.run(PICTURES).logits, second.run(PICTURES).logits)


def test_the_engine_sets_its_precision_on_purpose(openvino_engine: OpenVinoEngine) -> None:
    request = openvino_engine._single.get()
    openvino_engine._single.put(request)
    compiled = request.get_compiled_model()
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"
    assert compiled.get_property("NUM_STREAMS") == 1


def test_golden_inputs_are_always_the_same() -> None:
    first, second = golden_inputs(32, 40), golden_inputs(32, 40)
    assert first.shape == (6, 32, 40)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, second)
    assert first.std(axis=(1, 2)).min() > 10


def test_a_home_that_cannot_be_written_means_no_cache(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHEST_XRAY_CACHE", str(tmp_path / "file"))
    engine = OpenVinoEngine(checkpoint)
    assert engine.run(PICTURES).logits.shape == (2, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
