"""The bank beside the books: what is at one of them alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Annotated, Any

import strawberry

from resolvers.cash import GIVES, BankAccount, BankTransaction
from resolvers.context import Context
from resolvers.entries import JournalEntry
from resolvers.fields import argument, graph_type, integer, link, linked, money, nested, text, word
from resolvers.invoices import Invoice
from resolvers.ledgers import READ as LEDGER_READ
from resolvers.ledgers import Ledger
from resolvers.matching import READ, OpenBankTransaction, of_ledger, prepare
from resolvers.payments import Payment
from resolvers.payroll import READ as PAYROLL
from resolvers.payroll import PayrollRun
from resolvers.scalars import Date, Decimal
from resolvers.sources import Freshness, MaxAge, freshness_rows, reach
from sources.ledger.queries import entry_by_sequence, ledger_by_id
from sources.matching.bank_and_books import bank_and_books
from sources.mirror.payments import payment_by_id
from sources.mirror.queries import bank_account_by_id, invoice_by_id, payroll_run_by_id
from sources.mirror.transactions import transaction_by_id
from sources.pipeline.bank_reconciliation import BankReconciliation as Reconciled
from sources.pipeline.bank_reconciliation import reconcile
from sources.pipeline.reconciliation import reading
from sources.pipeline.taking import read_books
from sources.reading import Failure, Key, Results, Row, Want

_DOCUMENT = ("ledger_id", "source", "external_id")
_TRANSACTION = ("ledger_id", "source", "account", "external_id")


@graph_type("A sum in one currency.", scope=READ)
class OpenTotal:
    currency: str = word("The currency.", "currency")
    count: int = integer("How many.", "count")
    amount: Decimal = money("Their sum; money in is positive.", "amount")


@graph_type("A payout that no bank transaction is matched with.", scope=READ)
class OpenPayout:
    payment: Payment | None = link("The payout; null: it is gone.", payment_by_id, _DOCUMENT)
    open: Decimal = money("What has not arrived.", "open")
    currency: str = word("The currency.", "currency")


@graph_type("A payroll run that no bank transaction is matched with.", scope=PAYROLL)
class OpenPayrollRun:
    payroll_run: PayrollRun | None = link("The run; null: it is gone.", payroll_run_by_id, _DOCUMENT)
    open: Decimal = money("What has not been paid: negative, as it goes out.", "open")
    currency: str = word("The currency.", "currency")


@graph_type("An invoice that its source says is paid, by money that nobody has seen.", scope=READ)
class InvoiceWithoutMoney:
    invoice: Invoice | None = link("The invoice; null: it is gone.", invoice_by_id, _DOCUMENT)
    open: Decimal = money("What neither payments nor the bank explain; of a bill negative.", "open")
    currency: str = word("The currency.", "currency")


@graph_type("A bank account of a reconciliation.", scope=READ)
class ReconciledBankAccount:
    bank_account: BankAccount = link("The account.", bank_account_by_id, ("ledger_id", "source", "account"))
    balance: Decimal | None = money(
        "What it holds at the end of the day, as cashPositions has it; null: no statement gave a balance.", "balance"
    )
    currency: str = word("The currency.", "currency")


@graph_type("A booked bank transaction that lines of the ledger account do not have as it is.", scope=READ)
class ReconciledTransaction:
    transaction: BankTransaction | None = link(
        "The transaction; null: it is gone, and its entry stands.", transaction_by_id, _TRANSACTION
    )
    dated: Date = word("The day by which it counts; of one that is gone or comes later, the day of its entry.", "dated")
    bank: Decimal = money("What the bank booked of it up to the day.", "bank")
    books: Decimal = money("What lines of the ledger account up to the day have of it.", "books")
    difference: Decimal = money("bank - books.", "difference")
    currency: str = word("The currency.", "currency")


@graph_type("A line of the ledger account that comes from no bank transaction.", scope=READ)
class ReconciledLine:
    entry: JournalEntry = link("Its entry.", entry_by_sequence, ("ledger_id", "sequence"))
    dated: Date = word("Effective date.", "dated")
    amount: Decimal = money(
        "A debit, such as a deposit in transit, is positive; a credit, such as an outstanding payment, negative.",
        "amount",
    )
    currency: str = word("The currency.", "currency")


@graph_type(
    "Bank accounts beside their ledger account at the end of a day: bankBalance - broughtForward - notInBooks + inTransit - outstanding "
    "is booksBalance. Lists have their first 1,000, the oldest first; sums are of all.",
    scope=(*READ, *LEDGER_READ),
)
class BankReconciliation:
    ledger_account: str | None = text(
        "Code of the ledger account, by the active rules' table bank_accounts; null: they give none.", "code"
    )
    currency: str = word("The currency.", "currency")
    as_of: Date = word("The day.", "as_of")
    bank_accounts: list[ReconciledBankAccount] = nested("The bank accounts that are booked on it.", "held")
    bank_balance: Decimal | None = money("What they hold; null: of one it is not known.", "bank")
    brought_forward: Decimal | None = money(
        "What their balance has besides the transactions that are known: from before the first one, or between statements that do "
        "not follow on each other; and the difference that items before `from` make.",
        "brought_forward",
    )
    not_in_books: Decimal = money(
        "Booked transactions, as far as the books do not have them: the sum of their differences.", "missing"
    )
    in_transit: Decimal = money("Debits of the ledger account that come from no bank transaction.", "in_transit")
    outstanding: Decimal = money("Credits of the ledger account that come from no bank transaction.", "outstanding")
    books_balance: Decimal | None = money("Balance of the ledger account; null: there is none.", "books")
    difference: Decimal | None = money("bankBalance - booksBalance.", "difference")
    transaction_count: int = integer("How many transactions differ.", "transaction_count")
    transactions: list[ReconciledTransaction] = nested("They.", "transactions")
    line_count: int = integer("How many lines come from no bank transaction.", "line_count")
    lines: list[ReconciledLine] = nested("They.", "lines")


async def load_reconciliations(context: Context, keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    """Keys: (ledger_id,)."""
    today: date = datetime.fromtimestamp(context.services.clock(), UTC).date()
    day, book, found = args.get("asOf") or today, context.services.book, {}
    for (ledger_id,) in keys:
        async with context.services.reports.turn, reading(context.services.database, ledger_id) as connection:
            books = await read_books(connection, ledger_id)
            standing = await book.standing(connection, ledger_id, books.rules) if books else None
            reconciled = await reconcile(connection, ledger_id, standing, day, args.get("from") or date.min)
        found[(ledger_id,)] = [want.row(_values(want, ledger_id, day, each)) for each in reconciled]
    return found


def _values(want: Want, ledger_id: int, day: date, each: Reconciled) -> dict[str, Any]:
    sides = {"ledger_id": ledger_id, "currency": each.currency}
    plain = ("code", "bank", "books", "missing", "brought_forward", "difference", "in_transit", "outstanding")
    return {
        **{name: getattr(each, name) for name in (*plain, "transaction_count", "line_count")},
        **sides,
        "as_of": day.isoformat(),
        "held": _nested(want, "held", [{**sides, **asdict(held)} for held in each.held]),
        "transactions": _nested(
            want,
            "transactions",
            [
                {**sides, **row, "dated": row["dated"].isoformat(), "difference": row["bank"] - row["books"]}
                for row in each.transactions
            ],
        ),
        "lines": _nested(want, "lines", [{**sides, **row, "dated": row["dated"].isoformat()} for row in each.lines]),
    }


def _nested(want: Want, name: str, rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    wanted = want.nested.get(name, Want())
    return [wanted.row(row) for row in rows]


@graph_type(
    "The bank beside the books, as both are stored now. Lists have their first 1,000, the oldest first; totals are of all."
)
class BankAndBooks:
    ledger: Ledger = link("The ledger.", ledger_by_id, ("ledger_id",))
    bank_only_totals: list[OpenTotal] = nested(
        "Money at the bank that is not explained in the books.", "bank_only_totals", scope=READ
    )
    bank_only: list[OpenBankTransaction] = nested("Its transactions.", "bank_only", scope=READ)
    payout_totals: list[OpenTotal] = nested(
        "Payouts in the books that have not arrived at the bank.", "payouts_totals", scope=READ
    )
    payouts: list[OpenPayout] = nested("They.", "payouts", scope=READ)
    payroll_runs: list[OpenPayrollRun] = nested(
        "Payroll in the books that has not left the bank.", "payroll_runs", scope=PAYROLL
    )
    paid_without_money_totals: list[OpenTotal] = nested(
        "Invoices that their sources say are paid, without a payment or a bank transaction.",
        "paid_without_money_totals",
        scope=READ,
    )
    paid_without_money: list[InvoiceWithoutMoney] = nested("They.", "paid_without_money", scope=READ)
    freshness: list[Freshness] = nested(
        "How old the documents of each source of bank statements are.", "freshness", scope=READ
    )

    @linked(
        "Each bank account beside its ledger account at the end of a day, with every item between the two.",
        load_reconciliations,
        ("ledger_id",),
        scope=(*READ, *LEDGER_READ),
        size=5,
    )
    def reconciliations(
        self,
        as_of: Annotated[Date | None, argument("The day; absent: today, UTC.")] = strawberry.UNSET,
        from_: Annotated[
            Date | None,
            strawberry.argument(name="from", description="First day of items; what lies before is in broughtForward."),
        ] = strawberry.UNSET,
    ) -> list[BankReconciliation] | None: ...


async def load_bank_and_books(context: Context, keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    reached = await reach(context, GIVES, of_ledger(args))
    if isinstance(reached, Failure):
        return {(): reached}
    values = await bank_and_books(context, keys, want, args)
    return {(): want.row({**values, "freshness": freshness_rows(want, reached[1])})}


_LEDGER = Annotated[str, argument("The ledger's code.")]


@strawberry.type
class BankAndBooksQuery:
    @linked(
        "Money that is at the bank and not explained in the books, and what is in the books and not at the bank.",
        load_bank_and_books,
        scope=READ,
        prepare=prepare,
        size=50,
    )
    def bank_and_books(self, ledger: _LEDGER, max_age: MaxAge = strawberry.UNSET) -> BankAndBooks | None: ...
