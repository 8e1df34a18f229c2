"""The bank beside the books: what is at one of them alone."""

from __future__ import annotations

from typing import Annotated

import strawberry

from resolvers.fields import argument, graph_type, integer, link, linked, money, nested, word
from resolvers.invoices import Invoice
from resolvers.ledgers import Ledger
from resolvers.matching import READ, OpenBankTransaction
from resolvers.payments import Payment
from resolvers.payroll import READ as PAYROLL
from resolvers.payroll import PayrollRun
from resolvers.scalars import Decimal
from sources.ledger.queries import ledger_by_id
from sources.matching.bank_and_books import bank_and_books
from sources.mirror.payments import payment_by_id
from sources.mirror.queries import invoice_by_id, payroll_run_by_id

_DOCUMENT = ("ledger_id", "source", "external_id")


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


_LEDGER = Annotated[str, argument("The ledger's code.")]


@strawberry.type
class BankAndBooksQuery:
    @linked(
        "Money that is at the bank and not explained in the books, and what is in the books and not at the bank.",
        bank_and_books,
        scope=READ,
        size=50,
    )
    def bank_and_books(self, ledger: _LEDGER) -> BankAndBooks | None: ...
