"""Searchable PDFs: the pages as they were, with the text that was read laid over them, unseen."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from importlib.util import find_spec
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from vocr_cli.core.errors import DataError, DependencyError, DocumentError, reason_of
from vocr_cli.core.machine.atomic_write import atomic_write
from vocr_cli.core.pages.inputs.documents import is_pdf, open_document
from vocr_cli.core.pages.outputs.earlier_text import SeenText, inherited, remove_unseen_text
from vocr_cli.core.pages.outputs.invisible_text import Transform, invisible_font, invisible_text
from vocr_cli.core.pages.page import Page
from vocr_cli.core.pages.seen_box import Box, seen_box

if TYPE_CHECKING:
    from pikepdf import Dictionary, Object, Pdf
    from pikepdf import Page as PdfPage

_DPI = 200.0  # of images that do not tell
_NO_BOX = (0, 0, 612, 792)  # what a page without any box is taken for
_LEAST_PT, _MOST_PT = 3.0, 14_400.0  # sides of a page
_PNG_DATA = 8  # bytes before the first chunk


def need_pikepdf() -> None:
    """Makes sure that PDFs can be written.

    Raises:
        DependencyError: pikepdf is not installed.
    """
    if find_spec("pikepdf") is None:
        raise DependencyError(
            "--format pdf needs pikepdf, which is not installed.", "pip install 'vocr-cli[pages]'."
        )


def write_searchable_pdf(file: Path, source: Path, pages: Iterable[Page], dpi: float) -> bool:
    """Writes a document as a searchable PDF in one step.

    A PDF keeps its pages as they look; images become upright pages of their size and resolution. Text that an
    earlier OCR left unseen gives way; a line is not laid over text that is seen and says the same.

    Args:
        file: The PDF to write.
        source: The document.
        pages: As they were read; those that could not be are left as they are, or out.
        dpi: What pages of a PDF were drawn at.

    Returns:
        Whether the document was signed: what is written is another one, for which its signatures do not hold.

    Raises:
        DataError: The file cannot be written.
        DocumentError: The document cannot be opened any more, or what it holds cannot be written anew.
        DependencyError: pikepdf is not installed.
    """
    need_pikepdf()
    import pikepdf

    try:
        with atomic_write(file, only_writer=True) as temporary:
            if is_pdf(source):
                with pikepdf.open(source) as pdf:
                    signed = _is_signed(pdf)
                    _over_pdf(pdf, pages)
                    pdf.save(temporary, deterministic_id=True)
            else:
                signed = False
                with pikepdf.new() as pdf:
                    _of_images(pdf, source, pages)
                    pdf.save(temporary, deterministic_id=True)
    except OSError as error:
        raise DataError(
            f"{file} cannot be written: {reason_of(error)}.", "Free disk space, or name another --out folder."
        ) from None
    except Exception as error:  # damaged PDFs raise anything
        raise DocumentError(
            f"{source}: no text can be laid over it: {reason_of(error)}.",
            "Repair the PDF (qpdf FILE.pdf NEW.pdf), or choose another --format.",
        ) from None
    return signed


def _is_signed(pdf: Pdf) -> bool:
    """Whether a PDF holds digital signatures, by the fields of its form."""
    from pikepdf import Array, Dictionary

    form = pdf.Root.get("/AcroForm")
    left: list[Any] = [form.get("/Fields")] if isinstance(form, Dictionary) else []
    seen: set[tuple[int, int]] = set()  # damaged forms lead round and round
    while left:
        node = left.pop()
        if isinstance(node, Array):
            left.extend(node)
        elif isinstance(node, Dictionary) and (node.objgen not in seen or not node.is_indirect):
            if node.get("/FT") == "/Sig" and "/V" in node:
                return True
            seen.add(node.objgen)
            left.append(node.get("/Kids"))
    return False


def _over_pdf(pdf: Pdf, pages: Iterable[Page]) -> None:
    font = invisible_font(pdf)
    for page in pages:
        if page.error or page.number > len(pdf.pages):
            continue
        target = pdf.pages[page.number - 1]
        medium = _box(target, "/MediaBox") or _NO_BOX
        box = seen_box(medium, _box(target, "/CropBox") or medium)
        turn = inherited(target, "/Rotate")
        place = _over_page(page, box, int(turn) % 360 if isinstance(turn, int | Decimal) else 0)
        seen = _seen_text(pdf, target, box)
        new = (
            line
            for line in page.lines
            if seen is None or not seen.says(line.reading.text, starmap(place, line.corners))
        )
        _add_text(target, font, replace(page, lines=tuple(new)), place)


def _seen_text(pdf: Pdf, page: PdfPage, box: Box) -> SeenText | None:
    """What is seen on a page when unseen text is gone; None: that cannot be found out, and all stays."""
    from pikepdf import Array, Stream

    try:
        contents: Any = page.obj.get("/Contents")
        if isinstance(contents, Array):  # readers pass by what is no stream
            page.obj.Contents = Array([each for each in contents if isinstance(each, Stream)])
        remove_unseen_text(pdf, page, box)
        return SeenText(page)
    except Exception:  # damaged streams raise anything, and readers draw such pages nevertheless
        return None


def _box(page: PdfPage, name: str) -> Box | None:
    try:
        left, bottom, right, top = (float(side) for side in inherited(page, name))
    except (TypeError, ValueError):
        return None
    return left, bottom, right, top


def _over_page(page: Page, box: Box, turn: int) -> Transform:
    """Places px of a drawn page in the PDF's own units, whatever the page's box and rotation are."""
    left, bottom, right, top = box
    width, height = right - left, top - bottom
    if turn in (90, 270):
        width, height = height, width
    across, down = width / max(1, page.width_px), height / max(1, page.height_px)

    def place(x: float, y: float) -> tuple[float, float]:
        u, v = x * across, height - y * down  # from the lower left corner of the page as it is seen
        if turn == 90:
            return right - v, bottom + u
        if turn == 180:
            return right - u, top - v
        if turn == 270:
            return left + v, top - u
        return left + u, bottom + v

    return place


def _add_text(target: PdfPage, font: Dictionary, page: Page, place: Transform) -> None:
    name = _add_resource(target, "/Font", font)
    # Before all else: what a page leaves open or moved at its end does not concern it.
    target.contents_add(b"q\n" + invisible_text(page, name, place) + b"Q\n", prepend=True)


def _add_resource(target: PdfPage, kind: str, resource: Object) -> str:
    """Adds a resource to a page under a name that is the same in each run; returns it with its slash."""
    from pikepdf import Dictionary

    resources = target.resources
    if not isinstance(resources.get(kind), Dictionary):
        resources[kind] = Dictionary()
    known, name, number = resources[kind], "/Vocr", 1
    while name in known and known[name].objgen != resource.objgen:  # pages may share their resources
        number += 1
        name = f"/Vocr{number}"
    known[name] = resource
    return name


def _of_images(pdf: Pdf, source: Path, pages: Iterable[Page]) -> None:
    font = invisible_font(pdf)
    for page in pages:
        if page.error:
            continue
        dpi = page.dpi or _DPI
        size = _page_size(page.width_px * 72 / dpi, page.height_px * 72 / dpi)
        target = pdf.add_blank_page(page_size=size)
        if page.turned:
            target.obj.Rotate = page.turned  # so that it is seen upright
        image = _image(pdf, source, page)
        name = _add_resource(target, "/XObject", image)
        target.contents_add(f"q {size[0]:.4f} 0 0 {size[1]:.4f} 0 0 cm {name} Do Q\n".encode("ascii"))
        _add_text(target, font, page, _over_page(page, (0, 0, *size), 0))


def _page_size(width: float, height: float) -> tuple[float, float]:
    """A size in points that readers of PDF take; what is too long is made smaller as a whole."""
    smaller = min(1.0, _MOST_PT / max(width, height))
    return max(_LEAST_PT, width * smaller), max(_LEAST_PT, height * smaller)


def _image(pdf: Pdf, source: Path, page: Page) -> Object:
    """A page's image: a JPEG as it is stored, others without loss."""
    from pikepdf import Name, Stream

    file = Path(page.image or source)
    with Image.open(file) as image:
        plain = image.format == "JPEG" and image.mode in ("L", "RGB") and image.getexif().get(0x0112, 1) == 1
        size, mode = image.size, image.mode
    filters: dict[str, Object]
    if plain:
        data, filters = file.read_bytes(), {"Filter": Name.DCTDecode}
    else:
        document = open_document(source, _DPI)
        try:
            pixels = document.page(page.number - 1).pixels
        finally:
            document.close()
        size, mode = (pixels.shape[1], pixels.shape[0]), "L" if pixels.ndim == 2 else "RGB"
        data, filters = _flate(Image.fromarray(pixels), mode)
    stream = Stream(pdf, data)
    facts: dict[str, Any] = {
        "Type": Name.XObject,
        "Subtype": Name.Image,
        "Width": size[0],
        "Height": size[1],
        "ColorSpace": Name.DeviceGray if mode == "L" else Name.DeviceRGB,
        "BitsPerComponent": 8,
    }
    for key, value in {**facts, **filters}.items():
        stream[f"/{key}"] = value
    return pdf.make_indirect(stream)


def _flate(image: Image.Image, mode: str) -> tuple[bytes, dict[str, Object]]:
    """Pixels as PNG packs them, which PDF can hold as it is."""
    from pikepdf import Dictionary, Name

    file = io.BytesIO()
    image.save(file, "PNG", compress_level=6)
    data, at, packed = file.getvalue(), _PNG_DATA, []
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IDAT":
            packed.append(data[at + 8 : at + 8 + length])
        at += length + 12
    settings = Dictionary(Predictor=15, Colors=1 if mode == "L" else 3, Columns=image.width)
    return b"".join(packed), {"Filter": Name.FlateDecode, "DecodeParms": settings}
