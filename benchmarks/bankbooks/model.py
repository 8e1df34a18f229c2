"""What the books are made of, and the truth about their bank transactions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sources.documents import BankTransaction, Payment, PayrollRun

CURRENCY = "EUR"
FIRST = date(2026, 1, 5)
Truth = Mapping[tuple[str, str], int]
"""(kind, external id) of a document -> minor units of it, signed as money moves."""


@dataclass(frozen=True, slots=True)
class Known:
    """A transaction and what it is about. `case`: in which way it is awkward, "" for one that is not."""

    transaction: BankTransaction
    case: str
    truth: Truth


@dataclass(slots=True)
class Books:
    """`early` documents are stated before the bank's transactions, `late` ones after."""

    early: list[Any] = field(default_factory=list)
    late: list[Any] = field(default_factory=list)
    payouts: list[Payment] = field(default_factory=list)
    runs: list[PayrollRun] = field(default_factory=list)
    known: list[Known] = field(default_factory=list)

    @property
    def documents(self) -> int:
        """How many there are."""
        return len(self.early) + len(self.late) + len(self.payouts) + len(self.runs)


def by_day(known: Sequence[Known], days: int) -> Iterator[list[Known]]:
    """As statements of so many days each."""
    first = known[0].transaction.booked_on or FIRST
    groups: dict[int, list[Known]] = {}
    for each in known:
        groups.setdefault(((each.transaction.booked_on or first) - first).days // days, []).append(each)
    for number in sorted(groups):
        yield groups[number]
