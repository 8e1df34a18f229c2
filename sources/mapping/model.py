"""What mapping gives: the postings that a document calls for, or why there are none. Pure values, no I/O.

sources.mapping.rules.load(text, file) -> RuleSet                   InvalidRules: every fault with its file, line and key
sources.mapping.facts.facts_of(kind, row) -> Facts                  a row of the mirror, by column name
sources.mapping.rates.Rates(quotes)                                 dated rates
sources.mapping.evaluate.map_document(rules, facts, rates, functional_currency) -> Mapping
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NamedTuple

import orjson

from sources.errors import InvalidArgument


class Policy(StrEnum):
    """What becomes of a posting: posted at once, or proposed to a person who approves it."""

    AUTOMATIC = "automatic"
    PROPOSED = "proposed"


class UnmappedCode(StrEnum):
    """Why a document gave no postings."""

    NO_RULE = "NO_RULE"
    MISSING_FIELD = "MISSING_FIELD"
    UNKNOWN_ACCOUNT_NAME = "UNKNOWN_ACCOUNT_NAME"
    NO_TABLE_ENTRY = "NO_TABLE_ENTRY"
    EXPRESSION_FAILED = "EXPRESSION_FAILED"
    UNBALANCED = "UNBALANCED"
    MISSING_RATE = "MISSING_RATE"
    DISAGREEING_FIGURES = "DISAGREEING_FIGURES"
    PAYSLIPS_NOT_READ = "PAYSLIPS_NOT_READ"


class MappedLine(NamedTuple):
    """One line. `account` is a code; amounts are minor units, debit positive. `functional` is None where `currency` is the
    functional one. A rounding or exchange difference is a revaluation line: amount 0, and a functional amount alone, whose
    sign then says the side. `dimensions` are sorted by name."""

    account: str
    amount: int
    currency: str
    functional: int | None = None
    description: str | None = None
    tax_code: str | None = None
    dimensions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class MappedPosting:
    """One entry that a document calls for. `name` is unique among a document's postings ("invoice", "release/2026-01");
    `rule` names the rule that made it. Lines are at least two and balance; the last `added` ones are what rates left over.
    `rated`: the kind of rate, and the day of each line in another currency."""

    name: str
    rule: str
    policy: Policy
    effective_date: date
    document_date: date | None
    description: str
    journal: str | None
    reference: str | None
    lines: tuple[MappedLine, ...]
    added: int = 0
    rated: tuple[str, ...] = ()

    def outcome(self) -> bytes:
        """SHA-256 of all that would be posted, whichever rule gave it."""
        body = (
            self.effective_date,
            self.document_date,
            self.description,
            self.journal,
            self.reference,
            [tuple(line) for line in self.lines],
        )
        return hashlib.sha256(orjson.dumps(body)).digest()

    def substance(self) -> bytes:
        """SHA-256 of what the document says of it: without descriptions, and of rates their days, not their values. An equal one
        posts nothing anew, unless somebody asks for it."""
        body = (
            self.effective_date,
            self.document_date,
            self.journal,
            self.reference,
            self.rated,
            [
                (line.account, line.amount, line.currency, line.tax_code, line.dimensions)
                for line in self.lines[: len(self.lines) - self.added]
            ],
        )
        return hashlib.sha256(orjson.dumps(body)).digest()


@dataclass(frozen=True, slots=True)
class Unmapped:
    """Why a document gave no postings: a sentence for a person, and what to do about it. Neither holds a person's name."""

    code: UnmappedCode
    message: str
    hint: str


Mapping = tuple[MappedPosting, ...] | Unmapped
"""(): a rule says that nothing posts (a draft, a void document)."""


@dataclass(frozen=True, slots=True)
class RuleFault:
    """One mistake in a rule file. `line` counts from 1; `key` is a path such as rules[2].postings[0].date."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        return (
            f"{self.file}:{self.line}: {self.key}: {self.message}"
            if self.key
            else f"{self.file}:{self.line}: {self.message}"
        )


class InvalidRules(InvalidArgument):
    """A rule file cannot be used; `faults` are all of its mistakes, in the file's order."""

    def __init__(self, faults: tuple[RuleFault, ...]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults
