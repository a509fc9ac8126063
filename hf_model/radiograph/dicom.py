"""DICOM -> grey radiograph: decoding, modality and VOI transformation, polarity. Imports pydicom when first used.

The steps are those of PS3.3 C.11 and PS3.4 N.2: stored value -> modality LUT or rescale -> VOI LUT or window (the first
of either; the LUT wins) -> 0..255 -> MONOCHROME1 inverted -> padding black.
"""

from __future__ import annotations

import io
import struct
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_model.radiograph.picture import check_size, colour_findings, depth_of, from_unsigned, scaled
from hf_model.radiograph.types import Finding, Radiograph, UnreadableRadiograph

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PIXEL_TAGS = (
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
)
# Decoders for each transfer syntax: permissive licences, hardened ones first, GDCM only where no other decodes.
PLUGINS = {
    "1.2.840.10008.1.2": (),
    "1.2.840.10008.1.2.1": (),
    "1.2.840.10008.1.2.2": (),
    "1.2.840.10008.1.2.5": ("pydicom",),  # RLE
    "1.2.840.10008.1.2.4.50": ("pillow",),  # JPEG baseline
    "1.2.840.10008.1.2.4.51": ("pillow",),  # JPEG extended, of which 8 bit
    "1.2.840.10008.1.2.4.57": ("gdcm",),  # JPEG lossless
    "1.2.840.10008.1.2.4.70": ("gdcm",),
    "1.2.840.10008.1.2.4.80": ("pyjpegls",),  # JPEG-LS
    "1.2.840.10008.1.2.4.81": ("pyjpegls",),
    "1.2.840.10008.1.2.4.90": ("pylibjpeg", "pillow"),  # JPEG 2000
    "1.2.840.10008.1.2.4.91": ("pylibjpeg", "pillow"),
    "1.2.840.10008.1.2.4.201": ("pylibjpeg",),  # high-throughput JPEG 2000
    "1.2.840.10008.1.2.4.202": ("pylibjpeg",),
    "1.2.840.10008.1.2.4.203": ("pylibjpeg",),
}
# Transfer syntax of a file without meta information, by pydicom's (implicit VR, little endian).
NATIVE = {
    (True, True): "1.2.840.10008.1.2",
    (False, True): "1.2.840.10008.1.2.1",
    (False, False): "1.2.840.10008.1.2.2",
}
MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
HEADER_TAGS = (
    *("Modality", "ViewPosition", "BodyPartExamined", "PatientAge", "PatientBirthDate", "StudyDate"),
    *("PresentationIntentType", "BurnedInAnnotation"),
)
RADIOGRAPHY = ("CR", "DX", "DR", "RG")
CHEST_WORDS = ("CHEST", "THORA", "LUNG", "TORAX", "RIB")
YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
JPEG_START, JPEG2000_START = b"\xff\xd8", b"\xff\x4f\xff\x51"
# Start-of-frame markers of T.81 (C0 to CF but for DHT C4, JPG C8, DAC CC) and of JPEG-LS, T.87 (F7).
FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})


def has_prefix(data: bytes) -> bool:
    """Whether the bytes have DICOM's prefix after a preamble of 128 bytes (PS3.10 7.1)."""
    return data[128:132] == b"DICM"


def looks_like_dicom(data: bytes) -> bool:
    """Whether bytes without preamble begin as a data set does: a plausible element of group 0002 or 0008."""
    if len(data) < 16:
        return False
    explicit = data[4:6].isalpha() and data[4:6].isupper()
    group, element, length = struct.unpack("<HHI", data[:8])
    little = group in (0x0002, 0x0008) and element <= 0x0100 and (explicit or length <= 64)
    return little or (explicit and data[:2] == b"\x00\x08")


