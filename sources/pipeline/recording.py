"""What a run did, recorded in its transaction: documents, postings, links, proposals, issues, and what is no longer to do.

One statement for each table. A document that changed again meanwhile stays to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from sources.matching import todo as matching_todo
from sources.matching.model import ItemKey
from sources.mirror import issues
from sources.mirror.issues import DocumentIssue
from sources.pipeline import todo
from sources.pipeline.model import DocumentStatus, Finding, Making, Plan, Posting, PostingStatus
from sources.pipeline.settling import Step
from sources.pipeline.taking import Work, columns_of
from sources.pipeline.todo import Taken

if TYPE_CHECKING:
    from sources.database.pool import Connection

FAILED_CODE: Final = "MAPPING_FAILED"


@dataclass(slots=True)
class Done:
    """A document that was dealt with. `entries`: steps that are in the books now, by their sequence. `unfinished`: it did not
    come to rest; it is to be looked at again at once. `by_hand`: what is to be told of reversals by hand; `over`: what was told of
    them is."""

    work: Work
    plan: Plan
    entries: dict[int, Step] = field(default_factory=dict)
    unfinished: bool = False
    by_hand: Finding | None = None
    over: bool = False

    @property
    def gives_up_bill(self) -> bool:
        """Its duplicates may be let in."""
        may_be_bill = self.work.document.bill is not None or self.plan.status is DocumentStatus.NOTHING
        return may_be_bill and self.work.key.kind in ("invoice", "bank_transaction") and bool(self.plan.undo)


async def record(connection: Connection, ledger_id: int, done: Sequence[Done], now: datetime) -> None:
    """Last in the run's transaction. `now`: the database's clock."""
    _keep_proposals(done)
    await connection.execute(_KEPT_PLANS)
    await _record_documents(connection, ledger_id, done)
    await _record_postings(connection, ledger_id, done)
    await _record_links(connection, ledger_id, done)
    await connection.execute(_OWN_PLANS)
    await _record_proposals(connection, ledger_id, done)
    keys = [each.work.key for each in done]
    await matching_todo.note(
        connection, ledger_id, [ItemKey(key.kind, key.source, key.account, key.external_id) for key in keys]
    )
    await _close(connection, ledger_id, done, now)


def _keep_proposals(done: Iterable[Done]) -> None:
    for each in done:
        for posting in each.plan.withdrawn:
            each.work.past.keep(posting._replace(status=PostingStatus.WITHDRAWN))
        for made in each.plan.propose:
            if made.posting != each.work.past.postings.get((made.posting.name, made.posting.number)):
                each.work.past.keep(made.posting)


async def _record_documents(connection: Connection, ledger_id: int, done: Sequence[Done]) -> None:
    await connection.execute(
        _DOCUMENTS,
        ledger_id,
        *columns_of(each.work.key for each in done),
        [each.plan.status.value for each in done],
        [each.plan.rule for each in done],
        [each.plan.ruleset_version for each in done],
        [None if each.unfinished else each.work.document.version.digest for each in done],
        [each.work.past.generation for each in done],
        [each.work.document.bill for each in done],
    )


async def _record_postings(connection: Connection, ledger_id: int, done: Sequence[Done]) -> None:
    """First what ends, then what takes its place."""
    touched = [
        (each.work.key, each.work.past.postings[number]) for each in done for number in sorted(each.work.past.touched)
    ]
    touched.sort(key=lambda found: found[1].status in (PostingStatus.POSTED, PostingStatus.PROPOSED))
    if touched:
        keys, postings = zip(*touched, strict=True)
        await connection.execute(_POSTINGS, ledger_id, *columns_of(keys), *_posting_columns(postings))


def _posting_columns(postings: Sequence[Posting]) -> list[list[Any]]:
    approved = PostingStatus.APPROVED
    return [
        [each.name for each in postings],
        [each.generation for each in postings],
        [each.number for each in postings],
        [each.outcome for each in postings],
        [(PostingStatus.PROPOSED if each.status is approved else each.status).value for each in postings],
        [each.sequence for each in postings],
        [each.reversal_sequence for each in postings],
        [each.rule for each in postings],
        [each.ruleset_version for each in postings],
        [each.effective_date for each in postings],
        [each.substance for each in postings],
    ]


async def _record_links(connection: Connection, ledger_id: int, done: Sequence[Done]) -> None:
    links = [
        (each.work.key, sequence, posting)
        for each in done
        for number in sorted(each.work.past.touched)
        for posting in [each.work.past.postings[number]]
        for sequence in (posting.sequence, posting.reversal_sequence)
        if sequence is not None
    ]
    if links:
        keys, sequences, postings = zip(*links, strict=True)
        await connection.execute(
            _LINKS,
            ledger_id,
            *columns_of(keys),
            list(sequences),
            [posting.rule for posting in postings],
            [posting.ruleset_version for posting in postings],
            [posting.name for posting in postings],
        )


async def _record_proposals(connection: Connection, ledger_id: int, done: Sequence[Done]) -> None:
    withdrawn = [(each.work.key, posting) for each in done for posting in each.plan.withdrawn]
    if withdrawn:
        keys, postings = zip(*withdrawn, strict=True)
        await connection.execute(_WITHDRAW, ledger_id, *columns_of(keys), *_posting_columns(postings)[:3])
    proposed = [(each.work.key, made) for each in done for made in each.plan.propose]
    if proposed:
        keys, made = zip(*proposed, strict=True)
        columns = _posting_columns([each.posting for each in made])[:3]
        await connection.execute(_PROPOSE, ledger_id, *columns_of(keys), *columns, [_draft(each) for each in made])


def _draft(made: Making) -> str:
    """The entry as it would be posted: amounts as decimal strings, fields as the ledger's drafts name them."""
    draft = made.draft
    lines = [
        {name: value for name in line.__slots__ if (value := getattr(line, name)) not in (None, ())}
        for line in draft.lines
    ]
    stated = {
        "effective_date": draft.effective_date,
        "document_date": draft.document_date,
        "description": draft.description,
        "journal": draft.journal,
        "reference": draft.reference,
        "lines": lines,
    }
    return orjson.dumps(stated).decode()


