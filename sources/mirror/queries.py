"""What the graph reads of the mirror: each function loads one level for all its parents (`sources.reading`).

Lists take `Within`, the ledgers and sources that an answer may draw on; every statement names its ledgers by parameter, and
row-level security is the second wall. Documents that a source no longer has are not answered. `fetched_at` is when the source
last confirmed a document: the source's copy as a whole is as new as its newest pull that came to its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple

import orjson

from sources.mirror.freshness import Held
from sources.mirror.settings import SourceSettings
from sources.reading import Conditions, Key, Order, Reader, Results, Row, View, Want, page

Args = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Within:
    """Ids of the ledgers and names of the sources that an answer may draw on."""

    ledger_ids: Sequence[int]
    sources: Sequence[str]

    def conditions(self, alias: str) -> Conditions:
        where = Conditions()
        if len(self.ledger_ids) == 1:  # so that the index gives the list's order
            where.add(f"{alias}.ledger_id = {{0}}", self.ledger_ids[0])
        else:
            where.add(f"{alias}.ledger_id = ANY({{0}})", list(self.ledger_ids))
        where.add(f"{alias}.source = ANY({{0}})", list(self.sources))
        where.add(f"{alias}.deleted_at IS NULL")
        return where


def columns(alias: str, names: str) -> dict[str, str]:
    return {name: f"{alias}.{name}" for name in names.split()}


def state_of(alias: str) -> dict[str, str]:
    return {"state": f"JOIN mirror.source_state state ON state.source = {alias}.source"}


def _parts(want: Want, stored: str) -> list[Row]:
    """Rows of a document's array, which stands beside the document's currency; what a document that was stored by an earlier
    release does not have is null."""
    currency, parts = orjson.loads(stored)
    absent: dict[str, Any] = dict.fromkeys(want.columns)
    return [want.row({**absent, **part, "currency": currency}) for part in parts]


PARTS_OF_PAY = ("gross", "employee_taxes", "deductions", "reimbursements", "employer_taxes", "employer_contributions")


_COST = ("gross", "employer_taxes", "employer_contributions")


def _of_payslips(name: str) -> str:
    """A figure of a payroll run: as the run states it, else the sum of its payslips, where they are held, all state it, and are
    those of the run's net."""
    return f"""coalesce(p.{name}, (
    SELECT CASE WHEN count(*) = count(slip.{name}) AND sum(slip.net) = p.net THEN sum(slip.{name})::bigint END
    FROM mirror.payslip slip
    WHERE slip.ledger_id = p.ledger_id AND slip.source = p.source AND slip.run_external_id = p.external_id
        AND p.payslips_at IS NOT NULL))"""


INVOICE = View(
    "mirror.invoice i",
    columns(
        "i",
        "ledger_id source external_id direction kind number status source_status party_name party_external_id party_tax_id "
        "currency issue_date due_date subtotal tax rounding total prepaid amount_due listed_on",
    )
    | {
        "lines": "jsonb_build_array(i.currency, i.lines)",
        "taxes": "CASE WHEN i.taxes IS NOT NULL THEN jsonb_build_array(i.currency, i.taxes) END",
        "fetched_at": "greatest(i.changed_at, state.as_of)",
    },
    joins=state_of("i"),
    decoders={"lines": _parts, "taxes": _parts},
)

PAYROLL_RUN = View(
    "mirror.payroll_run p",
    columns(
        "p",
        "ledger_id source external_id period_start period_end pay_date source_status currency net",
    )
    | {name: _of_payslips(name) for name in PARTS_OF_PAY}
    | {
        "total_cost": f"coalesce(p.total_cost, {' + '.join(map(_of_payslips, _COST))})",
        "fetched_at": "greatest(p.changed_at, state.as_of)",
    },
    joins=state_of("p"),
)

BANK_ACCOUNT = View("mirror.bank_account a", columns("a", "ledger_id source external_id name iban currency"))

BANK_TRANSACTION = View(
    "mirror.bank_transaction t",
    columns(
        "t",
        "ledger_id source account external_id status booked_on value_date amount currency description counterparty reference "
        "listed_booked listed_value",
    )
    | {
        "account_part": "replace(replace(t.account, '%', '%25'), ':', '%3A')",
        "fetched_at": "greatest(t.changed_at, state.as_of)",
    },
    joins=state_of("t"),
)

_ID = (("ledger_id", "bigint"), ("source", "text"), ("external_id", "text"))
INVOICES_BY_DATE = Order("invoices", (("listed_on", "date"), *_ID), descending=True)
PAYROLL_RUNS_BY_DATE = Order("payroll-runs", (("pay_date", "date"), *_ID), descending=True)
BANK_ACCOUNTS_BY_ID = Order("bank-accounts", _ID)


# ---------------------------------------------------------------- lists


