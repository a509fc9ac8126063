"""The stored audit of the published data, hf_model/checkpoint/audit.json: names nobody's picture, and adds up."""

from __future__ import annotations

import json
import re

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
