"""Reconciliation: planted discrepancies of every kind show, and what ties out does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sources.documents import BankAccount, InvoiceDirection, InvoiceKind, InvoiceStatus, Party
from sources.ledger.model import EntryDraft, LineDraft, ReversalDraft
from sources.pipeline import reconciliation
from tests.graph import Graph, caller, open_graph
from tests.sources.mirror.kit import Kit, Script
from tests.sources.pipeline.company import Company, opened, rules

REPORT = """query ($source: String = "billing", $from: Date = "2026-01-01", $to: Date = "2026-12-31",
    $states: [ReconciliationState!], $first: Int, $after: String) {
  reconciliation(source: $source, ledger: "acme-us", from: $from, to: $to, states: $states, first: $first, after: $after) {
    postFrom mappingVersion documentCount pageInfo { hasNextPage endCursor }
    totals { documentKind direction currency documents stated nothing calledFor posted difference
      states { state documents stated } }
    documents { state code documentKind documentId dated currency stated amounts { currency calledFor posted }
      entries { sequence } }
    subledgers { direction accounts differing totals { currency open balance difference }
      parties { party name currency open balance difference } }
    banks { account statementDate closing ledgerAccount balance difference unexplained transactionCount lineCount
      transactions { documentId dated amount } lines { dated amount entry { description } } }
  } }"""
GLOBEX, INITECH = Party(name="Globex", external_id="g"), Party(name="Initech", external_id="i")
STARTER = (Path(__file__).parents[1] / "sources/pipeline/starter_rules.toml").read_text()
ACCOUNT = BankAccount(external_id="DE02120300000000202051", currency="USD", iban="DE02120300000000202051")


@dataclass
class Office:
    """A company and the graph over its books."""

    company: Company
    graph: Graph

    async def report(self, **variables: Any) -> Any:
        return (await self.graph.data(REPORT, variables))["reconciliation"]

    async def found(self, **variables: Any) -> dict[str, tuple[str, str | None]]:
        """(state, code) by the last part of the document's id; "" of what is no document's."""
        rows = (await self.report(**variables))["documents"]
        return {(row["documentId"] or "").rpartition(":")[2]: (row["state"], row["code"]) for row in rows}

    async def run(self, sql: str, *args: Any) -> None:
        await self.company.owner.execute(sql, *args)

    async def post(
        self, key: str, *lines: tuple[str, str, str], day: date = date(2026, 3, 10), origin: str = ""
    ) -> None:
        """An entry by hand: (account, debit or credit, amount) of each line."""
        drafts = [LineDraft(account=account, **{side: amount}) for account, side, amount in lines]
        draft = EntryDraft(ledger=self.company.ledger, idempotency_key=key, effective_date=day, description=key,
                           lines=tuple(drafts), posted_by="me", origin=origin)  # fmt: skip
        await self.company.poster.post([draft])


@asynccontextmanager
async def office_of(company: Company, database_url: str) -> AsyncIterator[Office]:
    """The graph has pulled its sources, which state nothing, before the test begins: nothing happens behind its back."""
    sources = [(company.source(name), Script()) for name in ("billing", "bank")]
    async with open_graph(database_url, sources=sources) as graph:
        for settings, _ in sources:
            await graph.services.refresher.sync(settings.name)
        yield Office(company, graph)


@pytest.fixture
async def office(database_url: str, owner_url: str) -> AsyncIterator[Office]:
    async with opened(database_url, owner_url) as company, office_of(company, database_url) as found:
        yield found


def invoice(external_id: str, day: int = 10, **more: Any) -> Any:
    return Kit.invoice(external_id, **{"issue_date": date(2026, 3, day), "party": GLOBEX, **more})


async def test_what_is_posted_as_it_should_be_matches_with_its_totals(office: Office) -> None:
    company = office.company
    await company.state(
        invoice("a"),
        invoice("b", status=InvoiceStatus.PAID, due_date=date(2026, 4, 1), amount_due=0),
        invoice("void", status=InvoiceStatus.VOID),
        invoice("early", issue_date=date(2025, 12, 31)),
        invoice("bill", direction=InvoiceDirection.PAYABLE, party=INITECH, currency="USD"),
    )
    await company.look()
    report = await office.report()
    assert (report["documents"], report["documentCount"], report["postFrom"]) == ([], 0, "2026-01-01")
    payable, receivable = sorted(report["totals"], key=lambda total: str(total["direction"]))
    assert receivable == {
        "documentKind": "INVOICE", "direction": "RECEIVABLE", "currency": "USD", "documents": 3, "stated": "35.70", "nothing": 1,
        "calledFor": "35.70", "posted": "35.70", "difference": "0.00",
        "states": [{"state": "MATCHED", "documents": 2, "stated": "23.80"}],
    }  # fmt: skip
    assert (payable["documents"], payable["posted"], payable["difference"]) == (1, "11.90", "0.00")
    matched = await office.report(states=["MATCHED"], first=2)
    assert [each["documentId"] for each in matched["documents"]] == [
        f"invoice:acme-us:billing:{name}" for name in ("a", "b")
    ]
    assert [len(each["entries"]) for each in matched["documents"]] == [1, 2]
    rest = await office.report(states=["MATCHED"], first=2, after=matched["pageInfo"]["endCursor"])
    assert (len(rest["documents"]), rest["documentCount"], rest["pageInfo"]["hasNextPage"]) == (1, 3, False)
    assert (await office.report(to="2025-12-31", **{"from": "2025-12-01"}))["totals"][0]["nothing"] == 1


async def test_what_waits_is_pending_with_the_code_of_what_it_waits_for(office: Office) -> None:
    company = office.company
    await company.use_rules(rules(policy="proposed"))
    await company.state(
        invoice("proposed"),
        invoice("unmapped", kind=InvoiceKind.CREDIT_NOTE, status=InvoiceStatus.UNCOLLECTIBLE),
        invoice("late"),
    )
    await company.look()
    await company.state(invoice("late", total=1191, subtotal=1001), invoice("fresh"))
    assert await office.found() == {
        "proposed": ("PENDING", "PROPOSED"),
        "unmapped": ("PENDING", "NO_RULE"),
        "late": ("PENDING", "WAITING"),
        "fresh": ("PENDING", "WAITING"),
    }


async def test_a_document_that_nobody_looked_at_is_missing(office: Office) -> None:
    await office.company.state(invoice("lost"), invoice("void", status=InvoiceStatus.VOID))
    await office.run("DELETE FROM pipeline.todo")
    (row,) = (await office.report())["documents"]
    assert row == {
        "state": "MISSING", "code": "NOT_POSTED", "documentKind": "INVOICE", "documentId": "invoice:acme-us:billing:lost",
        "dated": "2026-03-10", "currency": "USD", "stated": "11.90", "entries": [],
        "amounts": [{"currency": "USD", "calledFor": "11.90", "posted": "0.00"}],
    }  # fmt: skip


@pytest.mark.parametrize(
    "behind", ["total = 1290, subtotal = 1100, content_hash = '\\x00'", "total = 1290, subtotal = 1100"]
)
async def test_a_document_that_was_changed_behind_the_pipeline_differs(office: Office, behind: str) -> None:
    """With or without its hash: its amount stands on none of its entries' lines."""
    await office.company.state(invoice("a"), invoice("b"))
    await office.company.look()
    await office.run(f"UPDATE mirror.invoice SET {behind} WHERE external_id = 'a'")
    (row,) = (await office.report())["documents"]
    assert (row["state"], row["code"], row["stated"]) == ("DIFFERING", "OTHER_OUTCOME", "12.90")
    assert row["amounts"] == [{"currency": "USD", "calledFor": "12.90", "posted": "11.90"}]
    total = (await office.report())["totals"][0]
    assert (total["calledFor"], total["posted"], total["difference"]) == ("24.80", "23.80", "-1.00")


