"""Accounts and their balances: types, queries and mutations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import strawberry

from resolvers.context import Context
from resolvers.fields import (
    Leaf,
    Stability,
    argument,
    boolean,
    functional_money,
    graph_type,
    input_field,
    link,
    linked,
    money,
    text,
    word,
    written,
)
from resolvers.ledgers import ADMIN, READ, Ledger
from resolvers.nodes import KINDS, Node, NodeKind
from resolvers.paging import Connection, paged
from resolvers.results import ChangeRejected, describe_values, rejected
from resolvers.scalars import Date, Decimal
from sources.ledger import administration, model, queries, reports
from sources.ledger.model import AccountType, Side
from sources.pipeline import resolving
from sources.reading import Key, Results, Tagged, Want

strawberry.enum(AccountType, description="What an account holds.")
strawberry.enum(Side, description="One side of an entry.")
_MEANINGS = {
    "ASSET": "What is owned or receivable.",
    "LIABILITY": "What is owed.",
    "EQUITY": "What the owners hold.",
    "REVENUE": "What was earned.",
    "EXPENSE": "What was used up.",
    "DEBIT": "The left side; increases assets and expenses.",
    "CREDIT": "The right side; increases liabilities, equity and revenue.",
}
describe_values(AccountType, _MEANINGS)
describe_values(Side, _MEANINGS)

AsOf = Annotated[Date | None, argument("The last day that counts; absent: every posted line.")]


@graph_type("Totals of lines. net = debit - credit.", scope=READ, stability=Stability.NAMED)
class Balance:
    currency: str = word("The lines' currency.", "currency")
    debit: Decimal = money("Sum of debits.", "debit")
    credit: Decimal = money("Sum of credits.", "credit")
    net: Decimal = money("debit - credit.", "net")
    functional_net: Decimal = functional_money("The same lines, net in functional currency.", "functional_net")


@graph_type("An account of a ledger's chart.", scope=READ, stability=Stability.NAMED)
class Account(Node):
    id: strawberry.ID = written(
        "account:LEDGER:CODE", ("ledger_id", "code"), "quote('account:' + codes[{0}] + ':' + {1})"
    )
    ledger: Ledger = link("The ledger whose chart it is in.", queries.ledger_by_id, ("ledger_id",))
    code: str = text("Never changes; ids derive from it.", "code")
    name: str = text("Its name for people.", "name")
    type: AccountType = word("What it holds.", "type")
    normal_side: Side = word("By its type, unless the account is a contra account.", "normal_side")
    currency: str | None = word("The only currency it takes; null: any.", "currency")
    parent: Account | None = link("The account that it is part of.", queries.account_by_id, ("ledger_id", "parent_id"))
    active: bool = boolean("It takes new entries.", "active")

    @linked(
        "One row for each currency that has lines, as of the end of the day. Absent asOf: every posted line, "
        "future-dated ones included. A parent's balance excludes its children's. Revenue and expense accumulate until "
        "closing entries are posted.",
        reports.balances_of_accounts,
        ("ledger_id", "account_id"),
        stability=Stability.POSTED,
        size=2,
    )
    def balances(self, as_of: AsOf = strawberry.UNSET) -> list[Balance]: ...

    @linked(
        "Net in the ledger's functional currency, debit positive; asOf as in balances.",
        reports.functional_balance_of_accounts,
        ("ledger_id", "account_id"),
        stability=Stability.POSTED,
        value=Leaf(("net", "ledger_id"), "money({0}, functional[{1}])"),
    )
    def functional_balance(self, as_of: AsOf = strawberry.UNSET) -> Decimal: ...


KINDS["account"] = NodeKind("Account", READ, queries.account_by_code, lambda rest: rest or None)


@strawberry.input(description="Accounts that match all that is given.")
class AccountFilter:
    codes: list[str] | None = input_field("Any of these codes.")
    code_prefix: str | None = input_field("Codes that begin so.")
    types: list[AccountType] | None = input_field("Any of these types.")
    active: bool | None = input_field("Only active, or only inactive ones.")


@strawberry.input(description="A new account.")
class AccountInput:
    code: str = strawberry.field(description="At most 255 characters; never changes.")
    name: str = strawberry.field(description="Its name for people.")
    type: AccountType = strawberry.field(description="What it holds.")
    normal_side: Side | None = input_field("Absent: by its type.")
    currency: str | None = input_field("The only currency that it takes (ISO 4217); absent: any.")
    parent: str | None = input_field("Code of the account that it is part of; may be in the same input.")


@strawberry.input(description="All or none; an account that exists just so is a success.")
class CreateAccountsInput:
    ledger: str = strawberry.field(description="The ledger's code.")
    accounts: list[AccountInput] = strawberry.field(description="At most 1,000.")


@strawberry.input(description="Absent fields stay as they are.")
class UpdateAccountInput:
    ledger: str = strawberry.field(description="The ledger's code.")
    code: str = strawberry.field(description="The account's code.")
    name: str | None = input_field("Its new name.")
    active: bool | None = input_field("Whether it takes new entries.")
    parent: str | None = input_field("Code of its new parent; null: none.")


@strawberry.type(description="The accounts as they are now, in the input's order.")
class AccountsSaved:
    accounts: list[Account] = link("The accounts.", queries.accounts_by_codes, ("ledger_id", "account_codes"))


AccountsResult = Annotated[
    AccountsSaved | ChangeRejected,
    strawberry.union("AccountsResult", description="What became of a change to a chart."),
]


async def _saved(context: Context, outcome: Any, want: Want) -> Results:
    if isinstance(outcome, model.ChangeRejected):
        return {(): rejected("ChangeRejected", outcome.reasons, want)}
    await context.ledger(outcome.ledger.code)  # ids are written with its code, which this process may not have met yet
    if await resolving.look_at_accounts_again(context.services.database, outcome.ledger.ledger_id):
        context.services.wake_pipeline()
    values = {"ledger_id": outcome.ledger.ledger_id, "account_codes": tuple(outcome.codes)}
    return {(): Tagged("AccountsSaved", want.types["AccountsSaved"].row(values))}


async def create_accounts(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    given = args["input"]
    drafts = [
        model.AccountDraft(
            code=account["code"],
            name=account["name"],
            type=account["type"],
            normal_side=account.get("normalSide"),
            currency=account.get("currency"),
            parent=account.get("parent"),
        )
        for account in given["accounts"]
    ]
    outcome = await administration.create_accounts(
        context.services.database, context.caller, ledger=given["ledger"], accounts=drafts
    )
    return await _saved(context, outcome, want)


async def update_account(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    given = args["input"]
    changes = {name: given[name] for name in ("name", "active", "parent") if name in given}
    outcome = await administration.update_account(
        context.services.database, context.caller, ledger=given["ledger"], code=given["code"], **changes
    )
    return await _saved(context, outcome, want)


AccountConnection = Connection[Account]


@strawberry.type
class AccountQuery:
    @linked(
        "One account; null when there is none.",
        queries.account,
        by=("ledger", "code"),
        scope=READ,
        stability=Stability.POSTED,
        ledger="ledger",
    )
    def account(
        self,
        ledger: Annotated[str, argument("The ledger's code.")],
        code: Annotated[str, argument("The account's code.")],
    ) -> Account | None: ...

    @paged(
        "A ledger's chart, in order of code.", queries.accounts, scope=READ, stability=Stability.POSTED, ledger="ledger"
    )
    def accounts(
        self,
        ledger: Annotated[str, argument("The ledger's code.")],
        filter: Annotated[AccountFilter | None, argument("Which accounts.")] = strawberry.UNSET,
    ) -> AccountConnection | None: ...


@strawberry.type
class AccountMutation:
    @linked("Adds accounts to a chart: all or none.", create_accounts, scope=ADMIN, writes=True)
    def create_accounts(
        self,
        input: Annotated[CreateAccountsInput, argument("The accounts.")],
    ) -> AccountsResult | None: ...

    @linked("Renames, moves, closes or reopens an account.", update_account, scope=ADMIN, writes=True)
    def update_account(
        self,
        input: Annotated[UpdateAccountInput, argument("The change.")],
    ) -> AccountsResult | None: ...
