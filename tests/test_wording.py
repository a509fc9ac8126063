"""Figures as a person reads them."""

from __future__ import annotations

import pytest

from hf_model import wording
from hf_model.metrics.held_out import Rate


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0.0 %"), (1, "100.0 %"), (0.9385, "93.8 %"), (0.00051, "<0.1 %"), (0.9995, ">99.9 %"), (0.001, "0.1 %")],
)
def test_a_share_never_reads_as_a_false_zero_or_hundred(share: float, text: str) -> None:
    assert wording.percent(share) == text


def test_a_rough_share_has_no_decimals_and_no_false_end_either() -> None:
    shares = (0, 0.004, 0.913, 0.996, 1)
    assert [wording.percent(share, 0) for share in shares] == ["0 %", "<1 %", "91 %", ">99 %", "100 %"]


def test_rate_and_ratio_with_and_without_interval() -> None:
    figure = {"value": 0.9385, "interval": [0.91, 0.9995], "cluster_interval": [0.9, 1.0]}
    assert wording.rate(figure) == "93.8 % (91.0 to >99.9)"
    assert wording.rate(figure, key="cluster_interval") == "93.8 % (90.0 to 100.0)"
    assert wording.ratio(figure) == "0.939 (0.910 to 1.000)"
    assert wording.rate(0.5) == "50.0 %"
    assert wording.ratio({"value": 0.5, "interval": None}) == "0.500"


def test_figures_may_be_objects() -> None:
    assert wording.rate(Rate(374, 390)) == "95.9 % (93.4 to 97.5)"  # scipy: 0.9344 to 0.9746
    assert wording.interval(Rate(0, 12), percentage=True) == "0.0 to 24.2 %"


def test_a_difference_has_its_sign() -> None:
    figure = {"value": 0.003, "interval": [-0.0018, 0.0074]}
    assert wording.ratio(figure, digits=4, signed=True) == "+0.0030 (-0.0018 to +0.0074)"
    assert wording.decimal(0.5, signed=True) == "+0.500"


def test_a_figure_that_is_missing_and_one_that_has_no_value_read_differently() -> None:
    assert wording.rate(None) == wording.ratio(None) == "not given"
    assert wording.rate({"value": None, "interval": None}) == "not defined"


def test_interval_alone() -> None:
    assert wording.interval({"value": 0.9, "interval": [0.85, 0.94]}, percentage=True) == "85.0 to 94.0 %"
    assert wording.interval({"value": 0.9, "interval": [0.85, 0.94]}, percentage=False) == "0.850 to 0.940"
    assert wording.interval({"value": 0.9}, percentage=True) == ""


def test_settings_are_written_as_chosen() -> None:
    assert [wording.setting(share) for share in (0.95, 0.975, 0.07, 1)] == ["95 %", "97.5 %", "7 %", "100 %"]


def test_what_splits_share_and_what_could_not_be_compared():
    found = {"counts": {"patients": 3, "pixels": 1, "near": 0}, "unknown_patients": 1}
    assert wording.shared_between_splits(found) == "3 patients, 1 equal picture"
    assert wording.shared_between_splits({"counts": None}) == "something"
    assert wording.patients_unknown(found) == "1 test picture does not say whose it is"
    assert wording.patients_unknown({"unknown_patients": 1200}) == "1,200 test pictures do not say whose they are"
    assert wording.patients_unknown({"counts": {"patients": None}}) == "The test pictures do not say whose they are"
    assert wording.patients_unknown({"counts": {"patients": 0}}) == ""


def test_counts_take_their_noun() -> None:
    assert wording.count(2100) == "2,100"
    assert wording.counted(1, "patient") == "1 patient"
    assert wording.counted(2100, "patient") == "2,100 patients"
    assert wording.counted(0, "child", "children") == "0 children"
