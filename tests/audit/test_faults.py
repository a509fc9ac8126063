"""Planted faults, through the whole command to the sentence that names them; and data with too little in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from audit_folders import film, name_of, png, write_dicom, write_nested, write_table
from PIL import Image, ImageEnhance

from hf_model.commands.audit import main
from hf_model.config import CHECKPOINT_DIR

FLIPPED = name_of(2, 0, pneumonia=True)


def audit(data: Path, *options: str) -> tuple[dict, str]:
    """audit.json and the page of a run that ends well."""
    out = data.parent / "out"
    arguments = ["--dataset", str(data), "--output", str(out), "--backbone", "none", "--cache_dir", str(out / "cache")]
    assert main([*arguments, *options]) == 0
    return json.loads((out / "audit.json").read_text(), parse_constant=pytest.fail), (out / "index.html").read_text()


def texts(record: dict, topic: str) -> list[str]:
    return [f"{f['severity']}: {f['text']}" for f in record["findings"] if f["topic"] == topic]


@pytest.fixture(scope="module")
def faulty(clean_folder, tmp_path_factory) -> dict:
    """Every fault at once: a class of another size, a flipped label, a darker test split, a patient and a near copy in
    both splits, a broken row, an exact copy within train.
    """
    data = Path(shutil.copytree(clean_folder, tmp_path_factory.mktemp("faults") / "data"))
    normal, sick, test = data / "train/NORMAL", data / "train/PNEUMONIA", data / "test"
    (sick / FLIPPED).rename(normal / FLIPPED)
    for file in normal.iterdir():
        Image.open(file).resize((128, 110)).save(file)
    for file in test.rglob("*.bmp"):
        Image.open(file).point(lambda grey: grey * 0.6).save(file)
    (test / "PNEUMONIA" / name_of(25, 0, pneumonia=True)).rename(test / "PNEUMONIA/person3_virus_9.bmp")
    darker = ImageEnhance.Brightness(Image.open(sick / name_of(6, 0, pneumonia=True))).enhance(0.8)
    darker.save(test / "PNEUMONIA/person901_virus_1.jpeg", quality=60)
    (normal / name_of(1, 0, pneumonia=False)).write_bytes(b"broken")
    shutil.copy(sick / name_of(8, 0, pneumonia=True), sick / "person900_virus_1.bmp")
    return audit(data)[0]


def test_a_corrupt_row_is_named(faulty):
    assert texts(faulty, "integrity")[0] == (
        "fault: Of 146 rows some hold no usable picture: 1 unreadable (the first is train/IM-0001-0001.bmp). Training "
        "skips 1 of them."
    )


def test_a_shared_patient_and_a_near_duplicate_are_leaks_and_nothing_else_is(faulty):
    patient, near = texts(faulty, "leakage")
    assert patient == (
        "fault: Leakage: train and test share 1 patients by the full key, for example person3_virus: "
        "train/person3_virus_30.bmp = test/person3_virus_9.bmp."
    )
    assert near.startswith(
        "fault: Leakage: train and test share 1 nearly equal pictures, for example train/person6_bacteria_60.bmp ~ "
        "test/person901_virus_1.jpeg (correlation 0.99"
    )


def test_an_exact_duplicate_is_counted(faulty):
    (text,) = texts(faulty, "duplicates")
    assert text.startswith("note: 1 groups of pictures have equal decoded pixels (2 files, in data at 224 x 224 px): 0")
    assert text.endswith("0 groups cross splits, 1 join two patient keys. 1 further pairs are nearly equal.")
    (group,) = faulty["duplicates"]["exact"]["list"]
    assert group["files"] == ["train/person8_bacteria_80.bmp", "train/person900_virus_1.bmp"]


def test_a_class_of_another_size_is_a_metadata_shortcut(faulty):
    assert texts(faulty, "shortcuts")[0].startswith(
        "warning: The class can be guessed from metadata alone (size, bytes, mode), AUC: data 1.000 (1.000 to 1.000)."
    )


def test_a_darker_test_split_is_a_shift(faulty):
    (text,) = texts(faulty, "shift")
    assert text.startswith(
        "warning: Test pictures can be told from the others of the same class, AUC: NORMAL by simple"
    )
    assert "PNEUMONIA by 16 px thumbnail 1.000 (1.000 to 1.000)" in text


def test_a_flipped_label_is_the_most_doubtful(faulty):
    (text,) = texts(faulty, "labels")
    assert f"The most doubtful is train/{FLIPPED}, NORMAL, to which it gives " in text
    assert "dropped nowhere" in text


def test_one_class_only_ends_with_notes(tmp_path):
    for patient in range(4):
        for split in ("train", "test"):
            place = tmp_path / "data" / split / "PNEUMONIA"
            place.mkdir(parents=True, exist_ok=True)
            name = name_of(patient + 10 * (split == "test"), 0, pneumonia=True)
            Image.fromarray(film(len(split) * 100 + patient, pneumonia=True)).save(place / name)
    record, page = audit(tmp_path / "data", "--checkpoint", str(CHECKPOINT_DIR))
    assert texts(record, "labels") == [
        "note: Labels were not checked: Cross-validation needs at least two patients of each class."
    ]
    assert texts(record, "shortcuts") == [
        "note: Shortcuts were not probed, or not all: that needs 60 readable development pictures and two patients of "
        "each class."
    ]
    assert record["probes"] == {"data": []}
    assert record["model_note"].startswith("checkpoint is not scored: its split cannot be made again here.")
    assert "Too few patients to split" in record["model_note"]
    assert "Shortcuts were not probed" in page
    assert not (tmp_path / "out/figures/samples_normal.png").exists()


def test_a_class_of_one_patient_is_not_probed_however_many_pictures(tmp_path):
    folder = write_nested(tmp_path / "data", patients=1, pictures=31)
    record, _ = audit(folder)
    assert record["rows"] == 62
    assert [probe["key"] for probe in record["probes"]["data"]] == ["sharpness"]
    assert record["probes"]["data"][0]["auc"]["n"] == 62
    assert texts(record, "shortcuts")[-1].startswith("note: Shortcuts were not probed")
    assert texts(record, "labels")[0].startswith("note: Labels were not checked")


def test_one_test_picture_of_a_class_gives_figures_without_an_interval(folder, tmp_path):
    for file in sorted((folder / "test/NORMAL").iterdir())[1:]:
        file.unlink()
    record, _ = audit(folder)
    held = record["sharpness_on_test"]
    assert (held["n"], held["delong"]) == (25, None)
    assert 0 <= held["interval"][0] <= held["value"] <= held["interval"][1] <= 1


def test_patients_folders_with_equal_names_a_broken_row_and_no_test_split(tmp_path):
    folder = write_nested(tmp_path / "data", patients=3)
    (folder / "NORMAL/p1/0.png").write_bytes(b"broken")
    shutil.copy(folder / "NORMAL/p2/1.png", folder / "PNEUMONIA/p6/1.png")
    record, page = audit(folder)
    assert "1 unreadable (the first is train/NORMAL/p1/0.png)" in texts(record, "integrity")[0]
    assert texts(record, "duplicates")[0] == (
        "fault: 1 groups of equal or nearly equal pictures carry both labels, for example train/NORMAL/p2/1.png and "
        "train/PNEUMONIA/p6/1.png."
    )
    assert texts(record, "leakage") == [
        "note: There is no test split, so nothing was compared with one. Training holds patients out by itself."
    ]
    assert "Nothing was compared: there is only one split." in page
    assert "<p>Clean." not in page


def test_dicom_files_have_sizes_and_a_shortcut(tmp_path):
    for number in range(32):
        write_dicom(tmp_path / f"data/NORMAL/n{number:02}.dcm", film(number, pneumonia=False)[:90], f"N{number}")
        write_dicom(tmp_path / f"data/PNEUMONIA/s{number:02}.dcm", film(900 + number, pneumonia=True), f"S{number}")
    record, page = audit(tmp_path / "data")
    assert [entry["height"]["median"] for entry in record["counts"]] == [90, 96]
    assert "DICOM MONOCHROME2 8: 32" in page
    assert "Patients are identified by PatientID of the DICOM headers, hashed." in page
    assert "AUC: data 1.000 (1.000 to 1.000). No pixel was looked at" in texts(record, "shortcuts")[0]
    assert [f for f in record["findings"] if "pixel mode" in f["text"] or "odd-mode" in f["text"]] == []


def test_columns_reach_the_model_and_the_summary_names_nobody(tmp_path):
    rows = [
        (png(film(n, pneumonia=bool(n % 2))), f"Doe John ({n}), left.png", n % 2, f"MRN-{n // 2}") for n in range(12)
    ]
    rows[1] = (b"broken", *rows[1][1:])
    write_table(tmp_path / "data", "train", rows)
    pixels = png(film(77, pneumonia=False))
    shared = [
        (pixels, "Doe Jane [b], 2.png", 0, "MRN-3"),
        (rows[4][0], "Roe 3.png", 0, "MRN-90"),
        (rows[5][0], "Roe 4.png", 0, "MRN-91"),
        (rows[7][0], "Roe 5.png", 1, "MRN-92"),
    ]
    write_table(tmp_path / "data", "test", shared)
    summary = tmp_path / "summary.json"
    columns = ["--label_column", "finding", "--image_column", "scan", "--patient_column", "who"]
    record, _ = audit(tmp_path / "data", *columns, "--checkpoint", str(CHECKPOINT_DIR), "--summary", str(summary))
    leaks = texts(record, "leakage")
    assert leaks[0].startswith("fault: Leakage: train and test share 1 patients by the full key, for example patient-")
    assert leaks[0].endswith(": train/Doe John (6), left.png = test/Doe Jane [b], 2.png.")
    assert "MRN" not in json.dumps(record)
    assert record["model_note"].startswith("checkpoint is not scored: its split cannot be made again here. ")
    assert record["model_note"].endswith("Patients are known by column who.")
    text = summary.read_text()
    for private in ("Doe", "John", "Jane", "left", "Roe", ".png", "MRN", "patient-", str(tmp_path)):
        assert private not in text
    told = [f["text"] for f in json.loads(text)["findings"]]
    assert "Leakage: train and test share 1 patients by the full key." in told
    assert any("1 unreadable (the first is one picture)." in sentence for sentence in told)
    assert any("carry both labels, for example one picture and one picture." in sentence for sentence in told)
    assert json.loads(text)["command"].startswith("python -m hf_model audit --dataset data --output out ")
