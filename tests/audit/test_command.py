"""The whole command on generated data: the page, the record, its findings, and mistakes in the arguments."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser

import pytest
from PIL import Image

from hf_model.commands.audit import main


class Page(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.scripts += tag == "script"
        if tag == "img":
            self.sources.append(found["src"])
            assert found["alt"]
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "a":
            self.links.append(found["href"])


@pytest.fixture(scope="module")
def report(clean_folder, tmp_path_factory):
    """The clean data with a doubled picture across splits and a broken row."""
    base = tmp_path_factory.mktemp("command")
    data = shutil.copytree(clean_folder, base / "data")
    shutil.copy(data / "train/NORMAL/IM-0001-0001.bmp", data / "test/NORMAL/IM-0900-0001.bmp")
    (data / "train/NORMAL/IM-0002-0001.bmp").write_bytes(b"broken")
    code = main(
        [
            "--dataset",
            str(data),
            "--output",
            str(base / "out"),
            "--backbone",
            "none",
            "--cache_dir",
            str(base / "cache"),
            "--summary",
            str(base / "out" / "summary.json"),
        ]
    )
    assert code == 0
    return base / "out"


def test_the_summary_has_the_figures_and_no_name_of_a_picture(report):
    record, text = json.loads((report / "audit.json").read_text()), (report / "summary.json").read_text()
    summary = json.loads(text)
    # the command is what the user typed, folders and all
    assert ".bmp" not in text
    assert "IM-0" not in text.replace("IM-<N>", "")
    assert "person" not in text.replace("person<N>", "")
    assert summary["counts"] == record["counts"]
    assert summary["duplicates"]["exact"]["groups"] == 1
    assert [f["topic"] for f in summary["findings"]] == [f["topic"] for f in record["findings"]]
    assert "1 unreadable (the first is one picture)" in summary["findings"][0]["text"]
    assert summary["leakage"]["pairs"][0]["counts"] == record["leakage"]["pairs"][0]["counts"]
    probe = record["probes"]["data"][0]["auc"]["value"]
    assert summary["probes"]["data"][0]["auc"]["value"] == round(probe, 4)


def test_record_is_strict_json_and_tells_the_faults_first(report):
    record = json.loads((report / "audit.json").read_text(), parse_constant=lambda word: pytest.fail(word))
    faults = [f for f in record["findings"] if f["severity"] == "fault"]
    assert [f["topic"] for f in faults] == ["integrity", "leakage", "leakage"]
    assert record["findings"][: len(faults)] == faults
    assert "1 unreadable (the first is train/IM-0002-0001.bmp)" in faults[0]["text"]
    assert record["rows"] == 145
    assert {"integrity", "duplicates", "leakage", "probes", "shift", "labels", "counts", "seconds"} <= set(record)


def test_page_needs_nothing_beside_it(report):
    page = Page()
    text = (report / "index.html").read_text()
    page.feed(text)
    assert page.scripts == 0
    assert len(page.sources) >= 12
    assert all(source.startswith("data:image/") for source in page.sources)
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert text.index("What was found") < text.index("The pictures</h2>")


def test_every_picture_is_a_file_too(report):
    files = sorted((report / "figures").iterdir())
    assert {"counts.png", "means.png", "probes.png", "samples_normal.png", "augmentation.png"} <= {
        f.name for f in files
    }
    for file in files:
        with Image.open(file) as picture:
            picture.verify()


def test_clean_data_raises_neither_fault_nor_leak_nor_label(clean_folder, tmp_path):
    arguments = ["--dataset", str(clean_folder), "--output", str(tmp_path), "--backbone", "none"]
    assert main([*arguments, "--cache_dir", str(tmp_path / "cache")]) == 0
    findings = json.loads((tmp_path / "audit.json").read_text())["findings"]
    assert [f for f in findings if f["severity"] == "fault"] == []
    # a generated opacity is brighter than a lung, so pixels may tell the classes; nothing else may
    assert {f["topic"] for f in findings if f["severity"] == "warning"} <= {"shortcuts"}
    assert not any("metadata" in f["text"] for f in findings)


def test_a_wrong_folder_is_one_line_and_exit_2(tmp_path, capsys):
    assert main(["--dataset", str(tmp_path / "nothing"), "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("audit: ")
    assert "there is no such folder" in error
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_below_a_checkpoint_and_a_summary_needs_its_folder(clean_folder, tmp_path, capsys):
    (tmp_path / "model.safetensors").write_text("{}")
    assert main(["--dataset", str(clean_folder), "--output", str(tmp_path / "deep" / "audit")]) == 2
    assert f"deep/audit lies in the checkpoint folder {tmp_path.resolve()}" in capsys.readouterr().err
    (tmp_path / "model.safetensors").unlink()
    lost = tmp_path / "nowhere" / "summary.json"
    assert main(["--dataset", str(clean_folder), "--output", str(tmp_path / "out"), "--summary", str(lost)]) == 2
    assert f"--summary {lost}: there is no folder {lost.parent}; make it first." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_checkpoint_folder_is_no_place_for_pictures(clean_folder, tmp_path, capsys, name):
    (tmp_path / name).write_text("{}")
    assert main(["--dataset", str(clean_folder), "--output", str(tmp_path), "--backbone", "none"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        f"audit: --output {tmp_path} is a checkpoint folder (it holds {name}), and the audit writes"
    )
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_output_that_is_a_file_is_told_before_any_work(clean_folder, tmp_path, capsys):
    (tmp_path / "out").write_text("")
    assert main(["--dataset", str(clean_folder), "--output", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"audit: --output {tmp_path / 'out'} is a file. Give a folder.\n"


@pytest.mark.parametrize("twice", [False, True])
def test_a_rendering_of_the_same_name_is_refused_before_any_work(clean_folder, tmp_path, capsys, monkeypatch, twice):
    monkeypatch.setattr("hf_model.audit.run.gather", lambda *_, **__: pytest.fail("work was done"))
    name = "other" if twice else clean_folder.name
    shutil.copytree(clean_folder, tmp_path / name)
    folders = [str(tmp_path / name)] * (2 if twice else 1)
    assert main(["--dataset", str(clean_folder), "--output", str(tmp_path / "out"), "--renderings", *folders]) == 2
    error = capsys.readouterr().err
    assert error == (
        f"audit: --renderings {tmp_path / name}: a rendering called {name} is there already; rename the folder.\n"
    )


def test_a_wrong_rendering_costs_no_work(clean_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("hf_model.audit.run.gather", lambda *_, **__: pytest.fail("work was done"))
    wrong = str(tmp_path / "nothing")
    assert main(["--dataset", str(clean_folder), "--output", str(tmp_path / "out"), "--renderings", wrong]) == 2
    assert capsys.readouterr().err == f"audit: --renderings {wrong}: there is no such folder.\n"
