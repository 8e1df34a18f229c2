"""The stream of issues: every change once, as it is by then, from any cursor, within the caller's ledgers and scopes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, date, datetime
from typing import Any

import asyncpg
import pytest

from gateway import streaming
from gateway.requests import RequestRefused
from sources.mirror import issues
from sources.mirror.issues import DocumentIssue
from sources.pipeline.worker import Pipeline
from tests.graph import Graph, Queue, caller, events, open_graph
from tests.sources.mirror.kit import Kit, Script
from tests.world import RULES

NOW = datetime(2026, 3, 1, tzinfo=UTC)
QUERY = """subscription ($after: String, $filter: IssueEventFilter, $ledger: String = "us") {
  integrationIssues(ledger: $ledger, after: $after, filter: $filter) { cursor issue { ledger { code } source code subject state message
    documentKind documentId times mutedUntil resolvedBy note closedAt } } }"""
PAYROLL = """
[[rules]]
name = "payroll"
kind = "payroll_run"
  [[rules.postings]]
  name = "run"
  date = "pay_date"
  description = "Payroll {external_id}"
  lines = [{ account = "5000", debit = "gross" }, { account = "2000", credit = "gross" }]
"""
CHANGE = """mutation ($mute: MuteIssueInput!, $resolve: ResolveIssueInput!, $which: Boolean!) {
  muteIssue(input: $mute) @include(if: $which) { __typename } resolveIssue(input: $resolve) @skip(if: $which) { __typename } }"""


class Office:
    """A graph, and who notes and closes issues in its ledgers."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    async def note(self, *numbers: int, ledger: str = "us", source: str = "stripe", **more: Any) -> None:
        found = [
            DocumentIssue(
                (source, "invoice", "", f"in_{number}"), "NO_RULE", **{"message": "No rule takes it.", **more}
            )
            for number in numbers
        ]
        async with self._writing(ledger) as (connection, ledger_id):
            await issues.note_documents(connection, ledger_id, found, NOW)

    async def close(self, *numbers: int) -> None:
        async with self._writing("us") as (connection, ledger_id):
            documents = [("stripe", "invoice", "", f"in_{number}") for number in numbers]
            await issues.close_documents(connection, ledger_id, documents, NOW)

    async def change(self, number: int, *, mute: bool, note: str = "Known.") -> None:
        named = {"ledger": "us", "source": "stripe", "code": "NO_RULE", "subject": f"invoice in_{number}", "note": note}
        muted = {**named, "until": "2999-01-01T00:00:00Z"}
        answer = await self.graph.data(CHANGE, {"which": mute, "mute": muted, "resolve": named})
        assert answer in ({"muteIssue": {"__typename": "IssueSaved"}}, {"resolveIssue": {"__typename": "IssueSaved"}})

    @contextlib.asynccontextmanager
    async def _writing(self, ledger: str) -> AsyncIterator[tuple[Any, int]]:
        ref = (await self.graph.services.directory.resolve([ledger]))[ledger]
        async with self.graph.services.database.writer() as connection, connection.transaction():
            await connection.execute(f"SET LOCAL ledgergraph.ledgers = '{ref.ledger_id}'")
            yield connection, ref.ledger_id


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    async with open_graph(database_url) as graph:
        await graph.found()
        yield Office(graph)


async def take(stream: AsyncIterator[bytes], count: int = 1) -> list[Any]:
    """The next events, or fewer and then the error that ended the stream."""
    found: list[Any] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            event = json.loads(await anext(stream))
            found.append(
                event["data"]["integrationIssues"] if "data" in event else event["errors"][0]["extensions"]["code"]
            )
    return found


async def begun(graph: Graph, stream: AsyncIterator[bytes], count: int = 1) -> asyncio.Task[list[Any]]:
    """Takes events of a stream that stands by now."""
    before = graph.engine.streams.subscribers
    taking = asyncio.create_task(take(stream, count))
    while graph.engine.streams.subscribers == before:
        await asyncio.sleep(0)
    return taking


def told(found: list[Any]) -> list[tuple[str, str]]:
    return [(event["issue"]["subject"].removeprefix("invoice "), event["issue"]["state"]) for event in found]


