"""Versions of rules: numbered without gaps, never changed, one active at most."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeAlias

import asyncpg
import pytest

from sources.errors import InvalidArgument, NotFound
from sources.mapping import starter
from sources.mapping.starter import starter_text
from sources.pipeline import rulesets
from sources.pipeline.rulebook import RuleBook

Connection: TypeAlias = "asyncpg.Connection[Any]"


@pytest.fixture
async def us(ledgers: Mapping[str, int]) -> int:
    return ledgers["acme-us"]


@pytest.fixture
async def apps(database_url: str, us: int) -> AsyncIterator[list[Connection]]:
    """Connections of the application at work in acme-us."""
    connections = [await asyncpg.connect(database_url) for _ in range(4)]
    for connection in connections:
        await connection.execute(f"SET ledgergraph.ledgers = '{us}'")
    yield connections
    for connection in connections:
        await connection.close()


async def save(connection: Connection, us: int, text: str, name: str = "us.toml") -> rulesets.RuleSetInfo:
    async with connection.transaction():
        return await rulesets.save(connection, us, text=text, name=name, created_by="ada")


async def activate(connection: Connection, us: int, version: int) -> rulesets.RuleSetInfo:
    async with connection.transaction():
        return await rulesets.activate(connection, us, version)


async def test_rules_get_the_next_number_and_the_same_text_keeps_its_own(apps: list[Connection], us: int) -> None:
    app = apps[0]
    assert await rulesets.active(app, us) is None
    first = await save(app, us, "a = 1")
    assert (first.version, first.name, first.created_by, first.active) == (1, "us.toml", "ada", False)
    assert (await save(app, us, "a = 2")).version == 2
    assert await save(app, us, "a = 1", "renamed.toml") == first
    assert [each.version for each in await rulesets.listed(app, us)] == [2, 1]
    stored = await rulesets.read(app, us, 2)
    assert (stored.version, stored.text, stored.active) == (2, "a = 2", False)


async def test_one_version_is_active_at_a_time_and_an_old_one_may_be_again(apps: list[Connection], us: int) -> None:
    app = apps[0]
    for text in ("a = 1", "a = 2"):
        await save(app, us, text)
    for version in (1, 2, 2, 1):
        assert (await activate(app, us, version)).active
        active = await rulesets.active(app, us)
        assert active is not None
        assert active.version == version
        assert [each.version for each in await rulesets.listed(app, us) if each.active] == [version]


async def test_versions_that_come_at_once_have_no_gaps_and_one_is_active(apps: list[Connection], us: int) -> None:
    async def work(connection: Connection, number: int) -> None:
        for turn in range(10):
            saved = await save(connection, us, f"a = {(number * 10 + turn) % 25}")
            await activate(connection, us, saved.version)

    await asyncio.gather(*(work(connection, number) for number, connection in enumerate(apps)))
    found = await rulesets.listed(apps[0], us)
    assert [each.version for each in found] == list(range(25, 0, -1))
    assert sum(each.active for each in found) == 1


async def test_a_version_that_is_not_there_is_not_found(apps: list[Connection], us: int) -> None:
    for act in (activate, rulesets.read):
        with pytest.raises(NotFound, match="no version 7"):
            await act(apps[0], us, 7)


@pytest.mark.parametrize(
    ("text", "name"), [("", "a"), ("x" * 1_000_001, "a"), ("a", ""), ("a", "n" * 201), ("a\x00", "a"), ("a", "\ud800")]
)
async def test_what_is_out_of_bounds_is_refused(apps: list[Connection], us: int, text: str, name: str) -> None:
    with pytest.raises(InvalidArgument):
        await save(apps[0], us, text, name)
    assert await rulesets.listed(apps[0], us) == []


async def test_rules_of_another_ledger_are_neither_seen_nor_stored(
    apps: list[Connection], us: int, ledgers: Mapping[str, int]
) -> None:
    app, eu = apps[0], ledgers["acme-eu"]
    await save(app, us, "a = 1")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await save(app, eu, "a = 1")
    await app.execute(f"SET ledgergraph.ledgers = '{eu}'")
    assert (await save(app, eu, "a = 1")).version == 1
    with pytest.raises(NotFound):
        await activate(app, us, 1)
    assert await rulesets.listed(app, us) == []


async def test_a_version_keeps_the_built_in_rules_that_it_extends(
    apps: list[Connection], us: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later program with other ones reads it as it was, and the same text saved again is another version."""
    app, text = apps[0], 'extends = "starter"\naccounts.receivable = "1"\n'
    first = await save(app, us, text)
    assert (await rulesets.read(app, us, first.version)).starter == starter_text()
    before = (await RuleBook().versions(app, us, [first.version]))[first.version]
    monkeypatch.setattr(starter, "starter_text", lambda: 'name = "starter"\n[accounts]\nreceivable = "2"\n')
    assert (await RuleBook().versions(app, us, [first.version]))[first.version].digest == before.digest
    second = await save(app, us, text)
    assert second.version == first.version + 1
    assert await save(app, us, text) == second
    own = await save(app, us, "# extends nothing")
    assert (await rulesets.read(app, us, own.version)).starter is None
