"""Reading XML that nobody vouches for: no document type, no entities, no network, bounded depth and size."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from sources.connectors.files_values import UnreadableFile, clean

_DOCTYPE_MARKS = (b"<!DOCTYPE", "<!DOCTYPE".encode("utf-16-le")[:-1])
_ANY_MARKS = 1_000_000
_BYTES_BY_MARK = 12
_DOCTYPE_REFUSED = (
    "it has a document type declaration (<!DOCTYPE>), which no business document has and which can do harm"
)


def read_xml(data: bytes) -> etree._Element:
    """The root of a document, every element named by its local name. Raises UnreadableFile."""
    root = parse_xml(data)
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
    if any(mark in data for mark in _DOCTYPE_MARKS):
        raise UnreadableFile(_DOCTYPE_REFUSED)
    marks = data.count(b"<") + data.count(b"=")
    if marks > _ANY_MARKS and marks * _BYTES_BY_MARK > len(data):
        raise UnreadableFile("it has far more elements and attributes than a business document of its size")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=long_texts,
        remove_blank_text=True,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError, LookupError) as error:
        raise UnreadableFile(f"it is not well-formed XML: {clean(str(error), 200)}") from error
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
