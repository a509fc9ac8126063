"""What the certificate says where patients are unknown, partly or altogether, and where there is nothing to compare."""

from __future__ import annotations

import pytest
from audit_folders import film, write_nested
from PIL import Image

from hf_model.audit.duplicates import find_duplicates
from hf_model.audit.findings import leakage
from hf_model.audit.leakage import certificate, verdict


def certify(pictures):
    return certificate(pictures, find_duplicates(pictures)[1])


def told(part) -> list[tuple[str, str]]:
    return [(entry["severity"], entry["text"]) for entry in leakage(part)]


def test_known_patients_and_a_test_split_are_clean_without_a_but(clean_folder, read):
    part = certify(read(clean_folder))
    assert part["unknown_patients"] == {}
    assert verdict(part) == "Clean."
    (entry,) = told(part)
    assert entry == (
        "note",
        "No leakage: no patient (full key), file, decoded picture or near duplicate is in test and elsewhere.",
    )


def test_one_unknown_patient_is_counted_and_hides_no_other(folder, read):
    Image.fromarray(film(501, pneumonia=False)).save(folder / "test/NORMAL/scan.bmp")
    part = certify(read(folder))
    assert part["unknown_patients"] == {"train": {"pictures": 96, "unknown": 0}, "test": {"pictures": 49, "unknown": 1}}
    assert part["pairs"][0]["counts"]["patients"] == 0
    sentence = "Patients of 1 of 145 pictures are unknown and were not compared (1 in test)."
    assert verdict(part) == f"Clean as far as compared. {sentence}"
    assert told(part) == [
        ("warning", sentence),
        (
            "note",
            "Clean as far as compared: no file, decoded picture or near duplicate is in test and elsewhere. "
            "Patients were not all compared.",
        ),
    ]
    Image.fromarray(film(502, pneumonia=False)).save(folder / "test/NORMAL/IM-0003-0009.bmp")
    part = certify(read(folder))
    assert part["pairs"][0]["counts"]["patients"] == 1
    assert told(part)[0][0] == "fault"
    assert told(part)[1][1] == "Patients of 1 of 146 pictures are unknown and were not compared (1 in test)."
    assert verdict(part).startswith("NOT clean")


def test_a_split_without_any_patient_is_not_compared(folder, read):
    for number, file in enumerate(sorted((folder / "test").rglob("*.bmp"))):
        file.rename(file.with_name(f"scan{number}.bmp"))
    part = certify(read(folder))
    assert part["patient_keys"]
    assert (part["pairs"][0]["counts"]["patients"], part["pairs"][0]["counts"]["files"]) == (None, 0)
    assert part["unknown_patients"]["test"] == {"pictures": 48, "unknown": 48}


def test_without_patients_it_is_clean_only_as_far_as_compared(folder, read):
    for number, file in enumerate(sorted(folder.rglob("*.bmp"))):
        file.rename(file.with_name(f"scan{number}.bmp"))
    part = certify(read(folder))
    assert verdict(part) == (
        "Clean as far as compared. Patients were not compared: the patient of each picture is unknown."
    )
    assert told(part) == [
        ("warning", "The patient of each picture is unknown, so patients could not be compared between the splits."),
        (
            "note",
            "Clean as far as compared: no file, decoded picture or near duplicate is in test and elsewhere. "
            "Patients were not compared.",
        ),
    ]


@pytest.mark.parametrize("known", [True, False])
def test_one_split_compares_nothing(tmp_path, read, known):
    folder = write_nested(tmp_path / "data", patients=4)
    if not known:
        for number, file in enumerate(sorted(folder.rglob("*.png"))):
            file.rename(file.parent.parent / f"scan{number}.png")
    part = certify(read(folder))
    assert part["pairs"] == []
    assert verdict(part).startswith("Nothing was compared: there is only one split.")
    assert ("patient of each picture is unknown" in verdict(part)) != known
    note = "There is no test split, so nothing was compared with one. Training holds "
    if known:
        assert told(part) == [("note", f"{note}patients out by itself.")]
    else:
        doubt = "The patient of each picture is unknown, so patients cannot be held out together."
        assert told(part) == [("warning", doubt), ("note", f"{note}pictures out, not patients.")]


def test_train_and_validation_alone_are_compared_with_no_test_split(folder, read):
    (folder / "test").rename(folder / "validation")
    part = certify(read(folder))
    assert verdict(part) == ("Nothing was compared with a test split: there is none. Training splits the others anew.")
    assert part["pairs"][0]["splits"] == ["train", "validation"]


def test_rows_that_nobody_reads_leak_nothing(folder, read):
    for file in ("train/NORMAL/IM-0900-0001.bmp", "test/NORMAL/IM-0900-0001.bmp"):
        (folder / file).write_bytes(b"")
    part = certify(read(folder))
    assert part["pairs"][0]["counts"] == {"patients": 0, "bare_numbers": 0, "files": 0, "pixels": 0, "near": 0}
    assert part["clean"]
