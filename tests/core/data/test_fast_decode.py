"""Whatever `plain_image` takes has the pixels that Pillow gives; whatever it leaves is left for a reason."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.data.images import fast_decode
from vocr_cli.core.data.images.fast_decode import plain_image, plain_pixels
from vocr_cli.core.data.images.fit import fit_line
from vocr_cli.core.data.images.open_image import open_line
from vocr_cli.core.errors import ImageError

SIZES = st.tuples(st.integers(1, 90), st.integers(1, 50))
KINDS = st.sampled_from(
    [
        ("PNG", {}), ("PNG", {"compress_level": 0}), ("JPEG", {"quality": 80}), ("JPEG", {"subsampling": 0}),
        ("JPEG", {"progressive": True}), ("JPEG", {"restart_marker_blocks": 3}), ("JPEG", {"comment": "a"}),
    ]
)  # fmt: skip


def noise(mode="RGB", size=(60, 20), seed=0):
    shape = (size[1], size[0], 3) if mode == "RGB" else size[::-1]
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def encoded(image, kind="PNG", **options):
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def by_pillow(data):
    with Image.open(BytesIO(data)) as image:
        image.load()
        return image


@pytest.fixture(params=["libspng", "pillow"], autouse=True)
def decoder(request, monkeypatch):
    if request.param == "pillow":
        monkeypatch.setattr(fast_decode, "spng", None)
    elif fast_decode.spng is None:
        pytest.skip("the extra png is not installed")


@given(st.sampled_from(["L", "RGB"]), SIZES, KINDS, st.integers(0, 9))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_plain_images_have_the_pixels_that_pillow_gives(mode, size, kind, seed):
    data = encoded(noise(mode, size, seed), kind[0], **kind[1])
    found, wanted = plain_image(data), by_pillow(data)
    assert (found.size, found.convert("RGB").tobytes()) == (wanted.size, wanted.convert("RGB").tobytes())
    assert np.array_equal(plain_pixels(data), np.asarray(wanted))


def test_pixels_in_several_chunks_are_put_together():
    size = (700, 300)  # noise does not shrink: more than one chunk of 64 KiB
    data = encoded(noise("RGB", size))
    assert data.count(b"IDAT") > 1 and plain_image(data).tobytes() == by_pillow(data).tobytes()


@given(KINDS, st.integers(0, 10_000), st.integers(0, 255))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_cut_short_or_damaged_reads_as_pillow_has_it_or_not_at_all(kind, offset, value):
    whole = encoded(noise(seed=1), kind[0], **kind[1])
    offset %= len(whole)
    for data in (whole[:offset], whole[:offset] + bytes([value]) + whole[offset + 1 :]):
        found = plain_image(data)
        if found is not None:
            assert found.tobytes() == by_pillow(data).tobytes()


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def text_chunk(name):
    info = PngImagePlugin.PngInfo()
    info.add_text(name, "x")
    return info


@pytest.mark.parametrize(
    "data",
    [
        encoded(noise().convert("RGBA")), encoded(noise().convert("P")), encoded(noise("L").convert("1")),
        encoded(noise("L"), transparency=7), encoded(noise(), exif=turned()),
        encoded(noise(), pnginfo=text_chunk("Raw profile type exif")),
        encoded(noise(), save_all=True, append_images=[noise(seed=2)]),
        encoded(noise().convert("CMYK"), "JPEG"), encoded(noise(), "JPEG", exif=turned()),
        encoded(noise(), "BMP"), encoded(noise(), "WEBP"), b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n",
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_pillow(data):
    assert plain_image(data) is None


def test_a_note_of_an_editor_does_not_make_a_file_less_plain():
    assert plain_image(encoded(noise(), pnginfo=text_chunk("date:create"))) is not None
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noted = plain_image(encoded(noise(), pnginfo=text_chunk("Comment"), icc_profile=profile, dpi=(300, 300)))
    assert noted is not None and noted.tobytes() == noise().tobytes()


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (b"gAMA", struct.pack(">I", 30_000)), (b"sBIT", b"\5\5\5"), (b"bKGD", b"\0\1\0\2\0\3"),
        (b"sRGB", b"\0"), (b"pHYs", struct.pack(">IIB", 1, 1, 1)),
    ],
)  # fmt: skip
def test_what_a_file_says_of_its_colours_changes_no_pixel(kind, content):
    data, image = encoded(noise()), noise()
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    told = data[:33] + struct.pack(">I", len(content)) + kind + content + checksum + data[33:]
    assert plain_image(told).tobytes() == image.tobytes() == by_pillow(told).tobytes()


def test_a_large_file_is_refused_by_its_header_unread(tmp_path):
    file = tmp_path / "big.bmp"
    file.write_bytes(encoded(noise(), "BMP"))
    with file.open("r+b") as stream:
        stream.truncate(1 << 26)
        stream.seek(18)
        stream.write((40_000).to_bytes(4, "little") * 2)
    with pytest.raises(ImageError, match="100 million pixels"):
        open_line(file)


@pytest.mark.parametrize("channels", [1, 3])
def test_greys_in_rgb_are_scaled_to_the_same_pixels_as_all_channels(channels):
    image = noise("L", (300, 50)).convert("RGB")
    config = ImageConfig(height_px=32, channels=channels, resample="lanczos")
    assert np.array_equal(fit_line(plain_image(encoded(image)), config), fit_line(image, config))


def test_one_pixel_in_colour_keeps_an_image_in_colour():
    image = noise("L").convert("RGB")
    image.putpixel((3, 2), (9, 9, 10))
    assert plain_image(encoded(image)).tobytes() == image.tobytes()