async def test_what_changed_without_consequence_matches(office: Office) -> None:
    await office.company.state(invoice("a"))
    await office.company.look()
    await office.run("UPDATE mirror.invoice SET due_date = '2026-05-05', content_hash = '\\x00'")
    assert await office.found() == {}
    await office.company.use_rules(rules(revenue="4100"))
    assert await office.found() == {}  # what is posted stays under other rules


async def test_what_is_posted_of_a_document_that_is_gone_is_extra(office: Office) -> None:
    await office.company.state(invoice("deleted"), invoice("void"), invoice("vanished"), invoice("kept"))
    await office.company.look()
    await office.run("UPDATE mirror.invoice SET deleted_at = now() WHERE external_id = 'deleted'")
    await office.run("UPDATE mirror.invoice SET status = 'VOID', content_hash = '\\x00' WHERE external_id = 'void'")
    await office.run("DELETE FROM mirror.invoice WHERE external_id = 'vanished'")
    assert await office.found() == {
        "deleted": ("EXTRA", "GONE"),
        "void": ("EXTRA", "NOT_CALLED_FOR"),
        "vanished": ("EXTRA", "GONE"),
    }


async def test_a_deleted_link_and_a_deleted_record_show(office: Office) -> None:
    await office.company.state(invoice("unlinked"), invoice("unrecorded"))
    await office.company.look()
    await office.run("DELETE FROM mirror.document_entry WHERE external_id = 'unlinked'")
    await office.run("DELETE FROM pipeline.posting WHERE external_id = 'unrecorded'")
    assert await office.found() == {
        "unlinked": ("DIFFERING", "NOT_LINKED"),
        "unrecorded": ("MISSING", "NOT_POSTED"),
        "": ("EXTRA", "NOT_RECORDED"),
    }


