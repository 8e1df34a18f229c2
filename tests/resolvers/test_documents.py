"""Invoices, payments, payroll, cash and sources as a client of the graph sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import asyncpg
import pytest

from gateway.limits import Limits
from resolvers.context import Context
from sources.documents import (
    BankAccount,
    BankTransactionStatus,
    InvoiceDirection,
    InvoiceKind,
    InvoiceLine,
    InvoiceStatus,
    Party,
    PaymentStatus,
    PaymentType,
    Problem,
    TaxAmount,
)
from tests.graph import Graph, caller, entry, open_graph
from tests.sources.mirror.kit import Kit, Script

IBAN = "DE02120300000000202051"


@dataclass
class World:
    graph: Graph
    stripe: Script
    payroll: Script
    bank: Script

    async def data(self, query: str, variables: Any = None, by: Any = None) -> Any:
        """The data of an answer without errors, which the reference executor gives too."""
        data = await self.graph.data(query, variables, by)
        referred = await self.graph.reference.run(query, by or self.graph.anyone, variables)
        assert referred == {"data": data}
        return data

    async def failed(self, query: str, by: Any = None) -> list[tuple[str, list[Any]]]:
        answer = await self.graph.run(query, None, by)
        return [(error["extensions"]["code"], error.get("path")) for error in answer["errors"]]


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """Ledgers us and eu; stripe and payroll feed eu and us, the bank feeds eu but for one account."""
    scripts = Script(lists_everything=True), Script(lists_everything=True), Script(lists_everything=True)
    configured = (
        (Kit.stripe(ledger="us"), scripts[0]),
        (Kit.payroll(ledger="eu"), scripts[1]),
        (Kit.bank(ledger="eu", accounts={"us:1": "us"}), scripts[2]),
    )
    for script in scripts:
        script.pages = Kit.pages([])
    async with open_graph(database_url, Limits(source_deadline_seconds=10), sources=configured) as graph:
        await graph.found("us")
        await graph.found("eu", "EUR")
        yield World(graph, *scripts)


# ---------------------------------------------------------------- invoices

FULL = """{ invoices(maxAge: 0) { totalCount nodes {
    id ledger { code } source { name kind } externalId direction kind number status sourceStatus
    party { name externalId taxId } currency issueDate dueDate subtotal tax taxes { code rate taxable amount account } rounding total
    prepaid amountDue lines { description quantity amount tax taxCode serviceFrom serviceTo product account } entries { id } } } }"""


async def test_an_invoice_comes_back_as_it_was_stated(world: World) -> None:
    world.stripe.pages = Kit.pages(
        [
            Kit.invoice(
                'in:1"',
                number="A-1",
                party=Party(name="Globex ü", external_id="cus_1", tax_id="DE1"),
                currency="BHD",
                due_date=date(2026, 4, 1),
                subtotal=-1000,
                rounding=1,
                total=-809,
                prepaid=5,
                taxes=(
                    TaxAmount(amount=190, code="VAT", rate="19.5", taxable=1000, account="2400"),
                    TaxAmount(amount=0),
                ),
                lines=(
                    InvoiceLine(
                        amount=12345,
                        description="Seats",
                        quantity="1.50",
                        tax=7,
                        service_from=date(2026, 1, 1),
                        account="4.1",
                        product="S-1",
                    ),
                ),
            )
        ]
    )
    (found,) = (await world.data(FULL))["invoices"]["nodes"]
    assert found == {
        "id": 'invoice:us:stripe:in:1"', "ledger": {"code": "us"}, "source": {"name": "stripe", "kind": "stripe"},
        "externalId": 'in:1"', "direction": "RECEIVABLE", "kind": "INVOICE", "number": "A-1", "status": "OPEN",
        "sourceStatus": "open", "party": {"name": "Globex ü", "externalId": "cus_1", "taxId": "DE1"}, "currency": "BHD",
        "issueDate": "2026-03-01", "dueDate": "2026-04-01", "subtotal": "-1.000", "tax": "0.190",
        "taxes": [{"code": "VAT", "rate": "19.5", "taxable": "1.000", "amount": "0.190", "account": "2400"},
                  {"code": None, "rate": None, "taxable": None, "amount": "0.000", "account": None}],
        "rounding": "0.001", "total": "-0.809", "prepaid": "0.005", "amountDue": "1.190",
        "lines": [{"description": "Seats", "quantity": "1.50", "amount": "12.345", "tax": "0.007", "taxCode": None,
                   "serviceFrom": "2026-01-01", "serviceTo": None, "product": "S-1", "account": "4.1"}],
        "entries": [],
    }  # fmt: skip
    node = await world.data("query ($id: ID!) { node(id: $id) { id ... on Invoice { total } } }", {"id": found["id"]})
    assert node["node"] == {"id": found["id"], "total": "-0.809"}


async def test_what_an_earlier_release_did_not_store_is_null(world: World, owner_url: str) -> None:
    lines = (InvoiceLine(amount=1, account="4.1", product="S-1"),)
    world.stripe.pages = Kit.pages([Kit.invoice(lines=lines, taxes=(TaxAmount(amount=190, account="2400"),))])
    await world.data(FULL)
    owner = await asyncpg.connect(owner_url)
    for column in ("lines", "taxes"):
        await owner.execute(
            f"UPDATE mirror.invoice SET {column} = jsonb_build_array({column} -> 0 #- '{{account}}' #- '{{product}}')"
        )
    await owner.close()
    (found,) = (await world.data("{ invoices { nodes { lines { account product } taxes { account } } } }"))["invoices"][
        "nodes"
    ]
    assert found == {"lines": [{"account": None, "product": None}], "taxes": [{"account": None}]}


async def test_invoices_are_filtered_and_paged_newest_first(world: World) -> None:
    world.stripe.pages = Kit.pages(
        [
            Kit.invoice("a", issue_date=date(2026, 1, 1)),
            Kit.invoice("b", issue_date=None, kind=InvoiceKind.CREDIT_NOTE),
            Kit.invoice("c", issue_date=date(2026, 2, 1), direction=InvoiceDirection.PAYABLE),
            Kit.invoice("d", issue_date=date(2026, 2, 1), status=InvoiceStatus.PAID),
        ]
    )
    page = "query ($after: String) { invoices(first: 3, after: $after) { nodes { externalId } pageInfo { hasNextPage endCursor } } }"
    first = (await world.data(page))["invoices"]
    assert [node["externalId"] for node in first["nodes"]] == ["d", "c", "a"]
    second = (await world.data(page, {"after": first["pageInfo"]["endCursor"]}))["invoices"]
    assert ([node["externalId"] for node in second["nodes"]], second["pageInfo"]["hasNextPage"]) == (["b"], False)
    before = await world.data("query ($b: String) { invoices(last: 2, before: $b) { nodes { externalId } } }",
                              {"b": first["pageInfo"]["endCursor"]})  # fmt: skip
    assert [node["externalId"] for node in before["invoices"]["nodes"]] == ["d", "c"]
    for filter_, expected in {
        'issuedFrom: "2026-01-15"': ["d", "c"],
        'issuedTo: "2026-01-15"': ["a"],
        "kinds: [CREDIT_NOTE]": ["b"],
        "direction: PAYABLE": ["c"],
        "statuses: [PAID, VOID]": ["d"],
        "kinds: []": [],
        'ledgers: ["eu"]': [],
        'sources: ["bank"]': [],
        'sources: ["stripe"], ledgers: ["us"]': ["d", "c", "a", "b"],
    }.items():
        data = await world.data(f"{{ invoices(filter: {{{filter_}}}) {{ totalCount nodes {{ externalId }} }} }}")
        assert [node["externalId"] for node in data["invoices"]["nodes"]] == expected, filter_
        assert data["invoices"]["totalCount"] == len(expected)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ('(filter: {sources: ["nope"]})', "NOT_FOUND"),
        ('(filter: {ledgers: ["nope"]})', "NOT_FOUND"),
        ("(maxAge: -1)", "INVALID_ARGUMENT"),
        ("(first: 1001)", "INVALID_ARGUMENT"),
        ('(after: "garbage")', "INVALID_CURSOR"),
    ],
)
async def test_wrong_arguments_are_told(world: World, arguments: str, code: str) -> None:
    assert await world.failed(f"{{ invoices{arguments} {{ totalCount }} }}") == [(code, ["invoices"])]


# ---------------------------------------------------------------- freshness


async def test_a_dead_source_costs_its_fields_alone(world: World) -> None:
    world.stripe.failure = Kit.Unavailable("Stripe could not be reached.")
    answer = await world.graph.run(
        "{ ledgers { code } invoices { totalCount } cashPositions { nodes { booked } freshness { source stale } } }"
    )
    assert answer["data"] == {
        "ledgers": [{"code": "eu"}, {"code": "us"}],
        "invoices": None,
        "cashPositions": {"nodes": [], "freshness": [{"source": "bank", "stale": False}]},
    }
    (error,) = answer["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["invoices"], "SOURCE_UNAVAILABLE")
    assert error["message"] == "stripe could not be read: Stripe could not be reached."
    assert [each["source"] for each in answer["extensions"]["sources"]] == ["bank", "stripe"]


async def test_a_stale_copy_is_answered_with_its_reason_and_no_error(world: World) -> None:
    world.stripe.pages = Kit.pages([Kit.invoice()])
    await world.data("{ invoices { totalCount } }")
    world.stripe.failure = Kit.Unavailable("Stripe could not be reached.")
    query = "query ($age: Int) { invoices(maxAge: $age) { totalCount freshness { source asOf stale error } nodes { fetchedAt } } }"
    answer = await world.graph.run(query, {"age": 0})
    assert "errors" not in answer
    (fresh,) = answer["data"]["invoices"]["freshness"]
    assert (answer["data"]["invoices"]["totalCount"], fresh["stale"]) == (1, True)
    assert fresh["error"] == "stripe could not be read: Stripe could not be reached."
    assert fresh in answer["extensions"]["sources"]
    assert answer["data"]["invoices"]["nodes"][0]["fetchedAt"] >= fresh["asOf"]
    (fresh,) = (await world.graph.data(query))["invoices"]["freshness"]
    assert (fresh["stale"], fresh["error"]) == (False, None)


async def test_each_field_judges_the_copy_by_its_own_age(world: World) -> None:
    """One pull serves both fields; when it fails, only the one that asked for a fresh copy is stale."""
    await world.data("{ invoices { totalCount } }")
    world.stripe.failure = Kit.Unavailable("Stripe could not be reached.")
    pulls = len(world.stripe.pulls)
    data = await world.graph.data(
        "{ now: invoices(maxAge: 0) { freshness { stale } } again: invoices(maxAge: 0) { totalCount }"
        "  old: invoices(maxAge: 900) { freshness { stale error } } }"
    )
    assert data["now"]["freshness"] == [{"stale": True}]
    assert data["old"]["freshness"] == [{"stale": False, "error": None}]
    assert len(world.stripe.pulls) == pulls + 1


async def test_a_first_backfill_under_way_is_told(database_url: str) -> None:
    script = Script(*Kit.pages([Kit.invoice()]))
    script.hold()
    sources = ((Kit.stripe(ledger="us"), script),)
    async with open_graph(database_url, Limits(source_deadline_seconds=0.05), sources=sources) as graph:
        await graph.found("us")
        answer = await graph.run("{ invoices { totalCount } sources { status ledger { code } } }")
        assert answer["errors"][0]["extensions"]["code"] == "SOURCE_SYNCING"
        assert answer["data"]["sources"] == [{"status": "SYNCING", "ledger": {"code": "us"}}]


async def test_a_source_whose_ledger_does_not_exist_is_down(database_url: str) -> None:
    script = Script(*Kit.pages([Kit.invoice()]))
    sources = ((Kit.stripe(ledger="late"), script),)
    query = "{ sources { name status lastError lastSuccessAt ledger { code } } invoices { totalCount } }"
    async with open_graph(database_url, sources=sources) as graph:
        answer = await graph.run(query)
        assert answer["data"]["sources"] == [
            {
                "name": "stripe",
                "status": "DOWN",
                "lastError": "stripe feeds the ledger late, which does not exist yet: create it, by createLedger or `ledgergraph import`.",
                "lastSuccessAt": None,
                "ledger": None,
            }
        ]
        assert answer["errors"][0]["extensions"]["code"] == "SOURCE_UNAVAILABLE"
        await graph.found("late")
        data = await graph.data("{ invoices { totalCount } sources { status ledger { code } } }")
        assert data == {"invoices": {"totalCount": 1}, "sources": [{"status": "OK", "ledger": {"code": "late"}}]}


async def test_a_ledger_that_does_not_exist_is_named_to_those_who_claim_it(database_url: str) -> None:
    sources = ((Kit.bank(ledger="us", accounts={"DE1": "late"}), Script(*Kit.pages([]))),)
    async with open_graph(database_url, sources=sources) as graph:
        await graph.found("us")
        for claimed, named in (("us", False), ("late", True)):
            answer = await graph.run(
                "{ sources { status lastError } bankAccounts { totalCount } }", by=caller(ledgers=["us", claimed])
            )
            (source,), (error,) = answer["data"]["sources"], answer["errors"]
            assert source["status"] == "DOWN"
            assert error["extensions"]["code"] == "SOURCE_UNAVAILABLE"
            for sentence in (source["lastError"], error["message"]):
                assert ("late" in sentence) is named
                assert "does not exist yet" in sentence


async def test_sources_tell_how_far_they_were_read(database_url: str) -> None:
    """Also while a first reading goes on; where the next pull goes on only to who sees all that the source feeds."""
    script = Script(*Kit.pages([Kit.invoice("a"), Kit.invoice("b")], [Kit.invoice("c")]))
    script.hold(at=1)
    query = '{ sources { asOf documentsRead cursor } syncRuns(source: "stripe") { nodes { state } } }'
    async with open_graph(database_url, sources=((Kit.stripe(ledger="us", max_age=3600), script),)) as graph:
        await graph.found("us")
        untold = {"asOf": None, "documentsRead": 0, "cursor": None}
        assert await graph.data(query) == {"sources": [untold], "syncRuns": {"nodes": []}}
        reading = asyncio.create_task(graph.services.refresher.sync("stripe"))
        while (found := await graph.data(query))["sources"][0] == untold:
            await asyncio.sleep(0.01)
        assert found["sources"] == [{"asOf": None, "documentsRead": 2, "cursor": "1"}]
        assert found["syncRuns"]["nodes"] == [{"state": "RUNNING"}]
        script.release()
        await reading
        (told,) = (await graph.data(query))["sources"]
        assert told["asOf"].endswith("+00:00")
        assert (told["documentsRead"], told["cursor"]) == (3, "2")


async def test_where_a_source_goes_on_is_for_those_who_see_all_of_it(database_url: str) -> None:
    """A cursor may name files of other ledgers."""
    sources = ((Kit.bank(ledger="us", accounts={"DE1": "eu"}), Script(*Kit.pages([]))),)
    async with open_graph(database_url, sources=sources) as graph:
        await graph.found("us")
        await graph.found("eu")
        await graph.services.refresher.sync("bank")
        found = [
            (await graph.run("{ sources { cursor } }", by=caller(ledgers=ledgers)))["data"]["sources"]
            for ledgers in (["us", "eu"], ["us"])
        ]
        assert found == [[{"cursor": "1"}], [{"cursor": None}]]


async def test_sources_tell_what_is_wrong(world: World) -> None:
    bad = Problem(subject="junk.xml", code="UNREADABLE_FILE", message="It is a cat.")
    world.bank.pages = Kit.pages([], problems=[bad])
    query = "{ sources { name status lastError lastSuccessAt } }"
    await world.graph.data("{ bankAccounts { totalCount } invoices { totalCount } payrollRuns { totalCount } }")
    bank, payroll, stripe = (await world.data(query))["sources"]
    assert bank | {"lastSuccessAt": 0} == {
        "name": "bank", "status": "DEGRADED", "lastSuccessAt": 0,
        "lastError": "1 of its files or records could not be read; the others were.",
    }  # fmt: skip
    assert (payroll["status"], stripe["status"], stripe["lastError"]) == ("OK", "OK", None)
    assert stripe["lastSuccessAt"].endswith("+00:00")


# ---------------------------------------------------------------- payments


async def test_a_payment_comes_back_as_it_was_stated(world: World) -> None:
    """Everything of it, also what a later payout says of it; what is not known is null."""
    payout = Kit.payment(
        "po_1", type=PaymentType.PAYOUT, amount=-941, fee=0, net=-941, bank_account="ba_1", paid_out=("ch:1",)
    )
    refund = Kit.payment(
        "re_1", type=PaymentType.REFUND, status=PaymentStatus.PENDING, amount=-500, fee=None, net=None, parent_external_id="ch:1",
        occurred_on=date(2026, 2, 1),
    )  # fmt: skip
    charge = Kit.payment(
        "ch:1", party=Party(name="Globex", external_id="cus_1"), invoice_external_id="in_1", available_on=date(2026, 3, 4),
        description="Seats", reference="pi_1", presented_amount=1100, presented_currency="JPY",
    )  # fmt: skip
    world.stripe.pages = Kit.pages([charge, refund], [payout])
    fields = """id type status sourceStatus currency amount fee net presentedAmount presentedCurrency occurredOn availableOn
      party { name externalId taxId } invoiceExternalId payoutExternalId parentExternalId description reference bankAccount"""
    data = await world.data(f"{{ payments {{ totalCount nodes {{ {fields} }} freshness {{ source stale }} }} }}")
    assert data["payments"]["totalCount"] == 3
    assert data["payments"]["freshness"] == [{"source": "stripe", "stale": False}]
    paid_out, paid, returned = data["payments"]["nodes"]
    assert paid == {
        "id": "payment:us:stripe:ch:1", "type": "PAYMENT", "status": "SUCCEEDED", "sourceStatus": "succeeded", "currency": "USD",
        "amount": "10.00", "fee": "0.59", "net": "9.41", "presentedAmount": "1100", "presentedCurrency": "JPY",
        "occurredOn": "2026-03-02", "availableOn": "2026-03-04",
        "party": {"name": "Globex", "externalId": "cus_1", "taxId": None}, "invoiceExternalId": "in_1",
        "payoutExternalId": "po_1", "parentExternalId": None, "description": "Seats", "reference": "pi_1", "bankAccount": None,
    }  # fmt: skip
    assert (paid_out["amount"], paid_out["bankAccount"], paid_out["payoutExternalId"]) == ("-9.41", "ba_1", None)
    assert (returned["party"], returned["fee"], returned["net"], returned["parentExternalId"]) == (
        None,
        None,
        None,
        "ch:1",
    )
    node = await world.data("query ($id: ID!) { node(id: $id) { id ... on Payment { net } } }", {"id": paid["id"]})
    assert node == {"node": {"id": paid["id"], "net": "9.41"}}


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        ("types: [PAYMENT, PAYOUT]", ["po", "ch"]),
        ("statuses: [PENDING]", ["re"]),
        ('occurredFrom: "2026-03-01"', ["po"]),
        ('occurredTo: "2026-02-01"', ["re"]),
        ('invoice: "in_1"', ["ch"]),
        ('payout: "po"', ["ch"]),
        ('sources: ["stripe"], ledgers: ["eu"]', []),
        ("types: []", []),
    ],
)
async def test_payments_are_filtered(world: World, filter_: str, expected: list[str]) -> None:
    """By each of the filter's fields; newest first."""
    world.stripe.pages = Kit.pages(
        [
            Kit.payment("ch", invoice_external_id="in_1", occurred_on=date(2026, 2, 15)),
            Kit.payment("re", type=PaymentType.REFUND, status=PaymentStatus.PENDING, occurred_on=date(2026, 2, 1)),
            Kit.payment("po", type=PaymentType.PAYOUT, paid_out=("ch",)),
        ]
    )
    data = await world.data(f"{{ payments(filter: {{{filter_}}}) {{ totalCount nodes {{ externalId }} }} }}")
    assert [node["externalId"] for node in data["payments"]["nodes"]] == expected


