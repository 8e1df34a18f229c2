"""submitDocuments: validated, idempotent, in order, and on into entries as every other source's documents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pytest

from sources.connectors.submitted import SubmittedConnector
from sources.documents import Connector
from sources.ledger import administration
from sources.ledger.model import LedgerRef
from sources.mirror.settings import SourceSettings
from tests.graph import Graph, caller, open_graph
from tests.sources.mirror.kit import Kit, Script
from tests.sources.pipeline.company import EVERYONE, Company, opened

SUBMIT = """mutation ($source: String = "inhouse", $documents: [DocumentInput!]!) {
  submitDocuments(input: {source: $source, documents: $documents}) { results {
    __typename
    ... on DocumentTaken { kind externalId outcome }
    ... on DocumentRejected { reasons { code message path } } } } }"""
BILL: dict[str, Any] = {
    "externalId": "b-1", "direction": "RECEIVABLE", "status": "OPEN", "party": {"name": "Globex", "externalId": "g"},
    "currency": "USD", "total": "11.90", "tax": "1.90", "issueDate": "2026-03-10", "number": "R-1",
    "lines": [{"amount": "10.00", "description": "Work"}],
}  # fmt: skip


@dataclass
class Office:
    company: Company
    graph: Graph
    settings: SourceSettings
    database_url: str

    @asynccontextmanager
    async def under(self, connector: Connector | None = None, **changed: Any) -> AsyncIterator[Office]:
        """A gateway that is started with other settings."""
        settings = replace(self.settings, **changed)
        async with open_graph(
            self.database_url, sources=[(settings, connector or SubmittedConnector(name="inhouse"))]
        ) as graph:
            yield Office(self.company, graph, settings, self.database_url)

    async def refused(self, *documents: dict[str, Any]) -> str:
        """The code with which the whole request is refused."""
        answer = await self.graph.run(SUBMIT, {"documents": list(documents)})
        return str(answer["errors"][0]["extensions"]["code"])

    async def submit(self, *documents: dict[str, Any], by: Any = None, source: str = "inhouse") -> list[Any]:
        """(outcome) of what was taken, [(code, path)] of what was refused."""
        variables = {"source": source, "documents": list(documents)}
        answer = (await self.graph.data(SUBMIT, variables, by))["submitDocuments"]["results"]
        return [
            each["outcome"]
            if each["__typename"] == "DocumentTaken"
            else [(why["code"], ".".join(why["path"])) for why in each["reasons"]]
            for each in answer
        ]

    async def held(self, table: str = "invoice") -> list[tuple[str, bool]]:
        rows = await self.company.owner.fetch(
            f"SELECT external_id, deleted_at IS NULL AS here FROM mirror.{table} WHERE source = 'inhouse' ORDER BY 1"
        )
        return [(row["external_id"], row["here"]) for row in rows]


@pytest.fixture
async def office(database_url: str, owner_url: str) -> AsyncIterator[Office]:
    async with opened(database_url, owner_url) as company:
        other = await administration.create_ledger(
            company.database, EVERYONE, code="acme-uk", name="Acme UK", functional_currency="USD"
        )
        assert isinstance(other, LedgerRef)
        settings = SourceSettings(
            name="inhouse", kind="submitted", ledger=company.ledger.code, post_from=date(2026, 1, 1),
            accounts={"UK1": other.code},
        )  # fmt: skip
        sources = [
            (settings, SubmittedConnector(name="inhouse")),
            (Kit.stripe(name="billing", ledger=company.ledger.code), Script()),
        ]
        async with open_graph(database_url, sources=sources) as graph:
            yield Office(company, graph, settings, database_url)


async def test_a_document_is_new_then_unchanged_then_changed_then_deleted(office: Office) -> None:
    assert await office.submit({"invoice": BILL}) == ["NEW"]
    assert await office.submit({"invoice": BILL}) == ["UNCHANGED"]
    assert await office.submit({"invoice": {**BILL, "total": "12.90"}}) == ["CHANGED"]
    gone = {"deletion": {"kind": "INVOICE", "externalId": "b-1"}}
    assert await office.submit(gone) == ["DELETED"]
    assert await office.submit(gone) == ["UNCHANGED"]
    assert await office.held() == [("b-1", False)]
    assert await office.submit({"invoice": BILL}) == ["CHANGED"]
    assert await office.held() == [("b-1", True)]


async def test_every_kind_is_taken_and_read_back(office: Office) -> None:
    documents = [
        {"invoice": BILL},
        {"payment": {"externalId": "p-1", "type": "PAYMENT", "status": "SUCCEEDED", "currency": "USD", "amount": "11.90",
                     "fee": "0.40", "net": "11.50", "occurredOn": "2026-03-12", "invoiceExternalId": "b-1"}},
        {"payrollRun": {"externalId": "r-1", "periodStart": "2026-03-01", "periodEnd": "2026-03-31", "payDate": "2026-03-31",
                        "sourceStatus": "Posted", "currency": "USD", "gross": "100.00", "employeeTaxes": "20", "net": "80.00",
                        "payslips": [{"externalId": "s-1", "employeeId": "e-1", "employeeName": "A B", "net": "80.00"}]}},
        {"bankStatement": {"externalId": "st-1", "account": {"externalId": "ACC1", "currency": "USD"}, "closing": "11.50",
                           "transactions": [{"externalId": "t-1", "amount": "11.50", "bookedOn": "2026-03-14"}]}},
    ]  # fmt: skip
    assert await office.submit(*documents) == ["NEW"] * 4
    assert await office.submit(*documents) == ["UNCHANGED"] * 4
    data = await office.graph.data(
        """{ invoices(filter: {sources: ["inhouse"]}) { nodes { number total amountDue party { name } lines { amount } } }
        cashPositions(sources: ["inhouse"]) { nodes { booked } }
        payrollRuns(sources: ["inhouse"]) { nodes { net payslips { employeeName } } }
        payments(filter: {sources: ["inhouse"]}) { nodes { net } } }"""
    )
    assert data["cashPositions"]["nodes"] == [{"booked": "11.50"}]
    assert data["payrollRuns"]["nodes"] == [{"net": "80.00", "payslips": [{"employeeName": "A B"}]}]
    assert data["payments"]["nodes"] == [{"net": "11.50"}]
    assert data["invoices"]["nodes"] == [
        {
            "number": "R-1",
            "total": "11.90",
            "amountDue": "11.90",
            "party": {"name": "Globex"},
            "lines": [{"amount": "10.00"}],
        }
    ]


async def test_a_submitted_invoice_becomes_an_entry_and_its_change_another_one(office: Office) -> None:
    await office.submit({"invoice": BILL})
    await office.company.look()
    first = await office.company.nets()
    assert first
    await office.submit({"invoice": {**BILL, "total": "23.80", "tax": "3.80", "lines": [{"amount": "20.00"}]}})
    await office.company.look()
    assert {code: net * 2 for code, net in first.items()} == await office.company.nets()
    await office.submit({"deletion": {"kind": "INVOICE", "externalId": "b-1"}})
    await office.company.look()
    assert not any((await office.company.nets()).values())


async def test_mistakes_are_told_with_their_places_and_cost_nobody_else(office: Office) -> None:
    wrong = {**BILL, "currency": "XYZ", "issueDate": "2026-03-10", "party": {"name": " "}}
    fraction = {**BILL, "externalId": "b-2", "total": "11.905", "lines": [{"amount": "1"}, {"amount": "0.001"}]}
    found = await office.submit({"invoice": wrong}, {"invoice": {**BILL, "externalId": "ok"}}, {"invoice": fraction}, {},
                                {"invoice": BILL, "deletion": {"kind": "INVOICE", "externalId": "x"}},
                                {"invoice": {**BILL, "externalId": "x" * 2_000}})  # fmt: skip
    assert found == [
        [("UNKNOWN_CURRENCY", "documents.0.invoice.currency"), ("INVALID_TEXT", "documents.0.invoice.party.name")]
        if found[0][0][0] == "UNKNOWN_CURRENCY"
        else [("INVALID_TEXT", "documents.0.invoice.party.name"), ("UNKNOWN_CURRENCY", "documents.0.invoice.currency")],
        "NEW",
        found[2],
        [("INVALID_VALUE", "documents.3")],
        [("INVALID_VALUE", "documents.4")],
        [("INVALID_VALUE", "documents.5")],
    ]
    assert set(found[2]) == {
        ("INVALID_AMOUNT", "documents.2.invoice.total"),
        ("INVALID_AMOUNT", "documents.2.invoice.lines.1.amount"),
    }
    assert await office.held() == [("ok", True)]


@pytest.mark.parametrize("amount", ["10000000000000.01", "9" * 20, "1" + "0" * 35])
async def test_what_no_ledger_takes_is_told_of_where_it_stands(office: Office, amount: str) -> None:
    bill = {name: value for name, value in BILL.items() if name not in ("tax", "lines")}
    found = await office.submit(
        {"invoice": {**bill, "total": amount}}, {"invoice": {**bill, "lines": [{"amount": amount}]}}
    )
    assert found == [
        [("AMOUNT_OUT_OF_RANGE", "documents.0.invoice.total")],
        [("AMOUNT_OUT_OF_RANGE", "documents.1.invoice.lines.0.amount")],
    ]
    assert await office.held() == []


async def test_an_older_revision_never_overwrites_a_newer_one(office: Office) -> None:
    newer, older = {**BILL, "total": "20.00"}, {**BILL, "total": "10.00"}
    assert await office.submit({"invoice": newer, "revision": 5}) == ["NEW"]
    assert await office.submit({"invoice": older, "revision": 4}) == ["STALE"]
    assert await office.submit({"deletion": {"kind": "INVOICE", "externalId": "b-1"}, "revision": 4}) == ["STALE"]
    assert await office.submit({"invoice": newer, "revision": 5}) == ["UNCHANGED"]
    assert await office.submit({"invoice": older, "revision": 6}, {"invoice": newer, "revision": 7}) == [
        "STALE",
        "UNCHANGED",
    ]
    assert await office.submit({"invoice": newer, "revision": 9}, {"invoice": older, "revision": 8}) == [
        "UNCHANGED",
        "STALE",
    ]
    total = await office.company.owner.fetchval("SELECT total FROM mirror.invoice WHERE source = 'inhouse'")
    assert total == 2_000


async def test_a_late_version_does_not_bring_back_what_was_deleted(office: Office) -> None:
    gone = {"deletion": {"kind": "INVOICE", "externalId": "b-1"}, "revision": 5}
    assert await office.submit(gone) == ["UNCHANGED"]
    assert await office.submit({"invoice": BILL, "revision": 4}) == ["STALE"]
    statement = {"externalId": "s", "account": {"externalId": "UK1", "currency": "USD"}, "transactions": []}
    assert await office.submit({"bankStatement": statement, "revision": 1}) == ["NEW"]
    assert await office.submit({"deletion": {"kind": "BANK_STATEMENT", "externalId": "s"}, "revision": 3}) == [
        "DELETED"
    ]
    assert await office.submit({"bankStatement": statement, "revision": 2}) == ["STALE"]
    assert (await office.held(), await office.held("bank_statement")) == ([], [("s", False)])


async def test_nothing_of_another_ledger_is_submitted_or_deleted(office: Office) -> None:
    statement = {"externalId": "s", "account": {"externalId": "UK1", "currency": "USD"}, "transactions": []}
    gone = {"deletion": {"kind": "BANK_STATEMENT", "externalId": "s"}}
    us, uk = (caller("documents:submit", ledgers=[code]) for code in ("acme-us", "acme-uk"))
    assert await office.submit({"bankStatement": statement}, by=us) == [[("UNKNOWN_LEDGER", "documents.0")]]
    assert await office.submit({"bankStatement": statement}, by=uk) == ["NEW"]
    assert await office.submit(gone, by=us) == [[("UNKNOWN_LEDGER", "documents.0.deletion")]]
    assert await office.submit({"invoice": BILL}, by=us) == ["NEW"]
    invoice = {"deletion": {"kind": "INVOICE", "externalId": "b-1"}}
    assert await office.submit(invoice, by=uk) == [[("UNKNOWN_LEDGER", "documents.0.deletion")]]
    assert (await office.held(), await office.held("bank_statement")) == ([("b-1", True)], [("s", True)])
    assert await office.submit(gone, invoice) == ["DELETED", "DELETED"]


@pytest.mark.parametrize(
    ("by", "source"),
    [
        (caller("documents:submit", ledgers=["another"]), "inhouse"),
        (caller("documents:submit"), "nowhere"),
        (caller("documents:submit"), "billing"),
    ],
)
async def test_who_may_not_or_where_nothing_is_submitted_is_refused(office: Office, by: Any, source: str) -> None:
    assert await office.submit({"invoice": BILL}, by=by, source=source) == [[("NOT_FOUND", "source")]]
    assert await office.held() == []


async def test_the_scope_is_needed(office: Office) -> None:
    answer = await office.graph.run(SUBMIT, {"documents": [{"invoice": BILL}]}, caller("invoices:read", "ledger:post"))
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert await office.held() == []


async def test_many_at_once_are_each_taken_once(office: Office) -> None:
    batches = [[{"invoice": {**BILL, "externalId": f"b-{n % 7}-{m}"}} for m in range(20)] for n in range(14)]
    found = await asyncio.gather(*(office.submit(*batch) for batch in batches))
    outcomes = [outcome for each in found for outcome in each]
    assert (outcomes.count("NEW"), outcomes.count("UNCHANGED")) == (140, 140)
    assert len(await office.held()) == 140


async def test_a_request_is_bounded(office: Office) -> None:
    answer = await office.graph.run(SUBMIT, {"documents": [{"invoice": BILL}] * 1_001})
    assert answer["errors"][0]["extensions"]["code"] == "INVALID_ARGUMENT"


def statement(account: str = "ACC1", external_id: str = "s", amount: str = "1.00") -> dict[str, Any]:
    movement = {"externalId": "t", "amount": amount, "bookedOn": "2026-03-14"}
    return {
        "bankStatement": {
            "externalId": external_id,
            "account": {"externalId": account, "currency": "USD"},
            "transactions": [movement],
        }
    }


async def test_a_statement_never_takes_the_place_of_another_account_s(office: Office) -> None:
    """In one ledger or in two, in one request or in two: the other's transactions would be gone."""
    other = [("INVALID_VALUE", "documents.1")]
    assert await office.submit(statement("ACC1"), statement("ACC2")) == ["NEW", other]
    assert await office.submit(statement("UK1", "u"), statement("ACC1", "u")) == ["NEW", other]
    assert await office.submit(statement("ACC1", "x"), statement("UK1")) == ["NEW", other]
    assert await office.submit(statement("ACC1", amount="2.00"), statement("ACC2", "s2")) == ["CHANGED", "NEW"]
    assert await office.submit({"deletion": {"kind": "BANK_STATEMENT", "externalId": "u"}}) == ["DELETED"]
    assert await office.submit(statement("ACC1", "u")) == ["CHANGED"]
    assert sorted(await office.held("bank_statement")) == [
        ("s", True),
        ("s2", True),
        ("u", False),
        ("u", True),
        ("x", True),
    ]


