"""Findings from the lungs: outlines drawn to be wrong in one way each, and drawn chests through a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from segmentation_drawings import drawn_lungs

from hf_model.inference.lungs import LungSegmenter
from hf_model.segmentation.checks import check_lungs
from hf_model.segmentation.outline import TURNS, Lungs, View

UPRIGHT = View((1.0, 0.0, 0.0, 0.0), 0.0, 0.0)


def two_lungs(x: tuple[float, float] = (0.3, 0.7), y: float = 0.5, size: tuple[float, float] = (0.13, 0.32)) -> Lungs:
    """Two ellipses with centres (x, y) and half axes ``size``, fractions of the side."""
    down, across = (np.mgrid[0:96, 0:96] + 0.5) / 96
    parts = np.zeros((96, 96), np.uint8)
    for number, centre in enumerate(x, start=1):
        parts[((across - centre) / size[0]) ** 2 + ((down - y) / size[1]) ** 2 < 1] = number
    return Lungs(parts, (parts > 0).astype(np.float32), UPRIGHT)


def picture(lungs: Lungs) -> np.ndarray:
    """Bright mediastinum, dark lungs, darker towards the sides: like the mean chest."""
    across = np.abs((np.arange(96) + 0.5) / 96 - 0.5)
    body = np.broadcast_to(220 * (1 - (across / 0.5) ** 2), (96, 96))
    return np.where(lungs.mask, 0.6 * body, body).astype(np.uint8)


def codes(lungs: Lungs, pixels: np.ndarray | None = None) -> list[tuple[str, str]]:
    found = check_lungs(lungs, picture(lungs) if pixels is None else pixels)
    return [(finding.code, finding.severity) for finding in found]


def test_a_frontal_chest_passes() -> None:
    assert codes(two_lungs()) == []


@pytest.mark.parametrize(
    "lungs",
    [
        two_lungs(x=(0.1, 0.4)),  # to the side
        two_lungs(y=0.15),  # at the top
        two_lungs(size=(0.05, 0.12)),  # a small picture on a large page
        two_lungs(size=(0.04, 0.32)),  # thin
        two_lungs(x=(0.2, 0.8)),  # far apart
    ],
)
def test_lungs_in_the_wrong_place_or_of_wrong_proportions_are_flagged(lungs: Lungs) -> None:
    assert codes(lungs) == [("not-a-chest", "flag")]


def test_one_lung_or_none_is_flagged() -> None:
    lungs = two_lungs()
    for kept in ([1], []):
        parts = np.where(np.isin(lungs.parts, kept), lungs.parts, 0).astype(np.uint8)
        found = check_lungs(Lungs(parts, (parts > 0).astype(np.float32), UPRIGHT), picture(lungs))
        assert [finding.code for finding in found] == ["not-a-chest"]
        assert "No two lungs were found" in found[0].message


def test_an_uncertain_outline_is_flagged() -> None:
    lungs = two_lungs()
    doubtful = replace(lungs, probability=lungs.probability * np.float32(0.8))  # Dice 2 * 0.8 / 1.8 = 0.889
    assert doubtful.confidence == pytest.approx(0.889, abs=1e-3)
    assert codes(doubtful) == [("not-a-chest", "flag")]


@pytest.mark.parametrize(("turn", "words"), [(1, "turned to the left"), (2, "upside down"), (3, "turned to the right")])
def test_a_turned_film_is_named(turn: int, words: str) -> None:
    turns = tuple(float(number == turn) for number in range(len(TURNS)))
    lungs = replace(two_lungs(), view=View(turns, 0.0, 0.0))
    (finding,) = check_lungs(lungs, picture(lungs))
    assert (finding.code, finding.severity) == ("turned", "flag")
    assert words in finding.message


def test_inverted_is_a_flag_and_mirrored_a_note() -> None:
    assert codes(replace(two_lungs(), view=View(UPRIGHT.turns, 0.9, 0.0))) == [("inverted", "flag")]
    assert codes(replace(two_lungs(), view=View(UPRIGHT.turns, 0.0, 0.99))) == [("mirrored", "note")]
    assert codes(replace(two_lungs(), view=View(UPRIGHT.turns, 0.0, 0.9))) == []


def test_a_chest_that_does_not_fill_the_picture_is_flagged() -> None:
    lungs = two_lungs()
    page = np.where(lungs.mask, 100, 255).astype(np.uint8)
    page[20:80, 30:66] = np.where(lungs.mask, 90, 160)[20:80, 30:66]  # a white page around
    assert codes(lungs, page) == [("not-a-chest", "flag")]


def test_drawn_chests_through_a_network(lungs_folder: Path) -> None:
    """The tiny network is less sure than the shipped one; its view is what is looked at."""
    segmenter = LungSegmenter.from_folder(lungs_folder)
    for seed in range(900, 904):
        pixels, _ = drawn_lungs(seed)
        noise = np.random.default_rng(seed).integers(0, 256, (64, 64)).astype(np.uint8)
        assert segmenter.lungs(pixels).confidence > segmenter.lungs(noise).confidence
        assert check_lungs(segmenter.lungs(noise), noise)[0].severity == "flag"
