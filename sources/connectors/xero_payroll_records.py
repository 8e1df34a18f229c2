"""Reading what Xero's UK payroll API answers: pure functions, without I/O.

Amounts are pence; dates are calendar dates. No message of this file holds an employee's name or pay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sources.documents import PayrollRun, Payslip, Problem
from sources.money import EXPONENTS, MAX_MINOR, format_minor, parse_minor

CURRENCY = "GBP"
"""UK payroll knows no other; no payload states it."""

DRAFT = ("Draft",)
"""States of pay runs that may still change."""

PAGE_SIZE = 100
"""Records on a page, unless its envelope says how many pages there are."""

_EXPONENT = EXPONENTS[CURRENCY]
_RUN_FIELDS = (
    "payRunID", "payrollCalendarID", "periodStartDate", "periodEndDate", "paymentDate", "totalCost", "totalPay",
    "payRunStatus", "payRunType", "calendarType", "postedDateTime",
)  # fmt: skip
_ISO_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:T\d{2}:\d{2}[0-9:.+Z-]*)?", re.ASCII)
_MICROSOFT_DATE = re.compile(r"/Date\((-?\d{1,14})(?:([+-])(\d{2})(\d{2}))?\)/", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlipReading:
    """One payslip and what was found by checking it; a problem names the slip by its id, never the employee."""

    payslip: Payslip
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One page of an answer. `page_count` and `item_count` are of the whole listing, None where it does not state them."""

    records: Sequence[Any]
    page: int | None
    page_count: int | None
    item_count: int | None

    def is_last(self, number: int) -> bool:
        """A listing without a count of pages goes on for as long as its pages are full."""
        return len(self.records) < PAGE_SIZE if self.page_count is None else number >= self.page_count


def parse_listing(answer: Any, key: str) -> Listing:
    """The envelope around `key` ("payRuns", "paySlips"). Raises ValueError."""
    if not isinstance(answer, dict):
        raise ValueError("is not an object")
    problem = answer.get("problem")
    if problem:
        title = problem.get("title") if isinstance(problem, dict) else None
        raise ValueError(f"reports a problem ({title if is_identifier(title) else 'untitled'})")
    records = answer.get(key)
    if not isinstance(records, list):
        raise ValueError(f"has no list {key}")
    pagination = answer.get("pagination")
    stated = pagination if isinstance(pagination, dict) else {}
    page, page_count, item_count = (_count(stated.get(name)) for name in ("page", "pageCount", "itemCount"))
    return Listing(records=records, page=page, page_count=page_count, item_count=item_count)


def parse_pay_run(record: Any) -> PayrollRun:
    """One element of `payRuns`. The status is Xero's own word (Draft, Posted), whatever it is. Raises ValueError with the
    field's name and what is wrong with it."""
    if not isinstance(record, dict):
        raise ValueError("is not an object")
    net, status = _amount(record, "totalPay"), _text(record, "payRunStatus")
    if net is None:
        raise ValueError("totalPay is missing")
    return PayrollRun(
        external_id=_identifier(record, "payRunID"),
        period_start=_date(record, "periodStartDate"),
        period_end=_date(record, "periodEndDate"),
        pay_date=_date(record, "paymentDate"),
        source_status=status,
        currency=CURRENCY,
        net=net,
        total_cost=_amount(record, "totalCost"),
        payslips_follow=status not in DRAFT,
        raw={name: _plain(record[name]) for name in _RUN_FIELDS if name in record},
    )


def parse_payslip(record: Any, run_external_id: str) -> SlipReading:
    """One element of `paySlips` of the given run. Raises ValueError; no message holds a name or an amount of pay.

    UK payslips state no department. The slip must add up: net = gross - employee taxes - deductions + reimbursements.
    Court orders reduce net pay; Xero does not document whether totalDeductions holds them, so either way is accepted."""
    if not isinstance(record, dict):
        raise ValueError("is not an object")
    if str(record.get("payRunID") or run_external_id).lower() != run_external_id.lower():
        raise ValueError("payRunID is another pay run's")
    gross, net = _amount(record, "grossEarnings"), _amount(record, "totalPay")
    gross = _amount(record, "totalEarnings") if gross is None else gross
    if net is None:
        raise ValueError("totalPay is missing")
    identifier, employee = _identifier(record, "paySlipID"), _identifier(record, "employeeID")
    slip = Payslip(
        external_id=identifier,
        employee_id=employee,
        employee_name=_name(record) or employee,
        gross=gross,
        net=net,
        employee_taxes=_amount(record, "totalEmployeeTaxes"),
        deductions=_deductions(record, gross, net),
        reimbursements=_amount(record, "totalReimbursements"),
        employer_taxes=_amount(record, "totalEmployerTaxes"),
        employer_contributions=_amount(record, "totalBenefits"),
    )
    return SlipReading(payslip=slip, problems=_check_sum(slip, run_external_id))


