"""Chest X-ray pneumonia classifier: training, evaluation and serving.

``from hf_model import Classifier`` is all that serving needs. A public name is imported when it is first used, so that
importing the package loads neither torch nor an engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_model.inference.classifier import Classifier
    from hf_model.inference.prediction import Failure, Prediction
    from hf_model.radiograph import UnreadableRadiograph

__all__ = ["Classifier", "Failure", "Prediction", "UnreadableRadiograph"]

_HOMES = {
    "Classifier": "hf_model.inference.classifier",
    "Failure": "hf_model.inference.prediction",
    "Prediction": "hf_model.inference.prediction",
    "UnreadableRadiograph": "hf_model.radiograph",
}


def __getattr__(name: str) -> Any:
    """Import the module of a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
