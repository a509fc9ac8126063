"""The stored audit of the published data, hf_model/checkpoint/audit.json: names no picture, and adds up."""

from __future__ import annotations

import json
import re

import pytest

from hf_model.audit.findings import find_all
from hf_model.config import CHECKPOINT_DIR

FILE = CHECKPOINT_DIR / "audit.json"
STORED = json.loads(FILE.read_text(encoding="utf-8"))


def test_no_picture_is_named() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert not re.search(r"\.jpe?g|person\d|IM-\d", text)


def test_no_path_of_a_machine_is_in_it() -> None:
    assert not re.search(r"/(?:work|home|tmp|root)\b", FILE.read_text(encoding="utf-8"))


def test_it_is_of_the_published_data_and_adds_up() -> None:
    counts = {(entry["split"], entry["class"]): entry["n"] for entry in STORED["counts"]}
    assert counts["train", "NORMAL"] == 1341
    assert counts["train", "PNEUMONIA"] == 3875
    assert sum(counts.values()) == STORED["rows"] == STORED["integrity"]["rows"] == 5856
    assert (STORED["duplicates"]["exact"]["groups"], STORED["duplicates"]["exact"]["files"]) == (30, 62)
    across = [pair["counts"] for pair in STORED["leakage"]["pairs"] if "test" in pair["splits"]]
    assert all(entry[kind] == 0 for entry in across for kind in ("patients", "files", "pixels", "near"))
    assert STORED["leakage"]["clean"]


def test_its_sentences_follow_from_its_figures() -> None:
    codes = [{"kind": "unusual", "code": code} for code in STORED["integrity"]["codes"]]
    audit = STORED | {
        "integrity": STORED["integrity"] | {"problems": codes},
        "leakage": STORED["leakage"] | {"leaks": [], "unknown_patients": {}},
        "labels": None,  # the most doubtful picture is not in the summary
    }
    stored = [finding for finding in STORED["findings"] if finding["topic"] != "labels"]
    number = re.compile(r"\d[\d,]*(?:\.\d+)?")
    for found, kept in zip(find_all(audit), stored, strict=True):
        assert found["severity"] == kept["severity"]
        assert number.sub("#", found["text"]) == number.sub("#", kept["text"])
        # the sentences were written before the figures were rounded to four decimals
        values = [[float(n.replace(",", "")) for n in number.findall(f["text"])] for f in (found, kept)]
        assert values[0] == pytest.approx(values[1], rel=0, abs=0.0011)
