"""What rules would post for stored documents, beside what is posted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated, Any

import strawberry

from resolvers.context import Context
from resolvers.documents import DocumentKind, document_id, named_by
from resolvers.entries import JournalEntry
from resolvers.fields import argument, graph_type, integer, link, linked, nested, text, word
from resolvers.ledgers import READ as LEDGER_READ
from resolvers.mappings import MappingInvalid, invalid
from resolvers.paging import After, PageInfo, first_after, info_row
from resolvers.proposals import DraftEntry
from resolvers.scalars import Date
from resolvers.sources import READ
from sources.errors import InvalidArgument, NotFound
from sources.ledger.model import EntryDraft, LedgerRef
from sources.ledger.queries import entry_by_sequence
from sources.mapping.compiled import RuleSet
from sources.mapping.model import InvalidRules
from sources.pipeline import queries, rulesets, taking
from sources.pipeline.model import Key as DocumentKey
from sources.pipeline.preview import Change, Preview, list_keys, preview
from sources.reading import Key, Order, Results, Row, Tagged, Want, checked

MAX_PREVIEWED = 200
_PLACES = Order("preview", (("kind", "text"), ("source", "text"), ("account", "text"), ("external_id", "text")))


@strawberry.enum(description="How what rules call for relates to what is posted.")
class ChangeKind(Enum):
    SAME = strawberry.enum_value("SAME", description="The same is posted.")
    NEW = strawberry.enum_value("NEW", description="Nothing is posted.")
    OTHER = strawberry.enum_value("OTHER", description="Something else is posted.")
    GONE = strawberry.enum_value("GONE", description="Something is posted, and the rules call for nothing.")


@strawberry.enum(description="What would become of a document, were it posted anew by rules.")
class PreviewStatus(Enum):
    POSTS = strawberry.enum_value("POSTS", description="Entries are posted; what is posted of it stands.")
    UNCHANGED = strawberry.enum_value("UNCHANGED", description="Nothing: just what the rules call for is posted.")
    REPLACES = strawberry.enum_value("REPLACES", description="What is posted is reversed, and posted anew.")
    REVERSES = strawberry.enum_value("REVERSES", description="What is posted is reversed.")
    HELD = strawberry.enum_value(
        "HELD",
        description="It waits, and what is posted stands; the code says for what: BEFORE_CUTOVER, PROPOSED (for approval), "
        "REJECTED (its proposal was), or the code of the issue that it has, such as POSSIBLE_DUPLICATE.",
    )
    NOTHING = strawberry.enum_value(
        "NOTHING", description="It calls for nothing: the rules say so (NO_POSTINGS), or it is gone (DELETED)."
    )
    ISSUE = strawberry.enum_value(
        "ISSUE", description="It cannot be mapped, or the ledger would refuse it; what is posted stands."
    )


@graph_type("One posting of a document under rules, beside what is posted.", scope=LEDGER_READ)
class PostingChange:
    posting: str = text("Its name in the rule.", "posting")
    change: ChangeKind = word("How the two relate.", "change")
    rule: str | None = text("The rule that calls for it.", "rule")
    posted: JournalEntry | None = link("What is posted.", entry_by_sequence, ("ledger_id", "sequence"))
    draft: DraftEntry | None = nested("What the rules call for, with the date that it would get.", "draft")
    moved_from: Date | None = word(
        "The date of its own, where the entry would be dated later: that lies in a locked period, or the books hold an earlier "
        "entry of the posting from then until its reversal.",
        "moved_from",
    )
    reversal_date: Date | None = word("The date of the reversal of what is posted.", "reversed_on")


@graph_type("A document under rules.", scope=LEDGER_READ)
class DocumentPreview:
    source: str = text("The name of its source.", "source")
    document_kind: DocumentKind = word("Its kind.", "kind")
    document_id: strawberry.ID = document_id("Its id, for node.")
    status: PreviewStatus = word("What would become of it.", "status")
    code: str | None = text("Why it is held, calls for nothing or has an issue, for programs; else null.", "code")
    message: str | None = text("The same as a sentence.", "message")
    hint: str | None = text("What to do about it.", "hint")
    changes: list[PostingChange] = nested("Its postings that are posted or called for.", "changes")


@strawberry.type(description="What rules would post for stored documents, beside what is posted. Nothing is changed.")
class MappingPreview:
    documents: list[DocumentPreview] = nested("Documents, in order of kind, source and id.", "documents")
    looked_at: int = integer("How many documents this page looked at.", "looked_at")
    page_info: PageInfo = nested("Where the page stands among all documents.", "page_info")


PreviewMappingResult = Annotated[
    MappingPreview | MappingInvalid,
    strawberry.union("PreviewMappingResult", description="What rules would post."),
]


async def load_preview(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    first, place = first_after(args, _PLACES, min(context.page_size, MAX_PREVIEWED))
    after = _key(place) if place is not None else None
    ref = await context.ledger(args["ledger"])
    try:
        rules = await _rules(context, ref, args)
    except InvalidRules as fault:
        return invalid(want, fault)
    kind = args.get("kind")
    keys = await list_keys(
        context.services.database,
        ref.ledger_id,
        source=checked(args.get("source")),
        kind=str(getattr(kind, "value", kind)).lower() if kind is not None else None,
        after=after,
        first=first + 1,
    )
    shown, more = keys[:first], len(keys) > first
    found = await preview(context.services.database, ref.ledger_id, rules, shown)
    if args.get("changesOnly"):
        found = [each for each in found if not each.is_unchanged]
    mine = want.types["MappingPreview"]
    inner = mine.nested.get("documents", Want())
    places = [_place(each) for each in shown]
    values = {
        "documents": [_document_row(inner, ref, each) for each in found],
        "looked_at": len(shown),
        "page_info": info_row(mine, _PLACES, places, has_next=more, has_previous=after is not None),
    }
    return {(): Tagged("MappingPreview", mine.row(values))}


def _place(key: DocumentKey) -> tuple[str, ...]:
    return key.kind, key.source, key.account, key.external_id


def _key(place: Sequence[str]) -> DocumentKey:
    kind, source, account, external_id = place
    return DocumentKey(source, kind, account, external_id)


async def _rules(context: Context, ref: LedgerRef, args: Mapping[str, Any]) -> RuleSet:
    """Raises InvalidRules, InvalidArgument and NotFound."""
    text, version = args.get("text"), args.get("version")
    if text is not None and version is not None:
        raise InvalidArgument("give either text or version, or neither for the version that is active")
    if text is not None:
        return await context.services.rules.load(text)
    async with context.services.database.writer() as connection, connection.transaction():
        await taking.see(connection, ref.ledger_id)
        stored = (
            await rulesets.active(connection, ref.ledger_id)
            if version is None
            else await rulesets.read(connection, ref.ledger_id, version)
        )
    if stored is None:
        raise NotFound(f"the ledger {ref.code} has no active rules; give a text or a version")
    return await context.services.rules.load(stored.text, stored.name, stored.starter)


def _document_row(want: Want, ref: LedgerRef, found: Preview) -> Row:
    key, finding = found.key, found.finding
    inner = want.nested.get("changes", Want())
    return want.row(
        {
            **named_by(key, ref.ledger_id),
            "source": key.source,
            "status": found.verdict.value,
            "code": finding and finding.code,
            "message": finding and finding.message,
            "hint": finding and finding.hint,
            "changes": [_change_row(inner, ref, each) for each in found.changes],
        }
    )


def _change_row(want: Want, ref: LedgerRef, found: Change) -> Row:
    posted, mapped = found.posted, found.mapped
    change = "SAME" if found.is_equal else "NEW" if posted is None else "GONE" if mapped is None else "OTHER"
    draft, moved, reversal = want.nested.get("draft"), found.moved_from, found.reversed_on
    return want.row(
        {
            "posting": found.name,
            "change": change,
            "rule": mapped and mapped.rule,
            "ledger_id": ref.ledger_id,
            "sequence": posted and posted.sequence,
            "draft": _draft_row(draft, ref, found.draft) if found.draft and draft else None,
            "moved_from": moved and moved.isoformat(),
            "reversed_on": reversal and reversal.isoformat(),
        }
    )


def _draft_row(want: Want, ref: LedgerRef, draft: EntryDraft) -> Row:
    stated = {
        "effective_date": draft.effective_date.isoformat(),
        "document_date": draft.document_date and draft.document_date.isoformat(),
        "description": draft.description,
        "journal": draft.journal,
        "reference": draft.reference,
        "lines": [{name: getattr(line, name) for name in line.__slots__} for line in draft.lines],
    }
    return queries.draft_row(want, stated, ref.functional_currency)


@strawberry.type
class PreviewQuery:
    @linked(
        "What would become of stored documents, were they posted anew by the active rules, a stored version or a text, beside "
        "what is posted. Rules that become active change nothing that is posted: repostDocuments does.",
        load_preview,
        scope=READ,
    )
    def preview_mapping(
        self,
        ledger: Annotated[str, argument("The ledger's code.")],
        text: Annotated[str | None, argument("Rules, TOML.")] = strawberry.UNSET,
        version: Annotated[int | None, argument("A stored version.")] = strawberry.UNSET,
        source: Annotated[str | None, argument("Documents of this source alone.")] = strawberry.UNSET,
        kind: Annotated[DocumentKind | None, argument("Documents of this kind alone.")] = strawberry.UNSET,
        changes_only: Annotated[
            bool | None, argument("true: without documents for which nothing would change.")
        ] = strawberry.UNSET,
        first: Annotated[int | None, argument("So many documents; 50 when absent, at most 200.")] = strawberry.UNSET,
        after: After = strawberry.UNSET,
    ) -> PreviewMappingResult | None: ...
