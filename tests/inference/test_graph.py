"""Exports that do not belong to their weights, the choice of engine, precision and the machine's limits."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from inference_checkpoints import SIDE, build, pictures

from hf_model.commands import export
from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.engines import machine
from hf_model.inference.engines.base import EngineUnavailable
from hf_model.inference.engines.choice import open_engine
from hf_model.inference.engines.openvino_engine import GRAPH_FILE, GRAPH_WEIGHTS, OpenVinoEngine, StaleExport
from hf_model.inference.engines.precision import choose_precision, golden_inputs
from hf_model.radiograph import Preprocessing

PICTURES = pictures(2)


@pytest.fixture
def folder(exported_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(exported_folder, tmp_path / "tiny")


def change_weights(folder: Path) -> None:
    build(folder.parent / "other", seed=7)
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


def test_an_engine_measures_its_precision(checkpoint, monkeypatch) -> None:
    from hf_model.inference.engines import openvino_engine

    seen = []
    monkeypatch.setattr(openvino_engine, "choose_precision", lambda *a: seen.append(a) or choose_precision(*a))
    engine = OpenVinoEngine(checkpoint, cache="")
    assert engine.name in ("openvino-f32", "openvino-bf16")
    (load, capabilities, inputs, temperature) = seen[0]
    assert (inputs.shape[1:], temperature) == ((64, 64), checkpoint.decision.temperature)
    assert load("f32")(inputs[:1]).shape == (1, 2)
    assert "FP32" in capabilities


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


def fake_loader(seconds: dict[str, float], shift: float, loaded: list[str], monkeypatch: pytest.MonkeyPatch):
    """Models that take so long on a clock of their own and whose logits differ by ``shift``."""
    now = [0.0]
    monkeypatch.setattr("hf_model.inference.engines.precision.time.perf_counter", lambda: now[0])

    def load(precision: str):
        loaded.append(precision)

        def run(picture: np.ndarray) -> np.ndarray:
            now[0] += seconds[precision]
            return np.array([[0.0, shift if precision == "bf16" else 0.0]], np.float32)

        return run

    return load


@pytest.mark.parametrize(
    ("capabilities", "seconds", "shift", "expected"),
    [
        (["FP32", "INT8"], 0.5, 0.0, "f32"),
        (["FP32", "BF16"], 0.5, 0.03, "bf16"),
        (["FP32", "BF16"], 0.95, 0.0, "f32"),
        (["FP32", "BF16"], 0.5, 0.05, "f32"),
        (["FP32", "BF16"], 0.5, float("nan"), "f32"),
    ],
)
def test_precision_is_measured(capabilities, seconds, shift, expected, monkeypatch) -> None:
    """At 0.5 the probability moves by a quarter of the logit: 0.03 is within 0.01, and 0.05 is not."""
    loaded: list[str] = []
    load = fake_loader({"f32": 1.0, "bf16": seconds}, shift, loaded, monkeypatch)
    assert choose_precision(load, capabilities, golden_inputs(16, 16)) == expected
    assert ("bf16" in loaded) is ("BF16" in capabilities)


@pytest.mark.parametrize(("temperature", "expected"), [(0.7, "f32"), (0.8, "bf16"), (2.0, "bf16")])
def test_the_calibration_s_temperature_counts(temperature: float, expected: str, monkeypatch) -> None:
    """A margin of 0.03 is 0.03 / T log-odds and at most a quarter of that in probability: 0.0107, 0.0094, 0.0038."""
    load = fake_loader({"f32": 1.0, "bf16": 0.5}, 0.03, [], monkeypatch)
    assert choose_precision(load, ["BF16"], golden_inputs(16, 16), temperature) == expected


def test_probabilities_near_one_hide_no_shift(monkeypatch) -> None:
    load = fake_loader({"f32": 1.0, "bf16": 0.5}, 0.05, [], monkeypatch)
    sure = {precision: load(precision) for precision in ("f32", "bf16")}

    def far(precision: str):
        return lambda picture: sure[precision](picture) + np.array([[-20.0, 0.0]], np.float32)

    assert choose_precision(far, ["BF16"], golden_inputs(16, 16)) == "f32"


def test_the_engine_sets_its_precision_on_purpose(openvino_engine: OpenVinoEngine) -> None:
    request = openvino_engine._quick.get()
    openvino_engine._quick.put(request)
    compiled = request.get_compiled_model()
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"
    assert compiled.get_property("NUM_STREAMS") == 1


def test_golden_inputs_are_always_the_same() -> None:
    first, second = golden_inputs(32, 40), golden_inputs(32, 40)
    assert first.shape == (6, 32, 40)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, second)
    assert first.std(axis=(1, 2)).min() > 10


@pytest.mark.parametrize(
    ("content", "cores"),
    [("200000 100000\n", 2), ("50000 100000\n", 1), ("250000 100000", 3), ("max 100000\n", 8), ("rubbish", 8)],
)
def test_cores_follow_the_quota_of_the_container(tmp_path: Path, monkeypatch, content: str, cores: int) -> None:
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    limit = tmp_path / "cpu.max"
    limit.write_text(content)
    assert machine.usable_cores(limit) == cores
    assert machine.usable_cores(tmp_path / "absent") == 8


def test_a_home_that_cannot_be_written_means_no_cache(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHEST_XRAY_CACHE", str(tmp_path / "file"))
    engine = OpenVinoEngine(checkpoint)
    assert engine.run(PICTURES).logits.shape == (2, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