# ---------------------------------------------------------------- who may see what


async def test_documents_of_ledgers_outside_the_claim_look_unknown(world: World) -> None:
    world.stripe.pages = Kit.pages([Kit.invoice("a")])
    american = BankAccount(external_id="us:1", currency="USD")
    world.bank.pages = Kit.pages([Kit.statement("s1"), Kit.statement("s2", account=american)])
    await world.data("{ invoices { totalCount } bankAccounts { totalCount } }")
    eu, us = caller(ledgers=["eu"]), caller(ledgers=["us"])
    names = "{ bankAccounts { nodes { externalId ledger { code } source { name ledger { code } } } } sources { name } }"
    assert await world.data(names, by=eu) == {
        "bankAccounts": {"nodes": [{"externalId": IBAN, "ledger": {"code": "eu"}, "source": {"name": "bank", "ledger": {"code": "eu"}}}]},
        "sources": [{"name": "bank"}, {"name": "payroll"}],
    }  # fmt: skip
    assert await world.data(names, by=us) == {
        "bankAccounts": {"nodes": [{"externalId": "us:1", "ledger": {"code": "us"}, "source": {"name": "bank", "ledger": None}}]},
        "sources": [{"name": "bank"}, {"name": "stripe"}],
    }  # fmt: skip
    ids = [
        "invoice:us:stripe:a",
        "bank-account:us:bank:us:1",
        f"bank-account:eu:bank:{IBAN}",
        "invoice:us:gone:a",
        "invoice:us:stripe:",
    ]
    nodes = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    assert (await world.data(nodes, {"ids": ids}, by=eu))["nodes"] == [None, None, {"id": ids[2]}, None, None]
    assert (await world.data(nodes, {"ids": ids}, by=us))["nodes"] == [{"id": ids[0]}, {"id": ids[1]}, None, None, None]
    assert await world.failed('{ invoices(filter: {sources: ["stripe"]}) { totalCount } }', by=eu) == [
        ("NOT_FOUND", ["invoices"])
    ]