async def _record_issues(
    connection: Connection, ledger_id: int, done: Sequence[Done], now: datetime
) -> dict[Taken, datetime]:
    """Answers with what is tried again, and when."""
    had_one = (DocumentStatus.ISSUE, DocumentStatus.DUPLICATE)
    mended = [
        each.work.key for each in done if each.plan.finding is None and (each.over or each.work.past.status in had_one)
    ]
    await issues.close_documents(connection, ledger_id, mended, now)
    failed = [(each.work, finding) for each in done if (finding := each.plan.finding) is not None]
    noted = [
        DocumentIssue(work.key, finding.code, finding.message, finding.hint, work.document.excerpt(), retried=True)
        for work, finding in failed
    ]
    noted += [
        DocumentIssue(each.work.key, finding.code, finding.message, finding.hint, each.work.document.excerpt())
        for each in done
        if each.plan.finding is None and (finding := each.by_hand) is not None
    ]
    again = await issues.note_documents(connection, ledger_id, noted, now)
    return {work.taken: again[work.key] or now for work, _ in failed}


async def _close(connection: Connection, ledger_id: int, done: Sequence[Done], now: datetime) -> None:
    later = await _record_issues(connection, ledger_id, done, now)
    rests = [each.work.taken for each in done if not (each.plan.finding or each.unfinished)]
    await todo.close(connection, ledger_id, rests, later)


def counted(done: Iterable[Done]) -> Mapping[str, int]:
    """How many documents there are of each status."""
    counts: dict[str, int] = {}
    for each in done:
        counts[each.plan.status.value] = counts.get(each.plan.status.value, 0) + 1
    return counts


# What checks a foreign key is planned for each row where plans are never kept, and that is half of what recording takes. A kept
# one has to be by an index: made for a table of one page, it would read all of what that has become.
_KEPT_PLANS: Final = "SET LOCAL plan_cache_mode = auto; SET LOCAL enable_seqscan = off"
_OWN_PLANS: Final = "SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_seqscan = on"
_KEYS: Final = "source, kind, account, external_id"
_ASKED: Final = "$2::text[], $3::text[], $4::text[], $5::text[]"
_IS_MET: Final = """
held.ledger_id = $1 AND held.source = met.source AND held.kind = met.kind AND held.account = met.account
    AND held.external_id = met.external_id"""
_DOCUMENTS: Final = f"""
INSERT INTO pipeline.document (ledger_id, {_KEYS}, status, rule, ruleset_version, content_hash, generation, bill_key, processed_at)
SELECT $1, met.*, clock_timestamp()
FROM unnest({_ASKED}, $6::text[], $7::text[], $8::integer[], $9::bytea[], $10::integer[], $11::bytea[]) AS met
ON CONFLICT (ledger_id, {_KEYS}) DO UPDATE SET status = excluded.status, rule = excluded.rule,
    ruleset_version = excluded.ruleset_version, content_hash = excluded.content_hash, bill_key = excluded.bill_key,
    processed_at = excluded.processed_at"""
_POSTINGS: Final = f"""
INSERT INTO pipeline.posting (ledger_id, {_KEYS}, name, generation, number, outcome, status, sequence, reversal_sequence,
    rule, ruleset_version, effective_date, substance)
SELECT $1, met.*
FROM unnest({_ASKED}, $6::text[], $7::integer[], $8::integer[], $9::bytea[], $10::text[], $11::bigint[], $12::bigint[],
    $13::text[], $14::integer[], $15::date[], $16::bytea[]) AS met
ON CONFLICT (ledger_id, {_KEYS}, name, generation, number) DO UPDATE SET outcome = excluded.outcome,
    status = excluded.status, sequence = excluded.sequence, reversal_sequence = excluded.reversal_sequence,
    effective_date = excluded.effective_date, substance = excluded.substance"""
_LINKS: Final = f"""
INSERT INTO mirror.document_entry (ledger_id, {_KEYS}, sequence, rule, ruleset_version, posting)
SELECT $1, met.* FROM unnest({_ASKED}, $6::bigint[], $7::text[], $8::integer[], $9::text[]) AS met
ON CONFLICT DO NOTHING"""
_WITHDRAW: Final = f"""
UPDATE pipeline.proposal held SET decision = 'WITHDRAWN', decided_at = clock_timestamp(), decided_by = 'pipeline'
FROM unnest({_ASKED}, $6::text[], $7::integer[], $8::integer[]) AS met ({_KEYS}, name, generation, number)
WHERE {_IS_MET} AND held.name = met.name AND held.generation = met.generation AND held.number = met.number
    AND held.decision IS NULL"""
_PROPOSE: Final = f"""
INSERT INTO pipeline.proposal (ledger_id, {_KEYS}, name, generation, number, draft, created_at)
SELECT $1, met.source, met.kind, met.account, met.external_id, met.name, met.generation, met.number, met.draft::jsonb,
    clock_timestamp()
FROM unnest({_ASKED}, $6::text[], $7::integer[], $8::integer[], $9::text[])
    AS met ({_KEYS}, name, generation, number, draft)
ON CONFLICT (ledger_id, {_KEYS}, name, generation, number) DO UPDATE SET draft = excluded.draft"""
