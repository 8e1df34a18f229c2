"""What customers owe and suppliers are owed, on any day: open invoices and credit notes, and by party how long they are overdue."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any

import strawberry

from resolvers.context import Context
from resolvers.fields import argument, graph_type, integer, link, money, nested, text, word
from resolvers.invoices import GIVES, Invoice, InvoiceDirection
from resolvers.matching import READ, of_ledger
from resolvers.paging import Connection, paged
from resolvers.scalars import Date, Decimal
from resolvers.sources import Freshness, MaxAge, freshness_rows, reach, refresh
from sources.matching import open_items
from sources.mirror.queries import invoice_by_id
from sources.reading import Failure, Key, Results, Want

_DOCUMENT = ("ledger_id", "source", "external_id")
_ON_ACCOUNT = "Money of the party that settles no document yet, as overpaid or paid in advance: negative."
_UNEXPLAINED = (
    "What the control account has more, by entries of these documents and of what paid them; less: negative. Their source says that they "
    "are settled, and the books do not know by what; or they are not posted yet."
)
_BALANCE = (
    "open + onAccount + unexplained: what the control account has at the end of the day, but for entries by hand."
)


@graph_type("An invoice or credit note that is open on a day.", scope=READ)
class OpenItem:
    invoice: Invoice | None = link("The document; null: it is gone.", invoice_by_id, _DOCUMENT)
    party: str = text('The party\'s id in its source; "": it has none.', "party_id")
    party_name: str = text("Its name.", "party_name")
    currency: str = word("The currency.", "currency")
    open: Decimal = money("What is open; of a credit note negative.", "open")
    unexplained: Decimal = money(_UNEXPLAINED, "unexplained")
    due_on: Date = word("When it is due.", "due_on")
    days_overdue: int = integer("Days since then; negative: it is not due yet.", "overdue")


@graph_type("What is open of one party in one currency, by how long it is overdue.", scope=READ)
class PartyAgeing:
    party: str = text('The party\'s id in its source; "": those without one, together.', "party_id")
    party_name: str = text("Its name.", "party_name")
    currency: str = word("The currency.", "currency")
    documents: int = integer("How many documents are open.", "documents")
    open: Decimal = money("What is open; credit notes count negative.", "open")
    not_due: Decimal = money("Of that, not overdue.", "not_due")
    days_1_to_30: Decimal = money("1 to 30 days overdue.", "days_1_to_30")
    days_31_to_60: Decimal = money("31 to 60 days overdue.", "days_31_to_60")
    days_61_to_90: Decimal = money("61 to 90 days overdue.", "days_61_to_90")
    over_90: Decimal = money("More than 90 days overdue.", "over_90")
    on_account: Decimal = money(_ON_ACCOUNT, "on_account")
    unexplained: Decimal = money(_UNEXPLAINED, "unexplained")
    balance: Decimal = money(_BALANCE, "balance")


@graph_type("What is open of all parties in one currency, by how long it is overdue.", scope=READ)
class OpenAgeing:
    currency: str = word("The currency.", "currency")
    documents: int = integer("How many documents are open.", "documents")
    open: Decimal = money("What is open; credit notes count negative.", "open")
    not_due: Decimal = money("Of that, not overdue.", "not_due")
    days_1_to_30: Decimal = money("1 to 30 days overdue.", "days_1_to_30")
    days_31_to_60: Decimal = money("31 to 60 days overdue.", "days_31_to_60")
    days_61_to_90: Decimal = money("61 to 90 days overdue.", "days_61_to_90")
    over_90: Decimal = money("More than 90 days overdue.", "over_90")
    on_account: Decimal = money(_ON_ACCOUNT, "on_account")
    unexplained: Decimal = money(_UNEXPLAINED, "unexplained")
    balance: Decimal = money(_BALANCE, "balance")


@strawberry.type(description="A page of open items.")
class OpenItemConnection(Connection[OpenItem]):
    freshness: list[Freshness] = nested("How old the documents of each source of invoices are.", "freshness")


@strawberry.type(description="A page of what is open by party and currency.")
class PartyAgeingConnection(Connection[PartyAgeing]):
    totals: list[OpenAgeing] = nested("Of all parties of the list, not of the page alone, by currency.", "totals")
    freshness: list[Freshness] = nested("How old the documents of each source of invoices are.", "freshness")


async def prepare(context: Context, _want: Want, args: Mapping[str, Any]) -> None:
    await refresh(context, GIVES, of_ledger(args))


def _loader(load: Callable[..., Awaitable[dict[str, Any]]]) -> Any:
    """A resolver over a page of `sources.matching.open_items`, of today (UTC) where no day is stated."""

    async def resolve(context: Context, keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
        reached = await reach(context, GIVES, of_ledger(args))
        if isinstance(reached, Failure):
            return {(): reached}
        today: date = datetime.fromtimestamp(context.services.clock(), UTC).date()
        values = await load(context, keys, want, {**args, "asOf": args.get("asOf") or today})
        return {(): want.row({**values, "freshness": freshness_rows(want, reached[1])})}

    return resolve


load_open_items = _loader(open_items.open_items)
load_ageing = _loader(open_items.ageing)


_LEDGER = Annotated[str, argument("The ledger's code.")]
_DIRECTION = Annotated[InvoiceDirection, argument("What customers owe (RECEIVABLE), or what is owed to suppliers.")]
_AS_OF = Annotated[Date | None, argument("The day; absent: today, UTC.")]
_PARTY = Annotated[str | None, argument("Of the party with this id in its source.")]
_CURRENCY = Annotated[str | None, argument("In this currency.")]


@strawberry.type
class OpenItemQuery:
    @paged(
        "Invoices and credit notes that are open on a day, those due first before the others.",
        load_open_items,
        scope=READ,
        prepare=prepare,
    )
    def open_items(
        self,
        ledger: _LEDGER,
        direction: _DIRECTION,
        as_of: _AS_OF = strawberry.UNSET,
        party: _PARTY = strawberry.UNSET,
        currency: _CURRENCY = strawberry.UNSET,
        overdue_by: Annotated[
            int | None, argument("By at least so many days; 0: due on the day, or before.")
        ] = strawberry.UNSET,
        unexplained: Annotated[
            bool | None,
            argument("true: those of which the control account has more, or less, whether they are open or not."),
        ] = strawberry.UNSET,
        max_age: MaxAge = strawberry.UNSET,
    ) -> OpenItemConnection | None: ...

    @paged(
        "What is open on a day by party and currency, and since when it is overdue.",
        load_ageing,
        scope=READ,
        prepare=prepare,
    )
    def open_items_by_party(
        self,
        ledger: _LEDGER,
        direction: _DIRECTION,
        as_of: _AS_OF = strawberry.UNSET,
        party: _PARTY = strawberry.UNSET,
        currency: _CURRENCY = strawberry.UNSET,
        max_age: MaxAge = strawberry.UNSET,
    ) -> PartyAgeingConnection | None: ...
