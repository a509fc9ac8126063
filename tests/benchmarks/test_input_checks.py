"""What the input checks hold back: counted by hand, measured on the shipped checkpoint, written by one command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from generated import chest, write_image_folder
from PIL import Image

from benchmarks import ood
from benchmarks.input_checks import KEY, measure_checks, meets, tally
from hf_model import Classifier
from hf_model.commands import benchmark
from hf_model.config import CHECKPOINT_DIR
from hf_model.inference.prediction import Failure, Prediction, Timing
from hf_model.metrics.decision import Decision
from hf_model.radiograph import Finding


def result(*severities: str) -> Prediction:
    findings = tuple(Finding(f"a-{severity}", "Text.", severity) for severity in severities)
    rest = {"name": "x", "class_activation_map": None, "model_id": "m", "model_hash": "0" * 64, "engine": "e"}
    return Prediction.make(
        rule=Decision(), logits=(0, 1), threshold=None, findings=findings, timing=Timing(0, 0, 0, 0), **rest
    )


def test_tally_counts_what_has_no_answer() -> None:
    found = tally(
        [result(), result("note"), result("flag", "flag"), result("flag", "refuse"), Failure("x", "tiny", "T.")]
    )
    assert {key: found[key] for key in ("pictures", "unreadable", "refused", "flagged")} == {
        "pictures": 5,
        "unreadable": 1,
        "refused": 1,
        "flagged": 1,
    }
    assert found["codes"] == {"a-flag": 3, "a-refuse": 1, "tiny": 1}
    assert found["held_back"]["value"] == 0.6
    # Wilson 95 % of 3 in 5, from the formula with z = 1.959964
    assert found["held_back"]["interval"] == pytest.approx([0.2307, 0.8824], abs=1e-4)
    assert tally([])["held_back"] == {"value": None, "interval": None}


def test_bars_point_in_their_direction() -> None:
    assert [meets("radiographs", share) for share in (0.02, 0.021, None)] == [True, False, None]
    assert [meets("photographs", share) for share in (0.95, 0.949)] == [True, False]


def test_kinds_are_the_same_pictures_every_time_and_not_one_is_empty() -> None:
    first, second = ([(kind, name, picture.tobytes()) for kind, name, picture in ood.generated()] for _ in range(2))
    assert first == second
    assert len(first) == len(ood.KINDS) * ood.DRAWN
    film = Image.fromarray(chest(0, side=128))
    changed = dict(ood.altered(film))
    assert set(changed) == set(ood.ALTERATIONS)
    assert changed["upside down"].getpixel((0, 0)) == film.getpixel((127, 127))
    assert changed["inverted"].getpixel((5, 9)) == 255 - film.getpixel((5, 9))


def test_shipped_checkpoint_keeps_the_bars_for_photographs_and_generated_pictures() -> None:
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    found = measure_checks(Classifier.from_pretrained())
    assert set(found["groups"]) == {"photographs", "generated"}
    assert found["groups"]["photographs"]["pictures"] > 150
    assert all(group["bar_met"] for group in found["groups"].values())
    by_kind = {kind["kind"]: kind for kind in found["kinds"]}
    assert by_kind["blank"]["refused"] == by_kind["blank"]["pictures"]
    assert by_kind["tiny"]["codes"] == {"too-small": ood.DRAWN}


def test_measuring_does_not_import_scikit_image() -> None:
    code = "import sys; from benchmarks import input_checks, ood; list(ood.photograph_files()); "
    done = subprocess.run(
        [sys.executable, "-c", f"{code} assert not {{'skimage', 'sklearn', 'gradio', 'torch'}} & set(sys.modules)"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two generated kinds and no photographs: the command's own work is what is tested."""
    monkeypatch.setattr(ood, "KINDS", {kind: ood.KINDS[kind] for kind in ("noise", "blank")})
    monkeypatch.setattr(ood, "PACKAGES", {})


def test_the_command_writes_into_metrics_json(few: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # one picture a patient: a second would have the name of one in the shipped checkpoint's test split
    folder, pictures = tmp_path / "checkpoint", write_image_folder(tmp_path / "local", {"train": 3}, pictures=1)
    shutil.copytree(CHECKPOINT_DIR, folder)
    before = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    options = ["--checkpoint", str(folder), "--radiographs", str(pictures), "--split", "train", "--write_metrics"]
    code = benchmark.main(["input_checks", *options])
    after = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    record = after[KEY]
    before.pop(KEY, None), after.pop(KEY)
    assert after == before
    assert record["radiographs"] == {"dataset": "local", "split": "train", "pictures": 6}
    assert set(record["groups"]) == {"generated", "radiographs", "altered radiographs"}
    assert record["weights_sha256"] == before["weights_sha256"]
    assert record["groups"]["altered radiographs"]["pictures"] == 6 * len(ood.ALTERATIONS)
    # drawings 64 px wide are nothing that the shipped checkpoint has seen: the bar is missed, and the table says so
    assert (code, record["groups"]["radiographs"]["bar_met"]) == (0, False)
    out = capsys.readouterr().out
    assert "generated: blank" in out
    assert "at most 2 %: MISSED" in out
    assert "Radiographs: 6 of local, train split." in out


def test_the_test_split_stays_closed(few: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = write_image_folder(tmp_path / "chest-xray-pneumonia", {"train": 2, "test": 2})
    output = tmp_path / "out.json"
    options = ["--radiographs", str(pictures), "--split", "test", "--output", str(output)]
    assert benchmark.main(["input_checks", *options]) == 2
    assert "holds pictures of this checkpoint's own test split" in capsys.readouterr().err
    assert not output.exists()


def test_a_record_needs_a_metrics_json(few: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(CHECKPOINT_DIR, tmp_path / "bare", ignore=shutil.ignore_patterns("metrics.json"))
    assert benchmark.main(["input_checks", "--checkpoint", str(tmp_path / "bare"), "--write_metrics"]) == 2
    assert "bare has no metrics.json to write into" in capsys.readouterr().err


def test_its_options_are_for_no_other_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["serving_tensor", "--checkpoint", "x"]) == 2
    assert "--checkpoint x: name the one benchmark that has this option" in capsys.readouterr().err
