"""Reading what Gusto's payroll API answers: pure functions, without I/O. Shapes: https://docs.gusto.com/app-integrations/reference.

Amounts are cents, stated by Gusto as texts or numbers; dates are calendar dates. No message of this file holds a name or pay.

Cash tips are the guests' money, which the employee has already: Gusto counts them in gross pay and takes them off net pay. Here
they are in neither, because the company never has them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sources.connectors.files_values import MAX_NAME, clean
from sources.documents import PayrollRun, Payslip, Problem
from sources.money import EXPONENTS, MAX_MINOR, format_minor, parse_minor

CURRENCY = "USD"
"""Gusto pays in the United States; no payload states it."""

POSTED, DRAFT, EXTERNAL = "Posted", "Draft", "External"
"""Gusto has no word for these states, but the marks `processed` and `external`. An external payroll was run elsewhere."""

NO_DEPARTMENT = ""
"""Where the report puts what is of nobody's department."""

_EXPONENT = EXPONENTS[CURRENCY]
_ID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_RUN_FIELDS = ("payroll_uuid", "check_date", "processed_date", "off_cycle", "off_cycle_reason", "external")
_TOTALS = (
    "gross_pay", "net_pay", "check_amount", "employee_taxes", "employer_taxes", "benefits", "employee_benefits_deductions",
    "other_deductions", "reimbursements", "employee_cash_tips", "company_debit", "owners_draw", "deferred_payroll_taxes",
)  # fmt: skip
_CASH_TIPS, _REIMBURSEMENT = "Cash Tips", "Reimbursement"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slips:
    """The payslips of one run and what was found by checking them; problems name a slip by its id."""

    payslips: tuple[Payslip, ...]
    problems: tuple[Problem, ...]


def is_identifier(value: Any) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def run_id(record: Any) -> str | None:
    """A payroll's id, None where it has none. Some versions of the API call it uuid."""
    value = (record.get("payroll_uuid") or record.get("uuid")) if isinstance(record, dict) else None
    return value if is_identifier(value) else None


def parse_run(record: Any) -> PayrollRun:
    """One payroll of the listing, with its totals. Raises ValueError with the field's name and what is wrong with it."""
    identifier = run_id(record)
    if identifier is None:
        raise ValueError("payroll_uuid is not an identifier")
    totals, period = record.get("totals"), record.get("pay_period")
    if not isinstance(totals, dict):
        raise ValueError("totals is not an object")
    if not isinstance(period, dict):
        raise ValueError("pay_period is not an object")
    tips, reimbursements = amount(totals, "employee_cash_tips") or 0, amount(totals, "reimbursements")
    gross, net = amount(totals, "gross_pay"), _net(totals, reimbursements)
    if net is None:
        raise ValueError("totals.net_pay is missing")
    status = _status(record)
    benefits, others = (amount(totals, name) for name in ("employee_benefits_deductions", "other_deductions"))
    return PayrollRun(
        external_id=identifier,
        period_start=_date(period, "start_date"),
        period_end=_date(period, "end_date"),
        pay_date=_date(record, "check_date"),
        source_status=status,
        currency=CURRENCY,
        net=net,
        gross=None if gross is None else gross - tips,
        employee_taxes=amount(totals, "employee_taxes"),
        deductions=None if benefits is None and others is None else (benefits or 0) + (others or 0),
        reimbursements=reimbursements,
        employer_taxes=amount(totals, "employer_taxes"),
        employer_contributions=amount(totals, "benefits"),
        payslips_follow=status == POSTED,
        raw={
            **{name: _plain(record[name]) for name in _RUN_FIELDS if name in record},
            "totals": {name: _plain(totals[name]) for name in _TOTALS if name in totals},
        },
    )


def parse_slips(record: Any, departments: Mapping[str, str]) -> Slips:
    """A payroll with its employee compensations, taxes, benefits and deductions. `departments`: title by employee. Raises
    ValueError where there are none; one compensation that cannot be read is left out and told of."""
    identifier = run_id(record)
    compensations = record.get("employee_compensations") if isinstance(record, dict) else None
    if identifier is None or not isinstance(compensations, list):
        raise ValueError("has no list employee_compensations")
    slips: dict[str, Payslip] = {}
    problems: list[Problem] = []
    for each in compensations:
        if isinstance(each, dict) and each.get("excluded") is True:
            continue
        try:
            slip, off = _slip(each, identifier, departments)
        except ValueError as error:
            problems.append(unreadable("payslip", _field(each, "employee_uuid"), error, of=f"payroll {identifier}"))
            continue
        slips[slip.external_id] = slip
        if off:
            problems.append(_does_not_add_up(slip, off))
    return Slips(payslips=tuple(slips.values()), problems=tuple(problems))


