"""The trial balance."""

from __future__ import annotations

from typing import Annotated

import strawberry

from resolvers.accounts import Account
from resolvers.fields import Stability, argument, functional_money, graph_type, inline, integer, link, linked, nested
from resolvers.ledgers import READ, Ledger
from resolvers.scalars import BigInt, Date, Decimal
from sources.ledger import queries, reports


@graph_type(
    "In functional currency. opening and closing are net, debit positive; closing = opening + debit - credit.",
    scope=READ,
    stability=Stability.NAMED,
)
class TrialBalanceRow:
    account: Account = inline("The account.")
    opening: Decimal = functional_money("Net before the first day.", "opening")
    debit: Decimal = functional_money("Sum of debits.", "debit")
    credit: Decimal = functional_money("Sum of credits.", "credit")
    closing: Decimal = functional_money("Net after the last day.", "closing")


@graph_type("Every account that has moved, with its movements.", scope=READ, stability=Stability.POSTED)
class TrialBalance:
    ledger: Ledger = link("The ledger.", queries.ledger_by_id, ("ledger_id",))
    sequence: BigInt = integer("The ledger's sequence that this answer reflects.", "sequence")
    rows: list[TrialBalanceRow] = nested("In order of account code.", "rows")
    total_debit: Decimal = functional_money("Sum of all debits.", "total_debit")
    total_credit: Decimal = functional_money("Sum of all credits.", "total_credit")


@strawberry.type
class TrialBalanceQuery:
    @linked(
        "Movements from..to with opening and closing; absent from: since the beginning; absent to: every posted line, "
        "future-dated ones included.",
        reports.trial_balance,
        scope=READ,
        stability=Stability.POSTED,
        ledger="ledger",
        size=200,
    )
    def trial_balance(
        self,
        ledger: Annotated[str, argument("The ledger's code.")],
        from_: Annotated[Date | None, strawberry.argument(name="from", description="First day.")] = strawberry.UNSET,
        to: Annotated[Date | None, argument("Last day.")] = strawberry.UNSET,
    ) -> TrialBalance | None: ...
