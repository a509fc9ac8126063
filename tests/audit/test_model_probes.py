"""What the model's answer hangs on, with an engine made up for it; and which pictures it is asked about."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from audit_folders import SIDE, write_nested

from hf_model.audit import model_probes
from hf_model.data.prepare import VALIDATION
from hf_model.inference.engines.base import EngineOutput
from hf_model.radiograph import Preprocessing


def test_hiding_takes_away_what_it_says():
    picture = np.zeros((100, 100), np.uint8)
    picture[12:88, 8:92] = 200
    assert np.unique(model_probes.hide(picture, inside=True)).tolist() == [0, 200]
    picture[50, 50] = 0
    masked, only = model_probes.hide(picture, inside=True), model_probes.hide(picture, inside=False)
    assert masked[50, 50] == 200
    assert (only[50, 50], only[0, 0]) == (0, 0)
    assert picture[50, 50] == 0


class Brightness:
    """An engine that answers by the mean grey: blur changes nothing, masking little."""

    name, workers, batch_size = "brightness", 1, 8

    def run(self, pixels, *, bulk=False):
        margin = (pixels.mean(axis=(1, 2)) - 100) / 10
        return EngineOutput(np.stack([np.zeros_like(margin), margin], axis=1), None, None)


class FakeCheckpoint:
    """What ``probe_checkpoint`` needs of a checkpoint."""

    model_id, weights_sha256, metrics = "fake", "0" * 64, None

    class decision:  # noqa: N801 - stands for an attribute
        threshold = 0.5

        @staticmethod
        def probability(normal, sick):
            return 1 / (1 + np.exp(normal - sick))


def test_model_probe_measures_how_answers_move(monkeypatch):
    labels = np.array([0, 1] * 10)
    pixels = np.full((20, SIDE, SIDE), 80, np.uint8) + (40 * labels).astype(np.uint8)[:, None, None]
    monkeypatch.setattr(model_probes, "held_out", lambda *_: (pixels, labels, np.arange(20)))
    monkeypatch.setattr(model_probes, "open_engine", lambda *_: Brightness())
    found = model_probes.probe_checkpoint(FakeCheckpoint(), "data")
    assert [view["auc"]["value"] for view in found["views"]] == [1.0] * (3 + 5 + 4)
    assert found["views"][0]["mean_pneumonia"] == pytest.approx(1 / (1 + np.exp(-2)))
    assert {view["changed_answers"] for view in found["views"]} == {0.0}


def test_a_checkpoint_that_names_no_held_out_pictures_is_not_scored():
    with pytest.raises(model_probes.NoHeldOutPicturesError, match="which pictures it was trained on is unknown"):
        model_probes.held_out(FakeCheckpoint(), "data")


def recorded(**arguments: object) -> SimpleNamespace:
    """A checkpoint that says what its split was made from."""
    metrics = {"arguments": arguments, "seed": 7, "data": {"splits": {VALIDATION: {"sha256": "0" * 64}}}}
    return SimpleNamespace(model_id="m", metrics=metrics, preprocessing=Preprocessing(height=SIDE, width=SIDE))


def test_what_the_user_says_of_the_data_goes_before_what_the_checkpoint_recorded(monkeypatch, tmp_path):
    seen = []

    def stop(arguments, preprocessing, seed):
        seen.append((arguments, seed))
        raise model_probes.DatasetError("stopped here.")

    monkeypatch.setattr(model_probes, "prepare", stop)
    checkpoint = recorded(label_column="theirs", patient_column="theirs", validation_fraction=0.2)
    given = {
        "image_column": None,
        "label_column": "mine",
        "patient_column": None,
        "patient_pattern": "(a)",
        "cache_dir": tmp_path,
    }
    with pytest.raises(model_probes.NoHeldOutPicturesError):
        model_probes.held_out(checkpoint, "data", given)
    ((arguments, seed),) = seen
    assert (arguments.dataset, arguments.label_column, arguments.patient_column) == ("data", "mine", "theirs")
    assert (arguments.patient_pattern, arguments.validation_fraction, seed) == ("(a)", 0.2, 7)
    assert arguments.cache_dir == tmp_path


@pytest.mark.parametrize(
    ("patients", "why"),
    [
        (2, "m is not scored: its split cannot be made again here. .*Too few patients to split"),
        (12, "m was trained on other data than"),
    ],
)
def test_data_that_cannot_be_split_alike_is_not_scored(tmp_path, patients, why):
    folder = write_nested(tmp_path / "data", patients=patients)
    with pytest.raises(model_probes.NoHeldOutPicturesError, match=why):
        model_probes.held_out(recorded(), str(folder), {"cache_dir": tmp_path / "cache"})
    assert list((tmp_path / "cache").rglob("pixels.npy"))
