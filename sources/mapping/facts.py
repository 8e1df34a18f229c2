"""A document as names that rules speak of: the mirror's columns, some of them gathered or derived. No I/O.

No person paid is among them: of payslips only departments and amounts are left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sources import documents
from sources.mapping import derived
from sources.mapping.payloads import UNREAD

KINDS: Final = ("invoice", "payroll_run", "bank_transaction", "payment")

_STATED: Final[Mapping[str, type]] = {
    "invoice": documents.Invoice,
    "payroll_run": documents.PayrollRun,
    "bank_transaction": documents.BankTransaction,
    "payment": documents.Payment,
}
_DERIVED: Final[Mapping[str, tuple[str, ...]]] = {
    "invoice": ("line_tax", "settles", "settled"),
    "payroll_run": ("departments", "withheld", "employer_costs"),
    "bank_transaction": ("account", "statement", "provisional", "dated_on", "allocations", "allocated"),
    "payment": ("settles", "parent", "returned", "carried", "fee_tax"),
}
_LEFT_OUT: Final[Mapping[str, tuple[str, ...]]] = {
    "invoice": (),
    "payroll_run": ("payslips", "payslips_follow", "raw"),
    "bank_transaction": (),
    "payment": (),
}


def _fields(kind: type) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind))


NAMES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {kind: _fields(_STATED[kind]).union({"source"}, _DERIVED[kind]) - set(_LEFT_OUT[kind]) for kind in KINDS}
)
"""The names that a rule may use of each kind of document."""

ITEMS: Final[Mapping[str, Mapping[str, frozenset[str]]]] = MappingProxyType(
    {
        "invoice": {"lines": _fields(documents.InvoiceLine), "taxes": _fields(documents.TaxAmount)},
        "payroll_run": {"departments": frozenset({"department", "gross"})},
        "bank_transaction": {
            "allocations": frozenset(
                [
                    "kind",
                    "side",
                    "currency",
                    "amount",
                    "bank_amount",
                    "booked_on",
                    "number",
                    "party",
                    "account",
                    "before",
                ]
            )
        },
        "payment": {},
    }
)
"""The lists that `each` may go through, with the names of their items."""

GROUPS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "party": _fields(documents.Party),
        "settles": frozenset({"issue_date", "currency", "before"}),
        "parent": frozenset({"type", "occurred_on", "before"}),
    }
)
"""Names within a name."""

VALUES: Final[Mapping[tuple[str, str], frozenset[str]]] = MappingProxyType(
    {
        ("invoice", "direction"): frozenset(documents.InvoiceDirection),
        ("invoice", "kind"): frozenset(documents.InvoiceKind),
        ("invoice", "status"): frozenset(documents.InvoiceStatus),
        ("bank_transaction", "status"): frozenset(documents.BankTransactionStatus),
        ("payment", "type"): frozenset(documents.PaymentType),
        ("payment", "status"): frozenset(documents.PaymentStatus),
    }
)
"""The values that there are, of the names that have only some, by kind and name."""

PARTS: Final = ("gross", "employee_taxes", "deductions", "reimbursements", "employer_taxes", "employer_contributions")
"""What a payroll run and a payslip are made of beside their net."""


class Slip(NamedTuple):
    """Figures of one payslip, no one's in particular; None: the source does not state it."""

    external_id: str
    net: int
    gross: int | None = None
    employee_taxes: int | None = None
    deductions: int | None = None
    reimbursements: int | None = None
    employer_taxes: int | None = None
    employer_contributions: int | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """One version of a document. `names` holds every name of NAMES[kind], but for "raw" where the payload was not loaded; what the source
    does not give is None. Amounts are minor units of `currency`. `slips`: of a payroll run, where they are held. `lacks`: what is
    still to be read of it, and why it could not be."""

    kind: str
    source: str
    external_id: str
    currency: str
    names: Mapping[str, Any]
    slips: tuple[Slip, ...] | None = None
    lacks: str | None = None


