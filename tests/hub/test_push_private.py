"""What a push leaves at home although it lies in the checkpoint folder: patients' pictures and names of their files."""

from __future__ import annotations

import json

import pytest

from hf_model.config import CHECKPOINT_DIR
from hf_model.hub.push import OPTIONAL, REQUIRED, PushError, checkpoint_files, push_checkpoint


def test_figures_of_training_go_up_and_other_pictures_are_taken_away(hub, checkpoint):
    push_checkpoint(checkpoint, "chest")
    repo = hub.repos["model", "tester/chest"]
    file = hub.store(b"a patient", lfs=False)
    files = repo["commits"][repo["branches"]["main"]]["files"]
    hub.add_commit(repo, "main", {**files, "figures/samples_normal.png": file})
    (checkpoint / "figures").mkdir()
    for name in ("roc.png", "confusion_matrix_0_5.svg", "samples_normal.png", "near.png", "mine.svg"):
        (checkpoint / "figures" / name).write_bytes(b"picture")
    push_checkpoint(checkpoint, "chest")
    drawn = ["figures/confusion_matrix_0_5.svg", "figures/roc.png"]
    assert sorted(hub.files("tester/chest")) == sorted([*REQUIRED, "scores/test.csv", *drawn])


def test_every_figure_of_the_shipped_checkpoint_is_named():
    shipped = {f"figures/{path.name}" for path in (CHECKPOINT_DIR / "figures").iterdir()}
    assert shipped == {name for name in OPTIONAL if name.startswith("figures/")}


@pytest.mark.parametrize(
    "record",
    [
        {"findings": [], "seconds": {"reading": 1.0}},
        {"leakage": {"pairs": [{"examples": {"files": ["train/a = test/b"]}}]}},
        {"findings": [{"text": "The most doubtful is one picture John 1960.png"}]},
    ],
)
def test_an_audit_that_names_pictures_is_refused_before_any_request(hub, checkpoint, record):
    (checkpoint / "audit.json").write_text(json.dumps(record))
    with pytest.raises(PushError) as caught:
        push_checkpoint(checkpoint, "chest")
    assert str(caught.value) == (
        f"{checkpoint / 'audit.json'} cannot be pushed: it names pictures of the data set. Move it away, or put the "
        "summary in its place, which names none: python -m hf_model audit … --summary FILE. Nothing was pushed."
    )
    assert hub.requests == []
    (checkpoint / "audit.json").write_text((CHECKPOINT_DIR / "audit.json").read_text())
    assert "audit.json" in [upload.path for upload in checkpoint_files(checkpoint)]
