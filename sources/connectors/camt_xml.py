"""Reading XML that nobody vouches for: no document type, no entities, no network, bounded depth and size.

Namespaces are taken away, because their only news is the version, and every version is read alike."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from sources.connectors.statement import UnreadableFile, clean, quote, to_minor

_DOCTYPE_MARKS = (b"<!DOCTYPE", "<!DOCTYPE".encode("utf-16-le")[:-1])
_DOCTYPE_REFUSED = "it has a document type declaration (<!DOCTYPE>), which no camt file has and which can do harm"
_XS_DECIMAL = re.compile(r"\+?([0-9]*)(?:\.([0-9]*))?")


def read_xml(data: bytes) -> etree._Element:
    """The root of a document, every element named by its local name. Raises UnreadableFile.

    libxml2's own bounds hold (`huge_tree` is off): 256 levels, 10 MB for one text."""
    if any(mark in data for mark in _DOCTYPE_MARKS):
        raise UnreadableFile(_DOCTYPE_REFUSED)
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
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
    for element in root.iter(etree.Element):
        element.tag = str(element.tag).rpartition("}")[2]
    etree.cleanup_namespaces(root)
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


def to_amount(element: etree._Element, where: str) -> tuple[int, str]:
    """`Amt` with its `Ccy` and the `CdtDbtInd` beside it: signed minor units, money in positive, and the currency.
    Raises UnreadableFile."""
    amount = element.find("Amt")
    text = (amount.text or "").strip() if amount is not None else ""
    if amount is None or not text:
        raise UnreadableFile(f"{where}: there is no amount (Amt)")
    currency = (amount.get("Ccy") or "").strip()
    if not currency:
        raise UnreadableFile(f"{where}: the amount {quote(text)} has no currency (Ccy)")
    minor = to_minor(_plain_decimal(text), currency, where)
    indicator = find_text(element, "CdtDbtInd")
    if indicator not in ("CRDT", "DBIT") and not (indicator is None and minor == 0):
        given = "there is none" if indicator is None else f"it is {quote(indicator)}"
        raise UnreadableFile(f"{where}: CdtDbtInd has to be CRDT or DBIT, but {given}")
    return (-minor if indicator == "DBIT" else minor), currency


def _plain_decimal(text: str) -> str:
    """An xs:decimal in the one form that amounts have here: '+5', '.5' and '5.' become '5', '0.5' and '5'."""
    match = _XS_DECIMAL.fullmatch(text)
    if not match or not (match[1] or match[2]):
        return text
    return f"{match[1] or '0'}.{match[2]}" if match[2] else match[1]
