"""Signed deliveries to `POST /webhooks/{source}`, and the committed INSERT of the same rows beside them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson

from benchmarks.load import answer_of
from benchmarks.measuring import Samples, percentile
from benchmarks.tables import table

SECRET = "whsec_benchmark"
PAUSE = 0.01
"""Seconds between a delivery and the next one, where something else goes on."""
_INSERT = """
INSERT INTO mirror.webhook (source, delivery_id, received_at, headers, body)
VALUES ($1, $2, clock_timestamp(), $3::jsonb, $4) ON CONFLICT DO NOTHING RETURNING true"""


@dataclass(slots=True)
class Taken:
    """Seconds of each delivery, and of each INSERT; a list for each turn."""

    delivered: list[list[float]] = field(default_factory=list)
    bare: list[list[float]] = field(default_factory=list)

    def over(self, share: float) -> Samples:
        """How many times longer deliveries take, at this share of each."""
        pairs = zip(self.delivered, self.bare, strict=True)
        return Samples([percentile(one, share) / percentile(other, share) for one, other in pairs])


class Sender:
    """One client on one connection to a gateway, and a bare connection to its database."""

    def __init__(self, source: str, owner: asyncpg.Connection[Any]) -> None:
        self._source, self._owner = source, owner

    async def connect(self, port: int) -> None:
        """To the gateway."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        self._insert = await self._owner.prepare(_INSERT)

    def close(self) -> None:
        self._writer.close()

    async def turns(self, count: int, turn: str, taken: Taken) -> None:
        """So many deliveries, one after the other, then as many INSERTs."""
        taken.delivered.append([await self._deliver(f"evt_{turn}_{number:016}") for number in range(count)])
        taken.bare.append([await self._store(f"bare_{turn}_{number:015}") for number in range(count)])

    async def beside(self, count: int, turn: str, taken: Taken, until: asyncio.Event) -> None:
        """By turns one delivery and one INSERT, with pauses, while something else goes on."""
        taken.delivered.append([])
        taken.bare.append([])
        for number in range(count):
            if until.is_set():
                return
            taken.delivered[-1].append(await self._deliver(f"evt_{turn}_{number:016}"))
            taken.bare[-1].append(await self._store(f"bare_{turn}_{number:015}"))
            await asyncio.sleep(PAUSE)

    async def _deliver(self, event_id: str) -> float:
        request = _delivery(self._source, event_id)
        begun = time.perf_counter()
        self._writer.write(request)
        head, _ = await answer_of(self._reader)
        seconds = time.perf_counter() - begun
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"a delivery was refused: {head[:40]!r}")
        return seconds

    async def _store(self, event_id: str) -> float:
        body = _event(event_id)
        begun = time.perf_counter()
        await self._insert.fetchval("bare", event_id, '{"content-type": "application/json"}', body)
        return time.perf_counter() - begun


def _event(event_id: str) -> bytes:
    data = {"object": {"id": "in_1", "object": "invoice", "padding": "x" * 2_000}}
    return orjson.dumps({"id": event_id, "object": "event", "type": "invoice.paid", "created": 1, "data": data})


def _delivery(source: str, event_id: str) -> bytes:
    body, moment = _event(event_id), b"%d" % time.time()
    signature = hmac.new(SECRET.encode(), b"%s.%s" % (moment, body), hashlib.sha256).hexdigest().encode()
    head = b"POST /webhooks/%s HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n" % source.encode()
    return head + b"stripe-signature: t=%s,v1=%s\r\ncontent-length: %d\r\n\r\n%s" % (moment, signature, len(body), body)


def taken_table(quiet: Taken, busy: Taken) -> str:
    """Milliseconds, and how many times longer a delivery takes."""
    rows = []
    for label, taken in (("nothing else", quiet), ("a first pull", busy)):
        for name, runs in (("a delivery, accepted", taken.delivered), ("a bare INSERT, committed", taken.bare)):
            cells = [_milliseconds(runs, share) for share in (0.5, 0.99)]
            count = f"{sum(map(len, runs)):,}"
            rows.append((f"{name}, beside {label}", count, *cells))
        rows.append((f"*ratio, beside {label}*", "", *(f"{taken.over(share).median:.1f}×" for share in (0.5, 0.99))))
    return table(("", "sent", "p50, ms", "p99, ms"), rows)


def _milliseconds(runs: Sequence[Sequence[float]], share: float) -> str:
    return f"{1000 * Samples([percentile(run, share) for run in runs]).median:.2f}"
