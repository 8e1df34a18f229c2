"""Journal entries: types, queries, posting and the stream of postings."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import strawberry

from resolvers.accounts import Account
from resolvers.documents import Document
from resolvers.fields import (
    Fragment,
    Stability,
    argument,
    functional_money,
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
from resolvers.ledgers import READ, Ledger
from resolvers.nodes import KINDS, Node, NodeKind, natural
from resolvers.paging import Connection, paged
from resolvers.scalars import BigInt, Date, DateTime, Decimal
from sources.ledger import queries
from sources.ledger.model import AccountType
from sources.mirror.links import documents_of_entries, rules_of_entries

DOCUMENTS = ("cash:read", "invoices:read", "payroll:read")
RULES = ("sources:read",)
KEY = ("ledger_id", "sequence")


@graph_type("The posting of a rule that made an entry of a document, or reversed one.")
class RulePosting:
    rule: str = text("The rule, as its rule file names it.", "rule")
    mapping_version: int = integer("The version of the ledger's rules that it is of: see mappings.", "ruleset_version")
    posting: str = text("Which of the rule's postings it is.", "posting")


@graph_type(
    "A posted entry: it never changes.",
    scope=READ,
    stability=Stability.NAMED,
    fragment=Fragment(queries.entry_by_sequence, KEY, ("names_version", "mark")),
)
class JournalEntry(Node):
    id: strawberry.ID = written("entry:LEDGER:SEQUENCE", KEY, "'\"entry:' + codes[{0}] + ':' + str({1}) + '\"'")
    ledger: Ledger = link("The ledger that it is posted to.", queries.ledger_by_id, ("ledger_id",))
    sequence: BigInt = integer("Dense, in commit order: 1, 2, 3 …", "sequence")
    effective_date: Date = word("Accounting date.", "effective_date")
    document_date: Date | None = word("Date of the underlying document, where it differs.", "document_date")
    posted_at: DateTime = timestamp("When it was recorded. Never decreases along the sequence.", "posted_at")
    posted_by: str = text("Subject of the token that posted it.", "posted_by")
    journal: str | None = text("Journal code, for example SALES or PAYROLL.", "journal")
    description: str = text("What it is for.", "description")
    reference: str | None = text("The poster's own reference.", "reference")
    idempotency_key: str = text("The key that it was posted with.", "idempotency_key")
    source: str | None = text("Name of the source system that it came from; null: posted by a client.", "source")
    reverses: JournalEntry | None = link(
        "The entry that this one reverses.", queries.entry_by_sequence, ("ledger_id", "reverses")
    )
    reversed_by: JournalEntry | None = link(
        "The entry that reverses this one.",
        queries.entry_by_sequence,
        ("ledger_id", "reversed_by"),
        stability=Stability.POSTED,
    )
    lines: list[JournalLine] = link("Its lines, in their order.", queries.lines_of_entries, KEY, size=5)
    documents: list[Document] | None = link(
        "The documents it was made from. Needs the scopes of every kind of document.",
        documents_of_entries,
        KEY,
        scope=DOCUMENTS,
        stability=Stability.VOLATILE,
        size=1,
    )
    rule_posting: RulePosting | None = link(
        "By which rule its document became this entry; null: it was posted by a client.",
        rules_of_entries,
        KEY,
        scope=RULES,
        stability=Stability.VOLATILE,
    )
    total: Decimal = functional_money("Sum of functional debits.", "total")
    hash: str = word("SHA-256 over the entry's canonical form and the previous entry's hash, hex.", "hash")


@graph_type("A name and value that reports group by.", stability=Stability.NAMED)
class Dimension:
    name: str = text("[a-z][a-z0-9_]*", "name")
    value: str = text("Its value.", "value")


@graph_type(
    "At most one of debit and credit is not zero. Both are zero only on a revaluation line, which has a functional "
    "amount alone.",
    scope=READ,
    stability=Stability.NAMED,
)
class JournalLine(Node):
    id: strawberry.ID = written(
        "line:LEDGER:SEQUENCE:NUMBER",
        (*KEY, "line_number"),
        "'\"line:' + codes[{0}] + ':' + str({1}) + ':' + str({2}) + '\"'",
    )
    entry: JournalEntry = link("The entry that it is part of.", queries.entry_by_sequence, KEY)
    line_number: int = integer("1, 2, 3 … within the entry.", "line_number")
    account: Account = link("The account that it moves.", queries.account_by_id, ("ledger_id", "account_id"))
    debit: Decimal = written("Its amount, when it is a debit.", ("amount", "currency"), "debit({0}, exponents[{1}])")
    credit: Decimal = written("Its amount, when it is a credit.", ("amount", "currency"), "credit({0}, exponents[{1}])")
    currency: str = word("Currency of debit and credit.", "currency")
    functional_debit: Decimal = written(
        "Its amount in functional currency, when it is a debit.",
        ("functional_amount", "ledger_id"),
        "debit({0}, functional[{1}])",
    )
    functional_credit: Decimal = written(
        "Its amount in functional currency, when it is a credit.",
        ("functional_amount", "ledger_id"),
        "credit({0}, functional[{1}])",
    )
    description: str | None = text("What it is for.", "description")
    tax_code: str | None = text("Code of the tax that it bears.", "tax_code")
    dimensions: list[Dimension] = nested("In order of name.", "dimensions")


def _line_key(rest: str) -> tuple[int, int] | None:
    sequence, _, number = rest.partition(":")
    key = natural(sequence), natural(number)
    return None if None in key or key[1] > 10_000 else key  # type: ignore[operator,return-value]


KINDS["entry"] = NodeKind("JournalEntry", READ, queries.entry_by_sequence, natural)
KINDS["line"] = NodeKind("JournalLine", READ, queries.line_by_number, _line_key)


@strawberry.input(description="name: [a-z][a-z0-9_]*, at most 16 a line, no name twice.")
class DimensionInput:
    name: str = strawberry.field(description="Its name.")
    value: str = strawberry.field(description="Its value.")


@strawberry.input(description="Entries that match all that is given.")
class EntryFilter:
    effective_from: Date | None = input_field("Dated on or after.")
    effective_to: Date | None = input_field("Dated on or before.")
    posted_from: DateTime | None = input_field("Recorded at or after.")
    posted_to: DateTime | None = input_field("Recorded at or before.")
    account_codes: list[str] | None = input_field("Entries with a line on any of these accounts.")
    sources: list[str] | None = input_field("From any of these sources.")
    journals: list[str] | None = input_field("In any of these journals.")
    reference: str | None = input_field("With exactly this reference.")
    idempotency_key: str | None = input_field("With exactly this key.")
    dimension: DimensionInput | None = input_field("With a line that has this dimension.")
    min_total: Decimal | None = input_field("With at least this total, in functional currency.")


@strawberry.input(description="Lines that match all that is given.")
class LineFilter:
    account_codes: list[str] | None = input_field("On any of these accounts.")
    account_types: list[AccountType] | None = input_field("On accounts of these types.")
    effective_from: Date | None = input_field("Dated on or after.")
    effective_to: Date | None = input_field("Dated on or before.")
    currency: str | None = input_field("In this currency.")
    dimension: DimensionInput | None = input_field("With this dimension.")
    sources: list[str] | None = input_field("Of entries from any of these sources.")


@strawberry.enum(description="The order of a list of entries.")
class EntryOrder(Enum):
    SEQUENCE_ASC = strawberry.enum_value("SEQUENCE_ASC", description="As posted, oldest first.")
    SEQUENCE_DESC = strawberry.enum_value("SEQUENCE_DESC", description="As posted, newest first.")
    EFFECTIVE_DATE_ASC = strawberry.enum_value("EFFECTIVE_DATE_ASC", description="By effective date, then as posted.")
    EFFECTIVE_DATE_DESC = strawberry.enum_value("EFFECTIVE_DATE_DESC", description="The same backwards.")


JournalEntryConnection = Connection[JournalEntry]
JournalLineConnection = Connection[JournalLine]

LedgerCode = Annotated[str, argument("The ledger's code.")]


@strawberry.type
class EntryQuery:
    @linked(
        "One entry; null when there is none.",
        queries.entry,
        by=("ledger", "sequence"),
        scope=READ,
        stability=Stability.POSTED,
        ledger="ledger",
    )
    def entry(
        self, ledger: LedgerCode, sequence: Annotated[BigInt, argument("Its sequence.")]
    ) -> JournalEntry | None: ...

    @paged("A ledger's entries.", queries.entries, scope=READ, stability=Stability.POSTED, ledger="ledger")
    def entries(
        self,
        ledger: LedgerCode,
        filter: Annotated[EntryFilter | None, argument("Which entries.")] = strawberry.UNSET,
        order_by: Annotated[EntryOrder, argument("In which order.")] = EntryOrder.SEQUENCE_ASC,
    ) -> JournalEntryConnection | None: ...

    @paged(
        "An account's ledger, flat: lines with their entries, in order of effective date, sequence and line number.",
        queries.journal_lines,
        scope=READ,
        stability=Stability.POSTED,
        ledger="ledger",
    )
    def journal_lines(
        self,
        ledger: LedgerCode,
        filter: Annotated[LineFilter | None, argument("Which lines.")] = strawberry.UNSET,
    ) -> JournalLineConnection | None: ...
