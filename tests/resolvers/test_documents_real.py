"""The three kinds of sources through their own protocols: real connectors against local servers and files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.demo.servers.bank_files import USD_ACCOUNT, write_bank_files
from gateway.demo.servers.stripe import stripe_app
from gateway.demo.servers.xero_payroll import PREFIX, xero_payroll_app
from gateway.limits import Limits
from gateway.sourceconfig import connector_for
from sources.mirror.settings import SourceSettings
from tests.graph import Graph, open_graph

TODAY = date(2026, 11, 20)


@dataclass
class World:
    graph: Graph
    stripe: TestServer
    folder: Path


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    write_bank_files(tmp_path / "bank", 7, TODAY)

    async def serving(app: web.Application) -> TestServer:
        server = TestServer(app, host="127.0.0.1")
        await server.start_server()
        stack.push_async_callback(server.close)
        return server

    async with AsyncExitStack() as stack:
        stripe = await serving(stripe_app(7, TODAY, "sk_test_demo"))
        xero = await serving(xero_payroll_app(7, TODAY, "client", "secret", "tenant"))
        settings = (
            SourceSettings(
                name="stripe",
                kind="stripe",
                ledger="us",
                options={"api_key": "sk_test_demo", "base_url": f"http://127.0.0.1:{stripe.port}"},
            ),
            SourceSettings(
                name="payroll",
                kind="xero-payroll",
                ledger="eu",
                options={
                    "client_id": "client",
                    "client_secret": "secret",
                    "tenant_id": "tenant",
                    "base_url": f"http://127.0.0.1:{xero.port}{PREFIX}",
                },
            ),
            SourceSettings(
                name="bank",
                kind="bank-statements",
                ledger="eu",
                options={"path": str(tmp_path / "bank")},
                accounts={USD_ACCOUNT: "us"},
            ),
        )
        sources = [(each, connector_for(each)) for each in settings]
        async with open_graph(database_url, Limits(source_deadline_seconds=30), sources=sources) as graph:
            await graph.found("us")
            await graph.found("eu", "EUR")
            yield World(graph, stripe, tmp_path / "bank")


async def counts(graph: Graph, max_age: int) -> tuple[int, ...]:
    data = await graph.data(
        """query ($age: Int) { invoices(maxAge: $age) { totalCount } payrollRuns(maxAge: $age) { totalCount }
            bankAccounts(maxAge: $age) { totalCount nodes { transactions(first: 0) { totalCount } } } }""",
        {"age": max_age},
    )
    accounts = data["bankAccounts"]
    transactions = sum(node["transactions"]["totalCount"] for node in accounts["nodes"])
    return (data["invoices"]["totalCount"], data["payrollRuns"]["totalCount"], accounts["totalCount"], transactions)


async def test_reading_again_changes_nothing(world: World, owner_url: str) -> None:
    first = await counts(world.graph, 300)
    assert all(first)
    assert await counts(world.graph, 0) == first
    owner = await asyncpg.connect(owner_url)
    runs = await owner.fetch("SELECT source, changed, deleted, error FROM mirror.sync_run ORDER BY run_id")
    assert len(runs) == 6
    assert all(row["changed"] > 0 for row in runs[:3])
    assert [tuple(row)[1:] for row in runs[3:]] == [(0, 0, None)] * 3
    await owner.close()


async def test_a_change_is_read_and_a_dead_server_leaves_a_stale_copy(world: World) -> None:
    await counts(world.graph, 300)
    open_ = "{ invoices(filter: {statuses: [OPEN]}, first: 1) { nodes { id externalId total } } }"
    (before,) = (await world.graph.data(open_))["invoices"]["nodes"]
    url = f"http://127.0.0.1:{world.stripe.port}/v1/invoices/{before['externalId']}/void"
    async with (
        aiohttp.ClientSession(headers={"Authorization": "Bearer sk_test_demo"}) as session,
        session.post(url) as response,
    ):
        assert response.status == 200
    await world.graph.data("{ invoices(maxAge: 0) { totalCount } }")
    query = "query ($id: ID!) { node(id: $id) { ... on Invoice { status total sourceStatus } } }"
    after = (await world.graph.data(query, {"id": before["id"]}))["node"]
    assert after == {"status": "VOID", "total": before["total"], "sourceStatus": "void"}
    await world.stripe.close()
    answer = await world.graph.run(
        "{ invoices(maxAge: 0) { totalCount freshness { stale error } } cashPositions { nodes { booked } } sources { name status } }"
    )
    assert "errors" not in answer
    (fresh,) = answer["data"]["invoices"]["freshness"]
    assert fresh["stale"]
    assert "127.0.0.1" not in fresh["error"]
    statuses = {each["name"]: each["status"] for each in answer["data"]["sources"]}
    assert statuses["stripe"] == "DEGRADED"


async def test_payslips_add_up_to_their_run(world: World) -> None:
    data = await world.graph.data("{ payrollRuns(first: 3) { nodes { net payslips { net employeeName } } } }")
    for run in data["payrollRuns"]["nodes"]:
        net = sum(int(slip["net"].replace(".", "")) for slip in run["payslips"])
        assert net == int(run["net"].replace(".", ""))


async def test_positions_of_the_banks_files(world: World) -> None:
    query: Any = '{ cashPositions(asOf: "2026-11-20") { nodes { bankAccount { ledger { code } } currency booked statementDate warnings } } }'
    nodes = (await world.graph.data(query))["cashPositions"]["nodes"]
    assert {node["currency"]: node["bankAccount"]["ledger"]["code"] for node in nodes} == {
        "USD": "us",
        "EUR": "eu",
        "GBP": "eu",
    }
    assert all(node["booked"] for node in nodes)
    assert {node["currency"]: bool(node["warnings"]) for node in nodes} == {"USD": False, "EUR": False, "GBP": True}
