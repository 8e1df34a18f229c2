"""One `Ntry` of a camt message: its amount, dates, status, and what it says about the other side."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Any

from lxml import etree

from sources.connectors.camt_xml import to_amount
from sources.connectors.files_values import MAX_TEXT, clean, quote, to_date
from sources.connectors.files_xml import find_text, texts
from sources.connectors.statement import EntryIds, RawText, reference_of
from sources.documents import BankTransaction, BankTransactionStatus
from sources.money import EXPONENTS, format_minor

ENTRY = "Ntry"
_MAX_RAW = 65_536
_MAX_DETAILS = 100
_BOOKED = "BOOK"
_INFORMATION = "INFO"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry before it has an id. `bank_reference`: the servicer's own, unique by its definition (`AcctSvcrRef`). `xml`: the entry
    as it stands in the file, of `length` bytes, None where that is too much to keep. `apart`: it was read out of its document,
    so that `xml` has not the namespaces that the document declares."""

    amount: int
    currency: str
    status: str
    booked_on: date | None
    value_date: date | None
    description: str | None
    counterparty: str | None
    reference: str | None
    bank_reference: str | None
    xml: str | None
    length: int
    apart: bool

    @property
    def booked(self) -> bool:
        return self.status == _BOOKED

    @property
    def information_only(self) -> bool:
        return self.status == _INFORMATION

    def warning(self, label: str) -> str:
        amount = format_minor(self.amount, EXPONENTS[self.currency])
        return f"{label} mentions {amount} {self.currency} for information only (status INFO): it is left out."

    @property
    def content(self) -> tuple[object, ...]:
        """What identifies it. The payer's references count where the bank gives none: not every version has all of them."""
        own = (self.booked_on, self.value_date, self.amount, self.currency, self.description, self.counterparty)
        return own if self.bank_reference else (*own, self.reference)

    def transaction(self, ids: EntryIds, declared: str) -> BankTransaction:
        """`declared`: the namespaces that its document declares, as they are written."""
        return BankTransaction(
            external_id=ids.next(
                self.content, bank_reference=self.bank_reference, dated=bool(self.booked_on or self.value_date)
            ),
            status=BankTransactionStatus.BOOKED if self.booked else BankTransactionStatus.PENDING,
            amount=self.amount,
            currency=self.currency,
            booked_on=self.booked_on,
            value_date=self.value_date,
            description=self.description,
            counterparty=self.counterparty,
            reference=self.reference,
            raw=self._raw(declared if self.apart else ""),
        )

    def _raw(self, declared: str) -> Mapping[str, Any]:
        length = self.length + len(declared)
        if self.xml is None or length > _MAX_RAW:
            return {"xml": None, "omitted": f"{length} bytes, of {quote(ENTRY)}"}
        begin = len(f"<{ENTRY}")
        return RawText("xml", f"{self.xml[:begin]}{declared}{self.xml[begin:]}" if declared else self.xml)


def read_entry(element: etree._Element, kind: str, *, own_account: str) -> Entry:
    """`kind`: "052", "053" or "054"; an entry without a status is booked in a 053, pending in the others.
    `own_account`: the account's identification, to tell whose name is the other side's. Raises UnreadableFile."""
    where = f"line {element.sourceline}"
    amount, currency = to_amount(element, where)
    xml = etree.tostring(element, encoding="utf-8", with_tail=False)
    details = _details(element)
    bank_reference = reference_of(find_text(element, "AcctSvcrRef"))
    return Entry(
        amount=amount,
        currency=currency,
        status=_status(element, kind),
        booked_on=_date(element, "BookgDt", where),
        value_date=_date(element, "ValDt", where),
        description=_description(element, details),
        counterparty=_counterparty(element, details, amount, own_account),
        reference=_reference(element, details, bank_reference),
        bank_reference=bank_reference,
        xml=xml.decode() if len(xml) <= _MAX_RAW else None,
        length=len(xml),
        apart=element.getparent() is None,
    )


