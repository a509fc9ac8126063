"""The whole study on generated pictures with a tiny budget: table, resumption, and a test split that stays unread."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from generated import write_image_folder

from hf_model.__main__ import main
from hf_model.data import pixels
from hf_model.experiments.plan import GROUPS, SWITCHES
from hf_model.modeling.heads import HEADS

BRIEF = [
    *("--pictures", "32", "--validation", "24", "--epochs", "1", "--head_epochs", "2", "--views", "1"),
    *("--baseline_epochs", "1", "--sizes", "32", "64", "--seeds", "1"),
    *("--only", "heads", "baseline", "depth", "loss", "size"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder, splits = tmp_path_factory.mktemp("study"), {"train": 60, "test": 10}
    return write_image_folder(folder / "plain", splits), write_image_folder(folder / "smooth", splits, smooth=True)


def arguments(folders: tuple[Path, Path], base: Path, out: Path, *more: str) -> list[str]:
    plain, smooth = map(str, folders)
    return [
        "experiments",
        "--dataset",
        plain,
        "--renderings",
        smooth,
        "--base_model",
        str(base),
        "--output",
        str(out),
        *BRIEF,
        *more,
    ]


@pytest.fixture(scope="module")
def study(folders, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study, and proof that no test picture was read for it."""
    out, read = tmp_path_factory.mktemp("out") / "study", []
    real = pixels.read_bytes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixels, "read_bytes", lambda image: read.append(str(image["path"])) or real(image))
        assert main(arguments(folders, tiny_base, out)) == 0
    assert read
    assert not [path for path in read if "/test/" in path]
    return out


def rows_of(study: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((study / "experiments.csv").open()))


def test_every_change_has_a_row(study: Path) -> None:
    found = {group: {row["key"] for row in rows_of(study) if row["group"] == group} for group in GROUPS}
    assert found["heads"] == {f"head-{name}" for name in HEADS}
    assert found["baseline"] == {"reference", "baseline-cnn"}
    assert found["depth"] == {"reference", "depth-upper-4", "depth-frozen"}
    assert found["loss"] == {"reference", "loss-plain", "loss-focal"}
    assert found["augmentation"] == set()
    assert found["size"] == {"reference", "size-32"}
    assert {path.suffix for path in study.glob("experiments.*")} == {".csv", ".md", ".png", ".svg"}


def test_each_kind_of_augmentation_is_left_out_and_mixup_added() -> None:
    from dataclasses import fields, replace

    from hf_model.data.augmentation import AugmentationArguments
    from hf_model.experiments.plan import changes

    reference, *others = changes("augmentation", [], 224, renderings=2)
    assert (reference.key, reference.augmentation) == ("reference", {})
    assert [change.key for change in others[:-3]] == [f"without-{kind}" for kind in SWITCHES]
    assert [change.key for change in others[-3:]] == ["without-any-augmentation", "with-mixup", "one-rendering"]
    default = AugmentationArguments()
    used = [field.name for field in fields(default) if getattr(default, field.name)]
    switched = [name for change in others[:-3] for name in change.augmentation]
    assert sorted(switched) == sorted(used)  # each in one kind, and nothing that is off anyway
    off = replace(default, **others[-3].augmentation)
    assert set(off.__dict__.values()) == {0.0}
    assert others[-2].augmentation == {"mixup": 0.3}
    assert others[-1].one_rendering
    assert all(replace(default, **change.augmentation) != default for change in others[:-1])
    assert "one-rendering" not in [change.key for change in changes("augmentation", [], 224, renderings=1)]


def test_the_figures_are_those_of_the_stored_margins(study: Path) -> None:
    from sklearn.metrics import roc_auc_score

    stored = json.loads((study / "study.json").read_text())["validation"]
    run = json.loads((study / "runs" / "head-dense-64-seed0.json").read_text())
    labels = {view: [stored["labels"][i] for i in at] for view, at in stored["views"].items()}
    assert set(labels) == {"plain", "smooth", "augmented"}
    assert len(run["margins"]) == 2  # one evaluation an epoch

    def hard(margins: dict) -> float:
        return sum(roc_auc_score(labels[view], margins[view]) for view in ("smooth", "augmented")) / 2

    best = max(run["margins"], key=hard)
    row = next(row for row in rows_of(study) if row["key"] == "head-dense-64")
    assert float(row["hard_auc"]) == pytest.approx(hard(best))
    assert float(row["auc"]) == pytest.approx(roc_auc_score(labels["plain"], best["plain"]))
    right = [(m >= 0) == label for m, label in zip(best["plain"], labels["plain"], strict=True)]
    assert float(row["accuracy"]) == pytest.approx(sum(right) / len(right))
    assert float(row["hard_auc_low"]) <= float(row["hard_auc"]) <= float(row["hard_auc_high"])
    assert row["learning_parameters"] == str(128 * 64 + 64 + 64 * 2 + 2)


