"""The stream of postings."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Any

import strawberry

from resolvers.context import Context
from resolvers.entries import JournalEntry
from resolvers.fields import Stream, argument, graph_type, inline, input_field, streamed, written
from resolvers.ledgers import READ
from resolvers.scalars import Decimal
from sources.feed import Position, position_of
from sources.ledger.feed import POSTINGS, read_postings
from sources.ledger.model import LedgerRef
from sources.reading import Row, Want


@strawberry.input(description="Postings that match all that is given.")
class PostingFilter:
    account_codes: list[str] | None = input_field("Entries with a line on any of these accounts.")
    sources: list[str] | None = input_field("From any of these sources.")
    min_total: Decimal | None = input_field("With at least this total, in functional currency.")


@graph_type("A posted entry with its place in the stream.", scope=READ)
class PostingEvent:
    cursor: str = written(
        "Pass it as `after` to go on behind this event.",
        ("sequence", "digits"),
        "quote(cursor_of({0}, {1}))",
    )
    entry: JournalEntry = inline("The entry.")


async def start(context: Context, args: Mapping[str, Any]) -> tuple[LedgerRef, Position]:
    ledger = await context.ledger(args["ledger"])
    return ledger, await position_of(POSTINGS, context, ledger, args.get("after"))


async def read(
    context: Context, ledger: LedgerRef, position: Position, reached: Position, want: Want, args: Mapping[str, Any]
) -> list[tuple[Row, Position]]:
    return await read_postings(context, ledger, position, reached, want, args.get("filter") or {})


@strawberry.type
class PostingSubscription:
    @streamed(
        'Every entry posted to a ledger, in sequence order. after: a cursor, or "0" for the beginning; absent: from '
        "now on.",
        Stream(POSTINGS, start, read, scope=READ),
    )
    async def postings(
        self,
        ledger: Annotated[str, argument("The ledger's code.")],
        after: Annotated[str | None, argument('A cursor of this ledger, or "0".')] = strawberry.UNSET,
        filter: Annotated[PostingFilter | None, argument("Which postings.")] = strawberry.UNSET,
    ) -> AsyncGenerator[PostingEvent, None]: ...
