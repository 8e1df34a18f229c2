"""Tie-out of a source: its documents, subledgers and bank statements beside the books."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from typing import Annotated, Any

import strawberry

from resolvers.context import Context
from resolvers.documents import DocumentKind, document_id
from resolvers.entries import DOCUMENTS, JournalEntry
from resolvers.fields import argument, graph_type, integer, link, linked, money, nested, text, timestamp, word, written
from resolvers.invoices import InvoiceDirection
from resolvers.issues import visible_source
from resolvers.ledgers import READ as LEDGER_READ
from resolvers.ledgers import Ledger
from resolvers.paging import After, PageInfo, first_after, info_row
from resolvers.reconciliation_rows import (
    PLACES,
    bank_rows,
    document_rows,
    subledger_rows,
    total_rows,
)
from resolvers.scalars import BigInt, Date, DateTime, Decimal
from resolvers.sources import READ, Source, source_by_name
from sources.errors import InvalidArgument
from sources.ledger.queries import entry_by_sequence, ledger_by_id
from sources.mirror.logbook import names_of
from sources.pipeline import control_accounts, reconciliation
from sources.pipeline.control_totals import control_totals
from sources.pipeline.finished import Finished
from sources.pipeline.tied import Report, TieState
from sources.reading import Key, Results, Want

SCOPES = (*READ, *LEDGER_READ)
INVOICES = ("invoices:read",)
CASH = ("cash:read",)
_OF_DOCUMENTS = frozenset({"documents", "totals", "page_info", "document_count"})
_MEANINGS = {
    "MATCHED": "What it calls for is posted.",
    "MISSING": "It should be posted by the rules, and is not.",
    "EXTRA": "Something is posted, and it is gone or calls for nothing.",
    "DIFFERING": "Something else is posted than it calls for now, or its entries are linked to it no more.",
    "PENDING": "It waits: to be looked at, for approval, or for what an issue tells.",
}

strawberry.enum(TieState, name="ReconciliationState", description="How a document relates to what is posted of it.")
for _value in TieState.__strawberry_definition__.values:  # type: ignore[attr-defined]
    _value.description = _MEANINGS[_value.name]


async def entries_by_sequences(context: Context, keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    """Keys: (ledger_id, sequences)."""
    pairs = list(dict.fromkeys((ledger_id, each) for ledger_id, sequences in keys for each in sequences))
    found = await entry_by_sequence(context, pairs, want, args) if pairs else {}
    return {key: [found[key[0], each] for each in key[1]] for key in keys}


@graph_type("Debits of entries in one currency.", scope=LEDGER_READ)
class ReconciledAmount:
    currency: str = word("The currency.", "currency")
    called_for: Decimal | None = money("What the document calls for now; null: not known, as it waits.", "called")
    posted: Decimal = money("What stands of it.", "posted")


@graph_type("A document beside what is posted of it.", scope=LEDGER_READ)
class ReconciledDocument:
    state: TieState = word("How the two relate.", "state")
    code: str | None = text(
        "Why it does not match: the code of its issue, or WAITING, PROPOSED, NOT_POSTED, OTHER_OUTCOME, NOT_CALLED_FOR, GONE, "
        "NOT_LINKED, REVERSED_BY_HAND, NOT_RECORDED; more may come.",
        "code",
    )
    document_kind: DocumentKind | None = word("Its kind; null: an entry of the source that is no document's.", "kind")
    document_id: strawberry.ID | None = document_id("Its id, for node.")
    dated: Date = word("The day by which it counts; of one that is gone, the day of its entry.", "dated")
    currency: str | None = word("Its currency.", "currency", scope=DOCUMENTS)
    stated: Decimal | None = money(
        "Its amount as the source states it: the total of an invoice, negative of a credit note, the net of a payroll run.",
        "stated",
        scope=DOCUMENTS,
    )
    amounts: list[ReconciledAmount] = nested("Debits by currency, where there are any.", "amounts")
    entries: list[JournalEntry] = link("What stands of it.", entries_by_sequences, ("ledger_id", "sequences"))


@graph_type("The documents of a total in one state.")
class ReconciliationStateTotal:
    state: TieState = word("The state.", "state")
    documents: int = integer("How many.", "documents")
    stated: Decimal = money("Sum of their amounts as the source states them.", "stated", scope=DOCUMENTS)


@graph_type("Control totals of one kind of document, in one currency.", scope=LEDGER_READ)
class ReconciliationTotal:
    document_kind: DocumentKind | None = word("The kind; null: entries that are no document's.", "kind")
    direction: InvoiceDirection | None = word("Of invoices: who owes whom.", "direction")
    currency: str = word("The currency.", "currency")
    documents: int = integer("How many documents are in it.", "documents")
    stated: Decimal = money(
        "Sum of their amounts as the source states them; credit notes count negative.", "stated", scope=DOCUMENTS
    )
    nothing: int = integer("How many of them call for nothing: by the rules, or before the source posts.", "nothing")
    states: list[ReconciliationStateTotal] = nested("The others, by state.", "states")
    called_for: Decimal = money("Debits that the documents call for, as far as that is known.", "called")
    posted: Decimal = money("Debits that stand.", "posted")
    difference: Decimal = money(
        "posted - calledFor, of the documents of which it is known what they call for.", "difference"
    )


@graph_type("What a party owes, beside the control accounts.", scope=INVOICES)
class SubledgerParty:
    party: str | None = text("Its id in its source; null: invoices and lines of accounts that name none.", "party")
    name: str | None = text("Its name.", "name")
    currency: str = word("The currency.", "currency")
    open: Decimal = money("Open on the day, by the mirrored invoices.", "open")
    balance: Decimal = money("Balance of the lines that name it.", "balance")
    difference: Decimal = money("balance - open.", "difference")


@graph_type("A subledger's sum in one currency.", scope=INVOICES)
class SubledgerTotal:
    currency: str = word("The currency.", "currency")
    open: Decimal = money("Open on the day, by the mirrored invoices.", "open")
    balance: Decimal = money("Balance of the control accounts.", "balance")
    difference: Decimal = money("balance - open.", "difference")


@graph_type(
    "Open invoices of all sources that post, beside the control accounts. Amounts are owed: to us, or of payables by us.",
    scope=INVOICES,
)
class Subledger:
    direction: InvoiceDirection = word("Receivables or payables.", "direction")
    accounts: list[str] = written("Codes of the control accounts, by the active rules.", ("codes",), "dumps({0})")
    totals: list[SubledgerTotal] = nested("By currency.", "totals")
    differing: int = integer("How many parties differ.", "differing")
    parties: list[SubledgerParty] = nested("Those that differ, by how much; the first 1,000.", "parties")


@graph_type("A transaction of a bank's statement without an entry.", scope=CASH)
class UnmatchedTransaction:
    document_id: strawberry.ID = document_id("Its id, for node.")
    dated: Date = word("The day by which it counts.", "dated")
    amount: Decimal = money("Money in is positive.", "amount")


@graph_type("A line of a bank's ledger account without a bank transaction.", scope=CASH)
class UnmatchedLine:
    entry: JournalEntry = link("Its entry.", entry_by_sequence, ("ledger_id", "sequence"))
    dated: Date = word("Effective date.", "dated")
    amount: Decimal = money("A debit is positive.", "amount")


@graph_type(
    "A bank's newest statement up to the last day, beside its ledger account on the statement's last day.", scope=CASH
)
class BankTieOut:
    account: str = text("The bank account.", "account")
    name: str | None = text("Its name.", "name")
    currency: str = word("The currency.", "currency")
    statement: str = text("The statement's id.", "statement")
    statement_date: Date = word("Its last day.", "ends_on")
    closing: Decimal = money("Its closing balance.", "closing")
    ledger_account: str | None = text("Code of the ledger account, by the active rules' table bank_accounts.", "code")
    balance: Decimal | None = money("Its balance on that day; null: there is no such account.", "balance")
    difference: Decimal | None = money("closing - balance.", "difference")
    unexplained: Decimal | None = money(
        "What of the difference neither the unmatched transactions nor the unmatched lines explain.", "unexplained"
    )
    transaction_count: int = integer("How many booked transactions of the days have no entry.", "transaction_count")
    transactions: list[UnmatchedTransaction] = nested("They, in order of date; the first 1,000.", "transactions")
    line_count: int = integer("How many lines of the account in the days have no bank transaction.", "line_count")
    lines: list[UnmatchedLine] = nested("They, in order of date; the first 1,000.", "lines")


@graph_type("A source tied out with the books, as both are stored at one moment.")
class Reconciliation:
    ledger: Ledger = link("The ledger.", ledger_by_id, ("ledger_id",))
    source: Source = link("The source.", source_by_name, ("source",))
    fetched_at: DateTime | None = timestamp("The documents are as the source stated them then, or later.", "as_of")
    post_from: Date | None = word("The first day that the source posts; null: it does not.", "post_from")
    mapping_version: int | None = integer("The active version of the ledger's rules.", "mapping_version")
    totals: list[ReconciliationTotal] = nested("Control totals of the days.", "totals")
    document_count: BigInt = integer("How many documents of the days are in the states asked for.", "document_count")
    documents: list[ReconciledDocument] = nested("They, in order of date.", "documents")
    page_info: PageInfo = nested("Where the page stands among them.", "page_info")
    subledgers: list[Subledger] = nested(
        "Receivables and payables on the last day, of all sources together.", "subledgers", scope=INVOICES
    )
    banks: list[BankTieOut] = nested("The source's bank accounts.", "banks", scope=CASH)


async def load_reconciliation(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    first, after = first_after(args, PLACES, context.page_size)
    days, name = (args["from"], args["to"]), args["source"]
    if days[0] > days[1]:
        raise InvalidArgument("from must not be after to")
    ref = await context.ledger(args["ledger"])
    settings = visible_source(context, name)
    if ref.code not in settings.ledgers:
        raise InvalidArgument(f"the source {name} gives the ledger {ref.code} no documents")
    finished = await _finished(context, ref.ledger_id, set(want.columns), args, first, follows=after is not None)
    values = {
        "ledger_id": ref.ledger_id,
        "source": name,
        **_head(finished.report),
        **_documents(want, finished, first, tuple(after or ())),
        "totals": total_rows(want.nested.get("totals", Want()), finished.totals),
        "subledgers": subledger_rows(want.nested.get("subledgers", Want()), finished.subledgers),
        "banks": bank_rows(want.nested.get("banks", Want()), ref.ledger_id, name, finished.banks),
    }
    return {(): want.row(values)}


async def _finished(
    context: Context, ledger_id: int, columns: set[str], args: Mapping[str, Any], first: int, *, follows: bool
) -> Finished:
    """The tie-out, computed for a first page, and kept for those that follow it."""
    states = set(TieState) - {TieState.MATCHED} if args.get("states") is None else set(names_of(args["states"]))
    kinds = None if args.get("kind") is None else {name.lower() for name in names_of([args["kind"]])}
    name, days, reports = args["source"], (args["from"], args["to"]), context.services.reports
    asked = frozenset(columns & {"subledgers", "banks"})
    key = (ledger_id, name, *days, frozenset(states), kinds and frozenset(kinds), asked)
    if follows and (kept := reports.find(key)) is not None:
        return kept
    subledgers, banks, book = [], [], context.services.book
    async with reports.turn, reconciliation.reading(context.services.database, ledger_id) as connection:
        report = await reconciliation.open_report(connection, ledger_id, name)
        if columns & _OF_DOCUMENTS:
            await reconciliation.tie_documents(connection, report, book, name, *days)
        standing = await book.standing(connection, ledger_id, report.books.rules) if asked else None
        if "subledgers" in asked:
            subledgers = await control_accounts.tie_subledgers(connection, ledger_id, standing, days[1])
        if "banks" in asked:
            banks = await control_accounts.tie_banks(connection, ledger_id, name, standing, days, report.post_from)
    chosen = [
        each
        for each in report.tied
        if each.state in states and (kinds is None or (each.key is not None and each.key.kind in kinds))
    ]
    finished = Finished(replace(report, tied=[]), control_totals(report.tied), chosen, subledgers, banks)
    if len(chosen) > first:
        reports.keep(key, finished)
    return finished


def _head(report: Report) -> dict[str, Any]:
    as_of = report.as_of.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00") if report.as_of else None
    post_from = report.post_from.isoformat() if report.post_from else None
    return {"as_of": as_of, "post_from": post_from, "mapping_version": report.books.rules}


def _documents(want: Want, finished: Finished, first: int, after: tuple[str, ...]) -> dict[str, Any]:
    begin = bisect_right(finished.chosen, after, key=lambda each: each.place)
    shown = finished.chosen[begin : begin + first]
    places = [each.place for each in shown]
    more = len(finished.chosen) > begin + first
    return {
        "document_count": len(finished.chosen),
        "documents": document_rows(want.nested.get("documents", Want()), finished.report.books.ledger.ledger_id, shown),
        "page_info": info_row(want, PLACES, places, has_next=more, has_previous=begin > 0),
    }


@strawberry.type
class ReconciliationQuery:
    @linked(
        "Control totals and documents of a source beside what is posted, dated within days; subledgers beside control accounts, "
        "and bank statements beside ledger accounts, as of the last of them. It looks at every document of the days; the pages that follow within a minute are of the same moment.",
        load_reconciliation,
        scope=SCOPES,
        size=50,
    )
    def reconciliation(
        self,
        source: Annotated[str, argument("The source's name.")],
        ledger: Annotated[str, argument("The ledger's code.")],
        from_: Annotated[Date, strawberry.argument(name="from", description="First day.")],
        to: Annotated[Date, argument("Last day.")],
        states: Annotated[
            list[TieState] | None, argument("Documents in any of these states; absent: all but MATCHED.")
        ] = strawberry.UNSET,
        kind: Annotated[DocumentKind | None, argument("Documents of this kind alone.")] = strawberry.UNSET,
        first: Annotated[int | None, argument("So many documents; 50 when absent, at most 1,000.")] = strawberry.UNSET,
        after: After = strawberry.UNSET,
    ) -> Reconciliation | None: ...
