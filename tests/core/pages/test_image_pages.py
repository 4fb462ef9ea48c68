"""Pages that are image files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_pages import draw_page
from PIL import Image

from vocr_cli.core.pages.inputs.image_pages import ImagePages

FAX_DPI = (204, 98)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_fax_is_a_page_of_square_pixels(tmp_path: Path, orientation: int) -> None:
    upright = draw_page().resize((816, 612))
    turned = upright.rotate({1: 0, 3: 180, 6: 90}[orientation], expand=True)
    squashed = turned.resize((turned.width, round(turned.height * FAX_DPI[1] / FAX_DPI[0])))
    file = tmp_path / "fax.tif"
    squashed.convert("1", dither=Image.Dither.NONE).save(
        file, compression="group4", dpi=FAX_DPI, tiffinfo={0x0112: orientation}
    )
    page = ImagePages(file).page(0)
    assert (page.width, page.height, page.dpi, page.scale) == (*upright.size, 204, 1)
    assert np.abs(page.pixels.astype(float) - np.asarray(upright.convert("RGB"))).mean() < 20


def test_resolutions_that_are_nearly_one_change_nothing(tmp_path: Path) -> None:
    page = draw_page()
    page.save(tmp_path / "page.tif", dpi=(200, 196))
    opened = ImagePages(tmp_path / "page.tif").page(0)
    assert (opened.width, opened.height, opened.dpi) == (*page.size, 200)
    assert np.array_equal(opened.pixels, np.asarray(page))
