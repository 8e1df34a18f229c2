"""What bank transactions are about: matches that were found or are proposed, open items, and what people decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated, Any

import strawberry

from resolvers.cash import GIVES, BankTransaction
from resolvers.context import Context
from resolvers.documents import document_id
from resolvers.fields import (
    argument,
    boolean,
    graph_type,
    integer,
    link,
    money,
    nested,
    text,
    timestamp,
    word,
)
from resolvers.ledgers import Ledger
from resolvers.paging import Connection, paged
from resolvers.scalars import BigInt, Date, DateTime, Decimal
from resolvers.sources import Freshness, MaxAge, freshness_rows, reach, refresh
from sources.ledger.queries import ledger_by_id
from sources.matching import queries
from sources.mirror.transactions import transaction_by_id
from sources.reading import Failure, Key, Results, Want

READ = ("cash:read", "invoices:read")
APPROVE = ("matches:approve", *READ)
MAX_ALLOCATIONS = 1_000
_TRANSACTION = ("ledger_id", "source", "account", "external_id")
_DOCUMENT = ("ledger_id", "source", "external_id")


@strawberry.enum(description="Where a match stands.")
class MatchStatus(Enum):
    CERTAIN = strawberry.enum_value("CERTAIN", description="Found without doubt, and posted.")
    PROPOSED = strawberry.enum_value("PROPOSED", description="It waits for a person; nothing of it is posted.")
    CONFIRMED = strawberry.enum_value("CONFIRMED", description="A person confirmed or made it; it is posted.")
    REJECTED = strawberry.enum_value("REJECTED", description="A person rejected or undid it; it is not made again.")
    WITHDRAWN = strawberry.enum_value(
        "WITHDRAWN", description="What it was about changed, or something else was found."
    )


@strawberry.enum(description="What a part of a transaction's money is.")
class AllocationKind(Enum):
    INVOICE = strawberry.enum_value("INVOICE", description="It settles an invoice, bill or credit note.")
    PAYMENT = strawberry.enum_value("PAYMENT", description="It is a payout of a payment processor.")
    PAYROLL_RUN = strawberry.enum_value("PAYROLL_RUN", description="It pays a payroll run.")
    BANK_TRANSACTION = strawberry.enum_value(
        "BANK_TRANSACTION", description="It is the other side of a transfer, or came back."
    )
    FEE = strawberry.enum_value("FEE", description="The bank kept it.")
    WRITE_OFF = strawberry.enum_value("WRITE_OFF", description="Nobody pays it any more.")
    ON_ACCOUNT = strawberry.enum_value("ON_ACCOUNT", description="It stays with the party: too much, or in advance.")
    ACCOUNT = strawberry.enum_value("ACCOUNT", description="It goes to an account of the ledger.")


@strawberry.enum(description="What a person taught.")
class MatchingRuleType(Enum):
    PAYER = strawberry.enum_value("PAYER", description="Who pays for a party.")
    ACCOUNT = strawberry.enum_value("ACCOUNT", description="Which ledger account a text means.")
    NEVER = strawberry.enum_value("NEVER", description="What a transaction is not about.")


@graph_type("A clue, and what it counts for.", scope=READ)
class MatchReason:
    code: str = text("For programs; more may come.", "code")
    points: int = integer("Points that it adds to the score, or takes off.", "points")
    message: str = text("A sentence, without names of people.", "message")


@graph_type("A part of a match.", scope=READ)
class MatchAllocation:
    kind: AllocationKind = word("What it is.", "kind")
    document_id: strawberry.ID | None = document_id("Id of the document, for node; null: it is about none.")
    number: str | None = text("The document's number.", "number")
    ledger_account: str | None = text("Code of the ledger account that it goes to.", "ledger_account")
    party: str | None = text("The party's id in its source.", "party")
    amount: Decimal = money("Of the document, in its currency; signed as the money moves.", "amount")
    currency: str = word("The document's currency.", "currency")
    bank_amount: Decimal = money("Of the transaction's money.", "bank_amount", "bank_currency")


@graph_type("What a bank transaction is about, as far as was found.", scope=READ)
class BankMatch:
    match_id: BigInt = integer("Its number within the ledger.", "match_id")
    ledger: Ledger = link("The ledger.", ledger_by_id, ("ledger_id",))
    transaction: BankTransaction | None = link("The transaction; null: it is gone.", transaction_by_id, _TRANSACTION)
    status: MatchStatus = word("Where it stands.", "status")
    score: int = integer("0 to 100: the sum of its reasons' points.", "score")
    reasons: list[MatchReason] = nested("Why, in words.", "reasons")
    allocations: list[MatchAllocation] = nested("Its parts.", "allocations")
    rule_id: BigInt | None = integer("The rule that decided; null: none did.", "rule_id")
    created_at: DateTime = timestamp("When it was found.", "created_at")
    decided_at: DateTime | None = timestamp("When it was decided.", "decided_at")
    decided_by: str | None = text("Who decided.", "decided_by")


@graph_type("A booked bank transaction of which something is not matched.", scope=READ)
class OpenBankTransaction:
    transaction: BankTransaction | None = link("The transaction; null: it is gone.", transaction_by_id, _TRANSACTION)
    dated: Date = word("The day by which it counts.", "dated")
    open: Decimal = money("What of it is not matched; money in is positive.", "open")
    currency: str = word("Its currency.", "currency")
    proposals: list[BankMatch] = link(
        "What it may be about, the best first.", queries.proposals_of, _TRANSACTION, size=2
    )


@graph_type("What a person's decision taught, until it is removed.", scope=READ)
class MatchingRule:
    rule_id: BigInt = integer("Its number within the ledger.", "rule_id")
    type: MatchingRuleType = word("What it says.", "type")
    payer_account: str | None = text("PAYER: who pays from this account …", "payer_account")
    payer_name: str | None = text("PAYER: … or by this name …", "payer_name")
    party: str | None = text("PAYER: … is this party, by the words of its name in alphabetical order.", "party")
    pattern: str | None = text("ACCOUNT: what has all of these words …", "pattern")
    money_in: bool | None = boolean("ACCOUNT: … and moves this way …", "money_in")
    ledger_account: str | None = text("ACCOUNT: … goes to this ledger account.", "ledger_account")
    match: BankMatch | None = link(
        "The match that taught it. NEVER: its transaction is not about its documents.",
        queries.match_by_id,
        ("ledger_id", "match_id"),
    )
    created_at: DateTime = timestamp("Since when it holds.", "created_at")
    created_by: str = text("Whose decision it is.", "created_by")
    removed_at: DateTime | None = timestamp("When it was removed; null: it holds.", "removed_at")
    removed_by: str | None = text("Who removed it.", "removed_by")


BankMatchConnection = Connection[BankMatch]
MatchingRuleConnection = Connection[MatchingRule]


@strawberry.type(description="A page of bank transactions of which something is not matched.")
class OpenBankTransactionConnection(Connection[OpenBankTransaction]):
    freshness: list[Freshness] = nested("How old the documents of each source of bank statements are.", "freshness")


def of_ledger(args: Mapping[str, Any]) -> dict[str, Any]:
    """What a field about one ledger asks of its sources."""
    return {"ledgers": [args["ledger"]], "maxAge": args.get("maxAge")}


async def prepare(context: Context, _want: Want, args: Mapping[str, Any]) -> None:
    await refresh(context, GIVES, of_ledger(args))


async def load_unmatched(context: Context, keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    reached = await reach(context, GIVES, of_ledger(args))
    if isinstance(reached, Failure):
        return {(): reached}
    values = await queries.unmatched_transactions(context, keys, want, args)
    return {(): want.row({**values, "freshness": freshness_rows(want, reached[1])})}


_LEDGER = Annotated[str, argument("The ledger's code.")]


@strawberry.type
class MatchingQuery:
    @paged("Matches of bank transactions, those that wait longest first.", queries.match_proposals, scope=READ)
    def match_proposals(
        self,
        ledger: _LEDGER,
        states: Annotated[list[MatchStatus] | None, argument("In these states; absent: PROPOSED.")] = strawberry.UNSET,
        least_score: Annotated[int | None, argument("With at least this score.")] = strawberry.UNSET,
    ) -> BankMatchConnection | None: ...

    @paged(
        "Booked bank transactions of which something is not matched, the oldest first.",
        load_unmatched,
        scope=READ,
        prepare=prepare,
    )
    def unmatched_transactions(
        self,
        ledger: _LEDGER,
        from_: Annotated[Date | None, strawberry.argument(name="from", description="First day.")] = strawberry.UNSET,
        to: Annotated[Date | None, argument("Last day.")] = strawberry.UNSET,
        currency: Annotated[str | None, argument("In this currency.")] = strawberry.UNSET,
        max_age: MaxAge = strawberry.UNSET,
    ) -> OpenBankTransactionConnection | None: ...

    @paged("What people's decisions about matches taught, the oldest first.", queries.matching_rules, scope=READ)
    def matching_rules(
        self,
        ledger: _LEDGER,
        removed: Annotated[bool | None, argument("true: those that were removed too.")] = strawberry.UNSET,
    ) -> MatchingRuleConnection | None: ...
