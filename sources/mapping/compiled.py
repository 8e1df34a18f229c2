"""Rules as they are run: everything in them that could be decided when the file was read is decided. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sources.mapping.language import Getter, Scope
from sources.mapping.matching_bills import DEFAULT_TOLERANCE, Tolerance
from sources.mapping.model import Policy, Unmapped, UnmappedCode

Account = str | Callable[[Scope], str]
"""A code, or what finds it for a document; it raises NotMapped or ExpressionFailed."""


class NotMapped(Exception):
    """Ends the mapping of one document with what `map_document` answers."""

    def __init__(self, code: UnmappedCode, message: str, hint: str) -> None:
        super().__init__(message)
        self.unmapped = Unmapped(code, message, hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRule:
    """`where` is the file and line; `sign` 1 for a debit; `shares` are empty where the whole goes to `account`."""

    where: str
    account: Account
    amount: Getter
    amount_text: str
    sign: int
    each: str | None
    condition: Getter | None
    currency: Getter | None
    rate_on: Getter | None
    before: Getter | None
    carried: Getter | None
    description: Getter | None
    tax_code: Getter | None
    dimensions: tuple[tuple[str, Getter], ...]
    weights: tuple[int, ...]
    shares: tuple[Account, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """The first and last day of the period over whose months each line of a posting is spread."""

    first: Getter
    last: Getter


@dataclass(frozen=True, slots=True, kw_only=True)
class PostingRule:
    where: str
    name: str
    date: Getter
    date_text: str
    rate_on: Getter | None
    document_date: Getter | None
    description: Getter
    reference: Getter | None
    journal: str | None
    condition: Getter | None
    rate_type: str
    spread: Spread | None
    lines: tuple[LineRule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`when` pairs what reads a field with the values that it may have; `sources` None: any."""

    where: str
    name: str
    kind: str
    sources: frozenset[str] | None
    when: tuple[tuple[Getter, tuple[Any, ...]], ...]
    condition: Getter | None
    policy: Policy
    postings: tuple[PostingRule, ...]


@dataclass(frozen=True, slots=True)
class RuleSet:
    """A rule file, read and checked. `digest` is the SHA-256 of its text and of the rules that it extends: another digest is
    another version. `rules` are in the order in which they are tried, by kind of document. `tolerance`:
    of bills that are of an order. `settings`: what expressions find under that name."""

    name: str
    file: str
    digest: bytes
    rules: Mapping[str, tuple[Rule, ...]]
    rounding: Account
    exchange_gain: Account
    exchange_loss: Account
    settings: Mapping[str, Any]
    tolerance: Tolerance = DEFAULT_TOLERANCE