async def test_an_id_that_no_key_can_hold_is_refused_of_a_deletion_too(office: Office) -> None:
    gone = [{"deletion": {"kind": "INVOICE", "externalId": each}} for each in ("x" * 5_000, "", "x" * 1_000)]
    assert await office.submit(*gone) == [
        [("INVALID_VALUE", "documents.0")],
        [("INVALID_VALUE", "documents.1")],
        "UNCHANGED",
    ]


ISSUES = """{ integrationIssues(filter: {states: [OPEN], codes: ["SUBMITTED_ELSEWHERE"]}) { nodes { ledger { code } source subject } } }"""
RESOLVE = """mutation ($ledger: String!) { resolveIssue(input: {ledger: $ledger, source: "inhouse", code: "SUBMITTED_ELSEWHERE",
  subject: "inhouse"}) { __typename } }"""


async def held_issues(office: Office) -> list[str]:
    data = await office.graph.data(ISSUES)
    return [each["ledger"]["code"] for each in data["integrationIssues"]["nodes"]]


async def test_an_account_more_in_the_settings_changes_nothing_that_was_submitted(office: Office) -> None:
    await office.submit({"invoice": BILL}, statement("ACC1"), statement("UK1", "u"))
    await office.company.look()
    before = (await office.company.entries(), await office.held(), await office.held("bank_statement"))
    async with office.under(accounts={"UK1": "acme-uk", "UK2": "acme-uk"}) as after:
        assert await after.submit({"invoice": BILL}, statement("UK2", "new")) == ["UNCHANGED", "NEW"]
        await after.company.look()
        assert (await after.company.entries(), await after.held()) == before[:2]
        assert await after.held("bank_statement") == sorted([*before[2], ("new", True)])
        assert await held_issues(after) == []


