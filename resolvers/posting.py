"""Posting: inputs, results and mutations of entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import strawberry

from resolvers.context import Context
from resolvers.entries import KEY, DimensionInput, JournalEntry
from resolvers.fields import argument, input_field, integer, link, linked, nested, text, written
from resolvers.results import RejectionReason, rejected
from resolvers.scalars import BigInt, Date, Decimal
from sources.errors import InvalidArgument
from sources.ledger import queries
from sources.ledger.model import (
    Conflict,
    EntryDraft,
    LedgerRef,
    LineDraft,
    Outcome,
    Posted,
    Reason,
    Rejected,
    RejectionCode,
    ReversalDraft,
)
from sources.reading import Key, Results, Tagged, Want

POST = ("ledger:post",)
MAX_ENTRIES = 1_000


@strawberry.input(
    description="Exactly one of debit and credit, never negative; functionalAmount (never negative) takes its side. "
    "Either amount may be zero, not both."
)
class LineInput:
    account: str = strawberry.field(description="Account code.")
    debit: Decimal | None = input_field("Amount of a debit.")
    credit: Decimal | None = input_field("Amount of a credit.")
    currency: str | None = input_field("Absent: the ledger's functional currency.")
    functional_amount: Decimal | None = input_field(
        "The amount in functional currency: required on a foreign-currency line; absent on others: the same amount."
    )
    description: str | None = input_field("What it is for; at most 1,000 characters.")
    tax_code: str | None = input_field("Code of the tax that it bears.")
    dimensions: list[DimensionInput] | None = input_field("At most 16.")


@strawberry.input(description="An entry to post.")
class PostEntryInput:
    ledger: str = strawberry.field(description="The ledger's code.")
    idempotency_key: str = strawberry.field(
        description="Yours, unique among the entries that clients post to the ledger, at most 255 characters, kept "
        "for ever."
    )
    effective_date: Date = strawberry.field(description="Accounting date.")
    document_date: Date | None = input_field("Date of the underlying document.")
    journal: str | None = input_field("Journal code.")
    description: str = strawberry.field(description="What it is for; at most 1,000 characters.")
    reference: str | None = input_field("Your own reference.")
    lines: list[LineInput] = strawberry.field(description="2 to 10,000.")


@strawberry.input(description="Entries to post.")
class PostEntriesInput:
    entries: list[PostEntryInput] = strawberry.field(description="At most 1,000.")
    atomic: bool = strawberry.field(default=False, description="true: all or none; all entries name one ledger.")


@strawberry.input(
    description="Never dated before the original; inactive accounts are accepted; a reversal can itself be reversed "
    "once."
)
class ReverseEntryInput:
    ledger: str = strawberry.field(description="The ledger's code.")
    sequence: BigInt = strawberry.field(description="Sequence of the entry to reverse.")
    idempotency_key: str = strawberry.field(description="As in PostEntryInput.")
    effective_date: Date = strawberry.field(description="Accounting date of the reversal.")
    description: str | None = input_field('Absent: "Reversal of entry N".')


async def posted_entry(context: Context, keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    """Entries that were just posted: their keys are known, so that asking for no more reads nothing."""
    if set(want.columns) <= set(KEY):
        return {key: want.row(dict(zip(KEY, key, strict=True))) for key in keys}
    return await queries.entry_by_sequence(context, keys, want, args)


@strawberry.type(description="The entry is in the books.")
class EntryPosted:
    entry: JournalEntry = link("The posted entry.", posted_entry, KEY)
    replayed: bool = written("The key was used before with the same body: this is that entry.", ("replayed",), "{0}")


@strawberry.type(description="Nothing was posted; all reasons at once.")
class EntryRejected:
    reasons: list[RejectionReason] = nested("Every reason.", "reasons")


@strawberry.type(description="The key was used before with another body; sequence is that entry's.")
class IdempotencyConflict:
    idempotency_key: str = text("The key.", "idempotency_key")
    message: str = text("What to do.", "message")
    sequence: BigInt = integer("Sequence of the entry that used the key.", "sequence")
    entry: JournalEntry | None = link("The entry that used the key.", queries.entry_by_sequence, KEY)


PostEntryResult = Annotated[
    EntryPosted | EntryRejected | IdempotencyConflict,
    strawberry.union("PostEntryResult", description="What became of an entry."),
]


@strawberry.type(description="What became of each entry, in the input's order.")
class PostEntriesPayload:
    results: list[PostEntryResult] = nested("One for each entry.", "results")


def _line(given: Mapping[str, Any]) -> LineDraft:
    return LineDraft(
        account=given["account"],
        debit=given.get("debit"),
        credit=given.get("credit"),
        currency=given.get("currency"),
        functional_amount=given.get("functionalAmount"),
        description=given.get("description"),
        tax_code=given.get("taxCode"),
        dimensions=tuple((item["name"], item["value"]) for item in given.get("dimensions") or ()),
    )


def _entry(given: Mapping[str, Any], ledger: LedgerRef, subject: str) -> EntryDraft:
    return EntryDraft(
        ledger=ledger,
        idempotency_key=given["idempotencyKey"],
        effective_date=given["effectiveDate"],
        document_date=given.get("documentDate"),
        journal=given.get("journal"),
        description=given["description"],
        reference=given.get("reference"),
        lines=tuple([_line(line) for line in given["lines"]]),
        posted_by=subject,
    )


def _unknown_ledger(code: str) -> Rejected:
    message = f"there is no ledger {code!r} that your token can see"
    return Rejected((Reason(RejectionCode.UNKNOWN_LEDGER, message, ("ledger",)),))


def _row(outcome: Outcome, want: Want) -> Tagged:
    match outcome:
        case Posted(ledger, sequence, replayed):
            values: dict[str, Any] = {
                "ledger_id": ledger.ledger_id,
                "sequence": sequence,
                "replayed": "true" if replayed else "false",
            }
            return Tagged("EntryPosted", want.types["EntryPosted"].row(values))
        case Rejected(reasons):
            return rejected("EntryRejected", reasons, want)
        case Conflict(ledger, key, sequence):
            message = (
                f"the key was used before with another body, by entry {sequence}: post with a new key, or repeat "
                "that entry's body to get it again"
            )
            values = {
                "ledger_id": ledger.ledger_id,
                "sequence": sequence,
                "idempotency_key": key,
                "message": message,
            }
            return Tagged("IdempotencyConflict", want.types["IdempotencyConflict"].row(values))


async def _post(context: Context, given: Sequence[Mapping[str, Any]], *, atomic: bool) -> list[Outcome]:
    refs = {ref.code: ref for ref in await context.ledgers({item["ledger"] for item in given})}
    outcomes: list[Outcome | None] = [
        None if item["ledger"] in refs else _unknown_ledger(item["ledger"]) for item in given
    ]
    if atomic and any(outcomes):
        refused = Rejected((Reason(RejectionCode.BATCH_REJECTED, "another entry of the atomic batch was refused", ()),))
        return [outcome or refused for outcome in outcomes]
    drafts = [_entry(item, refs[item["ledger"]], context.caller.subject) for item in given if item["ledger"] in refs]
    posted = iter(await context.services.poster.post(drafts, atomic=atomic))
    return [outcome or next(posted) for outcome in outcomes]


async def post_entry(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    return {(): _row((await _post(context, [args["input"]], atomic=False))[0], want)}


async def post_entries(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    given, atomic = args["input"]["entries"], args["input"]["atomic"]
    if len(given) > MAX_ENTRIES:
        raise InvalidArgument(f"entries takes at most {MAX_ENTRIES} entries; post the others in another request")
    if atomic and len({item["ledger"] for item in given}) > 1:
        raise InvalidArgument("all entries of an atomic batch must name one ledger")
    outcomes = await _post(context, given, atomic=atomic) if given else []
    inner = want.nested.get("results")
    return {(): want.row({"results": [_row(outcome, inner) for outcome in outcomes] if inner else []})}


async def reverse_entry(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    given = args["input"]
    found = await context.ledgers([given["ledger"]])
    if not found:
        return {(): _row(_unknown_ledger(given["ledger"]), want)}
    draft = ReversalDraft(
        ledger=found[0],
        idempotency_key=given["idempotencyKey"],
        sequence=given["sequence"],
        effective_date=given["effectiveDate"],
        description=given.get("description"),
        posted_by=context.caller.subject,
    )
    return {(): _row((await context.services.poster.post([draft]))[0], want)}


@strawberry.type
class PostingMutation:
    @linked("Posts an entry.", post_entry, scope=POST, writes=True)
    def post_entry(self, input: Annotated[PostEntryInput, argument("The entry.")]) -> PostEntryResult | None: ...

    @linked("Posts several entries.", post_entries, scope=POST, writes=True)
    def post_entries(
        self,
        input: Annotated[PostEntriesInput, argument("The entries.")],
    ) -> PostEntriesPayload | None: ...

    @linked("Posts the exact mirror of an entry, once.", reverse_entry, scope=POST, writes=True)
    def reverse_entry(
        self, input: Annotated[ReverseEntryInput, argument("The reversal.")]
    ) -> PostEntryResult | None: ...
