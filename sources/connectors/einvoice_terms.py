"""The terms of an electronic invoice, by the semantic model of EN 16931-1 (BT: business term, BG: group of them), and how their
values are read. UBL and CII write the same terms in two ways: each reader gives an EInvoice, and everything else knows only that.

Amounts are signed minor units of the invoice's currency, as the supplier states them. Nothing is computed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

from lxml import etree

from sources.connectors.files_values import UnreadableFile, clean, exponent_of, quote, to_date, to_signed_minor
from sources.connectors.files_xml import find_text

MAX_NUMBER = 200
"""Characters of an invoice's number: it is part of the document's key, and is not cut off."""

_XS_DECIMAL = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?", re.ASCII)
_MAX_DIGITS = 40
_COMPACT_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:[0-9]{4}|[0-9]{6})?", re.ASCII)
_COMPACT_FORMATS = ("102", "203", "204", None)  # UNTDID 2379: CCYYMMDD, with hours and minutes, with seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Seller (BG-4) or buyer (BG-7). `ids`: BT-29, BT-46, those of a registered scheme first."""

    name: str | None
    vat_id: str | None = None
    tax_number: str | None = None
    legal_id: str | None = None
    ids: tuple[str, ...] = ()

    @property
    def identifiers(self) -> tuple[str, ...]:
        """All that identify it, the one that is told everywhere first."""
        return tuple(each for each in (self.vat_id, self.legal_id, *self.ids, self.tax_number) if each)

    @property
    def tax_id(self) -> str | None:
        """Its VAT identifier (BT-31, BT-48), else its tax number (BT-32)."""
        return self.vat_id or self.tax_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A line (BG-25), or an allowance (BG-20, negative) or charge (BG-21) of the whole invoice. `category`: BT-151, `rate`: BT-152
    in percent, `account`: BT-133, where the buyer wants it booked, `product`: BT-155, by which the seller knows it."""

    amount: int
    description: str | None
    quantity: str | None = None
    category: str | None
    rate: str | None
    service_from: date | None = None
    service_to: date | None = None
    account: str | None = None
    product: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tax:
    """One row of the tax breakdown (BG-23): BT-117, BT-116, BT-118, BT-119."""

    amount: int
    taxable: int | None
    category: str | None
    rate: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """BG-22: `lines` BT-106, `allowances` BT-107, `charges` BT-108, `net` BT-109, `tax` BT-110, `gross` BT-112, `prepaid` BT-113,
    `rounding` BT-114, `due` BT-115. `also_due`: sums that the invoice collects for others, which `due` may hold too."""

    net: int
    gross: int
    lines: int | None = None
    allowances: int | None = None
    charges: int | None = None
    tax: int | None = None
    prepaid: int | None = None
    rounding: int | None = None
    due: int | None = None
    also_due: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """What else the invoice tells, for rules and people: BT-13, BT-12, BT-11, BT-10, BT-20, BT-83, BT-84, BT-72, and the invoices
    before it (BG-3) by number and day."""

    order: str | None = None
    contract: str | None = None
    project: str | None = None
    buyer_reference: str | None = None
    payment_terms: str | None = None
    payment_reference: str | None = None
    payment_account: str | None = None
    delivered_on: date | None = None
    preceding: tuple[tuple[str, date | None], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EInvoice:
    """`number` BT-1, `type_code` BT-3 (UNTDID 1001), `issue_date` BT-2, `due_date` BT-9, `currency` BT-5; `accounting_tax`: BT-6 and
    BT-111, the tax in the seller's accounting currency. `items`: lines, then allowances and charges; () in profiles without lines.
    `taxes` None: there is no breakdown."""

    number: str
    type_code: str
    issue_date: date
    currency: str
    seller: Side
    buyer: Side
    totals: Totals
    items: tuple[Item, ...]
    taxes: tuple[Tax, ...] | None
    due_date: date | None = None
    accounting_tax: tuple[str, int] | None = None
    references: References = field(default_factory=References)


_MISSING = {
    "BT-1": "the invoice has no number",
    "BT-2": "the invoice has no date of issue",
    "BT-3": "the invoice does not say of which type it is",
    "BT-5": "the invoice has no currency",
    "BT-92": "an allowance has no amount",
    "BT-99": "a charge has no amount",
    "BT-109": "the invoice has no total without tax",
    "BT-112": "the invoice has no total with tax",
    "BT-117": "a tax has no amount",
    "BT-131": "a line has no amount",
}
"""What is said where a term of EN 16931 that has to be there is not."""


def missing(term: str, path: str, line: object = None) -> UnreadableFile:
    """Of a term that has to be there: in words, with where it was looked for."""
    where = "" if line is None else f", line {line}"
    return UnreadableFile(f"{term}{where}: {_MISSING[term]} ({path})")


class Figures:
    """Reads the figures of one invoice, all of them in one currency."""

    def __init__(self, currency: str) -> None:
        """Raises UnreadableFile when ISO 4217 does not have the currency."""
        exponent_of(currency, "BT-5")
        self.currency = currency

    def amount(self, element: etree._Element, path: str, term: str) -> int | None:
        """The amount at a path; None where it is not stated. Raises UnreadableFile, also for two of them."""
        found = stated(element, path)
        if len(found) > 1:
            raise UnreadableFile(f"{term}: it is stated {len(found)} times")
        return self.of(found[0], term) if found else None

    def needed(self, element: etree._Element, path: str, term: str) -> int:
        """The same, of an amount that every invoice has."""
        amount = self.amount(element, path, term)
        if amount is None:
            raise missing(term, path)
        return amount

    def of(self, element: etree._Element, term: str) -> int:
        """Of an element that is an amount."""
        where = f"{term}, line {element.sourceline}"
        if len(element):
            raise UnreadableFile(f"{where}: there are elements within the amount")
        currency = (element.get("currencyID") or "").strip()
        if currency and currency != self.currency:
            raise UnreadableFile(f"{where}: the amount is in {quote(currency)}, the invoice in {self.currency}")
        return to_signed_minor(_plain(element.text or ""), self.currency, where)

    def tax_totals(
        self, found: Sequence[etree._Element], accounting_currency: str | None
    ) -> tuple[int | None, tuple[str, int] | None]:
        """BT-110, and BT-111 with its currency, told apart by their currencies. Raises UnreadableFile."""
        by_currency: dict[str, etree._Element] = {}
        for element in found:
            currency = (element.get("currencyID") or "").strip() or self.currency
            if currency in by_currency:
                raise UnreadableFile(
                    f"BT-110, line {element.sourceline}: there is more than one tax total in {currency}"
                )
            by_currency[currency] = element
        own = by_currency.pop(self.currency, None)
        other = by_currency.pop(accounting_currency, None) if accounting_currency else None
        if by_currency:
            raise UnreadableFile(
                f"BT-110: there is a tax total in {quote(next(iter(by_currency)))}, which is not its currency"
            )
        tax = None if own is None else self.of(own, "BT-110")
        if other is None or accounting_currency is None:
            return tax, None
        return tax, (accounting_currency, Figures(accounting_currency).of(other, "BT-111"))


def stated(element: etree._Element, path: str) -> list[etree._Element]:
    """The elements at a path that hold a text."""
    return [each for each in element.findall(path) if (each.text or "").strip()]


def decimal_at(element: etree._Element, path: str, term: str) -> str | None:
    """A number that is no amount (a quantity, a rate), in the one form that it has here. Raises UnreadableFile."""
    text = find_text(element, path)
    if text is None:
        return None
    plain = _plain(text)
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", plain, re.ASCII):
        raise UnreadableFile(f"{term}: {quote(text)} is not a decimal number")
    return plain


def _plain(text: str) -> str:
    """An xs:decimal without a plus sign and the zeros that say nothing: '+05.50' -> '5.5'. What is none stays as it is."""
    text = text.strip()
    match = _XS_DECIMAL.fullmatch(text) if len(text) <= 2 * _MAX_DIGITS else None
    if not match or not (match[2] or match[3]):
        return text
    whole, fraction = match[2].lstrip("0") or "0", (match[3] or "").rstrip("0")
    plain = f"{whole}.{fraction}" if fraction else whole
    return f"-{plain}" if match[1] == "-" and plain != "0" else plain


def text_at(element: etree._Element, path: str, limit: int = 140) -> str | None:
    """The text at a path on one line, cut off at `limit` characters; None when there is none."""
    return clean(find_text(element, path), limit)


def needed_text(element: etree._Element, path: str, term: str) -> str:
    """A text that every invoice has. Raises UnreadableFile when it is missing or too long to be what it should be."""
    text = text_at(element, path, MAX_NUMBER + 1)
    if text is None:
        raise missing(term, path)
    if len(text) > MAX_NUMBER:
        raise UnreadableFile(f"{term}: {quote(text)} is longer than {MAX_NUMBER} characters")
    return text


def iso_date_at(element: etree._Element, path: str, term: str) -> date | None:
    """A date as UBL writes it (xs:date). Raises UnreadableFile."""
    text = find_text(element, path)
    return to_date(text, term) if text else None


def compact_date_at(element: etree._Element, path: str, term: str) -> date | None:
    """A date as CII writes it: `DateTimeString` with its format (UNTDID 2379), or `DateTime`. Raises UnreadableFile."""
    for found in (*stated(element, f"{path}/DateTimeString"), *stated(element, f"{path}/DateString")):
        text = (found.text or "").strip()
        match = _COMPACT_DATE.fullmatch(text)
        if not match or found.get("format") not in _COMPACT_FORMATS:
            raise UnreadableFile(f"{term}: {quote(text)} is not a date of the form 20260131 (format 102)")
        return to_date("-".join(match.groups()), term)
    return iso_date_at(element, f"{path}/DateTime", term)


def ids_in_order(elements: Iterable[etree._Element]) -> tuple[str, ...]:
    """Identifiers, those of a registered scheme first: an order that does not depend on how the document is written."""
    found = {(not each.get("schemeID"), each.get("schemeID") or "", clean(each.text)) for each in elements}
    return tuple(text for _, _, text in sorted(found, key=str) if text)