async def invoices(reader: Reader, within: Within, want: Want, args: Args) -> dict[str, Any]:
    """Newest issue date first, those without one last."""
    filter_ = args.get("filter") or {}
    where = within.conditions("i")
    for name, column in (("kinds", "kind"), ("statuses", "status")):
        if filter_.get(name) is not None:
            where.add(f"i.{column} = ANY({{0}})", [_word(value) for value in filter_[name]])
    if filter_.get("direction") is not None:
        where.add("i.direction = {0}", _word(filter_["direction"]))
    add_dates(where, "i.issue_date", filter_.get("issuedFrom"), filter_.get("issuedTo"))
    return await page(reader, INVOICE, where, INVOICES_BY_DATE, want, args)


async def payroll_runs(reader: Reader, within: Within, want: Want, args: Args) -> dict[str, Any]:
    """Newest pay date first."""
    where = within.conditions("p")
    add_dates(where, "p.pay_date", args.get("paidFrom"), args.get("paidTo"))
    return await page(reader, PAYROLL_RUN, where, PAYROLL_RUNS_BY_DATE, want, args)


async def bank_accounts(reader: Reader, within: Within, want: Want, args: Args) -> dict[str, Any]:
    """In order of ledger, source and external id."""
    return await page(reader, BANK_ACCOUNT, within.conditions("a"), BANK_ACCOUNTS_BY_ID, want, args)


def add_dates(where: Conditions, expression: str, first: Any, last: Any) -> None:
    for day, sign in ((first, ">="), (last, "<=")):
        if day is not None:
            where.add(f"{expression} {sign} {{0}}::text::date", day.isoformat())


def superseded(alias: str, until: str) -> str:
    """SQL, true or false: a pending transaction of a statement that another one follows, of those that end up to the day
    `until`: each states anew what is pending. Scalar subqueries, because the planner would hash an EXISTS over all accounts."""
    return (
        f"({alias}.status = 'PENDING' AND NOT {alias}.provisional AND coalesce((SELECT s.rank < ("
        "SELECT max(n.rank) FROM mirror.bank_statement n WHERE n.ledger_id = s.ledger_id AND n.source = s.source "
        f"AND n.account = s.account AND n.currency = s.currency AND n.ends_on <= {until}) "
        f"FROM mirror.bank_statement s WHERE s.ledger_id = {alias}.ledger_id AND s.source = {alias}.source "
        f"AND s.external_id = {alias}.statement), false))"
    )


def _word(value: Any) -> str:
    return str(value.value if isinstance(value, Enum) else value)


# ---------------------------------------------------------------- by key


async def invoice_by_id(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    """Keys here and below: (ledger_id, source, external id)."""
    return await by_id(reader, INVOICE, "i", keys, want)


async def payroll_run_by_id(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    return await by_id(reader, PAYROLL_RUN, "p", keys, want)


async def bank_account_by_id(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    return await by_id(reader, BANK_ACCOUNT, "a", keys, want)


async def by_id(reader: Reader, view: View, alias: str, keys: Sequence[Key], want: Want) -> Results:
    names = [*want.columns, "ledger_id", "source", "external_id"]
    where = (
        f"{alias}.deleted_at IS NULL AND ({alias}.ledger_id, {alias}.source, {alias}.external_id) IN "
        "(SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[]))"
    )
    rows = await reader.fetch(view.select(names, where), *split(keys))
    return {(row[-3], row[-2], row[-1]): row for row in view.decode(want, rows)}


def split(keys: Iterable[Key]) -> list[list[Any]]:
    """Keys as one array for each of their parts."""
    return [list(part) for part in zip(*keys, strict=True)]


# ---------------------------------------------------------------- sources


class SourceState(NamedTuple):
    """What is known of a source. Moments are PostgreSQL's text; `documents`: that it stated so far, also during a pull; `cursor`:
    where the next pull goes on, its first LONGEST_CURSOR characters."""

    held: Held = Held()
    as_of: str | None = None
    last_success_at: str | None = None
    documents: int = 0
    cursor: str | None = None


async def source_states(reader: Reader, settings: Sequence[SourceSettings]) -> dict[str, SourceState]:
    """What is known of each source; of one that was read under other settings, not where that went on."""
    routes = {each.name: each.route for each in settings}
    found = dict.fromkeys(routes, SourceState())
    for name, route, success, error, problems, *position in await reader.fetch(_STATES, list(routes)):
        as_of, documents, cursor = position if route == routes[name] else (None, 0, None)
        held = Held(as_of, last_error=error, problems=problems)
        found[name] = SourceState(held, as_of, success, documents, cursor)
    return found


async def former_sources(reader: Reader, names: Iterable[str]) -> Sequence[Row]:
    """Name, kind and last success of sources that were read once."""
    sql = "SELECT source, kind, last_success_at FROM mirror.source_state WHERE source = ANY($1)"
    return await reader.fetch(sql, list(names))


LONGEST_CURSOR: Final = 1_000
_STATES = f"""
SELECT source, route, last_success_at, last_error, problems, as_of, documents, left(cursor, {LONGEST_CURSOR})
FROM mirror.source_state WHERE source = ANY($1)"""
