"""read_radiograph on pictures: golden values for every format, and a refusal for everything else."""

import contextlib
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps

from hf_model import config
from hf_model.radiograph import Radiograph, UnreadableRadiograph, read_radiograph
from hf_model.radiograph.reading import CODES


def refused(source, **options) -> UnreadableRadiograph:
    with pytest.raises(UnreadableRadiograph) as caught:
        read_radiograph(source, **options)
    assert caught.value.code in CODES
    return caught.value


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"tiffinfo": {262: 0}}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_lossless_formats_come_back_exactly(kind, options, film, encode):
    radiograph = read_radiograph(encode(film, kind, **options), name="a file")
    assert isinstance(radiograph, Radiograph)
    assert np.array_equal(radiograph.pixels, film)
    assert radiograph.pixels.dtype == np.uint8
    assert radiograph.pixels.flags["C_CONTIGUOUS"]
    assert (radiograph.format, radiograph.original_size, radiograph.bit_depth) == (kind, (128, 96), 8)
    assert radiograph.name == "a file"
    assert radiograph.findings == ()


def test_jpeg_is_what_pillow_decodes(film, encode):
    data = encode(film, "JPEG", quality=90)
    assert np.array_equal(read_radiograph(data).pixels, np.asarray(Image.open(io.BytesIO(data))))
    assert read_radiograph(data).format == "JPEG"


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_of_8_bit_values_is_the_8_bit_picture(kind, film, encode):
    radiograph = read_radiograph(encode(film.astype(np.uint16) * 257, kind))
    assert np.array_equal(radiograph.pixels, film)
    assert radiograph.bit_depth == 16


def test_dark_16_bit_of_8_bit_values_is_the_8_bit_picture(film, encode):
    dark = film // 20  # 16-bit maximum 12 * 257 = 3084 would pass for 12 bit
    assert np.array_equal(read_radiograph(encode(dark.astype(np.uint16) * 257, "PNG")).pixels, dark)


@pytest.mark.parametrize(("bits", "value", "grey"), [(10, 512, 128), (12, 2048, 128), (14, 4096, 64), (16, 20000, 78)])
def test_16_bit_container_takes_the_smallest_depth_that_holds_the_maximum(bits, value, grey, encode):
    values = np.full((64, 64), value, np.uint16)
    values[0, 0], values[0, 1] = 2**bits - 1, 0
    radiograph = read_radiograph(encode(values, "PNG"))
    # 512 * 255 / 1023 = 127.6; 2048 * 255 / 4095 = 127.5 up; 4096 * 255 / 16383 = 63.8; 20000 / 257 = 77.8
    assert (radiograph.bit_depth, radiograph.pixels[0, 0], radiograph.pixels[0, 1]) == (bits, 255, 0)
    assert radiograph.pixels[5, 5] == grey


def test_8_bit_values_in_a_16_bit_container(film, encode):
    assert np.array_equal(read_radiograph(encode(film.astype(np.uint16), "TIFF")).pixels, film)


def test_16_bit_white_is_zero_is_inverted(film, encode):
    data = bytearray(encode(film.astype(np.uint16) * 257, "TIFF"))
    entry = data.find(bytes.fromhex("0601030001000000 01 00"))  # tag 262, SHORT, one value: 1, black is zero
    assert entry > 0
    data[entry + 8] = 0
    assert np.array_equal(read_radiograph(bytes(data)).pixels, 255 - film)


def test_float_tiff_of_0_to_1_is_scaled_and_others_refused(film, encode):
    values = film.astype(np.float32) / 255
    assert np.array_equal(read_radiograph(encode(values, "TIFF")).pixels, film)
    assert refused(encode(values * 2, "TIFF")).code == "unsupported-pixels"
    values[0, 0] = np.nan
    assert refused(encode(values, "TIFF")).code == "unsupported-pixels"


def test_32_bit_integers(film, encode):
    assert np.array_equal(read_radiograph(encode(film.astype(np.int32) * 257, "TIFF")).pixels, film)
    assert refused(encode(film.astype(np.int32) - 1, "TIFF")).code == "unsupported-pixels"
    assert refused(encode(film.astype(np.int32) * 1000, "TIFF")).code == "unsupported-pixels"


