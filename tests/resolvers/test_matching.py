"""Matching in the graph: what is open, what is proposed, and what people decide, through to entries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.graph import Graph, caller, open_graph
from tests.sources.matching.trade import Trade, invoice, money, payout, trading

MATCH = """{ __typename ... on MatchSaved { match { matchId status allocations { kind bankAmount } } }
  ... on ChangeRejected { reasons { code message path } } }"""


@pytest.fixture
async def trade(database_url: str, owner_url: str) -> AsyncIterator[Trade]:
    async with trading(database_url, owner_url) as found:
        yield found


@pytest.fixture
async def graph(database_url: str, trade: Trade) -> AsyncIterator[Graph]:
    async with open_graph(database_url) as found:
        yield found


async def decide(graph: Graph, name: str, **given: Any) -> Any:
    kind = {"removeMatchingRule": "MatchingRuleInput", "matchManually": "MatchManuallyInput"}.get(name, "MatchInput")
    wanted = MATCH if kind != "MatchingRuleInput" else "{ __typename ... on ChangeRejected { reasons { code path } } }"
    return (await graph.data(f"mutation ($i: {kind}!) {{ it: {name}(input: $i) {wanted} }}", {"i": given}))["it"]


async def test_proposals_are_read_and_confirmed(trade: Trade, graph: Graph) -> None:
    await trade.invoiced(invoice("INV-10001", 49_00))
    await trade.moved(money("t1", 49_00, "thanks"))
    query = """{ matchProposals(ledger: "acme-us") { totalCount nodes { matchId status score reasons { code points message }
        transaction { id amount counterparty } allocations { kind number documentId amount currency bankAmount ledgerAccount } } }
      unmatchedTransactions(ledger: "acme-us", from: "2026-03-01") { nodes { open currency dated transaction { externalId }
        proposals { matchId } } } }"""
    found = await graph.data(query)
    (proposal,) = found["matchProposals"]["nodes"]
    assert proposal["allocations"] == [
        {
            "kind": "INVOICE",
            "number": "INV-10001",
            "documentId": "invoice:acme-us:sales:inv-10001",
            "amount": "49.00",
            "currency": "EUR",
            "bankAmount": "49.00",
            "ledgerAccount": None,
        }
    ]
    assert proposal["score"] == sum(reason["points"] for reason in proposal["reasons"])
    assert not any("GLOBEX" in reason["message"].upper() for reason in proposal["reasons"])
    (line,) = found["unmatchedTransactions"]["nodes"]
    assert (line["open"], line["proposals"]) == ("49.00", [{"matchId": proposal["matchId"]}])
    answer = await decide(graph, "confirmMatch", ledger="acme-us", match=proposal["matchId"])
    assert answer["match"]["status"] == "CONFIRMED"
    await trade.company.look()
    assert await trade.net("bank_clearing") == 0
    assert (await graph.data(query))["unmatchedTransactions"]["nodes"] == []
    again = await decide(graph, "confirmMatch", ledger="acme-us", match=proposal["matchId"])
    assert again["reasons"][0]["code"] == "NOT_FOUND"


async def test_a_match_by_hand_and_what_it_teaches(trade: Trade, graph: Graph) -> None:
    await trade.invoiced(invoice("INV-10001", 100_00))
    await trade.moved(money("t1", 97_00, "x", name="Some One"), money("t2", -20_00, "Rent office", name="Landlord"))
    ids = [f"bank-transaction:acme-us:bank:DE02120300000000202051:t{number}" for number in (1, 2)]
    parts = [
        {"to": "DOCUMENT", "document": "invoice:acme-us:sales:inv-10001", "amount": "100.00"},
        {"to": "FEE", "amount": "-3.00"},
    ]
    wrong = await decide(graph, "matchManually", transaction=ids[0], allocations=[{**parts[0], "amount": "101.001"}])
    assert wrong["reasons"][0]["code"] == "INVALID_AMOUNT"
    answer = await decide(graph, "matchManually", transaction=ids[0], allocations=parts)
    assert [part["kind"] for part in answer["match"]["allocations"]] == ["INVOICE", "FEE"]
    to_account = [{"to": "ACCOUNT", "ledgerAccount": "6000", "amount": "-20.00"}]
    await decide(graph, "matchManually", transaction=ids[1], allocations=to_account, rememberText="rent office")
    await trade.company.look()
    assert (await trade.net("bank_fees"), await trade.net("expense"), await trade.net("bank_clearing")) == (
        3_00,
        20_00,
        0,
    )
    query = """{ matchingRules(ledger: "acme-us") { nodes { ruleId type payerName party pattern moneyIn ledgerAccount
        match { matchId } createdBy removedAt } } }"""
    rules = (await graph.data(query))["matchingRules"]["nodes"]
    assert [(rule["type"], rule["party"], rule["pattern"], rule["ledgerAccount"]) for rule in rules] == [
        ("PAYER", "GLOBEX", None, None),
        ("ACCOUNT", None, "OFFICE RENT", "6000"),
    ]
    removed = await decide(graph, "removeMatchingRule", ledger="acme-us", rule=rules[0]["ruleId"])
    assert removed == {"__typename": "MatchingRuleRemoved"}
    assert len((await graph.data(query))["matchingRules"]["nodes"]) == 1
    assert (await decide(graph, "unmatch", ledger="acme-us", match=answer["match"]["matchId"]))["match"][
        "status"
    ] == "REJECTED"
    await trade.company.look()
    assert await trade.net("receivable") == 100_00


async def test_the_bank_beside_the_books(trade: Trade, graph: Graph) -> None:
    await trade.company.state(payout("po_1", 500_00), source="stripe")
    await trade.invoiced(invoice("INV-10001", 49_00, status="PAID", amount_due=0))
    await trade.moved(money("t1", 10_00, "unknown", name=None))
    query = """{ bankAndBooks(ledger: "acme-us") { ledger { code } bankOnlyTotals { currency count amount }
        bankOnly { open transaction { externalId } } payoutTotals { count amount } payouts { open payment { externalId } }
        payrollRuns { open } paidWithoutMoneyTotals { amount } paidWithoutMoney { open invoice { number } } } }"""
    found = (await graph.data(query))["bankAndBooks"]
    assert found["bankOnlyTotals"] == [{"currency": "EUR", "count": 1, "amount": "10.00"}]
    assert found["bankOnly"] == [{"open": "10.00", "transaction": {"externalId": "t1"}}]
    assert found["payouts"] == [{"open": "500.00", "payment": {"externalId": "po_1"}}]
    assert found["paidWithoutMoney"] == [{"open": "49.00", "invoice": {"number": "INV-10001"}}]
    refused = await graph.run(query, by=caller("cash:read", "invoices:read", "ledger:read"))
    assert refused["refused"] == 403


async def test_another_ledger_looks_unknown(trade: Trade, graph: Graph) -> None:
    other = caller("cash:read", "invoices:read", "matches:approve", ledgers=["other"])
    answer = await graph.run('{ matchProposals(ledger: "acme-us") { totalCount } }', by=other)
    assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    mutation = 'mutation { it: rejectMatch(input: {ledger: "acme-us", match: 1}) { __typename } }'
    assert (await graph.data(mutation, by=other))["it"]["__typename"] == "ChangeRejected"
    reading = await graph.run(mutation, by=caller("cash:read", "invoices:read"))
    assert reading["refused"] == 403
