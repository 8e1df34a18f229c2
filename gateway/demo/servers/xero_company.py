"""The invented company whose payroll the demo's Xero server states: employees, pay runs and payslips in Xero's own words.

Pure: everything follows from the seed and the day. Amounts are made in whole pence and add up: net = gross - employee taxes
- deductions + reimbursements, on every payslip and so in every run. Tax rules are rough UK rules of 2025/26, good enough to
look at. Names are generic words put together; nobody is meant.
"""

from __future__ import annotations

import calendar
import random
import uuid
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

Record = dict[str, Any]

RUNS = 12
EMPLOYEES = 25

_FIRST = (
    "Amber Ash Basil Bay Blue Briar Cedar Clover Coral Dale Fern Flint Forest Glen Hazel Heath Holly Ivy Jade Juniper "
    "Lake Laurel Linden Maple Marsh Meadow Moss Olive Pearl Reed River Robin Rowan Ruby Sage Sky Sorrel Vale Willow Wren"
)
_LAST = (
    "Ashfield Beechwood Birchall Bridgeway Brookside Copper Eastgate Fairmeadow Fieldgate Greenhill Harbour Highbank "
    "Hollowell Kiln Lakeland Limestone Millrace Moorland Northgate Oakbank Pinewood Quarry Ridgeway Sandstone Southbank "
    "Stonebridge Thornfield Underhill Waterside Westgate Woodlane"
)
_DEPARTMENTS = (
    ("Engineering", 9, 48_000, 92_000),
    ("Sales", 6, 32_000, 64_000),
    ("Support", 5, 26_000, 38_000),
    ("Finance", 3, 36_000, 70_000),
    ("People", 2, 34_000, 58_000),
)


