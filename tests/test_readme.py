"""README's figures are those of the stored files, and the command that puts them there touches nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_model.commands import readme

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_readme_says_what_the_stored_files_say() -> None:
    assert readme.filled(README, readme.blocks()) == README


def test_blocks_are_replaced_and_the_rest_stays() -> None:
    text = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n<!-- y --><!-- /y -->\n"
    assert readme.filled(text, {"x": "new"}) == "a\n<!-- x -->\nnew\n<!-- /x -->\nb\n<!-- y --><!-- /y -->\n"
    for missing in ("z", "a"):
        with pytest.raises(ValueError, match=f"README.md needs one line <!-- {missing} -->"):
            readme.filled(text, {missing: "new"})


def test_a_row_for_each_rendering_and_point() -> None:
    at = {key: {"value": 0.9514, "interval": [0.925, 0.969]} for key in ("sensitivity", "specificity", "accuracy")}
    record = {"points": {point: at | {"threshold": 0.5} for point in readme.POINTS}}
    lines = readme.results({"test": {"small": record, "sharp": record}}).splitlines()
    assert len(lines) == 2 + 2 * len(readme.POINTS)
    assert lines[2] == "| small | larger logit | 0.500 | " + " | ".join(["95.1 % (92.5 to 96.9)"] * 3) + " |"


def test_questions_and_findings() -> None:
    document = "# Experiments\n\nlegend\n\n## Which head?\n\nReference: plain.\n\n| a |\n\n## Which size?\n\nNone.\n"
    expected = "- **Which head?** Reference: plain.\n- **Which size?** None."
    assert readme.experiments(document) == expected
    assert readme.audit({"findings": [{"text": "One."}, {"text": "Two."}]}) == "- One.\n- Two."
