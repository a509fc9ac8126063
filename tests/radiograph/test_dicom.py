"""read_radiograph on DICOM: equal to the 8-bit picture, the standard's transformations by hand, refusals; and what
the header says: findings, and metadata that names nobody."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread, uid
from pydicom.encaps import encapsulate

from hf_model.radiograph import UnreadableRadiograph, read_radiograph
from hf_model.radiograph.dicom import PLUGINS, frame_size
from hf_model.radiograph.population import KERMANY
from hf_model.radiograph.reading import CODES


def refused(source, **options) -> UnreadableRadiograph:
    with pytest.raises(UnreadableRadiograph) as caught:
        read_radiograph(source, **options)
    assert caught.value.code in CODES
    return caught.value


def encapsulated(data: bytes, frame: bytes, syntax: str, **elements) -> bytes:
    """The DICOM file with its pixels replaced by one compressed frame."""
    dataset = dcmread(io.BytesIO(data))
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def spread(*values) -> np.ndarray:
    """uint16 (64, 64) whose first row starts with the values."""
    array = np.zeros((64, 64), np.uint16)
    array[0, : len(values)] = values
    return array


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
@pytest.mark.parametrize("preamble", [True, False])
def test_native_files_with_and_without_preamble_equal_the_picture(syntax, preamble, film, dicom_of, tmp_path):
    for array in (film, film.astype(np.uint16) * 257):
        path = tmp_path / "00000017"  # no extension
        path.write_bytes(dicom_of(array, syntax=syntax, preamble=preamble))
        radiograph = read_radiograph(path)
        assert np.array_equal(radiograph.pixels, film)
        assert (radiograph.format, radiograph.bit_depth) == ("DICOM", array.dtype.itemsize * 8)
        assert radiograph.original_size == (128, 96)
        assert radiograph.findings == ()


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_compressed_files_equal_the_picture(syntax, film, dicom_of):
    for array in (film, film.astype(np.uint16) * 257):
        assert np.array_equal(read_radiograph(dicom_of(array, compress=syntax)).pixels, film)


def test_jpeg_lossless_equals_the_picture(film, dicom_of, tmp_path):
    gdcm = pytest.importorskip("gdcm")
    for number, array in enumerate((film, film.astype(np.uint16) * 257)):
        source, target = tmp_path / f"{number}.dcm", tmp_path / f"{number}-lossless.dcm"
        source.write_bytes(dicom_of(array))
        reader = gdcm.ImageReader()
        reader.SetFileName(str(source))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFile(reader.GetFile())
        writer.SetFileName(str(target))
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        radiograph = read_radiograph(target)
        assert "JPEG Lossless" in radiograph.metadata["transfer_syntax"]
        assert np.array_equal(radiograph.pixels, film)


def test_jpeg_baseline_is_what_pillow_decodes(film, dicom_of, encode):
    frame = encode(film, "JPEG", quality=92)
    data = encapsulated(dicom_of(film), frame, uid.JPEGBaseline8Bit)
    assert np.array_equal(read_radiograph(data).pixels, np.asarray(Image.open(io.BytesIO(frame))))


@pytest.mark.parametrize(("bits", "value", "grey"), [(12, 2048, 128), (14, 4096, 64), (10, 512, 128)])
def test_stored_bits_give_the_range_without_a_window(bits, value, grey, dicom_of):
    radiograph = read_radiograph(dicom_of(spread(2**bits - 1, value), BitsStored=bits))
    assert radiograph.pixels[0, :3].tolist() == [255, grey, 0]
    assert radiograph.bit_depth == bits


def test_16_stored_bits_may_hold_12(dicom_of):
    assert read_radiograph(dicom_of(spread(4095, 2048))).pixels[0, :3].tolist() == [255, 128, 0]


def test_monochrome1_is_inverted(film, dicom_of):
    data = dicom_of(255 - film, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(read_radiograph(data).pixels, film)


@pytest.mark.parametrize(
    ("function", "width", "values", "greys"),
    [
        # C.11.2.1.2: ((x - (c - 0.5)) / (w - 1) + 0.5) * 255 with c = 100, w = 51: x = 75 -> 2.55, 100 -> 130.05
        ("LINEAR", 51, (74, 75, 100, 124, 125), (0, 3, 130, 252, 255)),
        # ((x - c) / w + 0.5) * 255: x = 99 -> 122.4, 101 -> 132.6
        ("LINEAR_EXACT", 50, (74, 75, 99, 101, 126), (0, 0, 122, 133, 255)),
        # 255 / (1 + exp(-4 (x - c) / w)): x = 75 -> exp(1.9608) = 7.105 -> 31.46; x = 125 -> 223.5
        ("SIGMOID", 51, (0, 75, 100, 125, 200), (0, 31, 128, 224, 255)),
    ],
)
def test_window_by_hand(function, width, values, greys, dicom_of):
    data = dicom_of(spread(*values), WindowCenter=100, WindowWidth=width, VOILUTFunction=function)
    assert read_radiograph(data).pixels[0, :5].tolist() == list(greys)


def test_window_of_the_full_8_bit_range_changes_nothing(film, dicom_of):
    assert np.array_equal(read_radiograph(dicom_of(film, WindowCenter=128, WindowWidth=256)).pixels, film)


def test_first_of_several_windows_and_width_1(dicom_of):
    data = dicom_of(spread(99, 100), WindowCenter=["100", "2000"], WindowWidth=["1", "4000"])
    assert read_radiograph(data).pixels[0, :3].tolist() == [0, 255, 0]


def test_rescale_comes_before_the_window(dicom_of):
    # stored 10, 60, 110 -> 2 x - 20 = 0, 100, 200; window center 100.5, width 201: (y - 100) / 200 + 0.5
    data = dicom_of(spread(10, 60, 110), RescaleSlope=2, RescaleIntercept=-20, WindowCenter=100.5, WindowWidth=201)
    assert read_radiograph(data).pixels[0, :3].tolist() == [0, 128, 255]


def test_signed_or_rescaled_values_without_a_window_span_the_picture(dicom_of):
    values = np.full((64, 64), -100, np.int16)
    values[0, :3] = (-1000, 0, 1000)
    assert read_radiograph(dicom_of(values)).pixels[0, :4].tolist() == [0, 128, 255, 115]  # 900 / 2000 * 255 = 114.75
    data = dicom_of(spread(0, 10, 20), RescaleSlope=-1, RescaleIntercept=20)
    assert read_radiograph(data).pixels[0, :3].tolist() == [255, 128, 0]


@pytest.mark.parametrize(("bits", "top"), [(8, 255), (12, 4095)])
def test_voi_lut_by_hand(bits, top, dicom_of):
    item = Dataset()
    # four entries from stored value 1000 on; below and above take the first and the last
    item.LUTDescriptor = [4, 1000, bits]
    item.LUTData = [0, top // 3, top * 2 // 3, top]
    item["LUTData"].VR = "US"
    data = dicom_of(spread(5, 1000, 1001, 1002, 1003, 4000), VOILUTSequence=[item], WindowCenter=1, WindowWidth=2)
    assert read_radiograph(data).pixels[0, :6].tolist() == [0, 0, 85, 170, 255, 255]


def test_modality_lut_by_hand(dicom_of):
    item = Dataset()
    item.LUTDescriptor, item.LUTData, item.ModalityLUTType = [3, 0, 16], [0, 4095, 2048], "US"
    item["LUTData"].VR = "US"
    assert read_radiograph(dicom_of(spread(1, 2), ModalityLUTSequence=[item])).pixels[0, :3].tolist() == [255, 128, 0]


def test_padding_is_black_in_both_polarities(dicom_of):
    values = spread(4095, 100, 65535)
    for kind, expected in (("MONOCHROME2", [255, 6, 0]), ("MONOCHROME1", [0, 249, 0])):
        data = dicom_of(
            values, PhotometricInterpretation=kind, PixelPaddingValue=65535, WindowCenter=2048, WindowWidth=4096
        )
        assert read_radiograph(data).pixels[0, :3].tolist() == expected
    data = dicom_of(values, PixelPaddingValue=60000, PixelPaddingRangeLimit=65535, WindowCenter=2048, WindowWidth=4096)
    assert read_radiograph(data).pixels[0, 2] == 0


def test_colour_is_grey_and_flagged(dicom_of):
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32] = (200, 40, 10)
    radiograph = read_radiograph(dicom_of(pixels))
    assert radiograph.pixels[0, 0] == 84  # as for a PNG
    assert [found.code for found in radiograph.findings] == ["colour"]


def test_a_tiff_header_in_the_preamble_is_still_dicom(film, dicom_of):
    data = dicom_of(film)
    assert read_radiograph(b"II*\0" + data[4:]).format == "DICOM"


def test_refusals(film, dicom_of, encode):
    assert refused(dicom_of(film, NumberOfFrames=2)).code == "multi-frame"
    assert refused(dicom_of(film, PhotometricInterpretation="PALETTE COLOR")).code == "unsupported-pixels"
    assert refused(dicom_of(np.zeros((64, 64, 3), np.uint16))).code == "unsupported-pixels"
    assert refused(dicom_of(film[:10])).code == "too-small"
    assert refused(dicom_of(film, Rows=20_000, Columns=20_000)).code == "too-many-pixels"
    assert refused(dicom_of(film, Rows=200)).code == "damaged"
    assert refused(dicom_of(film, Rows=None)).code == "no-pixels"
    whole = dicom_of(film)
    assert refused(whole[: len(whole) - film.size - 12]).code == "damaged"
    deflated = dicom_of(film, syntax=uid.DeflatedExplicitVRLittleEndian)
    assert refused(deflated).code == "unsupported-compression"
    deep = encapsulated(dicom_of(film.astype(np.uint16)), encode(film, "JPEG"), uid.JPEGExtended12Bit, BitsStored=12)
    error = refused(deep, name="x.dcm")
    assert error.code == "unsupported-compression"
    assert str(error).startswith("x.dcm is DICOM compressed as JPEG Extended")
    video = encapsulated(dicom_of(film), b"\0" * 64, uid.MPEG2MPML)
    assert refused(video).code == "unsupported-compression"


def test_a_missing_decoder_is_told(film, dicom_of, monkeypatch):
    data = dicom_of(film, compress=uid.JPEGLSLossless)
    monkeypatch.setitem(PLUGINS, uid.JPEGLSLossless, ("no",))
    assert refused(data).code == "unsupported-compression"


def test_a_frame_larger_than_its_header_is_refused_before_decoding(film, dicom_of, encode):
    bomb = encode(Image.new("L", (6000, 6000)), "JPEG")
    assert frame_size(bomb) == (6000, 6000)
    assert refused(encapsulated(dicom_of(film), bomb, uid.JPEGBaseline8Bit)).code == "damaged"
    bomb = encode(Image.new("L", (3000, 2000)), "JPEG2000", no_jp2=True)
    assert frame_size(bomb) == (3000, 2000)
    assert refused(encapsulated(dicom_of(film), bomb, uid.JPEG2000Lossless)).code == "damaged"
    with pytest.raises(ValueError, match="no frame header"):
        frame_size(b"\xff\xd8\xff\xd9" + bytes(20))
    assert frame_size(b"\0" * 64) is None


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("compress", [None, uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_truncated_and_flipped_bytes_raise_nothing_else(compress, film, dicom_of):
    data = dicom_of(film, compress=compress)
    rng = np.random.default_rng(2)
    for length in {*range(1, 200, 7), *rng.integers(1, len(data) * 9 // 10, 40).tolist()}:
        assert refused(data[:length]).code in CODES
    for _ in range(150):
        broken = np.frombuffer(data, np.uint8).copy()
        broken[rng.integers(128, len(data), 6)] = rng.integers(0, 256, 6)
        broken[rng.integers(132, 900, 2)] = rng.integers(0, 256, 2)
        with contextlib.suppress(UnreadableRadiograph):
            assert read_radiograph(broken.tobytes()).pixels.dtype == np.uint8


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
