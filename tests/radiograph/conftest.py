"""Generated pictures and DICOM files for the tests of reading."""

import io

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def film() -> np.ndarray:
    """A grey picture uint8 (96, 128) in which every value 0..255 occurs and no symmetry hides a turn."""
    rows, columns = np.mgrid[0:96, 0:128]
    return ((rows * 2 + columns * 3 + rows * columns // 40) % 256).astype(np.uint8)


@pytest.fixture
def encode():
    """encode(picture or array, format, **options) -> bytes."""

    def encoded(picture, kind, **options) -> bytes:
        if isinstance(picture, np.ndarray):
            picture = Image.fromarray(picture)
        buffer = io.BytesIO()
        picture.save(buffer, kind, **options)
        return buffer.getvalue()

    return encoded


@pytest.fixture
def dicom_of():
    """dicom_of(array, syntax=None, **elements) -> bytes of a DX image; elements override or (None) drop attributes."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    def made(array, *, syntax=None, preamble=True, compress=None, **elements) -> bytes:
        dataset = pydicom.Dataset()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax or ExplicitVRLittleEndian
        dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
        dataset.SOPInstanceUID = generate_uid()
        dataset.PatientName, dataset.PatientID = "Secret^Name", "4711"
        dataset.Modality, dataset.ViewPosition, dataset.BodyPartExamined, dataset.PatientAge = (
            "DX",
            "AP",
            "CHEST",
            "003Y",
        )
        dataset.Rows, dataset.Columns = array.shape[:2]
        dataset.SamplesPerPixel = 1 if array.ndim == 2 else array.shape[2]
        dataset.PhotometricInterpretation = "MONOCHROME2" if array.ndim == 2 else "RGB"
        if array.ndim == 3:
            dataset.PlanarConfiguration = 0
        bits = array.dtype.itemsize * 8
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
        dataset.PixelRepresentation = int(array.dtype.kind == "i")
        for keyword, value in elements.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        if "BitsStored" in elements:
            dataset.HighBit = dataset.BitsStored - 1
        big = dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.2"
        dataset.PixelData = array.astype(array.dtype.newbyteorder(">" if big else "<")).tobytes()
        dataset["PixelData"].VR = "OW" if bits == 16 else "OB"
        if compress:
            dataset.compress(compress, generate_instance_uid=False)
        buffer = io.BytesIO()
        if preamble:
            dataset.save_as(buffer, enforce_file_format=True)
            return buffer.getvalue()
        del dataset.file_meta
        implicit = syntax == "1.2.840.10008.1.2"
        pydicom.dcmwrite(buffer, dataset, implicit_vr=implicit, little_endian=not big)
        return buffer.getvalue()

    return made
