"""Pushing with the real client: what goes up, identical bytes back, and failures that leave everything on disk."""

from __future__ import annotations

import hashlib
import json
import re
import shlex

import pytest
from huggingface_hub import hf_hub_download

from hf_model.commands.push import main
from hf_model.config import CHECKPOINT_DIR
from hf_model.hub.push import (
    OPTIONAL,
    REQUIRED,
    PushError,
    checkpoint_files,
    push_checkpoint,
    push_command,
    readable_size,
)

DOWNLOAD = """
import hashlib, pathlib, sys
from huggingface_hub import snapshot_download
folder = pathlib.Path(snapshot_download(sys.argv[1]))
for path in sorted(folder.rglob("*")):
    if path.is_file():
        print(path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest())
"""
PUSH_DATASET = """
import sys
from datasets import ClassLabel, Dataset, Features, Value
features = Features({"name": Value("string"), "label": ClassLabel(names=["NORMAL", "PNEUMONIA"])})
rows = {"name": ["a.jpeg", "b.jpeg", "c.jpeg"], "label": [0, 1, 1]}
Dataset.from_dict(rows, features=features).push_to_hub(sys.argv[1], split="train")
"""
LOAD_DATASET = """
import sys
from datasets import load_dataset
split = load_dataset(sys.argv[1], split="train")
print(list(split["name"]), list(split["label"]), split.features["label"].names)
"""


def test_a_push_creates_the_repository_and_uploads_the_allowed_files_in_one_commit(hub, checkpoint, snapshot):
    url = push_checkpoint(checkpoint, "chest", private=True)
    repo = hub.repos["model", "tester/chest"]
    assert url == f"{hub.url}/tester/chest/commit/{repo['branches']['main']}"
    assert repo["meta"]["visibility"] == "private"
    assert [commit["title"] for commit in repo["commits"].values()] == ["initial commit", "Push my run"]
    assert sorted(hub.files("tester/chest")) == sorted([*REQUIRED, "scores/test.csv"])
    assert hub.files("tester/chest").items() <= snapshot(checkpoint).items()


def test_large_weights_go_through_lfs_and_come_back_byte_for_byte(hub, checkpoint):
    push_checkpoint(checkpoint, "chest")
    weights = (checkpoint / "model.safetensors").read_bytes()
    sha256 = hashlib.sha256(weights).hexdigest()
    assert len(weights) > 6_000_000
    assert f"PUT /lfs/{sha256}" in hub.requests
    down = dict(line.split() for line in hub.run(DOWNLOAD, "tester/chest").splitlines())
    assert down == {
        upload.path: hashlib.sha256(upload.source.read_bytes()).hexdigest() for upload in checkpoint_files(checkpoint)
    }


def test_the_test_process_itself_downloads_from_the_standin(hub, checkpoint):
    push_checkpoint(checkpoint, "chest")
    path = hf_hub_download("tester/chest", "model.safetensors")
    assert path.startswith(hub.env["HF_HOME"])
    with open(path, "rb") as file:  # noqa: PTH123 (the client gives a string)
        assert file.read() == (checkpoint / "model.safetensors").read_bytes()


def test_a_data_set_pushed_by_datasets_is_loaded_by_datasets(hub):
    hub.run(PUSH_DATASET, "tester/tiny-chest")
    assert "data/train-00000-of-00001.parquet" in hub.files("tester/tiny-chest", "dataset")
    expected = "['a.jpeg', 'b.jpeg', 'c.jpeg'] [0, 1, 1] ['NORMAL', 'PNEUMONIA']"
    assert hub.run(LOAD_DATASET, "tester/tiny-chest") == expected


def test_a_second_push_takes_away_the_engine_files_of_the_first_and_nothing_else(hub, checkpoint):
    for name in ("openvino_model.xml", "openvino_model.bin"):
        (checkpoint / name).write_bytes(b"engine of other weights")
    push_checkpoint(checkpoint, "chest")
    repo = hub.repos["model", "tester/chest"]
    theirs = hub.store(b"notes", lfs=False)
    hub.add_commit(repo, "main", {**repo["commits"][repo["branches"]["main"]]["files"], "NOTES.md": theirs})
    for name in ("openvino_model.xml", "openvino_model.bin"):
        (checkpoint / name).unlink()
    push_checkpoint(checkpoint, "chest", commit_message="Again")
    assert sorted(hub.files("tester/chest")) == sorted([*REQUIRED, "scores/test.csv", "NOTES.md"])


def test_the_card_that_goes_up_names_the_repository_in_its_examples(hub, checkpoint):
    card = (checkpoint / "README.md").read_text() + 'pipeline(model="path/to/this/folder")\n'
    (checkpoint / "README.md").write_text(card)
    push_checkpoint(checkpoint, "chest")
    assert hub.files("tester/chest")["README.md"].decode().endswith('pipeline(model="tester/chest")\n')
    assert (checkpoint / "README.md").read_text() == card


