"""The two endpoints for programs, also MCP tools: same numbers and same JSON as the page and the command line.

Schema of what they give: ``hf_model.inference.schema``. Gradio shows these docstrings on the API page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from hf_model.page.archive import expand
from hf_model.page.batch import run
from hf_model.page.uploads import discard, take
from hf_model.radiograph import UnreadableRadiograph

if TYPE_CHECKING:
    from hf_model.inference.classifier import Classifier


def endpoints(classifier: Classifier) -> tuple[Callable[..., dict[str, Any]], Callable[..., list[dict[str, Any]]]]:
    """``predict`` and ``predict_batch`` for one classifier."""

    def predict(file: str, threshold: float | None = None, heat_map: bool = False) -> dict[str, Any]:
        """Estimate the probability of pneumonia in one frontal chest X-ray of a child.

        Decision support for education and research, not a diagnosis. Reads JPEG, PNG (8 or 16 bit), TIFF, WebP, BMP
        and DICOM. Returns the calibrated probability (0 to 1), the decision at the threshold, an answer in words
        (PNEUMONIA LIKELY, PNEUMONIA NOT LIKELY or REFER TO A RADIOLOGIST), what the input checks noticed, model id and
        hash, and timings. If "refused" is true the picture is no frontal chest X-ray and the probability means
        nothing. The file is deleted once it is read.

        Args:
            file: The picture of one chest X-ray.
            threshold: Probability from 0 to 1 at and above which the decision is PNEUMONIA; empty for the model's own.
            heat_map: True to add where the evidence for pneumonia lies, as a base64 PNG under "heat_map".

        Returns:
            One prediction as a JSON object.
        """
        if not file:
            raise gr.Error("No file came; send one picture as `file`.", print_exception=False)
        limit = _threshold(threshold)
        try:
            name, data = take(file)
            result = classifier.predict(data, name=name, threshold=limit, heat_map=bool(heat_map))
        except UnreadableRadiograph as error:
            raise gr.Error(str(error), print_exception=False) from error
        return result.to_dict(heat_map=bool(heat_map))

    def predict_batch(files: list[str], threshold: float | None = None, heat_map: bool = False) -> list[dict[str, Any]]:
        """Estimate the probability of pneumonia in many frontal chest X-rays of children.

        Decision support for education and research, not a diagnosis. Takes pictures of the formats that predict reads,
        and zip archives of them. A file that cannot be read gives an object with "error" (code and reason) in its
        place, and the others go on. The files are deleted once they are read.

        Args:
            files: Pictures and zip archives.
            threshold: Probability from 0 to 1 at and above which the decision is PNEUMONIA; empty for the model's own.
            heat_map: True to add each heat map as a base64 PNG under "heat_map".

        Returns:
            One JSON object per picture, in order.
        """
        if not files:
            raise gr.Error("No files came; send at least one picture or zip archive as `files`.", print_exception=False)
        limit = _threshold(threshold)
        try:
            rows = run(classifier, expand(_paths(files)), threshold=limit, heat_map=bool(heat_map), thumbnails=False)
            return [row.result.to_dict(heat_map=bool(heat_map)) for row in rows]
        finally:
            discard(_paths(files))

    return predict, predict_batch


def _paths(files: Sequence[str] | str) -> list[str]:
    return [files] if isinstance(files, str) else [str(file) for file in files]


def _threshold(value: float | None) -> float | None:
    if value is not None and not 0 <= value <= 1:
        raise gr.Error(f"threshold is {value}; give a probability from 0 to 1, or leave it out.", print_exception=False)
    return value
