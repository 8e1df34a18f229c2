"""Tryton 8's invoices, bills and credit notes, with their parties, moves and orders, read only, over its JSON-RPC.

First pull: every invoice of the company by id, in pages; it goes on where it stopped. Later pulls: the invoices that changed, or
of which a line or a tax changed, since the newest change that was read, by Tryton's own clock and 15 minutes more: a change
carries the time at which its transaction began. A bill is read again when its order or a receipt of it changed, and when another
bill of the same order did, because it is held against them (see `sources.mapping.matching_bills`).

What maxAge 0 guarantees: every change that was committed before the request, of a transaction shorter than 15 minutes.

Deletions: Tryton deletes only invoices that never got a number (drafts, and drafts that were cancelled). Those known without one
are asked for at the end of each pull, and the ones that are gone count as deleted; a pull that broke off before infers nothing.
A numbered invoice that is not answered any more, for want of a right, stays as it is.

An invoice that could not be read is asked for again by its id.

Another company (of the user, or in the option): everything is read from the beginning, and what was held counts no more.

Names: a party's name is the present one. A renamed party changes its invoices once these are read again.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from sources.connectors import tryton_purchases as purchases
from sources.connectors.http import HttpOptions, SourceHttp
from sources.connectors.http_options import check_all, checked_base, must
from sources.connectors.kinds import ConnectorKind
from sources.connectors.tryton_cursor import TrytonCursor
from sources.connectors.tryton_records import FIELDS, parse_invoice
from sources.connectors.tryton_rpc import Domain, TrytonRpc, TrytonSession, checked_settings, moment
from sources.connectors.tryton_values import Record, UnreadableRecord, listed, related, text, time
from sources.documents import Deletion, Invoice, Page, Payslip, Problem
from sources.errors import SourceUnavailable

INVOICE: Final = "account.invoice"
BATCH: Final = 100
"""Invoices that are read at once, each with its lines, taxes and move."""

_TIMES: Final = ("create_date", "write_date")


@dataclass(frozen=True, slots=True)
class _Batch:
    """Invoices that were read. `ids`: of all that Tryton gave, `numbered`: of those that it will not delete; `others`: bills
    of the same orders; `ordered`: some are of orders."""

    invoices: Sequence[Invoice] = ()
    problems: Sequence[Problem] = ()
    ids: frozenset[int] = frozenset()
    numbered: frozenset[int] = frozenset()
    others: Sequence[int] = ()
    ordered: bool = False


@dataclass(slots=True)
class _Changes:
    """Invoices of which something changed since a moment: what was seen of each, and the newest change of all."""

    marks: dict[int, list[str]] = field(default_factory=dict)
    newest: datetime | None = None

    def saw(self, invoice: Any, model: str, record: Record) -> None:
        """`record`: of the model, with its times; part of this invoice, or what it was ordered by."""
        moments = [time(record, name) for name in _TIMES]
        if type(invoice) is int:
            self.marks.setdefault(invoice, []).append(f"{model} {record['id']} {moments}")
        self.newest = max((each for each in (self.newest, *moments) if each is not None), default=None)

    def seen(self) -> dict[int, str]:
        """A short mark for each invoice: another one once something else of it changed."""
        return {
            invoice: hashlib.sha256("\n".join(sorted(marks)).encode()).hexdigest()[:8]
            for invoice, marks in self.marks.items()
        }


class TrytonConnector:
    """One company's invoices at one Tryton. The user logs in by password and is of Tryton's group Accounting, or may read invoices,
    parties, moves, taxes, accounts, and, where bills are of orders, purchases and stock moves. `company`: its id, absent: the user's own.
    Constructed without I/O. Raises ConfigurationError for settings that cannot work."""

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        database: str,
        user: str,
        password: str,
        company: str | None = None,
        http: HttpOptions | None = None,
    ) -> None:
        is_id = company is None or (company.isascii() and company.isdecimal() and len(company) < 10)
        check_all(
            partial(checked_settings, name, database, user, password),
            must(is_id, f"sources.{name}.company must be the id of a company at Tryton, a whole number"),
            partial(checked_base, name, base_url),
        )
        self._subject = f"Source {name!r}"
        self._stated = None if company is None else int(company)
        self._session = TrytonSession(
            name=name, base_url=base_url, database=database, user=user, password=password, options=http
        )
        self._http = SourceHttp(name=name, base_url=base_url, auth=self._session, options=http)
        self._rpc = TrytonRpc(self._http, self._subject, database)

    async def pull(self, cursor: str | None) -> AsyncIterator[Page]:
        """Documents that changed since the cursor; see the module for what is guaranteed. A page's cursor resumes behind it, also
        in the midst of a first pull. Raises SourceUnavailable."""
        company = await self._company()
        state, afresh = TrytonCursor.decode(cursor).read_for(company)
        try:
            async with aclosing(self._pages(company, state)) as pages:
                async for page in pages:
                    yield replace(page, afresh=afresh)
                    afresh = False
        except UnreadableRecord as error:
            # Of a record among thousands whose times alone were asked for: what changed cannot be told.
            raise SourceUnavailable(f"{self._subject} answered with a record that cannot be read: {error}.") from None

    async def read_again(self, cursor: str | None, problems: Sequence[Problem]) -> Page:
        """As `sources.documents.ReadsAgain` says. One that is not answered stays a problem: its deletion is told by itself. Raises
        SourceUnavailable."""
        company = await self._company()
        state, _ = TrytonCursor.decode(cursor).read_for(company)
        wanted = {int(problem.again or 0): problem for problem in problems}
        batch = await self._read(company, [["id", "in", sorted(wanted)]])
        missing = [wanted[each] for each in sorted(wanted.keys() - batch.ids)]
        page = _page(_behind(state, batch), batch)
        return replace(page, problems=[*page.problems, *missing])

    async def fetch_payslips(self, run_external_id: str) -> tuple[Payslip, ...] | None:
        """None: no payroll is read of Tryton."""
        return None

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()
        await self._http.close()

    async def _company(self) -> int:
        preferences = await self._rpc.call("res.user", "get_preferences", True)
        own = preferences if isinstance(preferences, dict) else {}
        company = own.get("company") if self._stated is None else self._stated
        if type(company) is not int:
            raise SourceUnavailable(
                f"{self._subject}: its user has no company: set one for the user at Tryton, or the option company."
            )
        companies = own.get("companies") or [company]
        if not isinstance(companies, list) or company not in companies:
            raise SourceUnavailable(f"{self._subject}: its user does not belong to the company {company} at Tryton.")
        return company

    async def _pages(self, company: int, state: TrytonCursor) -> AsyncGenerator[Page, None]:
        while state.after is not None:
            state, page = await self._listed(company, state)
            yield page
        changes = await self._changes(company, state)
        seen = changes.seen()
        news = sorted(invoice for invoice, mark in seen.items() if state.seen.get(invoice) != mark)
        others: set[int] = set()
        async for behind, batch in self._batches(company, state, news):
            state = behind
            others.update(batch.others)
            yield _page(state, batch)
        async for behind, batch in self._batches(company, state, sorted(others.difference(news))):
            state = behind
            yield _page(state, batch)
        gone = await self._gone(company, state.open)
        state = replace(state, open=state.open - gone, seen=seen).later(changes.newest)
        deletions = tuple([Deletion(kind="invoice", external_id=str(each)) for each in sorted(gone)])
        yield Page(documents=(), deletions=deletions, cursor=state.encode(), complete=True)

    async def _batches(
        self, company: int, state: TrytonCursor, ids: Sequence[int]
    ) -> AsyncIterator[tuple[TrytonCursor, _Batch]]:
        """The invoices of these ids, each batch with the state behind it."""
        for start in range(0, len(ids), BATCH):
            batch = await self._read(company, [["id", "in", list(ids[start : start + BATCH])]])
            state = _behind(state, batch)
            yield state, batch

    async def _listed(self, company: int, state: TrytonCursor) -> tuple[TrytonCursor, Page]:
        """The next page of everything. Changes are followed from the moment at which the listing began."""
        if state.after == 0 and state.since is None:
            state = state.later(*await self._newest(company))
        batch = await self._read(company, [["id", ">", state.after]])
        following = self._rpc.behind(INVOICE, state.after or 0, max(batch.ids)) if len(batch.ids) == BATCH else None
        state = replace(_behind(state, batch), after=following)
        return state, _page(state, batch)

    async def _newest(self, company: int) -> list[datetime | None]:
        found = []
        for name in _TIMES:
            domain = [["company", "=", company], [name, "!=", None]]
            for record in await self._rpc.search_read(
                INVOICE, domain, [name], limit=1, order=f"{name} DESC", company=company
            ):
                found.append(time(record, name))
        return found

    async def _changes(self, company: int, state: TrytonCursor) -> _Changes:
        since = moment(state.floor)
        changes = _Changes()
        changed = ["OR", *[[name, ">=", since] for name in _TIMES]]
        ours = ["company", "=", company]
        async for record in self._every(INVOICE, [ours, changed], _TIMES, company):
            changes.saw(record["id"], INVOICE, record)
        for model, owner in ((f"{INVOICE}.line", ours), (f"{INVOICE}.tax", ["invoice.company", "=", company])):
            async for record in self._every(model, [owner, changed], ["invoice", *_TIMES], company):
                changes.saw(record.get("invoice"), model, record)
        if state.purchases:
            await self._changed_orders(company, since, changes)
        return changes

    async def _changed_orders(self, company: int, since: Any, changes: _Changes) -> None:
        """Bills whose orders, or receipts of these, changed."""
        for path in ("origin", "origin.moves"):
            changed = ["OR", *[[f"{path}.{name}", ">=", since, purchases.MODEL] for name in _TIMES]]
            fields = ["invoice", *[f"{path}.{name}" for name in _TIMES]]
            domain = [["company", "=", company], ["invoice", "!=", None], changed]
            async for record in self._every(f"{INVOICE}.line", domain, fields, company):
                order = related(record, "origin")
                for each in listed(order, "moves") if path != "origin" else [order]:
                    changes.saw(record.get("invoice"), path, each)

    async def _every(self, model: str, domain: Domain, fields: Iterable[str], company: int) -> AsyncIterator[Record]:
        async for found in self._rpc.every(model, domain, list(fields), company=company):
            for record in found:
                yield record

    async def _read(self, company: int, domain: Domain) -> _Batch:
        domain = [*domain, ["company", "=", company]]
        records = await self._rpc.search_read(INVOICE, domain, FIELDS, limit=BATCH, company=company)
        wanted = purchases.order_lines_of(records)
        found = await self._rpc.read(purchases.MODEL, wanted, purchases.FIELDS, company=company)
        orders = {order["id"]: order for order in found}
        invoices, problems = [], []
        for record in records:
            try:
                invoices.append(parse_invoice(record, purchases.purchase_facts(record, orders)))
            except UnreadableRecord as error:
                problems.append(_problem(record, error))
        ids = frozenset(record["id"] for record in records)
        numbered = frozenset(record["id"] for record in records if text(record, "number"))
        return _Batch(invoices, problems, ids, numbered, purchases.other_bills(ids, found), bool(wanted))

    async def _gone(self, company: int, known: frozenset[int]) -> frozenset[int]:
        """Those that Tryton has no more, of these ids, after all of them were asked for."""
        wanted, found = sorted(known), set[int]()
        for start in range(0, len(wanted), 1_000):
            domain = [["id", "in", wanted[start : start + 1_000]]]
            records = await self._rpc.search_read(INVOICE, domain, ["id"], limit=1_000, company=company)
            found.update(record["id"] for record in records)
        return known - found


def _behind(state: TrytonCursor, batch: _Batch) -> TrytonCursor:
    open_ones = (state.open - batch.numbered) | (batch.ids - batch.numbered)
    return replace(state, open=open_ones, purchases=state.purchases or batch.ordered)


def _page(state: TrytonCursor, batch: _Batch) -> Page:
    return Page(documents=batch.invoices, problems=batch.problems, cursor=state.encode())


def _problem(record: Record, error: UnreadableRecord) -> Problem:
    """By its id, as what closes its issue looks for that; its number, which a person knows, is told."""
    name = text(record, "number") or record["id"]
    return Problem(
        subject=f"invoice {record['id']}",
        code=error.code,
        message=f"Invoice {name} could not be read: {error}. The others were.",
        again=str(record["id"]),
    )


KIND = ConnectorKind(
    name="tryton",
    connector=TrytonConnector,
    gives=("invoice",),
    required=("base_url", "database", "user", "password"),
    optional=("company",),
    secrets=("password",),
    origin=("database",),
    example={
        "base_url": "https://erp.example.com",
        "database": "acme",
        "user": "ledger",
        "password": "env:TRYTON_PASSWORD",
    },
)
"""The company may be the user's own: the connector tells (`Page.afresh`)."""