def read_dicom(data: bytes, name: str) -> Radiograph:
    """Bytes of one DICOM file -> Radiograph. Raises UnreadableRadiograph and nothing else."""
    try:
        dataset = _parse(data, name)
        _check_header(dataset, name)
        pixels, depth, findings = _grey(dataset, name)
    except UnreadableRadiograph:
        raise
    except ImportError as error:
        raise UnreadableRadiograph(
            "unsupported-compression", f"{name} is DICOM, and reading it needs pydicom; install requirements.txt."
        ) from error
    except Exception as error:  # on hostile bytes pydicom and its decoders raise exceptions of any type
        raise UnreadableRadiograph(
            "damaged", f"{name} is a damaged or incomplete DICOM file; export it again."
        ) from error
    metadata = _facts(dataset)
    size = (pixels.shape[1], pixels.shape[0])
    return Radiograph(pixels, name, "DICOM", size, depth, _header_findings(metadata) + findings, metadata)


def _parse(data: bytes, name: str) -> Dataset:
    """The data set with the needed elements alone: nothing that identifies a patient is read."""
    from pydicom import dcmread
    from pydicom.filereader import read_dataset, read_preamble

    stream = io.BytesIO(data)
    read_preamble(stream, force=True)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    syntax = str(meta.get("TransferSyntaxUID", "")).strip()
    # Refused before pydicom inflates all of a deflated file, which may be of any size
    if syntax and syntax not in PLUGINS:
        from pydicom.uid import UID

        raise _unsupported(name, UID(syntax).name)
    dataset = dcmread(io.BytesIO(data), force=True, specific_tags=[*PIXEL_TAGS, *HEADER_TAGS])
    if not syntax:
        dataset.file_meta.TransferSyntaxUID = NATIVE[dataset.original_encoding]
    return dataset


def _unsupported(name: str, syntax: str) -> UnreadableRadiograph:
    return UnreadableRadiograph(
        "unsupported-compression",
        f"{name} is DICOM compressed as {syntax}, which is not decoded here; export it uncompressed or as PNG.",
    )


def _check_header(dataset: Dataset, name: str) -> None:
    """Refuse what is not one picture of a known kind, before anything is decoded."""
    if not dataset.get("Rows") or not dataset.get("Columns"):
        raise UnreadableRadiograph(
            "no-pixels", f"{name} is a DICOM object without a picture (a report or directory?); choose the image file."
        )
    if "PixelData" not in dataset:  # the last large element, which an interrupted transfer loses
        raise ValueError("the header describes a picture that is not there")
    check_size(int(dataset.Columns), int(dataset.Rows), name)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise UnreadableRadiograph("multi-frame", f"{name} has {frames} frames; export the frontal view alone.")
    kind = dataset.get("PhotometricInterpretation", "MONOCHROME2")
    if kind not in MONOCHROME + COLOUR or int(dataset.BitsAllocated) not in (1, 8, 16):
        raise UnreadableRadiograph(
            "unsupported-pixels",
            f"{name} is DICOM with {dataset.BitsAllocated}-bit {kind} pixels; export it as 8 or 16 bit grey.",
        )


def _decoded(dataset: Dataset, name: str) -> np.ndarray:
    """Stored values (rows, columns), or (rows, columns, 3) as RGB."""
    from pydicom.encaps import get_frame
    from pydicom.pixels import get_decoder, pixel_array

    syntax = dataset.file_meta.TransferSyntaxUID
    plugins = PLUGINS[str(syntax)]
    if not plugins:
        return pixel_array(dataset)
    available = [plugin for plugin in plugins if plugin in get_decoder(syntax).available_plugins]
    if not available or (syntax.endswith(".4.51") and dataset.BitsStored > 8):
        raise _unsupported(name, syntax.name)
    size = frame_size(get_frame(dataset.PixelData, 0, number_of_frames=1))
    if size not in (None, (dataset.Columns, dataset.Rows)):  # a decompression bomb: small in the header, huge inside
        raise ValueError(f"the frame is {size}")
    return pixel_array(dataset, decoding_plugin=available[0])