def parse_departments(answer: Any) -> dict[str, str]:
    """Title by employee, of those who are in one. Raises ValueError."""
    if not isinstance(answer, list):
        raise ValueError("is not a list")
    found: dict[str, str] = {}
    for department in answer:
        title, employees = _field(department, "title"), _field(department, "employees")
        if not isinstance(title, str) or not isinstance(employees, list):
            raise ValueError("has a department without a title or employees")
        named = clean(title)
        found |= {each["uuid"]: named for each in employees if named and is_identifier(_field(each, "uuid"))}
    return found


def by_department(slips: Iterable[Payslip]) -> dict[str, tuple[int, int]]:
    """What each department costs, reimbursements too, and how much of it are employer taxes."""
    cost: Counter[str] = Counter()
    taxes: Counter[str] = Counter()
    for slip in slips:
        of = slip.department or NO_DEPARTMENT
        taxes[of] += slip.employer_taxes or 0
        cost[of] += sum(
            part or 0 for part in (slip.gross, slip.reimbursements, slip.employer_taxes, slip.employer_contributions)
        )
    return {of: (cost[of], taxes[of]) for of in {*cost, *taxes}}


def parse_report(answer: Any) -> dict[str, tuple[int, int]]:
    """The general-ledger report by department, in the form of `by_department`: its debits. Raises ValueError. Its other part, the
    detailed one, names employees and is not looked at. Form:
    https://docs.gusto.com/embedded-payroll/docs/retrieve-a-general-ledger-report"""
    parts = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(parts, list):
        raise ValueError("has no list data")
    basic = next((part for part in parts if _field(part, "data_type") == "Basic"), None)
    headers, rows = _field(basic, "headers"), _field(basic, "rows")
    wanted = ("Account Type", "Department", "Debit")
    if not isinstance(headers, list) or not isinstance(rows, list) or not all(name in headers for name in wanted):
        raise ValueError("has no basic part by department")
    at = {name: headers.index(name) for name in wanted}
    cost: Counter[str] = Counter()
    taxes: Counter[str] = Counter()
    for row in rows:
        if not isinstance(row, list) or len(row) != len(headers):
            raise ValueError("has a row of another length than its headers")
        debit = amount({"Debit": row[at["Debit"]]}, "Debit")
        of = clean(str(row[at["Department"]] or "")) or NO_DEPARTMENT
        cost[of] += debit or 0
        taxes[of] += (debit or 0) if row[at["Account Type"]] == "EmployerTax" else 0
    return {of: (cost[of], taxes[of]) for of in cost}


def disagreement(
    identifier: str, ours: Mapping[str, tuple[int, int]], report: Mapping[str, tuple[int, int]]
) -> Problem | None:
    """The Problem of a run whose payslips and report differ, department by department; None: they agree."""
    found: list[str] = []
    for of in sorted({*ours, *report}):
        named = f"department {of}" if of else "no department"
        for what, mine, theirs in zip(
            ("cost", "employer taxes"), ours.get(of, (0, 0)), report.get(of, (0, 0)), strict=True
        ):
            if mine != theirs:
                found.append(f"{what} of {named}: payslips {_shown(mine)}, report {_shown(theirs)}")
    if not found:
        return None
    shown = "; ".join(found[:10]) + (f"; and {len(found) - 10} more" if len(found) > 10 else "")
    return Problem(
        subject=f"payroll {identifier}",
        code="DISAGREEING_FIGURES",
        message=f"Its payslips and Gusto's general-ledger report by department differ ({CURRENCY}): {shown}. Correct it in "
        "Gusto, or check who has changed department since.",
    )


def unreadable(kind: str, identifier: Any, error: ValueError, *, of: str = "") -> Problem:
    """The Problem of a record that was refused with `error`."""
    named = f"{kind} {identifier}" if is_identifier(identifier) else f"a {kind} without an id"
    return Problem(
        subject=f"{named} of {of}" if of else named,
        code="UNREADABLE_RECORD",
        message=f"It could not be read: {error}. The others were.",
    )


