"""Posting: group commit beside a transaction for each mutation, through HTTP, and planned execution beside graphql-core."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from benchmarks.books import HOT_ACCOUNTS, POSTING_DAY, SEED, as_input, codes, entry
from benchmarks.contest import Contest
from benchmarks.load import KEY, Result
from benchmarks.measuring import Samples, take_turns
from benchmarks.processes import Generator
from sources.ledger.model import LedgerRef

MARK = '"replayed":false'
SINGLE = """mutation ($input: PostEntryInput!) { postEntry(input: $input) { __typename
  ... on EntryPosted { replayed entry { sequence } }
  ... on EntryRejected { reasons { code message path } }
  ... on IdempotencyConflict { message } } }"""
MANY = """mutation ($input: PostEntriesInput!) { postEntries(input: $input) { results { __typename
  ... on EntryPosted { replayed entry { sequence } }
  ... on EntryRejected { reasons { code message path } }
  ... on IdempotencyConflict { message } } } }"""


@dataclass(frozen=True, slots=True)
class Scenario:
    """`entries`: how many a mutation posts, 1 by postEntry, more by postEntries; `hot`: all lines on two accounts."""

    clients: int
    entries: int
    hot: bool


def scenarios(clients: Sequence[int], entries: Sequence[int]) -> list[Scenario]:
    return [Scenario(many, size, hot) for size in entries for many in clients for hot in (False, True)]


@dataclass(slots=True)
class Posting:
    """One scenario's results, in entries a second; `last`: each contestant's last round through HTTP."""

    scenario: Scenario
    ours: Samples
    other: Samples
    last: dict[str, Result] = field(default_factory=dict)


class Bodies:
    """The mutations' variables, from a seed; every contestant posts the same."""

    def __init__(self, ledger: LedgerRef, accounts: int) -> None:
        self._ledger, self._accounts = ledger, codes(accounts)

    def variables(self, scenario: Scenario, count: int) -> list[dict[str, Any]]:
        """`count` different ones, with KEY in each idempotency key."""
        chance = random.Random(SEED + scenario.hot)
        accounts = self._accounts[:HOT_ACCOUNTS] if scenario.hot else self._accounts
        found = []
        for _ in range(count):
            drafts = [
                entry(self._ledger, f"{KEY}-{number}", POSTING_DAY, chance, accounts)
                for number in range(scenario.entries)
            ]
            inputs = [as_input(draft) for draft in drafts]
            found.append({"input": inputs[0] if scenario.entries == 1 else {"entries": inputs}})
        return found

    def requests(self, scenario: Scenario) -> list[str]:
        query = SINGLE if scenario.entries == 1 else MANY
        count = 512 if scenario.entries == 1 else 32
        return [orjson.dumps({"query": query, "variables": item}).decode() for item in self.variables(scenario, count)]


class PostingContest:
    """Measures scenarios and counts what was acknowledged, for the check at the end."""

    def __init__(self, bodies: Bodies, rounds: int, seconds: float, tell: Callable[[str], None]) -> None:
        self._bodies, self._rounds, self._seconds, self._tell = bodies, rounds, seconds, tell
        self._keys = itertools.count()
        self.acknowledged = 0

    async def http(self, scenario: Scenario, load: Generator, ours: int, other: int) -> Posting:
        """The gateways on the ports `ours` (group commit) and `other` (a transaction for each mutation)."""
        self._tell(f"posting through HTTP: {describe(scenario)}")
        requests = self._bodies.requests(scenario)
        last: dict[str, Result] = {}

        async def turn(name: str, port: int) -> float:
            result = last[name] = await load.run(
                port,
                clients=scenario.clients,
                seconds=self._seconds,
                bodies=requests,
                marker=MARK,
                times=scenario.entries,
            )
            self.acknowledged += result.all_answers * scenario.entries
            return result.answers * scenario.entries / result.seconds

        turns = {"ours": lambda: turn("ours", ours), "other": lambda: turn("other", other)}
        rates = await take_turns(turns, self._rounds)
        return Posting(scenario, rates["ours"], rates["other"], last)

    async def local(self, scenario: Scenario, contest: Contest) -> Posting:
        """In this process, with group commit on both sides: what the execution alone makes of it."""
        self._tell(f"posting in one process: {describe(scenario)}")
        turns = {
            "ours": lambda: self._tasks(contest.planned, scenario),
            "other": lambda: self._tasks(contest.field_by_field, scenario),
        }
        rates = await take_turns(turns, self._rounds)
        return Posting(scenario, rates["ours"], rates["other"])

    async def _tasks(self, execute: Callable[[str, Any], Awaitable[bytes]], scenario: Scenario) -> float:
        prepared = self._bodies.variables(scenario, 512)
        begun, count = time.perf_counter(), 0

        async def client(number: int) -> None:
            nonlocal count
            for turn in itertools.count(number):
                given = prepared[turn % len(prepared)]["input"]
                keyed = {**given, "idempotencyKey": f"local-{next(self._keys)}"}
                answer = await execute(SINGLE, {"input": keyed})
                if MARK.encode() not in answer:
                    raise RuntimeError(f"not posted: {answer!r}")
                count += 1
                if time.perf_counter() - begun >= self._seconds:
                    return

        await asyncio.gather(*(client(number) for number in range(scenario.clients)))
        self.acknowledged += count
        return count / (time.perf_counter() - begun)


def describe(scenario: Scenario) -> str:
    accounts = "two hot accounts" if scenario.hot else "spread accounts"
    mutation = "postEntry" if scenario.entries == 1 else f"postEntries of {scenario.entries}"
    return f"{mutation}, {scenario.clients} clients, {accounts}"
