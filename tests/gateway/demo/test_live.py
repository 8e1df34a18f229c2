"""The demo's systems live: what happens there is posted, an issue closes once its rule is there, an outage shows and passes, and
another start finds the systems as they were."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.authentication import SCOPES, issue_token
from gateway.composition import gateway_over
from gateway.config import Settings
from gateway.demo import activity
from gateway.demo.activity import ACTS_FILE, Activity
from gateway.demo.commands import command_that_adds_the_rule
from gateway.demo.live import Pace, alive
from gateway.demo.rulebooks import provide_rules, write_rules
from gateway.demo.seeding import provide_charts
from gateway.demo.servers.stripe_company import StripeCompany
from gateway.demo.servers.stripe_company import make_company as make_stripe
from gateway.demo.servers.xero_company import Company
from gateway.demo.servers.xero_company import make_company as make_payroll
from gateway.demo.systems import source_systems
from gateway.openbooks import books
from gateway.tokens import signing_secret
from sources.errors import ConfigurationError
from tests.gateway.processes import PATIENCE, ask, until
from tests.gateway.toy import serve
from tests.test_readme import asked

TODAY = datetime.now(UTC).date()
NEVER = 3_600.0
ENTRIES = """{
  us: entries(ledger: "acme-us", last: 1000) { nodes { source description documents { id } } }
  eu: entries(ledger: "acme-eu", last: 1000) { nodes { source description documents { id } } }
}"""
ISSUES = """{ integrationIssues(filter: {codes: ["NO_RULE"], states: [OPEN, CLOSED]}) { nodes { state message } } }"""
SOURCES = "{ sources { name status lastSuccessAt lastError } }"
INVOICES = """{ invoices(maxAge: 0, filter: {ledgers: ["acme-us"]}, first: 1) {
  nodes { number } freshness { source stale error } } }"""
SAVE = """mutation ($text: String!) {
  saveMapping(input: {ledger: "acme-us", text: $text, activate: true}) { __typename } }"""


@dataclass
class Demo:
    """A demo that runs in the test's process, without its year of books."""

    address: str
    token: str
    said: list[str] = field(default_factory=list)

    async def ask(self, query: str, **variables: object) -> Any:
        return await ask(self.address, self.token, query, **variables)

    async def watch(self, subscription: str) -> Any:
        """The data of the first event."""
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "text/event-stream"}
        async with (
            asyncio.timeout(PATIENCE),
            aiohttp.ClientSession() as session,
            session.post(self.address, json={"query": subscription}, headers=headers) as response,
        ):
            async for line in response.content:
                if line.startswith(b"data: {"):
                    return json.loads(line.removeprefix(b"data: "))["data"]
        raise AssertionError("the stream ended")

    async def says(self, word: str) -> None:
        async def said() -> bool:
            return any(word in line for line in self.said)

        await until(said)

    async def status(self, name: str) -> dict[str, Any]:
        return next(each for each in (await self.ask(SOURCES))["sources"] if each["name"] == name)


@asynccontextmanager
async def running(data_dir: Path, database_url: str, pace: Pace) -> AsyncIterator[Demo]:
    data_dir.mkdir(exist_ok=True)
    settings = Settings(data_dir=data_dir, database_url=database_url)
    said: list[str] = []
    async with books(settings) as opened, source_systems(data_dir, 7, TODAY) as systems:
        await provide_charts(opened)
        write_rules(data_dir)
        await provide_rules(opened)
        settings = Settings(data_dir=data_dir, database_url=database_url, sources=systems.sources)
        async with (
            gateway_over(settings, opened) as found,
            alive(opened, systems, pace, said.append, command_that_adds_the_rule(data_dir)),
            serve(found.app) as url,
        ):
            token = issue_token(signing_secret(settings), subject="t", scopes=sorted(SCOPES), ledgers=None, ttl=3600)
            yield Demo(f"{url}/graphql", token, said)


