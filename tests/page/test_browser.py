"""The page in headless Chromium: what a person does, what the page requests, and accessibility."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import phantom
import pytest
from browsing import CARD, drag, upload, wait_for_answer

pytestmark = pytest.mark.browser


def test_one_picture(open_page: Callable, files: Path) -> None:
    page = open_page()
    assert "Add one frontal chest X-ray" in page.inner_text("#cxr-answer")
    upload(page, files.sick)
    wait_for_answer(page, "PNEUMONIA LIKELY")
    words = page.inner_text("#cxr-answer").replace("\u00a0", " ")
    assert "87.0 %" in words
    assert "on 100 held-out pictures" in words
    assert "not a diagnosis" in words
    images = page.locator("#cxr-pictures img")
    assert images.count() == 3
    assert images.nth(0).evaluate("image => image.naturalWidth") == 550

    drag(page, "cxr-opacity", 25)
    page.wait_for_function("getComputedStyle(document.querySelector('.cxr-heat')).opacity === '0.25'")

    drag(page, "cxr-threshold", 95)
    wait_for_answer(page, "REFER TO A RADIOLOGIST")
    assert page.locator("#cxr-preset input:checked").count() == 0

    page.get_by_label("Rule in:").check()
    wait_for_answer(page, "PNEUMONIA LIKELY")
    page.wait_for_function("document.querySelector('#cxr-threshold input[type=number]').value === '70'")

    before = page.locator("[data-ppv]").get_attribute("data-ppv")
    drag(page, "cxr-pretest", 5)
    page.wait_for_function("old => document.querySelector('[data-ppv]').dataset.ppv !== old", arg=before)
    # Log-odds of 0.87 at a prevalence of 0.74, moved to 0.05: odds 6.692 / 2.846 / 19 = 0.1238, a probability of 0.110.
    assert float(page.locator("[data-post-test]").get_attribute("data-post-test")) == pytest.approx(0.110, abs=1e-3)

    details = page.locator(".cxr-details")
    assert details.get_attribute("open") is None
    details.locator("summary").click()
    assert "SHA-256 of the weights" in details.inner_text()


def test_refusal_flag_and_unreadable_file(open_page: Callable, files: Path) -> None:
    page = open_page()
    override = page.locator("#cxr-override")
    upload(page, files.inverted)
    page.wait_for_selector("text=Check this picture first")
    assert page.locator(CARD).count() == 0
    assert not page.locator("#cxr-threshold").is_visible()
    override.click()
    page.wait_for_selector(CARD)
    assert "Shown although the input checks object" in page.inner_text("#cxr-answer")

    upload(page, files.blank)
    page.wait_for_selector("text=No answer: this picture cannot be used")
    assert not override.is_visible()
    assert page.locator(CARD).count() == 0

    page.set_input_files("#cxr-upload input[type=file]", files.broken)
    page.wait_for_selector("text=broken.jpg is a damaged or incomplete JPEG file")
    assert "Traceback" not in page.inner_text("body")


def test_dicom_equals_the_png(open_page: Callable, tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    pixels = phantom.chest(consolidation=0.8, size=(330, 288))
    (tmp_path / "same.png").write_bytes(phantom.encoded(pixels))
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    scan = pydicom.dataset.FileDataset("scan", {}, file_meta=meta, preamble=bytes(128))
    scan.SOPClassUID, scan.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    scan.Modality, scan.ViewPosition, scan.PatientAge = "DX", "AP", "003Y"
    scan.Rows, scan.Columns = pixels.shape
    scan.SamplesPerPixel, scan.PhotometricInterpretation, scan.PixelRepresentation = 1, "MONOCHROME1", 0
    scan.BitsAllocated, scan.BitsStored, scan.HighBit = 8, 8, 7
    scan.PixelData = (255 - pixels).astype(np.uint8).tobytes()
    scan.save_as(tmp_path / "scan", enforce_file_format=True)

    page = open_page()
    shown = []
    for name in ("same.png", "scan"):
        page.set_input_files("#cxr-upload input[type=file]", tmp_path / name)
        page.wait_for_function(
            "name => [...document.querySelectorAll('.cxr-facts dd')].some(cell => cell.textContent.includes(name))",
            arg=name,
        )
        shown.append(float(page.locator("[data-probability]").get_attribute("data-probability")))
    assert shown[0] == pytest.approx(shown[1], abs=5e-3)


def test_about_example_and_paste(open_page: Callable) -> None:
    page = open_page()
    page.get_by_role("tab", name="About").click()
    page.wait_for_selector("text=Held-out evaluation: test")
    page.wait_for_selector("img[alt='Answers and truth on the held-out pictures']")
    page.get_by_role("tab", name="One picture").click()
    page.get_by_role("button", name="Example 2: sick").click()
    wait_for_answer(page, "PNEUMONIA LIKELY")
    page.evaluate(
        """async () => {
            const picture = await (await fetch(document.querySelector("#cxr-pictures img").src)).blob();
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([picture], "pasted.png", { type: "image/png" }));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
        }"""
    )
    page.wait_for_selector("text=pasted.png", state="attached")
    wait_for_answer(page, "PNEUMONIA LIKELY")


def test_phone_shows_the_answer_without_scrolling_sideways(open_page: Callable, files: Path) -> None:
    page = open_page(390, 844, is_mobile=True, has_touch=True)
    upload(page, files.sick)
    wait_for_answer(page, "PNEUMONIA LIKELY")
    page.wait_for_function(f"document.querySelector('{CARD}').getBoundingClientRect().top < innerHeight / 2")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    heading = page.locator(f"{CARD} h2").bounding_box()
    assert heading["x"] >= 0
    assert heading["x"] + heading["width"] <= 390
    page.get_by_role("tab", name="Many pictures").click()
    page.set_input_files("#cxr-files input[type=file]", [files.sick, files.inverted, files.broken])
    page.wait_for_selector(".cxr-table")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for cell in page.locator(".cxr-table tbody td:visible").all():
        box = cell.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390, "a narrow page shows every row as a card, without scrolling"
    page.get_by_role("tab", name="About").click()
    page.wait_for_selector("text=Held-out evaluation: test")
    page.wait_for_selector("img[alt='Answers and truth on the held-out pictures']")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_keyboard_alone_reaches_everything(open_page: Callable, files: Path) -> None:
    page = open_page()
    with page.expect_file_chooser() as chooser:
        for _ in range(15):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.closest('#cxr-upload') !== null"):
                break
        page.keyboard.press("Enter")
    chooser.value.set_files(files.sick)
    wait_for_answer(page, "PNEUMONIA LIKELY")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(document.activeElement.closest('[id^=cxr-]') || document.activeElement).id"))
        reached.add(page.evaluate("document.activeElement.tagName"))
        if page.evaluate("document.activeElement.matches('#cxr-threshold input[type=range]')"):
            page.keyboard.press("End")
    assert {"cxr-upload", "cxr-threshold", "cxr-preset", "cxr-pretest", "cxr-opacity", "SUMMARY"} <= reached
    wait_for_answer(page, "REFER TO A RADIOLOGIST")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_page: Callable, files: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = open_page(color_scheme=scheme)
    assert page.evaluate("document.body.classList.contains('dark')") is (scheme == "dark")

    def serious() -> list[str]:
        found = axe.Axe().run(page).response["violations"]
        return [
            f"{rule['id']}: {[node['html'][:160] for node in rule['nodes'][:3]]}"
            for rule in found
            if rule["impact"] in ("serious", "critical")
        ]

    assert serious() == []
    upload(page, files.sick)
    wait_for_answer(page, "PNEUMONIA LIKELY")
    page.locator(".cxr-details summary").click()
    assert serious() == []
    page.get_by_role("tab", name="Many pictures").click()
    page.set_input_files("#cxr-files input[type=file]", [files.clear, files.inverted, files.broken])
    page.wait_for_selector(".cxr-table")
    assert serious() == []
    page.get_by_role("tab", name="About").click()
    page.wait_for_selector("text=Held-out evaluation: test")
    assert serious() == []


def test_api_page_stays_on_this_machine_too(open_page: Callable) -> None:
    page = open_page()
    page.get_by_role("button", name="Use via API").click()
    page.wait_for_selector("text=predict_batch")
