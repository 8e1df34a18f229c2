"""Readers that ask the same documents again and again, so that they are answered as kept, while gateways and databases die."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import aiohttp

from tests.proof.processes import PASSING, PAUSE, Client, Site

BOOKS = """{ ledger(code: "us") { lastSequence } trialBalance(ledger: "us") { sequence totalDebit totalCredit rows { closing } }
  entries(ledger: "us", last: 3) { totalCount nodes { sequence reversedBy { id } lines { debit credit account { name } } } } }"""
REPORT = '{ trialBalance(ledger: "us") { sequence totalDebit totalCredit rows { closing } } }'
PAGE = '{ entries(ledger: "us", last: 5) { totalCount nodes { sequence lines { debit credit } } } }'


@dataclass(eq=False)
class Reader:
    """Goes from gateway to gateway with one request after another. `known`: the highest sequence that was acknowledged to
    anybody; whoever asks afterwards finds it."""

    where: Site
    talk: Client
    query: str
    known: Callable[[], int]
    sequence: int = 0
    answers: int = 0

    async def run(self) -> None:
        """For ever: for a task that is cancelled at the end. Ends with AssertionError on an answer that cannot be right."""
        number = 0
        while True:
            gateway = await self.where.any(number)
            number += 1
            acknowledged = self.known()
            with suppress(aiohttp.ClientError, TimeoutError, OSError):
                _, body = await self.talk.answer(gateway.url, self.query)
                if "errors" in body:
                    assert {error["extensions"]["code"] for error in body["errors"]} <= PASSING, body
                else:
                    self.check(body["data"], acknowledged)
            await asyncio.sleep(PAUSE / 2)

    def check(self, data: dict[str, Any], acknowledged: int) -> None:
        """Everything in one answer is of one moment, no moment comes before an earlier answer's, and books balance in each."""
        sequences = set()
        if "ledger" in data:
            sequences.add(data["ledger"]["lastSequence"])
        if report := data.get("trialBalance"):
            sequences.add(report["sequence"])
            assert report["totalDebit"] == report["totalCredit"], report
            assert sum(Decimal(row["closing"]) for row in report["rows"]) == 0, report
        if page := data.get("entries"):
            newest = [node["sequence"] for node in page["nodes"]]
            sequences |= {page["totalCount"], *newest[-1:]}
            assert newest == list(range(page["totalCount"] - len(newest) + 1, page["totalCount"] + 1)), page
            for node in page["nodes"]:
                sides = [sum(Decimal(line[side]) for line in node["lines"]) for side in ("debit", "credit")]
                assert sides[0] == sides[1] > 0, node
        (sequence,) = sequences
        assert sequence >= self.sequence, (self.query, data)
        assert sequence >= acknowledged, (self.query, data)
        self.sequence = sequence
        self.answers += 1


@asynccontextmanager
async def reading(where: Site, talk: Client, known: Callable[[], int]) -> AsyncIterator[list[Reader]]:
    """One reader for each document, each with requests of its own, while the block runs."""
    readers = [Reader(where, talk, query, known) for query in (BOOKS, REPORT, PAGE)]
    tasks = [asyncio.create_task(reader.run()) for reader in readers]
    try:
        yield readers
    finally:
        ended = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()
