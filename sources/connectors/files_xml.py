"""Reading XML that nobody vouches for: no document type, no entities, no network, bounded depth and size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, cast

from lxml import etree

from sources.connectors.files_values import Memory, UnreadableFile, clean

_DOCTYPE_MARKS = (b"<!DOCTYPE", "<!DOCTYPE".encode("utf-16-le")[:-1])
_AT_ONCE = 262_144
_NODE, _ATTRIBUTE, _NAMESPACE = 120, 220, 110
_DOCTYPE_REFUSED = (
    "it has a document type declaration (<!DOCTYPE>), which no business document has and which can do harm"
)
_MARKUP = "elements and attributes"

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
    and whether the document is well-formed is not known yet. Raises UnreadableFile, as `take` may."""
    parser = etree.XMLPullParser(events=("end",), tag=f"{{*}}{name}", **_OPTIONS)
    last: etree._Element | None = None

    def taken() -> etree._Element | None:
        nonlocal last
        for _, element in parser.read_events():
            if last is not None:
                take(last)
            last = cast("etree._Element", element)
        return last

    root = _fed(parser, data, taken)
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
    levels and 1 GB."""
    return _fed(etree.XMLParser(huge_tree=long_texts, **_OPTIONS), data, lambda: None)


def _fed(
    parser: etree.XMLParser | etree.XMLPullParser, data: bytes, seen: Callable[[], etree._Element | None]
) -> etree._Element:
    """The root of a document that a parser is given part by part, so that it ends when its tree takes too much. `seen`, after each:
    answers with an element of a tree from which some may have been taken out."""
    if any(mark in data for mark in _DOCTYPE_MARKS):
        raise UnreadableFile(_DOCTYPE_REFUSED)
    weight = _Weight(len(data))
    try:
        for begin in range(0, len(data), _AT_ONCE):
            part = data[begin : begin + _AT_ONCE]
            parser.feed(part)
            weight.add(part, seen())
        root = parser.close()
    except (etree.XMLSyntaxError, ValueError, LookupError) as error:
        raise UnreadableFile(f"it is not well-formed XML: {clean(str(error), 200)}") from error
    return _without_doctype(root)


class _Weight:
    """What the tree of a document takes, by its markup: an element and a text 120 bytes each, however short they are, an attribute
    220."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._counted = 0
        self._names = 0

    def add(self, part: bytes, inner: etree._Element | None) -> None:
        """Counts what a part adds; where that is too much, what is left in the tree that `inner` is in. Raises UnreadableFile."""
        elements = part.count(b"<") - part.count(b"</")
        texts = part.count(b">") - part.count(b"><")
        self._names += part.count(b"xmlns") * _NAMESPACE
        self._counted += (elements + texts) * _NODE + part.count(b"=") * _ATTRIBUTE
        try:
            Memory(self._size).take(self._counted, _MARKUP)
        except UnreadableFile:
            if inner is None:
                raise
            nodes = f"(count(//*) + count(//text())) * {_NODE} + count(//@*) * {_ATTRIBUTE}"
            self._counted = int(cast("float", inner.getroottree().xpath(nodes))) + self._names
            Memory(self._size).take(self._counted, _MARKUP)


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