def test_a_stopped_study_goes_on(study: Path, folders, tiny_base: Path, capsys: pytest.CaptureFixture) -> None:
    gone, kept = study / "runs" / "loss-focal-seed0.json", study / "runs" / "reference-seed0.json"
    before, stamp = gone.read_text(), kept.stat().st_mtime_ns
    gone.unlink()
    assert main(arguments(folders, tiny_base, study, "--only", "loss", "--sizes", "64")) == 0
    # runs of the whole study stay in the table, and both commands are listed
    assert {row["key"] for row in rows_of(study) if row["group"] == "size"} == {"reference", "size-32"}
    stored = json.loads((study / "study.json").read_text())
    assert stored["sizes"] == [32, 64]
    assert [command.endswith("--sizes 64") for command in stored["commands"]] == [False, True]
    assert all(f"Command: `{command}`" in (study / "experiments.md").read_text() for command in stored["commands"])
    again, first = json.loads(gone.read_text()), json.loads(before)
    assert again["margins"] == first["margins"]
    assert kept.stat().st_mtime_ns == stamp
    assert "are left" not in capsys.readouterr().out


def test_a_keystroke_ends_it_in_one_line(
    folders, tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch
) -> None:
    from hf_model.experiments import study as module

    def stop(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module.ExperimentRunner, "run", stop)
    assert main(arguments(folders, tiny_base, tmp_path / "stopped", "--only", "loss")) == 130
    assert capsys.readouterr().err.strip().endswith("stopped; the same command goes on with what is left.")


def test_another_study_is_refused(study: Path, folders, tiny_base: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(arguments(folders, tiny_base, study, "--pictures", "40")) == 2
    assert "holds a study with another budget" in capsys.readouterr().err


def test_a_time_limit_leaves_the_rest(folders, tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    argv = arguments(folders, tiny_base, tmp_path / "none", "--minutes", "0", "--only", "loss")
    assert main(argv) == 0
    assert "3 runs are left: the same command goes on with them." in capsys.readouterr().out


def test_a_subset_just_below_the_whole_is_the_whole(folders, tmp_path: Path) -> None:
    from hf_model.data.arguments import DataArguments
    from hf_model.experiments.runs import load
    from hf_model.radiograph import Preprocessing

    data = DataArguments(dataset=str(folders[0]), cache_dir=str(tmp_path))
    size = Preprocessing(height=64, width=64)
    whole = load(data, size, seed=42, pictures=10_000, validation=10_000)
    rows = len(whole.chosen)
    assert len(load(data, size, seed=42, pictures=10_000, validation=rows - 1).chosen) == rows
    with pytest.raises(ValueError, match="--pictures 1: too few pictures to hold a patient of each class; raise it"):
        load(data, size, seed=42, pictures=1, validation=10_000)


def plan_of(only: list[str], keys: list[str], seeds: int = 1) -> list[tuple[str, int]]:
    from hf_model.data.arguments import DataArguments
    from hf_model.experiments.study import Options, Study

    options = Options(DataArguments(), Path("none"), only=only, changes=keys, seeds=seeds, sizes=[32, 64])
    return [(change.key, seed) for change, seed in Study(options, "").plan(64, 1)]


def test_chosen_changes_run_with_the_reference_of_their_group_and_no_other() -> None:
    only = ["heads", "depth", "loss", "size"]
    assert plan_of(only, ["loss-focal"], seeds=2) == [
        ("reference", 0),
        ("loss-focal", 0),
        ("reference", 1),
        ("loss-focal", 1),
    ]
    assert plan_of(only, ["head-dense-64", "size-32"]) == [
        ("head-plain", 0),
        ("head-dense-64", 0),
        ("reference", 0),
        ("size-32", 0),
    ]
    assert plan_of(["loss"], ["reference"]) == [("reference", 0)]


def test_an_unknown_change_is_said_with_those_that_there_are(
    folders, tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    argv = arguments(folders, tiny_base, tmp_path / "none", "--only", "loss", "--changes", "loss-focal", "loss-fokal")
    assert main(argv) == 2
    assert "--changes loss-fokal: no such change here; there are reference, loss-plain, loss-focal." in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "none").exists()


def test_a_missing_tracker_is_said_at_the_start(folders, tiny_base: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    from hf_model.training import arguments as checks

    monkeypatch.setattr(checks.importlib.util, "find_spec", lambda name: None)
    assert main(arguments(folders, tiny_base, tmp_path / "none", "--report_to", "trackio")) == 2
    assert "--report_to trackio: the package is not installed; pip install trackio" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
