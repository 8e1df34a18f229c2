"""Matching in the graph: what is open, what is proposed, and what people decide, through to entries."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sources.ledger import administration
from sources.ledger.model import AccountDraft, AccountType
from tests.graph import Graph, caller, open_graph
from tests.sources.matching.trade import Trade, invoice, money, payout, payroll, trading
from tests.sources.pipeline.company import EVERYONE

ROOT = Path(__file__).parents[2]
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


async def test_the_rest_of_a_match_is_left_on_account_in_one_step(trade: Trade, graph: Graph) -> None:
    await trade.invoiced(invoice("INV-10001", 100_00))
    await trade.moved(money("t1", 120_00, "x", name="Some One"))
    line = "bank-transaction:acme-us:bank:DE02120300000000202051:t1"
    part = {"to": "DOCUMENT", "document": "invoice:acme-us:sales:inv-10001", "amount": "100.00"}
    first = await decide(graph, "matchManually", transaction=line, allocations=[part])
    assert first["match"]["status"] == "CONFIRMED"
    refused = await decide(graph, "matchManually", transaction=line, allocations=[{"to": "ON_ACCOUNT"}])
    assert "complete it" in refused["reasons"][0]["message"]
    whole = await decide(graph, "matchManually", transaction=line, allocations=[{"to": "ON_ACCOUNT"}], complete=True)
    parts = [{"kind": "INVOICE", "bankAmount": "100.00"}, {"kind": "ON_ACCOUNT", "bankAmount": "20.00"}]
    assert whole["match"]["allocations"] == parts
    await trade.company.look()
    assert await trade.net("bank_clearing") == 0


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


@pytest.mark.parametrize(
    ("account", "code"),
    [("9999", "UNKNOWN_ACCOUNT"), ("6000", "INACTIVE_ACCOUNT"), ("1300", "CURRENCY_MISMATCH")],
)
async def test_a_ledger_account_that_posting_would_refuse_is_refused(
    trade: Trade, graph: Graph, account: str, code: str
) -> None:
    ledger = trade.company.ledger.code
    dollars = AccountDraft(code="1300", name="Dollars", type=AccountType.ASSET, currency="USD")
    await administration.create_accounts(trade.company.database, EVERYONE, ledger=ledger, accounts=[dollars])
    await administration.update_account(trade.company.database, EVERYONE, ledger=ledger, code="6000", active=False)
    await trade.moved(money("t1", -12_50, "Account fee", name=None))
    given = {
        "transaction": "bank-transaction:acme-us:bank:DE02120300000000202051:t1",
        "allocations": [
            {"to": "ACCOUNT", "ledgerAccount": "6110", "amount": "-2.50"},
            {"to": "ACCOUNT", "ledgerAccount": account, "amount": "-10.00"},
        ],
    }
    answer = await decide(graph, "matchManually", **given)
    assert [(why["code"], why["path"]) for why in answer["reasons"]] == [(code, ["allocations", "1", "ledgerAccount"])]
    alone = [{"to": "ACCOUNT", "ledgerAccount": account, "amount": "-12.50"}]
    taught = await decide(graph, "matchManually", **{**given, "allocations": alone}, rememberText="account fee")
    assert [(why["code"], why["path"]) for why in taught["reasons"]] == [(code, ["allocations", "0", "ledgerAccount"])]
    await trade.company.look()
    query = (
        """{ matchingRules(ledger: "acme-us") { totalCount } bankAndBooks(ledger: "acme-us") { bankOnly { open } } }"""
    )
    found = await graph.data(query)
    assert found == {"matchingRules": {"totalCount": 0}, "bankAndBooks": {"bankOnly": [{"open": "-12.50"}]}}
    assert await trade.matches() == []
    assert await trade.company.issues() == {}
    right = [{"to": "ACCOUNT", "ledgerAccount": "6110", "amount": "-12.50"}]
    assert (await decide(graph, "matchManually", **{**given, "allocations": right}))["__typename"] == "MatchSaved"
    await trade.company.look()
    assert (await trade.net("bank_fees"), await trade.net("bank_clearing")) == (12_50, 0)
    await trade.is_sound()


async def test_what_the_books_never_had_is_not_in_the_books_alone(trade: Trade, graph: Graph) -> None:
    """Documents from before the cut-over have no entries; their money came before it too, and never will be seen."""
    early, late = date(2025, 11, 3), date(2026, 3, 12)
    assert early < trade.company.post_from <= late
    await trade.company.state(payout("po_early", 300_00, early), payout("po_late", 500_00, late), source="stripe")
    run_early = replace(
        payroll("run_early", 900_00, early), period_start=date(2025, 10, 1), period_end=date(2025, 10, 31)
    )
    await trade.company.state(run_early, payroll("run_late", 800_00, late), source="wages")
    paid: dict[str, Any] = {"status": "PAID", "amount_due": 0}
    of_before = invoice("INV-10001", 49_00, issue_date=early, due_date=early, **paid)
    await trade.invoiced(of_before, invoice("INV-10002", 51_00, **paid))
    await trade.moved(money("t1", 10_00, "unknown", name=None))
    query = """{ bankAndBooks(ledger: "acme-us") { payoutTotals { count amount } payouts { open payment { externalId } }
        payrollRuns { open payrollRun { externalId } }
        paidWithoutMoneyTotals { count amount } paidWithoutMoney { invoice { number } } } }"""
    found = (await graph.data(query))["bankAndBooks"]
    assert found == {
        "payoutTotals": [{"count": 1, "amount": "500.00"}],
        "payouts": [{"open": "500.00", "payment": {"externalId": "po_late"}}],
        "payrollRuns": [{"open": "-800.00", "payrollRun": {"externalId": "run_late"}}],
        "paidWithoutMoneyTotals": [{"count": 1, "amount": "51.00"}],
        "paidWithoutMoney": [{"invoice": {"number": "INV-10002"}}],
    }


async def test_what_the_docs_show_is_answered(trade: Trade, graph: Graph) -> None:
    await trade.invoiced(invoice("INV-10001", 49_00))
    await trade.moved(money("t1", 49_00, "thanks"))
    shown = re.findall(r"```graphql\n(.*?)```", (ROOT / "docs/matching.md").read_text(), re.DOTALL)
    assert len(shown) == 3
    for document in shown:
        assert all((await graph.data(document.replace("acme-eu", "acme-us"))).values())
