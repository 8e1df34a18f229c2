"""The words of matching as values. Amounts are minor units, signed as money moves: in is positive. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, Final, NamedTuple


class ItemKey(NamedTuple):
    """A document that money may be about. `account` is "" but for bank transactions."""

    kind: str
    source: str
    account: str
    external_id: str


class Side(StrEnum):
    """What of the books an allocation settles. PAID_ELSEWHERE: of a receivable that its source took out already, as it was told that it
    is paid past it; what is allocated to it says RECEIVABLE, and is posted as the invoice then stands."""

    RECEIVABLE = "receivable"
    PAID_ELSEWHERE = "paid_elsewhere"
    PAYABLE = "payable"
    CLEARING = "clearing"
    FEES = "fees"
    WRITE_OFF = "write_off"
    ACCOUNT = "account"


class Status(StrEnum):
    CERTAIN = "CERTAIN"
    PROPOSED = "PROPOSED"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"
    WITHDRAWN = "WITHDRAWN"


LIVE: Final = (Status.CERTAIN, Status.CONFIRMED)
"""Matches whose allocations count, and post."""


@dataclass(slots=True)
class Item:
    """What may be allocated to. `open`: what of it is left; `due`: what its source says is due, 0: nothing; `party`: see
    `clues.party_name`. `party_id`: in its source. `keys`: of its number, or of a bank transaction's text. `is_void`: of an invoice that
    stands no more: it was annulled, deleted, or taken back to a draft."""

    key: ItemKey
    side: Side
    currency: str
    amount: int
    open: int
    due: int
    dated: date
    due_on: date | None = None
    number: str | None = None
    party: str = ""
    party_id: str | None = None
    payer: str | None = None
    ready: bool = True
    keys: frozenset[str] = frozenset()
    is_void: bool = False

    @property
    def expected(self) -> int:
        """What a payment of the rest would be."""
        return self.due if self.due and abs(self.due) < abs(self.open) else self.open


@dataclass(frozen=True, slots=True)
class Line:
    """A bank transaction. `open`: what of it is not matched yet; `text`: see `clues.plain`; `payer`: account of the other side.
    `name_is_known`: some document is of a party of just this name. `instructed`: currency and amount that were ordered."""

    key: ItemKey
    currency: str
    amount: int
    open: int
    dated: date
    text: str = ""
    party: str = ""
    payer: str | None = None
    keys: frozenset[str] = frozenset()
    name_is_known: bool = False
    is_return: bool = False
    charges: int | None = None
    instructed: tuple[str, int] | None = None
    own_accounts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Allocation:
    """A part of a match. `key` names no document but a kind alone where the money is a fee, written off, left on account or goes to
    a ledger account (whose code is its external_id). `amount`: in `currency`, the document's; `bank_amount`: in the bank's."""

    key: ItemKey
    side: Side
    currency: str
    amount: int
    bank_amount: int
    booked_on: date | None = None
    number: str | None = None
    party_id: str | None = None

    @property
    def is_of_document(self) -> bool:
        return self.key.kind not in ("fee", "write_off", "on_account", "account")


class Reason(NamedTuple):
    """A clue, what it counts for, and a sentence without any person's name."""

    code: str
    points: int
    message: str


@dataclass(frozen=True, slots=True)
class Match:
    """What a bank transaction is about, as far as was found. `rule_id`: the rule that a person taught, and that decided.
    `returns`: the transaction whose match it takes back, as its money came back."""

    line: ItemKey
    allocations: tuple[Allocation, ...]
    reasons: tuple[Reason, ...]
    certain: bool = False
    rule_id: int | None = None
    returns: ItemKey | None = None

    @property
    def score(self) -> int:
        return max(0, min(100, sum(reason.points for reason in self.reasons)))

    @property
    def subjects(self) -> frozenset[ItemKey]:
        return frozenset(each.key for each in self.allocations)

    @property
    def targets(self) -> tuple[tuple[ItemKey, int, int], ...]:
        return tuple(sorted((each.key, each.amount, each.bank_amount) for each in self.allocations))


@dataclass(frozen=True, slots=True)
class Rules:
    """What people taught. `accounts`: payer account -> (rule, party), `names` likewise by name, of payers that are of one party;
    `texts`: (rule, words, money in, ledger account); `never`: by transaction what it is not about, each one document or several."""

    accounts: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    names: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    texts: tuple[tuple[int, frozenset[str], bool, str], ...] = ()
    never: Mapping[ItemKey, frozenset[frozenset[ItemKey]]] = field(default_factory=dict)

    def party_of(self, line: Line) -> tuple[int, str] | None:
        """The rule that says whose money it is, and the party."""
        found = self.accounts.get(line.payer) if line.payer else None
        return found or (self.names.get(line.party) if line.party else None)


@dataclass(slots=True)
class Candidates:
    """What one line may be about. `named`: documents that have a key in common with it; `alike`: that would be paid by its
    amount; `of_party`: of the party that it seems to be from; `earlier`: transactions of the same account with the opposite
    amount."""

    named: list[ItemKey] = field(default_factory=list)
    alike: list[ItemKey] = field(default_factory=list)
    of_party: list[ItemKey] = field(default_factory=list)
    earlier: list[ItemKey] = field(default_factory=list)


Row = Mapping[str, Any]
