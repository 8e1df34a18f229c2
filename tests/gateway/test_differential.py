"""The planned execution answers what graphql-core answers, byte for byte, over generated documents."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date
from typing import Any

import orjson
import pytest
from graphql import parse, validate
from hypothesis import HealthCheck, Phase, assume, event, given, settings
from hypothesis import strategies as st

from gateway.demo.systems import source_systems
from gateway.limits import Limits
from gateway.requests import GraphQLRequest, RequestRefused
from gateway.schema import build, core
from gateway.sourcekinds import connector_for
from sources.mirror.settings import SourceSettings
from tests.documents import Documents
from tests.graph import Graph, caller, entry, open_graph

SCHEMA = core(build())
DATES = ["2025-12-31", "2026-01-01", "2026-01-31", "2026-02-01", "2026-03-15", "2026-12-31"]
IDS = ["ledger:us", "account:us:1000", "entry:us:1", "line:us:1:1", "entry:eu:1", "entry:us:999", "nothing", ""]
POOLS: dict[str, list[Any]] = {
    "ledger": ["us", "us", "us", "eu", "jp", "no"],
    "Query.ledger(code)": ["us", "eu", "no"],
    "code": ["1000", "4000", "9999"],
    "codes": ["1000", "2000", "x"],
    "codePrefix": ["1", "40", "z"],
    "sequence": [1, 2, 3, 4, 8, 999],
    "first": [0, 1, 2, 3, 50, 1001, -1],
    "last": [0, 1, 2, 3, 50],
    "after": ["garbage", ""],
    "before": ["garbage"],
    "asOf": DATES,
    "from": DATES,
    "to": DATES,
    "effectiveFrom": DATES,
    "effectiveTo": DATES,
    "postedFrom": ["2020-01-01T00:00:00Z", "2999-01-01T00:00:00+01:00"],
    "postedTo": ["2020-01-01T00:00:00Z", "2999-01-01T00:00:00+01:00"],
    "accountCodes": ["1000", "4000", "5000", "x"],
    "sources": ["stripe", "payroll", "banks", "x"],
    "journals": ["SALES", "x"],
    "reference": ["R1", "x"],
    "idempotencyKey": ["k1", "x"],
    "name": ["team", "x"],
    "value": ["a", "x"],
    "minTotal": ["0", "10.005", "1000000", "9" * 40, "-3"],
    "currency": ["USD", "EUR", "JPY"],
    "maxAge": [3600],
    "ledgers": ["us", "eu", "eu", "no"],
    "issuedFrom": DATES,
    "issuedTo": DATES,
    "paidFrom": DATES,
    "paidTo": DATES,
}


@pytest.fixture(params=[Limits(), Limits(answer_cache_bytes=0)], ids=["answers kept", "entries kept"])
async def graph(request, database_url, tmp_path):
    """Three ledgers with entries of every shape, and the documents of three source systems."""
    async with source_systems(tmp_path, seed=7, today=date(2026, 3, 31)) as systems:
        sources = [(local, connector_for(local)) for local in map(placed, systems)]
        async with open_graph(database_url, request.param, sources=sources) as opened:
            await keep_books(opened)
            await read_sources(opened)
            yield opened


def placed(system: SourceSettings) -> SourceSettings:
    """A system of the sample company, feeding this test's ledgers, read once."""
    names = {"acme-us": "us", "acme-eu": "eu"}
    accounts = {account: names[ledger] for account, ledger in system.accounts.items()}
    return replace(system, ledger=names[system.ledger], accounts=accounts, max_age=3600)


async def keep_books(graph: Graph) -> None:
    """Foreign currency, revaluation, reversal, dimensions, odd texts."""
    for code, currency in (("us", "USD"), ("eu", "EUR"), ("jp", "JPY")):
        await graph.found(code, currency)
    sales = [entry(f"k{n}", f"{n}.{n}0", effectiveDate=DATES[n % len(DATES)]) for n in range(1, 6)]
    foreign = entry("fx", lines=[
        {"account": "1000", "debit": "10", "currency": "EUR", "functionalAmount": "11.50"},
        {"account": "4000", "credit": "11.50", "description": "\u2028 \" \\ 🜁", "dimensions": [
            {"name": "team", "value": "a"}, {"name": "b", "value": "é"}]},
    ])  # fmt: skip
    reval = entry("rv", lines=[
        {"account": "1000", "debit": "0", "currency": "EUR", "functionalAmount": "0.50"},
        {"account": "4000", "credit": "0.50"},
    ])  # fmt: skip
    posted = await graph.post(*sales, foreign, reval, entry("eu1", "7", ledger="eu"), entry("jp1", "7", ledger="jp"))
    assert {result["__typename"] for result in posted} == {"EntryPosted"}, posted
    await graph.data(
        """mutation { reverseEntry(input: {ledger: "us", sequence: 2, idempotencyKey: "r", effectiveDate: "2026-12-31"}) {
             __typename } }"""
    )


async def read_sources(graph: Graph) -> None:
    """Reads every source once, and draws ids of its documents."""
    async with asyncio.timeout(30):
        while "errors" in (answer := await graph.run(DOCUMENTS)):
            assert {error["extensions"]["code"] for error in answer["errors"]} == {"SOURCE_SYNCING"}
    data = answer["data"]
    accounts = data["bankAccounts"]["nodes"]
    found = [node["id"] for field in ("invoices", "payrollRuns") for node in data[field]["nodes"]]
    found += [account["id"] for account in accounts]
    found += [node["id"] for account in accounts for node in account["transactions"]["nodes"]]
    POOLS["id"] = POOLS["ids"] = [*IDS, *found]


DOCUMENTS = """{ invoices(first: 2, maxAge: 600) { nodes { id } } payrollRuns(first: 1, maxAge: 600) { nodes { id payslips { net } } }
  bankAccounts(first: 2, maxAge: 600) { nodes { id transactions(first: 1) { nodes { id } } } } }"""


async def compare(graph: Graph, text: str, variables: dict[str, Any], by: Any) -> None:
    """The two executions of a document agree: data byte for byte, errors as a set of path and code."""
    # Two members of an abstract type may give one name different types, which is the one thing that makes it invalid.
    assume(validate(SCHEMA, parse(text)) == [])
    expected = None
    for _ in range(3):  # read, kept, and answered as kept
        try:
            operation = graph.engine.prepare(GraphQLRequest(text, None, variables, "test"), by)
        except RequestRefused as refused:
            event(f"refused {refused.errors[0]['extensions']['code']}")
            return
        planned = orjson.loads(await graph.engine.run(operation))
        expected = expected or await graph.reference.run(text, by, variables)
        assert orjson.dumps(planned["data"]) == orjson.dumps(expected["data"]), (text, variables)
        assert errors(planned) == errors(expected), (text, variables)
    event("with errors" if "errors" in expected else "without errors")


def errors(answer: dict[str, Any]) -> set[tuple[str, str]]:
    return {(str(error["path"]), error["extensions"]["code"]) for error in answer.get("errors", ())}


# Every example is short of meaning when shrunk, and shrinking against a database takes minutes.
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]
CALLERS = [caller(), caller(ledgers=["us"]), caller(ledgers=["eu", "no"])]


@given(document=Documents(SCHEMA, POOLS).strategy(), by=st.sampled_from(CALLERS))
@settings(max_examples=200, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
async def test_generated_documents_answer_the_same(graph: Graph, document: tuple[str, dict[str, Any]], by: Any):
    """Whatever is selected, filtered, aliased, switched or refused, both executions agree."""
    await compare(graph, *document, by)