async def test_an_issue_is_seen_from_its_opening_to_its_end(office: Office) -> None:
    """Opened, with another message, muted, resolved, open again, closed by itself. That it was met once more is no event."""
    stream = office.graph.stream(QUERY)
    first = await begun(office.graph, stream)
    await office.note(1)
    (opened,) = await first
    assert opened["issue"] == {
        "ledger": {"code": "us"}, "source": "stripe", "code": "NO_RULE", "subject": "invoice in_1", "state": "OPEN",
        "message": "No rule takes it.", "documentKind": "INVOICE", "documentId": "invoice:us:stripe:in_1", "times": 1,
        "mutedUntil": None, "resolvedBy": None, "note": None, "closedAt": None,
    }  # fmt: skip
    await office.note(1)
    await office.note(1, message="No account.")
    (changed,) = await take(stream)
    assert (changed["issue"]["message"], changed["issue"]["times"]) == ("No account.", 3)
    await office.change(1, mute=True)
    (muted,) = await take(stream)
    assert (muted["issue"]["state"], muted["issue"]["note"]) == ("MUTED", "Known.")
    assert muted["issue"]["mutedUntil"] == "2999-01-01T00:00:00.000000+00:00"
    await office.change(1, mute=False, note="Done.")
    (resolved,) = await take(stream)
    assert (resolved["issue"]["state"], resolved["issue"]["resolvedBy"]) == ("RESOLVED", "tester")
    await office.note(1)
    assert told(await take(stream)) == [("in_1", "MUTED")]
    await office.close(1)
    assert told(await take(stream)) == [("in_1", "CLOSED")]
    await stream.aclose()


async def test_without_a_cursor_it_begins_now(office: Office) -> None:
    """Nothing of the past comes, although nobody has followed yet."""
    await office.note(*range(5))
    stream = office.graph.stream(QUERY)
    first = await begun(office.graph, stream)
    await office.close(3)
    assert told(await first) == [("in_3", "CLOSED")]
    await stream.aclose()


