"""Mutations answer what graphql-core answers for the same on an equal database: refusals, replays and conflicts included."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson
import pytest
from graphql import parse, validate
from hypothesis import assume, event, given
from hypothesis import strategies as st

from gateway.requests import GraphQLRequest, RequestRefused
from sources.caller import Caller
from tests.documents import Document, Documents
from tests.examples import examples
from tests.graph import SCHEMA, Graph, caller, entry, open_graph
from tests.world import DATES, LIMITS, ODD, keep_books
from tests.world import POOLS as READING

LONG = "x" * 300
KEYS = [*[f"m{number}" for number in range(30)], "", LONG, "nul\0"]
LEDGERS = [*["us"] * 8, "eu", "eu", "jp", "new1", "no"]
LINES = [
    [{"account": "1000", "debit": "10"}, {"account": "4000", "credit": 10}],
    [{"account": "1000", "debit": "0.01", "description": ODD}, {"account": "1200", "credit": "0.01", "taxCode": "V"}],
    [{"account": "1000", "debit": "7.00", "dimensions": [{"name": "team", "value": ODD}]}, {"account": "5000", "credit": "7"}],
    [{"account": "1000", "debit": "7", "currency": "EUR", "functionalAmount": "8"}, {"account": "4000", "credit": "8"}],
    [{"account": "1000", "debit": "7"}, {"account": "4000", "credit": "8"}],
    [{"account": "1100", "debit": "7"}, {"account": "x", "credit": "7"}],
]  # fmt: skip
ENTRIES = [
    entry(key, ledger=ledger, lines=lines, effectiveDate=DATES[number % len(DATES)], reference=f"R{number % 3}")
    for number, (key, ledger, lines) in enumerate(
        (KEYS[(7 * n) % len(KEYS)], LEDGERS[n % len(LEDGERS)], LINES[n % len(LINES)]) for n in range(150)
    )
]
POOLS: dict[str, list[Any]] = {
    **READING,
    "PostEntryInput": ENTRIES,
    "ledger": LEDGERS,
    "CreateLedgerInput.code": ["new1", "new2", "us", "Bad Code", "", LONG, "n\u00e9"],
    "UpdateLedgerInput.code": ["us", "us", "eu", "no", "new1"],
    "UpdateAccountInput.code": ["1100", "1200", "5000", "new1", "9999"],
    "code": ["1000", "1100", "1200", "4000", "5000", "9999", "new1", "new2", "", ODD.strip()],
    "name": ["Bank", "Till \U0001f701", ODD.strip(), "", LONG, "\x01", "team", "Team"],
    "functionalCurrency": ["USD", "EUR", "usd", "JPY"],
    "currency": [None, "USD", "EUR", "JPY", "x"],
    "parent": ["1000", "3000", "new1", "x"],
    "through": [*DATES[:2], None, "1899-01-01", "2300-01-01"],
    "effectiveDate": [*DATES, "1800-01-01"],
    "documentDate": DATES,
    "idempotencyKey": KEYS,
    "sequence": [*range(1, 15), 0, -1, 999, 2**53],
    "description": ["Reversed", ODD, "", " ", "x" * 1001, "bell\x07"],
    "journal": ["SALES", LONG],
    "reference": ["R1", LONG],
    "account": ["1000", "4000", "5000", "x", ""],
    "debit": ["10", 10, "0", "-1", "1.234", "9" * 40],
    "credit": ["10", 10, "0"],
    "functionalAmount": ["10", "1.234"],
    "taxCode": ["V19", LONG],
    "value": ["a", ODD, LONG],
    "asOf": DATES,
    "first": [1, 2, 50],
    "source": ["bank", "x", LONG],
    "subject": ["x", ODD],
    "note": [ODD, ""],
    "until": ["2999-01-01T00:00:00Z"],
    "RateInput.base": ["EUR", "EUR", "JPY", "x"],
    "RateInput.quote": ["USD", "USD", "EUR", ""],
    "on": [*DATES, "1800-01-01"],
    "rate": ["1.0956", "0.5", "0", "-1", "9" * 40],
    "RateInput.type": ["spot", "average", "", ODD],
    "documents": ["invoice:us:billing:1", "bank-transaction:eu:bank:a%3A:1", "payment:no:x:1", "ledger:us", ""],
    "proposals": [1, 2, -1, 2**53],
    "SaveMappingInput.version": [1, 1, 2, 0, 2**31 - 1],
    "match": [1, 2, -1, 2**53],
    "rule": [1, -1],
    "revision": [0, 7, -1],
    "content": ["", "PGE+", "%%%", ODD],
    "transaction": ["bank-transaction:us:bank:DE02120300000000202051:t1", "invoice:us:billing:1", ""],
    "document": ["invoice:us:stripe:in_2", "bank-transaction:eu:bank:a%3A:1", "x"],
    **{
        key: ["10", 10, "-0.01", "1.234", "9" * 40]
        for key in (
            "amount",
            "documentAmount",
            "amountDue",
            "closing",
            "closingAvailable",
            "deductions",
            "employeeTaxes",
            "employerTaxes",
            "employerContributions",
            "fee",
            "gross",
            "net",
            "opening",
            "prepaid",
            "presentedAmount",
            "reimbursements",
            "rounding",
            "subtotal",
            "tax",
            "taxable",
            "total",
            "totalCost",
        )
    },
    **dict.fromkeys(
        (
            "availableOn",
            "bookedOn",
            "dueDate",
            "fromDate",
            "issueDate",
            "occurredOn",
            "payDate",
            "periodEnd",
            "periodStart",
            "serviceFrom",
            "serviceTo",
            "toDate",
            "valueDate",
        ),
        DATES,
    ),
    **{
        key: ["1", ODD, "", LONG]
        for key in (
            "bankAccount",
            "counterparty",
            "department",
            "employeeId",
            "employeeName",
            "externalId",
            "iban",
            "invoiceExternalId",
            "ledgerAccount",
            "number",
            "paidOut",
            "parentExternalId",
            "party",
            "payoutExternalId",
            "presentedCurrency",
            "product",
            "quantity",
            "rememberText",
            "sourceStatus",
            "taxId",
        )
    },
}
LEAVE = frozenset({"JournalEntry.postedAt", "JournalEntry.hash", "Ledger.postingCursor", "MappingVersion.createdAt"})
"""What depends on the moment of posting."""
DOCUMENTS = Documents(SCHEMA, POOLS, operation="mutation", leave=LEAVE, inputs=0.3)
CALLERS = [caller(), caller(), caller(ledgers=["us", "eu", "new1"]), caller(ledgers=["eu"])]
STATE = """{ ledgers { code name lastSequence lockedThrough }
  us: accounts(ledger: "us") { nodes { code name active parent { code } balances { debit credit currency } } }
  entries(ledger: "us", last: 30) { nodes { sequence idempotencyKey total reversedBy { sequence } lines { description } } } }"""


KINDS = (
    "EntryPosted", "EntryRejected", "IdempotencyConflict", "LedgerSaved", "AccountsSaved", "ChangeRejected", "MappingSaved",
    "MappingInvalid", "RatesSaved", "ProposalsDecided", "DocumentsReposted",
)  # fmt: skip


@dataclass
class Twins:
    """Two databases with the same books: one for the planned execution, one for the reference."""

    planned: Graph
    other: Graph


@pytest.fixture
async def twins(database_url: str, owner_url: str) -> AsyncIterator[Twins]:
    """The second database is a copy of the first, with books in it."""
    async with open_graph(database_url, LIMITS) as first:
        await keep_books(first)
    name = database_url.split("/")[3].split("?")[0]
    server = await asyncpg.connect(
        owner_url.replace(f"/{name}?", "/postgres?").replace("ledgergraph_owner@", "postgres@")
    )
    await server.execute(f"CREATE DATABASE {name}_twin TEMPLATE {name}")
    try:
        async with (
            open_graph(database_url, LIMITS) as planned,
            open_graph(database_url.replace(name, f"{name}_twin"), LIMITS) as other,
        ):
            yield Twins(planned, other)
    finally:
        await server.execute(f"DROP DATABASE {name}_twin WITH (FORCE)")
        await server.close()


@given(document=DOCUMENTS.strategy(), by=st.sampled_from(CALLERS))
@examples(150)
async def test_generated_mutations_do_and_answer_the_same(twins: Twins, document: Document, by: Caller) -> None:
    """Twice each: what was posted is then a replay, what was refused is refused again."""
    for _ in range(2):
        kinds = await compare(twins, document, by)
        assert {*kinds} <= {*KINDS, "refused"}, document
        for kind in kinds:
            event(kind)
    assert await twins.planned.data(STATE) == await twins.other.data(STATE), document


async def compare(twins: Twins, document: Document, by: Caller) -> list[str]:
    """Both do and answer the same. Which results there were."""
    request = GraphQLRequest(document.text, document.operation_name, document.variables, "test")
    try:
        operation = twins.planned.engine.prepare(request, by)
    except RequestRefused as refused:
        codes = {error["extensions"]["code"] for error in refused.errors}
        assume(codes == {"BAD_USER_INPUT"} or not validate(SCHEMA, parse(document.text)))
        return sorted(codes - {"BAD_USER_INPUT"}) or ["refused"]
    answer = await twins.planned.engine.run(operation)
    expected = await twins.other.reference.run(document.text, by, document.variables, document.operation_name)
    data = orjson.dumps(expected["data"])
    assert answer.startswith((b'{"data":' + data + b"}", b'{"data":' + data + b',"e')), (document, answer, data)
    assert errors(orjson.loads(answer)) == errors(expected), document
    return [kind for kind in KINDS if kind.encode() in answer]


def errors(answer: dict[str, Any]) -> set[tuple[str, str]]:
    return {(str(error.get("path")), error["extensions"]["code"]) for error in answer.get("errors", ())}


async def test_a_batch_whose_results_nobody_asks_for_is_posted(twins: Twins) -> None:
    """Its answer once was an internal error, after the entries were posted."""
    text = "mutation ($input: PostEntriesInput!) { postEntries(input: $input) { __typename } }"
    entries = [entry("quiet"), entry("refused", lines=[])]
    await compare(twins, Document(text, {"input": {"entries": entries}}, None), caller())
    assert await twins.planned.data(STATE) == await twins.other.data(STATE)
    assert (await twins.planned.post(entries[0]))[0]["replayed"] is True
