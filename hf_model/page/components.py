"""Gradio's own blocks and file input with what programs need of them: true file names, and a reason for what is wrong.

The file input is changed on the instance: a subclass would make Gradio write a ``.pyi`` file beside this module.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.data_classes import FileData, ListFiles
from gradio.exceptions import InvalidPathError

from hf_model.page.uploads import Uploaded, true_name

HOW = "send it as gradio_client's handle_file(path), or as the path that POST /gradio_api/upload gave"


class ExplainedBlocks(gr.Blocks):
    """``gr.Blocks`` that tells a program what was wrong with its call, where Gradio tells only the server's log.

    A call may leave out values at the end: they take their defaults.
    """

    def validate_inputs(self, block_fn: Any, inputs: list[Any]) -> None:
        """Fill in defaults; raises gr.Error for a value that should be a file and is none."""
        inputs += [block.value for block in block_fn.inputs[len(inputs) :]]
        for block, value in zip(block_fn.inputs, inputs, strict=False):
            if isinstance(block, gr.File):
                _check(block, value)
        super().validate_inputs(block_fn, inputs)

    async def preprocess_data(self, *args: Any, **options: Any) -> list[Any]:
        """As Gradio does; gr.Error for a path that is no upload."""
        try:
            return await super().preprocess_data(*args, **options)
        except InvalidPathError as error:
            raise gr.Error(f"The file was not uploaded to this server; {HOW}.", print_exception=False) from error


def file_input(**options: Any) -> gr.File:
    """``gr.File`` whose events get ``Uploaded`` (or a list of them), or None without a file.

    Gradio's own also leaves an empty temporary file behind for every upload; this one does not.
    """
    component = gr.File(**options)
    component.preprocess = _received
    return component


def _check(block: gr.File, value: Any) -> None:
    """gr.Error unless the value is None, or Gradio's JSON of one or of several files, as the component takes."""
    if value is None or (block.file_count == "single" and _is_file(value)):
        return
    if block.file_count == "single":
        raise gr.Error(f"{block.label} is {_shown(value)}, which is no upload; {HOW}.", print_exception=False)
    if not isinstance(value, list):
        raise gr.Error(f"{block.label} is {_shown(value)}; give a list of files.", print_exception=False)
    for number, entry in enumerate(value):
        if not _is_file(entry):
            message = f"{block.label}[{number}] is {_shown(entry)}, which is no upload; {HOW}."
            raise gr.Error(message, print_exception=False)


def _is_file(value: Any) -> bool:
    meta = value.get("meta") if isinstance(value, dict) else None
    return isinstance(meta, dict) and meta.get("_type") == "gradio.FileData" and isinstance(value.get("path"), str)


def _received(payload: FileData | ListFiles | None) -> Uploaded | list[Uploaded] | None:
    if payload is None:
        return None
    if isinstance(payload, FileData):
        return Uploaded(payload.path, true_name(payload.path, payload.orig_name))
    return [Uploaded(file.path, true_name(file.path, file.orig_name)) for file in payload]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