@pytest.mark.parametrize(
    ("query", "missing"),
    [
        ("{ invoices { totalCount } }", "invoices:read"),
        ('{ node(id: "invoice:us:stripe:a") { id } }', "invoices:read"),
        ("{ payments { totalCount } }", "invoices:read"),
        ('{ node(id: "payment:us:stripe:a") { id } }', "invoices:read"),
        ("{ payrollRuns { nodes { net } } }", "payroll:read"),
        ("{ payrollRuns { nodes { payslips { net } } } }", "payroll:personal"),
        ("{ bankAccounts { totalCount } }", "cash:read"),
        ("{ cashPositions { nodes { booked } } }", "cash:read"),
        ("{ sources { name } }", "sources:read"),
        ("{ invoices { nodes { source { status } } } }", "sources:read"),
        ("{ invoices { nodes { entries { sequence } } } }", "ledger:read"),
    ],
)
async def test_nothing_is_pulled_for_a_document_that_lacks_a_scope(world: World, query: str, missing: str) -> None:
    pulls = len(world.stripe.pulls), len(world.payroll.pulls), len(world.bank.pulls)
    answer = await world.graph.run(query, by=caller(*(caller().scopes - {missing})))
    assert answer["refused"] == 403
    assert missing in answer["errors"][0]["message"]
    assert (len(world.stripe.pulls), len(world.payroll.pulls), len(world.bank.pulls)) == pulls