def _grey(dataset: Dataset, name: str) -> tuple[np.ndarray, int, tuple]:
    """(grey uint8 (rows, columns), bit depth, findings)."""
    stored = _decoded(dataset, name)
    depth = int(dataset.BitsStored)
    if stored.ndim == 3:
        if stored.dtype != np.uint8 or stored.shape[2] != 3:
            raise UnreadableRadiograph(
                "unsupported-pixels", f"{name} is DICOM with {depth}-bit colour; export it as 8 or 16 bit grey."
            )
        from PIL import Image

        picture = Image.fromarray(stored)
        return np.array(picture.convert("L")), depth, colour_findings(picture)
    grey, depth = _shown(stored, dataset, depth)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        grey = 255 - grey
    padding = _padding(stored, dataset)
    if padding is not None:
        grey[padding] = 0
    return np.ascontiguousarray(grey), depth, ()


def _shown(stored: np.ndarray, dataset: Dataset, depth: int) -> tuple[np.ndarray, int]:
    """Stored values -> (display values uint8, bit depth), by the header's transformations or, without, by rule."""
    from pydicom.pixels import apply_modality_lut

    transformed = bool(dataset.get("ModalityLUTSequence")) or (
        (_number(dataset, "RescaleSlope") or 1.0, _number(dataset, "RescaleIntercept") or 0.0) != (1.0, 0.0)
    )
    values = apply_modality_lut(stored, dataset) if transformed else stored
    if dataset.get("VOILUTSequence"):
        return _by_lut(values, dataset.VOILUTSequence[0]), depth
    center, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
    if center is not None and width is not None and width >= 1:
        return _by_window(values, center, width, dataset.get("VOILUTFunction") or "LINEAR"), depth
    if values.dtype.kind == "u" and not dataset.get("PixelRepresentation"):
        # No window: the stored range, as for a picture file. 16 bits may be a container; other depths are exact.
        return from_unsigned(values, depth_of(values) if depth == 16 or values.max() >= 2**depth else depth)
    low, high = float(values.min()), float(values.max())
    return scaled(values, low, high if high > low else low + 1), depth


def _by_window(values: np.ndarray, center: float, width: float, function: str) -> np.ndarray:
    """PS3.3 C.11.2.1.2 and .3 through pydicom, with an output range of 0..255 whatever the stored range is."""
    from pydicom.dataset import Dataset
    from pydicom.pixels import apply_windowing

    window = Dataset()
    window.PhotometricInterpretation, window.PixelRepresentation, window.BitsStored = "MONOCHROME2", 0, 8
    window.WindowCenter, window.WindowWidth, window.VOILUTFunction = center, width, function
    if function != "SIGMOID" and width == 1:  # LINEAR divides by width - 1: here it is a step at the center
        return np.where(values <= center - 0.5, 0, 255).astype(np.uint8)
    return scaled(apply_windowing(values, window), 0, 255)


def _by_lut(values: np.ndarray, item: Any) -> np.ndarray:
    """PS3.3 C.11.2.1.1. Not by pydicom, whose 3.0 wraps values above 255 where entries have 8 bits."""
    entries, first, bits = (int(value) for value in item.LUTDescriptor)
    data = item["LUTData"].value
    table = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.asarray(data)
    table = table[: entries or 2**16].astype(np.float64)
    index = np.clip(np.rint(values).astype(np.int64) - first, 0, len(table) - 1)
    return scaled(table, 0, 2**bits - 1)[index]


def _padding(stored: np.ndarray, dataset: Dataset) -> np.ndarray | None:
    """bool (rows, columns) of the padding outside the exposed field (PS3.3 C.7.5.1.1.2); None without any."""
    first = _number(dataset, "PixelPaddingValue")
    if first is None:
        return None
    last = _number(dataset, "PixelPaddingRangeLimit")
    low, high = sorted((first, first if last is None else last))
    mask = (stored >= low) & (stored <= high)
    return None if mask.all() else mask


def _number(dataset: Dataset, keyword: str) -> float | None:
    """The first value of an element as a finite number; None where it is missing or not a number."""
    try:
        value = dataset.get(keyword)
        value = value[0] if hasattr(value, "__getitem__") and not isinstance(value, str) else value
        value = float(value)
    except (TypeError, ValueError, IndexError, OverflowError, NotImplementedError):
        return None
    return value if abs(value) < float("inf") else None


