"""The two endpoints for programs, also MCP tools: same numbers and same JSON as the page and the command line.

Schema of what they return: ``hf_model.inference.prediction``. Gradio shows these docstrings on the API page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from hf_model.page.batch import run
from hf_model.page.uploads import PENDING, read_upload, unpack
from hf_model.radiograph import UnreadableRadiograph

if TYPE_CHECKING:
    from hf_model.inference.classifier import Classifier


def endpoints(classifier: Classifier) -> tuple[Callable[..., dict[str, Any]], Callable[..., list[dict[str, Any]]]]:
    """``predict`` and ``predict_batch`` for one classifier; their docstrings name its population."""

    def predict(
        file: str, threshold: float | None = None, heat_map: bool = False, override: bool = False
    ) -> dict[str, Any]:
        """Estimate the probability of pneumonia in one frontal chest X-ray of a {one}.

        {population} Decision support for education and research, not a diagnosis. Reads JPEG, PNG (8 or 16 bit), TIFF,
        WebP, BMP and DICOM. Returns the calibrated probability (0 to 1), the decision at the threshold, an answer in
        words (PNEUMONIA LIKELY, PNEUMONIA NOT LIKELY or REFER TO A RADIOLOGIST), what the input checks noticed, model
        id and hash, and timings. If "needs_confirmation" is true the checks doubt that this is a frontal chest X-ray
        (findings say why), and if "refused" is true the picture is unusable: probability, decision, answer and logits
        are then null. Look at the picture; if it is right, call again with override. The file is deleted within about
        a minute of being read.

        Args:
            file: The picture of one chest X-ray.
            threshold: Probability from 0 to 1 at and above which the decision is PNEUMONIA; empty for the model's own.
            heat_map: True to add where the evidence for pneumonia lies, as a base64 PNG under "heat_map".
            override: True to get an answer although the checks flag the picture; never for a refused one.

        Returns:
            One prediction as a JSON object.
        """
        if not file:
            raise _error("No file came; send one picture as `file`.")
        try:
            limit, mapped, asked = _settings(threshold, heat_map, override)
        except gr.Error:
            PENDING.finished([file])
            raise
        try:
            name, data = read_upload(file)
            result = classifier.predict(data, name=name, threshold=limit, heat_map=mapped)
        except UnreadableRadiograph as error:
            raise _error(str(error)) from error
        return (result.override() if asked else result).to_dict(heat_map=mapped)

    def predict_batch(
        files: list[str], threshold: float | None = None, heat_map: bool = False, override: bool = False
    ) -> list[dict[str, Any]]:
        """Estimate the probability of pneumonia in many frontal chest X-rays of {many}.

        {population} Decision support for education and research, not a diagnosis. Takes pictures of the formats that
        predict reads, and zip archives of them. A file that cannot be read gives an object with "error" (code and
        reason) in its place, and the others go on. As in predict, a picture with "needs_confirmation" or "refused" has
        no answer. The files are deleted within about a minute of being read.

        Args:
            files: Pictures and zip archives.
            threshold: Probability from 0 to 1 at and above which the decision is PNEUMONIA; empty for the model's own.
            heat_map: True to add each heat map as a base64 PNG under "heat_map".
            override: True to get an answer for flagged pictures too; never for refused ones.

        Returns:
            One JSON object per picture, in order.
        """
        if not files:
            raise _error("No files came; send at least one picture or zip archive as `files`.")
        try:
            limit, mapped, asked = _settings(threshold, heat_map, override)
            rows = run(
                classifier, unpack(_paths(files)), threshold=limit, heat_map=mapped, override=asked, thumbnails=False
            )
            return [row.result.to_dict(heat_map=mapped) for row in rows]
        finally:
            PENDING.finished(_paths(files))

    population = classifier.population
    words = {"one": population.singular, "many": population.plural, "population": population.trained_on}
    for endpoint in (predict, predict_batch):
        for key, value in words.items():
            endpoint.__doc__ = endpoint.__doc__.replace(f"{{{key}}}", value)
    return predict, predict_batch


def _paths(files: Sequence[str] | str) -> list[str]:
    return [files] if isinstance(files, str) else list(files)


def _settings(threshold: object, heat_map: object, override: object) -> tuple[float | None, bool, bool]:
    """The three settings with their types, or gr.Error naming the one that is wrong; None stands for the default."""
    if threshold is not None:
        number = isinstance(threshold, int | float) and not isinstance(threshold, bool) and math.isfinite(threshold)
        if not number or not 0 <= threshold <= 1:
            raise _error(f"threshold is {threshold!r}; give a probability from 0 to 1, or leave it out.")
    for name, value in (("heat_map", heat_map), ("override", override)):
        if not isinstance(value, bool | None):
            raise _error(f"{name} is {value!r}; give true or false.")
    return threshold, bool(heat_map), bool(override)


def _error(message: str) -> gr.Error:
    return gr.Error(message, print_exception=False)