@pytest.mark.parametrize(
    "change",
    [{"ledger": "acme-uk"}, {"accounts": {}}, {"accounts": {"ACC1": "acme-uk", "UK1": "acme-uk"}}, {"kind": "stripe"}],
)
async def test_settings_that_would_move_what_was_submitted_hold_the_source(
    office: Office, change: dict[str, Any]
) -> None:
    """Nothing is deleted, reversed or taken before a person says so; and nothing happened when the settings are put back."""
    await office.submit({"invoice": BILL}, statement("ACC1"), statement("UK1", "u"))
    await office.company.look()
    before = (await office.company.entries(), await office.held(), await office.held("bank_statement"))
    async with office.under(**change) as after:
        if "kind" not in change:
            assert await after.refused({"invoice": {**BILL, "externalId": "b-2"}}) == "SOURCE_UNAVAILABLE"
        pulled = await after.graph.services.refresher.sync("inhouse")
        assert "documents that were submitted would belong elsewhere" in str(pulled.error)
        assert await held_issues(after) == ["acme-us"]
        await after.company.look()
        assert (await after.company.entries(), await after.held(), await after.held("bank_statement")) == before
    async with office.under() as again:
        assert (await again.graph.services.refresher.sync("inhouse")).error is None
        assert await held_issues(again) == []
        assert await again.submit({"invoice": BILL}) == ["UNCHANGED"]


