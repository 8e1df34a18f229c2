"""Integration issues, runs of pulls, and what people do about sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from enum import Enum
from typing import Annotated, Any

import strawberry

from resolvers.context import Context
from resolvers.documents import DocumentKind, document_id
from resolvers.entries import DOCUMENTS
from resolvers.fields import (
    argument,
    graph_type,
    input_field,
    integer,
    link,
    linked,
    nested,
    text,
    timestamp,
    word,
)
from resolvers.ledgers import Ledger
from resolvers.paging import Connection, paged
from resolvers.results import ChangeRejected, not_found, refused, unknown_ledger
from resolvers.scalars import BigInt, DateTime
from resolvers.sources import READ, Freshness, Source, source_by_name
from sources.errors import NotFound
from sources.ledger.queries import ledger_by_id
from sources.mirror import logbook
from sources.mirror.freshness import Asking, visible_to
from sources.mirror.issues import IssueKey
from sources.mirror.settings import SourceSettings
from sources.pipeline import resolving
from sources.reading import Key, Results, Tagged, Want, checked

ADMIN = ("sources:admin",)


@strawberry.enum(description="Where an integration issue stands.")
class IssueState(Enum):
    OPEN = strawberry.enum_value("OPEN", description="It waits for somebody, or for its next attempt.")
    MUTED = strawberry.enum_value("MUTED", description="It is open, and bothers nobody until mutedUntil.")
    CLOSED = strawberry.enum_value("CLOSED", description="It was met no more: it closed by itself.")
    RESOLVED = strawberry.enum_value("RESOLVED", description="A person closed it.")


@graph_type(
    "Something that could not be fetched, read, mapped or posted: one for each cause and subject, closed by itself once it is "
    "met no more."
)
class IntegrationIssue:
    ledger: Ledger = link("The ledger that it is about.", ledger_by_id, ("ledger_id",))
    source: str = text("The source's name.", "source")
    code: str = text("The cause, for programs.", "code")
    subject: str = text("What it is about: a document's kind and ids, a file, a record.", "subject")
    state: IssueState = word("Where it stands.", "state")
    message: str = text("What is wrong.", "message")
    hint: str | None = text("What to do.", "hint")
    excerpt: str | None = text(
        "What helps to find the document, as JSON, without names of people. Needs the scopes of every kind of document.",
        "excerpt",
        scope=DOCUMENTS,
    )
    document_kind: DocumentKind | None = word("Kind of its document; null: it is about the source itself.", "kind")
    document_id: strawberry.ID | None = document_id("Id of its document, for node.")
    times: int = integer("How often it was met.", "times")
    attempts: int = integer("How often its document, or the record, was tried in vain since it opened.", "attempts")
    first_seen: DateTime = timestamp("When it was met first.", "first_seen")
    opened_at: DateTime = timestamp("When it was opened, the last time.", "opened_at")
    last_seen: DateTime = timestamp("When it was met last.", "last_seen")
    next_attempt_at: DateTime | None = timestamp(
        "When its document, or the record, is tried again by itself.", "next_attempt_at"
    )
    closed_at: DateTime | None = timestamp("When it was closed.", "closed_at")
    resolved_by: str | None = text("Who closed it; null: nobody did.", "resolved_by")
    note: str | None = text("What somebody noted when resolving or muting it.", "note")
    muted_until: DateTime | None = timestamp("It bothers nobody until then.", "muted_until")


@strawberry.input(description="Issues that match all that is given.")
class IntegrationIssueFilter:
    ledgers: list[str] | None = input_field("Of these ledgers; absent: of every ledger that the caller may see.")
    sources: list[str] | None = input_field("Of these sources; absent: of every source.")
    codes: list[str] | None = input_field("Of these causes.")
    document_kinds: list[DocumentKind] | None = input_field("About documents of these kinds.")
    states: list[IssueState] | None = input_field("In any of these states; absent: OPEN.")


@strawberry.enum(description="How a pull of a source went.")
class SyncRunState(Enum):
    RUNNING = strawberry.enum_value("RUNNING", description="It goes on.")
    SUCCEEDED = strawberry.enum_value("SUCCEEDED", description="It came to its end.")
    FAILED = strawberry.enum_value("FAILED", description="It was broken off; the next one goes on where it ended.")


@graph_type("A pull of a source. Pulls that find nothing within a minute of each other are told of as one.")
class SyncRun:
    source: str = text("The source's name.", "source")
    run_id: BigInt = integer("Its number.", "run_id")
    state: SyncRunState = word("How it went.", "state")
    started_at: DateTime = timestamp("When it began.", "started_at")
    finished_at: DateTime | None = timestamp("When it ended.", "finished_at")
    pages: int = integer("Pages that were read.", "pages")
    documents: BigInt = integer("Documents that the source stated.", "documents")
    changed: BigInt = integer("Documents that were new, or other than before.", "changed")
    deleted: BigInt = integer("Documents that the source has no more.", "deleted")
    problems: int = integer("Files or records that could not be read.", "problems")
    error: str | None = text("Why it was broken off.", "error")


IntegrationIssueConnection = Connection[IntegrationIssue]
SyncRunConnection = Connection[SyncRun]


async def load_issues(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    filter_ = args.get("filter") or {}
    codes = filter_.get("ledgers")
    refs = (
        await context.ledgers(None) if codes is None else [await context.ledger(code) for code in dict.fromkeys(codes)]
    )
    values = await logbook.issues(context, [ref.ledger_id for ref in refs], want, filter_, args)
    return {(): want.row(values)}


async def load_runs(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    settings = visible_source(context, args["source"])
    refs = await context.ledgers([settings.home])
    return {(): want.row(await logbook.sync_runs(context, [ref.ledger_id for ref in refs], settings.name, want, args))}


def visible_source(context: Context, name: str) -> SourceSettings:
    """A source that feeds a ledger of the caller's. Raises NotFound."""
    for each in context.services.refresher.configured:
        if each.name == name and visible_to(context.caller, each):
            return each
    raise NotFound(f"There is no source {name[:80]}; the field sources lists them.")


