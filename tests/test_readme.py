"""Figures of README and docs are those of the stored files; their links, commands and options exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from huggingface_hub import SpaceCard

import hf_model.__main__
from hf_model.commands import readme
from hf_model.hub.space import space_header
from hf_model.training.arguments import parse_arguments
from hf_model.wording import POINTS

OF_OTHERS = {"extra_index_url", "nproc_per_node", "nnodes", "node_rank", "rdzv_backend", "rdzv_endpoint"}
OF_OTHERS |= {"multi_gpu", "num_processes", "check"}
"""Options of pip, torchrun, accelerate and ruff."""


def test_the_documents_say_what_the_stored_files_say() -> None:
    texts = readme.documents()
    assert readme.filled(texts, readme.blocks()) == texts


def test_readme_is_short_and_begins_with_the_header_of_the_space() -> None:
    text = (readme.ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 160
    assert SpaceCard(text).data.to_dict() == space_header().to_dict()


def test_links_lead_somewhere() -> None:
    for path, text in readme.documents().items():
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_commands_and_options_exist(capsys: pytest.CaptureFixture[str]) -> None:
    helps = [
        lambda command=command: hf_model.__main__.main([command, "--help"]) for command in hf_model.__main__.COMMANDS
    ]
    for show_help in (lambda: parse_arguments(["--help"]), *helps):
        with pytest.raises(SystemExit):
            show_help()
    known = set(re.findall(r"--(\w+)", capsys.readouterr().out)) | OF_OTHERS
    for path, text in readme.documents().items():
        assert set(re.findall(r"(?<![\w-])--([a-z]\w+)", text)) - known == set(), path.name
        named = re.findall(r"python -m hf_model (\w+)", text)
        assert set(named) <= set(hf_model.__main__.COMMANDS), path.name


def test_blocks_are_replaced_and_the_rest_stays() -> None:
    first, second = Path("README.md"), Path("docs/a.md")
    texts = {first: "a\n<!-- x -->\nold\n<!-- /x -->\nb\n<!-- y --><!-- /y -->\n", second: "<!-- w -->\n<!-- /w -->\n"}
    found = readme.filled(texts, {"x": r"new \1", "w": "here"})
    assert found[first] == "a\n<!-- x -->\nnew \\1\n<!-- /x -->\nb\n<!-- y --><!-- /y -->\n"
    assert found[second] == "<!-- w -->\nhere\n<!-- /w -->\n"
    twice = {**texts, second: "<!-- x -->\n<!-- /x -->\n"}
    backwards = {first: "<!-- /x -->\n<!-- x -->\n"}
    for wrong, missing in ((texts, "z"), (texts, "a"), (twice, "x"), (backwards, "x")):
        with pytest.raises(ValueError, match=f"README.md or a file of docs/ needs one line <!-- {missing} -->"):
            readme.filled(wrong, {missing: "new"})


def test_a_row_for_each_rendering_and_point() -> None:
    at = {key: {"value": 0.9514, "interval": [0.925, 0.969]} for key in ("sensitivity", "specificity", "accuracy")}
    auc = {"value": 0.9766, "interval": [0.9651, 0.9846]}
    record = {"auc": auc, "points": {point: at | {"threshold": 0.5} for point in POINTS}}
    metrics = {"test": {"small": record, "sharp": record}}
    rates = " | ".join(["95.1 % (92.5 to 96.9)"] * 3)
    lines = readme.operating_points(metrics).splitlines()
    assert len(lines) == 2 + 2 * len(POINTS)
    assert f"| small | larger logit | 0.500 | {rates} |" in lines
    lines = readme.results(metrics).splitlines()
    assert len(lines) == 2 + 2 * 2 + 2
    assert lines[2] == f"| This checkpoint at its threshold | small | 0.977 (0.965 to 0.985) | {rates} |"
    assert lines[6].endswith("MobileNetV2, frozen, at 0.5 |  | 0.956 | 93.9 % | 87.6 % | 91.5 % |")


def test_questions_and_findings() -> None:
    document = "# Experiments\n\nlegend\n\n## Which head?\n\nReference: plain.\n\n| a |\n\n## Which size?\n\nNone.\n"
    expected = "- **Which head?** Reference: plain.\n- **Which size?** None."
    assert readme.experiments(document) == expected
    assert readme.audit({"findings": [{"text": "One."}, {"text": "Two."}]}) == "- One.\n- Two."


def test_a_row_for_each_listed_trial() -> None:
    row = {"run": "A", "recipe": "penalty", "listed": "1", "scored_view": "whole", "pixels": "160", "draws": "12288"}
    row |= {"train_seconds": "210", "plain_auc": "0.9914", "block_auc": "0.9854", "odd_style_auc": "0.9217"}
    row |= {"style_balanced_auc": "0.9549", "style_balanced_auc_low": "0.9173", "style_balanced_auc_high": "0.9817"}
    row |= {"exchanged_surroundings_auc": "0.5669", "evidence_in_lungs": "0.8515", "peak_in_lungs": "0.9431"}
    row |= {"renderings_difference": "0.0147"}
    figures = "160 | 12,288 | 210 | 0.991 | 0.985 | 0.922 | 0.955 (0.917 to 0.982) | 0.567 | 0.85 | 0.94 | 0.015"
    lines = readme.recipes([row, row | {"scored_view": "box"}, row | {"listed": "0"}]).splitlines()
    assert lines[2:] == [f"| A | penalty | {figures} |", f"| A | penalty, lungs' box scored | {figures} |"]
    assert {line.count("|") for line in lines} == {14}


def test_the_policys_table_is_there_where_the_record_has_it() -> None:
    share = {"count": 1, "value": 0.25, "interval": [0.0455873, 0.6993582]}
    policy = {label: {"n": 4, **dict.fromkeys(("cleared", "referred", "called"), share)} for label in readme.LABELS}
    metrics = {"test": {"old": {}, "new": {"policy": policy}}}
    cells = " | ".join(["25.0 % (4.6 to 69.9)"] * 3)
    assert readme.policy_table(metrics).splitlines() == [
        "| rendering | label | cleared | referred | called |",
        "| --- | --- | --- | --- | --- |",
        f"| new | NORMAL | {cells} |",
        f"| new | PNEUMONIA | {cells} |",
    ]
    one = "25.0 % (4.6 to 69.9) are cleared, 25.0 % (4.6 to 69.9) referred and 25.0 % (4.6 to 69.9) called pneumonia"
    assert readme.policy_sentences(metrics) == f"On new: Of normal pictures, {one}; of pictures with pneumonia, {one}."
    assert readme.policy_table({"test": {"old": {}}}) == readme.policy_sentences({"test": {"old": {}}}) == ""
