"""What the card says that learned is what the run recorded."""

from __future__ import annotations

import pytest
from card_run_files import metrics, write_run

from hf_model.hub.card import build_card

HEAD, BLOCKS = {"name": "head", "seconds": 60}, {"name": "fine_tuning", "seconds": 600}


@pytest.mark.parametrize(
    ("recorded", "arguments", "base", "words"),
    [
        ([HEAD, BLOCKS], {}, "b", "the head on a frozen backbone, then all blocks at a lower rate;"),
        ([HEAD, BLOCKS], {"unfreeze_blocks": "4"}, "b", "the head on a frozen backbone, then the upper 4 blocks at a"),
        ([HEAD], {}, "b", "the head on a frozen backbone, and nothing else;"),
        ([BLOCKS], {"unfreeze_blocks": "2"}, "b", "the head with the upper 2 blocks, in one stage;"),
        ([BLOCKS], {}, "baseline-cnn", "everything from random weights;"),
        ([], {}, "b", "stages that are not recorded;"),
    ],
)
def test_the_stages_that_ran(tmp_path, recorded, arguments, base, words) -> None:
    content = metrics()
    content |= {"stages": recorded, "base_model": {"name": base, "hub_id": None}}
    content["arguments"] = {**content.get("arguments", {}), **arguments}
    assert f"- Training: {words}" in build_card(write_run(tmp_path, content))


@pytest.mark.parametrize(("steps", "shown"), [(3, True), (-1, False)])
def test_a_limit_of_steps_is_a_setting(tmp_path, steps, shown) -> None:
    content = metrics()
    content["arguments"] = {**content.get("arguments", {}), "max_steps": steps}
    assert (f"max_steps {steps}" in build_card(write_run(tmp_path, content))) is shown
