"""A document as names that rules speak of: the mirror's columns, some of them gathered or derived. No I/O.

No person paid is among them: of payslips only departments and amounts are left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

KINDS: Final = ("invoice", "payroll_run", "bank_transaction", "payment")

_EVERYWHERE = ("source", "external_id", "account", "raw")
_COLUMNS: Final = {
    "invoice": (
        "direction kind status source_status number currency issue_date due_date subtotal tax rounding total prepaid "
        "amount_due taxes lines"
    ),
    "payroll_run": (
        "period_start period_end pay_date source_status currency gross employee_taxes deductions reimbursements net "
        "employer_taxes employer_contributions total_cost"
    ),
    "bank_transaction": (
        "status amount currency booked_on value_date dated_on description counterparty reference provisional statement"
    ),
    "payment": (
        "type status source_status currency amount fee net occurred_on available_on party_name party_external_id "
        "invoice_external_id payout_external_id parent_external_id description reference bank_account settles"
    ),
}
_DERIVED: Final = {
    "invoice": ("party",),
    "payroll_run": ("departments", "withheld", "employer_costs"),
    "bank_transaction": (),
    "payment": ("party",),
}
NAMES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {kind: frozenset((*_EVERYWHERE, *_COLUMNS[kind].split(), *_DERIVED[kind])) for kind in KINDS}
)
"""The names that a rule may use of each kind of document."""

LISTS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "invoice": frozenset({"lines", "taxes"}),
        "payroll_run": frozenset({"departments"}),
        "bank_transaction": frozenset(),
        "payment": frozenset(),
    }
)
"""The names that `each` may go through."""

_PAYSLIP_PARTS = ("employee_taxes", "deductions", "reimbursements", "employer_taxes", "employer_contributions")


@dataclass(frozen=True, slots=True)
class Facts:
    """One version of a document. `names` holds every name of NAMES[kind]; what the source does not give is None. Amounts are
    minor units of `currency`. `slips`: gross and net of each payslip, where they are held."""

    kind: str
    source: str
    external_id: str
    currency: str
    names: Mapping[str, Any]
    slips: tuple[tuple[int | None, int], ...] | None = None


def facts_of(kind: str, row: Mapping[str, Any]) -> Facts:
    """The facts of a row of mirror.<kind>: its columns by name, JSONB decoded, dates as dates; columns that no rule speaks of
    are passed over. A payroll run's row may have its payslips' rows under "payslips" (None or absent: not held); a payment's
    row, under "settles", the invoice that it settles ({"issue_date": …}), for the exchange difference."""
    names = {name: row.get(name) for name in NAMES[kind]}
    slips = None
    if kind == "payroll_run":
        names["raw"] = None
        slips = _payroll(names, row.get("payslips"))
    elif kind in ("invoice", "payment"):
        names["party"] = {
            "name": row.get("party_name"),
            "external_id": row.get("party_external_id"),
            "tax_id": row.get("party_tax_id"),
        }
    return Facts(kind, row["source"], row["external_id"], row["currency"], names, slips)


def _payroll(
    names: dict[str, Any], payslips: Sequence[Mapping[str, Any]] | None
) -> tuple[tuple[int | None, int], ...] | None:
    """Fills in what the run leaves out and its slips or its other figures tell; answers with gross and net of the slips."""
    slips = list(payslips or ())
    if slips:
        for name in ("gross", *_PAYSLIP_PARTS):
            if names[name] is None:
                names[name] = _sum(slip.get(name) for slip in slips)
    gross, total_cost = names["gross"], names["total_cost"]
    known = [names[name] is not None for name in ("employee_taxes", "deductions")]
    if gross is not None and not all(known):
        names["withheld"] = (
            gross
            + sum(names[name] or 0 for name in ("reimbursements",))
            - names["net"]
            - sum(names[name] or 0 for name in ("employee_taxes", "deductions"))
        )
    if gross is not None and total_cost is not None and names["employer_taxes"] is None:
        names["employer_costs"] = total_cost - gross - (names["employer_contributions"] or 0)
    names["departments"] = _departments(slips)
    return tuple((slip.get("gross"), slip["net"]) for slip in slips) if slips else None


def _departments(slips: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Gross by department, in order of the departments' names; none where not every slip states both."""
    if not slips or any(slip.get("gross") is None or not slip.get("department") for slip in slips):
        return []
    gross: dict[str, int] = {}
    for slip in slips:
        gross[slip["department"]] = gross.get(slip["department"], 0) + slip["gross"]
    return [{"department": name, "gross": amount} for name, amount in sorted(gross.items())]


def _sum(values: Any) -> int | None:
    """None where one of them is."""
    stated = list(values)
    return None if any(value is None for value in stated) else sum(stated)
