"""Reading XML that nobody vouches for: no document type, no entities, no network, bounded depth and size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, Final

from lxml import etree

from sources.connectors.files_values import UnreadableFile, clean

_DOCTYPE_MARKS = (b"<!DOCTYPE", "<!DOCTYPE".encode("utf-16-le")[:-1])
_ANY_MARKS = 1_000_000
_BYTES_BY_MARK = 12
_DOCTYPE_REFUSED = (
    "it has a document type declaration (<!DOCTYPE>), which no business document has and which can do harm"
)

_OPTIONS: Final[dict[str, Any]] = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "dtd_validation": False,
    "remove_blank_text": True,
    "remove_comments": True,
    "remove_pis": True,
}


def read_xml(data: bytes) -> etree._Element:
    """The root of a document, every element named by its local name. Raises UnreadableFile."""
    root = parse_xml(data)
    drop_namespaces(root)
    return root


def read_xml_taking(data: bytes, name: str, take: Callable[[etree._Element], None]) -> etree._Element:
    """As `read_xml`, of documents that repeat an element: each one of this local name is shown to `take` as soon as another one ends
    (the last one is not), and `take` may remove it, so that the whole is never in memory at once. It sees names with their namespaces,
    and must not raise: whether the document is well-formed is not known yet. Raises UnreadableFile."""
    _refuse_unsafe(data)
    reading = etree.iterparse(BytesIO(data), events=("end",), tag=f"{{*}}{name}", **_OPTIONS)
    before: etree._Element | None = None
    try:
        for _, element in reading:
            if before is not None:
                take(before)
            before = element
    except (etree.XMLSyntaxError, ValueError, LookupError):
        return read_xml(data)  # It finds the same fault, and says which.
    root = _without_doctype(reading.root)
    drop_namespaces(root)
    return root


def drop_namespaces(root: etree._Element) -> None:
    """Names every element by its local name."""
    for element in root.iter(etree.Element):
        element.tag = str(element.tag).rpartition("}")[2]
    etree.cleanup_namespaces(root)


def parse_xml(data: bytes, *, long_texts: bool = False) -> etree._Element:
    """The root of a document, its names with their namespaces. Raises UnreadableFile.

    libxml2's own bounds hold: 256 levels, 10 MB for one text; with `long_texts`, of documents that have files within them, 2,048
    levels and 1 GB. An element takes some 120 bytes however short it is written: a document that is mostly markup is refused."""
    _refuse_unsafe(data)
    parser = etree.XMLParser(huge_tree=long_texts, **_OPTIONS)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError, LookupError) as error:
        raise UnreadableFile(f"it is not well-formed XML: {clean(str(error), 200)}") from error
    return _without_doctype(root)


def _refuse_unsafe(data: bytes) -> None:
    if any(mark in data for mark in _DOCTYPE_MARKS):
        raise UnreadableFile(_DOCTYPE_REFUSED)
    marks = data.count(b"<") + data.count(b"=")
    if marks > _ANY_MARKS and marks * _BYTES_BY_MARK > len(data):
        raise UnreadableFile("it has far more elements and attributes than a business document of its size")


def _without_doctype(root: etree._Element | None) -> etree._Element:
    if root is None or root.getroottree().docinfo.internalDTD is not None:
        raise UnreadableFile(_DOCTYPE_REFUSED)
    return root


def find_text(element: etree._Element, path: str) -> str | None:
    """The text of the first element at a path, without blanks around it; None when it is absent or empty."""
    found = element.findtext(path)
    return (found.strip() or None) if found else None


def texts(element: etree._Element, *paths: str) -> Iterator[str]:
    """The texts of all elements at these paths, path by path, the empty ones left out."""
    for path in paths:
        for found in element.findall(path):
            text = (found.text or "").strip()
            if text:
                yield text
