"""The Gradio app: layout and event wiring. What it shows is made in hf_model/page, what it says in hf_model/inference.

``python app.py`` serves the shipped checkpoint on 127.0.0.1:7860. Environment: MODEL_ID (a Hub id or folder instead),
EXAMPLES_DIR (a folder of example pictures), and Gradio's own GRADIO_SERVER_NAME and GRADIO_SERVER_PORT.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import gradio as gr

from hf_model.inference.checkpoint import Checkpoint, CheckpointError
from hf_model.inference.classifier import Classifier
from hf_model.inference.engines.base import EngineUnavailable
from hf_model.inference.engines.choice import open_engine
from hf_model.page import about, batch, examples, fragment
from hf_model.page.endpoints import endpoints
from hf_model.page.handlers import Handlers
from hf_model.page.serving import KEPT_SECONDS, ExplainedBlocks, file_input, launch_options

MODEL_LIMIT = {"concurrency_id": "model", "concurrency_limit": 2}
"""One picture waits for its file while another is in the engine: two at a time keep two cores busy, more only wait."""
QUIET = {"api_visibility": "private", "show_progress": "hidden"}
LIVE = {**QUIET, "queue": False}
"""Events that only rearrange what is known: no queue, no model."""


def build_app(classifier: Classifier, folder: Path | None = None, examples_dir: str | Path | None = None) -> gr.Blocks:
    """The page and its API for one classifier.

    folder: the checkpoint's, for held-out scores, card and figures. examples_dir: pictures to offer, or None.
    """
    handlers = Handlers(classifier, folder, examples.find(examples_dir))
    with ExplainedBlocks(
        title="Chest X-ray pneumonia", analytics_enabled=False, delete_cache=(300, KEPT_SECONDS)
    ) as app:
        gr.HTML(fragment("page", "header", population=classifier.population))
        with gr.Tabs():
            with gr.Tab("One picture"):
                one_picture(handlers)
            with gr.Tab("Many pictures"):
                many_pictures(handlers)
            with gr.Tab("About") as about_tab:
                about_model(about_tab, classifier, folder)
        gr.HTML(fragment("page", "footer", model_id=classifier.model_id, model_hash=classifier.model_hash))
        api(classifier)
    app.queue(default_concurrency_limit=4, max_size=128)
    return app


def one_picture(handlers: Handlers) -> None:
    """Upload and answer side by side, then pictures and controls; on a phone one below the other in that order."""
    classifier = handlers.classifier
    figures = about.summary(classifier.metrics)
    prediction = gr.State(None, time_to_live=KEPT_SECONDS)
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            upload = file_input(label="Chest X-ray: drop, paste or choose a file", elem_id="cxr-upload", height=170)
            gr.HTML(fragment("page", "formats"))
            shown = gr.HTML(
                examples.buttons(handlers.examples), js_on_load=examples.SCRIPT, visible=bool(handlers.examples)
            )
        with gr.Column(scale=8, min_width=320):
            answer = gr.HTML(
                fragment("page", "welcome", figures=figures, population=classifier.population), elem_id="cxr-answer"
            )
            override = gr.Button("The picture is right: show the answer", visible=False, elem_id="cxr-override")
    with gr.Row(equal_height=False, visible=False) as results:
        with gr.Column(scale=8, min_width=320):
            pictures = gr.HTML(elem_id="cxr-pictures")
            opacity = gr.Slider(0, 100, 60, step=1, label="Heat map opacity (%)", elem_id="cxr-opacity")
            details = gr.HTML()
        with gr.Column(scale=4, min_width=300) as controls:
            threshold = gr.Slider(
                0,
                100,
                round(100 * handlers.decision.threshold, 1),
                step=0.1,
                label="Threshold (%)",
                info="Called likely at and above it.",
                elem_id="cxr-threshold",
            )
            preset = gr.Radio(
                handlers.presets(),
                value="default",
                label="Preset thresholds",
                info="Rule out misses few pneumonias; rule in raises few false alarms.",
                elem_id="cxr-preset",
            )
            pretest = gr.Slider(
                1,
                99,
                handlers.first_pretest(),
                step=1,
                label="Pre-test probability (%)",
                info=f"How many of 100 such {classifier.population.plural} have pneumonia, before the film.",
                elem_id="cxr-pretest",
            )
            values = gr.HTML()

    panel = [prediction, answer, override, results, controls, opacity, pictures, values, details]
    settings = [threshold, preset, pretest]
    read = {"outputs": [*panel, upload], "api_visibility": "private", "show_progress_on": answer, **MODEL_LIMIT}
    for event in (
        upload.upload(handlers.read, [upload, *settings], **read),
        shown.click(handlers.read_example, settings, **read),
    ):
        event.then(None, js="() => window.cxrReveal('cxr-answer')")
    override.click(handlers.override, [prediction, *settings], panel, **LIVE)
    threshold.input(
        handlers.set_threshold,
        [prediction, threshold, pretest],
        [prediction, answer, values, preset],
        trigger_mode="always_last",
        **LIVE,
    )
    preset.input(handlers.choose_preset, [prediction, preset, pretest], [prediction, answer, values, threshold], **LIVE)
    pretest.input(handlers.pretest_values, [prediction, pretest], values, trigger_mode="always_last", **LIVE)
    opacity.input(None, opacity, js="(v) => document.documentElement.style.setProperty('--cxr-heat', v / 100)")


def many_pictures(handlers: Handlers) -> None:
    """Files or zip archives in; progress, counts, histogram, table and downloads out."""
    rows = gr.State((), time_to_live=KEPT_SECONDS)
    files = file_input(
        label="Chest X-rays: drop files, a folder or a zip archive",
        file_count="multiple",
        elem_id="cxr-files",
        height=150,
    )
    folder = gr.Button("Or choose a folder", size="sm", elem_id="cxr-folder")
    with gr.Row(visible=False, elem_id="cxr-downloads") as downloads:
        as_csv = gr.Button("Download CSV", size="sm", elem_id="cxr-csv")
        as_json = gr.Button("Download JSON", size="sm", elem_id="cxr-json")
        override = gr.Button("Answer flagged pictures too", size="sm", visible=False, elem_id="cxr-override-all")
    result = gr.HTML(fragment("page", "batch_welcome"), elem_id="cxr-batch")
    text = gr.Textbox(visible=False)
    files.upload(
        handlers.read_batch,
        files,
        [rows, result, downloads, override, files],
        concurrency_id="batch",
        concurrency_limit=1,
        **QUIET,
    )
    folder.click(None, js="() => window.cxrFolder()")
    override.click(handlers.override_batch, rows, [rows, result, override], **LIVE)
    for button, write, kind in ((as_csv, batch.as_csv, "csv"), (as_json, batch.as_json, "json")):
        # Made in the browser from text: no file with patients' file names is written on the server.
        made = button.click(write, rows, text, **LIVE)
        made.then(None, text, js=f"(text) => window.cxrDownload(text, 'chest-xray-results.{kind}')")


def about_model(tab: gr.Tab, classifier: Classifier, folder: Path | None) -> None:
    """The checkpoint's own files, read when the tab is first opened."""
    gr.HTML(about.about(classifier.metrics, classifier.model_id, classifier.population))
    gr.HTML(about.audit(folder))
    images = gr.HTML()
    with gr.Accordion("Model card", open=False):
        gr.Markdown(about.card(folder))
    if folder:
        tab.select(lambda: about.figures(folder), None, images, **LIVE)


