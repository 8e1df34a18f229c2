"""Amounts and marks as camt messages write them. Namespaces are taken away, because their only news is the version, and every
version is read alike."""

from __future__ import annotations

import re
import sys

from lxml import etree

from sources.connectors.files_values import UnreadableFile, quote, to_minor
from sources.connectors.files_xml import find_text

_XS_DECIMAL = re.compile(r"\+?([0-9]*)(?:\.([0-9]*))?")


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
    return (-minor if indicator == "DBIT" else minor), sys.intern(currency)


def _plain_decimal(text: str) -> str:
    """An xs:decimal in the one form that amounts have here: '+5', '.5' and '5.' become '5', '0.5' and '5'."""
    match = _XS_DECIMAL.fullmatch(text)
    if not match or not (match[1] or match[2]):
        return text
    return f"{match[1] or '0'}.{match[2]}" if match[2] else match[1]
