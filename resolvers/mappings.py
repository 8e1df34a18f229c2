"""Rules of ledgers: their versions, what they would post, and exchange rates."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import Enum
from typing import Annotated, Any

import strawberry

from resolvers.context import Context
from resolvers.documents import DocumentKind
from resolvers.entries import JournalEntry
from resolvers.fields import (
    argument,
    boolean,
    graph_type,
    input_field,
    integer,
    link,
    linked,
    nested,
    text,
    timestamp,
    word,
    written,
)
from resolvers.issues import ADMIN, DOCUMENT_ID, WRITE_DOCUMENT_ID
from resolvers.ledgers import READ as LEDGER_READ
from resolvers.ledgers import Ledger
from resolvers.paging import After, Before, Connection, First, Last, PageInfo
from resolvers.proposals import APPROVE, DraftEntry
from resolvers.results import ChangeRejected, rejected, unknown_ledger
from resolvers.scalars import Date, DateTime, Decimal
from resolvers.sources import READ
from sources.errors import Forbidden, InvalidArgument, NotFound
from sources.ledger.model import LedgerRef, Reason, RejectionCode
from sources.ledger.queries import entry_by_sequence, ledger_by_id
from sources.mapping.compiled import RuleSet
from sources.mapping.model import InvalidRules, MappedPosting
from sources.mapping.rates import DEFAULT_TYPE, Quote
from sources.mapping.rules import load
from sources.pipeline import queries, rates, resolving, rulesets, taking
from sources.pipeline.drafting import line_draft
from sources.pipeline.model import Key as DocumentKey
from sources.pipeline.preview import Change, Preview, list_keys, preview
from sources.pipeline.rate_files import checked as checked_rate
from sources.reading import Key, Order, Results, Row, Tagged, Want, checked, decode_cursor, encode_cursor

MAX_PREVIEWED = 200
MAX_RATES = 1_000
_PLACES = Order("preview", (("kind", "text"), ("source", "text"), ("account", "text"), ("external_id", "text")))


@graph_type("A version of a ledger's rules: it never changes.")
class MappingVersion:
    ledger: Ledger = link("The ledger that they are for.", ledger_by_id, ("ledger_id",))
    version: int = integer("1, 2, 3 …", "version")
    name: str = text("What they are called.", "name")
    active: bool = boolean("Documents are mapped by them from now on.", "active")
    created_at: DateTime = timestamp("When they were stored.", "created_at")
    created_by: str = text("Who stored them.", "created_by")
    text: str = text("The rules, TOML.", "text")


MappingVersionConnection = Connection[MappingVersion]


@strawberry.type(description="One mistake in rules.")
class MappingFault:
    file: str = text("The file: the rules' own, or that of the built-in ones.", "file")
    line: int = integer("Its line, from 1.", "line")
    key: str = text("The key, such as rules[2].postings[0].date; empty: none in particular.", "key")
    message: str = text("What is wrong.", "message")


@strawberry.type(description="The rules cannot be read: nothing was stored.")
class MappingInvalid:
    faults: list[MappingFault] = nested("Every mistake, in the order of the lines.", "faults")


@strawberry.type(description="The rules are stored.")
class MappingSaved:
    mapping: MappingVersion = link("Their version.", queries.mapping_by_version, ("ledger_id", "version"))


MappingResult = Annotated[
    MappingSaved | MappingInvalid | ChangeRejected,
    strawberry.union("MappingResult", description="What became of rules."),
]


@strawberry.input(description="Rules to store, or a stored version to make active: exactly one of text and version.")
class SaveMappingInput:
    ledger: str = strawberry.field(description="The ledger's code.")
    text: str | None = input_field("The rules, TOML; a text that is stored already keeps its version.")
    version: int | None = input_field("A stored version.")
    name: str | None = input_field('What new rules are called; absent: "rules.toml".')
    activate: bool = strawberry.field(
        default=False,
        description="true: documents are mapped by them from now on; what is posted stays. Needs mappings:approve besides.",
    )


# ---------------------------------------------------------------- previews


@strawberry.enum(description="How what rules call for relates to what is posted.")
class ChangeKind(Enum):
    SAME = strawberry.enum_value("SAME", description="The same is posted.")
    NEW = strawberry.enum_value("NEW", description="Nothing is posted.")
    OTHER = strawberry.enum_value("OTHER", description="Something else is posted.")
    GONE = strawberry.enum_value("GONE", description="Something is posted, and the rules call for nothing.")


@strawberry.enum(description="What a document would be under rules.")
class PreviewStatus(Enum):
    POSTED = strawberry.enum_value("POSTED", description="It has entries.")
    NOTHING = strawberry.enum_value("NOTHING", description="The rules say that it posts nothing.")
    BEFORE_CUTOVER = strawberry.enum_value("BEFORE_CUTOVER", description="It is dated before its source posts.")
    ISSUE = strawberry.enum_value("ISSUE", description="It cannot be mapped; what is posted would stand.")


@graph_type("One posting of a document under rules, beside what is posted.", scope=LEDGER_READ)
class PostingChange:
    posting: str = text("Its name in the rule.", "posting")
    change: ChangeKind = word("How the two relate.", "change")
    rule: str | None = text("The rule that calls for it.", "rule")
    posted: JournalEntry | None = link("What is posted.", entry_by_sequence, ("ledger_id", "sequence"))
    draft: DraftEntry | None = nested("What the rules call for.", "draft")


@graph_type("A document under rules.", scope=LEDGER_READ)
class DocumentPreview:
    source: str = text("The name of its source.", "source")
    document_kind: DocumentKind = word("Its kind.", "kind")
    document_id: strawberry.ID = written("Its id, for node.", DOCUMENT_ID, WRITE_DOCUMENT_ID)
    status: PreviewStatus = word("What it would be.", "status")
    code: str | None = text("Why it cannot be mapped, for programs.", "code")
    message: str | None = text("Why it cannot be mapped.", "message")
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


def _invalid(want: Want, fault: InvalidRules) -> Results:
    mine = want.types["MappingInvalid"]
    inner = mine.nested.get("faults", Want())
    return {(): Tagged("MappingInvalid", mine.row({"faults": [inner.row(asdict(each)) for each in fault.faults]}))}


async def load_preview(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    first, after = _preview_page(context, args)
    ref = await context.ledger(args["ledger"])
    try:
        rules = await _rules(context, ref, args)
    except InvalidRules as fault:
        return _invalid(want, fault)
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
        found = [each for each in found if each.finding is not None or not each.is_unchanged]
    mine = want.types["MappingPreview"]
    inner = mine.nested.get("documents", Want())
    start, end = (_cursor(shown[0]), _cursor(shown[-1])) if shown else (None, None)
    info = {"has_next": more, "has_previous": after is not None, "start": start, "end": end}
    values = {
        "documents": [_document_row(inner, ref, each) for each in found],
        "looked_at": len(shown),
        "page_info": mine.nested.get("page_info", Want()).row(info),
    }
    return {(): Tagged("MappingPreview", mine.row(values))}


def _preview_page(context: Context, args: Mapping[str, Any]) -> tuple[int, DocumentKey | None]:
    most = min(context.page_size, MAX_PREVIEWED)
    first = 50 if args.get("first") is None else args["first"]
    if not 0 <= first <= most:
        raise InvalidArgument(f"first must be between 0 and {most}")
    if args.get("after") is None:
        return min(first, most), None
    kind, source, account, external_id = decode_cursor(_PLACES, args["after"])
    return first, DocumentKey(source, kind, account, external_id)


def _cursor(key: DocumentKey) -> str:
    return encode_cursor(_PLACES, [key.kind, key.source, key.account, key.external_id])


async def _rules(context: Context, ref: LedgerRef, args: Mapping[str, Any]) -> RuleSet:
    """Raises InvalidRules, InvalidArgument and NotFound."""
    text, version = args.get("text"), args.get("version")
    if text is not None and version is not None:
        raise InvalidArgument("give either text or version, or neither for the version that is active")
    if text is not None:
        return await asyncio.to_thread(load, text)
    async with context.services.database.writer() as connection, connection.transaction():
        await taking.see(connection, ref.ledger_id)
        stored = (
            await rulesets.active(connection, ref.ledger_id)
            if version is None
            else await rulesets.read(connection, ref.ledger_id, version)
        )
    if stored is None:
        raise NotFound(f"the ledger {ref.code} has no active rules; give a text or a version")
    return await asyncio.to_thread(load, stored.text, stored.name)


def _document_row(want: Want, ref: LedgerRef, found: Preview) -> Row:
    key, finding = found.key, found.finding
    account = f"{key.account.replace('%', '%25').replace(':', '%3A')}:" if key.kind == "bank_transaction" else ""
    inner = want.nested.get("changes", Want())
    return want.row(
        {
            "source": key.source,
            "kind": key.kind.upper(),
            "document_kind": key.kind.replace("_", "-"),
            "ledger_id": ref.ledger_id,
            "document_rest": f"{key.source}:{account}{key.external_id}",
            "status": found.status.value,
            "code": finding and finding.code,
            "message": finding and finding.message,
            "hint": finding and finding.hint,
            "changes": [_change_row(inner, ref, each) for each in found.changes],
        }
    )


def _change_row(want: Want, ref: LedgerRef, found: Change) -> Row:
    posted, mapped = found.posted, found.mapped
    change = "SAME" if found.is_equal else "NEW" if posted is None else "GONE" if mapped is None else "OTHER"
    draft = want.nested.get("draft")
    return want.row(
        {
            "posting": found.name,
            "change": change,
            "rule": mapped and mapped.rule,
            "ledger_id": ref.ledger_id,
            "sequence": posted and posted.sequence,
            "draft": _draft_row(draft, ref, mapped) if mapped and draft else None,
        }
    )


def _draft_row(want: Want, ref: LedgerRef, mapped: MappedPosting) -> Row:
    lines = [line_draft(line, ref.functional_currency) for line in mapped.lines]
    stated = {
        "effective_date": mapped.effective_date.isoformat(),
        "document_date": mapped.document_date and mapped.document_date.isoformat(),
        "description": mapped.description,
        "journal": mapped.journal,
        "reference": mapped.reference,
        "lines": [{name: getattr(line, name) for name in line.__slots__} for line in lines],
    }
    return queries.draft_row(want, stated, ref.functional_currency)


# ---------------------------------------------------------------- changes


def approval(args: Mapping[str, Any]) -> tuple[str, ...]:
    """What activating rules demands besides."""
    return APPROVE if args["input"].get("activate") else ()


async def save_mapping(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    given = args["input"]
    body, version, activate = given.get("text"), given.get("version"), given["activate"]
    if (body is None) == (version is None):
        raise InvalidArgument("give either text or version")
    refs = await context.ledgers([given["ledger"]])
    reasons = [] if refs else [unknown_ledger(given["ledger"])]
    if refs and activate and given["ledger"] in context.services.ruled_by_files:
        message = (
            f"the rules of {given['ledger']} are those of the file that the gateway's settings name: change it there"
        )
        reasons.append(Reason(RejectionCode.FIXED_BY_SETTINGS, message, ("activate",)))
    if reasons:
        return {(): rejected("ChangeRejected", reasons, want)}
    name = given.get("name") or "rules.toml"
    try:
        if body is not None:
            await asyncio.to_thread(load, body, name)
        stored = await _store(context, refs[0], body, version, name, activate=activate)
    except InvalidRules as fault:
        return _invalid(want, fault)
    except NotFound as fault:
        return {(): rejected("ChangeRejected", [Reason(RejectionCode.NOT_FOUND, str(fault), ("version",))], want)}
    context.services.wake_pipeline()
    values = {"ledger_id": refs[0].ledger_id, "version": stored}
    return {(): Tagged("MappingSaved", want.types["MappingSaved"].row(values))}


async def _store(
    context: Context, ref: LedgerRef, body: str | None, version: int | None, name: str, *, activate: bool
) -> int:
    async with context.services.database.writer() as connection, connection.transaction():
        await taking.see(connection, ref.ledger_id)
        if body is not None:
            by = context.caller.subject
            version = (await rulesets.save(connection, ref.ledger_id, text=body, name=name, created_by=by)).version
        assert version is not None
        if activate:
            return (await rulesets.activate(connection, ref.ledger_id, version)).version
        return (await rulesets.read(connection, ref.ledger_id, version)).version


@strawberry.input(description="One unit of base is worth rate units of quote.")
class RateInput:
    base: str = strawberry.field(description="ISO 4217 code.")
    quote: str = strawberry.field(description="ISO 4217 code of another currency.")
    on: Date = strawberry.field(description="The day that it is of.")
    rate: Decimal = strawberry.field(description="Above 0, and below 10^12.")
    type: str | None = input_field('What it is good for; absent: "spot".')


@strawberry.input(description="Exchange rates; of a pair, type and day they replace what is stored.")
class SetRatesInput:
    rates: list[RateInput] = strawberry.field(description="At most 1,000.")
    source: str | None = input_field("Who says so; absent: the caller.")


@strawberry.type(description="The rates are stored; documents that waited for one are tried again.")
class RatesSaved:
    stated: int = integer("How many were given.", "stated")
    written: int = integer("How many of them are new, or other than before.", "written")


SetRatesResult = Annotated[
    RatesSaved | ChangeRejected, strawberry.union("SetRatesResult", description="What became of exchange rates.")
]


async def set_rates(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    given, services = args["input"], context.services
    if context.caller.ledgers is not None:
        raise Forbidden("exchange rates hold for every ledger: a token that lists its ledgers cannot set them")
    quotes, reasons = _quotes(given["rates"])
    source = given.get("source") or context.caller.subject
    if not reasons:
        try:
            async with services.database.writer() as connection:
                stored = await rates.set_rates(connection, quotes, source)
        except InvalidArgument as fault:
            reasons = [Reason(RejectionCode.INVALID_RATE, str(fault), ("rates",))]
    if reasons:
        return {(): rejected("ChangeRejected", reasons, want)}
    await resolving.look_again(services.database, [ref.ledger_id for ref in await services.directory.all()])
    services.wake_pipeline()
    values = {"stated": stored.stated, "written": stored.written}
    return {(): Tagged("RatesSaved", want.types["RatesSaved"].row(values))}


def _quotes(given: Sequence[Mapping[str, Any]]) -> tuple[list[Quote], list[Reason]]:
    if len(given) > MAX_RATES:
        message = f"at most {MAX_RATES:,} rates at once; send the others after them"
        return [], [Reason(RejectionCode.LIMIT_EXCEEDED, message, ("rates",))]
    quotes, reasons = [], []
    for at, each in enumerate(given):
        kind = DEFAULT_TYPE if each.get("type") is None else each["type"]
        try:
            quotes.append(checked_rate(each["base"], each["quote"], each["on"].isoformat(), each["rate"], kind))
        except InvalidArgument as fault:
            reasons.append(Reason(RejectionCode.INVALID_RATE, str(fault), ("rates", str(at))))
    return quotes, reasons


@strawberry.type
class MappingQuery:
    @linked("The versions of a ledger's rules, the newest first.", queries.mappings, scope=READ)
    def mappings(
        self,
        ledger: Annotated[str, argument("The ledger's code.")],
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
    ) -> MappingVersionConnection | None: ...

    @linked(
        "What rules would post for stored documents, beside what is posted; by the active rules, unless a text or another "
        "version is given.",
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


@strawberry.type
class MappingMutation:
    @linked(
        "Stores rules of a ledger, and makes them active if asked to.",
        save_mapping,
        scope=ADMIN,
        demand=approval,
        writes=True,
    )
    def save_mapping(self, input: Annotated[SaveMappingInput, argument("The rules.")]) -> MappingResult | None: ...

    @linked("Stores exchange rates, which hold for every ledger: all or none.", set_rates, scope=ADMIN, writes=True)
    def set_rates(self, input: Annotated[SetRatesInput, argument("The rates.")]) -> SetRatesResult | None: ...