async def test_what_happens_is_posted_until_a_rule_is_missing_and_then_that_too(
    tmp_path: Path, database_url: str
) -> None:
    async with running(tmp_path, database_url, Pace(act=0.2, first_outage=NEVER)) as demo:
        for words in (
            "Invoice ACME-",
            "Payment pi_",
            "Payout po_",
            "Money received",
            "Payroll 2",
            "waits for approval",
            "Bill ",
            "waits for a decision",
        ):
            await demo.says(words)
        await demo.says("issue opened: NO_RULE")
        found = await demo.ask(ENTRIES)
        assert {each["source"] for each in found["us"]["nodes"]} == {"stripe", "banks"}
        assert {each["source"] for each in found["eu"]["nodes"]} >= {"payroll"}
        assert all(each["documents"] for each in (*found["us"]["nodes"], *found["eu"]["nodes"]))
        (issue,) = (await demo.ask(ISSUES))["integrationIssues"]["nodes"]
        assert issue["state"] == "OPEN"
        told = next(line for line in demo.said if "is added by: " in line)
        rules = Path(shlex.split(told.split("is added by: ")[1])[-1])
        saved = await demo.ask(SAVE, text=rules.read_text())
        assert saved["saveMapping"]["__typename"] == "MappingSaved"
        await demo.says("issue closed: NO_RULE")
        await demo.says("Contribution txn_")
        assert [each["state"] for each in (await demo.ask(ISSUES))["integrationIssues"]["nodes"]] == ["CLOSED"]
        waiting = next(line for line in demo.said if "waits for a decision" in line).split()[2]
        for pasted in asked(str(TODAY)):
            operation = pasted.replace("match: 1}", f"match: {waiting}}}")
            answer = await (demo.watch(operation) if operation.startswith("subscription") else demo.ask(operation))
            assert all(answer.values()), operation
            if "confirmMatch" in operation:
                assert answer["confirmMatch"]["match"] == {"status": "CONFIRMED"}
        await demo.says("Refund re_")
    await check_the_next_start(tmp_path, database_url)


async def check_the_next_start(data_dir: Path, database_url: str) -> None:
    """What is posted stays as it was when all sources were read again."""
    began = datetime.now(UTC)
    async with running(data_dir, database_url, Pace(act=NEVER, first_outage=NEVER)) as demo:

        async def read_again() -> bool:
            sources = (await demo.ask(SOURCES))["sources"]
            moments = [datetime.fromisoformat(each["lastSuccessAt"]) for each in sources]
            return min(moments) > began and all(each["status"] == "OK" for each in sources)

        await until(read_again)
        for source in ("stripe", "payroll", "banks"):
            ledger = "acme-eu" if source == "payroll" else "acme-us"
            query = f"""{{ reconciliation(source: "{source}", ledger: "{ledger}", from: "{TODAY}", to: "2199-12-31") {{
              documents {{ code documentId }} }} }}"""
            left = (await demo.ask(query))["reconciliation"]["documents"]
            assert {each["code"] for each in left} <= {"PROPOSED", "WAITING"}, left


async def test_a_source_that_is_down_shows_and_what_happened_meanwhile_is_posted(
    tmp_path: Path, database_url: str
) -> None:
    async with running(tmp_path, database_url, Pace(act=0.5, first_outage=4.0, outage=8.0, next_outage=NEVER)) as demo:
        await demo.says("Invoice ACME-")
        await demo.says("stripe is DEGRADED")
        assert (await demo.status("stripe"))["lastError"]
        assert (await demo.status("banks"))["status"] == "OK"
        answer = (await demo.ask(INVOICES))["invoices"]
        assert answer["nodes"]
        assert [(each["source"], each["stale"]) for each in answer["freshness"]] == [("stripe", True)]
        assert answer["freshness"][0]["error"]
        before = len(demo.said)
        await demo.says("stripe is OK again")
        assert (await demo.status("stripe"))["status"] == "OK"

        async def posted() -> bool:
            return any("Invoice ACME-" in line for line in demo.said[before:])

        await until(posted)


# ---------------------------------------------------------------- acts


def acts(data_dir: Path) -> tuple[Activity, StripeCompany, Company]:
    day = date(2026, 11, 23)
    stripe, payroll = make_stripe(7, day), make_payroll(7, day)
    (data_dir / "bank").mkdir(exist_ok=True)
    return Activity(data_dir, data_dir / "bank", data_dir / "inbox", 7, day, stripe, payroll), stripe, payroll


def test_another_start_repeats_every_act(tmp_path: Path) -> None:
    at = int(datetime(2026, 11, 23, 9, tzinfo=UTC).timestamp())
    first, stripe, payroll = acts(tmp_path)
    assert all(first.act(at + number * 3) for number in range(60))
    files = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "bank").iterdir()}
    again, other_stripe, other_payroll = acts(tmp_path)
    again.repeat()
    assert again.done == 60
    assert other_payroll.runs == payroll.runs
    assert (other_stripe.invoices, other_stripe.events) == (stripe.invoices, stripe.events)
    assert other_stripe.money.movements == stripe.money.movements
    assert files == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "bank").iterdir()}
    assert files


def test_the_systems_rest_after_so_many_acts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "MOST_ACTS", 2)
    some, _, _ = acts(tmp_path)
    assert [some.act(1_800_000_000 + number) for number in range(3)] == [True, True, False]


def test_acts_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / ACTS_FILE).write_text("yesterday\n")
    with pytest.raises(ConfigurationError, match="begin anew with --fresh"):
        acts(tmp_path)[0].repeat()