def _deductions(record: Mapping[str, Any], gross: int | None, net: int) -> int | None:
    """With court orders, whether or not totalDeductions holds them: whichever makes the slip add up."""
    deductions, court_orders = _amount(record, "totalDeductions"), _amount(record, "totalCourtOrders")
    if not court_orders:
        return deductions
    taxes, reimbursements = _amount(record, "totalEmployeeTaxes") or 0, _amount(record, "totalReimbursements") or 0
    stated = deductions or 0
    holds_them = gross is not None and net == gross - taxes - stated + reimbursements
    return stated if holds_them else stated + court_orders


def _check_sum(slip: Payslip, run_external_id: str) -> tuple[Problem, ...]:
    if slip.gross is None:
        return ()
    expected = slip.gross - (slip.employee_taxes or 0) - (slip.deductions or 0) + (slip.reimbursements or 0)
    if slip.net == expected:
        return ()
    off = format_minor(slip.net - expected, _EXPONENT)
    problem = Problem(
        subject=f"payslip {slip.external_id} of pay run {run_external_id}",
        code="PAYSLIP_DOES_NOT_ADD_UP",
        message=f"Its net pay is off by {off} {CURRENCY} from gross - employee taxes - deductions + reimbursements: "
        "correct the payslip in Xero.",
    )
    return (problem,)


def _identifier(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    if not is_identifier(value):
        raise ValueError(f"{name} is not an identifier")
    return str(value)


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    if not isinstance(value, str) or not value or len(value) > 100 or not value.isprintable():
        raise ValueError(f"{name} is not a word")
    return value


def _name(record: Mapping[str, Any]) -> str:
    """First and last name; what cannot be printed or stored (NUL, lone surrogates) is a blank."""
    parts = [record.get("firstName"), record.get("lastName")]
    text = " ".join(part[:200] for part in parts if isinstance(part, str))
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _date(record: Mapping[str, Any], name: str) -> date:
    """ISO 8601 as Xero writes it, or Microsoft's JSON form: milliseconds since 1970 and the offset of local time."""
    value = record.get(name)
    text = value if isinstance(value, str) else ""
    try:
        if iso := _ISO_DATE.fullmatch(text):
            return date.fromisoformat(iso[1])
        if microsoft := _MICROSOFT_DATE.fullmatch(text):
            minutes = int(f"{microsoft[2]}1") * (int(microsoft[3]) * 60 + int(microsoft[4])) if microsoft[2] else 0
            epoch = datetime(1970, 1, 1, tzinfo=UTC)
            return (epoch + timedelta(milliseconds=int(microsoft[1]), minutes=minutes)).date()
    except (ValueError, OverflowError):
        raise ValueError(f"{name} is no calendar date") from None
    raise ValueError(f"{name} is not a date")


def _amount(record: Mapping[str, Any], name: str) -> int | None:
    """Pence; None: absent or null."""
    value = record.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError(f"{name} is not a number")
    number = Decimal(value)
    if abs(number.adjusted()) > 20:  # before it is written out: 1E+999999 and 1E-999999 are short texts of long numbers
        raise ValueError(f"{name} is out of range")
    try:
        minor = parse_minor(format(number, "f"), _EXPONENT)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
    if abs(minor) > MAX_MINOR:
        raise ValueError(f"{name} is out of range")
    return minor


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _plain(value: Any) -> str | int | None:
    """A scalar of JSON, a decimal as its exact text; anything else has no place in a run's own fields."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, str):
        return value if value.isprintable() and len(value) <= 200 else None
    return value if isinstance(value, int) else None


def unreadable(kind: str, record: Any, key: str, error: ValueError, *, of: str = "") -> Problem:
    """The Problem of a record that was refused with `error`; `key` is the field that holds its id."""
    identifier = record.get(key) if isinstance(record, dict) else None
    named = f"{kind} {identifier}" if is_identifier(identifier) else f"a {kind} without an id"
    return Problem(
        subject=f"{named} of {of}" if of else named,
        code="UNREADABLE_RECORD",
        message=f"It could not be read: {error}. The others were.",
    )


def is_identifier(value: Any) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None