async def test_a_person_lets_what_was_submitted_move_once(office: Office) -> None:
    await office.submit({"invoice": BILL}, statement("ACC1"), statement("UK1", "u"))
    await office.company.look()
    assert await office.company.nets()
    async with office.under(ledger="acme-uk") as after:
        assert await after.refused({"invoice": BILL}) == "SOURCE_UNAVAILABLE"
        await after.graph.data(RESOLVE, {"ledger": "acme-us"})
        assert await after.submit({"invoice": BILL}) == ["CHANGED"]
        await after.company.look()
        assert not any((await after.company.nets()).values())
        assert sorted(await after.held()) == [("b-1", False), ("b-1", True)]
        assert await after.held("bank_statement") == [("s", False), ("u", True)]
    async with office.under() as back:
        assert await back.refused({"invoice": BILL}) == "SOURCE_UNAVAILABLE"
        assert await held_issues(back) == ["acme-uk"]


async def test_a_payment_that_does_not_add_up_costs_nobody_else(office: Office) -> None:
    payment = {"externalId": "p", "type": "PAYMENT", "status": "SUCCEEDED", "currency": "USD", "amount": "5.00", "fee": "0.50",
               "net": "5.00", "occurredOn": "2026-01-01"}  # fmt: skip
    refused = [("INVALID_AMOUNT", "documents.0.payment.net")]
    assert await office.submit({"payment": payment}, {"invoice": BILL}) == [refused, "NEW"]