def _facts(dataset: Dataset) -> dict[str, Any]:
    """Non-identifying facts of the header; those without a value are left out. age_years is a number of years."""
    found = {
        "modality": _text(dataset, "Modality"),
        "view_position": _text(dataset, "ViewPosition"),
        "body_part": _text(dataset, "BodyPartExamined"),
        "presentation_intent": _text(dataset, "PresentationIntentType"),
        "age_years": _age(dataset),
        "photometric_interpretation": _text(dataset, "PhotometricInterpretation"),
        "transfer_syntax": dataset.file_meta.TransferSyntaxUID.name,
    }
    return {key: value for key, value in found.items() if value not in (None, "")}


def _header_findings(found: dict[str, Any]) -> tuple[Finding, ...]:
    """What in the facts speaks against a frontal chest radiograph; ``Population.findings`` judges age and AP or PA."""
    findings = []
    modality, view, part = (found.get(key, "") for key in ("modality", "view_position", "body_part"))
    if modality and modality not in RADIOGRAPHY:
        findings.append(Finding("modality", f"The header says modality {modality}, which is not radiography.", "flag"))
    if part and not any(word in part for word in CHEST_WORDS):
        findings.append(Finding("body-part", f"The header says body part {part}, not chest.", "flag"))
    if view not in ("", "AP", "PA"):
        findings.append(Finding("view", f"The header says {view} view, which is not frontal (AP or PA).", "flag"))
    if found.get("presentation_intent") == "FOR PROCESSING":
        message = "The header says FOR PROCESSING: raw detector values, not the picture a reader sees; export that one."
        findings.append(Finding("for-processing", message, "flag"))
    return tuple(findings)


def _text(dataset: Dataset, keyword: str) -> str:
    """The element's first value, upper case, at most 32 characters; empty where it is missing or broken."""
    try:
        value = dataset.get(keyword)
    except (ValueError, TypeError, NotImplementedError, LookupError, OverflowError):
        return ""
    value = value if isinstance(value, str) else next(iter(value or [""]))
    return "".join(letter for letter in str(value).upper() if letter.isprintable()).strip()[:32]


def _age(dataset: Dataset) -> float | None:
    """Years from PatientAge ("004Y", "018M"), else from birth date and study date."""
    text = _text(dataset, "PatientAge")
    if len(text) >= 2 and text[:-1].isdecimal() and text[-1] in YEARS:
        return round(int(text[:-1]) * YEARS[text[-1]], 2)
    try:
        born, studied = (date.fromisoformat(_text(dataset, keyword)) for keyword in ("PatientBirthDate", "StudyDate"))
    except ValueError:
        return None
    years = (studied - born).days / 365.25
    return round(years, 2) if 0 <= years <= 130 else None


def frame_size(stream: bytes) -> tuple[int, int] | None:
    """(width, height) of a JPEG, JPEG-LS or JPEG 2000 stream; None for any other (RLE has no size of its own).

    Raises ValueError for a JPEG stream without a frame header.
    """
    if stream.startswith(JPEG_START):
        return _jpeg_size(stream)
    start = stream[:4096].find(JPEG2000_START)
    if start < 0:
        return None
    # SIZ (T.800 A.5.1): marker, length, capabilities, then width and height of the grid and the picture's offset in it
    right, bottom, left, top = struct.unpack_from(">4I", stream, start + 8)
    return right - left, bottom - top


def _jpeg_size(stream: bytes) -> tuple[int, int]:
    position = 2
    while position + 9 <= len(stream):
        if stream[position] != 0xFF:
            break
        marker = stream[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in BARE_MARKERS:
            position += 2
        elif marker in FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", stream, position + 5)
            return width, height
        else:
            position += 2 + struct.unpack_from(">H", stream, position + 2)[0]
    raise ValueError("no frame header")
