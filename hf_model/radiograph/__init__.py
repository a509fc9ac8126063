"""Bytes of any upload -> one validated grey radiograph, or a refusal with its reason; preprocessing; OOD detection.

Importing this loads NumPy and Pillow only; pydicom is imported when a DICOM file comes.
"""

from hf_model.radiograph.checks import check_radiograph
from hf_model.radiograph.ood import OODDetector
from hf_model.radiograph.population import Population
from hf_model.radiograph.preprocess import Preprocessing
from hf_model.radiograph.reading import read_radiograph
from hf_model.radiograph.types import Finding, Radiograph, UnreadableRadiograph

__all__ = [
    "Finding",
    "OODDetector",
    "Population",
    "Preprocessing",
    "Radiograph",
    "UnreadableRadiograph",
    "check_radiograph",
    "read_radiograph",
]
