"""Entries that wait for approval, and documents that are posted anew."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated, Any

import strawberry

from resolvers.context import Context
from resolvers.documents import DocumentKind, document_id
from resolvers.entries import Dimension
from resolvers.fields import (
    argument,
    graph_type,
    integer,
    link,
    linked,
    nested,
    text,
    timestamp,
    word,
    written,
)
from resolvers.ledgers import READ as LEDGER_READ
from resolvers.ledgers import Ledger
from resolvers.nodes import parse_id
from resolvers.paging import Connection, paged
from resolvers.results import ChangeRejected, not_found, refused, too_many, unknown_ledger
from resolvers.scalars import BigInt, Date, DateTime, Decimal
from resolvers.sources import READ
from sources.ledger.queries import ledger_by_id
from sources.pipeline import approving, queries, reposting
from sources.pipeline.approving import Decision
from sources.pipeline.model import Key as DocumentKey
from sources.reading import Key, Results, Tagged, Want

APPROVE = ("mappings:approve",)
MAX_DECIDED = MAX_REPOSTED = 1_000
_KINDS = {
    "Invoice": "invoice",
    "Payment": "payment",
    "PayrollRun": "payroll_run",
    "BankTransaction": "bank_transaction",
}


@graph_type("A line of an entry that is not posted.", scope=LEDGER_READ)
class DraftLine:
    account: str = text("Account code.", "account")
    debit: Decimal | None = word("Its amount, when it is a debit.", "debit")
    credit: Decimal | None = word("Its amount, when it is a credit.", "credit")
    currency: str = word("Currency of debit and credit.", "currency")
    functional_amount: Decimal | None = word(
        "The amount in functional currency, on the same side; null: the same amount.", "functional_amount"
    )
    description: str | None = text("What it is for.", "description")
    tax_code: str | None = text("Code of the tax that it bears.", "tax_code")
    dimensions: list[Dimension] = nested("In order of name.", "dimensions")


@graph_type("An entry that is not posted.", scope=LEDGER_READ)
class DraftEntry:
    effective_date: Date = word("Accounting date.", "effective_date")
    document_date: Date | None = word("Date of the underlying document, where it differs.", "document_date")
    description: str = text("What it is for.", "description")
    journal: str | None = text("Journal code.", "journal")
    reference: str | None = text("The document's own reference.", "reference")
    lines: list[DraftLine] = nested("Its lines, in their order.", "lines")


@strawberry.enum(description="Where a proposal stands.")
class ProposalState(Enum):
    WAITING = strawberry.enum_value("WAITING", description="It waits for a person.")
    APPROVED = strawberry.enum_value("APPROVED", description="It posts, or has posted.")
    REJECTED = strawberry.enum_value("REJECTED", description="It never posts.")
    WITHDRAWN = strawberry.enum_value("WITHDRAWN", description="Its document changed before anybody decided.")


@graph_type("An entry that a rule proposes, for a person to approve.", scope=LEDGER_READ)
class Proposal:
    proposal_id: BigInt = integer("Its number within the ledger.", "proposal_id")
    ledger: Ledger = link("The ledger that it would be posted to.", ledger_by_id, ("ledger_id",))
    state: ProposalState = word("Where it stands.", "state")
    source: str = text("The name of the source that states its document.", "source")
    document_kind: DocumentKind = word("Kind of its document.", "kind")
    document_id: strawberry.ID = document_id("Id of its document, for node.")
    rule: str = text("The rule that made it.", "rule")
    mapping_version: int = integer("The version of the rules that it is by.", "ruleset_version")
    posting: str = text("Which of the rule's postings it is.", "posting")
    draft: DraftEntry = nested("The entry as it would be posted.", "draft")
    created_at: DateTime = timestamp("Since when it waits.", "created_at")
    decided_at: DateTime | None = timestamp("When it was decided.", "decided_at")
    decided_by: str | None = text("Who decided.", "decided_by")


ProposalConnection = Connection[Proposal]


@strawberry.input(description="Proposals of one ledger to decide.")
class DecideProposalsInput:
    ledger: str = strawberry.field(description="The ledger's code.")
    proposals: list[BigInt] = strawberry.field(description="Their numbers, at most 1,000.")


@strawberry.input(description="Documents to post anew.")
class RepostDocumentsInput:
    documents: list[strawberry.ID] = strawberry.field(
        description="Ids of invoices, payments, payroll runs and bank transactions, at most 1,000."
    )


@strawberry.type(description="What was decided just now. Approved entries post within moments.")
class ProposalsDecided:
    proposals: list[Proposal] = link(
        "Those that were decided, in order of their numbers.", queries.proposals_by_ids, ("ledger_id", "proposal_ids")
    )
    not_waiting: list[BigInt] = written(
        "Numbers that name no proposal that waits: they are left as they are.", ("not_waiting",), "dumps({0})"
    )


DecideProposalsResult = Annotated[
    ProposalsDecided | ChangeRejected,
    strawberry.union("DecideProposalsResult", description="What became of a decision."),
]


@strawberry.type(
    description="Each of these documents is reversed and posted anew by the rules that are active now, where they call for "
    "something else; within moments."
)
class DocumentsReposted:
    documents: list[strawberry.ID] = written("Ids of those documents.", ("documents",), "dumps({0})")
    not_posted: list[strawberry.ID] = written(
        "Ids of documents that the pipeline has not dealt with: there is nothing to take back.",
        ("not_posted",),
        "dumps({0})",
    )


RepostDocumentsResult = Annotated[
    DocumentsReposted | ChangeRejected,
    strawberry.union("RepostDocumentsResult", description="What became of a re-posting."),
]


async def _decide(context: Context, want: Want, given: Mapping[str, Any], decision: Decision) -> Results:
    refs = await context.ledgers([given["ledger"]])
    wanted = list(dict.fromkeys(given["proposals"]))
    reasons = [] if refs else [unknown_ledger(given["ledger"])]
    if len(wanted) > MAX_DECIDED:
        reasons.append(too_many(MAX_DECIDED, "proposals", "proposals"))
    if reasons:
        return refused(reasons, want)
    ledger_id = refs[0].ledger_id
    database, by = context.services.database, context.caller.subject
    decided = await approving.decide(database, ledger_id, wanted, decision, by=by) if wanted else []
    context.services.wake_pipeline()
    numbers = tuple(each.proposal_id for each in decided)
    left = [number for number in wanted if number not in numbers]
    values = {"ledger_id": ledger_id, "proposal_ids": numbers, "not_waiting": left}
    return {(): Tagged("ProposalsDecided", want.types["ProposalsDecided"].row(values))}


async def approve_proposals(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    return await _decide(context, want, args["input"], Decision.APPROVED)


async def reject_proposals(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    return await _decide(context, want, args["input"], Decision.REJECTED)


def document_key(text: str) -> tuple[str, DocumentKey] | None:
    """The code of the ledger and the key of a document, by its id in the graph; None: it is no document's."""
    node = parse_id(text)
    kind = _KINDS.get(node.kind.typename) if node else None
    if node is None or kind is None:
        return None
    source, *account, external_id = node.key
    return node.ledger, DocumentKey(source, kind, account[0] if account else "", external_id)


