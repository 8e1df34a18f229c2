"""Payroll runs of source systems."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import strawberry

from resolvers.context import Context
from resolvers.documents import Document
from resolvers.entries import JournalEntry
from resolvers.fields import argument, graph_type, link, money, nested, text, word, written
from resolvers.invoices import parse_key
from resolvers.nodes import KINDS, Node, NodeId, NodeKind
from resolvers.paging import Connection, paged
from resolvers.scalars import Date, Decimal
from resolvers.sources import (
    Codes,
    Freshness,
    MaxAge,
    SourceNames,
    freshness_rows,
    reach,
    refresh,
    refresh_source,
    sound,
)
from sources.errors import SourceUnavailable
from sources.mirror import queries
from sources.mirror.links import entries_of_payroll_runs
from sources.reading import Failure, Key, Results, Want

READ = ("payroll:read",)
PERSONAL = ("payroll:personal",)
GIVES = "payroll_run"
KEY = ("ledger_id", "source", "external_id")


async def load_payslips(context: Context, keys: Sequence[Key], want: Want, _args: Mapping[str, Any]) -> Results:
    """Keys: (ledger_id, source, external id of the run, currency). Asks the sources for slips that are not held yet."""
    runs: dict[tuple[int, str], list[str]] = {}
    for ledger_id, source, run_id, _ in keys:
        runs.setdefault((ledger_id, source), []).append(run_id)
    # All at once: the snapshot is held meanwhile, for one deadline at most.
    fetch = context.services.refresher.fetch_payslips
    asked = [fetch(*group, run_ids, context.asking) for group, run_ids in runs.items()]
    answers = dict(zip(runs, await asyncio.gather(*asked), strict=True))
    found: dict[Key, Any] = {}
    for key in keys:
        ledger_id, source, run_id, currency = key
        slips = answers[ledger_id, source][run_id]
        if isinstance(slips, SourceUnavailable):
            found[key] = Failure(slips)
        elif slips is not None:
            found[key] = [want.row({**asdict(slip), "currency": currency}) for slip in slips]
    return found


@graph_type(
    "What one employee got in a payroll run. net = gross - employeeTaxes - deductions + reimbursements; null: the source does not "
    "give it.",
    scope=PERSONAL,
)
class Payslip:
    external_id: str = text("Its id in the source; issues name a payslip by it.", "external_id")
    employee_id: str = text("The employee's id in the source.", "employee_id")
    employee_name: str = text("The employee's name.", "employee_name")
    department: str | None = text("The employee's department.", "department")
    gross: Decimal | None = money("Gross pay.", "gross")
    employee_taxes: Decimal | None = money("Taxes and contributions that the employee bears.", "employee_taxes")
    deductions: Decimal | None = money("Other deductions from pay, court orders too.", "deductions")
    reimbursements: Decimal | None = money("Expenses paid back with it.", "reimbursements")
    net: Decimal = money("What was paid out.", "net")
    employer_taxes: Decimal | None = money("Taxes that the employer bears.", "employer_taxes")
    employer_contributions: Decimal | None = money(
        "Contributions to pensions and the like that the employer bears.", "employer_contributions"
    )


@graph_type(
    "A payroll run. net = gross - employeeTaxes - deductions + reimbursements. What the source states in payslips alone is their sum "
    "once they are held: of runs that post soon, of others when somebody asked for them; null: it is not known.",
    scope=READ,
)
class PayrollRun(Node, Document):
    id: strawberry.ID = written(
        "payroll-run:LEDGER:SOURCE:ID", KEY, "quote('payroll-run:' + codes[{0}] + ':' + {1} + ':' + {2})"
    )
    period_start: Date = word("First day that it pays for.", "period_start")
    period_end: Date = word("Last day that it pays for.", "period_end")
    pay_date: Date = word("When it is paid.", "pay_date")
    source_status: str = text("The source's own word for its state.", "source_status")
    currency: str = word("Currency of all its amounts.", "currency")
    gross: Decimal | None = money("Gross pay of all employees.", "gross")
    employee_taxes: Decimal | None = money("Taxes and contributions that employees bear.", "employee_taxes")
    deductions: Decimal | None = money("Other deductions from pay.", "deductions")
    reimbursements: Decimal | None = money("Expenses paid back with it.", "reimbursements")
    net: Decimal = money("What is paid out.", "net")
    employer_taxes: Decimal | None = money("Taxes that the employer bears.", "employer_taxes")
    employer_contributions: Decimal | None = money(
        "Contributions to pensions and the like that the employer bears.", "employer_contributions"
    )
    total_cost: Decimal | None = money(
        "gross + employerTaxes + employerContributions; Xero counts reimbursements in.", "total_cost"
    )
    payslips: list[Payslip] | None = link(
        "Needs the scope payroll:personal; null: the source gives none.",
        load_payslips,
        (*KEY, "currency"),
        scope=PERSONAL,
        size=20,
    )
    entries: list[JournalEntry] | None = link(
        "Posted entries that came from this payroll run.", entries_of_payroll_runs, KEY, size=1
    )


@strawberry.type(description="A page of payroll runs.")
class PayrollRunConnection(Connection[PayrollRun]):
    freshness: list[Freshness] = nested("How old the documents of each source are.", "freshness")


async def prepare_payroll_runs(context: Context, _want: Want, args: Mapping[str, Any]) -> None:
    await refresh(context, GIVES, args)


async def load_payroll_runs(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    reached = await reach(context, GIVES, args)
    if isinstance(reached, Failure):
        return {(): reached}
    within, freshness = reached
    values = await queries.payroll_runs(context, within, want, args)
    return {(): want.row({**values, "freshness": freshness_rows(want, freshness)})}


async def load_payroll_run(context: Context, keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    """Keys: (ledger_id, (source, external id))."""
    return await sound(context, queries.payroll_run_by_id, keys, want, args)


async def prepare_payroll_run(context: Context, _want: Want, args: Mapping[str, Any]) -> None:
    node: NodeId = args["id"]
    await refresh_source(context, GIVES, node.key[0])


KINDS["payroll-run"] = NodeKind("PayrollRun", READ, load_payroll_run, parse_key, prepare_payroll_run)


@strawberry.type
class PayrollQuery:
    @paged("Payroll runs, newest pay date first.", load_payroll_runs, scope=READ, prepare=prepare_payroll_runs)
    def payroll_runs(
        self,
        ledgers: Codes = strawberry.UNSET,
        sources: SourceNames = strawberry.UNSET,
        paid_from: Annotated[Date | None, argument("Paid on or after.")] = strawberry.UNSET,
        paid_to: Annotated[Date | None, argument("Paid on or before.")] = strawberry.UNSET,
        max_age: MaxAge = strawberry.UNSET,
    ) -> PayrollRunConnection | None: ...
