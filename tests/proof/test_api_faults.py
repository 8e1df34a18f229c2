"""Every connector of an API behind a bad line: while the vendor's data change, requests meet faults at random; whoever asks is told,
nothing is held that the vendor never said, and once the line is calm the mirror is the vendor's truth and no issue is open."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import suppress

import asyncpg
import pytest

from sources.connectors.http import HttpOptions
from sources.database.pool import Database
from tests.examples import FACTOR
from tests.proof.faults import Fault, calm, proxy, serving, storm
from tests.sources.connectors.checklist.mirrored import Mirrored, mirrored
from tests.sources.connectors.checklist.subjects import Key, System
from tests.sources.connectors.checklist.test_apis import APIS
from tests.sources.mirror.conftest import create_ledger, db, ledgers, owner

__all__ = ["create_ledger", "db", "ledgers", "owner"]

QUICK = HttpOptions(waiting=False, attempts=3, attempt_seconds=2.0, breaker_failures=1000)
SEEDS = range(max(1, round(2 * FACTOR)))
ROUNDS = 20
SHARES = (0.1, 0.3, 0.6)
"""Of the requests of a round that meet a fault."""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", APIS)
async def test_whatever_happens_on_the_way_the_mirror_ends_as_the_vendor_says(
    name: str, seed: int, db: Database, owner: asyncpg.Connection, ledgers: Mapping[str, int]
) -> None:
    subject, chance = APIS[name], random.Random(f"{name} {seed}")
    system = subject.system()
    said = set(system.truth().items())
    async with (
        serving(system.app) as url,
        proxy(url) as line,
        mirrored(subject, system, line.url, db, owner, QUICK) as mirror,
    ):
        told = []
        for number in range(ROUNDS):
            line.script = storm(hash((seed, number)), chance.choice(SHARES))
            told.append(await mirror.ask())
            assert set((await mirror.held()).items()) <= said
            _happens(system, chance)
            said |= set(system.truth().items())
        line.script = calm
        assert any(told)
        assert len(line.met.keys() & set(Fault)) > 1
        await _settles(mirror, system.truth())


def _happens(system: System, chance: random.Random) -> None:
    for happens in chance.choices((system.add, system.change, system.remove), k=chance.randint(0, 3)):
        with suppress(StopIteration):  # there is nothing left to remove
            happens()


async def _settles(mirror: Mirrored, truth: Mapping[Key, int]) -> None:
    """At once: what was told meanwhile has not to be told twice. Issues of what the line spoilt close once it is asked for again."""
    assert await mirror.ask() is None
    await mirror.hurry()
    assert await mirror.ask() is None
    assert await mirror.held() == truth
    assert await mirror.issues() == []
    assert await mirror.ask() is None
    assert await mirror.held() == truth