# ---------------------------------------------------------------- payroll


async def test_payroll_runs_with_their_payslips(world: World) -> None:
    world.payroll.pages = Kit.pages(
        [
            Kit.run("old", pay_date=date(2026, 2, 28), gross=120_00, employer_taxes=5_00, employer_contributions=1_00),
            Kit.run("new", total_cost=130_00),
        ]
    )
    world.payroll.slips = {"old": (Kit.slip("s2", department="R&D"), Kit.slip("s1", gross=5))}
    fields = "id payDate periodStart periodEnd gross net totalCost employerTaxes deductions sourceStatus currency entries { id }"
    slips = "payslips { employeeId employeeName department gross net }"
    data = (await world.data(f"{{ payrollRuns {{ totalCount nodes {{ {fields} {slips} }} }} }}"))["payrollRuns"]
    new, old = data["nodes"]
    assert (new["totalCost"], new["gross"], new["payslips"], new["entries"]) == ("130.00", None, None, [])
    assert (old["totalCost"], old["deductions"], old["id"]) == ("126.00", None, "payroll-run:eu:payroll:old")
    assert [(slip["department"], slip["gross"], slip["net"]) for slip in old["payslips"]] == [
        ("R&D", None, "100.00"),
        (None, "0.05", "100.00"),
    ]
    assert sorted(world.payroll.slips_asked) == ["new", "old"]
    paid = 'payrollRuns(paidFrom: "2026-02-01", paidTo: "2026-03-01", sources: ["payroll"], ledgers: ["eu"]) { nodes { payDate } }'
    assert (await world.data(f"{{ {paid} }}"))["payrollRuns"]["nodes"] == [{"payDate": "2026-02-28"}]
    node = await world.data('{ node(id: "payroll-run:eu:payroll:old") { ... on PayrollRun { net } } }')
    assert node["node"] == {"net": "100.00"}


