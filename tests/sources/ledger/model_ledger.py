"""A ledger in a page of plain Python: what the real one must do, said in the simplest way. For comparison in tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from sources.ledger.model import LedgerRef, LineDraft
from sources.money import EXPONENTS, format_minor
from tests.sources.ledger.books import CHART, entry, reversal

Answer = tuple[str, int | frozenset[str]]


@dataclass(frozen=True)
class Line:
    """Signed minor units; `spoiled`: stated with one decimal too many."""

    account: str
    amount: int
    currency: str = "USD"
    worth: int | None = None
    spoiled: bool = False

    def draft(self) -> LineDraft:
        text = format_minor(abs(self.amount), EXPONENTS[self.currency])
        text += "1" if self.spoiled and "." in text else ".1" if self.spoiled else ""
        return LineDraft(
            account=self.account,
            debit=text if self.amount >= 0 else None,
            credit=text if self.amount < 0 else None,
            currency=self.currency,
            functional_amount=None if self.worth is None else format_minor(abs(self.worth), 2),
        )

    @property
    def functional(self) -> int:
        return self.amount if self.worth is None else self.worth


@dataclass(frozen=True)
class Wish:
    """Something to post: lines, or the sequence to reverse."""

    key: str
    on: date
    lines: tuple[Line, ...] = ()
    reverses: int | None = None
    origin: str = ""

    def draft(self, ledger: LedgerRef) -> object:
        if self.reverses is not None:
            return reversal(ledger, self.key, self.reverses, self.on, origin=self.origin)
        lines = [line.draft() for line in self.lines]
        return entry(ledger, self.key, *lines, on=self.on, origin=self.origin, description="x")

    @property
    def body(self) -> tuple[object, ...]:
        return (self.on, self.lines, self.reverses)

    def touches(self) -> set[object]:
        return {(self.origin, self.key), *({self.reverses} if self.reverses is not None else ())}


@dataclass
class ModelLedger:
    active: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(CHART, True))
    locked: date | None = None
    entries: list[Wish] = field(default_factory=list)
    lines: list[tuple[Line, ...]] = field(default_factory=list)

    def post(self, wishes: Sequence[Wish]) -> list[Answer]:
        """In rounds: what shares a key or an original with an earlier one waits for the next round."""
        answers: dict[int, Answer] = {}
        waiting = list(range(len(wishes)))
        while waiting:
            taken: set[object] = set()
            later = []
            known = len(self.entries)
            for index in waiting:
                if wishes[index].touches() & taken:
                    later.append(index)
                else:
                    answers[index] = self._post_one(wishes[index], known)
                taken |= wishes[index].touches()
            waiting = later
        return [answers[index] for index in range(len(wishes))]

    def post_atomic(self, wishes: Sequence[Wish]) -> list[Answer]:
        """All or none, of wishes that share nothing."""
        known = len(self.entries)
        answers = [self._earlier(wish) or self._faults(wish, known) for wish in wishes]
        if any(kind in ("conflict", "rejected") for kind, _ in answers):
            stopped: Answer = ("rejected", frozenset({"BATCH_REJECTED"}))
            return [stopped if kind == "fine" else (kind, what) for kind, what in answers]
        return [self._post_one(wish, known) for wish in wishes]

    def nets(self) -> dict[tuple[str, str], tuple[int, int]]:
        found: dict[tuple[str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
        for lines in self.lines:
            for line in lines:
                net, functional = found[line.account, line.currency]
                found[line.account, line.currency] = (net + line.amount, functional + line.functional)
        return dict(found)

    def _post_one(self, wish: Wish, known: int) -> Answer:
        answer = self._earlier(wish) or self._faults(wish, known)
        if answer[0] != "fine":
            return answer
        self.entries.append(wish)
        self.lines.append(wish.lines if wish.reverses is None else self._mirror(wish.reverses))
        return ("posted", len(self.entries))

    def _mirror(self, sequence: int) -> tuple[Line, ...]:
        return tuple(
            Line(line.account, -line.amount, line.currency, None if line.worth is None else -line.worth)
            for line in self.lines[sequence - 1]
        )

    def _earlier(self, wish: Wish) -> Answer | None:
        for sequence, before in enumerate(self.entries, 1):
            if (before.origin, before.key) == (wish.origin, wish.key):
                return ("replayed" if before.body == wish.body else "conflict", sequence)
        return None

    def _faults(self, wish: Wish, known: int) -> Answer:
        found = set()
        if self.locked is not None and wish.on <= self.locked:
            found.add("PERIOD_LOCKED")
        found |= self._line_faults(wish) if wish.reverses is None else self._reversal_faults(wish, known)
        return ("rejected", frozenset(found)) if found else ("fine", 0)

    def _reversal_faults(self, wish: Wish, known: int) -> set[str]:
        assert wish.reverses is not None
        if not 1 <= wish.reverses <= known:
            return {"UNKNOWN_ENTRY"}
        found = set()
        if any(before.reverses == wish.reverses for before in self.entries):
            found.add("ALREADY_REVERSED")
        if wish.on < self.entries[wish.reverses - 1].on:
            found.add("INVALID_REVERSAL")
        return found

    def _line_faults(self, wish: Wish) -> set[str]:
        found = set()
        for line in wish.lines:
            if line.account not in self.active:
                found.add("UNKNOWN_ACCOUNT")
            elif not self.active[line.account]:
                found.add("INACTIVE_ACCOUNT")
            if line.account in self.active and CHART[line.account][2] not in (None, line.currency):
                found.add("CURRENCY_MISMATCH")
            if line.spoiled or (line.amount == 0 and line.functional == 0):
                found.add("INVALID_AMOUNT")
        currencies = {line.currency for line in wish.lines}
        if not any(line.spoiled for line in wish.lines) and (
            sum(line.functional for line in wish.lines)
            or (len(currencies) == 1 and sum(line.amount for line in wish.lines))
        ):
            found.add("UNBALANCED")
        return found
