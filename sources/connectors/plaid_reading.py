"""What a reading of a Plaid Item makes of the state before it: documents, deletions, problems and the next cursor. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from sources.connectors.plaid_cursor import PlaidCursor
from sources.connectors.plaid_records import (
    Holding,
    SyncPage,
    Unreadable,
    identifier_of,
    kept,
    parse_holding,
    parse_transaction,
    statement,
    unreadable,
)
from sources.documents import BankStatement, BankTransaction, Deletion, Document, Page, Problem

T = TypeVar("T")

STORED_AT_ONCE: Final = 1_000
ACCOUNT: Final = "bank account"
TRANSACTION: Final = "bank transaction"


class Said(NamedTuple):
    """What Plaid said last of a transaction; `packed`: its fields as JSON, for there may be many."""

    on: date
    account: str
    pending: bool
    packed: bytes

    @property
    def fields(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.packed)
        return found


@dataclass(slots=True)
class Changes:
    """A reading. `said`: the last word of each transaction, None: it was removed. `modified`: ids that Plaid had stated before."""

    restarts: int = 0
    said: dict[str, Said | None] = field(default_factory=dict)
    modified: set[str] = field(default_factory=set)
    accounts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    next_cursor: str = ""

    def add(self, page: SyncPage) -> None:
        for record in (*page.added, *page.modified):
            try:
                fields = kept(record)
            except Unreadable as error:
                self.problems.append(unreadable(TRANSACTION, identifier_of(record), error))
                continue
            on = date.fromisoformat(fields["date"])
            self.said[fields["transaction_id"]] = Said(
                on, fields["account_id"], fields["pending"], orjson.dumps(fields)
            )
        self.modified.update(str(identifier_of(record)) for record in page.modified)
        self.said.update(dict.fromkeys(page.removed))
        self.accounts.update(page.accounts)
        self.next_cursor = page.next_cursor


class Reading:
    """What a reading makes of the state before it. `missed`: transactions that were removed, or set back to pending, after a pull
    that broke off, which may have stored them."""

    def __init__(self, state: PlaidCursor, changes: Changes, missed: frozenset[str], now: float) -> None:
        self._state = state
        self._changes = changes
        self._today = datetime.fromtimestamp(now, UTC).date()
        self._pending = dict(state.pending)
        self._newest = {account: date.fromisoformat(day) for account, day in state.newest.items()}
        self._problems = list(changes.problems)
        last = {identifier: changes.said.get(identifier) for identifier in missed}
        self._gone = {identifier for identifier, said in last.items() if said is None or said.pending}
        self._booked: list[tuple[date, str]] = []
        self._sort()
        self._holdings = list(self._read_holdings())
        self._accounts = {holding.account.external_id: holding.account for holding in self._holdings}

    def pages(self) -> Iterator[Page]:
        """All but the last have the cursor of before, and say how far this reading had come."""
        broken_off = replace(self._state, telling=self._changes.next_cursor).encode()
        waiting: list[Document] = []
        for _, identifier in self._booked:
            if len(waiting) == STORED_AT_ONCE:
                yield Page(documents=waiting, cursor=broken_off)
                waiting = []
            if said := self._changes.said[identifier]:
                waiting.extend(self._readable(identifier, said.fields, self._statement))
        balances = list(self._balances())
        told = _digest(balances)
        after = PlaidCursor(
            at=self._changes.next_cursor,
            pending=self._pending,
            newest={account: day.isoformat() for account, day in sorted(self._newest.items())},
            told=told,
        )
        yield Page(
            documents=[*waiting, *(balances if told != self._state.told else ())],
            deletions=[Deletion(kind="bank_statement", external_id=each) for each in sorted(self._gone)],
            problems=self._problems,
            cursor=after.encode(),
            complete=True,
        )

    def _sort(self) -> None:
        """What is pending, what is booked (oldest first), and what is gone."""
        for identifier, said in self._changes.said.items():
            was_pending = self._pending.pop(identifier, None) is not None
            if said is None or said.pending:
                # What was pending is no statement; neither is what is new and pending.
                if not was_pending and (said is None or identifier in self._changes.modified):
                    self._gone.add(identifier)
                if said is not None:
                    self._pending[identifier] = said.fields
                continue
            # No place on earth is more than a day ahead of UTC; a date beyond that says nothing of the balance.
            day = min(said.on, self._today + timedelta(days=1))
            self._newest[said.account] = max(self._newest.get(said.account, date.min), day)
            self._booked.append((said.on, identifier))
        self._booked.sort()

    def _readable(
        self, identifier: str, fields: Mapping[str, Any], parse: Callable[[Mapping[str, Any]], T]
    ) -> Iterator[T]:
        """What the fields make; nothing and a problem where they make nothing."""
        try:
            yield parse(fields)
        except Unreadable as error:
            self._problems.append(unreadable(TRANSACTION, identifier, error))

    def _statement(self, fields: Mapping[str, Any]) -> BankStatement:
        return statement(fields, self._accounts)

    def _read_holdings(self) -> Iterator[Holding]:
        for identifier, record in sorted(self._changes.accounts.items()):
            try:
                yield parse_holding(record)
            except Unreadable as error:
                self._problems.append(unreadable(ACCOUNT, identifier, error))

    def _balances(self) -> Iterator[BankStatement]:
        """For each account: what it holds, and all that is pending. It reaches to today (UTC), or to the last day on which
        anything was booked, where the bank's calendar is ahead: what is booked up to then is in the balance."""
        waiting: dict[str, list[BankTransaction]] = {}
        for identifier, fields in sorted(self._pending.items()):
            for transaction in self._readable(identifier, fields, parse_transaction):
                # An institution may keep the id when it posts: the pending one of an earlier day must not be taken for it.
                pending = replace(transaction, external_id=f"{identifier} pending")
                waiting.setdefault(fields["account_id"], []).append(pending)
        for holding in self._holdings:
            account = holding.account
            day = max(holding.on or self._today, self._newest.get(account.external_id, date.min))
            yield BankStatement(
                external_id=f"~{account.external_id} {day}",  # after those of the day: they are ordered by it
                account=account,
                provisional=False,
                transactions=tuple(waiting.get(account.external_id, ())),
                to_date=day,
                closing=holding.booked,
                closing_available=holding.available,
            )


def _digest(statements: Iterable[BankStatement]) -> str:
    return hashlib.sha256(repr(tuple(statements)).encode()).hexdigest()[:24]