async def test_payslips_that_cannot_be_read_cost_their_field_alone(world: World) -> None:
    world.payroll.pages = Kit.pages([Kit.run("one")])
    await world.graph.data("{ payrollRuns { totalCount } }")
    world.payroll.failure = Kit.Unavailable("It is closed.")
    answer = await world.graph.run("{ payrollRuns { nodes { net payslips { net } } } }")
    assert answer["data"] == {"payrollRuns": {"nodes": [{"net": "100.00", "payslips": None}]}}
    (error,) = answer["errors"]
    assert error["path"] == ["payrollRuns", "nodes", 0, "payslips"]
    assert error["extensions"]["code"] == "SOURCE_UNAVAILABLE"


async def test_payslips_of_several_sources_are_asked_for_at_once(database_url: str) -> None:
    """The operation's snapshot is held meanwhile: for one deadline, not for one of each source."""
    scripts = [Script(*Kit.pages([Kit.run("one")]), lists_everything=True) for _ in range(2)]
    configured = [(Kit.payroll(name=f"pay-{n}", ledger="us"), script) for n, script in enumerate(scripts)]
    async with open_graph(database_url, Limits(source_deadline_seconds=10), sources=configured) as graph:
        await graph.found("us")
        await graph.data("{ payrollRuns { totalCount } }")
        for script in scripts:
            script.slips = {"one": (Kit.slip(),)}
            script.hold()
        answer = asyncio.create_task(graph.data("{ payrollRuns { nodes { payslips { net } } } }"))
        async with asyncio.timeout(5):
            await asyncio.gather(*(script.reached.wait() for script in scripts))
        for script in scripts:
            script.release()
        assert (await answer)["payrollRuns"]["nodes"] == [{"payslips": [{"net": "100.00"}]}] * 2


