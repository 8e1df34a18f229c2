"""A preview says of each document what would become of it, and why: enough to decide by."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from sources.documents import InvoiceDirection, InvoiceStatus
from sources.mapping.rules import load
from sources.pipeline.approving import Decision, decide
from sources.pipeline.preview import Preview, list_keys, preview
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import Company, changed, opened, rules

INVOICE = Kit.invoice("in_1", number="1", issue_date=date(2026, 3, 10), subtotal=1000, tax=190, total=1190)
BILL = replace(
    INVOICE, external_id="b_1", direction=InvoiceDirection.PAYABLE, party=replace(INVOICE.party, tax_id="DE 123")
)


@pytest.fixture
async def company(database_url: str, owner_url: str) -> AsyncIterator[Company]:
    async with opened(database_url, owner_url) as found:
        yield found


async def shown(company: Company, text: str, **more: Any) -> dict[str, Preview]:
    keys = await list_keys(company.database, company.ledger.ledger_id)
    found = await preview(company.database, company.ledger.ledger_id, load(text), keys, **more)
    return {each.key.external_id: each for each in found}


def told(found: Preview) -> tuple[str, str | None]:
    return found.verdict.value, found.finding.code if found.finding else None


async def test_what_is_not_posted_posts_and_what_is_stays(company: Company) -> None:
    await company.state(INVOICE)
    assert told((await shown(company, rules()))["in_1"]) == ("POSTS", None)
    await company.look()
    found = (await shown(company, rules()))["in_1"]
    assert (told(found), found.is_unchanged) == (("UNCHANGED", None), True)


async def test_in_a_locked_period_the_days_that_entries_would_get_are_told(company: Company) -> None:
    await company.state(INVOICE)
    await company.look()
    await company.lock(date(2026, 3, 31))
    found = (await shown(company, rules(revenue="4100")))["in_1"]
    (change,) = found.changes
    assert change.draft is not None
    assert told(found) == ("REPLACES", None)
    assert (change.moved_from, change.draft.effective_date) == (date(2026, 3, 10), date(2026, 4, 1))
    assert change.reversed_on == date(2026, 4, 1)
    assert "that period is locked" in change.draft.description
    assert (await shown(company, rules()))["in_1"].changes[0].moved_from is None


async def test_what_is_called_for_no_more_is_reversed_and_what_is_gone_calls_for_nothing(company: Company) -> None:
    void = changed(INVOICE, external_id="void", status=InvoiceStatus.VOID)
    await company.state(INVOICE, void)
    await company.look()
    await company.state(changed(INVOICE, status=InvoiceStatus.VOID))
    found = await shown(company, rules())
    assert (told(found["in_1"]), told(found["void"])) == (("REVERSES", None), ("NOTHING", "NO_POSTINGS"))
    await company.look()
    await company.state(gone=[("invoice", "in_1")])
    assert told((await shown(company, rules()))["in_1"]) == ("NOTHING", "DELETED")


async def test_what_waits_for_a_person_is_held(company: Company) -> None:
    text = rules(policy="proposed")
    await company.use_rules(text)
    await company.state(INVOICE)
    assert told((await shown(company, text))["in_1"]) == ("HELD", "PROPOSED")
    await company.look()
    assert told((await shown(company, text))["in_1"]) == ("HELD", "PROPOSED")
    ledger_id = company.ledger.ledger_id
    number = await company.owner.fetchval("SELECT proposal_id FROM pipeline.proposal")
    await decide(company.database, ledger_id, [number], Decision.REJECTED, by="tester")
    assert told((await shown(company, text))["in_1"]) == ("HELD", "REJECTED")


async def test_a_bill_of_two_systems_and_one_that_disagrees_with_its_order_are_held(company: Company) -> None:
    """Of two of which neither is posted the first one posts, also where they are looked at in two pages."""
    await company.state(BILL)
    await company.state(changed(BILL, external_id="x"), source="other")
    facts = {"line": "Bolts", "order": "7", "ordered": "1", "order_price": "1", "billed": "2", "billed_price": "1"}
    await company.state(replace(BILL, external_id="b_2", number="2", raw={"purchase": [facts]}))
    found = await shown(company, rules())
    assert {name: told(each) for name, each in found.items()} == {
        "b_1": ("POSTS", None),
        "b_2": ("HELD", "THREE_WAY_MISMATCH"),
        "x": ("HELD", "POSSIBLE_DUPLICATE"),
    }
    claims: dict[bytes, list[Any]] = {}
    keys: Sequence[Any] = await list_keys(company.database, company.ledger.ledger_id)
    pages = [
        await preview(company.database, company.ledger.ledger_id, load(rules()), [key], claims)
        for key in sorted(keys, key=lambda key: key.source)
    ]
    assert [told(page[0])[0] for page in pages] == ["POSTS", "HELD", "HELD"]
    await company.look()
    assert await company.statuses() == {"b_1": "POSTED", "b_2": "ISSUE", "x": "DUPLICATE"}


async def test_what_the_ledger_would_refuse_is_an_issue(company: Company) -> None:
    await company.state(INVOICE)
    found = (await shown(company, rules(revenue="4999")))["in_1"]
    assert told(found) == ("ISSUE", "UNKNOWN_ACCOUNT")
    assert found.finding is not None
    assert "4999" in found.finding.message
    assert found.changes[0].draft is not None
    await company.owner.execute("UPDATE ledger.account SET active = false WHERE code = '4000'")
    assert told((await shown(company, rules()))["in_1"]) == ("ISSUE", "INACTIVE_ACCOUNT")
    await company.owner.execute("UPDATE ledger.account SET active = true, currency = 'EUR' WHERE code = '4000'")
    assert told((await shown(company, rules()))["in_1"]) == ("ISSUE", "CURRENCY_MISMATCH")