def test_1_bit_palette_and_opaque_alpha(film, encode):
    bits = film > 127
    one_bit = read_radiograph(encode(Image.fromarray(bits), "PNG"))
    assert np.array_equal(one_bit.pixels, bits * np.uint8(255))
    assert one_bit.bit_depth == 1
    grey = Image.fromarray(film)
    palette = grey.convert("P", palette=Image.Palette.ADAPTIVE, colors=256)
    assert np.array_equal(read_radiograph(encode(palette, "PNG")).pixels, np.asarray(palette.convert("L")))
    for mode in ("LA", "RGBA", "RGB"):
        assert np.array_equal(read_radiograph(encode(grey.convert(mode), "PNG")).pixels, film)


def test_transparent_parts_lie_on_black(film, encode):
    picture = Image.fromarray(film).convert("RGBA")
    alpha = np.full(film.shape, 255, np.uint8)
    alpha[:40] = 0
    picture.putalpha(Image.fromarray(alpha))
    expected = film.copy()
    expected[:40] = 0
    assert np.array_equal(read_radiograph(encode(picture, "PNG")).pixels, expected)
    assert np.array_equal(read_radiograph(encode(picture, "WEBP", lossless=True)).pixels, expected)


def test_cmyk_jpeg_is_grey_by_way_of_rgb(film, encode):
    data = encode(Image.fromarray(film).convert("RGB").convert("CMYK"), "JPEG", quality=95)
    decoded = Image.open(io.BytesIO(data))
    assert decoded.mode == "CMYK"
    pixels = read_radiograph(data).pixels
    assert np.array_equal(pixels, np.asarray(decoded.convert("RGB").convert("L")))
    assert np.abs(pixels.astype(int) - film).mean() < 8


def test_colour_is_pillows_l_and_flagged(encode):
    pixels = np.zeros((80, 80, 3), np.uint8)
    pixels[:, :40] = (200, 40, 10)
    radiograph = read_radiograph(encode(pixels, "PNG"))
    # ITU-R 601: (200 * 19595 + 40 * 38470 + 10 * 7471 + 32768) >> 16 = 84
    assert (radiograph.pixels[0, 0], radiograph.pixels[0, 79]) == (84, 0)
    assert [(found.code, found.severity) for found in radiograph.findings] == [("colour", "flag")]


def test_small_coloured_marks_are_a_note_and_a_faint_tint_nothing(film, encode):
    pixels = np.stack([film] * 3, axis=-1)
    pixels[:5, :10] = (255, 0, 0)  # 50 of 12,288 pixels: 0.4 %
    assert [found.code for found in read_radiograph(encode(pixels, "PNG")).findings] == ["colour-marks"]
    tinted = np.stack([film // 2, film // 2, film // 2 + 6], axis=-1)
    assert read_radiograph(encode(tinted, "PNG")).findings == ()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(kind, orientation, film, encode):
    exif = Image.Exif()
    exif[274] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}.get(kind, {})
    data = encode(film, kind, exif=exif, **options)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("L")
    radiograph = read_radiograph(data)
    assert np.array_equal(radiograph.pixels, np.asarray(expected))
    assert radiograph.original_size == expected.size


def test_broken_exif_does_not_cost_the_picture(film, encode):
    data = encode(film, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\xff")
    assert read_radiograph(data).pixels.shape == film.shape


def test_scaled_decoding_keeps_twice_the_target_side(encode):
    big = np.tile(np.arange(256, dtype=np.uint8), (1024, 5))  # 1280 x 1024
    data = encode(big, "JPEG")
    scaled = read_radiograph(data, target_side=224)
    assert scaled.pixels.shape == (512, 640)  # 1/4 would leave 256, less than 448
    assert scaled.original_size == (1280, 1024)
    assert read_radiograph(data, target_side=600).pixels.shape == big.shape
    assert read_radiograph(data).pixels.shape == big.shape


def test_path_and_name(tmp_path, film, encode):
    path = tmp_path / "film.txt"  # content tells the format, not the extension
    path.write_bytes(encode(film, "PNG"))
    for source in (path, str(path)):
        assert read_radiograph(source).name == "film.txt"
    assert read_radiograph(bytearray(path.read_bytes())).name == "the upload"


def test_refusals_of_files(tmp_path, monkeypatch):
    assert refused(tmp_path / "none.png").code == "missing"
    assert refused(tmp_path).code == "missing"
    assert refused("a\0b").code == "missing"
    (tmp_path / "zero.png").write_bytes(b"")
    error = refused(tmp_path / "zero.png")
    assert error.code == "empty"
    assert str(error) == "zero.png is empty; upload it again."
    assert refused(b"").code == "empty"
    monkeypatch.setattr("hf_model.radiograph.reading.MAX_UPLOAD_BYTES", 10)
    (tmp_path / "big.png").write_bytes(b"x" * 11)
    assert refused(tmp_path / "big.png").code == "too-large"
    assert refused(b"x" * 11, name="n").code == "too-large"


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"%PDF-1.7 ...........", "PDF"),
        (b"PK\x03\x04..............", "zip"),
        (b"GIF89a..............", "GIF"),
        (b"  <!doctype html><html>", "HTML"),
        (b"\0\0\0\x18ftypheic........", "HEIC"),
        (b"hello", "not a picture"),
        (bytes(300), "not a picture"),
    ],
)
def test_other_files_are_named(data, word):
    error = refused(data, name="x.png")
    assert error.code == "not-a-picture"
    assert word in str(error)
    assert str(error).startswith("x.png is ")