# ---------------------------------------------------------------- cash


def day(number: int) -> date:
    return date(2026, 3, number)


def bank_pages() -> Any:
    pending = {"status": BankTransactionStatus.PENDING, "value_date": day(9)}
    american = BankAccount(external_id="us:1", currency="JPY", name="Tokyo")
    return Kit.pages(
        [
            Kit.statement(
                "s1",
                *(Kit.moved(f"t{n}", n, day(n), description=f"No. {n}", counterparty="Globex") for n in range(1, 6)),
                Kit.moved("p1", -5, None, **pending),
                to_date=day(5), opening=0, closing=15, closing_available=10, warnings=("Odd.",),
            ),
            Kit.statement("s2", Kit.moved("x:1", 700, day(2), currency="JPY"), account=american, to_date=day(2)),
        ]
    )  # fmt: skip


async def test_cash_positions(world: World) -> None:
    world.bank.pages = bank_pages()
    query = """query ($on: Date) { cashPositions(asOf: $on) { nodes { bankAccount { id iban ledger { code } } asOf currency booked
        pending available statementDate warnings } freshness { source stale } } }"""
    data = (await world.data(query, {"on": "2026-03-31"}))["cashPositions"]
    tokyo, berlin = sorted(data["nodes"], key=lambda node: node["currency"], reverse=True)
    assert berlin == {
        "bankAccount": {"id": f"bank-account:eu:bank:{IBAN}", "iban": IBAN, "ledger": {"code": "eu"}},
        "asOf": "2026-03-31", "currency": "EUR", "booked": "0.15", "pending": "-0.05", "available": "0.10",
        "statementDate": "2026-03-05", "warnings": ["Odd."],
    }  # fmt: skip
    assert (tokyo["booked"], tokyo["pending"], tokyo["warnings"]) == (None, "0", [])
    assert data["freshness"] == [{"source": "bank", "stale": False}]
    early = (await world.data(query, {"on": "2026-03-04"}))["cashPositions"]["nodes"]
    assert {node["booked"] for node in early} == {None}
    today = await world.graph.data('{ cashPositions(ledgers: ["eu"]) { nodes { asOf fetchedAt } } }')
    assert today["cashPositions"]["nodes"][0]["asOf"] == today["cashPositions"]["nodes"][0]["fetchedAt"][:10]