async def test_an_entry_of_a_run_that_goes_on_is_not_extra(office: Office) -> None:
    """Its document still waits: what is posted of it is recorded when the run ends."""
    await office.company.state(invoice("a:%b"))
    await office.company.look()
    await office.run("DELETE FROM pipeline.posting")
    await office.run("INSERT INTO pipeline.todo (ledger_id, source, kind, external_id, since, not_before) "
                     "VALUES ($1, 'billing', 'invoice', 'a:%b', now(), now())", office.company.ledger.ledger_id)  # fmt: skip
    rows = (await office.report())["documents"]
    assert [(row["state"], row["code"]) for row in rows] == [("PENDING", "WAITING")]


async def test_an_entry_that_somebody_reversed_by_hand_is_missing(office: Office) -> None:
    await office.company.state(invoice("a"))
    await office.company.look()
    reversal = ReversalDraft(ledger=office.company.ledger, idempotency_key="r", sequence=1, posted_by="me",
                             effective_date=date(2026, 3, 11))  # fmt: skip
    await office.company.poster.post([reversal])
    (row,) = (await office.report())["documents"]
    assert (row["state"], row["code"]) == ("MISSING", "REVERSED_BY_HAND")
    assert row["amounts"] == [{"currency": "USD", "calledFor": "11.90", "posted": "0.00"}]


# ---------------------------------------------------------------- subledgers


async def test_subledgers_tie_to_the_control_accounts_until_somebody_posts_by_hand(office: Office) -> None:
    company = office.company
    await company.use_rules(STARTER)
    await company.state(
        invoice("a"),
        invoice("b", party=INITECH, amount_due=1190),
        invoice("credit", kind=InvoiceKind.CREDIT_NOTE, subtotal=100, tax=0, total=100, amount_due=100),
        invoice("bill", direction=InvoiceDirection.PAYABLE, party=INITECH),
        invoice("draft", status=InvoiceStatus.DRAFT),
    )
    await company.look()
    receivable, payable = (await office.report())["subledgers"]
    assert receivable == {"direction": "RECEIVABLE", "accounts": ["1100"], "differing": 0, "parties": [],
                          "totals": [{"currency": "USD", "open": "22.80", "balance": "22.80", "difference": "0.00"}]}  # fmt: skip
    assert (payable["direction"], payable["differing"], payable["totals"][0]["open"]) == ("PAYABLE", 0, "11.90")
    await office.post("by hand", ("1100", "debit", "5.00"), ("4000", "credit", "5.00"))
    receivable = (await office.report())["subledgers"][0]
    assert receivable["totals"][0]["difference"] == "5.00"
    assert receivable["parties"] == [
        {"party": None, "name": None, "currency": "USD", "open": "0.00", "balance": "5.00", "difference": "5.00"}
    ]
    assert (await office.report(to="2026-03-09"))["subledgers"][0]["totals"] == []


