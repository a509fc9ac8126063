"""The answer card: its words, its bar, its figures; escaping of what a stranger names."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import phantom
import pytest

from hf_model.config import NOT_A_DEVICE
from hf_model.inference.heat_map import overlay
from hf_model.inference.prediction import Prediction, Timing
from hf_model.metrics.decision import LIKELY, NOT_LIKELY, REFER, Decision, OperatingPoint
from hf_model.metrics.held_out import Performance, Rate
from hf_model.page import percent
from hf_model.page.answer import answer_view, details_view, pretest_panel
from hf_model.page.viewer import heat_layer, viewer
from hf_model.radiograph import Radiograph
from hf_model.radiograph.population import KERMANY, UNDESCRIBED
from hf_model.segmentation.outline import Evidence

PROOF = {"target": 0.9, "confidence": 0.9, "patients": 90, "patients_needed": 22, "errors": 1, "allowed_errors": 3}


def decision(low: float = 0.2, threshold: float = 0.4, high: float = 0.7) -> Decision:
    kinds = {"rule_out": "sensitivity", "default": "sensitivity", "rule_in": "specificity"}
    points = {
        name: OperatingPoint(name=name, kind=kinds[name], threshold=value, lower_bound=0.9, **PROOF)
        for name, value in (("rule_out", low), ("default", threshold), ("rule_in", high))
    }
    return Decision(prevalence=0.74, points=points)


def predicted(probability: float, rule: Decision, threshold: float | None = None) -> Prediction:
    """A prediction of this probability; the rule has no temperature and no bias."""
    logits = (0.0, math.log(probability / (1 - probability)))
    rest = {"class_activation_map": None, "findings": (), "model_id": "x", "model_hash": "0" * 64, "engine": "none"}
    return Prediction.make(
        rule=rule, logits=logits, threshold=threshold, name="a.png", timing=Timing(1, 1, 1, 3), **rest
    )


@pytest.mark.parametrize(
    ("probability", "answer", "kind"),
    [(0.1, NOT_LIKELY, "unlikely"), (0.35, REFER, "refer"), (0.5, REFER, "refer"), (0.9, LIKELY, "likely")],
)
def test_card_says_the_answer_in_words_and_by_symbol(probability: float, answer: str, kind: str) -> None:
    rule = decision()
    assert rule.answer(probability) == answer
    card = answer_view(predicted(probability, rule), Performance(0.4, Rate(374, 390), Rate(199, 234)))
    assert f'class="cxr-answer cxr-{kind}"' in card
    assert f">{answer}</h2>" in card
    assert {"▲", "○", "◆"} & set(card) == {{"likely": "▲", "unlikely": "○", "refer": "◆"}[kind]}
    assert NOT_A_DEVICE in card
    # 374 of 390 and 199 of 234, Wilson 95 %: 0.9590 (0.9344-0.9746) and 0.8504 (0.7990-0.8905)
    assert "<strong>95.9\u00a0%</strong> (93.4 to 97.5\u00a0%) of pneumonias" in card
    assert "<strong>85.0\u00a0%</strong> (79.9 to 89.0\u00a0%) of normal chests normal, on 624 held-out" in card


def test_bar_places_marker_threshold_and_band() -> None:
    card = answer_view(predicted(0.9, decision()), None)
    assert '<span class="cxr-marker" style="left:90.000%">' in card
    assert '<span class="cxr-tick" style="left:40.000%">' in card
    assert 'cxr-zone-refer" style="left:20.000%;width:50.000%"' in card
    assert (
        'aria-label="Probability 90.0\u00a0%, threshold 40.0\u00a0%, refer band from 20.0\u00a0% to 70.0\u00a0%"'
        in card
    )
    assert "nothing is known of its errors" in card


def test_band_follows_a_threshold_beyond_it() -> None:
    card = answer_view(predicted(0.75, decision(), 0.9), None)
    assert 'cxr-zone-refer" style="left:20.000%;width:70.000%"' in card
    assert "between rule-out (20.0\u00a0%) and rule-in (90.0\u00a0%)" in card


def test_card_speaks_of_the_checkpoints_own_population() -> None:
    known, unknown = (
        answer_view(predicted(0.9, decision()), None, population) for population in (KERMANY, UNDESCRIBED)
    )
    assert "holds for children aged one to five as in the training data, of whom 74.0\u00a0% have pneumonia" in known
    assert "No figure here speaks for adults." in known
    assert "The population is not described by this checkpoint." in unknown
    assert "child" not in unknown
    local = replace(decision(), provenance={"recalibrated": True, "dataset": "<ward>"})
    assert "The probability was refitted on &lt;ward&gt;, of whom" in answer_view(predicted(0.9, local), None, KERMANY)


def test_uncalibrated_checkpoint_says_so_and_has_no_band() -> None:
    card = answer_view(predicted(0.6, Decision()), None)
    assert "not calibrated" in card
    assert "cxr-zone-refer" not in card


@pytest.mark.parametrize(
    ("value", "words"), [(0, "0.0"), (0.0004, "<0.1"), (0.8726, "87.3"), (0.99951, ">99.9"), (1, "100.0")]
)
def test_percent_never_claims_a_false_certainty(value: float, words: str) -> None:
    assert percent(value) == f"{words}\u00a0%"


@pytest.mark.parametrize("opacity", [0.3, 1.0])
def test_browser_mixes_the_layer_to_the_same_overlay_as_the_command_line(opacity: float) -> None:
    pixels = phantom.chest(size=(256, 256))
    heat = np.random.default_rng(0).uniform(0, 1, (7, 7)).astype(np.float32)
    layer = heat_layer(heat).astype(np.float64)
    alpha = layer[..., 3:] / 255 * opacity
    mixed = pixels[..., None] * (1 - alpha) + layer[..., :3] * alpha
    assert np.abs(mixed - overlay(pixels, heat, opacity)).max() <= 1.5


def test_viewer_shows_original_and_overlay_and_escapes_the_name() -> None:
    heat = np.zeros((7, 7), np.float32)
    heat[6, 0] = 1
    name = '"><script>x</script>'
    film = Radiograph(phantom.chest(size=(220, 192)), name, "PNG", (220, 192))
    prediction = replace(predicted(0.9, decision()), name=name, radiograph=film, class_activation_map=heat)
    html = viewer(prediction)
    assert "<script>" not in html
    assert html.count("<figure>") == 2
    assert "Strongest in the lower left of the picture." in html
    assert len(re.findall(r'src="data:image/png;base64,', html)) == 3
    assert "cxr-heat" not in viewer(replace(prediction, class_activation_map=None))


def test_predictive_values_by_hand() -> None:
    # Sensitivity 0.9, specificity 0.8, one in ten sick: PPV 0.09 / (0.09 + 0.18) = 1/3, NPV 0.72 / (0.72 + 0.01).
    performance = Performance(0.5, Rate(90, 100), Rate(80, 100))
    panel = pretest_panel(predicted(0.6, Decision(prevalence=0.5)), 0.1, performance)
    assert 'data-ppv="0.333333"' in panel
    assert f'data-npv="{0.72 / 0.73:.6f}"' in panel
    # Odds of 0.6 are 1.5 at even odds; one in ten has prior odds 1/9: 1.5 / 9 = 1/6, a probability of 1/7.
    assert f'data-post-test="{1 / 7:.6f}"' in panel
    assert "Of 1,000 such patients 100 have pneumonia: 90 are found and 10 missed" in panel
    assert "of the 900 without, 180 are called pneumonia" in panel


def test_uncalibrated_checkpoint_has_no_post_test_probability() -> None:
    panel = pretest_panel(predicted(0.6, Decision()), 0.1, None)
    assert "the checkpoint is not calibrated" in panel
    assert "data-post-test" not in panel
    assert "data-ppv" not in panel


def test_the_card_says_what_the_policy_does_with_each_class() -> None:
    shares = {
        "NORMAL": {"cleared": Rate(31, 234), "referred": Rate(158, 234), "called": Rate(45, 234)},
        "PNEUMONIA": {"cleared": Rate(0, 390), "referred": Rate(4, 390), "called": Rate(386, 390)},
    }
    card = answer_view(predicted(0.5, decision()), Performance(0.4, Rate(386, 390), Rate(177, 234), shares))
    # Wilson 95 %: 31 of 234 is 0.1325 (0.0949 to 0.1819)
    assert "Of normal pictures, 13.2\u00a0% (9.5 to 18.2) are cleared, 67.5\u00a0% (" in card
    assert "of pictures with pneumonia, 0.0\u00a0% (0.0 to 1.0) are cleared, 1.0\u00a0% (" in card
    without = answer_view(predicted(0.5, decision()), Performance(0.4, Rate(386, 390), Rate(177, 234)))
    assert "are cleared" not in without


@pytest.mark.parametrize(("strongest", "hardly"), [(1.0, False), (0.25, False), (0.2, True)])
def test_details_say_where_evidence_lies_and_whether_there_is_much(strongest: float, hardly: bool) -> None:
    heat = np.zeros((5, 5), dtype=np.float32)
    heat[2, 1] = strongest
    radiograph = Radiograph(np.zeros((8, 8), np.uint8), "a.png", "PNG", (8, 8))
    made = replace(
        predicted(0.1, decision()), radiograph=radiograph, class_activation_map=heat, evidence=Evidence(0.17, True)
    )
    text = details_view(made).replace("\u00a0", " ")
    assert "17 % of the evidence lies inside the lungs" in text
    assert ("hardly any evidence for pneumonia" in text) is hardly
    assert "evidence" not in details_view(replace(made, evidence=None)).split("Input checks")[0]
