"""Payments: movements of accounts at payment processors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated, Any

import strawberry

from resolvers.context import Context
from resolvers.documents import Document
from resolvers.entries import JournalEntry
from resolvers.fields import argument, graph_type, input_field, link, money, nested, text, word, written
from resolvers.invoices import Party, parse_key
from resolvers.nodes import KINDS, Node, NodeId, NodeKind
from resolvers.paging import Connection, paged
from resolvers.scalars import Date, Decimal
from resolvers.sources import Freshness, MaxAge, freshness_rows, reach, refresh, refresh_source, sound
from sources.mirror import payments
from sources.mirror.links import entries_of_payments
from sources.reading import Failure, Key, Results, Want

READ = ("invoices:read",)
GIVES = "payment"
KEY = ("ledger_id", "source", "external_id")


@strawberry.enum(description="Why money moves at a payment processor.")
class PaymentType(Enum):
    PAYMENT = strawberry.enum_value("PAYMENT", description="A payer pays.")
    REFUND = strawberry.enum_value("REFUND", description="A payer gets money back.")
    FEE = strawberry.enum_value("FEE", description="The processor's own charge, where it belongs to no other payment.")
    DISPUTE = strawberry.enum_value("DISPUTE", description="A payer's bank takes money back, or returns it.")
    PAYOUT = strawberry.enum_value("PAYOUT", description="Money goes to the entity's bank.")
    TRANSFER = strawberry.enum_value("TRANSFER", description="Between accounts at the processor, and all else.")


@strawberry.enum(description="Where a payment stands.")
class PaymentStatus(Enum):
    PENDING = strawberry.enum_value("PENDING", description="The money has not moved for good.")
    SUCCEEDED = strawberry.enum_value("SUCCEEDED", description="It has moved.")
    FAILED = strawberry.enum_value("FAILED", description="It did not move, or came back.")
    CANCELED = strawberry.enum_value("CANCELED", description="It was given up before it moved.")


@graph_type(
    "A movement of an account at a payment processor: a charge, refund, fee, dispute or payout; or what a source that keeps books "
    "says was paid to or from a bank account itself. Amounts are those of the account; money in is positive.",
    scope=READ,
)
class Payment(Node, Document):
    id: strawberry.ID = written(
        "payment:LEDGER:SOURCE:ID", KEY, "quote('payment:' + codes[{0}] + ':' + {1} + ':' + {2})"
    )
    type: PaymentType = word("Why the money moves.", "type")
    status: PaymentStatus = word("Where it stands.", "status")
    source_status: str = text("The source's own word for it.", "source_status")
    currency: str = word("Currency of amount, fee and net: the account's.", "currency")
    amount: Decimal = money("What moves, before the fee.", "amount")
    fee: Decimal | None = money("What the processor keeps of it; null: not known.", "fee")
    net: Decimal | None = money("amount - fee: what the account's balance changes by; null: not known.", "net")
    presented_amount: Decimal | None = money(
        "What the payer paid or got, where that is another currency.", "presented_amount", "presented_currency"
    )
    presented_currency: str | None = word("The currency of presentedAmount.", "presented_currency")
    occurred_on: Date = word("When it moved.", "occurred_on")
    available_on: Date | None = word("From when on it can be paid out; of a payout, when it arrives.", "available_on")
    party: Party | None = nested("Who pays or is paid; null: the source does not tell.", "party")
    invoice_external_id: str | None = text("The source's id of the invoice that it settles.", "invoice_external_id")
    payout_external_id: str | None = text("The source's id of the payout that paid it out.", "payout_external_id")
    parent_external_id: str | None = text(
        "The source's id of the payment that it is about: of a refund or dispute.", "parent_external_id"
    )
    description: str | None = text("What it is for.", "description")
    reference: str | None = text("The processor's or the bank's reference.", "reference")
    bank_account: str | None = text(
        "The source's id of the bank account that a payout goes to, or that was paid to or from without a processor.",
        "bank_account",
    )
    entries: list[JournalEntry] | None = link(
        "Posted entries that came from this payment.", entries_of_payments, KEY, size=1
    )


@strawberry.type(description="A page of payments.")
class PaymentConnection(Connection[Payment]):
    freshness: list[Freshness] = nested("How old the documents of each source are.", "freshness")


@strawberry.input(description="Payments that match all that is given.")
class PaymentFilter:
    ledgers: list[str] | None = input_field("Of these ledgers; absent: of every ledger that the caller may see.")
    sources: list[str] | None = input_field("Of these sources; absent: of every source.")
    types: list[PaymentType] | None = input_field("Of these types.")
    statuses: list[PaymentStatus] | None = input_field("In any of these states.")
    occurred_from: Date | None = input_field("Moved on or after.")
    occurred_to: Date | None = input_field("Moved on or before.")
    invoice: str | None = input_field("Settling the invoice with this id of the source.")
    payout: str | None = input_field("Paid out by the payout with this id of the source.")


def _asked(args: Mapping[str, Any]) -> dict[str, Any]:
    return {**(args.get("filter") or {}), "maxAge": args.get("maxAge")}


async def prepare_payments(context: Context, _want: Want, args: Mapping[str, Any]) -> None:
    await refresh(context, GIVES, _asked(args))


async def load_payments(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    reached = await reach(context, GIVES, _asked(args))
    if isinstance(reached, Failure):
        return {(): reached}
    within, freshness = reached
    values = await payments.payments(context, within, want, args)
    return {(): want.row({**values, "freshness": freshness_rows(want, freshness)})}


async def load_payment(context: Context, keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    """Keys: (ledger_id, (source, external id))."""
    return await sound(context, payments.payment_by_id, keys, want, args)


async def prepare_payment(context: Context, _want: Want, args: Mapping[str, Any]) -> None:
    node: NodeId = args["id"]
    await refresh_source(context, GIVES, node.key[0])


KINDS["payment"] = NodeKind("Payment", READ, load_payment, parse_key, prepare_payment)


@strawberry.type
class PaymentQuery:
    @paged(
        "Movements of accounts at payment processors, newest first.",
        load_payments,
        scope=READ,
        prepare=prepare_payments,
    )
    def payments(
        self,
        filter: Annotated[PaymentFilter | None, argument("Which payments.")] = strawberry.UNSET,
        max_age: MaxAge = strawberry.UNSET,
    ) -> PaymentConnection | None: ...