def test_a_revision_is_a_branch_of_its_own(hub, checkpoint):
    push_checkpoint(checkpoint, "chest", revision="trial")
    assert hub.files("tester/chest") == {}
    assert "model.safetensors" in hub.files("tester/chest", branch="trial")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ((r"POST /api/models/.*/commit/", 403), r"the Hub answered 403 \(made to fail with 403\)\."),
        ((r"POST /api/repos/create", 403), r"the Hub answered 403 \(made to fail with 403\)\."),
        ((r"POST /api/models/.*/preupload/", 500), r"the Hub answered 500 \(made to fail with 500\)\."),
        ((r"PUT /lfs/", 500), r"model\.safetensors"),
        ((r"POST /api/models/.*/commit/", None), r"RemoteProtocolError: "),
        ((r"POST /api/validate-yaml", 400), r"ValueError: "),
        ((r"GET /api/whoami-v2", 401), r"refuses the Hugging Face token \(401\)"),
    ],
)
def test_a_failed_push_leaves_the_disk_as_it_was_and_gives_the_command(
    hub, checkpoint, snapshot, monkeypatch, fault, reason
):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    before = snapshot(checkpoint)
    hub.faults = [fault]
    with pytest.raises(PushError, match=reason) as caught:
        push_checkpoint(checkpoint, "chest")
    command = str(caught.value).splitlines()[-1].strip()
    assert command == f"python -m hf_model push '{checkpoint}' --hub_model_id chest"
    assert f"Everything is complete in {checkpoint}; push it again with:" in str(caught.value)
    assert snapshot(checkpoint) == before
    assert not hub.repos or hub.files("tester/chest") == {}


def test_the_command_of_the_message_pushes_when_the_hub_is_well_again(hub, checkpoint):
    hub.faults = [("/commit/", 403)]
    with pytest.raises(PushError) as caught:
        push_checkpoint(checkpoint, "chest", private=True, revision="v1")
    words = shlex.split(str(caught.value).splitlines()[-1])
    assert words[:4] == ["python", "-m", "hf_model", "push"]
    hub.faults = []
    assert main(words[4:]) == 0
    assert sorted(hub.files("tester/chest", branch="v1")) == sorted([*REQUIRED, "scores/test.csv"])


def test_a_server_that_is_gone(hub, checkpoint, snapshot, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    before = snapshot(checkpoint)
    hub.stop()
    with pytest.raises(PushError, match=rf"The push to chest failed: {hub.url} cannot be reached") as caught:
        push_checkpoint(checkpoint, "chest")
    assert str(caught.value).endswith(f"\n    python -m hf_model push '{checkpoint}' --hub_model_id chest")
    assert snapshot(checkpoint) == before


@pytest.mark.parametrize("name", REQUIRED)
def test_an_incomplete_folder_is_refused_before_any_request(hub, checkpoint, name):
    (checkpoint / name).unlink()
    with pytest.raises(PushError, match=rf"not a complete checkpoint, it lacks {re.escape(name)}: nothing was pushed"):
        push_checkpoint(checkpoint, "chest")
    assert hub.requests == []


@pytest.mark.parametrize("cut", [lambda weights: weights[:-4], lambda weights: b"\x80\x04pickle"])
def test_weights_cut_short_are_refused(hub, checkpoint, cut):
    path = checkpoint / "model.safetensors"
    path.write_bytes(cut(path.read_bytes()))
    with pytest.raises(
        PushError, match=r"model\.safetensors cannot be pushed: it is not a safetensors file, or cut sho"
    ):
        push_checkpoint(checkpoint, "chest")
    assert hub.requests == []


def test_json_that_does_not_parse_is_refused(checkpoint):
    (checkpoint / "decision.json").write_text('{"threshold": ')
    with pytest.raises(PushError, match=r"decision\.json cannot be pushed: Expecting value"):
        checkpoint_files(checkpoint)


def test_a_card_without_a_pipeline_tag_is_refused(hub, checkpoint):
    (checkpoint / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    with pytest.raises(PushError, match="no 'pipeline_tag: image-classification'"):
        push_checkpoint(checkpoint, "chest")
    assert hub.repos == {}


def test_the_command_lists_files_and_sizes_before_it_sends_anything(hub, checkpoint, capsys):
    assert main([str(checkpoint), "--hub_model_id", "chest", "--dry_run"]) == 0
    out = capsys.readouterr().out
    assert f"Pushing {checkpoint} to chest:\n" in out
    assert "  6.0 MB  model.safetensors\n" in out
    assert re.search(r"  6\.0 MB  in 7 files\nDry run: nothing was sent\.\n$", out)
    assert "training_args.bin" not in out
    assert hub.requests == []


def test_the_command_prints_the_address(hub, checkpoint, capsys):
    assert main([str(checkpoint), "--hub_model_id", "chest"]) == 0
    oid = hub.repos["model", "tester/chest"]["branches"]["main"]
    assert capsys.readouterr().out.endswith(f"{hub.url}/tester/chest/commit/{oid}\n")


def test_the_command_fails_with_one_message_and_code_2(hub, checkpoint, capsys):
    hub.account["auth"]["accessToken"]["role"] = "read"
    assert main([str(checkpoint), "--hub_model_id", "chest"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("The push to chest failed: The token 'test' may only read")
    assert "Traceback" not in error
    assert main([str(checkpoint / "nowhere"), "--hub_model_id", "chest"]) == 2
    assert capsys.readouterr().err == (
        f"{checkpoint / 'nowhere'} is not a folder: give the --output_dir of the training run.\n"
    )


def test_the_command_to_push_again_carries_what_was_asked():
    assert push_command("out dir", "a/b", private=True, revision="v2") == (
        "python -m hf_model push 'out dir' --hub_model_id a/b --private --revision v2"
    )


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB")]
)
def test_sizes_are_decimal(size, text):
    assert readable_size(size) == text


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
