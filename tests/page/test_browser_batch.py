"""Many pictures in headless Chromium: table, sorting, downloads, flags, folders."""

from __future__ import annotations

import base64
import csv
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser


def test_many_pictures(open_page: Callable, files: Path, tmp_path: Path) -> None:
    path = tmp_path / "ward.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.write(files.sick, "ward/b-sick.png")
        file.write(files.clear, "ward/a-clear.png")
        file.writestr("../evil.png", b"x")
    page = open_page()
    page.get_by_role("tab", name="Many pictures").click()
    page.set_input_files("#cxr-files input[type=file]", [path, files.broken])
    page.wait_for_selector(".cxr-table")
    names = "rows => rows.map(row => row.dataset.name)"
    assert page.locator(".cxr-table tbody tr").evaluate_all(names) == [
        "b-sick.png",
        "a-clear.png",
        "../evil.png",
        "broken.jpg",
    ]
    assert page.locator(".cxr-table tr.cxr-bad").count() == 2
    assert page.locator(".cxr-table img").count() == 2
    assert page.locator(".cxr-histogram").is_visible()

    by_name = ["../evil.png", "a-clear.png", "b-sick.png", "broken.jpg"]
    page.get_by_role("button", name="File", exact=True).click()
    assert page.locator(".cxr-table tbody tr").evaluate_all(names) == by_name
    page.get_by_role("button", name="File", exact=True).press("Enter")
    assert page.locator(".cxr-table tbody tr").evaluate_all(names) == by_name[::-1]
    assert page.locator('.cxr-table th[aria-sort="descending"]').inner_text() == "File"
    for order in (["a-clear.png", "b-sick.png"], ["b-sick.png", "a-clear.png"]):
        # Files without an answer stay last whichever way the probabilities are sorted.
        page.get_by_role("button", name="Probability", exact=True).click()
        found = page.locator(".cxr-table tbody tr").evaluate_all(names)
        assert found[:2] == order
        assert set(found[2:]) == {"../evil.png", "broken.jpg"}

    with page.expect_download() as download:
        page.locator("#cxr-csv").click()
    assert download.value.suggested_filename == "chest-xray-results.csv"
    table = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    assert [row["error"] for row in table] == ["", "", "path-traversal", "damaged"]
    with page.expect_download() as download:
        page.locator("#cxr-json").click()
    assert len(json.loads(Path(download.value.path()).read_text(encoding="utf-8"))) == 4


def test_flagged_pictures_of_a_batch_get_an_answer_on_demand(open_page: Callable, files: Path) -> None:
    page = open_page()
    page.get_by_role("tab", name="Many pictures").click()
    page.set_input_files("#cxr-files input[type=file]", [files.sick, files.inverted, files.blank])
    page.wait_for_selector(".cxr-table")
    assert page.locator(".cxr-flagged").inner_text().split("\t")[3] == "! CHECK FIRST"
    override = page.locator("#cxr-override-all")
    override.click()
    page.wait_for_selector("text=! Overridden: The film looks inverted")
    assert page.locator(".cxr-table tr.cxr-bad").count() == 1, "a refusal stays"
    assert not override.is_visible()
    with page.expect_download() as download:
        page.locator("#cxr-csv").click()
    table = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    assert [row["answer"] != "" for row in table] == [True, True, False]


def test_a_folder_is_taken_whole(open_page: Callable, files: Path, tmp_path: Path) -> None:
    ward = tmp_path / "ward"
    (ward / "inner").mkdir(parents=True)
    shutil.copy(files.sick, ward / "sick.png")
    shutil.copy(files.clear, ward / "inner" / "clear.png")
    (ward / ".hidden").write_bytes(b"x")
    page = open_page()
    page.get_by_role("tab", name="Many pictures").click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Or choose a folder").click()
    chooser.value.set_files(ward)
    page.wait_for_selector(".cxr-table")
    names = page.locator(".cxr-table tbody tr").evaluate_all("rows => rows.map(row => row.dataset.name)")
    assert sorted(names) == ["clear.png", "sick.png"]


def test_a_dropped_folder_is_walked_through(open_page: Callable, files: Path) -> None:
    page = open_page()
    page.get_by_role("tab", name="Many pictures").click()
    # A script cannot put a directory into a DataTransfer, so the event brings the entries that a browser would give.
    page.evaluate(
        """data => {
            const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
            const file = name => ({ isFile: true, isDirectory: false, file: done => done(new File([bytes], name)) });
            const folder = (...entries) => ({ isFile: false, isDirectory: true, createReader: () => ({
                readEntries: done => done(entries.splice(0, 2)) }) });
            const event = new Event("drop", { bubbles: true, cancelable: true });
            const root = folder(file("one.png"), file(".hidden"), folder(file("two.png")));
            event.dataTransfer = { items: [{ webkitGetAsEntry: () => root }] };
            document.querySelector("#cxr-files button").dispatchEvent(event);
        }""",
        base64.b64encode(files.clear.read_bytes()).decode(),
    )
    page.wait_for_selector(".cxr-table")
    names = page.locator(".cxr-table tbody tr").evaluate_all("rows => rows.map(row => row.dataset.name)")
    assert names == ["one.png", "two.png"]
