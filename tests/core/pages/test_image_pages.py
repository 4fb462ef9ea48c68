"""Pages that are image files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_pages import draw_page
from PIL import Image

from vocr_cli.core.inference.reading import Reading
from vocr_cli.core.pages.inputs.image_pages import ImagePages
from vocr_cli.core.pages.inputs.layout_pages import LayoutPages
from vocr_cli.core.pages.outputs.formats import FormatOptions, Target, write_document
from vocr_cli.core.pages.page import Page, PageLine

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


@pytest.mark.parametrize("dpi", [(40, 2400), (72, 600), (2400, 40)])
def test_resolutions_that_no_page_has_change_nothing(tmp_path: Path, dpi: tuple[int, int]) -> None:
    draw_page().convert("1").save(tmp_path / "page.tif", compression="group4", dpi=dpi)
    opened = ImagePages(tmp_path / "page.tif").page(0)
    assert (opened.width, opened.height) == draw_page().size


@pytest.mark.parametrize("form", ["page", "alto"])
def test_files_of_a_fax_name_a_picture_that_fits_them(tmp_path: Path, form: str) -> None:
    draw_page().resize((900, 250)).save(tmp_path / "fax.tif", dpi=FAX_DPI)
    box = [[50, 20], [850, 20], [850, 40], [50, 40]]
    line = PageLine(
        tuple((float(x), 2.08 * y) for x, y in box), Reading("a", 1.0, (1.0,)), words=((0.0, 1.0),)
    )
    opened = ImagePages(tmp_path / "fax.tif").page(0)
    page = Page(str(tmp_path / "fax.tif"), 1, opened.width, opened.height, 204.0, lines=(line,))
    write_document(Target(tmp_path / "out", "fax", form, tmp_path / "fax.tif", 1), [page], FormatOptions())
    (shown,) = LayoutPages(tmp_path / "out" / "fax.xml").page(0).found.boxes
    assert np.allclose(shown.quad[0], (50, 41.6), atol=1.5)
