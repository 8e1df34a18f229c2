"""The stream of changes of integration issues."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Any

import strawberry

from resolvers.context import Context
from resolvers.documents import DocumentKind
from resolvers.fields import Stream, argument, graph_type, inline, input_field, streamed, written
from resolvers.issues import IntegrationIssue
from resolvers.sources import READ
from sources.feed import Position, position_of
from sources.ledger.model import LedgerRef
from sources.mirror.issue_feed import ISSUES, read_issues
from sources.reading import Row, Want


@strawberry.input(description="Issues that match all that is given, in whatever state.")
class IssueEventFilter:
    sources: list[str] | None = input_field("Of these sources.")
    codes: list[str] | None = input_field("Of these causes.")
    document_kinds: list[DocumentKind] | None = input_field("About documents of these kinds.")


@graph_type("An issue that changed, as it is now, with its place in the stream.", scope=READ)
class IssueEvent:
    cursor: str = written(
        "Pass it as `after` to go on behind this event.", ("revision", "digits"), "quote(cursor_of({0}, {1}))"
    )
    issue: IntegrationIssue = inline("The issue.")


async def start(context: Context, args: Mapping[str, Any]) -> tuple[LedgerRef, Position]:
    ledger = await context.ledger(args["ledger"])
    return ledger, await position_of(ISSUES, context, ledger, args.get("after"))


async def read(
    context: Context, ledger: LedgerRef, position: Position, reached: Position, want: Want, args: Mapping[str, Any]
) -> list[tuple[Row, Position]]:
    return await read_issues(context, ledger, position, reached, want, args.get("filter") or {})


@strawberry.type
class IssueSubscription:
    @streamed(
        "Every issue of a ledger that opens, says something else, is muted, or closes, as it is by then; one that changed "
        'several times meanwhile comes once. after: a cursor, or "0" for every issue that ever was; absent: from now on.',
        Stream(ISSUES, start, read, scope=READ),
    )
    async def integration_issues(
        self,
        ledger: Annotated[str, argument("The ledger's code.")],
        after: Annotated[str | None, argument('A cursor of this stream, or "0".')] = strawberry.UNSET,
        filter: Annotated[IssueEventFilter | None, argument("Which issues.")] = strawberry.UNSET,
    ) -> AsyncGenerator[IssueEvent, None]: ...
