"""What a process knows of ledgers' versions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from sources.database.pool import Database
from sources.ledger.versions import Versions
from tests.graph import Graph, entry, open_graph


@pytest.fixture
async def graph(database_url: str) -> AsyncIterator[Graph]:
    async with open_graph(database_url) as opened:
        await opened.found()
        yield opened


async def ledger_id(graph: Graph) -> int:
    (ref,) = (await graph.services.directory.resolve(["us"])).values()
    return ref.ledger_id


async def test_an_era_lasts_while_entries_are_added(graph: Graph) -> None:
    """Other processes' entries too; what changes is the newest entry, or the number of names."""
    versions, us = Versions(graph.services.database, 10), await ledger_id(graph)
    seen = [await versions.now(None, us)]
    for number in range(3):
        await graph.post(entry(f"k{number}"))
        seen.append(await versions.now(None, us))
    await graph.data('mutation { updateAccount(input: {ledger: "us", code: "1000", name: "Till"}) { __typename } }')
    seen.append(await versions.now(None, us))
    assert all(seen)
    assert len(set(seen)) == 5
    assert {version.era for version in seen if version} == {1}
    assert [version.last_sequence for version in seen if version] == [0, 1, 2, 3, 3]


async def test_a_ledger_outside_the_claims_has_none(graph: Graph) -> None:
    versions, us = Versions(graph.services.database, 10), await ledger_id(graph)
    assert await versions.now([us + 1], us) is None
    assert await versions.now([], us) is None
    assert await versions.now([us], us) is not None


async def test_an_older_snapshot_does_not_know_the_era(graph: Graph) -> None:
    """It lacks the entry by which the history is known, and what was known stays."""
    versions, us = Versions(graph.services.database, 10), await ledger_id(graph)
    database: Database = graph.services.database
    async with database.snapshot(None) as connection:
        await connection.fetch("SELECT count(*) FROM ledger.entry")
        await graph.post(entry("later"))
        now = await versions.now(None, us)
        old = await versions.seen(connection.fetch, us, fresh=False)
        assert now is not None
        assert old is not None
        assert (now.last_sequence, now.era) == (1, 1)
        assert (old.last_sequence, old.era) == (0, 0)
    assert await versions.now(None, us) == now


async def test_another_history_is_another_era(graph: Graph, owner_url: str) -> None:
    """Entries that were restored to an earlier state, and then posted differently: at once when the newest known is not there,
    and when it is another one."""
    versions, us = Versions(graph.services.database, 10), await ledger_id(graph)
    await graph.post(entry("first"))
    await graph.post(entry("second"))
    before: Any = await versions.now(None, us)
    owner = await asyncpg.connect(owner_url)
    try:
        await owner.execute(
            "ALTER TABLE ledger.entry DISABLE TRIGGER USER; ALTER TABLE ledger.head DISABLE TRIGGER USER"
        )
        await owner.execute("UPDATE ledger.entry SET hash = sha256(hash) WHERE sequence = 2")
        await owner.execute("UPDATE ledger.head SET last_hash = (SELECT hash FROM ledger.entry WHERE sequence = 2)")
        other: Any = await versions.now(None, us)
        await owner.execute(
            "UPDATE ledger.head SET (last_sequence, last_hash) = (SELECT sequence, hash FROM ledger.entry WHERE sequence = 1)"
        )
        earlier: Any = await versions.now(None, us)
        assert [version.last_sequence for version in (before, other, earlier)] == [2, 2, 1]
        assert before.era < other.era < earlier.era
        assert await versions.now(None, us) == earlier
    finally:
        await owner.close()
