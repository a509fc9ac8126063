"""What a DICOM header says: findings, metadata without anybody's name."""

import pytest

from hf_model.radiograph import read_radiograph
from hf_model.radiograph.population import KERMANY


@pytest.mark.parametrize(
    ("elements", "code"),
    [
        ({"Modality": "MR"}, "modality"),
        ({"BodyPartExamined": "HAND"}, "body-part"),
        ({"ViewPosition": "LL"}, "view"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "for-processing"),
    ],
)
def test_header_findings(elements, code, film, dicom_of):
    (finding,) = read_radiograph(dicom_of(film, **elements)).findings
    assert finding.code == code
    assert finding.severity == "flag"


@pytest.mark.parametrize(
    ("elements", "code"),
    [
        ({"ViewPosition": "PA"}, "view-pa"),
        ({"PatientAge": "006Y"}, "age"),
        ({"PatientAge": "011M"}, "age"),
        ({"PatientAge": None, "PatientBirthDate": "19600101", "StudyDate": "20200101"}, "age"),
    ],
)
def test_what_lies_outside_the_population_is_found_by_the_population(elements, code, film, dicom_of):
    radiograph = read_radiograph(dicom_of(film, **elements))
    assert radiograph.findings == ()
    (finding,) = KERMANY.findings(radiograph.metadata)
    assert (finding.code, finding.severity) == (code, "note" if code == "view-pa" else "flag")
    assert finding.message.endswith(f"the model was trained on {KERMANY.text}.")


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"PatientAge": "012M"},
        {"PatientAge": "005Y"},
        {"PatientAge": None, "PatientBirthDate": "20170601", "StudyDate": "20200101"},
        {"PatientAge": None, "ViewPosition": None, "BodyPartExamined": None, "Modality": None},
        {"BodyPartExamined": "THORAX", "Modality": "CR", "ViewPosition": ""},
    ],
)
def test_headers_without_findings(elements, film, dicom_of):
    assert read_radiograph(dicom_of(film, **elements)).findings == ()


def test_metadata_has_facts_and_nobody(film, dicom_of):
    radiograph = read_radiograph(dicom_of(film, PatientBirthDate="20170601", StudyDate="20200101"))
    assert radiograph.metadata == {
        "modality": "DX",
        "view_position": "AP",
        "body_part": "CHEST",
        "age_years": 3.0,
        "photometric_interpretation": "MONOCHROME2",
        "transfer_syntax": "Explicit VR Little Endian",
    }
    assert "Secret" not in repr(radiograph)
    assert "4711" not in repr(radiograph)