async def test_a_payment_after_the_day_leaves_the_invoice_open_on_it(office: Office) -> None:
    company = office.company
    await company.use_rules(STARTER)
    await company.state(
        invoice("a", status=InvoiceStatus.PAID, amount_due=0),
        Kit.payment(
            "p", amount=1190, fee=None, net=None, party=GLOBEX, invoice_external_id="a", occurred_on=date(2026, 3, 20)
        ),
    )
    await company.look()
    for day, balance in (("2026-03-19", "11.90"), ("2026-03-20", "0.00")):
        total = (await office.report(to=day))["subledgers"][0]["totals"][0]
        assert (total["open"], total["balance"]) == (balance, balance)


async def test_what_was_paid_elsewhere_after_the_day_leaves_the_invoice_open_on_it(office: Office) -> None:
    company = office.company
    await company.use_rules(STARTER)
    paid = {"paid_elsewhere": 1190, "paid_elsewhere_on": date(2026, 3, 20)}
    await company.state(invoice("a", status=InvoiceStatus.PAID, amount_due=0, **paid))
    await company.look()
    for day, balance in (("2026-03-19", "11.90"), ("2026-03-20", "0.00")):
        total = (await office.report(to=day))["subledgers"][0]["totals"][0]
        assert (total["open"], total["balance"]) == (balance, balance)


# ---------------------------------------------------------------- banks


async def bank_statement(office: Office) -> None:
    statement = Kit.statement(
        "s1",
        Kit.moved("t1", 10_00, date(2026, 3, 1), currency="USD"),
        Kit.moved("t2", -3_00, date(2026, 3, 2), currency="USD"),
        account=ACCOUNT, from_date=date(2026, 3, 1), to_date=date(2026, 3, 31), opening=0, closing=7_00,
    )  # fmt: skip
    await office.company.use_rules(STARTER)
    await office.company.state(statement, source="bank")
    await office.company.look()


async def test_a_bank_statement_ties_to_its_ledger_account(office: Office) -> None:
    await bank_statement(office)
    (bank,) = (await office.report(source="bank"))["banks"]
    assert bank == {
        "account": ACCOUNT.external_id, "statementDate": "2026-03-31", "closing": "7.00", "ledgerAccount": "1000",
        "balance": "7.00", "difference": "0.00", "unexplained": "0.00", "transactionCount": 0, "lineCount": 0,
        "transactions": [], "lines": [],
    }  # fmt: skip
    assert (await office.report(source="bank"))["documents"] == []


async def test_lines_of_either_side_that_the_other_does_not_know_show(office: Office) -> None:
    await bank_statement(office)
    await office.post("by hand", ("1000", "debit", "2.00"), ("4000", "credit", "2.00"))
    sequence = await office.company.owner.fetchval("SELECT sequence FROM pipeline.posting WHERE external_id = 't2'")
    reversal = ReversalDraft(ledger=office.company.ledger, idempotency_key="r", sequence=sequence, posted_by="me",
                             effective_date=date(2026, 3, 11))  # fmt: skip
    await office.company.poster.post([reversal])
    (bank,) = (await office.report(source="bank"))["banks"]
    assert (bank["balance"], bank["difference"], bank["unexplained"]) == ("12.00", "-5.00", "0.00")
    (transaction,) = bank["transactions"]
    assert (transaction["documentId"].rpartition(":")[2], transaction["amount"]) == ("t2", "-3.00")
    assert [(line["amount"], line["entry"]["description"]) for line in bank["lines"]] == [("2.00", "by hand")]


async def test_a_bank_line_that_vanished_shows_as_an_entry_without_cause(office: Office) -> None:
    await bank_statement(office)
    await office.run("DELETE FROM mirror.bank_transaction WHERE external_id = 't1'")
    assert await office.found(source="bank") == {"t1": ("EXTRA", "GONE")}


async def test_a_bank_account_without_a_ledger_account_says_so(office: Office) -> None:
    await bank_statement(office)
    await office.company.use_rules(STARTER.replace("DE02120300000000202051 =", "DE99 ="))
    (bank,) = (await office.report(source="bank"))["banks"]
    assert (bank["ledgerAccount"], bank["balance"], bank["difference"], bank["unexplained"]) == (None,) * 4


# ---------------------------------------------------------------- who may ask, and for what


