"""The report's page: its first sentence, missing thresholds, escaped text; and the table on the terminal."""

from __future__ import annotations

import re
from typing import Any

import pytest
from generated import make_scores

from hf_model.evaluation.report import ReportInput, build, page, terminal_table
from hf_model.metrics.operating_point import fit_decision

RECORD = {"n": 40, "patients": 30, "normal": 10, "pneumonia": 30, "prevalence": 0.75}
LEAK = {"clean": False, "allowed": True, "counts": {"patients": 2, "pixels": 1, "near": 0}, "unknown_patients": 0}
FACTS = {
    "command": "evaluate <all>",
    "model_id": "mine & yours",
    "weights_sha256": "0" * 64,
    "engine": "torch",
    "dataset_name": "chests",
    "split": "test",
    "role": "test",
    "leakage": None,
}


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    scores = make_scores(80)
    return build(ReportInput(FACTS, fit_decision(scores), scores))


@pytest.fixture
def line(content: dict[str, Any]):
    """The sentence below the title, of 40 pictures."""

    def first(**changes: Any) -> str:
        html = page(content | {"record": content["record"] | RECORD} | changes, {}, [])
        return " ".join(re.search(r"</h1>\s*<p>(.*?)</p>", html, re.DOTALL)[1].split())

    return first


def test_allowed_leakage_comes_first(line) -> None:
    assert line(leakage=LEAK).startswith(
        "TRAINED ON PART OF THIS: development shares 2 patients, 1 equal picture with this split, so figures are too "
        "good. Split test: 40 pictures of 30 patients, 10 normal"
    )


@pytest.mark.parametrize("changes", [{}, {"leakage": LEAK | {"clean": True}}, {"leakage": LEAK, "role": "external"}])
def test_without_it_the_split_comes_first(line, changes: dict) -> None:
    assert line(**changes).startswith("Split test: 40 pictures of 30 patients, 10 normal")


def test_unknown_patients_are_no_number_of_patients(line) -> None:
    assert "40 pictures of unknown patients, so that intervals and promises below count pictures as patients" in (
        line(patients_known=False)
    )


def test_text_is_escaped_and_a_point_without_a_threshold_says_what_it_needs(content) -> None:
    html = page(content, {}, [])
    assert "<h1>Evaluation of mine &amp; yours on chests</h1>" in html
    assert "<code>evaluate &lt;all&gt;</code>" in html
    assert content["decision"]["points"]["rule_out"]["threshold"] is None
    assert "Rule-out:</strong> there is no threshold. Calibration had 60 patients for it, and at least 299" in html
    assert "Rule-out" not in html.split('<h2 id="points">')[1]


def test_the_terminal_shows_what_the_record_holds(content) -> None:
    lines = terminal_table(content).splitlines()
    assert lines[0].startswith("chests, split test: ")
    at = content["record"]["points"]["default"]
    low, high = at["sensitivity"]["interval"]
    expected = f"{100 * at['sensitivity']['value']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
    assert lines[3].split()[:2] == ["threshold", f"{at['threshold']:.4f}"]
    assert expected in lines[3]
    assert [line.split()[0] for line in lines[4:6]] == ["larger", "0.5"]
