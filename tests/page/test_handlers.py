"""Events of the page without a server: refusals, flags, thresholds without the model, uploads that vanish."""

from __future__ import annotations

import shutil
from pathlib import Path

import gradio as gr
import PIL.Image
import pytest

from hf_model.inference.classifier import Classifier
from hf_model.inference.prediction import Prediction
from hf_model.page import batch, examples
from hf_model.page.handlers import Handlers
from hf_model.page.uploads import PENDING

PREDICTION, ANSWER, OVERRIDE, RESULTS, CONTROLS, OPACITY, PICTURES, VALUES, DETAILS, UPLOAD = range(10)


@pytest.fixture
def handlers(classifier: Classifier, checkpoint_folder: Path, files: Path) -> Handlers:
    return Handlers(classifier, checkpoint_folder, [examples.Example(files.clear, "")])


def uploaded(file: Path, upload_folder: Path) -> Path:
    folder = upload_folder / f"hash-{file.stem}"
    folder.mkdir(exist_ok=True)
    return Path(shutil.copy(file, folder))


def read(handlers: Handlers, file: Path, upload_folder: Path, preset: str | None = "default") -> tuple:
    return handlers.read(str(uploaded(file, upload_folder)), 41.2, preset, 74)


def sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens once the time of grace is over."""
    monkeypatch.setattr(PENDING, "grace", 0.0)
    PENDING.sweep()


def test_upload_gives_the_answer_and_is_deleted(
    handlers: Handlers, files: Path, upload_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = uploaded(files.sick, upload_folder)
    outputs = handlers.read(str(path), 41.2, "default", 74)
    assert 'data-answer="PNEUMONIA LIKELY"' in outputs[ANSWER]
    assert 'data-probability="0.8700' in outputs[ANSWER]
    assert outputs[PREDICTION].threshold == 0.412345, "a preset is exact although the slider is rounded"
    assert outputs[CONTROLS] == gr.update(visible=True)
    assert outputs[OVERRIDE] == gr.update(visible=False)
    assert "SHA-256 of the weights" in outputs[DETAILS]
    assert outputs[UPLOAD] is None
    sweep(monkeypatch)
    assert not path.exists()
    assert not path.parent.exists()


def test_a_file_is_decoded_once(
    handlers: Handlers, files: Path, upload_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    opened = PIL.Image.open

    def counting(*arguments: object, **options: object) -> object:
        decoded.append(1)
        return opened(*arguments, **options)

    monkeypatch.setattr(PIL.Image, "open", counting)
    assert read(handlers, files.sick, upload_folder)[PREDICTION].radiograph.pixels.shape == (480, 550)
    assert len(decoded) == 1
    paths = [str(uploaded(getattr(files, name), upload_folder)) for name in ("sick", "clear", "blank")]
    rows = list(handlers.read_batch(paths))[-1][0]
    assert all(row.thumbnail for row in rows)
    assert len(decoded) == 4


def test_threshold_moves_without_the_model(
    handlers: Handlers, files: Path, upload_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prediction = read(handlers, files.sick, upload_folder)[PREDICTION]

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the model ran again")

    monkeypatch.setattr(handlers.classifier, "predict", never)
    moved, answer, values, preset = handlers.set_threshold(prediction, 95, 74)
    assert moved.decision == "NORMAL"
    assert 'data-answer="REFER TO A RADIOLOGIST"' in answer
    assert preset is None
    assert moved.probability == prediction.probability
    chosen, answer, _, slider = handlers.choose_preset(moved, "rule_in", 74)
    assert (chosen.threshold, slider) == (0.7, 70.0)
    assert 'data-answer="PNEUMONIA LIKELY"' in answer
    assert handlers.choose_preset(moved, "half", 74)[3] == 50.0
    assert handlers.pretest_values(prediction, 10) != values


def test_presets_are_the_checkpoints(handlers: Handlers) -> None:
    assert handlers.thresholds == {"default": 0.412345, "rule_out": 0.2, "rule_in": 0.7, "half": 0.5}
    labels = [label for label, _ in handlers.presets()]
    assert labels == ["Model's own: 41.2\u00a0%", "Rule out: 20.0\u00a0%", "Rule in: 70.0\u00a0%", "Fixed: 50.0\u00a0%"]
    assert handlers.first_pretest() == 74


def test_flag_hides_the_answer_until_it_is_overridden(handlers: Handlers, files: Path, upload_folder: Path) -> None:
    outputs = read(handlers, files.inverted, upload_folder)
    prediction: Prediction = outputs[PREDICTION]
    assert prediction.needs_confirmation
    assert "looks inverted" in outputs[ANSWER]
    assert "data-answer" not in outputs[ANSWER]
    assert "cxr-heat" not in outputs[PICTURES]
    assert "Logits" not in outputs[DETAILS]
    assert outputs[OVERRIDE] == gr.update(visible=True)
    assert outputs[CONTROLS] == gr.update(visible=False)

    shown = handlers.override(prediction, 41.2, "default", 74)
    assert "data-answer" in shown[ANSWER]
    assert "Shown although the input checks object" in shown[ANSWER]
    assert shown[OVERRIDE] == gr.update(visible=False)
    assert shown[CONTROLS] == gr.update(visible=True)


def test_refusal_cannot_be_overridden(handlers: Handlers, files: Path, upload_folder: Path) -> None:
    outputs = read(handlers, files.blank, upload_folder)
    assert outputs[PREDICTION].refused
    assert outputs[OVERRIDE] == gr.update(visible=False)
    forced = handlers.override(outputs[PREDICTION], 41.2, "default", 74)
    assert "data-answer" not in forced[ANSWER]
    assert forced[CONTROLS] == gr.update(visible=False)


@pytest.mark.parametrize("name", ["broken", "notes"])
def test_unreadable_file_gives_a_sentence(handlers: Handlers, files: Path, upload_folder: Path, name: str) -> None:
    outputs = read(handlers, getattr(files, name), upload_folder)
    assert outputs[PREDICTION] is None
    assert "This file cannot be read" in outputs[ANSWER]
    assert getattr(files, name).name in outputs[ANSWER]
    assert outputs[RESULTS] == gr.update(visible=False)


def test_forgotten_prediction_asks_for_the_picture_again(handlers: Handlers) -> None:
    for outputs in (
        handlers.set_threshold(None, 50, 50),
        handlers.choose_preset(None, "half", 50),
        handlers.override(None, 1, None, 1),
    ):
        assert "Choose the picture again" in outputs[1]


def test_example_is_read_and_stays(handlers: Handlers, files: Path) -> None:
    outputs = handlers.read_example(41.2, "default", 74, gr.EventData(None, {"index": 0}))
    assert 'data-answer="PNEUMONIA NOT LIKELY"' in outputs[ANSWER]
    assert files.clear.exists()
    nothing = handlers.read_example(41.2, "default", 74, gr.EventData(None, {"index": 7}))
    assert nothing[ANSWER] == gr.skip()


def test_batch_reports_progress_and_deletes_its_files(
    handlers: Handlers, files: Path, upload_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [uploaded(getattr(files, name), upload_folder) for name in ("clear", "sick", "broken")]
    steps = list(handlers.read_batch([str(path) for path in paths]))
    assert "Reading picture 0 of 3" in steps[0][1]
    rows, html, downloads, override, cleared = steps[-1]
    assert [row.result.ok for row in rows] == [True, True, False]
    assert 'class="cxr-table"' in html
    assert (downloads, override, cleared) == (gr.update(visible=True), gr.update(visible=False), None)
    sweep(monkeypatch)
    assert not any(path.exists() for path in paths)
    assert batch.as_csv(rows).count("\n") == 4
    assert batch.as_json(rows).startswith("[\n{")


def test_flagged_rows_are_answered_on_demand(handlers: Handlers, files: Path, upload_folder: Path) -> None:
    paths = [str(uploaded(getattr(files, name), upload_folder)) for name in ("inverted", "sick")]
    rows, html, _, override, _ = list(handlers.read_batch(paths))[-1]
    assert override == gr.update(visible=True)
    assert "CHECK FIRST" in html
    rows, html, override = handlers.override_batch(rows)
    assert [row.answered for row in rows] == [True, True]
    assert "CHECK FIRST" not in html
    assert override == gr.update(visible=False)
    assert "Choose the files again" in handlers.override_batch(())[1]


def test_examples_come_from_the_named_folder_only(files: Path, tmp_path: Path) -> None:
    assert examples.find(None) == []
    found = examples.find(files.folder)
    assert [example.path.name for example in found] == ["blank.png", "clear.png", "inverted.png", "sick.png"]
    assert examples.buttons(found).count("data-example=") == 4
    with pytest.raises(ValueError, match="which is not a folder"):
        examples.find(tmp_path / "none")
