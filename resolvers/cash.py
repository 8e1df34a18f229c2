"""Bank accounts, their transactions, and cash positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from enum import Enum
from typing import Annotated, Any
from urllib.parse import unquote

import strawberry

from resolvers.context import Context
from resolvers.documents import Document
from resolvers.entries import JournalEntry
from resolvers.fields import argument, graph_type, link, linked, money, nested, text, timestamp, word, written
from resolvers.invoices import parse_key
from resolvers.ledgers import Ledger
from resolvers.nodes import KINDS, Node, NodeId, NodeKind
from resolvers.paging import After, Connection, First, paged
from resolvers.scalars import Date, DateTime, Decimal
from resolvers.sources import (
    Codes,
    Freshness,
    MaxAge,
    Source,
    SourceNames,
    freshness_rows,
    reach,
    refresh,
    refresh_source,
    sound,
    source_by_name,
)
from sources.ledger.queries import ledger_by_id
from sources.mirror import queries
from sources.mirror.cash import cash_positions
from sources.mirror.links import entries_of_transactions
from sources.mirror.transactions import transaction_by_id, transactions_of_accounts
from sources.reading import Failure, Key, Results, Want

READ = ("cash:read",)
GIVES = "bank_statement"
ACCOUNT = ("ledger_id", "source", "external_id")
OF_ACCOUNT = ("ledger_id", "source", "account")
TRANSACTION = (*OF_ACCOUNT, "external_id")


@strawberry.enum(description="Whether a bank has booked a transaction.")
class BankTransactionStatus(Enum):
    BOOKED = strawberry.enum_value("BOOKED", description="Booked: part of the booked balance.")
    PENDING = strawberry.enum_value("PENDING", description="Announced, not booked yet.")


@graph_type(
    "An entry of a bank statement; two identical lines of one statement are two transactions. Those of intraday reports and "
    "advices are answered only until a statement covers their date, pending ones of a statement until the next one.",
    scope=READ,
)
class BankTransaction(Node, Document):
    id: strawberry.ID = written(
        "bank-transaction:LEDGER:SOURCE:ACCOUNT:ID",
        ("ledger_id", "source", "account_part", "external_id"),
        "quote('bank-transaction:' + codes[{0}] + ':' + {1} + ':' + {2} + ':' + {3})",
    )
    bank_account: BankAccount = link("The account that it moves.", queries.bank_account_by_id, OF_ACCOUNT)
    status: BankTransactionStatus = word("Whether it is booked.", "status")
    booked_on: Date | None = word("When the bank booked it.", "booked_on")
    value_date: Date | None = word("From when it bears interest.", "value_date")
    amount: Decimal = money("Signed: money in is positive.", "amount")
    currency: str = word("Its currency.", "currency")
    description: str | None = text("What the statement says of it.", "description")
    counterparty: str | None = text("Who paid, or was paid.", "counterparty")
    reference: str | None = text("The reference of the payment.", "reference")
    entries: list[JournalEntry] | None = link(
        "Posted entries that came from this transaction.", entries_of_transactions, TRANSACTION, size=1
    )


BankTransactionConnection = Connection[BankTransaction]


@graph_type("A bank account, as its statements name it.", scope=READ)
class BankAccount(Node):
    id: strawberry.ID = written(
        "bank-account:LEDGER:SOURCE:ID", ACCOUNT, "quote('bank-account:' + codes[{0}] + ':' + {1} + ':' + {2})"
    )
    ledger: Ledger = link("The ledger that it belongs to.", ledger_by_id, ("ledger_id",))
    source: Source = link("The source whose statements tell of it.", source_by_name, ("source",))
    external_id: str = text("Its IBAN, else the bank's own identification.", "external_id")
    name: str | None = text("Its name.", "name")
    iban: str | None = text("Its IBAN.", "iban")
    currency: str = word("Its currency.", "currency")

    @linked(
        "Its transactions, in order of booking date (those without one last), value date and id. from and to: by booking "
        "date, else value date.",
        transactions_of_accounts,
        ACCOUNT,
    )
    def transactions(
        self,
        from_: Annotated[Date | None, strawberry.argument(name="from", description="First day.")] = strawberry.UNSET,
        to: Annotated[Date | None, argument("Last day.")] = strawberry.UNSET,
        statuses: Annotated[list[BankTransactionStatus] | None, argument("In any of these states.")] = strawberry.UNSET,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
    ) -> BankTransactionConnection | None: ...


@strawberry.type(description="A page of bank accounts.")
class BankAccountConnection(Connection[BankAccount]):
    freshness: list[Freshness] = nested("How old the documents of each source are.", "freshness")


@graph_type(
    "What an account holds of one currency at the end of a day. Transactions are dated by booking date, else value date, else "
    "the end of their statement.",
    scope=READ,
)
class CashPosition:
    bank_account: BankAccount = link("The account.", queries.bank_account_by_id, OF_ACCOUNT)
    as_of: Date = word("The day.", "as_of")
    currency: str = word("Currency of its amounts.", "currency")
    booked: Decimal | None = money(
        "The closing booked balance of the newest statement that ends on or before asOf, plus booked transactions after it up "
        "to asOf; null where no statement gave a balance.",
        "booked",
    )
    pending: Decimal | None = money("Sum of the pending transactions up to asOf.", "pending")
    available: Decimal | None = money(
        "The closing available balance of that statement; null where it gave none, or something was booked after it.",
        "available",
    )
    statement_date: Date | None = word("The day that that statement ends on.", "statement_date")
    warnings: list[str] = written(
        "What is odd about the account's statements up to asOf, for example one whose opening balance and movements do not "
        "give its closing balance, or one that does not begin where the one before it ended.",
        ("warnings",),
        "dumps({0})",
    )
    counted_by: str | None = text(
        "Name of the source by which this account counts on asOf, where several of those asked tell of it and it is another one: "
        "leave such rows out of sums. It is, of those that know the balance, the one that posted its newest transaction. Null: this "
        "row counts.",
        "counted_by",
    )
    fetched_at: DateTime = timestamp("When the source last confirmed what this is made of.", "fetched_at")


@graph_type("Cash positions, in order of ledger, source and account.")
class CashPositions:
    nodes: list[CashPosition] = nested("One for each bank account and currency.", "rows")
    freshness: list[Freshness] = nested("How old the statements of each source are.", "freshness")


async def prepare(context: Context, _want: Want, args: Mapping[str, Any]) -> None:
    await refresh(context, GIVES, args)


async def load_bank_accounts(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    reached = await reach(context, GIVES, args)
    if isinstance(reached, Failure):
        return {(): reached}
    within, freshness = reached
    values = await queries.bank_accounts(context, within, want, args)
    return {(): want.row({**values, "freshness": freshness_rows(want, freshness)})}


async def load_cash_positions(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    reached = await reach(context, GIVES, args)
    if isinstance(reached, Failure):
        return {(): reached}
    within, freshness = reached
    as_of: date = args.get("asOf") or datetime.fromtimestamp(context.services.clock(), UTC).date()
    values: dict[str, Any] = {"freshness": freshness_rows(want, freshness)}
    if "rows" in want.columns:
        values["rows"] = await cash_positions(context, within, as_of, want.nested["rows"])
    return {(): want.row(values)}


async def load_bank_account(context: Context, keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    """Keys: (ledger_id, (source, external id))."""
    return await sound(context, queries.bank_account_by_id, keys, want, args)


async def load_bank_transaction(context: Context, keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    """Keys: (ledger_id, (source, account, external id))."""
    return await sound(context, transaction_by_id, keys, want, args)


async def prepare_node(context: Context, _want: Want, args: Mapping[str, Any]) -> None:
    node: NodeId = args["id"]
    await refresh_source(context, GIVES, node.key[0])


def parse_transaction_key(rest: str) -> tuple[str, str, str] | None:
    """SOURCE:ACCOUNT:ID, the account percent-encoded."""
    source, _, behind = rest.partition(":")
    coded, _, external_id = behind.partition(":")
    account = unquote(coded)
    return (source, account, external_id) if source and account and external_id and "\0" not in account else None


KINDS["bank-account"] = NodeKind("BankAccount", READ, load_bank_account, parse_key, prepare_node)
KINDS["bank-transaction"] = NodeKind(
    "BankTransaction", READ, load_bank_transaction, parse_transaction_key, prepare_node
)


@strawberry.type
class CashQuery:
    @paged("Bank accounts, in order of ledger, source and id.", load_bank_accounts, scope=READ, prepare=prepare)
    def bank_accounts(
        self,
        ledgers: Codes = strawberry.UNSET,
        sources: SourceNames = strawberry.UNSET,
        max_age: MaxAge = strawberry.UNSET,
    ) -> BankAccountConnection | None: ...

    @linked(
        "What every bank account holds at the end of a day.", load_cash_positions, scope=READ, prepare=prepare, size=50
    )
    def cash_positions(
        self,
        ledgers: Codes = strawberry.UNSET,
        sources: SourceNames = strawberry.UNSET,
        as_of: Annotated[Date | None, argument("The day; absent: today, UTC.")] = strawberry.UNSET,
        max_age: MaxAge = strawberry.UNSET,
    ) -> CashPositions | None: ...