async def test_it_takes_the_scopes_of_sources_and_ledgers(office: Office) -> None:
    await office.company.state(invoice("a"))
    head = 'reconciliation(source: "billing", ledger: "acme-us", from: "2026-01-01", to: "2026-12-31")'
    base = ("sources:read", "ledger:read")
    for scopes, part, allowed in (
        (base, "documents { state }", True),
        (("sources:read",), "documents { state }", False),
        (("ledger:read",), "documents { state }", False),
        (base, "documents { stated }", False),
        (base, "totals { stated }", False),
        (base, "subledgers { differing }", False),
        ((*base, "invoices:read"), "subledgers { differing }", True),
        (base, "banks { account }", False),
        ((*base, "cash:read"), "banks { account }", True),
    ):
        answer = await office.graph.run(f"{{ {head} {{ {part} }} }}", by=caller(*scopes))
        codes = {error["extensions"]["code"] for error in answer.get("errors", ())}
        assert codes == (set() if allowed else {"FORBIDDEN"}), (scopes, part, answer)


async def test_other_ledgers_and_sources_are_not_there(office: Office) -> None:
    await office.company.state(invoice("a"))
    for variables, by, code in (
        ({}, caller(ledgers=["acme-eu"]), "NOT_FOUND"),
        ({"source": "nobody"}, None, "NOT_FOUND"),
        ({"from": "2026-02-01", "to": "2026-01-31"}, None, "INVALID_ARGUMENT"),
        ({"first": -1}, None, "INVALID_ARGUMENT"),
        ({"after": "x"}, None, "INVALID_CURSOR"),
    ):
        answer = await office.graph.run(REPORT, variables, by)
        assert [error["extensions"]["code"] for error in answer["errors"]] == [code], (variables, answer)


async def test_a_report_sees_its_ledger_alone(office: Office) -> None:
    """Row-level security holds whatever the statements say."""
    await office.company.state(invoice("a"))
    await office.company.look()
    async with reconciliation.reading(office.company.database, 999) as connection:
        for table in ("mirror.invoice", "pipeline.document", "pipeline.posting", "ledger.line", "ledger.entry"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_a_report_is_bounded(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    await office.company.state(invoice("a"), invoice("b"))
    await office.run("DELETE FROM pipeline.todo")
    for name in ("MOST", "MOST_MAPPED"):
        with monkeypatch.context() as patch:
            patch.setattr(reconciliation, name, 1)
            answer = await office.graph.run(REPORT)
            assert [error["extensions"]["code"] for error in answer["errors"]] == ["INVALID_ARGUMENT"]


async def test_pages_are_of_one_moment_and_one_computation(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows a first page reads nothing again, whatever changes meanwhile; a first page is always of now."""
    await office.company.state(*[invoice(name) for name in "abcde"])
    await office.company.look()
    whole = await office.report(states=["MATCHED"], first=1_000)
    assert whole["documentCount"] == 5
    first = await office.report(states=["MATCHED"], first=2)
    tie, computed = reconciliation.tie_documents, list[str]()

    async def counted(connection: Any, report: Any, book: Any, source: str, *days: Any) -> None:
        computed.append(source)
        await tie(connection, report, book, source, *days)

    monkeypatch.setattr(reconciliation, "tie_documents", counted)
    await office.run("DELETE FROM mirror.document_entry")
    rest = await office.report(states=["MATCHED"], first=1_000, after=first["pageInfo"]["endCursor"])
    assert [*first["documents"], *rest["documents"]] == whole["documents"]
    assert rest["totals"] == whole["totals"]
    assert computed == []
    assert (await office.report(states=["MATCHED"], first=2))["documents"] == []
    elsewhere = await office.report(states=["DIFFERING"], first=2, after=first["pageInfo"]["endCursor"])
    assert elsewhere["documentCount"] == whole["documentCount"]
    assert len(computed) == 2


async def test_what_other_days_hold_is_left_out(office: Office) -> None:
    await office.company.state(invoice("march"), invoice("april", issue_date=date(2026, 4, 1)))
    await office.run("DELETE FROM pipeline.todo")
    assert set(await office.found(to="2026-03-31")) == {"march"}
    assert set(await office.found(**{"from": "2026-03-31"})) == {"april"}
