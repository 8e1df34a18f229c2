"""Reading XML that nobody vouches for: no document type, no entities, no network, bounded depth, size and memory."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

from lxml import etree

from sources.connectors.files_values import Memory, UnreadableFile, clean, quote, text_codec

_DOCTYPE_MARK = b"<!DOCTYPE"
_AT_ONCE = 65_536
_NODE = 128
_ATTRIBUTE = 240
_MOST_LOOKS = 4
_MARKUP = "elements and attributes"
_DOCTYPE_REFUSED = (
    "it has a document type declaration (<!DOCTYPE>), which no business document has and which can do harm"
)
_BEGINS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    b"<\0": "utf-16-le",
    b"\0<": "utf-16-be",
}
_STATED_ENCODING = re.compile(rb"\s*<\?xml[^>]*?\sencoding\s*=\s*[\"']([^\"'<>]*)[\"']")
_MOST_ATTRIBUTES = 1_000
_TOO_MANY_ATTRIBUTES = re.compile(
    rb"<[^\s<>/!?]++(?:\s++[^\s<>=]++\s*+=\s*+(?:\"[^\"<]*+\"|'[^'<]*+')){%d}" % (_MOST_ATTRIBUTES + 1)
)
_HEAD = 4_096
_MOST_NAMES = 10_000
_NAMES = re.compile(rb"<([^\s<>/!?]+)")
_PLACE = re.compile(r", line (\d+)(?:, column \d+)?$")

_OPTIONS: Final[dict[str, Any]] = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "dtd_validation": False,
    "remove_blank_text": True,
    "remove_comments": True,
    "remove_pis": True,
    "encoding": "utf-8",
}


def is_xml(data: bytes) -> bool:
    """Whether it begins with a tag, in any encoding."""
    return data[:_HEAD].replace(b"\0", b"").lstrip(b" \t\r\n\xef\xbb\xbf\xff\xfe").startswith(b"<")


def read_xml(data: bytes, memory: Memory) -> etree._Element:
    """The root of a document, every element named by its local name. `memory`: of the file. Raises UnreadableFile."""
    root = parse_xml(data, memory)
    drop_namespaces(root)
    return root


def read_xml_taking(data: bytes, memory: Memory, name: str, take: Callable[[etree._Element], None]) -> etree._Element:
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

    root = _fed(parser, data, memory, taken)
    drop_namespaces(root)
    return root


def drop_namespaces(root: etree._Element) -> None:
    """Names every element by its local name."""
    for element in root.iter(etree.Element):
        element.tag = str(element.tag).rpartition("}")[2]
    etree.cleanup_namespaces(root)


def parse_xml(data: bytes, memory: Memory, *, long_texts: bool = False) -> etree._Element:
    """The root of a document, its names with their namespaces. `memory`: of the file. Raises UnreadableFile.

    libxml2's own bounds hold: 256 levels, 10 MB for one text; with `long_texts`, of documents that have files within them, 2,048
    levels and 1 GB."""
    return _fed(etree.XMLParser(huge_tree=long_texts, **_OPTIONS), data, memory, lambda: None)


def _fed(
    parser: etree.XMLParser | etree.XMLPullParser,
    data: bytes,
    memory: Memory,
    seen: Callable[[], etree._Element | None],
) -> etree._Element:
    """The root of a document that a parser is given part by part, so that it ends before its tree takes too much. `seen`, after each:
    answers with an element of a tree from which some may have been taken out."""
    text = _in_utf8(data)
    if text is not data:
        memory.take(len(text), _MARKUP)
    if _DOCTYPE_MARK in text:
        raise UnreadableFile(_DOCTYPE_REFUSED)
    if found := _TOO_MANY_ATTRIBUTES.search(text):
        line = text.count(b"\n", 0, found.start()) + 1
        raise UnreadableFile(f"line {line}: an element has more than {_MOST_ATTRIBUTES:,} attributes")
    weight = _Weight(memory)
    try:
        for begin in range(0, len(text), _AT_ONCE):
            part = text[begin : begin + _AT_ONCE]
            weight.add(part)
            parser.feed(part)
            weight.of(seen())
        root = parser.close()
        weight.count_again()
    except (etree.XMLSyntaxError, ValueError, LookupError) as error:
        raise UnreadableFile(_not_well_formed(error)) from error
    finally:
        memory.when_short = None
    return _without_doctype(root)


def _in_utf8(data: bytes) -> bytes:
    """A document as UTF-8, whatever it is written in: then its markup is counted as the parser sees it. Raises UnreadableFile."""
    stated = _STATED_ENCODING.match(data, 0, 400)
    begun = next((_BEGINS[mark] for mark in _BEGINS if data.startswith(mark)), None)
    name = begun or (stated[1].decode("ascii", "replace") if stated else "utf-8")
    codec = text_codec(name)
    if codec is None:
        raise UnreadableFile(f"its encoding {quote(name)} is not known")
    if begun is None and codec.startswith(("utf-16", "utf-32")):
        return data  # of a program that writes UTF-8 and says UTF-16
    if codec in ("utf-8", "ascii"):
        return data
    try:
        return data.decode(codec).encode()
    except UnicodeError as error:
        raise UnreadableFile(f"it says that it is text in {name}, and is not") from error


def _not_well_formed(error: Exception) -> str:
    """A sentence with the line where it is known."""
    said = str((error.msg or "") if isinstance(error, etree.XMLSyntaxError) else error)
    place = _PLACE.search(said)
    shown = clean(said[: place.start()] if place else said, 200) or "it ends too early"
    return f"it is not well-formed XML: line {place[1]}: {shown}" if place else f"it is not well-formed XML: {shown}"


class _Weight:
    """What the tree of a document takes, by its markup: an element and a text 128 bytes each, however short they are, an attribute
    240; names, which the parser keeps for good, are few in any document. A part is counted before the parser sees it; where that
    is too much, what is left in the tree is counted anew, as often as that takes no time."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._counted = 0
        self._looks = _MOST_LOOKS * (memory.left // _NODE)
        self._names: set[bytes] = set()
        self._root: etree._Element | None = None
        memory.when_short = self.count_again

    def of(self, element: etree._Element | None) -> None:
        """An element of the tree, once there is one that may be taken out."""
        if self._root is None and element is not None:
            self._root = element.getroottree().getroot()

    def add(self, part: bytes) -> None:
        """Raises UnreadableFile."""
        elements = part.count(b"<") - part.count(b"</")
        texts = part.count(b">") - part.count(b"><")
        size = (elements + texts) * _NODE + part.count(b"=") * _ATTRIBUTE
        self._memory.take(size, _MARKUP)
        self._counted += size
        self._names.update(_NAMES.findall(part))
        if len(self._names) > _MOST_NAMES:
            raise UnreadableFile(f"it has more than {_MOST_NAMES:,} different names of elements")

    def count_again(self) -> None:
        """What is left in a tree from which some may have been taken out."""
        if self._root is None or self._looks <= 0:
            return
        nodes = attributes = 0
        for each in self._root.iter(etree.Element):
            nodes += 1 + (each.text is not None) + (each.tail is not None)
            attributes += len(each.attrib)
        self._looks -= nodes
        held = nodes * _NODE + attributes * _ATTRIBUTE
        self._memory.give_back(self._counted - held)
        self._counted = held


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
