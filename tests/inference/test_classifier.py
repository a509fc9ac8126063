"""Classifier, Prediction and Failure on tiny checkpoints."""

from __future__ import annotations

import base64
import io
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from generated import pictures
from PIL import Image
from tiny_checkpoint import SIDE

import hf_model
from hf_model import Classifier, Failure, Prediction, UnreadableRadiograph
from hf_model.inference.classifier import Source
from hf_model.metrics.decision import LIKELY, NOT_LIKELY, REFER
from hf_model.radiograph import OODDetector, Radiograph


def png_bytes(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


FILES = [png_bytes(picture) for picture in pictures(6, seed=5, side=2 * SIDE)]


@pytest.fixture(scope="module")
def classifier(exported_folder: Path) -> Classifier:
    return Classifier.from_pretrained(exported_folder, cache="")


def test_attributes(classifier: Classifier, exported_folder: Path) -> None:
    import hashlib

    assert classifier.model_id == "tiny"
    assert classifier.model_hash == hashlib.sha256((exported_folder / "model.safetensors").read_bytes()).hexdigest()
    assert classifier.engine_name.startswith("openvino-")
    assert classifier.metrics == {"seed": 1}
    assert classifier.decision.threshold == 0.6
    assert classifier.preprocessing.height == SIDE


def test_probability_is_the_calibrated_one_of_the_engine(classifier: Classifier, openvino_engine) -> None:
    found = classifier.predict(FILES[0], name="a.png")
    resized = np.asarray(Image.open(io.BytesIO(FILES[0])).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    logits = openvino_engine.run(resized[None]).logits[0]
    expected = 1 / (1 + math.exp(-((float(logits[1]) - float(logits[0])) / 1.5 - 0.2)))
    assert found.logits == pytest.approx(logits.tolist(), abs=1e-6)
    assert found.probability == pytest.approx(expected, abs=1e-6)
    assert found.threshold == 0.6
    assert found.decision == ("PNEUMONIA" if expected >= 0.6 else "NORMAL")
    assert found.name == "a.png"


def test_at_decides_again_without_the_model(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    found = classifier.predict(FILES[0])
    monkeypatch.setattr(classifier, "_engine", None)
    low, high = found.at(0.0), found.at(1.0)
    assert (low.decision, high.decision) == ("PNEUMONIA", "NORMAL")
    assert low.probability == high.probability == found.probability
    assert high.threshold == 1.0
    assert low.at(0.6).answer == found.answer
    with pytest.raises(ValueError, match=r"threshold is 1\.5; give a probability from 0 to 1"):
        found.at(1.5)


@pytest.mark.parametrize(
    ("margin", "answer", "decision"),
    [(-3.0, NOT_LIKELY, "NORMAL"), (0.0, REFER, "NORMAL"), (1.5, REFER, "PNEUMONIA"), (4.0, LIKELY, "PNEUMONIA")],
)
def test_answers_in_and_around_the_refer_band(classifier: Classifier, margin, answer, decision) -> None:
    """Probabilities by hand: sigmoid(margin / 1.5 - 0.2) = 0.100, 0.450, 0.690, 0.922; the band is 0.3 to 0.8."""
    shared = {"class_activation_map": None, "findings": (), "timing": None}
    made = Prediction.make(
        rule=classifier.decision,
        logits=(0.0, margin),
        threshold=None,
        name="x",
        model_id="m",
        model_hash="0" * 64,
        engine="e",
        **shared,
    )
    assert (made.answer, made.decision) == (answer, decision)


def test_bytes_path_and_radiograph_give_the_same(classifier: Classifier, tmp_path: Path) -> None:
    path = tmp_path / "chest.png"
    path.write_bytes(FILES[1])
    pixels = np.asarray(Image.open(path))
    radiograph = Radiograph(pixels=pixels, name="chest.png", format="PNG", original_size=(2 * SIDE, 2 * SIDE))
    answers = [classifier.predict(source) for source in (FILES[1], path, str(path), radiograph)]
    assert len({answer.probability for answer in answers}) == 1
    assert [answer.name for answer in answers[1:]] == ["chest.png"] * 3


def test_map_is_between_0_and_1_and_can_be_left_out(classifier: Classifier) -> None:
    drawn = classifier.predict(FILES[0]).class_activation_map
    assert drawn.dtype == np.float32
    assert drawn.shape == (2, 2)
    assert 0 <= drawn.min() <= drawn.max() <= 1
    assert classifier.predict(FILES[0], heat_map=False).class_activation_map is None


def test_unreadable_files_raise_with_their_reason(classifier: Classifier) -> None:
    with pytest.raises(UnreadableRadiograph, match=r"notes\.txt"):
        classifier.predict(b"not a picture at all", name="notes.txt")


@pytest.mark.parametrize("batch_size", [None, 1, 4, 100])
@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_batches_keep_order_and_put_failures_in_place(
    exported_folder: Path, engine: str, batch_size: int | None, tmp_path: Path
) -> None:
    classifier = Classifier.from_pretrained(exported_folder, engine=engine, cache="")
    sources: list[Source] = [*FILES, b"broken", tmp_path / "absent.png", ("named.png", FILES[0])]
    results = list(classifier.predict_batch(sources, batch_size=batch_size))
    assert [result.ok for result in results] == [True] * 6 + [False, False, True]
    single = [classifier.predict(file) for file in FILES]
    for one, many in zip(single, results[:6], strict=True):
        assert many.probability == pytest.approx(one.probability, abs=1e-6)
    assert len({result.probability for result in single}) == 6
    assert [(failure.code, failure.name) for failure in results[6:8]] == [
        ("not-a-picture", "the upload"),
        ("missing", "absent.png"),
    ]
    assert isinstance(results[6], Failure)
    assert results[8].name == "named.png"


def test_a_batch_draws_its_sources_as_needed(classifier: Classifier) -> None:
    drawn = []

    def endless():
        while True:
            drawn.append(1)
            yield FILES[0]

    results = classifier.predict_batch(endless(), batch_size=2)
    assert next(results).ok
    results.close()
    assert len(drawn) <= 2 * (2 * classifier._engine.workers + 1)


def test_batch_size_below_one_is_refused(classifier: Classifier) -> None:
    with pytest.raises(ValueError, match="batch_size is 0; give at least 1"):
        list(classifier.predict_batch(FILES, batch_size=0))


def test_what_is_unlike_training_is_flagged(exported_folder: Path, tmp_path: Path, openvino_engine) -> None:
    """A detector around the features of one picture: this one has distance 0, every other one is outside."""
    folder = shutil.copytree(exported_folder, tmp_path / "gated")
    known, other = pictures(2, seed=9)
    mean = openvino_engine.run(known[None]).features[0]
    axis = np.eye(1, mean.size, dtype=np.float32)
    OODDetector(mean, axis, np.ones(1, np.float32), residual=1.0, threshold=1e-6).save(folder)
    gated = Classifier.from_pretrained(folder, cache="")
    found = [gated.predict(png_bytes(picture)).findings for picture in (known, other)]
    flags = [[f.severity for f in findings if f.code == "unlike-training"] for findings in found]
    assert flags == [[], ["flag"]]


def test_json_is_stable(classifier: Classifier) -> None:
    content = classifier.predict(FILES[0], name="a.png").override().to_dict(heat_map=True)
    assert json.loads(json.dumps(content)) == content
    heat = Image.open(io.BytesIO(base64.b64decode(content["heat_map"])))
    assert (heat.mode, heat.size, heat.format) == ("L", (64, 64), "PNG")
    assert "heat_map" not in classifier.predict(FILES[0]).to_dict()


def test_a_checkpoint_without_decision_is_uncalibrated(plain_folder: Path) -> None:
    plain = Classifier.from_pretrained(plain_folder, cache="")
    found = plain.predict(FILES[0])
    assert found.threshold == 0.5
    assert found.to_dict()["calibrated"] is False
    assert found.probability == pytest.approx(1 / (1 + math.exp(found.logits[0] - found.logits[1])), abs=1e-12)


def test_the_package_names_what_it_has() -> None:
    assert {"Classifier", "Prediction", "Failure", "UnreadableRadiograph"} <= set(dir(hf_model))
    with pytest.raises(AttributeError, match="no attribute 'Clasifier'"):
        _ = hf_model.Clasifier


def test_a_large_jpeg_is_decoded_at_a_fraction_that_leaves_four_times_the_side(openvino_engine, checkpoint) -> None:
    """9 times the model's side: half of that is enough and is taken; 7 times: half would be 3.5, so all is decoded."""
    classifier = Classifier(checkpoint, openvino_engine)
    for times, sides in ((9, 9 * SIDE // 2), (7, 7 * SIDE)):
        buffer = io.BytesIO()
        Image.fromarray(pictures(1, side=times * SIDE)[0]).save(buffer, "JPEG")
        ready = classifier._read(buffer.getvalue(), "large.jpg")
        assert ready.radiograph.pixels.shape == (sides, sides)
        assert ready.radiograph.original_size == (times * SIDE, times * SIDE)
        assert ready.pixels.shape == (SIDE, SIDE)
