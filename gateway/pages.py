"""Pages of a ledger's events: what several selections want is read once, and shaped once for each."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import orjson

from gateway.execution import Bound, Execution
from gateway.planning.plan import FieldPlan
from gateway.requests import ErrorObject, Results
from resolvers.context import Context
from resolvers.fields import Stream
from sources.caller import Caller
from sources.errors import TooMuch
from sources.feed import Position
from sources.ledger.model import LedgerRef
from sources.reading import Row, Want

CHUNK_EVENTS, CHUNK_BYTES = 100, 65_536
"""Of events that go to a reader at once, as far as one event is not more."""
SOMEONE = f"request-{secrets.token_hex(16)}"
"""Stands for each subscriber's request id in the errors of an event; no client knows it."""

Rows = list[tuple[Row, Position]]


@dataclass(slots=True)
class Subscription:
    """What a stream is of: a plan's field, its arguments and the caller whose ledgers it may read."""

    plan: FieldPlan
    bound: Bound
    caller: Caller
    request_id: str

    @property
    def args(self) -> Mapping[str, Any]:
        args: Mapping[str, Any] = self.bound[self.plan]
        return args

    @property
    def stream(self) -> Stream:
        assert isinstance(self.plan.source, Stream)
        return self.plan.source

    @property
    def reads(self) -> Any:
        """The same for all that read the same events, whatever they select of them."""
        return self.stream, repr({name: value for name, value in self.args.items() if name != "after"})

    @property
    def key(self) -> Any:
        """The same for all whose events have the same text."""
        nested = [repr(value) for plan, value in self.bound.items() if plan is not self.plan]
        return self.plan, self.reads, tuple(nested)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Events, and the position behind them and behind what the filter left out. `failed`: some have errors."""

    results: Results
    end: Position
    failed: bool

    def results_for(self, request_id: str) -> Results:
        """With the subscriber's own request id in the errors."""
        if not self.failed:
            return self.results
        mine = request_id.encode()
        return Results([body.replace(SOMEONE.encode(), mine) for body in self.results.bodies])


class Pages:
    """Pages in one snapshot of a ledger. `wanted`: what will be read, and behind which positions. `unread`: the position, and the
    `Subscription.reads`, of what could not be read; the snapshot is over with it."""

    def __init__(
        self, reader: Context, ledger: LedgerRef, answer_bytes: int, wanted: Iterable[tuple[Subscription, Position]]
    ) -> None:
        self._reader, self._ledger, self._answer_bytes = reader, ledger, answer_bytes
        self._columns: dict[Any, dict[str, None]] = {}
        self._rows: dict[Any, Rows] = {}
        self.unread: tuple[Position, Any] | None = None
        for subscription, position in wanted:
            columns = self._columns.setdefault((position, subscription.reads), {})
            columns.update(dict.fromkeys(subscription.plan.want.columns))

    async def page(self, subscription: Subscription, position: Position, goal: Position) -> list[Chunk]:
        """The events from a position to another one. Events that are too large for one page come in a smaller one, which ends
        before. Raises TooMuch for a single one that is."""
        rows = await self._shared(subscription, position, goal)
        while True:
            try:
                return await self._shaped(subscription, rows, goal)
            except TooMuch:
                if len(rows) <= 1:
                    raise
                rows = rows[: max(1, len(rows) // 8)]
                goal = rows[-1][1]

    async def _shared(self, subscription: Subscription, position: Position, goal: Position) -> Rows:
        key = position, subscription.reads
        columns, mine = tuple(self._columns[key]), subscription.plan.want.columns
        rows = self._rows.get(key)
        if rows is None:
            want, self.unread = Want(columns), key
            rows = await subscription.stream.read(self._reader, self._ledger, position, goal, want, subscription.args)
            self._rows[key], self.unread = rows, None
        if columns == mine:
            return rows
        pick = _picker([columns.index(name) for name in mine])
        return [(pick(row), behind) for row, behind in rows]

    async def _shaped(self, subscription: Subscription, rows: Rows, goal: Position) -> list[Chunk]:
        plan = subscription.plan
        caller = replace(subscription.caller, ledgers=frozenset((self._ledger.code,)))
        context = Context(self._reader.services, caller, self._reader.snapshot)
        execution = Execution(context, subscription.bound, SOMEONE, self._answer_bytes)
        answers = await execution.events(plan, [row for row, _ in rows]) if rows else []
        events = [
            (behind, _result(plan.name, text, errors))
            for (_, behind), (text, errors) in zip(rows, answers, strict=True)
        ]
        return _chunks(events, goal, failed=any(errors for _, errors in answers))


def _picker(positions: list[int]) -> Callable[[Row], Row]:
    if len(positions) > 1:
        return itemgetter(*positions)
    return lambda row: tuple([row[position] for position in positions])


def _result(name: str, text: str, errors: list[ErrorObject]) -> bytes:
    failed = b',"errors":' + orjson.dumps(errors) if errors else b""
    return f'{{"data":{{"{name}":{text}}}'.encode() + failed + b"}"


def _chunks(events: list[tuple[Position, bytes]], goal: Position, *, failed: bool) -> list[Chunk]:
    """The events in portions; the last one reaches to the goal, whatever the filter left out before."""
    chunks: list[Chunk] = []
    bodies: list[bytes] = []
    length, last = 0, goal
    for position, body in events:
        if bodies and (len(bodies) >= CHUNK_EVENTS or length + len(body) > CHUNK_BYTES):
            chunks.append(Chunk(Results(bodies), last, failed))
            bodies, length = [], 0
        bodies.append(body)
        length, last = length + len(body), position
    return [*chunks, Chunk(Results(bodies), goal, failed)]