def api(classifier: Classifier) -> None:
    """``/predict`` and ``/predict_batch``: components that are not drawn, for types on the API page."""
    predict, predict_batch = endpoints(classifier)
    with gr.Group(visible=False):
        file, files = file_input(label="file"), file_input(label="files", file_count="multiple")
        threshold, heat_map = gr.Number(None, label="threshold"), gr.Checkbox(False, label="heat_map")
        settings = [threshold, heat_map, gr.Checkbox(False, label="override")]
        one, many = gr.JSON(label="prediction"), gr.JSON(label="predictions")
        gr.Button().click(predict, [file, *settings], one, api_name="predict", **MODEL_LIMIT)
        gr.Button().click(
            predict_batch,
            [files, *settings],
            many,
            api_name="predict_batch",
            concurrency_id="batch",
            concurrency_limit=1,
        )


def main() -> int:
    """Serve until stopped. 2 if the checkpoint cannot be served, with the reason on standard error."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        checkpoint = Checkpoint.open(os.environ.get("MODEL_ID") or None)
        classifier = Classifier(checkpoint, open_engine(checkpoint))
        app = build_app(classifier, checkpoint.folder, os.environ.get("EXAMPLES_DIR"))
    except (CheckpointError, EngineUnavailable, ValueError) as error:
        print(f"app.py: {error}", file=sys.stderr)
        return 2
    app.launch(**launch_options())
    return 0


if __name__ == "__main__":
    sys.exit(main())