def _details(element: etree._Element) -> list[etree._Element]:
    """The entry's `TxDtls`, which version 1 has directly in the entry; the first hundred of a large batch."""
    details = list(islice(element.iterfind("NtryDtls/TxDtls"), _MAX_DETAILS))
    return details or list(islice(element.iterfind("TxDtls"), _MAX_DETAILS))


def _status(element: etree._Element, kind: str) -> str:
    stated = next(texts(element, "Sts/Cd", "Sts"), "").upper()
    return sys.intern(stated) or (_BOOKED if kind == "053" else "PDNG")


def _date(element: etree._Element, name: str, where: str) -> date | None:
    stated = next(texts(element, f"{name}/Dt", f"{name}/DtTm"), None)
    return to_date(stated, where) if stated else None


def _description(element: etree._Element, details: list[etree._Element]) -> str | None:
    """Remittance text; where there is none, the structured references; else what the bank adds."""
    for paths in (
        ("RmtInf/Ustrd",),
        ("RmtInf/Strd/AddtlRmtInf", "RmtInf/Strd/CdtrRefInf/Ref", "RmtInf/Strd/CdtrRefInf/CdtrRef"),
        ("AddtlTxInf",),
    ):
        found = list(dict.fromkeys(text for detail in details for text in texts(detail, *paths)))
        if found:
            return clean(" ".join(found), MAX_TEXT)
    return clean(find_text(element, "AddtlNtryInf"), MAX_TEXT)


def _reference(element: etree._Element, details: list[etree._Element], bank_reference: str | None) -> str | None:
    """The payer's end-to-end id when all details share it; else the bank's reference, the entry's own, the creditor's,
    the payment's (UETR)."""

    def shared(*paths: str) -> str | None:
        return _only({text for detail in details for text in texts(detail, *paths)})

    return reference_of(
        shared("Refs/EndToEndId"),
        bank_reference,
        find_text(element, "NtryRef"),
        shared("RmtInf/Strd/CdtrRefInf/Ref", "RmtInf/Strd/CdtrRefInf/CdtrRef"),
        shared("Refs/UETR"),
    )


def _only(found: set[str]) -> str | None:
    return found.copy().pop() if len(found) == 1 else None


def _counterparty(element: etree._Element, details: list[etree._Element], amount: int, own_account: str) -> str | None:
    """Who is on the other side: the debtor of money in, the creditor of money out, the other way round on a reversal.
    The other role stands in where the file fills that one alone, unless it is the account itself. None when the details
    of a batch name several."""
    money_in = amount > 0 or (amount == 0 and find_text(element, "CdtDbtInd") == "CRDT")
    reversal = find_text(element, "RvslInd") in ("true", "1")
    roles = ("Dbtr", "Cdtr") if money_in != reversal else ("Cdtr", "Dbtr")
    names = {name for detail in details if (name := next(_names(detail, roles, own_account), None))}
    return clean(_only(names))


def _names(detail: etree._Element, roles: tuple[str, str], own_account: str) -> Iterator[str]:
    expected, other = roles
    yield from _names_in_role(detail, expected)
    account = next(texts(detail, f"RltdPties/{other}Acct/Id/IBAN", f"RltdPties/{other}Acct/Id/Othr/Id"), None)
    if account is None or account.replace(" ", "") != own_account.replace(" ", ""):
        yield from _names_in_role(detail, other)


def _names_in_role(detail: etree._Element, role: str) -> Iterator[str]:
    """Names in a role: directly in it up to version 7, in `Pty` or `Agt` from version 8 on; then the ultimate party's."""
    for place in (role, f"Ultmt{role}"):
        base = f"RltdPties/{place}"
        yield from texts(detail, f"{base}/Nm", f"{base}/Pty/Nm", f"{base}/Agt/FinInstnId/Nm")
