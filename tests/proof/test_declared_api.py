"""An API that is declared in the settings, read by a gateway as users start it: its bills become entries, their pages of lines and all,
and one that the API fails to give stops no other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiohttp import web

from sources.database.embedded import OWNER_ROLE, EmbeddedPostgres
from tests.proof.faults import serving
from tests.proof.processes import Client, client, operation, site

LINES, PAGE = 5, 2
CONFIG = """
[mapping]
us = "{rules}"

[[sources]]
name = "procure"
kind = "rest"
ledger = "us"
post_from = 2026-01-01
base_url = "{url}/v1"

[sources.authentication]
style = "bearer"
token = "env:PROCURE_TOKEN"

[[sources.documents]]
kind = "invoice"
list = "/bills"
items = "data"
paging = {{ style = "cursor", param = "at", next = "next" }}
changed = {{ param = "since", field = "updated" }}
item = "/bills/{{id}}"

[sources.documents.parts.lines]
list = "/bills/{{id}}/lines"
items = "lines"
paging = {{ style = "page", param = "page", total = "count" }}

[sources.documents.fields]
external_id = "id"
status = "state"
party = "{{name: vendor}}"
currency = "currency"
total = "total"
tax = "tax"
issue_date = "date"
lines = "lines[].{{amount: net, description: text, account: account}}"

[sources.documents.fixed]
direction = "PAYABLE"

[sources.documents.values.status]
approved = "OPEN"
"""
RULES = """
name = "purchases"
extends = "starter"

[accounts]
payable = "2000"
expense = "6000"
purchase_tax = "1400"
rounding = "6000"

[tables.expense_accounts]
paper = "6100"
"""
CHART = [("1400", "ASSET"), ("2000", "LIABILITY"), ("6000", "EXPENSE"), ("6100", "EXPENSE")]
ASK = """query ($maxAge: Int) {
  invoices(maxAge: $maxAge, first: 100) {
    nodes { externalId status sourceStatus total lines { amount } } freshness { stale error }
  }
}"""
BALANCES = """query { trialBalance(ledger: "us") { rows { account { code } closing } } }"""


@dataclass
class Vendor:
    """Bills of LINES lines of 10.00 each and 5.00 tax. `failing`: bills that it lists and fails to give."""

    bills: dict[str, dict[str, Any]] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)

    def bill(self, number: int, **changed: Any) -> None:
        record = {
            "id": f"B-{number}", "state": "approved", "vendor": "Initech", "currency": "USD", "total": f"{10 * LINES + 5}.00",
            "tax": "5.00", "date": "2026-03-10", "updated": f"2026-03-10T00:00:{number:02}Z",
        }  # fmt: skip
        self.bills[f"B-{number}"] = {**self.bills.get(f"B-{number}", record), **changed}

    async def listed(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer secret-of-ours":
            return web.json_response({}, status=401)
        found = [each for each in self.bills.values() if each["updated"] >= request.query.get("since", "")]
        at = int(request.query.get("at", 0))
        named = [{"id": each["id"], "updated": each["updated"]} for each in found[at : at + 4]]
        return web.json_response({"data": named, "next": at + 4 if at + 4 < len(found) else None})

    async def one(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        return web.json_response({}, status=500) if name in self.failing else web.json_response(self.bills[name])

    async def lines(self, request: web.Request) -> web.Response:
        first = (int(request.query["page"]) - 1) * PAGE
        lines = [{"net": "10.00", "text": f"No. {n}", "account": "paper" if n == 0 else None} for n in range(LINES)]
        return web.json_response({"lines": lines[first : first + PAGE], "count": LINES})

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes([
            web.get("/v1/bills", self.listed),
            web.get("/v1/bills/{id}", self.one),
            web.get("/v1/bills/{id}/lines", self.lines),
        ])  # fmt: skip
        return app


async def reaches(talk: Client, url: str, **wanted: int) -> None:
    """Returns once these accounts stand at so many whole units; any other is named by the test's timeout."""
    want = {f"{code.removeprefix('a')}": f"{amount}.00" for code, amount in wanted.items()}
    while True:
        rows = (await talk.data(url, BALANCES))["trialBalance"]["rows"]
        if {row["account"]["code"]: row["closing"] for row in rows} == want:
            return
        await asyncio.sleep(0.1)


@pytest.mark.timeout(120)
async def test_a_declared_api_becomes_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCURE_TOKEN", "secret-of-ours")
    rules, vendor = tmp_path / "rules.toml", Vendor(failing={"B-6"})
    rules.write_text(RULES)
    for number in range(1, 12):
        vendor.bill(number)
    async with serving(vendor.app()) as vendors:
        config = CONFIG.format(rules=rules, url=vendors)
        async with site(tmp_path / "data", config=config) as where, client(where.token()) as talk:
            url = where.gateways[0].url
            accounts = [{"code": code, "name": code, "type": kind} for code, kind in CHART]
            saved = await talk.data(
                url,
                operation("create-ledger"),
                ledger={"code": "us", "name": "US", "functionalCurrency": "USD"},
                chart={"ledger": "us", "accounts": accounts},
            )
            assert saved["createAccounts"]["__typename"] == "AccountsSaved"
            async with asyncio.timeout(60):
                await reaches(talk, url, a1400=50, a2000=-550, a6000=400, a6100=100)
            found = (await talk.data(url, ASK, maxAge=0))["invoices"]
            assert found["freshness"] == [{"stale": False, "error": None}]
            assert {each["externalId"] for each in found["nodes"]} == vendor.bills.keys() - {"B-6"}
            assert {(each["status"], each["sourceStatus"]) for each in found["nodes"]} == {("OPEN", "approved")}
            assert {len(each["lines"]) for each in found["nodes"]} == {LINES}
            await heals(vendor, talk, where.data_dir, url)


async def heals(vendor: Vendor, talk: Client, data_dir: Path, url: str) -> None:
    """The bill that was not given is asked for again, though it did not change, and its issue closes; one that changes is posted anew."""
    owner = await asyncpg.connect(EmbeddedPostgres(data_dir).dsn(user=OWNER_ROLE))
    try:
        assert await owner.fetch(OPEN) == [("UNREADABLE_RECORD", "invoice B-6")]
        vendor.failing.clear()
        vendor.bill(2, total="56.00", tax="6.00", updated="2026-03-11T00:00:00Z")
        await owner.execute("UPDATE mirror.issue SET next_attempt_at = now() WHERE next_attempt_at IS NOT NULL")
        await talk.data(url, ASK, maxAge=0)
        async with asyncio.timeout(30):
            await reaches(talk, url, a1400=56, a2000=-606, a6000=440, a6100=110)
        assert await owner.fetch(OPEN) == []
    finally:
        await owner.close()


OPEN = "SELECT code, subject FROM mirror.issue WHERE closed_at IS NULL"
