"""Payloads of invoices are loaded when a rule asks for them: what posts is the same, and a document is one version throughout."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date

import pytest

from sources.documents import InvoiceStatus
from sources.mapping.payloads import UNREAD
from sources.pipeline import taking, todo
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import Company, changed, key, opened, rules

INVOICE = Kit.invoice("in_1", issue_date=date(2026, 3, 10), raw={"region": "north"})
BY_REGION = rules().replace(
    'description = "Invoice {number or external_id}"', 'description = "Invoice of {raw.region}"'
)


@pytest.fixture
async def company(database_url: str, owner_url: str) -> AsyncIterator[Company]:
    async with opened(database_url, owner_url) as found:
        yield found
        assert await found.findings() == []


async def descriptions(company: Company) -> list[str]:
    return [description for _, _, description in await company.entries()]


async def test_a_rule_that_asks_for_the_payload_gets_it(company: Company) -> None:
    await company.use_rules(BY_REGION)
    await company.state(INVOICE, changed(INVOICE, external_id="in_2", raw={"region": "south"}))
    counts = await company.look()
    assert (counts.taken, counts.entries) == (2, 2)
    assert sorted(await descriptions(company)) == ["Invoice of north", "Invoice of south"]
    await company.state(changed(INVOICE, external_id="in_3", raw={"region": "west"}))
    await company.look()
    assert (await descriptions(company))[2:] == ["Invoice of west"]


async def test_a_payload_that_is_no_group_is_what_it_is(company: Company) -> None:
    await company.use_rules(BY_REGION)
    await company.state(changed(INVOICE, raw=[]))
    await company.look()
    assert await descriptions(company) == ["Invoice of"]


async def test_payloads_are_loaded_for_the_statuses_of_which_they_are_asked_for(company: Company) -> None:
    await company.state(INVOICE, changed(INVOICE, external_id="in_2", status=InvoiceStatus.PAID))
    ledger_id, reached = company.ledger.ledger_id, {"PAID"}
    async with company.speaking.transaction():
        assert await todo.claim(company.speaking, ledger_id)
        books = await taking.read_books(company.speaking, ledger_id)
        assert books is not None
        batch = await taking.take(company.speaking, books, 10, reached)
        rows = {work.key.external_id: work.document.row for work in batch.work}
        assert {name: row and row["raw"] for name, row in rows.items()} == {"in_1": UNREAD, "in_2": {"region": "north"}}
    await company.look()


async def test_what_changed_before_its_payload_was_loaded_is_left_for_the_next_run(company: Company) -> None:
    await company.state(INVOICE, changed(INVOICE, external_id="in_2"))
    ledger_id = company.ledger.ledger_id
    async with company.database.writer() as connection, connection.transaction():
        assert await todo.claim(connection, ledger_id)
        books = await taking.read_books(connection, ledger_id)
        assert books is not None
        batch = await taking.take(connection, books, 10, set())
        await company.state(changed(INVOICE, raw={"region": "east"}))
        assert await taking.read_payloads(connection, books, batch.work) == {key("in_1")}
        loaded = {work.key.external_id: work.document.row for work in batch.work}
        assert {name: row and row["raw"] for name, row in loaded.items()} == {
            "in_1": UNREAD,
            "in_2": {"region": "north"},
        }
    assert await company.to_do() == ["in_1", "in_2"]
    await company.look()