async def test_transactions_are_paged_for_each_account(world: World) -> None:
    world.bank.pages = bank_pages()
    query = """query ($first: Int, $after: String, $from: Date, $to: Date, $statuses: [BankTransactionStatus!]) {
        bankAccounts { totalCount nodes { name transactions(first: $first, after: $after, from: $from, to: $to, statuses: $statuses) {
            totalCount nodes { externalId } edges { cursor } pageInfo { hasNextPage hasPreviousPage endCursor } } } } }"""

    async def pages(**variables: Any) -> dict[str | None, Any]:
        nodes = (await world.data(query, variables))["bankAccounts"]["nodes"]
        return {node["name"]: node["transactions"] for node in nodes}

    def ids(page: Any) -> list[str]:
        return [node["externalId"] for node in page["nodes"]]

    found = await pages()
    assert ids(found[None]) == ["t1", "t2", "t3", "t4", "t5", "p1"]
    assert ids(found["Tokyo"]) == ["x:1"]
    first = (await pages(first=4))[None]
    assert (ids(first), first["totalCount"], first["pageInfo"]["hasNextPage"]) == (["t1", "t2", "t3", "t4"], 6, True)
    assert first["edges"][-1]["cursor"] == first["pageInfo"]["endCursor"]
    second = (await pages(first=4, after=first["pageInfo"]["endCursor"]))[None]
    assert ids(second) == ["t5", "p1"]
    assert (second["pageInfo"]["hasNextPage"], second["pageInfo"]["hasPreviousPage"]) == (False, True)
    assert ids((await pages(**{"from": "2026-03-02", "to": "2026-03-03"}))[None]) == ["t2", "t3"]
    assert ids((await pages(statuses=["PENDING"]))[None]) == ["p1"]
    assert ids((await pages(first=0))[None]) == []


async def test_what_was_pending_in_a_statement_is_answered_until_the_next_one(world: World) -> None:
    """It would stand beside its booking for ever. A position of an earlier day still counts it."""
    expected = Kit.moved("expected", 40, day(3), status=BankTransactionStatus.PENDING)
    first = Kit.statement("s1", Kit.moved("t1", 100, day(3)), expected, to_date=day(3), opening=0, closing=100)
    query = """query ($on: Date) {
        bankAccounts(maxAge: 0) { nodes { transactions { totalCount nodes { externalId } } } }
        node(id: "bank-transaction:eu:bank:DE02120300000000202051:expected") { id }
        cashPositions(asOf: $on) { nodes { pending } } }"""

    async def read(on: str) -> tuple[list[str], bool, str]:
        found = await world.data(query, {"on": on})
        page = found["bankAccounts"]["nodes"][0]["transactions"]
        assert page["totalCount"] == len(page["nodes"])
        ids = [node["externalId"] for node in page["nodes"]]
        return ids, found["node"] is not None, found["cashPositions"]["nodes"][0]["pending"]

    world.bank.pages = Kit.pages([first])
    assert await read("2026-03-09") == (["expected", "t1"], True, "0.40")
    world.bank.pages += Kit.pages(
        [Kit.statement("s2", Kit.moved("t2", 40, day(4)), to_date=day(4), opening=100, closing=140)]
    )
    assert await read("2026-03-09") == (["t1", "t2"], False, "0.00")
    assert await read("2026-03-03") == (["t1", "t2"], False, "0.40")


async def test_a_transaction_by_its_id(world: World) -> None:
    world.bank.pages = bank_pages()
    await world.graph.data("{ bankAccounts { totalCount } }")
    fields = """id externalId status bookedOn valueDate amount currency description counterparty reference
        bankAccount { externalId } source { name } entries { id }"""
    query = f"query ($id: ID!) {{ node(id: $id) {{ ... on BankTransaction {{ {fields} }} }} }}"
    odd = "bank-transaction:us:bank:us%3A1:x:1"
    node = (await world.data(query, {"id": odd}))["node"]
    assert node == {
        "id": odd, "externalId": "x:1", "status": "BOOKED", "bookedOn": "2026-03-02", "valueDate": None, "amount": "700",
        "currency": "JPY", "description": None, "counterparty": None, "reference": None,
        "bankAccount": {"externalId": "us:1"}, "source": {"name": "bank"}, "entries": [],
    }  # fmt: skip
    assert (await world.data(query, {"id": "bank-transaction:us:bank:us%3A1"}))["node"] is None