def amount(record: Mapping[str, Any], name: str) -> int | None:
    """Cents; None: absent or null. Raises ValueError."""
    value = record.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError(f"{name} is not an amount")
    if not isinstance(value, str):
        if abs(Decimal(value).adjusted()) > 20:  # before it is written out: 1E+999999 is a short text of a long number
            raise ValueError(f"{name} is out of range")
        value = format(Decimal(value), "f")
    try:
        minor = parse_minor(value, _EXPONENT)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
    if abs(minor) > MAX_MINOR:
        raise ValueError(f"{name} is out of range")
    return minor


def _slip(record: Any, run: str, departments: Mapping[str, str]) -> tuple[Payslip, int]:
    """A payslip, and by how much its net pay differs from its parts."""
    employee = _field(record, "employee_uuid")
    if not isinstance(record, dict) or not is_identifier(employee):
        raise ValueError("employee_uuid is not an identifier")
    taxes = _list(record, "taxes")
    fixed = _list(record, "fixed_compensations")
    tips = _sum(each for each in fixed if each.get("name") == _CASH_TIPS)
    reimbursements = _sum(_list(record, "reimbursements")) or _sum(
        each for each in fixed if each.get("name") == _REIMBURSEMENT
    )
    gross, net = amount(record, "gross_pay"), _net(record, reimbursements)
    if net is None or gross is None:
        raise ValueError("net_pay or gross_pay is missing")
    gross -= tips
    withheld = _sum(each for each in taxes if not _is_employers(each))
    stated, benefits = _sum(_list(record, "deductions")), _list(record, "benefits")
    of_benefits = _sum(benefits, "employee_deduction")
    wanted = gross - withheld + reimbursements - net
    # Whether the deductions hold those for benefits is not documented, so either way is accepted.
    deductions = stated if wanted == stated else stated + of_benefits
    slip = Payslip(
        external_id=f"{run}-{employee}",
        employee_id=str(employee),
        employee_name=_name(record) or str(employee),
        net=net,
        gross=gross,
        department=departments.get(str(employee)),
        employee_taxes=withheld,
        deductions=deductions,
        reimbursements=reimbursements,
        employer_taxes=_sum(each for each in taxes if _is_employers(each)),
        employer_contributions=_sum(benefits, "company_contribution"),
    )
    return slip, wanted - deductions


def _does_not_add_up(slip: Payslip, off: int) -> Problem:
    return Problem(
        subject=f"payslip {slip.external_id}",
        code="PAYSLIP_DOES_NOT_ADD_UP",
        message=f"Its net pay is off by {_shown(-off)} {CURRENCY} from gross - employee taxes - deductions + reimbursements: "
        "correct the payroll in Gusto.",
    )


def _net(record: Mapping[str, Any], reimbursements: int | None) -> int | None:
    """What is paid out: Gusto's check amount, which is its net pay and reimbursements."""
    paid, net = amount(record, "check_amount"), amount(record, "net_pay")
    return paid if paid is not None or net is None else net + (reimbursements or 0)


def _status(record: Mapping[str, Any]) -> str:
    marks = {name: record.get(name, False) for name in ("processed", "external")}
    wrong = [name for name, mark in marks.items() if not isinstance(mark, bool)]
    if wrong:
        raise ValueError(f"{wrong[0]} is neither true nor false")
    if not marks["processed"]:
        return DRAFT
    return EXTERNAL if marks["external"] else POSTED


def _is_employers(tax: Mapping[str, Any]) -> bool:
    mark = tax.get("employer")
    if not isinstance(mark, bool):
        raise ValueError("employer of a tax is neither true nor false")
    return mark


def _list(record: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    found = record.get(name)
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError(f"{name} is not a list of objects")
    return found


def _sum(records: Iterable[Mapping[str, Any]], name: str = "amount") -> int:
    return sum(amount(each, name) or 0 for each in records)


def _field(record: Any, name: str) -> Any:
    return record.get(name) if isinstance(record, dict) else None


def _name(record: Mapping[str, Any]) -> str | None:
    parts = [record.get("first_name"), record.get("last_name")]
    return clean(" ".join(part[:MAX_NAME] for part in parts if isinstance(part, str)))


def _date(record: Mapping[str, Any], name: str) -> date:
    value = record.get(name)
    try:
        if isinstance(value, str) and _ISO_DATE.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{name} is no calendar date") from None
    raise ValueError(f"{name} is not a date")


def _shown(minor: int) -> str:
    return format_minor(minor, _EXPONENT)


def _plain(value: Any) -> Any:
    """A scalar of JSON, decimals as their exact text."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, Decimal | int):
        return str(value)
    return clean(value) if isinstance(value, str) else None
