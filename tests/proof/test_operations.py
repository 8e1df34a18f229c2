"""What people read and paste: every part of the schema is described, and every document in this repository runs."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    is_enum_type,
    is_input_object_type,
    is_interface_type,
    is_introspection_type,
    is_object_type,
    is_specified_scalar_type,
    parse,
    validate,
)

from gateway.demo.servers.bank_files import USD_ACCOUNT, write_bank_files
from gateway.limits import Limits
from gateway.sourceconfig import connector_for
from sources.mirror.settings import SourceSettings
from tests.graph import CHART, SCHEMA, Graph, entry, open_graph
from tests.proof.processes import OPERATIONS, operation

ROOT = OPERATIONS.parent.parent
TODAY = date(2026, 11, 20)
CREATED = {
    "ledger": {"code": "new", "name": "New", "functionalCurrency": "USD"},
    "chart": {"ledger": "new", "accounts": [{"code": code, "name": name, "type": kind} for code, name, kind in CHART]},
}
VARIABLES: dict[str, dict[str, Any]] = {
    "create-ledger": CREATED,
    "post-entry": {"input": entry("one")},
    "post-entries": {"input": {"entries": [entry("two"), entry("three", "0")], "atomic": False}},
    "postings": {"ledger": "us", "after": "0"},
    "entries": {"ledger": "us", "first": 10, "filter": {"accountCodes": ["1000"]}},
    "trial-balance": {"ledger": "us", "from": "2026-01-01", "to": "2026-12-31"},
    "cash-positions": {"asOf": str(TODAY)},
    "invoices": {"filter": {"statuses": ["OPEN"]}, "first": 10},
}
FENCED = re.compile(r"^```graphql\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture
async def graph(database_url: str, tmp_path: Path) -> AsyncIterator[Graph]:
    """One ledger, and a folder of bank statements."""
    write_bank_files(tmp_path / "bank", 7, TODAY)
    folder = {"path": str(tmp_path / "bank")}
    bank = SourceSettings(
        name="bank", kind="bank-statements", ledger="eu", options=folder, accounts={USD_ACCOUNT: "us"}
    )
    sources = [(bank, connector_for(bank))]
    async with open_graph(database_url, Limits(source_deadline_seconds=30), sources=sources) as opened:
        await opened.found("us")
        await opened.found("eu", "EUR")
        await opened.post(entry("zero"))
        yield opened


def undescribed() -> list[str]:
    missing = []
    for name, kind in SCHEMA.type_map.items():
        if is_introspection_type(kind) or is_specified_scalar_type(kind):
            continue
        missing += [name] if not kind.description else []
        if is_enum_type(kind):
            missing += [f"{name}.{value}" for value, definition in kind.values.items() if not definition.description]
        if is_object_type(kind) or is_interface_type(kind) or is_input_object_type(kind):
            missing += [f"{name}.{field}" for field, definition in kind.fields.items() if not definition.description]
        if is_object_type(kind) or is_interface_type(kind):
            missing += [
                f"{name}.{field}({argument}:)"
                for field, definition in kind.fields.items()
                for argument, given in definition.args.items()
                if not given.description
            ]
    return missing


def test_everything_in_the_schema_is_described() -> None:
    """Types, fields, arguments, input fields and enum values."""
    assert undescribed() == []


def test_every_document_is_tried() -> None:
    assert {path.stem for path in OPERATIONS.glob("*.graphql")} == set(VARIABLES)


@pytest.mark.parametrize("name", VARIABLES)
async def test_each_document_runs(graph: Graph, name: str) -> None:
    """Valid, and answered without errors."""
    text = operation(name)
    assert validate(SCHEMA, parse(text)) == []
    if name == "postings":
        stream = graph.stream(text, VARIABLES[name])
        answer = json.loads(await anext(stream))
        await stream.aclose()
    else:
        answer = await graph.run(text, VARIABLES[name])
    assert "errors" not in answer, answer
    assert all(answer["data"].values())


async def test_they_answer_what_they_are_for(graph: Graph) -> None:
    """A new ledger, postings with a refusal among them, a balanced trial balance, and cash in both ledgers."""
    created = await graph.data(operation("create-ledger"), CREATED)
    assert created["createLedger"]["ledger"] == {"id": "ledger:new", "code": "new"}
    assert created["createAccounts"]["accounts"][0] == {"id": "account:new:1000", "code": "1000"}
    posted = (await graph.data(operation("post-entry"), VARIABLES["post-entry"]))["postEntry"]
    assert (posted["replayed"], posted["entry"]["id"], posted["entry"]["total"]) == (False, "entry:us:2", "10.00")
    several = (await graph.data(operation("post-entries"), VARIABLES["post-entries"]))["postEntries"]["results"]
    assert [result["__typename"] for result in several] == ["EntryPosted", "EntryRejected"]
    balance = (await graph.data(operation("trial-balance"), VARIABLES["trial-balance"]))["trialBalance"]
    assert (balance["sequence"], balance["totalDebit"], balance["totalCredit"]) == (3, "30.00", "30.00")
    cash = (await graph.data(operation("cash-positions"), VARIABLES["cash-positions"]))["cashPositions"]
    assert {position["bankAccount"]["id"].split(":")[1] for position in cash["nodes"]} == {"us", "eu"}
    assert all(position["booked"] for position in cash["nodes"])
    assert [(each["source"], each["stale"]) for each in cash["freshness"]] == [("bank", False)]


@pytest.mark.parametrize(
    "page", ["README.md", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md"))]
)
def test_documents_in_the_pages_are_valid(page: str) -> None:
    """Every fenced GraphQL block fits the schema."""
    for text in FENCED.findall((ROOT / page).read_text(encoding="utf-8")):
        assert validate(SCHEMA, parse(text)) == [], text