async def repost_documents(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    ids = list(dict.fromkeys(args["input"]["documents"]))
    found = {text: document_key(text) for text in ids}
    known = {ref.code: ref for ref in await context.ledgers(sorted({key[0] for key in found.values() if key}))}
    reasons = [
        not_found(f"there is no document {text[:200]!r}", "documents", str(at))
        for at, text in enumerate(ids)
        if (key := found[text]) is None or key[0] not in known
    ]
    if len(ids) > MAX_REPOSTED:
        reasons = [too_many(MAX_REPOSTED, "documents", "documents")]
    if reasons:
        return refused(reasons, want)
    by_ledger: dict[str, list[DocumentKey]] = defaultdict(list)
    for place in found.values():
        if place is not None:
            by_ledger[place[0]].append(place[1])
    done = {
        (code, each)
        for code, keys in by_ledger.items()
        for each in await reposting.repost(context.services.database, known[code].ledger_id, keys)
    }
    context.services.wake_pipeline()
    values = {
        "documents": [text for text in ids if found[text] in done],
        "not_posted": [text for text in ids if found[text] not in done],
    }
    return {(): Tagged("DocumentsReposted", want.types["DocumentsReposted"].row(values))}


@strawberry.type
class ProposalQuery:
    @paged("Entries that rules propose, those that wait longest first.", queries.proposals, scope=READ)
    def proposals(
        self,
        ledger: Annotated[str, argument("The ledger's code.")],
        states: Annotated[list[ProposalState] | None, argument("In these states; absent: WAITING.")] = strawberry.UNSET,
    ) -> ProposalConnection | None: ...


@strawberry.type
class ProposalMutation:
    @linked("Has proposed entries posted.", approve_proposals, scope=APPROVE, writes=True)
    def approve_proposals(
        self, input: Annotated[DecideProposalsInput, argument("The proposals.")]
    ) -> DecideProposalsResult | None: ...

    @linked("Has proposed entries never posted.", reject_proposals, scope=APPROVE, writes=True)
    def reject_proposals(
        self, input: Annotated[DecideProposalsInput, argument("The proposals.")]
    ) -> DecideProposalsResult | None: ...

    @linked(
        "Posts documents anew by the rules that are active now: the one way in which rules reach what is posted.",
        repost_documents,
        scope=APPROVE,
        writes=True,
    )
    def repost_documents(
        self, input: Annotated[RepostDocumentsInput, argument("The documents.")]
    ) -> RepostDocumentsResult | None: ...
