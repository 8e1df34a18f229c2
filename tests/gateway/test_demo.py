"""`ledgergraph demo`: one command serves a company, its commands work as printed, and its data stays."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

import aiohttp
import pytest

from gateway.demo.books import year_of_books
from gateway.demo.company import ENTITIES, SEED
from gateway.demo.seeding import load_state
from sources.database.embedded import EmbeddedPostgres
from sources.database.removal import remove_database
from sources.errors import ConfigurationError
from sources.ledger.model import LedgerRef
from tests.gateway.processes import PATIENCE, Running, ask, ledgergraph, started, until

SOURCES = """{
  sources { name status lastError ledger { code } }
  invoices { totalCount freshness { stale error } nodes { total lines { amount } } }
  payrollRuns { totalCount freshness { stale error } nodes { net payslips { net } } }
  cashPositions { freshness { stale error } nodes { currency booked warnings bankAccount { ledger { code } } } }
}"""
COUNTS = """{
  us: ledger(code: "acme-us") { lastSequence }
  eu: ledger(code: "acme-eu") { lastSequence }
  usMade: entries(ledger: "acme-us", filter: {sources: ["stripe", "banks"]}) { totalCount }
  euMade: entries(ledger: "acme-eu", filter: {sources: ["payroll", "banks", "inbox"]}) { totalCount }
}"""


async def posted_by_people(printed: Printed) -> dict[str, int]:
    """Entries of each ledger that were made of no document: those do not stop."""
    found = await ask(printed.address, printed.token, COUNTS)
    return {
        f"acme-{name}": found[name]["lastSequence"] - int(found[f"{name}Made"]["totalCount"]) for name in ("us", "eu")
    }


class Printed:
    """What the demo printed: an address, a token and three commands."""

    def __init__(self, running: Running) -> None:
        self.address = next(line.split()[-1] for line in running.said if line.endswith("/graphql"))
        self.token = next(line for line in running.said if line.startswith("eyJ"))
        self.query, self.posting, self.subscription = (
            Curl(shlex.split(line)) for line in running.said if line.startswith("curl ")
        )


class Curl:
    """A command line of curl, done without curl."""

    def __init__(self, words: list[str]) -> None:
        self.address = next(word for word in words if word.startswith("http"))
        headers = [words[index + 1] for index, word in enumerate(words) if word == "-H"]
        self.headers = dict(header.split(": ", 1) for header in headers)
        self.body = words[words.index("-d") + 1]

    @asynccontextmanager
    async def response(self) -> AsyncIterator[aiohttp.ClientResponse]:
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(self.address, data=self.body, headers=self.headers) as response,
        ):
            assert response.status == 200, await response.text()
            yield response

    async def answer(self) -> dict:
        async with self.response() as response:
            answer = await response.json(content_type=None)
        assert "errors" not in answer, answer
        return answer["data"]


async def event_of(subscription: Curl, heard: asyncio.Event, description: str) -> dict:
    """The event of one entry among those that come by themselves."""
    async with subscription.response() as response:
        heard.set()
        async for line in response.content:
            if line.startswith(b"data: "):
                event = json.loads(line[6:])["data"]["postings"]
                if event["entry"]["description"] == description:
                    return event
    raise AssertionError("the stream ended")


def entries_of_the_sample(through: date) -> dict[str, int]:
    return {
        entity.code: sum(1 for _ in year_of_books(entity, LedgerRef(1, entity.code, entity.currency), through, SEED))
        for entity in ENTITIES
    }


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "demo"


async def test_from_nothing_to_a_company_and_back(data_dir: Path) -> None:
    """The printed commands work; sources answer; a second start keeps the data; --fresh needs the directory for itself."""
    async with started("demo", "--data-dir", data_dir, "--port", 0) as demo:
        await demo.says("Ctrl-C stops everything")
        printed = Printed(demo)
        assert len((await printed.query.answer())["trialBalance"]["rows"]) > 40
        heard = asyncio.Event()
        event = asyncio.create_task(event_of(printed.subscription, heard, "Coffee for the office"))
        await heard.wait()
        posted = (await printed.posting.answer())["postEntry"]
        assert (posted["__typename"], posted["replayed"]) == ("EntryPosted", False)
        assert (await event)["entry"]["sequence"] == posted["entry"]["sequence"]
        again = (await printed.posting.answer())["postEntry"]
        assert (again["replayed"], again["entry"]) == (True, posted["entry"])
        await check_sources(printed)
        refused = await asyncio.to_thread(ledgergraph, "demo", "--data-dir", data_dir, "--port", 0, "--fresh")
        assert refused.returncode == 2
        assert "is in use by another process" in refused.stderr
        assert await demo.stop(signal.SIGINT) == 0
    expected = entries_of_the_sample(load_state(data_dir, date.min).through)
    async with started("demo", "--data-dir", data_dir, "--port", 0) as demo:
        await demo.says("Ctrl-C stops everything")
        assert not any("posting" in line and "[" in line for line in demo.said)
        printed = Printed(demo)
        assert await posted_by_people(printed) == expected | {"acme-us": expected["acme-us"] + 1}
        assert await demo.stop(signal.SIGTERM) == 0
    verified = await asyncio.to_thread(ledgergraph, "verify", "--ledger", "acme-us", "--data-dir", data_dir)
    assert verified.returncode == 0, verified.stdout
    assert not (data_dir / "cluster" / "postmaster.pid").exists()


async def check_sources(printed: Printed) -> None:
    """All three systems answer, through their own protocols, once their first reading in the background is done."""

    async def read() -> bool:
        return "SYNCING" not in str(await ask(printed.address, printed.token, "{ sources { status } }"))

    await until(read)
    found = await ask(printed.address, printed.token, SOURCES)
    assert {source["name"]: source["status"] for source in found["sources"]} == {
        "banks": "OK",
        "inbox": "OK",
        "payroll": "OK",
        "stripe": "OK",
    }
    for name in ("invoices", "payrollRuns", "cashPositions"):
        assert found[name]["nodes"]
        assert {item["stale"] for item in found[name]["freshness"]} == {False}
    assert {node["bankAccount"]["ledger"]["code"] for node in found["cashPositions"]["nodes"]} == {"acme-us", "acme-eu"}
    assert all(run["payslips"] for run in found["payrollRuns"]["nodes"])


async def test_an_interrupted_seeding_goes_on_where_it_stopped(data_dir: Path) -> None:
    """Killed in the midst of posting; the next start makes the books whole, and no entry stands twice."""
    async with started("demo", "--data-dir", data_dir, "--port", 0) as demo:
        await until((data_dir / "demo.json").exists)
        await demo.stop(signal.SIGKILL)
    interrupted = load_state(data_dir, date.min)
    assert not interrupted.seeded
    async with started("demo", "--data-dir", data_dir, "--port", 0) as demo:
        await demo.says("Ctrl-C stops everything")
        printed = Printed(demo)
        counts = await posted_by_people(printed)
        assert await demo.stop(signal.SIGINT) == 0
    expected = entries_of_the_sample(interrupted.through)
    assert counts == expected


async def test_removing_a_database_leaves_what_is_not_ours(data_dir: Path) -> None:
    """What --fresh does: refused while somebody uses the directory; an orphaned server is stopped first."""
    async with EmbeddedPostgres(data_dir):
        with pytest.raises(ConfigurationError, match="in use by another process"):
            await remove_database(data_dir)
    (data_dir / "note.txt").write_text("mine")
    (data_dir / "statements").mkdir()
    (data_dir / "statements" / "january.xml").touch()
    await remove_database(data_dir, also=("statements",))
    assert {path.name for path in data_dir.iterdir()} == {"note.txt", "users.lock", "start.lock"}
    await remove_database(data_dir)
    await remove_database(data_dir / "nowhere")
