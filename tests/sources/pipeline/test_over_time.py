"""What comes late: the invoice of a payment, a rate, another rate, another text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal

import pytest

from sources.documents import Document, Party
from sources.mapping.rates import Quote
from sources.mapping.rules import load
from sources.pipeline.preview import preview
from sources.pipeline.rates import set_rates
from sources.pipeline.reconciliation import open_report, reading, tie_documents
from sources.pipeline.reposting import repost
from sources.pipeline.resolving import look_again
from sources.pipeline.rulebook import RuleBook
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import Company, changed, key, opened, rules

PAYMENTS = """
[[rules]]
name = "payment"
kind = "payment"
when = { status = "SUCCEEDED" }
  [[rules.postings]]
  name = "payment"
  date = "occurred_on"
  description = "Payment {party.name}"
  lines = [
    { account = "1000", debit = "amount" },
    { account = "receivable", credit = "amount", rate_on = "settles.issue_date or occurred_on" },
  ]
"""
INVOICE = Kit.invoice(
    "in_1", issue_date=date(2026, 3, 1), currency="EUR", subtotal=1000, tax=0, total=1000, amount_due=1000
)
PAYMENT = Kit.payment(
    "ch_1", currency="EUR", amount=1000, fee=0, net=1000, occurred_on=date(2026, 3, 20), invoice_external_id="in_1"
)


@pytest.fixture
async def company(database_url: str, owner_url: str) -> AsyncIterator[Company]:
    async with opened(database_url, owner_url) as found:
        await found.use_rules(rules() + PAYMENTS)
        yield found
        assert await found.findings() == []


async def rate(company: Company, on: date, value: str) -> None:
    await set_rates(company.speaking, [Quote("EUR", "USD", "spot", on, Decimal(value))], "test", by="ann")
    await look_again(company.database, [company.ledger.ledger_id])
    await company.look()


async def posted(company: Company, *documents: Document) -> int:
    """How many entries there are once these are stated."""
    await company.state(*documents)
    await company.look()
    return len(await company.entries())


# ---------------------------------------------------------------- payments and their invoices


async def test_a_payment_before_its_invoice_is_settled_at_the_invoices_rate_once_that_comes(company: Company) -> None:
    await rate(company, date(2026, 3, 1), "1.10")
    await rate(company, date(2026, 3, 20), "1.20")
    await posted(company, PAYMENT)
    assert await company.nets() == {"1000": 1200, "1100": -1200}
    await posted(company, INVOICE)
    assert await company.nets() == {"1000": 1200, "4000": -1100, "7000": -100}
    await posted(company, changed(INVOICE, issue_date=date(2026, 3, 20)))
    assert await company.nets() == {"1000": 1200, "4000": -1200}


async def test_an_invoice_that_changes_otherwise_leaves_its_payment(company: Company) -> None:
    await rate(company, date(2026, 3, 1), "1.10")
    await rate(company, date(2026, 3, 20), "1.20")
    assert await posted(company, INVOICE, PAYMENT) == 2
    assert await posted(company, changed(INVOICE, amount_due=0)) == 2
    assert await company.to_do() == []


async def test_a_payment_is_looked_at_when_its_payout_is_known(company: Company) -> None:
    text = rules() + PAYMENTS.replace('debit = "amount" }', 'debit = "amount", tax_code = "{payout_external_id}" }')
    await company.use_rules(text)
    await rate(company, date(2026, 3, 20), "1.20")
    assert await posted(company, PAYMENT) == 1
    payout = Kit.payment("po_1", status="PENDING", paid_out=("ch_1",))
    await company.state(payout)
    assert await company.to_do() == ["ch_1", "po_1"]


# ---------------------------------------------------------------- rates


async def test_a_rate_that_is_corrected_changes_nothing_posted_until_somebody_asks(company: Company) -> None:
    await rate(company, date(2026, 3, 1), "1.10")
    assert await posted(company, INVOICE) == 1
    await rate(company, date(2026, 3, 1), "1.15")
    assert await posted(company, changed(INVOICE, amount_due=0)) == 1
    (seen,) = await preview(company.database, company.ledger.ledger_id, load(rules() + PAYMENTS), [key("in_1")])
    assert not seen.is_unchanged
    await repost(company.database, company.ledger.ledger_id, [key("in_1")])
    await company.look()
    assert await company.nets() == {"1100": 1150, "4000": -1150}
    assert len(await company.entries()) == 3


async def test_a_nearer_rate_that_comes_later_changes_nothing_posted(company: Company) -> None:
    await rate(company, date(2026, 2, 27), "1.10")
    assert await posted(company, INVOICE) == 1
    await rate(company, date(2026, 3, 1), "1.20")
    assert await posted(company, changed(INVOICE, amount_due=0)) == 1
    company.post_from = date(2026, 1, 2)
    assert await posted(company) == 1
    assert await posted(company, changed(INVOICE, subtotal=2000, total=2000)) == 3
    assert (await company.nets())["1100"] == 2400


async def test_what_lacks_a_rate_waits_for_it(company: Company) -> None:
    assert await posted(company, INVOICE, PAYMENT) == 0
    assert set(await company.issues()) == {("MISSING_RATE", "in_1"), ("MISSING_RATE", "ch_1")}
    await rate(company, date(2026, 3, 1), "1.10")
    assert await company.statuses() == {"in_1": "POSTED", "ch_1": "ISSUE"}
    await rate(company, date(2026, 3, 20), "1.10")
    assert await company.nets() == {"1000": 1100, "4000": -1100}
    assert not any((await company.issues()).values())


async def test_who_recorded_a_rate_and_when_is_kept(company: Company) -> None:
    await rate(company, date(2026, 3, 1), "1.10")
    row = await company.owner.fetchrow("SELECT source, recorded_by, recorded_at <= now() FROM ledger.rate")
    assert row is not None
    assert tuple(row) == ("test", "ann", True)


async def test_a_tie_out_finds_the_rates_of_days_that_rules_compute(company: Company) -> None:
    """Without them every one of these would seem to lack its rate."""
    text = rules().replace('date = "issue_date"', 'date = "month_end(issue_date)"') + PAYMENTS
    await company.use_rules(text)
    await rate(company, date(2026, 3, 30), "1.10")
    other = changed(INVOICE, external_id="in_2", issue_date=date(2026, 4, 2))
    assert await posted(company, INVOICE, other) == 1
    assert await tied(company) == {"in_1": ("MATCHED", None), "in_2": ("PENDING", "MISSING_RATE")}
    await company.owner.execute("DELETE FROM pipeline.todo")
    await company.owner.execute("UPDATE mirror.issue SET closed_at = now()")
    await company.owner.execute("UPDATE pipeline.document SET content_hash = ''")
    assert await tied(company) == {"in_1": ("MATCHED", None), "in_2": ("MISSING", "MISSING_RATE")}
    await rate(company, date(2026, 3, 30), "1.30")
    await company.owner.execute("UPDATE pipeline.document SET content_hash = ''")
    assert (await tied(company))["in_1"] == ("MATCHED", None)


async def tied(company: Company) -> dict[str, tuple[str | None, str | None]]:
    """State and code of each document."""
    async with reading(company.database, company.ledger.ledger_id) as connection:
        report = await open_report(connection, company.ledger.ledger_id, "billing")
        await tie_documents(connection, report, RuleBook(), "billing", date(2026, 1, 1), date(2026, 12, 31))
    return {each.key.external_id: (each.state, each.code) for each in report.tied if each.key is not None}


# ---------------------------------------------------------------- texts


async def test_another_name_of_a_party_posts_nothing(company: Company) -> None:
    payment = changed(PAYMENT, currency="USD", party=Party(name="Globex", external_id="c1"))
    assert await posted(company, payment) == 1
    assert await posted(company, changed(payment, party=Party(name="Globex & Sons", external_id="c1"))) == 1
    await repost(company.database, company.ledger.ledger_id, [key("ch_1", kind="payment")])
    await company.look()
    assert [words for _, _, words in await company.entries()][2] == "Payment Globex & Sons"
