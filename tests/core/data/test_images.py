import struct
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.data.images.fit import fit_line, fitted_width
from vocr_cli.core.data.images.open_image import is_plain, line_flags, open_line
from vocr_cli.core.errors import ImageError


def encoded(image, kind="PNG", **options):
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def left_dark(mode="RGB", size=(40, 20)):
    """Dark left half, light right half."""
    pixels = np.full((size[1], size[0]), 230, np.uint8)
    pixels[:, : size[0] // 2] = 20
    return Image.fromarray(pixels).convert(mode)


def halves(image):
    pixels = np.asarray(image.convert("L"), dtype=float)
    middle = pixels.shape[1] // 2
    return pixels[:, : middle - 4].mean(), pixels[:, middle + 4 :].mean()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
def test_every_png_mode_reads_as_the_same_picture(mode):
    image = open_line(encoded(left_dark(mode)))
    dark, light = halves(image)
    assert image.mode in {"L", "RGB"} and image.size == (40, 20)
    assert dark < 60 and light > 200


def test_cmyk_is_not_read_inverted():
    dark, light = halves(open_line(encoded(left_dark("CMYK"), "JPEG", quality=95)))
    assert dark < 60 and light > 200


@pytest.mark.parametrize("white", [1023, 4095, 65535])
def test_16_bit_grey_is_scaled_not_clipped(white):
    samples = np.zeros((20, 40), np.uint16)
    samples[:, 10:20], samples[:, 20:] = white // 2, white
    pixels = np.asarray(open_line(encoded(Image.fromarray(samples))))[0, :, 0]
    assert pixels[0] == 0 and abs(int(pixels[15]) - 127) <= 1 and pixels[-1] == 255


def test_float_image_is_scaled():
    samples = np.linspace(0, 1, 40, dtype=np.float32)[None].repeat(20, 0)
    pixels = np.asarray(open_line(encoded(Image.fromarray(samples), "TIFF")))[0, :, 0]
    assert pixels[0] == 0 and pixels[-1] == 255 and abs(int(pixels[20]) - 131) < 3


def test_transparent_ground_is_white_not_black():
    image = Image.new("RGBA", (40, 20), (0, 0, 0, 0))
    image.paste((10, 10, 10, 255), (0, 0, 10, 20))
    pixels = np.asarray(open_line(encoded(image)))
    assert pixels[10, 30].tolist() == [255, 255, 255] and pixels[10, 5].tolist() == [10, 10, 10]


def test_transparent_palette_entry_is_white():
    image = Image.new("P", (20, 10), 1)
    image.putpalette([0, 0, 0, 200, 0, 0])
    image.paste(0, (0, 0, 10, 10))
    pixels = np.asarray(open_line(encoded(image, transparency=0)))
    assert pixels[5, 5].tolist() == [255, 255, 255] and pixels[5, 15].tolist() == [200, 0, 0]


def test_exif_rotation_is_applied():
    upright = left_dark(size=(60, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter turn clockwise
    image = open_line(encoded(upright.rotate(90, expand=True), "JPEG", exif=exif, quality=95))
    assert image.size == (60, 20)
    dark, light = halves(image)
    assert dark < 60 and light > 200


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (30_000, 4)])
def test_extreme_sizes_open_and_fit(size):
    config = ImageConfig()
    image = open_line(encoded(Image.new("L", size, 200)))
    assert image.size == size
    pixels = fit_line(image, config)
    assert pixels.shape == (config.height_px, fitted_width(*size, config), config.channels)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bomb_is_refused_from_its_header():
    head = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    with pytest.raises(ImageError, match=r"bomb\.png: .*100 million pixels"):
        open_line(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT", "bomb.png")
    head = struct.pack(">IIBBBBB", 11_000, 10_000, 8, 2, 0, 0, 0)  # below Pillow's own limit
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    with pytest.raises(ImageError, match="11,000 × 10,000 px"):
        open_line(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT", "bomb.png")


def noise():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 200), np.uint8))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello, not an image", "not an image"),
        (encoded(noise())[:3000], "damaged"),
        (encoded(noise(), "JPEG")[:2000], "damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff" * 100, r"damaged|not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "EPS"),
    ],
)
def test_damaged_content_names_the_file_the_reason_and_a_remedy(tmp_path, content, reason):
    file = tmp_path / "ảnh.png"
    file.write_bytes(content)
    for source, name in ((file, ""), (content, str(file))):
        with pytest.raises(ImageError, match=reason) as caught:
            open_line(source, name)
        assert caught.value.problem.startswith(str(file)) and caught.value.fix