def facts_of(kind: str, row: Mapping[str, Any]) -> Facts:
    """The facts of a row of mirror.<kind>: its columns by name, JSONB decoded, dates as dates or ISO texts; columns that no rule
    speaks of are passed over, those that are absent count as None, and "raw" may be UNREAD.

    A payroll run's row may have its payslips' rows under "payslips" (None or absent: not held; []: it has none). A payment's may
    have the invoice that it settles under "settles" ({"issue_date": …, "currency": …}), which gives the rate that the receivable
    was booked at; invoices and payments in another currency may have under "exchange" what else rates need.
    A bank transaction's may have what it was matched with under "allocations": of each the kind of document, the side of the books that
    it settles, the amount in its currency and in the bank's, the day whose rate it is booked by, and what of it was settled before."""
    names = dict.fromkeys(NAMES[kind])
    for name in names:
        names[name] = row.get(name)
    if names.get("raw") is UNREAD:
        del names["raw"]
    slips = None
    if kind == "payroll_run":
        slips = _payroll(names, row.get("payslips"))
    elif kind == "bank_transaction":
        names["allocated"] = sum(each["bank_amount"] for each in names["allocations"] or ())
    else:
        names["party"] = {
            "name": row.get("party_name"),
            "external_id": row.get("party_external_id"),
            "tax_id": row.get("party_tax_id"),
        }
        names |= derived.of_invoice(row) if kind == "invoice" else derived.of_payment(row)
    return Facts(kind, row["source"], row["external_id"], row["currency"], names, slips, _lacks(row))


def _lacks(row: Mapping[str, Any]) -> str | None:
    if not row.get("payslips_follow") or row.get("payslips_at") is not None or row.get("payslips") is not None:
        return None
    reason = row.get("payslips_error")
    return "its payslips have not been read yet" + (f": {reason}" if reason else "")


def _payroll(names: dict[str, Any], payslips: Sequence[Mapping[str, Any]] | None) -> tuple[Slip, ...] | None:
    """Fills in what the run leaves out and its slips or its other figures tell; answers with the slips.
    `withheld`: taxes and deductions in one, where they are not stated apart; `employer_costs` likewise."""
    slips = None if payslips is None else tuple([_slip(each) for each in payslips])
    if slips is not None:
        for name in PARTS:
            if names[name] is None:
                names[name] = _sum([getattr(slip, name) for slip in slips], leaves_out=name == "reimbursements")
    gross, taxes, deductions, reimbursements, employer_taxes, contributions = (names[name] for name in PARTS)
    total_cost = names["total_cost"]
    if gross is not None and (taxes is None or deductions is None):
        names["withheld"] = gross + (reimbursements or 0) - names["net"] - (taxes or 0) - (deductions or 0)
    if gross is not None and total_cost is not None and (employer_taxes is None or contributions is None):
        names["employer_costs"] = total_cost - gross - (employer_taxes or 0) - (contributions or 0)
    names["departments"] = _departments(payslips or ())
    return slips


def _slip(row: Mapping[str, Any]) -> Slip:
    return Slip(row["external_id"], row["net"], *[row.get(name) for name in PARTS])


def _departments(slips: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Gross by department, in order of the departments' names; none where not every slip states both."""
    if any(slip.get("gross") is None or not slip.get("department") for slip in slips):
        return []
    gross: dict[str, int] = {}
    for slip in slips:
        gross[slip["department"]] = gross.get(slip["department"], 0) + slip["gross"]
    return [{"department": name, "gross": amount} for name, amount in sorted(gross.items())]


def _sum(values: Sequence[int | None], *, leaves_out: bool) -> int | None:
    """None where one of them is; `leaves_out`: where all of them are, as nobody states what most people do not get."""
    stated = [value for value in values if value is not None]
    if len(stated) < len(values) and not (leaves_out and stated):
        return None
    return sum(stated)
