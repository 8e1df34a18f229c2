"""What every entry of the sample books needs: keys, lines, prices of currencies, and a note of what is due later.

Amounts are minor units (cents, whole yen) until the line is written.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date

from gateway.demo.company import DEPARTMENTS, Entity
from sources.ledger.model import EntryDraft, LedgerRef, LineDraft
from sources.money import EXPONENTS, format_minor

POSTED_BY = "demo"

Dimensions = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReversalOf:
    """The mirror of the entry with the key `original`, whose sequence is known once it is posted."""

    idempotency_key: str
    original: str
    effective_date: date
    description: str


BookItem = EntryDraft | ReversalOf


def line(
    account: str, minor: int, currency: str, functional: int | None = None, own: str = "", dimensions: Dimensions = ()
) -> LineDraft:
    """A line of `minor` units, debit positive; a line without an amount is a revaluation and takes its side from
    `functional`, the amount in the functional currency `own` (None: the line is in that currency)."""
    debit = (minor or functional or 0) > 0
    amount = format_minor(abs(minor), EXPONENTS[currency])
    return LineDraft(
        account=account,
        debit=amount if debit else None,
        credit=None if debit else amount,
        currency=currency,
        functional_amount=None if functional is None else format_minor(abs(functional), EXPONENTS[own]),
        dimensions=dimensions,
    )


@dataclass(order=True, slots=True)
class Due:
    """Something that happens on a later day."""

    day: date
    order: int
    act: Callable[[date], Iterator[BookItem]] = field(compare=False)


class Bookkeeper:
    """Writes entries of one ledger, from `first` on, deciding by `chance`."""

    def __init__(self, entity: Entity, ledger: LedgerRef, first: date, chance: random.Random) -> None:
        self._entity = entity
        self._ledger = ledger
        self._first = first
        self._chance = chance
        self._number = 0
        self._due: list[Due] = []
        self._prices = dict(entity.abroad)
        self._bank_abroad = [0, 0]  # in its own currency, in the functional currency
        self._tax_due = [0, 0]  # collected, recoverable: since the last return
        self.departments = DEPARTMENTS

    def _entry(self, journal: str, day: date, description: str, *lines: LineDraft, document: str = "") -> EntryDraft:
        return EntryDraft(
            ledger=self._ledger,
            idempotency_key=self._key(),
            effective_date=day,
            journal=journal,
            description=description,
            reference=document or None,
            lines=lines,
            posted_by=POSTED_BY,
        )

    def _key(self) -> str:
        self._number += 1
        return f"demo-{self._number:06}"

    def _later(self, day: date, act: Callable[[date], Iterator[BookItem]]) -> None:
        heapq.heappush(self._due, Due(day, self._number * 1_000 + len(self._due), act))

    def _due_on(self, day: date) -> Iterator[BookItem]:
        while self._due and self._due[0].day <= day:
            yield from heapq.heappop(self._due).act(day)

    def _own(self, account: str, minor: int, *dimensions: tuple[str, str]) -> LineDraft:
        return line(account, minor, self._entity.currency, dimensions=dimensions)

    def _abroad(self, account: str, minor: int, currency: str, functional: int) -> LineDraft:
        return line(account, minor, currency, functional, self._entity.currency)

    def _functional(self, minor: int, currency: str) -> int:
        """What an amount is worth today, in minor units of the functional currency."""
        own: int = 10 ** EXPONENTS[self._entity.currency]
        other: int = 10 ** EXPONENTS[currency]
        return round(minor * self._prices[currency] * own / (other * 10_000))

    def _tax(self, net: int) -> int:
        return round(net * self._entity.tax_rate / 1_000)

    def _some(self, least: int, most: int) -> int:
        """A price in minor units, small ones more often than large ones."""
        return int(least * (most / least) ** self._chance.random())

    def _department(self) -> tuple[str, str]:
        return ("department", self._chance.choice(self.departments))
