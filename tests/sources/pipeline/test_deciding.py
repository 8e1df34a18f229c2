"""Proposals and their decisions, explicit re-posting, and previews of rules."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date

import orjson
import pytest

from sources.documents import InvoiceStatus
from sources.mapping.rules import load
from sources.pipeline.approving import Decision, decide
from sources.pipeline.preview import list_keys, preview
from sources.pipeline.reposting import repost
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import Company, changed, key, opened, rules

INVOICE = Kit.invoice("in_1", issue_date=date(2026, 3, 10), subtotal=1000, tax=190, total=1190)


@pytest.fixture
async def company(database_url: str, owner_url: str) -> AsyncIterator[Company]:
    async with opened(database_url, owner_url) as found:
        yield found
        assert await found.findings() == []


async def waiting(company: Company) -> list[int]:
    rows = await company.owner.fetch("SELECT proposal_id FROM pipeline.proposal WHERE decision IS NULL ORDER BY 1")
    return [row[0] for row in rows]


async def decisions(company: Company) -> list[str | None]:
    return [row[0] for row in await company.owner.fetch("SELECT decision FROM pipeline.proposal ORDER BY proposal_id")]


async def test_a_proposal_posts_when_it_is_approved(company: Company) -> None:
    await company.use_rules(rules(policy="proposed"))
    await company.state(INVOICE)
    assert (await company.look()).statuses == {"PROPOSED": 1}
    assert (await company.entries(), await company.to_do()) == ([], [])
    draft = orjson.loads(await company.owner.fetchval("SELECT draft FROM pipeline.proposal"))
    assert draft["effective_date"] == "2026-03-10"
    assert draft["lines"][0] == {"account": "1100", "debit": "11.90", "currency": "USD"}
    (proposal,) = await waiting(company)
    (decided,) = await decide(company.database, company.ledger.ledger_id, [proposal, 999], Decision.APPROVED, by="ann")
    assert (decided.key, decided.posting) == (key("in_1"), "invoice")
    assert await decide(company.database, company.ledger.ledger_id, [proposal], Decision.REJECTED, by="bob") == []
    await company.look()
    assert (await company.nets())["1100"] == 1190
    assert await company.statuses() == {"in_1": "POSTED"}


async def test_a_rejected_proposal_never_posts_and_a_newer_version_is_proposed(company: Company) -> None:
    await company.use_rules(rules(policy="proposed"))
    await company.state(INVOICE)
    await company.look()
    await decide(company.database, company.ledger.ledger_id, await waiting(company), Decision.REJECTED, by="ann")
    await company.look()
    await company.state(changed(INVOICE, raw={"note": "seen"}))
    await company.look()
    assert (await company.statuses(), await waiting(company)) == ({"in_1": "NOTHING"}, [])
    await company.state(changed(INVOICE, subtotal=500, total=690))
    await company.look()
    await company.state(changed(INVOICE, subtotal=600, total=790))
    await company.look()
    assert await decisions(company) == ["REJECTED", "WITHDRAWN", None]


async def test_an_approval_of_an_older_version_posts_nothing(company: Company) -> None:
    await company.use_rules(rules(policy="proposed"))
    await company.state(INVOICE)
    await company.look()
    await company.state(changed(INVOICE, subtotal=500, total=690))
    await decide(company.database, company.ledger.ledger_id, await waiting(company), Decision.APPROVED, by="ann")
    await company.look()
    assert (await company.entries(), await company.statuses()) == ([], {"in_1": "PROPOSED"})
    await decide(company.database, company.ledger.ledger_id, await waiting(company), Decision.APPROVED, by="ann")
    await company.look()
    assert (await company.nets())["1100"] == 690


async def test_what_stands_stays_until_its_replacement_is_approved(company: Company) -> None:
    await company.state(INVOICE)
    await company.look()
    await company.use_rules(rules(policy="proposed"))
    await company.state(changed(INVOICE, subtotal=500, total=690))
    await company.look()
    assert (await company.nets())["1100"] == 1190
    await decide(company.database, company.ledger.ledger_id, await waiting(company), Decision.APPROVED, by="ann")
    await company.look()
    assert (await company.nets())["1100"] == 690
    await company.state(changed(INVOICE, status=InvoiceStatus.VOID))
    await company.look()
    assert await company.nets() == {}


async def test_a_void_document_is_not_proposed_any_more(company: Company) -> None:
    await company.use_rules(rules(policy="proposed"))
    await company.state(INVOICE)
    await company.look()
    await company.state(changed(INVOICE, status=InvoiceStatus.VOID))
    await company.look()
    assert (await decisions(company), await company.statuses()) == (["WITHDRAWN"], {"in_1": "NOTHING"})


async def test_reposting_follows_the_active_rules_and_can_be_taken_back(company: Company) -> None:
    await company.state(INVOICE, changed(INVOICE, external_id="in_2"))
    await company.look()
    await company.use_rules(rules(revenue="4100"))
    ledger_id = company.ledger.ledger_id
    assert await repost(company.database, ledger_id, [key("in_1"), key("nobody")]) == [key("in_1")]
    await company.look()
    assert await company.nets() == {"1100": 2380, "4000": -1000, "4100": -1000, "1700": -380}
    keys = [row[0] for row in await company.owner.fetch("SELECT idempotency_key FROM ledger.entry ORDER BY sequence")]
    assert keys[2:] == ["doc:billing:invoice::in_1:invoice:1.1:reversed", "doc:billing:invoice::in_1:invoice:2.2"]
    await company.use_rules(rules())
    await repost(company.database, ledger_id, [key("in_1"), key("in_2")])
    await company.look()
    assert await company.nets() == {"1100": 2380, "4000": -2000, "1700": -380}
    assert len(await company.entries()) == 6


async def test_a_preview_tells_what_would_post_beside_what_is_posted(company: Company) -> None:
    odd = changed(INVOICE, external_id="odd", status=InvoiceStatus.UNKNOWN)
    early = changed(INVOICE, external_id="early", issue_date=date(2025, 1, 1))
    await company.state(INVOICE, odd, early, changed(INVOICE, external_id="paid"))
    await company.look()
    await company.state(changed(INVOICE, external_id="paid", status=InvoiceStatus.PAID))
    ledger_id = company.ledger.ledger_id
    keys = await list_keys(company.database, ledger_id)
    assert [each.external_id for each in keys] == ["early", "in_1", "odd", "paid"]
    assert await list_keys(company.database, ledger_id, after=keys[1], first=1) == [key("odd")]
    before = await company.entries()
    found = {
        each.key.external_id: each
        for each in await preview(company.database, ledger_id, load(rules(revenue="4100")), keys)
    }
    told = [(each.verdict, each.finding and each.finding.code) for _, each in sorted(found.items())]
    assert told == [("HELD", "BEFORE_CUTOVER"), ("REPLACES", None), ("ISSUE", "NO_RULE"), ("REPLACES", None)]
    (change,) = found["in_1"].changes
    assert change.posted is not None
    assert change.mapped is not None
    assert (change.name, change.posted.sequence, change.is_equal) == ("invoice", 1, False)
    assert change.mapped.lines[1].account == "4100"
    assert [(each.name, each.posted is None) for each in found["paid"].changes] == [
        ("invoice", False),
        ("settled", True),
    ]
    same = await preview(company.database, ledger_id, load(rules()), [key("in_1")])
    assert same[0].is_unchanged
    assert await company.entries() == before