async def test_any_number_of_accounts_takes_the_same_few_statements(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []
    original = Context.fetch

    async def fetch(self: Context, sql: str, *args: Any) -> Any:
        fetched.append(sql)
        return await original(self, sql, *args)

    monkeypatch.setattr(Context, "fetch", fetch)
    counts = set()
    for number in (1, 5, 30):
        accounts = [BankAccount(external_id=f"a{n}", currency="EUR") for n in range(number)]
        world.bank.pages = Kit.pages(
            [
                Kit.statement(f"s{n}", Kit.moved(f"t{n}", 5, day(1)), account=account)
                for n, account in enumerate(accounts)
            ]
        )
        await world.graph.data("{ bankAccounts(maxAge: 0) { totalCount } }")
        fetched.clear()
        data = await world.graph.data(
            "{ bankAccounts { nodes { ledger { code } source { status } transactions { nodes { amount bankAccount { id } entries { id } } } } }"
            "  cashPositions { nodes { booked bankAccount { id } } } }"
        )
        assert len(data["bankAccounts"]["nodes"]) == number
        counts.add(len(fetched))
    assert len(counts) == 1


# ---------------------------------------------------------------- links to entries


async def test_documents_and_entries_link_both_ways(world: World, owner_url: str) -> None:
    world.stripe.pages, world.bank.pages = Kit.pages([Kit.invoice("a"), Kit.payment("b")]), bank_pages()
    await world.graph.data("{ invoices { totalCount } bankAccounts { totalCount } }")
    await world.graph.post(entry("k1"))
    owner = await asyncpg.connect(owner_url)
    await owner.execute(
        """INSERT INTO mirror.document_entry (ledger_id, source, kind, account, external_id, sequence)
           SELECT ledger_id, source, kind, account, external_id, 1 FROM ledger.ledger, (VALUES
               ('stripe', 'invoice', '', 'a'), ('stripe', 'payment', '', 'b'), ('bank', 'bank_transaction', 'us:1', 'x:1')) AS linked (source, kind, account, external_id)
           WHERE code = 'us'"""
    )
    await owner.close()
    data = await world.data(
        """{ entry(ledger: "us", sequence: 1) { documents { __typename id externalId source { name } ... on Invoice { total }
               ... on Payment { net } ... on BankTransaction { amount } } }
             payments { nodes { entries { id } } } invoices { nodes { entries { id } } } bankAccounts(ledgers: ["us"]) { nodes { transactions { nodes { entries { sequence } } } } } }"""
    )
    assert data["entry"]["documents"] == [
        {"__typename": "BankTransaction", "id": "bank-transaction:us:bank:us%3A1:x:1", "externalId": "x:1", "source": {"name": "bank"}, "amount": "700"},
        {"__typename": "Invoice", "id": "invoice:us:stripe:a", "externalId": "a", "source": {"name": "stripe"}, "total": "11.90"},
        {"__typename": "Payment", "id": "payment:us:stripe:b", "externalId": "b", "source": {"name": "stripe"}, "net": "9.41"},
    ]  # fmt: skip
    assert data["payments"]["nodes"] == [{"entries": [{"id": "entry:us:1"}]}]
    assert data["invoices"]["nodes"] == [{"entries": [{"id": "entry:us:1"}]}]
    assert data["bankAccounts"]["nodes"][0]["transactions"]["nodes"] == [{"entries": [{"sequence": 1}]}]


async def test_the_document_of_a_source_that_is_configured_no_more_still_names_it(
    world: World, database_url: str, owner_url: str
) -> None:
    world.stripe.pages = Kit.pages([Kit.invoice("a")])
    await world.graph.data("{ invoices { totalCount } }")
    await world.graph.post(entry("k1"))
    owner = await asyncpg.connect(owner_url)
    await owner.execute(
        """INSERT INTO mirror.document_entry (ledger_id, source, kind, external_id, sequence)
           SELECT ledger_id, 'stripe', 'invoice', 'a', 1 FROM ledger.ledger WHERE code = 'us'"""
    )
    await owner.close()
    async with open_graph(database_url) as graph:
        query = '{ entry(ledger: "us", sequence: 1) { documents { id source { name kind status ledger { code } } } } invoices { totalCount } }'
        data = await graph.data(query)
        source = {"name": "stripe", "kind": "stripe", "status": "DOWN", "ledger": None}
        assert data["entry"]["documents"] == [{"id": "invoice:us:stripe:a", "source": source}]
        assert data["invoices"] == {"totalCount": 0}


async def test_callers_who_ask_the_same_together_each_get_what_they_may_see(world: World) -> None:
    """One pull wakes them all, and answers that are alike are one run: never across ledgers."""
    world.bank.pages = Kit.pages(
        [
            Kit.statement("one"),
            Kit.statement("two", account=BankAccount(external_id="us:1", currency="USD")),
        ]
    )
    query = "{ bankAccounts(maxAge: 0) { nodes { externalId } } }"
    claims: list[list[str] | None] = [["us"], ["eu"], ["us", "eu"], None] * 5
    answers = await asyncio.gather(
        *(world.graph.data(query, by=caller("ledger:read", "cash:read", ledgers=claim)) for claim in claims)
    )
    seen = [sorted(node["externalId"] for node in answer["bankAccounts"]["nodes"]) for answer in answers]
    assert seen == [["us:1"], [IBAN], [IBAN, "us:1"], [IBAN, "us:1"]] * 5
    assert len(world.bank.pulls) <= 3
