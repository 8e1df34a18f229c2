"""Open items and their ageing in the graph: on any day, by party, beside the control accounts, and for whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import pytest

from sources.documents import InvoiceStatus, Party
from sources.pipeline import control_accounts, reconciliation
from sources.pipeline.rulebook import RuleBook
from tests.graph import Graph, caller, open_graph
from tests.sources.matching.trade import BANK, Trade, bill, credit_note, invoice, money, trading
from tests.sources.mirror.kit import Kit

AGEING = """query ($day: Date, $party: String, $currency: String, $first: Int, $after: String) {
  openItemsByParty(ledger: "acme-us", direction: RECEIVABLE, asOf: $day, party: $party, currency: $currency, first: $first, after: $after) {
    totalCount pageInfo { endCursor hasNextPage }
    nodes { party partyName currency documents open notDue days1To30 days31To60 days61To90 over90 onAccount unexplained balance }
    totals { currency documents open notDue days1To30 days31To60 days61To90 over90 onAccount unexplained balance } freshness { source } } }"""
ITEMS = """query ($day: Date, $party: String, $currency: String, $overdue: Int, $unexplained: Boolean, $first: Int,
  $after: String) {
  openItems(ledger: "acme-us", direction: RECEIVABLE, asOf: $day, party: $party, currency: $currency, overdueBy: $overdue,
    unexplained: $unexplained, first: $first, after: $after) {
    totalCount pageInfo { endCursor hasNextPage } nodes { open daysOverdue dueOn partyName currency invoice { number } } } }"""


@pytest.fixture
async def trade(database_url: str, owner_url: str) -> AsyncIterator[Trade]:
    async with trading(database_url, owner_url) as found:
        yield found


@pytest.fixture
async def graph(database_url: str, trade: Trade) -> AsyncIterator[Graph]:
    async with open_graph(database_url) as found:
        yield found


async def decide(graph: Graph, name: str, **given: Any) -> Any:
    kind = {"unmatch": "MatchInput"}.get(name, "MatchManuallyInput")
    wanted = "{ ... on MatchSaved { match { matchId } } ... on ChangeRejected { reasons { code message } } }"
    answer = await graph.data(f"mutation ($i: {kind}!) {{ it: {name}(input: $i) {wanted} }}", {"i": given})
    assert "match" in answer["it"], answer
    return answer["it"]


async def numbers(graph: Graph, **variables: Any) -> list[tuple[str, str]]:
    nodes = (await graph.data(ITEMS, variables))["openItems"]["nodes"]
    return [(each["invoice"]["number"], each["open"]) for each in nodes]


async def test_open_items_age_by_party(trade: Trade, graph: Graph) -> None:
    await trade.invoiced(
        invoice("INV-10001", 100_00),
        invoice("INV-10002", 50_00, party="Hooli"),
        credit_note("CN-20001", 30_00),
        bill("R-1", 5_00),
    )
    await trade.moved(money("t1", 40_00, "INV-10001 part"))
    assert await numbers(graph, day="2026-04-20") == [
        ("CN-20001", "-30.00"),
        ("INV-10001", "60.00"),
        ("INV-10002", "50.00"),
    ]
    found = (await graph.data(AGEING, {"day": "2026-04-20"}))["openItemsByParty"]
    globex, hooli = found["nodes"]
    assert (globex["partyName"], globex["open"], globex["days31To60"], globex["documents"]) == (
        "Globex GmbH",
        "30.00",
        "30.00",
        2,
    )
    assert (hooli["partyName"], hooli["open"], hooli["over90"]) == ("Hooli", "50.00", "0.00")
    (total,) = found["totals"]
    assert (total["open"], total["days31To60"], total["documents"], total["balance"]) == ("80.00", "80.00", 3, "80.00")
    assert [open_ for _, open_ in await numbers(graph, day="2026-03-13")] == ["-30.00", "100.00", "50.00"]


@pytest.mark.parametrize(
    ("overdue", "bucket"),
    [(-3, "notDue"), (0, "notDue"), (1, "days1To30"), (30, "days1To30"), (31, "days31To60"), (60, "days31To60"), (61, "days61To90"),
     (90, "days61To90"), (91, "over90"), (400, "over90")],
)  # fmt: skip
async def test_buckets_begin_and_end_on_their_days(trade: Trade, graph: Graph, overdue: int, bucket: str) -> None:
    await trade.invoiced(invoice("INV-10001", 10_00))
    on = date(2026, 3, 15) + timedelta(days=overdue)
    (party,) = (await graph.data(AGEING, {"day": on.isoformat()}))["openItemsByParty"]["nodes"]
    buckets = ("notDue", "days1To30", "days31To60", "days61To90", "over90")
    assert {name: party[name] for name in buckets if party[name] != "0.00"} == {bucket: "10.00"}
    assert await numbers(graph, day=on.isoformat(), overdue=overdue) == [("INV-10001", "10.00")]
    assert await numbers(graph, day=on.isoformat(), overdue=overdue + 1) == []


async def test_money_on_account_stands_with_its_party(trade: Trade, graph: Graph) -> None:
    await trade.invoiced(invoice("INV-10001", 100_00))
    await trade.moved(money("t1", 130_00, "x", name="Some One"), money("t2", 20_00, "y", name="Nobody"))
    ids = [f"bank-transaction:acme-us:bank:{BANK}:t{number}" for number in (1, 2)]
    parts = [
        {"to": "DOCUMENT", "document": "invoice:acme-us:sales:inv-10001", "amount": "100.00"},
        {"to": "ON_ACCOUNT", "amount": "30.00"},
    ]
    answer = await decide(graph, "matchManually", transaction=ids[0], allocations=parts)
    prepaid = [{"to": "ON_ACCOUNT", "amount": "20.00", "party": "newcomer", "direction": "RECEIVABLE"}]
    await decide(graph, "matchManually", transaction=ids[1], allocations=prepaid)
    (unposted, _) = (await graph.data(AGEING, {"day": "2026-03-31"}))["openItemsByParty"]["nodes"]
    assert (unposted["open"], unposted["onAccount"], unposted["balance"]) == ("0.00", "-30.00", "70.00")
    for _ in range(2):
        await trade.company.look()
        nodes = (await graph.data(AGEING, {"day": "2026-03-31"}))["openItemsByParty"]["nodes"]
        assert [
            (each["party"], each["partyName"], each["documents"], each["onAccount"], each["balance"]) for each in nodes
        ] == [
            ("globex-gmbh", "Globex GmbH", 0, "-30.00", "-30.00"),
            ("newcomer", "", 0, "-20.00", "-20.00"),
        ]
    assert await trade.net("receivable") == -50_00
    before = (await graph.data(AGEING, {"day": "2026-03-13"}))["openItemsByParty"]["nodes"]
    assert [(each["open"], each["onAccount"]) for each in before] == [("100.00", "0.00")]
    await decide(graph, "unmatch", ledger="acme-us", match=answer["match"]["matchId"])
    await trade.company.look()
    again = (await graph.data(AGEING, {"day": "2026-03-31", "party": "globex-gmbh"}))["openItemsByParty"]["nodes"]
    assert [(each["open"], each["onAccount"]) for each in again] == [("100.00", "0.00")]


async def test_every_day_ties_with_the_control_accounts(trade: Trade) -> None:
    """Whatever way an invoice is settled, and whether its source tells: what is open is what the books say, on each day."""
    paid: dict[str, Any] = {"status": InvoiceStatus.PAID, "amount_due": 0}
    moments = {"status_transitions": {"marked_uncollectible_at": 1_774_224_000}}  # 2026-03-23
    await trade.invoiced(
        invoice("INV-10001", 100_00, **paid),
        invoice("INV-10002", 80_00, **paid),
        invoice("INV-10003", 70_00, accounting_date=date(2026, 3, 6)),
        invoice("INV-10004", 60_00, amount_due=45_00),
        credit_note("CN-20004", 15_00, issue_date=date(2026, 3, 9), raw={"invoice": "inv-10004"}, **paid),
        invoice("INV-10005", 50_00, status=InvoiceStatus.UNCOLLECTIBLE, raw=moments),
        bill("BILL-70001", 40_00, **paid),
    )
    await trade.company.state(
        Kit.payment(
            "pay_1",
            amount=80_00,
            fee=0,
            net=80_00,
            currency="EUR",
            occurred_on=date(2026, 3, 11),
            invoice_external_id="inv-10002",
            party=Party(name="Globex GmbH", external_id="globex-gmbh"),
        ),
        source="sales",
    )
    await trade.moved(
        money("t1", 100_00, "INV-10001", day=date(2026, 3, 18)),
        money("t2", -40_00, "BILL-70001", name="Initech Ltd", day=date(2026, 3, 20)),
        money("t3", 30_00, "INV-10003 part", day=date(2026, 3, 21)),
    )
    company = trade.company
    for number in range(-1, 35):
        async with reconciliation.reading(company.database, company.ledger.ledger_id) as connection:
            standing = await RuleBook().standing(connection, company.ledger.ledger_id, 2)
            on = date(2026, 3, 1) + timedelta(days=number)
            for subledger in await control_accounts.tie_subledgers(connection, company.ledger.ledger_id, standing, on):
                assert subledger.parties == (), (on, subledger)


async def test_pages_go_on_where_they_ended_whatever_is_paid_meanwhile(trade: Trade, graph: Graph) -> None:
    await trade.invoiced(
        *[invoice(f"INV-1000{n}", n * 1_00, party=f"Party {n}", due_date=date(2026, 3, 10 + n)) for n in range(1, 7)]
    )
    page = (await graph.data(ITEMS, {"day": "2026-05-01", "first": 3}))["openItems"]
    assert [each["invoice"]["number"] for each in page["nodes"]] == ["INV-10001", "INV-10002", "INV-10003"]
    await trade.moved(money("t1", 1_00, "INV-10001"), money("t2", 5_00, "INV-10005"))
    rest = {"day": "2026-05-01", "first": 3, "after": page["pageInfo"]["endCursor"]}
    assert await numbers(graph, **rest) == [("INV-10004", "4.00"), ("INV-10006", "6.00")]
    first = (await graph.data(AGEING, {"day": "2026-05-01", "first": 2}))["openItemsByParty"]
    assert first["totalCount"] == 4
    assert first["totals"][0]["open"] == "15.00"
    behind = {"day": "2026-05-01", "first": 2, "after": first["pageInfo"]["endCursor"]}
    parties = [each["party"] for each in (await graph.data(AGEING, behind))["openItemsByParty"]["nodes"]]
    assert [*[each["party"] for each in first["nodes"]], *parties] == ["party-2", "party-3", "party-4", "party-6"]


async def test_filters_narrow_and_odd_ones_find_nothing(trade: Trade, graph: Graph) -> None:
    await trade.invoiced(invoice("INV-10001", 10_00), invoice("INV-10002", 20_00, party="Hooli"))
    assert await numbers(graph, day="2026-05-01", party="hooli") == [("INV-10002", "20.00")]
    assert await numbers(graph, day="2026-05-01", currency="USD") == []
    assert await numbers(graph, day="2026-05-01", overdue=2**31 - 1) == []
    assert len(await numbers(graph, day="2026-05-01", overdue=-(2**31))) == 2
    assert await numbers(graph, day="0001-01-01") == []
    assert len(await numbers(graph, day="9999-12-31")) == 2
    ageing = (await graph.data(AGEING, {"day": "2026-05-01", "party": "hooli", "currency": "EUR"}))["openItemsByParty"]
    assert [each["open"] for each in ageing["totals"]] == ["20.00"]


async def test_nobody_reads_another_ledgers_or_a_party_without_the_scope(trade: Trade, graph: Graph) -> None:
    await trade.invoiced(invoice("INV-10001", 10_00))
    other = caller("cash:read", "invoices:read", ledgers=["other"])
    for query in (ITEMS, AGEING):
        answer = await graph.run(query, {"day": "2026-05-01"}, by=other)
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["NOT_FOUND"]
        for scope in ("cash:read", "invoices:read"):
            assert (await graph.run(query, {"day": "2026-05-01"}, by=caller(scope)))["refused"] == 403


async def test_a_source_that_was_never_read_is_no_silent_zero(database_url: str, trade: Trade) -> None:
    dead = Kit.Script()
    dead.failure = Kit.Unavailable("it is down.")
    async with open_graph(database_url, sources=[(Kit.stripe(ledger="acme-us"), dead)]) as graph:
        for query in (ITEMS, AGEING):
            answer = await graph.run(query, {"day": "2026-05-01"})
            assert [error["extensions"]["code"] for error in answer["errors"]] == ["SOURCE_UNAVAILABLE"]


async def test_a_bank_that_was_never_read_is_no_silent_zero(database_url: str, trade: Trade) -> None:
    dead = Kit.Script()
    dead.failure = Kit.Unavailable("it is down.")
    queries = (
        "unmatchedTransactions(ledger: $l) { totalCount }",
        "bankAndBooks(ledger: $l) { bankOnlyTotals { count } }",
    )
    async with open_graph(database_url, sources=[(Kit.bank(ledger="acme-us"), dead)]) as graph:
        for query in queries:
            answer = await graph.run(f"query ($l: String!) {{ {query} }}", {"l": "acme-us"})
            assert [error["extensions"]["code"] for error in answer["errors"]] == ["SOURCE_UNAVAILABLE"]
    alive = Kit.Script(*Kit.pages([]))
    async with open_graph(database_url, sources=[(Kit.bank(ledger="acme-us"), alive)]) as graph:
        for query in queries:
            found = await graph.data(
                f"query ($l: String!) {{ {query[:-2]} freshness {{ source stale }} }} }}", {"l": "acme-us"}
            )
            assert next(iter(found.values()))["freshness"] == [{"source": "bank", "stale": False}]


async def test_what_the_source_says_and_the_books_do_not_is_told_apart(trade: Trade, graph: Graph) -> None:
    """An invoice that is paid, nobody knows by what, is not open; the control account has it, and the list says which it is."""
    await trade.invoiced(
        invoice("INV-10001", 100_00, status=InvoiceStatus.PAID, amount_due=0), invoice("INV-10002", 50_00)
    )
    (party,) = (await graph.data(AGEING, {"day": "2026-03-31"}))["openItemsByParty"]["nodes"]
    assert (party["documents"], party["open"], party["unexplained"], party["balance"]) == (
        1,
        "50.00",
        "100.00",
        "150.00",
    )
    assert await numbers(graph, day="2026-03-31") == [("INV-10002", "50.00")]
    assert await numbers(graph, day="2026-03-31", unexplained=True) == [("INV-10001", "0.00")]
