"""The log of issues: who changes one takes its number away, who follows numbers what was committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest

from sources.database.pool import Database
from sources.mirror import issue_feed, issues
from sources.mirror.issue_feed import ISSUES
from sources.mirror.issues import DocumentIssue, IssueKey

Connection: TypeAlias = "asyncpg.Connection[Any]"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = IssueKey("stripe", "NO_RULE", "invoice in_1")


@pytest.fixture
async def us(ledgers: Mapping[str, int]) -> int:
    return ledgers["acme-us"]


@pytest.fixture
async def app(database_url: str, us: int) -> AsyncIterator[Connection]:
    """The application at work in acme-us."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"SET ledgergraph.ledgers = '{us}'")
    yield connection
    await connection.close()


def issue(number: int = 1, **more: Any) -> DocumentIssue:
    return DocumentIssue(
        ("stripe", "invoice", "", f"in_{number}"), "NO_RULE", **{"message": "No rule takes it.", **more}
    )


async def numbers(owner: Connection) -> list[tuple[str, int | None]]:
    return [tuple(row) for row in await owner.fetch("SELECT subject, revision FROM mirror.issue ORDER BY subject")]


async def numbered(owner: Connection, db: Database, us: int) -> dict[str, int | None]:
    await ISSUES.settle(db, us)
    return dict(await numbers(owner))


async def test_what_changes_an_issue_moves_it_to_the_end(
    app: Connection, db: Database, us: int, owner: Connection
) -> None:
    """Opening, another message, muting, resolving, opening again and closing; several changes before anyone looks are one."""
    await issues.note_documents(app, us, [issue(), issue(2)], NOW)
    assert await numbered(owner, db, us) == {"invoice in_1": 1, "invoice in_2": 2}
    await issues.note_documents(app, us, [issue(message="Something else.")], NOW)
    assert (await numbered(owner, db, us))["invoice in_1"] == 3
    await issues.mute(app, us, KEY, NOW + timedelta(days=1), None)
    assert (await numbered(owner, db, us))["invoice in_1"] == 4
    await issues.resolve(app, us, KEY, "ada", "Done.", NOW)
    assert (await numbered(owner, db, us))["invoice in_1"] == 5
    await issues.note_documents(app, us, [issue()], NOW)
    await issues.close_documents(app, us, [issue().document], NOW)
    assert await numbered(owner, db, us) == {"invoice in_1": 6, "invoice in_2": 2}
    assert await ISSUES.heads(db, [us]) == {us: 6}


async def test_what_is_met_again_and_says_the_same_stays_where_it_was(
    app: Connection, db: Database, us: int, owner: Connection
) -> None:
    """Only its times, attempts and moments move on; nobody is woken either."""
    await issues.note_documents(app, us, [issue(retried=True)], NOW)
    await numbered(owner, db, us)
    heard: asyncio.Queue[str] = asyncio.Queue()
    await owner.add_listener(ISSUES.channel, lambda *message: heard.put_nowait(message[3]))
    for day in range(1, 4):
        await issues.note_documents(app, us, [issue(retried=True)], NOW + timedelta(days=day))
    assert await numbers(owner) == [("invoice in_1", 1)]
    assert await owner.fetchval("SELECT times FROM mirror.issue") == 4
    await issues.note_documents(app, us, [issue(2)], NOW)
    assert await asyncio.wait_for(heard.get(), 10) == ""
    assert heard.empty()


async def test_one_that_is_being_changed_is_waited_for_by_nobody(
    app: Connection, db: Database, us: int, owner: Connection
) -> None:
    """Others are numbered meanwhile; it is when its writer has committed."""
    await issues.note_documents(app, us, [issue(), issue(2)], NOW)
    async with app.transaction():
        await issues.mute(app, us, KEY, NOW, None)
        async with asyncio.timeout(10):
            assert await numbered(owner, db, us) == {"invoice in_1": None, "invoice in_2": 1}
    assert await numbered(owner, db, us) == {"invoice in_1": 2, "invoice in_2": 1}


async def test_many_are_numbered_in_steps(
    app: Connection, db: Database, us: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issue_feed, "STEP", 3)
    await issues.note_documents(app, us, [issue(number) for number in range(10)], NOW)
    assert await ISSUES.heads(db, [us]) == {us: 3}
    await ISSUES.settle(db, us)
    assert await ISSUES.heads(db, [us]) == {us: 10}


async def test_ledgers_have_numbers_of_their_own(
    app: Connection, db: Database, ledgers: Mapping[str, int], us: int
) -> None:
    eu = ledgers["acme-eu"]
    await issues.note_documents(app, us, [issue()], NOW)
    assert await ISSUES.heads(db, [us, eu]) == {us: 1, eu: 0}
    await app.execute(f"SET ledgergraph.ledgers = '{eu}'")
    with pytest.raises(asyncpg.PostgresError):
        await app.fetch("SELECT * FROM mirror.number_issues($1, 10)", us)
    assert await app.fetchval("SELECT count(*) FROM mirror.issue_head") == 0


async def test_each_start_of_a_server_has_digits_of_its_own(
    app: Connection, db: Database, us: int, owner: Connection
) -> None:
    """So that numbers which were lost with a restored database are known as such."""
    for number in range(3):
        await issues.note_documents(app, us, [issue(number)], NOW)
        await ISSUES.settle(db, us)
    await owner.execute("UPDATE mirror.issue_era SET server = 'as it was before'")
    for number in range(3, 6):
        await issues.note_documents(app, us, [issue(number)], NOW)
        await ISSUES.settle(db, us)
    eras = await owner.fetch("SELECT first_revision, digits FROM mirror.issue_era ORDER BY 1")
    assert [row["first_revision"] for row in eras] == [1, 4]
    assert eras[0]["digits"] != eras[1]["digits"]