@dataclass(kw_only=True)
class Company:
    """Xero's records, ready to be served. `runs` by pay run id, oldest first; `slips` by pay run id."""

    seed: int
    people: list[Person]
    calendar: Record
    employees: list[Record]
    runs: dict[str, Record]
    slips: dict[str, list[Record]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    id: str
    first: str
    last: str
    department: str
    salary: int  # pounds a year
    pension: bool


def make_company(seed: int, today: date) -> Company:
    """Twelve monthly runs up to today's month. A month's run does not depend on the day on which it is asked for, except
    that it is a draft before its payment date."""
    dice = random.Random(f"xero {seed}")  # noqa: S311 - repeatable, not secret
    monthly = _uuid(dice)
    people = _people(dice)
    company = Company(
        seed=seed,
        people=people,
        calendar={},
        employees=[_employee(person, monthly) for person in people],
        runs={},
        slips={},
    )
    for back in range(RUNS - 1, -1, -1):
        year, month = divmod(today.year * 12 + today.month - 1 - back, 12)
        run, slips = _run(seed, date(year, month + 1, 1), today, monthly, people)
        company.runs[run["payRunID"]], company.slips[run["payRunID"]] = run, slips
    company.calendar = {
        "payrollCalendarID": monthly,
        "name": "Monthly",
        "calendarType": "Monthly",
        **{name: run[name] for name in ("periodStartDate", "periodEndDate", "paymentDate")},
        "updatedDateUTC": run["periodStartDate"],
    }
    return company


def _people(dice: random.Random) -> list[Person]:
    firsts, lasts = dice.sample(_FIRST.split(), EMPLOYEES), dice.sample(_LAST.split(), EMPLOYEES)
    jobs = [(name, low, high) for name, count, low, high in _DEPARTMENTS for _ in range(count)]
    return [
        Person(
            id=_uuid(dice),
            first=first,
            last=last,
            department=department,
            salary=dice.randrange(low, high, 250),
            pension=dice.random() < 0.9,
        )
        for first, last, (department, low, high) in zip(firsts, lasts, jobs, strict=True)
    ]


def _employee(person: Person, monthly: str) -> Record:
    return {
        "employeeID": person.id,
        "firstName": person.first,
        "lastName": person.last,
        "startDate": "2023-04-03T00:00:00",
        "payrollCalendarID": monthly,
        "isOffPayrollWorker": False,
    }


def _run(seed: int, start: date, today: date, monthly: str, people: list[Person]) -> tuple[Record, list[Record]]:
    dice = random.Random(f"xero {seed} {start}")  # noqa: S311 - repeatable, not secret
    run_id = _uuid(dice)
    payday = _working_day(start.replace(day=28))
    posted = payday - timedelta(days=2) if payday <= today else None
    slips = [_slip(dice, run_id, person, start.month) for person in people]
    end = start.replace(day=calendar.monthrange(start.year, start.month)[1])
    return _record(run_id, monthly, (start, end, payday), posted, slips), slips


def add_run(company: Company, number: int, day: date) -> Record:
    """Some people are paid on that day, outside of the calendar: a posted run. `number`: another one gives another run."""
    dice = random.Random(f"xero {company.seed} run {number}")  # noqa: S311 - repeatable, not secret
    run_id = _uuid(dice)
    slips = [_slip(dice, run_id, person, day.month) for person in dice.sample(company.people, 3)]
    calendar_id = company.calendar["payrollCalendarID"]
    run = _record(run_id, calendar_id, (day, day, day), day, slips) | {"payRunType": "Unscheduled"}
    company.runs[run_id], company.slips[run_id] = run, slips
    return run


def _record(
    run_id: str, calendar_id: str, days: tuple[date, date, date], posted: date | None, slips: list[Record]
) -> Record:
    """A run as Xero states it. `days`: first and last of its period, and that of payment. `posted`: None for a draft."""
    start, end, payday = days
    cost = sum(
        _pence(slip[name]) for slip in slips for name in ("grossEarnings", "totalEmployerTaxes", "totalBenefits")
    )
    return {
        "payRunID": run_id,
        "payrollCalendarID": calendar_id,
        "periodStartDate": f"{start}T00:00:00",
        "periodEndDate": f"{end}T00:00:00",
        "paymentDate": f"{payday}T00:00:00",
        "totalCost": _pounds(cost),
        "totalPay": _pounds(sum(_pence(slip["totalPay"]) for slip in slips)),
        "payRunStatus": "Posted" if posted else "Draft",
        "payRunType": "Scheduled",
        "calendarType": "Monthly",
        "postedDateTime": f"{posted}T10:30:00" if posted else None,
        "payslipMessage": None,
    }


def _slip(dice: random.Random, run_id: str, person: Person, month: int) -> Record:
    salary = person.salary * 100 // 12
    bonus = salary * dice.randrange(2, 12) // 100 if person.department == "Sales" or month == 12 else 0
    expenses = dice.randrange(1_250, 21_500) if dice.random() < 0.2 else 0
    gross = salary + bonus
    pension, employer_pension = (gross * 5 // 100, gross * 3 // 100) if person.pension else (0, 0)
    paye, insurance, employer_insurance = _paye(gross - pension), _employee_insurance(gross), _employer_insurance(gross)
    net = gross - paye - insurance - pension + expenses
    earnings = [("Regular Salary", salary), ("Bonus", bonus)]
    return {
        "paySlipID": _uuid(dice),
        "employeeID": person.id,
        "payRunID": run_id,
        "lastEdited": None,
        "firstName": person.first,
        "lastName": person.last,
        "totalEarnings": _pounds(gross),
        "grossEarnings": _pounds(gross),
        "totalPay": _pounds(net),
        "totalEmployerTaxes": _pounds(employer_insurance),
        "totalEmployeeTaxes": _pounds(paye + insurance),
        "totalDeductions": _pounds(pension),
        "totalReimbursements": _pounds(expenses),
        "totalCourtOrders": 0,
        "totalBenefits": _pounds(employer_pension),
        "bacsHash": None,
        "paymentMethod": "Electronically",
        "earningsLines": [{"displayName": name, "amount": _pounds(amount)} for name, amount in earnings if amount],
        "deductionLines": [{"amount": _pounds(pension), "percentage": 5}] if pension else [],
        "reimbursementLines": [{"description": "Travel", "amount": _pounds(expenses)}] if expenses else [],
        "benefitLines": [{"displayName": "Pension", "amount": _pounds(employer_pension)}] if employer_pension else [],
        "employeeTaxLines": [
            {"description": "PAYE", "amount": _pounds(paye)},
            {"description": "Employee National Insurance Contribution", "amount": _pounds(insurance)},
        ],
        "employerTaxLines": [
            {"description": "Employer National Insurance Contribution", "amount": _pounds(employer_insurance)}
        ],
    }


def _paye(taxable: int) -> int:
    """Pence a month: 20 % above 1,047.50, 40 % above 4,189.17."""
    return max(taxable - 104_750, 0) * 20 // 100 + max(taxable - 418_917, 0) * 20 // 100


def _employee_insurance(gross: int) -> int:
    """Pence a month: 8 % above 1,048, 2 % above 4,189."""
    return max(min(gross, 418_900) - 104_800, 0) * 8 // 100 + max(gross - 418_900, 0) * 2 // 100


def _employer_insurance(gross: int) -> int:
    """Pence a month: 15 % above 417."""
    return max(gross - 41_700, 0) * 15 // 100


def _pounds(pence: int) -> float:
    """For JSON: below 2^53 pence the shortest text of this number has the exact two decimals."""
    return pence / 100


def _pence(pounds: float) -> int:
    return round(pounds * 100)


def _working_day(day: date) -> date:
    """The day itself, or the Friday before a weekend."""
    return day - timedelta(days=max(day.weekday() - 4, 0))


def _uuid(dice: random.Random) -> str:
    return str(uuid.UUID(int=dice.getrandbits(128), version=4))
