"""XML and HTML parsed so that a file can do no harm: no entities, no DTD, no network, no boundless trees."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from vocr_cli.core.data.images.file_kinds import MAX_FILE_BYTES
from vocr_cli.core.errors import DataError, DependencyError, reason_of
from vocr_cli.core.machine.files.input_file import open_input, read_within

if TYPE_CHECKING:
    from lxml.etree import _Element

SUFFIXES = frozenset({".xml", ".hocr", ".html", ".htm", ".xhtml", ".alto", ".page"})
"""Of layout files."""

_HEAD_BYTES = 1 << 16
_KINDS = (
    ("PAGE XML", re.compile(r"<(?:[\w.-]+:)?PcGts[\s>]")),
    ("ALTO", re.compile(r"<(?:[\w.-]+:)?alto[\s>]", re.IGNORECASE)),
    ("hOCR", re.compile(r"""class\s*=\s*["'][^"']*\bocrx?_(?:page|line|carea|block)\b|ocr-capabilities""")),
)
_ROOT = re.compile(r"<(?![?!])(?:[\w.-]+:)?([\w.-]+)")
_ENTITY = re.compile(rb"<!ENTITY|<\0!\0E\0N\0T\0I\0T\0Y\0|\0<\0!\0E\0N\0T\0I\0T\0Y")


def layout_kind(path: Path) -> str:
    """The format of a file that describes pages: PAGE XML, ALTO or hOCR; empty: it is none of them."""
    head = _head(path)
    return next((kind for kind, mark in _KINDS if mark.search(head)), "")


def root_name(path: Path) -> str:
    """The name of the outermost element of an XML file; empty: it is no XML."""
    head = _head(path).lstrip("\ufeff \t\r\n")
    found = _ROOT.search(head) if head.startswith("<") else None
    return found[1] if found else ""


def parse_layout(path: Path) -> tuple[str, _Element]:
    """Parses a layout file.

    Returns:
        Its format, as `layout_kind` has it, and its outermost element.

    Raises:
        DataError: It cannot be read, is damaged, declares entities, or is of no known format.
        DependencyError: lxml is not installed.
    """
    try:
        from lxml import etree
    except ImportError:
        raise DependencyError(
            "Reading PAGE XML, ALTO and hOCR needs lxml.", "Install it: pip install 'vocr-cli[layout]'."
        ) from None
    content = _content(path)
    kind = layout_kind(path)
    if not kind:
        name = root_name(path)
        what = f"XML (`{name}`), but none that describes lines" if name else "no XML"
        raise DataError(f"{path} is {what}.", "Name a PAGE XML, ALTO or hOCR file.")
    if _ENTITY.search(content):
        raise DataError(
            f"{path} declares entities, which are not expanded: they can be endless.",
            "Write the characters themselves, for instance with xmllint --noent.",
        )
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False,
        attribute_defaults=False, huge_tree=False, remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(content, parser)
        if kind != "hOCR" or next(root.iter(etree.Entity), None) is None:
            return kind, root
    except etree.XMLSyntaxError as error:
        if kind != "hOCR":
            raise DataError(
                f"{path} is damaged XML: {reason_of(error)}.", "Correct that line, or write the file anew."
            ) from None
    return kind, _parse_html(path, content)


def local_name(element: _Element) -> str:
    """The name of an element without its namespace; empty for what is no element."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def text_within(element: _Element) -> str:
    """All text inside an element, its descendants' included."""
    return "".join(map(str, element.itertext()))


def _parse_html(path: Path, content: bytes) -> _Element:
    """Parses hOCR that is no XML: HTML with its own entities, unclosed elements and the like."""
    from lxml import etree

    parser = etree.HTMLParser(no_network=True, huge_tree=False, remove_comments=True, remove_pis=True,
                              encoding=None if b"charset" in content[:2048] else "utf-8")  # fmt: skip
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise DataError(f"{path} is damaged HTML: {reason_of(error)}.", "Write the file anew.") from None
    if root is None:
        raise DataError(f"{path} is empty.", "Write the file anew.")
    return root


def _head(path: Path) -> str:
    """The beginning of a file as text."""
    try:
        with open_input(path, pipes=False) as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason_of(error)}.", "Check the path.") from None
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    return head.decode(encoding, "replace")


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise DataError(
                f"{path}: {path.stat().st_size:,} bytes are too many for a page's lines.",
                "Write one file a page.",
            )
        return read_within(path, MAX_FILE_BYTES, pipes=False)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason_of(error)}.", "Check the path.") from None
