"""What /metrics tells of sources, their issues and the documents that wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from gateway import gauges
from gateway.gauges import NOT_CONFIGURED, SourceGauges
from gateway.metrics import Metrics
from sources.database.pool import Database
from tests.graph import open_graph

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
async def owner(owner_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """The database as its owner, with a ledger."""
    connection = await asyncpg.connect(owner_url)
    yield connection
    await connection.close()


@pytest.fixture
async def books(database_url: str) -> AsyncIterator[Database]:
    async with open_graph(database_url) as graph:
        await graph.found("us")
        await graph.found("eu", "EUR")
        yield graph.services.database


async def note(owner: asyncpg.Connection[Any], source: str, code: str, count: int = 1, **more: Any) -> None:
    columns = "".join(f", {name}" for name in more)
    marks = "".join(f", ${number}" for number in range(5, 5 + len(more)))
    await owner.execute(
        f"""INSERT INTO mirror.issue (ledger_id, source, code, subject, message, first_seen, opened_at, last_seen{columns})
            SELECT ledger_id, $1, $2, $2 || number, 'm', $4, $4, $4{marks} FROM ledger.ledger, generate_series(1, $3::int) AS number""",
        source, code, count, NOW, *more.values(),
    )  # fmt: skip


async def scraped(metrics: Metrics) -> dict[str, float]:
    lines = (await metrics.scrape()).decode().splitlines()
    found = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}
    return {name.removeprefix("ledgergraph_"): value for name, value in found.items()}


def measured(database: Database, *names: str) -> tuple[Metrics, SourceGauges]:
    metrics, found = Metrics(), SourceGauges(database, names)
    metrics.register(found, found.refresh)
    return metrics, found


async def test_open_and_muted_issues_are_counted_apart(books: Database, owner: asyncpg.Connection[Any]) -> None:
    """Of all ledgers together, by source and code; closed ones are not, and a mute that ran out is none."""
    await note(owner, "stripe", "NO_RULE", 3)
    await note(owner, "stripe", "MISSING_RATE", 1, muted_until=datetime(2999, 1, 1, tzinfo=UTC))
    await note(owner, "stripe", "UNBALANCED", 1, muted_until=NOW)
    await note(owner, "stripe", "UNREADABLE_FILE", 1, closed_at=NOW)
    metrics, _ = measured(books, "stripe")
    found = {name: value for name, value in (await scraped(metrics)).items() if "issues" in name}
    assert found == {
        'open_issues{code="NO_RULE",source="stripe"}': 6,
        'open_issues{code="MISSING_RATE",source="stripe"}': 0,
        'open_issues{code="UNBALANCED",source="stripe"}': 2,
        'muted_issues{code="NO_RULE",source="stripe"}': 0,
        'muted_issues{code="MISSING_RATE",source="stripe"}': 2,
        'muted_issues{code="UNBALANCED",source="stripe"}': 0,
    }


async def test_labels_are_bounded(books: Database, owner: asyncpg.Connection[Any]) -> None:
    """Sources that are not configured are one, and so are the codes beyond those that are met most."""
    for number in range(gauges.MOST_CODES + 5):
        await note(owner, "stripe", f"CODE_{number}", 2 if number < gauges.MOST_CODES else 1)
    for number in range(30):
        await note(owner, f"former {number}", "NO_RULE")
    metrics, _ = measured(books, "stripe")
    found = {name: value for name, value in (await scraped(metrics)).items() if name.startswith("open_issues")}
    assert len(found) == gauges.MOST_CODES + 2
    assert found['open_issues{code="other",source="stripe"}'] == 10
    assert found[f'open_issues{{code="NO_RULE",source="{NOT_CONFIGURED}"}}'] == 60


async def test_sources_and_the_queue_of_documents(books: Database, owner: asyncpg.Connection[Any]) -> None:
    """How long ago each was read with success; a source that never was has no age. What is tried again later is told apart."""
    await owner.execute(
        """INSERT INTO mirror.source_state (source, kind, route, last_success_at)
           VALUES ('stripe', 'stripe', 'r', now() - interval '100 seconds'), ('bank', 'bank', 'r', NULL), ('former', 'x', 'r', now())"""
    )
    await owner.execute(
        """INSERT INTO pipeline.todo (ledger_id, source, kind, external_id, since, not_before)
           SELECT ledger_id, 'stripe', 'invoice', stated.name, now() - interval '50 seconds', now() + later::interval
           FROM ledger.ledger, (VALUES ('a', '-1 second'), ('b', '-2 seconds'), ('c', '1 hour')) AS stated (name, later)
           WHERE ledger.code = 'us'"""
    )
    metrics, _ = measured(books, "stripe", "bank")
    found = await scraped(metrics)
    assert 100 <= found.pop('source_success_age_seconds{source="stripe"}') < 160
    assert 50 <= found.pop('oldest_document_due_seconds{source="stripe"}') < 110
    shown = {name: value for name, value in found.items() if 'source="' in name}
    assert shown == {
        'documents_due{source="bank"}': 0,
        'documents_due{source="stripe"}': 2,
        'documents_put_off{source="bank"}': 0,
        'documents_put_off{source="stripe"}': 1,
        'oldest_document_due_seconds{source="bank"}': 0,
    }


async def test_a_reading_is_told_again_for_a_while(
    books: Database, owner: asyncpg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And many scrapes at once are one reading."""
    metrics, _ = measured(books, "stripe")
    await note(owner, "stripe", "NO_RULE")
    first = await asyncio.gather(*[scraped(metrics) for _ in range(20)])
    assert all(each == first[0] for each in first)
    await note(owner, "stripe", "MISSING_RATE")
    assert await scraped(metrics) == first[0]
    monkeypatch.setattr(gauges, "KEPT_SECONDS", 0.0)
    monkeypatch.setattr(gauges, "SHARE", 0)
    again, _ = measured(books, "stripe")
    assert len(await scraped(again)) == len(await scraped(again)) == len(first[0]) + 2


async def test_without_a_database_the_rest_is_told(books: Database) -> None:
    """The gauges are absent then: an old number would look like a new one."""
    metrics, found = measured(books, "stripe")
    metrics.count("http", "query", "ok")
    await books.close()
    lines = await scraped(metrics)
    assert any(name.startswith("requests_total") for name in lines)
    assert not any("issues" in name or "documents" in name for name in lines)
    await found.close()