def test_missing_and_folder_are_told_apart(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        open_line(tmp_path / "nothing.png")
    with pytest.raises(ImageError, match="a folder"):
        open_line(tmp_path)
    with pytest.raises(ImageError):
        open_line(Path("a\0b.png"))
    with pytest.raises(ImageError):
        open_line(tmp_path / ("x" * 300))


def test_plain_images_are_told_from_those_other_readers_see_differently():
    exif = Image.Exif()
    exif[0x0112] = 3
    assert is_plain(encoded(left_dark())) and is_plain(encoded(left_dark("L"), "JPEG"))
    assert not is_plain(encoded(left_dark(), "JPEG", exif=exif))
    assert not is_plain(encoded(left_dark("RGBA"))) and not is_plain(encoded(left_dark("CMYK"), "JPEG"))
    assert not is_plain(encoded(Image.fromarray(np.full((9, 9), 999, np.uint16))))


def rows_of_text(width, height, rows):
    pixels = np.full((height, width), 255, np.uint8)
    step = height // rows
    for row in range(rows):
        top = row * step + step // 4
        pixels[top : top + step // 2, 10 : width - 10 : 7] = 0
    return Image.fromarray(pixels).convert("RGB")


@pytest.mark.parametrize("channels", [1, 3])
def test_light_text_on_a_dark_ground_reads_as_its_negative(channels):
    pixels = np.full((40, 200), 240, np.uint8)
    pixels[12:28, 20:180:3] = 15  # strokes, away from the edges
    config = ImageConfig(channels=channels)
    dark_on_light = fit_line(Image.fromarray(pixels).convert("RGB"), config)
    light_on_dark = fit_line(Image.fromarray(255 - pixels).convert("RGB"), config)
    assert np.array_equal(dark_on_light, light_on_dark)
    assert dark_on_light[0, 0, 0] == 240
    as_is = replace(config, polarity="as-is")
    assert fit_line(Image.fromarray(255 - pixels).convert("RGB"), as_is)[0, 0, 0] == 15


@pytest.mark.parametrize("value", [0, 90, 255])
def test_an_empty_line_keeps_its_ground(value):
    line = fit_line(Image.new("L", (100, 40), value), ImageConfig())
    assert (line == value).all()


def test_a_page_is_flagged_and_a_tall_short_word_is_not():
    config = ImageConfig()
    assert line_flags(rows_of_text(400, 500, 12), config) == ("page-like",)
    assert line_flags(rows_of_text(1200, 1600, 2), config) == ("page-like",)
    assert line_flags(rows_of_text(150, 300, 1), config) == ()  # one large digit
    assert (
        line_flags(rows_of_text(300, 400, 3), config) == ()
    )  # a letter with its mark above and its dot below
    assert line_flags(rows_of_text(900, 60, 1), config) == ()


def test_a_line_wider_than_the_model_takes_is_flagged_squeezed():
    config = ImageConfig(max_width_px=400)
    assert line_flags(Image.new("RGB", (900, 60)), config) == ("squeezed",)
    assert fitted_width(900, 60, config) == 400
    assert line_flags(Image.new("RGB", (600, 60)), config) == ()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK"])
def test_images_of_any_mode_are_fitted(mode, channels):
    pixels = fit_line(left_dark(mode), ImageConfig(height_px=40, channels=channels, polarity="as-is"))
    assert pixels.shape == (40, 80, channels)
    assert pixels[:, :30].mean() < 60 and pixels[:, 50:].mean() > 200