async def test_every_cursor_goes_on_just_behind_its_event(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what changed several times while nobody was there comes once, as it is now."""
    monkeypatch.setattr(streaming, "BATCH", 2)
    await office.note(*range(7))
    cursor, seen = "0", []
    for _ in range(7):
        stream = office.graph.stream(QUERY, {"after": cursor})
        (event,) = await take(stream)
        await stream.aclose()
        seen += told([event])
        cursor = event["cursor"]
    assert seen == [(f"in_{number}", "OPEN") for number in range(7)]
    await office.change(2, mute=True)
    await office.close(2, 5)
    await office.note(5, 8)
    stream = office.graph.stream(QUERY, {"after": cursor})
    assert sorted(told(await take(stream, 3))) == [("in_2", "CLOSED"), ("in_5", "OPEN"), ("in_8", "OPEN")]
    everything = office.graph.stream(QUERY, {"after": "0"})
    assert len({name for name, _ in told(await take(everything, 8))}) == 8
    await stream.aclose()
    await everything.aclose()


async def test_filters_choose_issues(office: Office) -> None:
    await office.note(1)
    await office.note(1, source="bank")
    for filter_, wanted in (
        ({"sources": ["bank"]}, "bank"),
        ({"codes": ["NO_RULE"], "sources": ["stripe"]}, "stripe"),
        ({"documentKinds": ["INVOICE"], "sources": ["bank"]}, "bank"),
    ):
        stream = office.graph.stream(QUERY, {"after": "0", "filter": filter_})
        assert [event["issue"]["source"] for event in await take(stream)] == [wanted]
        await stream.aclose()
    quiet = office.graph.stream(QUERY, {"after": "0", "filter": {"documentKinds": ["PAYROLL_RUN"]}})
    nothing = await begun(office.graph, quiet)
    loud = office.graph.stream(QUERY, {"after": "0"})
    await take(loud, 2)
    assert not nothing.done()
    nothing.cancel()
    await loud.aclose()


async def test_only_who_may_read_sources_of_the_ledger_may_watch(office: Office) -> None:
    """Another ledger looks unknown, its issues come to nobody else, and the excerpt needs the scopes of documents."""
    graph = office.graph
    await graph.found("eu", "EUR")
    await office.note(1, ledger="eu")
    assert await take(graph.stream(QUERY, by=caller(ledgers=["eu"]))) == ["NOT_FOUND"]
    with pytest.raises(RequestRefused) as refused:
        graph.stream(QUERY, by=caller("ledger:read", "invoices:read"))
    assert refused.value.http_status == 403
    with pytest.raises(RequestRefused):
        graph.stream(
            'subscription { integrationIssues(ledger: "us") { issue { excerpt } } }', by=caller("sources:read")
        )
    stream = graph.stream(QUERY, {"after": "0"}, by=caller("sources:read", "ledger:read", ledgers=["us"]))
    first = await begun(graph, stream)
    await office.note(2, ledger="eu")
    await office.note(3)
    assert told(await first) == [("in_3", "OPEN")]
    await stream.aclose()


@pytest.mark.parametrize(("cursor", "code"), [
    ("nonsense", "INVALID_CURSOR"), ("1", "INVALID_CURSOR"), ("1.00000000", "HISTORY_LOST"), ("99.00000000", "HISTORY_LOST"),
])  # fmt: skip
async def test_a_cursor_of_no_history_is_a_typed_error(office: Office, cursor: str, code: str) -> None:
    await office.note(1)
    await take(office.graph.stream(QUERY, {"after": "0"}))
    assert await take(office.graph.stream(QUERY, {"after": cursor})) == [code]


async def test_what_a_restored_database_has_lost_is_a_typed_error(office: Office, owner_url: str) -> None:
    """Also when the number of the cursor was given again since then."""
    stream = office.graph.stream(QUERY, {"after": "0"})
    await office.note(1)
    (kept,) = await take(stream)
    owner = await asyncpg.connect(owner_url)
    before = await owner.fetch("SELECT * FROM mirror.issue_head")
    await office.note(2)
    (later,) = await take(stream)
    await stream.aclose()
    await owner.execute("DELETE FROM mirror.issue WHERE subject = 'invoice in_2'")
    await owner.execute("UPDATE mirror.issue_head SET revision = $1", before[0]["revision"])
    await owner.execute("UPDATE mirror.issue_era SET server = 'before it was restored'")
    await owner.close()
    await office.note(3, 4)
    again = office.graph.stream(QUERY, {"after": kept["cursor"]})
    assert told(await take(again, 2)) == [("in_3", "OPEN"), ("in_4", "OPEN")]
    assert await take(office.graph.stream(QUERY, {"after": later["cursor"]})) == ["HISTORY_LOST"]
    await again.aclose()


async def test_a_lost_listen_connection_loses_no_event(office: Office, owner_url: str) -> None:
    stream = office.graph.stream(QUERY, {"after": "0"})
    await office.note(1)
    await take(stream)
    owner = await asyncpg.connect(owner_url)
    await owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    await owner.close()
    for attempt in range(5):
        with contextlib.suppress(Exception):
            await office.note(2)
            break
        await asyncio.sleep(attempt)
    assert told(await take(stream)) == [("in_2", "OPEN")]
    await stream.aclose()


async def test_a_reader_that_is_slow_misses_nothing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands aside while others go on; of what changed again meanwhile it gets the newest state alone."""
    monkeypatch.setattr(streaming, "BATCH", 4)
    operation = office.graph.prepare(QUERY, {"after": "0"})
    slow, quick = events(office.graph.engine, operation, Queue(size=3)), office.graph.stream(QUERY, {"after": "0"})
    await office.note(*range(30))
    assert len(await take(slow)) == 1
    assert len(await take(quick, 30)) == 30
    await office.close(29)
    assert told(await take(quick)) == [("in_29", "CLOSED")]
    late = told(await take(slow, 29))
    assert late[-1] == ("in_29", "CLOSED")
    assert len({name for name, _ in late}) == 29
    await slow.aclose()
    await quick.aclose()


class Watcher:
    """Follows a ledger's issues, goes away after a few events, and comes back with its last cursor. `states`: by subject;
    `numbers`: of all events, in the order in which they came."""

    def __init__(self, graph: Graph, chance: random.Random) -> None:
        self.graph, self.chance = graph, chance
        self.cursor = "0"
        self.states: dict[str, Any] = {}
        self.numbers: list[int] = []

    async def run(self) -> None:
        while True:
            stream: AsyncGenerator[bytes, None] = self.graph.stream(QUERY, {"after": self.cursor})  # type: ignore[assignment]
            async with contextlib.aclosing(stream):
                for _ in range(self.chance.randrange(1, 12)):
                    found = json.loads(await anext(stream))["data"]["integrationIssues"]
                    self.cursor = found["cursor"]
                    self.numbers.append(int(self.cursor.partition(".")[0]))
                    issue = found["issue"]
                    self.states[issue["subject"]] = (issue["state"], issue["message"])


@pytest.mark.parametrize("seed", range(3))
async def test_writers_at_once_and_followers_that_come_and_go(
    database_url: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes number and follow while four writers change the same issues in transactions that overlap: each follower ends
    with the state of every issue, in growing numbers, and no change comes twice."""
    monkeypatch.setattr(streaming, "BATCH", 4)
    chance = random.Random(seed)
    async with open_graph(database_url) as one, open_graph(database_url) as other:
        await one.found()
        offices = [Office(one), Office(other)]
        watchers = [Watcher(graph, random.Random(chance.random())) for graph in (one, other, other)]
        following = [asyncio.create_task(watcher.run()) for watcher in watchers]

        async def write(office: Office, mine: random.Random) -> None:
            for turn in range(25):
                numbers = sorted({mine.randrange(12) for _ in range(3)})
                if mine.random() < 0.6:
                    await office.note(*numbers, message=f"Message {turn}." if mine.random() < 0.5 else "The same.")
                else:
                    await office.close(*numbers)

        async with asyncio.timeout(60):
            await asyncio.gather(*[write(offices[n % 2], random.Random(chance.random())) for n in range(4)])
            await offices[0].note(99)
            data = await one.data(
                "{ integrationIssues(first: 100, filter: {states: [OPEN, CLOSED]}) { nodes { subject state message } } }"
            )
            final = {each["subject"]: (each["state"], each["message"]) for each in data["integrationIssues"]["nodes"]}
            while any(watcher.states != final for watcher in watchers):
                assert not any(task.done() for task in following), [task for task in following if task.done()]
                await asyncio.sleep(0.01)
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
    for watcher in watchers:
        assert watcher.numbers == sorted(set(watcher.numbers))


async def test_names_of_employees_are_not_in_it(database_url: str) -> None:
    """A payroll run that does not add up is an issue, which says which identity breaks and names nobody."""
    source = Script()
    payroll = Kit.payroll(ledger="us", post_from=date(2026, 1, 1))
    async with open_graph(database_url, sources=[(payroll, source)]) as graph:
        await graph.found()
        pipeline = Pipeline(graph.services.database, graph.services.poster)
        text = RULES + PAYROLL
        await graph.data(
            'mutation ($text: String!) { saveMapping(input: {ledger: "us", text: $text, activate: true}) { __typename } }',
            {"text": text},
        )
        slips = (Kit.slip(employee_name="Ada Byron"), Kit.slip("slip-2", employee_name="Blaise Pascal", net=1))
        source.slips["run-1"] = slips
        run = Kit.run(currency="USD", gross=500_00, employee_taxes=0, deductions=0, reimbursements=0, net=100_00,
                      payslips=slips)  # fmt: skip
        source.pages += [*Kit.pages([run])]
        stream = graph.stream(
            'subscription { integrationIssues(ledger: "us", after: "0") { issue { code subject message hint excerpt note } } }'
        )
        taking = asyncio.create_task(anext(stream))  # type: ignore[arg-type]
        await graph.data('mutation { syncSource(name: "payroll") { __typename } }')
        await pipeline.run_all()
        event = (await asyncio.wait_for(taking, 20)).decode()
        await stream.aclose()
    assert json.loads(event)["data"]["integrationIssues"]["issue"]["code"] == "DISAGREEING_FIGURES"
    assert "run-1" in event
    for name in ("Ada", "Byron", "Blaise", "Pascal"):
        assert name not in event
