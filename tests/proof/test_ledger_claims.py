"""A ledger outside the caller's claim looks as if there were none, for every root field."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sources.caller import Caller
from tests.graph import SCHEMA, Graph, caller, entry, open_graph

INPUT = '{ledger: "CODE", idempotencyKey: "k", effectiveDate: "2026-03-15", description: "x", lines: [{account: "1000", debit: 1}]}'
REASONS = "__typename ... on ChangeRejected { reasons { code message path } }"
OUTCOME = "__typename ... on EntryRejected { reasons { code message path } } ... on EntryPosted { replayed } ... on IdempotencyConflict { sequence }"
ELSEWHERE = {
    "node": '{ a: node(id: "ledger:CODE") { id } b: node(id: "entry:CODE:1") { id } c: node(id: "account:CODE:1000") { id } }',
    "nodes": '{ nodes(ids: ["line:CODE:1:1", "ledger:CODE", "entry:CODE:1", "ledger:eu"]) { id } }',
    "ledger": '{ ledger(code: "CODE") { code name lastSequence } }',
    "account": '{ account(ledger: "CODE", code: "1000") { code name } }',
    "accounts": '{ accounts(ledger: "CODE") { nodes { code } totalCount } }',
    "entry": '{ entry(ledger: "CODE", sequence: 1) { sequence } }',
    "entries": '{ entries(ledger: "CODE") { nodes { sequence } totalCount pageInfo { endCursor } } }',
    "journalLines": '{ journalLines(ledger: "CODE") { nodes { lineNumber } } }',
    "trialBalance": '{ trialBalance(ledger: "CODE") { sequence rows { closing } } }',
    "invoices": '{ invoices(filter: {ledgers: ["CODE", "eu"]}) { totalCount } }',
    "payments": '{ payments(filter: {ledgers: ["CODE", "eu"]}) { totalCount } }',
    "payrollRuns": '{ payrollRuns(ledgers: ["CODE"]) { totalCount } }',
    "bankAccounts": '{ bankAccounts(ledgers: ["CODE"]) { totalCount } }',
    "cashPositions": '{ cashPositions(ledgers: ["CODE"]) { nodes { booked } } }',
    "integrationIssues": '{ integrationIssues(filter: {ledgers: ["CODE", "eu"]}) { totalCount } }',
    "mappings": '{ mappings(ledger: "CODE") { totalCount } }',
    "previewMapping": '{ previewMapping(ledger: "CODE", text: "") { __typename } }',
    "reconciliation": '{ reconciliation(source: "billing", ledger: "CODE", from: "2026-01-01", to: "2026-01-31") { documentCount } }',
    "proposals": '{ proposals(ledger: "CODE") { totalCount } }',
    "matchProposals": '{ matchProposals(ledger: "CODE") { totalCount } }',
    "unmatchedTransactions": '{ unmatchedTransactions(ledger: "CODE") { totalCount } }',
    "openItems": '{ openItems(ledger: "CODE", direction: PAYABLE) { totalCount } }',
    "openItemsByParty": '{ openItemsByParty(ledger: "CODE", direction: PAYABLE) { totalCount } }',
    "bankAndBooks": '{ bankAndBooks(ledger: "CODE") { bankOnlyTotals { count } } }',
    "matchingRules": '{ matchingRules(ledger: "CODE") { totalCount } }',
    "confirmMatch": 'mutation { confirmMatch(input: {ledger: "CODE", match: 1}) { REASONS } }',
    "rejectMatch": 'mutation { rejectMatch(input: {ledger: "CODE", match: 1}) { REASONS } }',
    "unmatch": 'mutation { unmatch(input: {ledger: "CODE", match: 1}) { REASONS } }',
    "matchManually": 'mutation { matchManually(input: {transaction: "bank-transaction:CODE:bank:a:1", allocations: []}) { REASONS } }',
    "removeMatchingRule": 'mutation { removeMatchingRule(input: {ledger: "CODE", rule: 1}) { REASONS } }',
    "resolveIssue": 'mutation { resolveIssue(input: {ledger: "CODE", source: "s", code: "c", subject: "x"}) { REASONS } }',
    "muteIssue": 'mutation { muteIssue(input: {ledger: "CODE", source: "s", code: "c", subject: "x"}) { REASONS } }',
    "saveMapping": 'mutation { saveMapping(input: {ledger: "CODE", text: "", activate: true}) { REASONS } }',
    "approveProposals": 'mutation { approveProposals(input: {ledger: "CODE", proposals: [1]}) { REASONS } }',
    "rejectProposals": 'mutation { rejectProposals(input: {ledger: "CODE", proposals: [1]}) { REASONS } }',
    "repostDocuments": 'mutation { repostDocuments(input: {documents: ["invoice:CODE:billing:1"]}) { REASONS } }',
    "createLedger": 'mutation { createLedger(input: {code: "CODE", name: "US", functionalCurrency: "USD"}) { REASONS } }',
    "updateLedger": 'mutation { updateLedger(input: {code: "CODE", name: "Mine"}) { REASONS } }',
    "lockPeriods": 'mutation { lockPeriods(input: {ledger: "CODE", through: "2026-12-31"}) { REASONS } }',
    "createAccounts": 'mutation { createAccounts(input: {ledger: "CODE", accounts: [{code: "1000", name: "Bank", type: ASSET}]}) { REASONS } }',
    "updateAccount": 'mutation { updateAccount(input: {ledger: "CODE", code: "1000", active: false}) { REASONS } }',
    "postEntry": f"mutation {{ postEntry(input: {INPUT}) {{ OUTCOME }} }}",
    "postEntries": f"mutation {{ postEntries(input: {{atomic: true, entries: [{INPUT}]}}) {{ results {{ OUTCOME }} }} }}",
    "reverseEntry": 'mutation { reverseEntry(input: {ledger: "CODE", sequence: 1, idempotencyKey: "r", effectiveDate: "2026-03-15"}) { OUTCOME } }',
    "postings": 'subscription { postings(ledger: "CODE", after: "0") { cursor } }',
    "integrationIssues stream": 'subscription { integrationIssues(ledger: "CODE", after: "0") { cursor } }',
}
WITHOUT_LEDGER = {"ledgers", "sources", "syncRuns", "syncSource", "setRates", "submitDocuments", "submitFiles"}


@pytest.fixture
async def graph(database_url: str) -> AsyncIterator[Graph]:
    async with open_graph(database_url) as opened:
        await opened.found("us")
        await opened.found("eu", "EUR")
        assert [result["__typename"] for result in await opened.post(entry("k"))] == ["EntryPosted"]
        yield opened


def test_every_root_field_is_tried_with_another_ledger() -> None:
    roots = {name for root in ("Query", "Mutation", "Subscription") for name in SCHEMA.type_map[root].fields}
    assert roots == {name.removesuffix(" stream") for name in ELSEWHERE} | WITHOUT_LEDGER


async def test_a_ledger_outside_the_claim_looks_like_none(graph: Graph) -> None:
    """Every root field answers for a ledger outside the claim, word for word, what it answers for one that does not exist;
    and nothing of it changes."""
    before = await state(graph)
    guest = caller(ledgers=["eu"])
    for name in ELSEWHERE:
        hidden = await answer(graph, name, "us", guest)
        absent = await answer(graph, name, "zz", guest)
        assert hidden == absent.replace("zz", "us"), name
        assert "EntryPosted" not in hidden
        assert "Saved" not in hidden
    assert await state(graph) == before
    listed = await graph.data("{ ledgers { code } sources { name } }", by=guest)
    assert listed == {"ledgers": [{"code": "eu"}], "sources": []}


async def test_a_claim_of_no_ledger_sees_none(graph: Graph) -> None:
    nobody = caller(ledgers=[])
    assert await graph.data("{ ledgers { code } }", by=nobody) == {"ledgers": []}
    for name in ELSEWHERE:
        assert await answer(graph, name, "us", nobody) == (await answer(graph, name, "zz", nobody)).replace("zz", "us")
    assert (await graph.data('{ nodes(ids: ["ledger:us", "entry:us:1"]) { id } }', by=nobody))["nodes"] == [None, None]


async def answer(graph: Graph, name: str, code: str, by: Caller) -> str:
    """The whole answer of a root field for a ledger, as text; of a subscription, its first result."""
    query = ELSEWHERE[name].replace("REASONS", REASONS).replace("OUTCOME", OUTCOME).replace("CODE", code)
    if query.startswith("subscription"):
        stream = graph.stream(query, by=by)
        return (await anext(stream)).decode()
    return json.dumps(await graph.run(query, by=by))


async def state(graph: Graph) -> Any:
    return await graph.data(
        '{ ledger(code: "us") { name lockedThrough lastSequence } accounts(ledger: "us") { nodes { code name active } } }'
    )
