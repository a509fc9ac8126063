"""check_radiograph on generated pictures: what it lets pass, and one picture for each finding."""

from dataclasses import replace

import numpy as np
import phantom
import pytest
from PIL import Image, ImageDraw, ImageFilter

from hf_model.radiograph import Finding, Radiograph, UnreadableRadiograph, check_radiograph, read_radiograph
from hf_model.radiograph.checks import likeness


def radiograph(pixels: np.ndarray) -> Radiograph:
    return Radiograph(np.ascontiguousarray(pixels), "test", "PNG", (pixels.shape[1], pixels.shape[0]))


def codes(pixels: np.ndarray) -> list[str]:
    return [finding.code for finding in check_radiograph(radiograph(pixels))]


@pytest.fixture(scope="module")
def chest() -> np.ndarray:
    """The drawn chest uint8 (300, 320)."""
    return phantom.chest(size=(320, 300))


def test_a_chest_has_no_finding(chest):
    assert codes(chest) == []
    assert likeness(chest)["upright"] > 0.7


def test_findings_of_reading_come_first(chest):
    finding = Finding("colour", "In colour.", "flag")
    assert check_radiograph(replace(radiograph(chest), findings=(finding,))) == (finding,)
    blank = replace(radiograph(np.full((70, 70), 9, np.uint8)), findings=(finding,))
    assert [found.code for found in check_radiograph(blank)] == ["colour", "blank"]


def test_blank_is_refused():
    noise = np.random.default_rng(0).integers(100, 110, (128, 128), dtype=np.uint8)
    for pixels in (np.zeros((128, 128), np.uint8), np.full((128, 128), 255, np.uint8), noise):
        (finding,) = check_radiograph(radiograph(pixels))
        assert (finding.code, finding.severity) == ("blank", "refuse")


def test_faint(chest):
    assert codes((chest // 6 + 100).astype(np.uint8))[0] == "faint"


def test_inverted(chest):
    assert codes(255 - chest) == ["inverted"]


@pytest.mark.parametrize(("turns", "way"), [(1, "to the left"), (2, "upside down"), (3, "to the right")])
def test_turned(turns, way, chest):
    (finding,) = check_radiograph(radiograph(np.rot90(chest, turns)))
    assert finding.code == "turned"
    assert way in finding.message
    assert finding.severity == "flag"


def test_shape(chest):
    assert codes(chest[:, 50:270]) == []  # 220 x 300 is 0.73
    tall = replace(radiograph(chest), original_size=(209, 300))
    assert [found.code for found in check_radiograph(tall)] == ["shape"]
    wide = replace(radiograph(chest), original_size=(991, 300))
    assert [found.code for found in check_radiograph(wide)] == ["shape"]
    assert check_radiograph(replace(radiograph(chest), original_size=(990, 300))) == ()


def test_drawing_and_screenshot():
    picture = Image.new("L", (400, 300), 255)
    ImageDraw.Draw(picture).rectangle((50, 50, 200, 200), fill=0)
    assert "drawing" in codes(np.asarray(picture))


def test_page_of_text():
    rng = np.random.default_rng(0)
    page = np.repeat(rng.integers(0, 2, (300, 100), dtype=np.uint8) * 150, 4, axis=1)
    page = page + rng.integers(0, 60, page.shape, dtype=np.uint8)
    assert "text" in codes(page)


def generated() -> list[tuple[str, np.ndarray]]:
    """Grey pictures that are no chest: gradients, texture, waves, discs, a horizon."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:240, 0:320] / 240
    discs = Image.new("L", (320, 240), 120)
    for _ in range(60):
        x, y, r = rng.integers(0, 320), rng.integers(0, 240), rng.integers(5, 40)
        ImageDraw.Draw(discs).ellipse((x - r, y - r, x + r, y + r), fill=int(rng.integers(0, 256)))
    texture = Image.fromarray(rng.integers(0, 256, (240, 320), dtype=np.uint8)).filter(ImageFilter.GaussianBlur(2))
    values = {
        "gradient across": columns / columns.max() * 255,
        "bright sky": 255 - rows * 220 + rng.normal(0, 3, rows.shape),
        "waves": 127 + 120 * np.sin(columns * 30 + rows * 11),
        "texture": np.asarray(texture, dtype=np.float64) * 3 - 255,
        "discs": np.asarray(discs.filter(ImageFilter.GaussianBlur(2)), dtype=np.float64),
    }
    return [(name, np.clip(value, 0, 255).astype(np.uint8)) for name, value in values.items()]


@pytest.mark.parametrize(("name", "pixels"), generated(), ids=lambda value: value if isinstance(value, str) else "")
def test_other_grey_pictures_are_flagged(name, pixels):
    assert {"not-a-chest", "turned", "inverted"} & set(codes(pixels))


def test_natural_photographs_are_flagged():
    data = pytest.importorskip("skimage.data")
    from pathlib import Path

    passed, seen = [], 0
    for path in sorted(Path(data.__file__).parent.glob("*.[pj][np]g")):
        try:
            found = check_radiograph(read_radiograph(path))
        except UnreadableRadiograph:
            continue
        seen += 1
        if not any(finding.severity in ("flag", "refuse") for finding in found):
            passed.append(path.name)
    assert seen >= 15
    assert len(passed) <= seen // 20, passed


@pytest.mark.real_data
def test_training_radiographs_pass():
    from pathlib import Path

    folder = Path(__file__).parents[3] / "shared" / "data" / "chest-xray-fullsize"
    paths = sorted(folder.rglob("*.jpeg"))
    if not paths:
        pytest.skip("the radiographs of ../shared/data are not here")
    flagged = [path.name for path in paths if check_radiograph(read_radiograph(path, target_side=224))]
    assert flagged == []


def test_types_guard_themselves():
    import pickle

    with pytest.raises(ValueError, match="severity"):
        Finding("code", "message", "fatal")
    assert Finding("a", "b", "note").to_dict() == {"code": "a", "message": "b", "severity": "note"}
    error = pickle.loads(pickle.dumps(UnreadableRadiograph("empty", "x is empty.")))
    assert (error.code, str(error)) == ("empty", "x is empty.")
