"""How the page is served: limits, theme, privacy headers, errors of API calls. It loads nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData, ListFiles
from gradio.exceptions import InvalidPathError
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware

from hf_model.page.uploads import PENDING, Uploaded, original_name

HOW_TO_UPLOAD = "send it as gradio_client's handle_file(path), or as the path that POST /gradio_api/upload gave"
HERE = Path(__file__).parent
MAX_FILE_SIZE = "1gb"
"""Of one uploaded file. A picture is limited to MAX_UPLOAD_BYTES where it is read; this leaves room for a zip."""
KEPT_SECONDS = 3600
"""Uploads are deleted a minute after they are read; what a broken connection leaves behind goes after this."""
SESSIONS = 64
"""Visitors whose last picture is held in memory, about 2 MB each; the one unused for longest is forgotten first."""
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
MONOSPACE = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
HEADERS = {
    # Gradio needs inline and evaluated scripts; all of it must come from this server. Frames are not restricted,
    # because a Space is shown in one.
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "media-src 'self' data: blob:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
        "object-src 'none'; base-uri 'self'; form-action 'self'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def launch_options() -> dict[str, Any]:
    """Keyword arguments of ``Blocks.launch``. Host and port stay Gradio's (GRADIO_SERVER_NAME, GRADIO_SERVER_PORT)."""
    return {
        "theme": theme(),
        "css": (HERE / "page.css").read_text(encoding="utf-8"),
        "js": (HERE / "page.js").read_text(encoding="utf-8"),
        "app_kwargs": {"middleware": [Middleware(PrivacyHeaders), Middleware(UploadCounter)]},
        "mcp_server": has_mcp(),
        "max_file_size": MAX_FILE_SIZE,
        "max_threads": 16,
        "state_session_capacity": SESSIONS,
        "footer_links": ["api"],
        # Gradio would keep every run, picture and answer, in the browser's storage.
        "run_history": False,
        "enable_monitoring": False,
        "share": False,
        "ssr_mode": False,
        "pwa": False,
    }


def has_mcp() -> bool:
    """True if the packages of ``gradio[mcp]`` are installed."""
    try:
        return importlib.util.find_spec("mcp.server") is not None
    except ModuleNotFoundError:
        return False


def theme() -> gr.themes.Base:
    """Neutral greys, one blue-green accent, square corners, the system's own fonts."""
    accent = gr.themes.Color(
        "#eef6f9",
        "#d6eaf1",
        "#aed5e4",
        "#7cbdd4",
        "#3f9bbb",
        "#1a7a9c",
        "#0b5673",
        "#094a63",
        "#083d52",
        "#062f3f",
        "#04212d",
    )
    base = gr.themes.Base(
        primary_hue=accent, secondary_hue=accent, neutral_hue="slate", radius_size="sm", font=FONTS, font_mono=MONOSPACE
    )
    same_in_dark = {
        "body_background_fill": "var(--cxr-bg)",
        "body_text_color": "var(--cxr-ink)",
        "body_text_color_subdued": "var(--cxr-muted)",
        "block_info_text_color": "var(--cxr-muted)",
        "block_label_text_color": "var(--cxr-ink)",
        "block_title_text_color": "var(--cxr-ink)",
        "block_background_fill": "var(--cxr-card)",
        "block_border_color": "var(--cxr-line)",
        "border_color_primary": "var(--cxr-line)",
        "slider_color": "var(--cxr-accent)",
        "button_primary_background_fill": "*primary_600",
        "button_primary_text_color": "white",
    }
    return base.set(**same_in_dark, **{f"{name}_dark": value for name, value in same_in_dark.items()})


class PrivacyHeaders:
    """ASGI middleware that adds ``HEADERS`` to every HTTP response; streams pass through untouched."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Callable, send: Callable) -> None:
        """Serve one request."""

        async def send_with_headers(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class UploadCounter:
    """ASGI middleware that reports every finished upload to ``uploads.PENDING`` before its sender gets the answer."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Callable, send: Callable) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith("/upload"):
            await self.app(scope, receive, send)
            return
        body = bytearray()

        async def send_counted(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.body":
                body.extend(message.get("body", b""))
                if not message.get("more_body"):
                    PENDING.arrived(_paths(bytes(body)))
            await send(message)

        await self.app(scope, receive, send_counted)


def _paths(body: bytes) -> list[str]:
    """The paths that the response to an upload lists; none for an error."""
    try:
        content = json.loads(body)
    except ValueError:
        return []
    return [path for path in content if isinstance(path, str)] if isinstance(content, list) else []


class ExplainedBlocks(gr.Blocks):
    """``gr.Blocks`` that answers a wrong call with what was wrong; Gradio's own only writes it to the server's log.

    A call may leave out values at the end: they take their defaults.
    """

    def validate_inputs(self, block_fn: Any, inputs: list[Any]) -> None:
        """Fill in defaults; gr.Error for a value that should be a file and is not."""
        inputs += [block.value for block in block_fn.inputs[len(inputs) :]]
        for block, value in zip(block_fn.inputs, inputs, strict=False):
            if isinstance(block, gr.File):
                _check(block, value)
        super().validate_inputs(block_fn, inputs)

    async def preprocess_data(self, *args: Any, **options: Any) -> list[Any]:
        """As Gradio does; gr.Error for a path that is not an upload."""
        try:
            return await super().preprocess_data(*args, **options)
        except InvalidPathError as error:
            raise gr.Error(
                f"The file was not uploaded to this server; {HOW_TO_UPLOAD}.", print_exception=False
            ) from error


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
        raise gr.Error(
            f"{block.label} is {_shown(value)}, which is not an upload; {HOW_TO_UPLOAD}.", print_exception=False
        )
    if not isinstance(value, list):
        raise gr.Error(f"{block.label} is {_shown(value)}; give a list of files.", print_exception=False)
    for number, entry in enumerate(value):
        if not _is_file(entry):
            message = f"{block.label}[{number}] is {_shown(entry)}, which is not an upload; {HOW_TO_UPLOAD}."
            raise gr.Error(message, print_exception=False)


def _is_file(value: Any) -> bool:
    meta = value.get("meta") if isinstance(value, dict) else None
    return isinstance(meta, dict) and meta.get("_type") == "gradio.FileData" and isinstance(value.get("path"), str)


def _received(payload: FileData | ListFiles | None) -> Uploaded | list[Uploaded] | None:
    if payload is None:
        return None
    if isinstance(payload, FileData):
        return Uploaded(payload.path, original_name(payload.path, payload.orig_name))
    return [Uploaded(file.path, original_name(file.path, file.orig_name)) for file in payload]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
