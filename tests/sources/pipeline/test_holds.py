"""A bill that disagrees with its order is held until it agrees, or a person lets it pass; what is posted is held by nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest

from sources.documents import Invoice, InvoiceDirection, InvoiceStatus
from sources.mapping.matching_bills import CODE
from sources.mapping.rules import load
from sources.mirror.issues import IssueKey
from sources.pipeline import resolving
from sources.pipeline.preview import preview
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import Company, changed, key, opened, rules

AGREED = {"line": "Bolts", "order": "7", "ordered": "10", "order_price": "1", "billed": "10", "billed_price": "1"}


def bill(**facts: Any) -> Invoice:
    found: Invoice = Kit.invoice(
        "b_1",
        direction=InvoiceDirection.PAYABLE,
        issue_date=date(2026, 3, 10),
        subtotal=1000,
        tax=190,
        total=1190,
        raw={"purchase": [{**AGREED, **facts}]},
    )
    return found


@pytest.fixture
async def company(database_url: str, owner_url: str) -> AsyncIterator[Company]:
    async with opened(database_url, owner_url) as found:
        yield found
        assert await found.findings() == []


async def test_a_bill_waits_until_it_agrees(company: Company) -> None:
    await company.state(bill(received="8"))
    assert (await company.look()).statuses == {"ISSUE": 1}
    assert (await company.entries(), await company.issues()) == ([], {(CODE, "b_1"): True})
    row = await company.owner.fetchrow("SELECT message, hint, excerpt FROM mirror.issue")
    assert row is not None
    assert row["message"] == "'Bolts' of order 7: billed 10, received 8."
    assert '"total":1190' in row["excerpt"]
    await company.state(bill(received="10"))
    assert (await company.look()).entries == 1
    assert await company.issues() == {(CODE, "b_1"): False}


async def test_what_is_posted_stands_and_what_changes_is_matched_anew(company: Company) -> None:
    """Another bill of the same order changes nothing; another amount waits, and a void reverses as ever."""
    await company.state(bill())
    await company.look()
    await company.state(bill(billed_elsewhere="5"))
    assert (await company.look()).entries == 0
    assert (await company.statuses(), await company.issues()) == ({"b_1": "POSTED"}, {})
    await company.state(changed(bill(ordered="9"), subtotal=2000, total=2190))
    await company.look()
    assert ((await company.nets())["2000"], await company.issues()) == (-1190, {(CODE, "b_1"): True})
    await company.state(changed(bill(ordered="9"), status=InvoiceStatus.VOID))
    await company.look()
    assert await company.issues() == {(CODE, "b_1"): False}
    await company.state(bill(ordered="9"))
    await company.look()
    assert (await company.nets(), await company.issues()) == ({}, {(CODE, "b_1"): True})
    await company.state(gone=[("invoice", "b_1")])
    await company.look()
    assert await company.issues() == {(CODE, "b_1"): False}


async def test_the_rules_say_by_how_much_it_may_differ(company: Company) -> None:
    """A preview goes by the rules that it is of; a bill that waits posts once rules become active that let it pass."""
    await company.state(bill(billed_price="1.04", ordered="9"))
    assert (await company.look()).statuses == {"ISSUE": 1}
    text = '[three_way_match]\nprice_tolerance = "0.05"\nquantity_tolerance = "0.2"\n'
    wide = rules().replace("[accounts]", f"{text}[accounts]", 1)
    for stated, verdict in ((rules(), "HELD"), (wide, "POSTS")):
        (found,) = await preview(company.database, company.ledger.ledger_id, load(stated), [key("b_1")])
        assert found.verdict == verdict
    await company.use_rules(wide)
    await company.look()
    assert await company.statuses() == {"b_1": "POSTED"}


async def test_a_person_lets_it_pass(company: Company) -> None:
    await company.state(bill(billed_price="2"))
    await company.look()
    row = await company.owner.fetchrow("SELECT source, code, subject FROM mirror.issue")
    assert row is not None
    issue = IssueKey(row["source"], row["code"], row["subject"])
    await resolving.resolve_issue(company.database, company.ledger.ledger_id, issue, by="ada", note=None)
    assert (await company.look()).entries == 1


async def test_an_invoice_of_ours_and_a_bill_of_no_order_are_held_by_nothing(company: Company) -> None:
    ours = changed(bill(ordered="1"), external_id="in_1", direction=InvoiceDirection.RECEIVABLE)
    await company.state(ours, changed(bill(), external_id="b_2", raw={"purchase": []}))
    assert (await company.look()).entries == 2