# ---------------------------------------------------------------- changes


@strawberry.type(description="The source was asked: freshness says with what success.")
class SourceSynced:
    source: Source = link("The source.", source_by_name, ("name",))
    freshness: Freshness = nested("How old its documents are now; while a long pull goes on, stale.", "freshness")


SyncSourceResult = Annotated[
    SourceSynced | ChangeRejected, strawberry.union("SyncSourceResult", description="What became of a pull.")
]


@strawberry.input(description="Names an issue.")
class IssueInput:
    ledger: str = strawberry.field(description="The ledger's code.")
    source: str = strawberry.field(description="The source's name.")
    code: str = strawberry.field(description="The issue's code.")
    subject: str = strawberry.field(description="The issue's subject.")


@strawberry.input(description="An issue that is dealt with.")
class ResolveIssueInput(IssueInput):
    note: str | None = input_field("What is worth knowing about it.")


@strawberry.input(description="An issue that is to bother nobody.")
class MuteIssueInput(IssueInput):
    until: DateTime | None = input_field("Until then; null: it bothers again from now on.")
    note: str | None = input_field("What is worth knowing about it.")


@strawberry.type(description="The issue as it is now.")
class IssueSaved:
    issue: IntegrationIssue = link("The issue.", logbook.issue_by_key, ("ledger_id", "source", "code", "subject"))


IssueResult = Annotated[
    IssueSaved | ChangeRejected, strawberry.union("IssueResult", description="What became of a change to an issue.")
]


async def sync_source(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    try:
        settings = visible_source(context, args["name"])
    except NotFound as fault:
        return refused([not_found(fault, "name")], want)
    answers = await context.services.refresher.ensure([settings.name], 0, asking=Asking(context.caller))
    context.services.wake_pipeline()
    found = answers[settings.name]
    as_of = found.as_of.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00") if found.as_of else None
    mine = want.types["SourceSynced"]
    told = {"source": found.source, "as_of": as_of, "stale": found.stale, "error": found.error}
    row = mine.nested["freshness"].row(told) if "freshness" in mine.nested else ()
    return {(): Tagged("SourceSynced", mine.row({"name": settings.name, "freshness": row}))}


async def _change_issue(context: Context, want: Want, given: Mapping[str, Any], *, mute: bool) -> Results:
    checked([given["source"], given["code"], given["subject"], given.get("note") or ""])
    refs = await context.ledgers([given["ledger"]])
    if not refs:
        return refused([unknown_ledger(given["ledger"])], want)
    database, ledger_id = context.services.database, refs[0].ledger_id
    issue = IssueKey(given["source"], given["code"], given["subject"])
    try:
        if mute:
            await resolving.mute_issue(database, ledger_id, issue, until=given.get("until"), note=given.get("note"))
        else:
            by = context.caller.subject
            await resolving.resolve_issue(database, ledger_id, issue, by=by, note=given.get("note"))
    except NotFound as fault:
        return refused([not_found(fault)], want)
    context.services.wake_pipeline()
    values = {"ledger_id": ledger_id, **issue._asdict()}
    return {(): Tagged("IssueSaved", want.types["IssueSaved"].row(values))}


async def resolve_issue(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    return await _change_issue(context, want, args["input"], mute=False)


async def mute_issue(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    return await _change_issue(context, want, args["input"], mute=True)


@strawberry.type
class IssueQuery:
    @paged("Integration issues, those that were opened last first.", load_issues, scope=READ)
    def integration_issues(
        self,
        filter: Annotated[IntegrationIssueFilter | None, argument("Which issues.")] = strawberry.UNSET,
    ) -> IntegrationIssueConnection | None: ...

    @paged("Pulls of a source within the last 30 days, the newest first.", load_runs, scope=READ)
    def sync_runs(
        self,
        source: Annotated[str, argument("The source's name.")],
    ) -> SyncRunConnection | None: ...


@strawberry.type
class IssueMutation:
    @linked(
        "Asks a source now for what has changed; waits for so long as a query would.",
        sync_source,
        scope=ADMIN,
        writes=True,
    )
    def sync_source(self, name: Annotated[str, argument("The source's name.")]) -> SyncSourceResult | None: ...

    @linked(
        "Closes an issue; its document is looked at again. A POSSIBLE_DUPLICATE or a THREE_WAY_MISMATCH that is resolved posts; a "
        "SOURCE_RENAMED source posts from its next pull on; what was submitted of a SUBMITTED_ELSEWHERE source counts as deleted where "
        "it would lie elsewhere; REVERSED_BY_HAND and REINSTATED_BY_HAND stay closed until something "
        "else is reversed. Every other issue opens again if its document still cannot be dealt with.",
        resolve_issue,
        scope=ADMIN,
        writes=True,
    )
    def resolve_issue(self, input: Annotated[ResolveIssueInput, argument("The issue.")]) -> IssueResult | None: ...

    @linked("Has an issue bother nobody for a time.", mute_issue, scope=ADMIN, writes=True)
    def mute_issue(self, input: Annotated[MuteIssueInput, argument("The issue.")]) -> IssueResult | None: ...
