"""Figures of the table from margins made up here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from hf_model.experiments.plan import FULL, Change
from hf_model.experiments.table import StudyTable, Validation, conclusion, simultaneous

LABELS = [0] * 40 + [1] * 40


def write(folder: Path, key: str, seed: int, epochs: list[list[float]]) -> None:
    """A run whose evaluations have these margins on every view."""
    margins = [{"plain": m, "augmented": m} for m in epochs]
    facts = {"epochs": len(epochs), "seconds": 4.0, "seconds_per_epoch": 2.0, "pictures": 9, "image_size": 64}
    run = {"change": key, "seed": seed, "margins": margins, "learning_parameters": 5, **facts}
    (folder / "runs" / f"{key}-seed{seed}.json").write_text(json.dumps(run))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    everything = list(range(80))
    views = {"plain": everything, "augmented": everything}
    stored = {
        "identity": {"image_size": 64, "renderings": ["plain"]},
        "sizes": [64],
        "validation": {"labels": LABELS, "patients": everything, "views": views, "own": "plain"},
    }
    (tmp_path / "runs").mkdir()
    (tmp_path / "study.json").write_text(json.dumps(stored))
    return tmp_path


def noisy(separation: float, seed: int) -> list[float]:
    return (np.random.default_rng(seed).normal(size=80) + separation * np.asarray(LABELS)).tolist()


def test_the_harder_views_are_those_that_are_not_the_data_s_own(folder: Path) -> None:
    validation = Validation.from_json(json.loads((folder / "study.json").read_text())["validation"])
    assert validation.harder == ["augmented"]
    # 2 of 4 pairs in order, one tied: (2 + 0.5) / 4
    small = Validation(np.array([0, 1, 0, 1]), np.arange(4), {"a": np.arange(4)}, "b")
    assert small.hard({"a": [0.0, 1.0, 1.0, 0.5]}) == pytest.approx(2.5 / 4)


def test_the_best_epoch_counts_and_the_spread_is_over_the_last_three(folder: Path) -> None:
    epochs = [noisy(s, 1) for s in (0.0, 3.0, 1.0, 2.0)]
    write(folder, "reference", 0, epochs)
    write(folder, "loss-plain", 0, [noisy(1.0, 2)])
    table = StudyTable(folder)
    row = next(row for row in table.groups()["loss"] if row["reference"])
    aucs = [table.validation.hard({"augmented": m}) for m in epochs]
    assert row["hard_auc"] == max(aucs) == aucs[1]
    assert row["spread_epochs"] == pytest.approx(np.std(aucs[1:]))
    assert row["spread_seeds"] is None
    right = [(m >= 0) == label for m, label in zip(epochs[1], LABELS, strict=True)]
    assert row["accuracy"] == pytest.approx(np.mean(right))


def test_a_real_difference_is_told_from_none(folder: Path) -> None:
    for seed in range(3):
        write(folder, "reference", seed, [noisy(1.0, seed)])
        write(folder, "loss-plain", seed, [noisy(3.0, seed)])
        write(folder, "loss-focal", seed, [noisy(1.0, seed)])
    rows = StudyTable(folder).groups()["loss"]
    better, same = (next(row for row in rows if row["key"] == key) for key in ("loss-plain", "loss-focal"))
    assert better["difference"]["interval"][0] > 0
    assert same["difference"] == {"value": 0.0, "interval": [0.0, 0.0], "seeds": 3, "adjusted": [0.0, 0.0]}
    assert rows[0] is better
    gain = better["difference"]["value"]
    assert 0.1 < gain < 0.4
    assert conclusion(rows) == (
        f"Reference: default recipe (3 seeds). Better: no class weights (+{gain:.3f}). No difference that these "
        "pictures can show: focal loss, gamma 2."
    )
    turned = [row | {"difference": {"value": -0.0214, "adjusted": [-0.03, -0.01]}} for row in rows[:1]]
    assert conclusion(turned) == "No reference run. Worse: no class weights (-0.021)."


def test_many_comparisons_widen_the_intervals_as_much_as_independence_would() -> None:
    # 20 independent differences of standard error 1: P(all |z| < c) = 0.95 at c = 3.02 (normal quantile of
    # (1 + 0.95 ** (1 / 20)) / 2); one alone has 1.96
    drawn = np.random.default_rng(0).normal(size=(20, 20000))
    many, one = ([{"value": 0.5, "drawn": row} for row in part] for part in (drawn, drawn[:1]))
    for differences, reach in ((many, norm.ppf((1 + 0.95 ** (1 / 20)) / 2)), (one, norm.ppf(0.975))):
        simultaneous(differences)
        for entry in differences:
            assert "drawn" not in entry
            low, high = entry["adjusted"]
            assert low + high == pytest.approx(1.0)
            assert (high - low) / 2 == pytest.approx(reach, rel=0.02)


def test_replicates_without_a_class_are_left_out_of_the_adjustment() -> None:
    drawn = np.random.default_rng(1).normal(size=500)
    with_gap = np.where(np.arange(500) == 7, np.nan, drawn)
    differences = [{"value": 0.0, "drawn": with_gap}, {"value": 1.0, "drawn": np.full(500, np.nan)}]
    simultaneous(differences[:1])
    assert differences[0]["adjusted"][1] == pytest.approx(1.96, rel=0.1)
    simultaneous(differences[1:])
    assert differences[1]["adjusted"] is None


def test_seeds_that_disagree_widen_the_interval(folder: Path) -> None:
    for seed, separation in enumerate((0.5, 1.5, 2.5)):
        write(folder, "reference", seed, [noisy(separation, 7)])
        write(folder, "loss-plain", seed, [noisy(1.5, 7)])
    table = StudyTable(folder)
    runs = {key: table._runs(Change(key, "")) for key in (FULL.key, "loss-plain")}
    widths = {}
    for key, found in runs.items():
        low, high = table.interval([table.best(run) for run in found], ["augmented"])
        widths[key] = high - low
    assert widths["reference"] > 1.3 * widths["loss-plain"]


def test_perfect_separation_has_an_interval_below_one(folder: Path) -> None:
    write(folder, "reference", 0, [np.asarray(LABELS, dtype=float).tolist()])
    table = StudyTable(folder)
    low, high = table.interval([table.best(table._runs(FULL)[0])], ["plain"])
    assert high == 1.0
    assert low == pytest.approx(0.025 ** (1 / 40))
