"""What goes on by itself: pulls by schedule and by webhook, rules for every ledger, entries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import date
from functools import partial

import pytest

from gateway import rulefiles, scheduling
from gateway.rulefiles import STARTER, read_rules
from gateway.scheduling import Scheduler
from sources.errors import ConfigurationError, SourceUnavailable
from sources.mirror import webhooks
from sources.mirror.settings import DEFAULT_MAX_AGE, SourceSettings
from sources.pipeline.worker import Pipeline
from tests.gateway.processes import until
from tests.graph import Graph, open_graph
from tests.sources.mirror.kit import Kit, Script
from tests.world import RULES

CUTOVER = date(2026, 1, 1)


@asynccontextmanager
async def running(graph: Graph, rules: Mapping[str, tuple[str, str]] | None = None) -> AsyncIterator[Scheduler]:
    services = graph.services
    pipeline = Pipeline(services.database, services.poster)
    scheduler = Scheduler(services.database, services.directory, services.refresher, pipeline, rules or {})
    scheduler.start()
    try:
        yield scheduler
    finally:
        await scheduler.close()


def source(**more: object) -> SourceSettings:
    return Kit.stripe(**{"name": "billing", "ledger": "us", **more})


def script() -> Script:
    return Script(*Kit.pages([Kit.invoice()]))


def entries(graph: Graph) -> Callable[[], Awaitable[bool]]:
    async def posted() -> bool:
        ledger = (await graph.data('{ ledger(code: "us") { lastSequence } }'))["ledger"]
        return ledger is not None and ledger["lastSequence"] > 0

    return posted


def test_the_period() -> None:
    """As stated, else the age that documents may have, and not under a minute."""
    assert source().period == DEFAULT_MAX_AGE
    assert source(max_age=0.0).period == 60
    assert source(max_age=7200.0).period == 7200
    assert source(max_age=7200.0, every=5.0).period == 5


async def test_sources_are_pulled_again_and_again(database_url: str) -> None:
    connector = script()
    async with open_graph(database_url, sources=[(source(every=0.01), connector)]) as graph:
        await graph.found()
        async with running(graph):
            await until(lambda: len(connector.pulls) >= 3)
    assert connector.pulls[:2] == [None, "1"]


async def test_a_webhook_has_its_source_pulled_at_once(database_url: str) -> None:
    """And is done with when that pull has ended; a source that fails is not forgotten."""
    connector = script()
    settings = source(every=3600.0, webhook_secrets=("s",))
    async with open_graph(database_url, sources=[(settings, connector)]) as graph:
        await graph.found()
        async with running(graph) as scheduler:
            await until(lambda: len(connector.pulls) == 1)
            async with graph.services.database.writer() as connection:
                assert await webhooks.receive(connection, "billing", "evt_1", {}, b"{}")
            scheduler.wake("billing")
            await until(lambda: len(connector.pulls) == 2)

            async def done() -> bool:
                async with graph.services.database.writer() as connection:
                    return not await webhooks.waiting(connection, ["billing"])

            await until(done)


async def test_deliveries_that_come_together_are_one_pull(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first has its source pulled at once; what comes soon after it waits for the next pull."""
    monkeypatch.setattr(scheduling, "WOKEN_SECONDS", 0.3)
    connector, began = script(), list[float]()
    async with open_graph(database_url, sources=[(source(every=3600.0), connector)]) as graph:
        await graph.found()
        async with running(graph) as scheduler:
            await until(lambda: len(connector.pulls) == 1)

            def reached(pulls: int) -> bool:
                return len(connector.pulls) >= pulls

            for wanted in (2, 3):
                for _ in range(5):
                    scheduler.wake("billing")
                    await asyncio.sleep(0)
                await until(partial(reached, wanted))
                began.append(asyncio.get_running_loop().time())
    assert began[1] - began[0] > 0.2
    assert len(connector.pulls) == 3


async def test_a_source_that_fails_is_asked_again_soon(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long its period is: that it failed a moment ago is no answer for the whole of it."""
    monkeypatch.setattr(scheduling, "RETRY_SECONDS", 0.05)
    connector = script()
    connector.failure = SourceUnavailable("it is down.")
    async with open_graph(database_url, sources=[(source(every=3600.0), connector)]) as graph:
        await graph.found()
        async with running(graph):
            await until(lambda: len(connector.pulls) >= 3)
            connector.failure = None

            async def held() -> bool:
                return (await graph.data("{ sources { status } }"))["sources"] == [{"status": "OK"}]

            await until(held)


async def test_a_delivery_that_nobody_acted_on_wakes_its_source_at_the_start(database_url: str) -> None:
    """It was acknowledged by a process that died then."""
    connector = script()
    settings = source(every=3600.0, webhook_secrets=("s",))
    async with open_graph(database_url, sources=[(settings, connector)]) as graph:
        await graph.found()
        await graph.services.refresher.sync("billing")
        async with graph.services.database.writer() as connection:
            await webhooks.receive(connection, "billing", "evt_1", {}, b"{}")
        async with running(graph):
            await until(lambda: len(connector.pulls) == 2)


async def test_documents_become_entries_by_the_rules_of_a_file(database_url: str) -> None:
    async with open_graph(database_url, sources=[(source(post_from=CUTOVER), script())]) as graph:
        await graph.found()
        async with running(graph, {"us": (RULES, "us.toml")}):
            await until(entries(graph))
        found = await graph.data('{ mappings(ledger: "us") { nodes { version name active createdBy } } }')
        assert found["mappings"]["nodes"] == [
            {"version": 1, "name": "us.toml", "active": True, "createdBy": rulefiles.PROVIDED_BY}
        ]


async def test_a_ledger_without_rules_gets_the_built_in_ones(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that is created later; rules that a person made active stay."""
    monkeypatch.setattr(scheduling, "RULES_SECONDS", 0.05)
    active = '{ mappings(ledger: "us") { nodes { text active } } }'
    async with open_graph(database_url, sources=[(source(post_from=CUTOVER), script())]) as graph:
        async with running(graph):
            await graph.found()

            async def ruled() -> bool:
                return bool((await graph.data(active))["mappings"]["nodes"])

            await until(ruled)
        assert (await graph.data(active))["mappings"]["nodes"] == [{"text": STARTER, "active": True}]
        saved = await graph.data(
            'mutation ($text: String!) { saveMapping(input: {ledger: "us", text: $text, activate: true}) { __typename } }',
            {"text": RULES},
        )
        assert saved["saveMapping"]["__typename"] == "MappingSaved"
        async with running(graph):
            await until(entries(graph))
        assert [each["active"] for each in (await graph.data(active))["mappings"]["nodes"]] == [True, False]


async def test_nothing_goes_on_without_sources(database_url: str) -> None:
    async with open_graph(database_url) as graph, running(graph) as scheduler:
        assert scheduler._tasks == []


def test_rule_files_are_checked_at_the_start(tmp_path) -> None:  # type: ignore[no-untyped-def]
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(RULES)
    bad.write_text("[[rules]]\nname = 1\n")
    assert read_rules({"us": good}) == {"us": (RULES, "good.toml")}
    with pytest.raises(ConfigurationError, match=r"bad\.toml:2: rules\[0\]\.name"):
        read_rules({"us": bad})
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_rules({"us": tmp_path / "none.toml"})
