"""Invoices of source systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated, Any

import strawberry

from resolvers.context import Context
from resolvers.documents import Document
from resolvers.entries import JournalEntry
from resolvers.fields import argument, graph_type, inline, input_field, link, money, nested, text, word, written
from resolvers.nodes import KINDS, Node, NodeId, NodeKind
from resolvers.paging import Connection, paged
from resolvers.scalars import Date, Decimal
from resolvers.sources import Freshness, MaxAge, freshness_rows, reach, refresh, refresh_source, sound
from sources.mirror import queries
from sources.mirror.links import entries_of_invoices
from sources.reading import Failure, Key, Results, Want

READ = ("invoices:read",)
GIVES = "invoice"
KEY = ("ledger_id", "source", "external_id")


@strawberry.enum(description="Who owes: a customer, or the ledger's entity.")
class InvoiceDirection(Enum):
    RECEIVABLE = strawberry.enum_value("RECEIVABLE", description="A customer owes it.")
    PAYABLE = strawberry.enum_value("PAYABLE", description="The ledger's entity owes it.")


@strawberry.enum(description="Which way an invoice counts.")
class InvoiceKind(Enum):
    INVOICE = strawberry.enum_value("INVOICE", description="It claims its total.")
    CREDIT_NOTE = strawberry.enum_value("CREDIT_NOTE", description="It gives its total back.")


@strawberry.enum(description="Where an invoice stands.")
class InvoiceStatus(Enum):
    DRAFT = strawberry.enum_value("DRAFT", description="Not issued yet.")
    PENDING_APPROVAL = strawberry.enum_value("PENDING_APPROVAL", description="Waits for someone's approval.")
    OPEN = strawberry.enum_value("OPEN", description="Issued, not wholly paid.")
    PAID = strawberry.enum_value("PAID", description="Nothing is due any more.")
    VOID = strawberry.enum_value("VOID", description="Withdrawn: it counts for nothing.")
    UNCOLLECTIBLE = strawberry.enum_value("UNCOLLECTIBLE", description="Written off.")
    UNKNOWN = strawberry.enum_value("UNKNOWN", description="The source says something else: see sourceStatus.")


@graph_type("The other side of a document.")
class Party:
    name: str = text("Its name.", "party_name")
    external_id: str | None = text("Its id in the source.", "party_external_id")
    tax_id: str | None = text("Its tax id.", "party_tax_id")


@graph_type("One tax of an invoice.")
class TaxAmount:
    code: str | None = text("The source's code of it.", "code")
    rate: Decimal | None = text("Per cent.", "rate")
    taxable: Decimal | None = money("What it is a part of.", "taxable")
    amount: Decimal = money("The tax.", "amount")
    account: str | None = text("Code of the account that a source that keeps books books it to itself.", "account")


@graph_type("One line of an invoice.")
class InvoiceLine:
    description: str | None = text("What it is for.", "description")
    quantity: Decimal | None = text("How many.", "quantity")
    amount: Decimal = money("Without tax.", "amount")
    tax: Decimal | None = money("Its tax.", "tax")
    tax_code: str | None = text("The source's code of its tax.", "tax_code")
    service_from: Date | None = word("First day of the service.", "service_from")
    service_to: Date | None = word("Last day of the service.", "service_to")
    product: str | None = text("Id or code, at the source, of what is sold or bought.", "product")
    account: str | None = text("Code of the account that a source that keeps books books it to itself.", "account")


@graph_type(
    "An invoice or credit note. Amounts as the document prints them, possibly negative; kind tells which way they count.",
    scope=READ,
)
class Invoice(Node, Document):
    id: strawberry.ID = written(
        "invoice:LEDGER:SOURCE:ID", KEY, "quote('invoice:' + codes[{0}] + ':' + {1} + ':' + {2})"
    )
    direction: InvoiceDirection = word("Who owes.", "direction")
    kind: InvoiceKind = word("Which way it counts.", "kind")
    number: str | None = text("As printed on it.", "number")
    status: InvoiceStatus = word("Where it stands.", "status")
    source_status: str = text("The source's own word for it.", "source_status")
    party: Party = inline("The customer or supplier.")
    currency: str = word("Currency of all its amounts.", "currency")
    issue_date: Date | None = word("When it was issued.", "issue_date")
    due_date: Date | None = word("When it is to be paid.", "due_date")
    subtotal: Decimal = money("Without tax.", "subtotal")
    tax: Decimal = money("All taxes.", "tax")
    taxes: list[TaxAmount] | None = nested("Its taxes one by one; null: the source does not give them.", "taxes")
    rounding: Decimal = money("What rounding adds to the total.", "rounding")
    total: Decimal = money("subtotal + tax + rounding.", "total")
    prepaid: Decimal = money("Paid before it was issued.", "prepaid")
    amount_due: Decimal = money("What is still to be paid.", "amount_due")
    lines: list[InvoiceLine] = nested("Its lines, in their order.", "lines")
    entries: list[JournalEntry] | None = link(
        "Posted entries that came from this invoice.", entries_of_invoices, KEY, size=1
    )


@strawberry.type(description="A page of invoices.")
class InvoiceConnection(Connection[Invoice]):
    freshness: list[Freshness] = nested("How old the documents of each source are.", "freshness")


@strawberry.input(description="Invoices that match all that is given.")
class InvoiceFilter:
    ledgers: list[str] | None = input_field("Of these ledgers; absent: of every ledger that the caller may see.")
    sources: list[str] | None = input_field("Of these sources; absent: of every source.")
    direction: InvoiceDirection | None = input_field("Of this direction.")
    kinds: list[InvoiceKind] | None = input_field("Of these kinds.")
    statuses: list[InvoiceStatus] | None = input_field("In any of these states.")
    issued_from: Date | None = input_field("Issued on or after.")
    issued_to: Date | None = input_field("Issued on or before.")


def _asked(args: Mapping[str, Any]) -> dict[str, Any]:
    return {**(args.get("filter") or {}), "maxAge": args.get("maxAge")}


async def prepare_invoices(context: Context, _want: Want, args: Mapping[str, Any]) -> None:
    await refresh(context, GIVES, _asked(args))


async def load_invoices(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    reached = await reach(context, GIVES, _asked(args))
    if isinstance(reached, Failure):
        return {(): reached}
    within, freshness = reached
    values = await queries.invoices(context, within, want, args)
    return {(): want.row({**values, "freshness": freshness_rows(want, freshness)})}


async def load_invoice(context: Context, keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    """Keys: (ledger_id, (source, external id))."""
    return await sound(context, queries.invoice_by_id, keys, want, args)


async def prepare_invoice(context: Context, _want: Want, args: Mapping[str, Any]) -> None:
    node: NodeId = args["id"]
    await refresh_source(context, GIVES, node.key[0])


def parse_key(rest: str) -> tuple[str, str] | None:
    """What follows the ledger in the id of a document: SOURCE:ID."""
    source, _, external_id = rest.partition(":")
    return (source, external_id) if source and external_id else None


KINDS["invoice"] = NodeKind("Invoice", READ, load_invoice, parse_key, prepare_invoice)


@strawberry.type
class InvoiceQuery:
    @paged(
        "Invoices, newest issue date first, those without one last.",
        load_invoices,
        scope=READ,
        prepare=prepare_invoices,
    )
    def invoices(
        self,
        filter: Annotated[InvoiceFilter | None, argument("Which invoices.")] = strawberry.UNSET,
        max_age: MaxAge = strawberry.UNSET,
    ) -> InvoiceConnection | None: ...
