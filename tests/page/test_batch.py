"""A batch: rows in order whatever happens, the same table as the command line, the view, the downloads."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from hf_model.inference.classifier import Classifier
from hf_model.inference.prediction import CSV_COLUMNS, Failure
from hf_model.page import batch
from hf_model.page.batch import Row, as_csv, as_json, run


@pytest.fixture(scope="session")
def rows(classifier: Classifier, files: Path) -> list[Row]:
    """clear, a bomb, broken, sick, inverted (flagged), blank (refused), a link."""
    read = {name: getattr(files, name).read_bytes() for name in ("clear", "broken", "sick", "inverted", "blank")}
    bomb, evil = Failure("bomb.png", "zip-bomb", "Bomb."), Failure("<b>.png", "link", "<i>Link</i>.")
    named = {name: (f"{name}.png", data) for name, data in read.items()}
    items = [named["clear"], bomb, named["broken"], named["sick"], named["inverted"], named["blank"], evil]
    return list(run(classifier, items))


def test_rows_keep_their_order_and_a_bad_file_stops_nothing(rows: list[Row]) -> None:
    names = ["clear.png", "bomb.png", "broken.png", "sick.png", "inverted.png", "blank.png", "<b>.png"]
    assert [row.result.name for row in rows] == names
    assert [row.result.ok for row in rows] == [True, False, False, True, True, True, False]
    assert [row.refused for row in rows] == [False, True, True, False, False, True, True]
    assert [bool(row.thumbnail) for row in rows] == [True, False, False, True, True, True, False]
    assert rows[1].result == Failure("bomb.png", "zip-bomb", "Bomb.")
    assert "inverted" in rows[4].reasons


def test_numbers_are_those_of_a_single_prediction(rows: list[Row], classifier: Classifier, files: Path) -> None:
    for row, name in ((rows[0], "clear"), (rows[3], "sick")):
        single = classifier.predict(getattr(files, name), heat_map=False)
        assert row.result.probability == pytest.approx(single.probability, abs=1e-6)


def test_csv_is_the_command_lines(rows: list[Row]) -> None:
    table = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert tuple(table[0]) == CSV_COLUMNS
    assert [entry["name"] for entry in table][:2] == ["clear.png", "bomb.png"]
    assert (table[1]["error"], table[1]["reason"], table[1]["probability"]) == ("zip-bomb", "Bomb.", "")
    assert float(table[3]["probability"]) == pytest.approx(rows[3].result.probability, abs=1e-6)


@pytest.mark.parametrize("name", ['=HYPERLINK("http://x")', "+1.png", "-1.png", "@x.png"])
def test_csv_names_cannot_run_as_formulas(name: str) -> None:
    table = list(csv.DictReader(io.StringIO(as_csv([Row(Failure(name, "damaged", "Broken."))]))))
    assert table[0]["name"] == f"'{name}"


def test_json_holds_every_row_as_the_schema_says(rows: list[Row]) -> None:
    content = json.loads(as_json(rows))
    assert content == [row.result.to_dict() for row in rows]
    assert content[2]["error"]["code"] == "damaged"


def test_table_marks_bad_rows_and_escapes(rows: list[Row]) -> None:
    html = batch.table(rows)
    assert html.count('class="cxr-bad"') == 4
    assert html.count("× NO ANSWER") == 4
    assert html.count('class="cxr-flagged"') == 1
    assert html.count("! CHECK FIRST") == 1
    assert "&lt;i&gt;Link&lt;/i&gt;." in html
    assert "<b>" not in html
    assert "<i>" not in html
    # A refused picture's probability is not shown.
    blank = next(part for part in html.split("<tr") if 'data-name="blank.png"' in part)
    assert 'data-probability=""' in blank
    assert "%" not in blank


def test_long_batches_are_cut_on_the_page_only(monkeypatch: pytest.MonkeyPatch, rows: list[Row]) -> None:
    monkeypatch.setattr(batch, "SHOWN_ROWS", 3)
    html = batch.table(rows)
    assert html.count("data-number=") == 3
    assert "The first 3 of 7 files; CSV and JSON hold all of them." in html


def test_histogram_counts_answered_pictures_only(rows: list[Row], classifier: Classifier) -> None:
    html = batch.histogram(rows, classifier.decision)
    counted = [int(number) for number in re.findall(r": (\d+)</title>", html)]
    assert sum(counted) == 2
    assert len(counted) == 20
    assert counted[int(rows[0].result.probability * 20)] >= 1
    assert batch.histogram([rows[1]], classifier.decision) == ""


def test_counts_add_up(rows: list[Row]) -> None:
    numbers = [int(number) for number in re.findall(r"<strong>(\d+)</strong>", batch.counts(rows))]
    assert sum(numbers) == 7
    assert numbers[3:] == [1, 4]


def test_override_answers_flagged_pictures_and_nothing_else(rows: list[Row]) -> None:
    before, after = ([row.answered for row in found] for found in (rows, [row.override() for row in rows]))
    assert before == [True, False, False, True, False, False, False]
    assert after == [True, False, False, True, True, False, False]
    html = batch.table([row.override() for row in rows])
    assert "! Overridden: The film looks inverted" in html
    assert "CHECK FIRST" not in html
    table = list(csv.DictReader(io.StringIO(as_csv([rows[4], rows[4].override()]))))
    assert [entry["answer"] != "" for entry in table] == [False, True]
    assert [entry["needs_confirmation"] for entry in table] == ["true", "false"]