def test_refusals_of_size(encode):
    assert refused(encode(np.zeros((63, 400), np.uint8), "PNG")).code == "too-small"
    assert read_radiograph(encode(np.zeros((config.MIN_SIDE, 64), np.uint8), "PNG")).original_size == (64, 64)
    bomb = encode(Image.new("1", (10_000, 5_001)), "PNG")
    assert len(bomb) < 20_000
    error = refused(bomb)
    assert error.code == "too-many-pixels"
    assert "10000 x 5001" in str(error)
    header = bytearray(encode(Image.new("1", (64, 64)), "PNG"))
    header[16:24] = (60_000).to_bytes(4, "big") * 2  # Pillow's own limit refuses first
    assert refused(bytes(header)).code in ("too-many-pixels", "damaged")


@pytest.mark.parametrize("kind", ["TIFF", "WEBP", "PNG"])
def test_several_pages_are_refused(kind, film, encode):
    other = Image.fromarray(255 - film)
    data = encode(Image.fromarray(film), kind, save_all=True, append_images=[other])
    error = refused(data)
    assert error.code == "multi-frame"
    assert "2 frames" in str(error)


def test_further_pictures_in_a_jpeg_are_ignored(film, encode):
    data = encode(Image.fromarray(film), "MPO", save_all=True, append_images=[Image.fromarray(255 - film)])
    assert np.array_equal(read_radiograph(data).pixels, np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_truncated_and_flipped_bytes_raise_nothing_else(kind, film, encode):
    data = encode(film, kind)
    rng = np.random.default_rng(1)
    for length in {*range(1, 64), *rng.integers(1, len(data), 40).tolist()}:
        assert refused(data[:length], name="cut").code in CODES
    for _ in range(120):
        broken = np.frombuffer(data, np.uint8).copy()
        broken[rng.integers(0, min(len(data), 600), 4)] = rng.integers(0, 256, 4)
        with contextlib.suppress(UnreadableRadiograph):
            assert read_radiograph(broken.tobytes()).pixels.dtype == np.uint8
    assert refused(data[: len(data) // 2], name="cut.x").code == "damaged"
    assert str(refused(data[: len(data) // 2], name="cut.x")).startswith("cut.x is a damaged or incomplete")


def test_reading_a_picture_imports_neither_pydicom_nor_torch(tmp_path, film, encode):
    path = tmp_path / "film.jpg"
    path.write_bytes(encode(film, "JPEG"))
    code = (
        "import sys; from hf_model.radiograph import *; check_radiograph(read_radiograph(sys.argv[1]));"
        "print(sorted({name.split('.')[0] for name in sys.modules} & "
        "{'pydicom', 'torch', 'transformers', 'scipy', 'safetensors', 'matplotlib', 'gdcm', 'pandas'}))"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("size", "shown"), [((3000, 2000), (1024, 683)), ((300, 200), (300, 200))])
def test_thumbnail_keeps_proportions_and_facts_and_never_enlarges(size, shown):
    film = Radiograph(np.zeros(size, np.uint8), "a.png", "PNG", size[::-1])
    small = film.thumbnail(1024)
    assert small.pixels.shape == shown
    assert small.original_size == size[::-1]
