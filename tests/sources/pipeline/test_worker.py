"""Documents of the mirror become entries: each behaviour of the worker, on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from sources.documents import BankAccount, InvoiceDirection, InvoiceStatus, Party, Payment, PaymentStatus, PaymentType
from sources.ledger.model import ReversalDraft
from sources.mapping.rates import Quote
from sources.mapping.rules import load
from sources.pipeline.preview import preview
from sources.pipeline.rates import set_rates
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import Company, changed, key, opened, rules

INVOICE = Kit.invoice("in_1", issue_date=date(2026, 3, 10), subtotal=1000, tax=190, total=1190)
BILL = Kit.invoice(
    "b_1",
    direction=InvoiceDirection.PAYABLE,
    number="R-7",
    party=Party(name="Initech", tax_id="DE 123"),
    issue_date=date(2026, 3, 10),
)


@pytest.fixture
async def company(database_url: str, owner_url: str) -> AsyncIterator[Company]:
    async with opened(database_url, owner_url) as found:
        yield found
        assert await found.findings() == []


async def test_a_document_becomes_an_entry_that_names_it_and_its_rule(company: Company) -> None:
    await company.state(INVOICE)
    counts = await company.look()
    assert (counts.taken, counts.entries, counts.statuses) == (1, 1, {"POSTED": 1})
    assert await company.nets() == {"1100": 1190, "4000": -1000, "1700": -190}
    row = await company.owner.fetchrow("SELECT idempotency_key, origin, posted_by, reference FROM ledger.entry")
    assert row is not None
    assert tuple(row) == ("doc:billing:invoice::in_1:invoice:1.1", "billing", "pipeline", "in_1")
    link = await company.owner.fetchrow(
        "SELECT external_id, sequence, rule, ruleset_version, posting FROM mirror.document_entry"
    )
    assert link is not None
    assert tuple(link) == ("in_1", 1, "sale", 1, "invoice")
    assert await company.to_do() == []
    assert (await company.look()).taken == 0


async def test_a_change_reverses_and_posts_anew_and_what_is_unchanged_posts_nothing(company: Company) -> None:
    await company.state(INVOICE)
    await company.look()
    await company.state(changed(INVOICE, raw={"note": "seen"}))
    assert (await company.look()).entries == 0
    await company.state(changed(INVOICE, subtotal=500, total=690))
    counts = await company.look()
    assert (counts.entries, counts.reversals) == (1, 1)
    assert await company.entries() == [
        ("2026-03-10", None, "Invoice in_1"),
        ("2026-03-10", 1, "Reversal of entry 1"),
        ("2026-03-10", None, "Invoice in_1"),
    ]
    assert (await company.nets())["1100"] == 690


async def test_a_void_and_a_deletion_reverse_and_both_come_back(company: Company) -> None:
    await company.state(INVOICE)
    await company.look()
    await company.state(changed(INVOICE, status=InvoiceStatus.VOID))
    await company.look()
    assert (await company.nets(), await company.statuses()) == ({}, {"in_1": "NOTHING"})
    reversed_on = await company.owner.fetchval("SELECT effective_date FROM ledger.entry WHERE reverses IS NOT NULL")
    assert reversed_on == await company.owner.fetchval("SELECT (now() AT TIME ZONE 'UTC')::date")
    await company.state(INVOICE)
    await company.look()
    await company.state(gone=[("invoice", "in_1")])
    await company.look()
    assert (await company.nets(), await company.statuses()) == ({}, {"in_1": "NOTHING"})
    await company.state(INVOICE)
    await company.look()
    assert (await company.nets())["1100"] == 1190


@pytest.mark.parametrize("status", [InvoiceStatus.DRAFT, InvoiceStatus.PENDING_APPROVAL])
async def test_an_invoice_that_is_reopened_is_reversed_on_its_own_day(company: Company, status: InvoiceStatus) -> None:
    """A month whose invoice is corrected later holds it once."""
    await company.use_rules(rules().replace('"VOID", "DRAFT"', '"VOID", "DRAFT", "PENDING_APPROVAL"'))
    await company.state(INVOICE)
    await company.look()
    await company.state(changed(INVOICE, status=status))
    await company.look()
    await company.state(changed(INVOICE, subtotal=500, total=690))
    await company.look()
    assert [entry[:2] for entry in await company.entries()] == [
        ("2026-03-10", None),
        ("2026-03-10", 1),
        ("2026-03-10", None),
    ]


async def test_a_locked_period_moves_reversal_and_replacement(company: Company) -> None:
    await company.state(INVOICE)
    await company.look()
    await company.lock(date(2026, 3, 31))
    await company.state(changed(INVOICE, subtotal=500, total=690))
    await company.look()
    assert [entry[0] for entry in await company.entries()] == ["2026-03-10", "2026-04-01", "2026-04-01"]
    assert (await company.entries())[2][2] == "Invoice in_1 (of 2026-03-10; dated 2026-04-01, as that period is locked)"


async def test_before_cut_over_nothing_posts_but_a_later_settlement(company: Company) -> None:
    early = changed(INVOICE, issue_date=date(2025, 12, 31), due_date=date(2026, 1, 20))
    await company.state(early)
    await company.look()
    assert (await company.statuses(), await company.entries()) == ({"in_1": "BEFORE_CUTOVER"}, [])
    await company.state(changed(early, status=InvoiceStatus.PAID))
    await company.look()
    assert await company.entries() == [("2026-01-20", None, "Settled in_1")]
    company.post_from = date(2025, 12, 1)
    await company.state()
    await company.look()
    assert len(await company.entries()) == 2


async def test_what_cannot_be_posted_is_an_issue_that_closes_itself(company: Company) -> None:
    await company.use_rules(rules(revenue="9999"))
    await company.state(INVOICE, changed(INVOICE, external_id="odd", status=InvoiceStatus.UNKNOWN))
    await company.look()
    assert await company.issues() == {("UNKNOWN_ACCOUNT", "in_1"): True, ("NO_RULE", "odd"): True}
    row = await company.owner.fetchrow(
        "SELECT message, hint, excerpt, attempts, next_attempt_at > now() FROM mirror.issue WHERE external_id = 'in_1'"
    )
    assert row is not None
    assert "'9999'" in row[0]
    assert row[1] == "Create the account, or name another one in the rules."
    assert '"total":1190' in row[2]
    assert tuple(row[3:]) == (1, True)
    assert (await company.look()).taken == 0
    await company.use_rules(rules())
    await company.look()
    assert await company.issues() == {("UNKNOWN_ACCOUNT", "in_1"): False, ("NO_RULE", "odd"): True}
    assert await company.statuses() == {"in_1": "POSTED", "odd": "ISSUE"}
    await company.state(changed(INVOICE, external_id="odd", status=InvoiceStatus.DRAFT))
    await company.look()
    assert not any((await company.issues()).values())


async def test_rules_that_change_change_nothing_that_is_posted(company: Company) -> None:
    await company.state(INVOICE)
    await company.look()
    await company.use_rules(rules(revenue="4100"))
    await company.state(changed(INVOICE, raw={"note": "seen"}))
    assert (await company.look()).entries == 0
    await company.state(changed(INVOICE, subtotal=500, total=690))
    await company.look()
    assert await company.nets() == {"1100": 690, "4100": -500, "1700": -190}


async def test_one_bill_from_two_systems_posts_once(company: Company) -> None:
    same = changed(BILL, external_id="x", number="r 7", party=Party(name="INITECH", tax_id="de123"))
    await company.state(BILL, changed(BILL, external_id="b_2", number="R-8"), source="erp")
    await company.state(same, source="scans")
    await company.look()
    assert await company.statuses() == {"b_1": "POSTED", "b_2": "POSTED", "x": "DUPLICATE"}
    assert await company.issues() == {("POSSIBLE_DUPLICATE", "x"): True}
    await company.state(changed(BILL, status=InvoiceStatus.VOID), source="erp")
    await company.look()
    await company.look()
    assert await company.statuses() == {"b_1": "NOTHING", "b_2": "POSTED", "x": "POSTED"}
    assert await company.issues() == {("POSSIBLE_DUPLICATE", "x"): False}


async def test_a_duplicate_that_a_person_resolves_posts(company: Company) -> None:
    await company.state(BILL, source="erp")
    await company.look()
    await company.state(changed(BILL, external_id="x"), source="scans")
    await company.look()
    await company.hurry()
    await company.look()
    assert (await company.statuses())["x"] == "DUPLICATE"
    await company.owner.execute(
        "UPDATE mirror.issue SET closed_at = now(), resolved_at = now(), resolved_by = 'ann' WHERE external_id = 'x'"
    )
    await company.hurry()
    await company.look()
    assert (await company.statuses())["x"] == "POSTED"
    assert (await company.nets())["2000"] == -2 * 1190


async def test_documents_come_in_batches_and_keys_of_any_shape(database_url: str, owner_url: str) -> None:
    names = [f"in_{number}" for number in range(25)] + ["a:b", "x" * 1000, "x" * 999 + "y", "%3A", "é\u2028\"'"]
    async with opened(database_url, owner_url, batch=7) as company:
        await company.state(*[changed(INVOICE, external_id=name, number=None) for name in names])
        counts = await company.look()
        assert (counts.taken, counts.entries) == (30, 30)
        await company.state(*[changed(INVOICE, external_id=name, number=None, total=1191, tax=191) for name in names])
        await company.look()
        assert (await company.nets())["1100"] == 30 * 1191
        assert await company.findings() == []


async def test_the_key_of_a_document_is_found_by_what_it_begins_with(company: Company) -> None:
    """An entry of in_1 is no entry of in_10."""
    await company.state(changed(INVOICE, external_id="in_10"))
    await company.look()
    await company.state(INVOICE)
    await company.look()
    assert (await company.nets())["1100"] == 2 * 1190
    assert key("in_1") != key("in_10")


async def test_the_postings_of_a_document_post_all_or_none(company: Company) -> None:
    await company.use_rules(rules().replace('account = "1000"', 'account = "9999"'))
    await company.state(changed(INVOICE, status=InvoiceStatus.PAID), changed(INVOICE, external_id="in_2"))
    await company.look()
    assert await company.statuses() == {"in_1": "ISSUE", "in_2": "POSTED"}
    assert len(await company.entries()) == 1


async def test_a_rate_that_is_missing_is_an_issue_until_it_is_there(company: Company) -> None:
    await company.state(changed(INVOICE, currency="EUR"))
    await company.look()
    assert await company.issues() == {("MISSING_RATE", "in_1"): True}
    quote = Quote("EUR", "USD", "spot", date(2026, 3, 6), Decimal("1.1005"))
    await set_rates(company.speaking, [quote], "test")
    await company.hurry()
    await company.look()
    assert await company.issues() == {("MISSING_RATE", "in_1"): False}
    assert (await company.nets())["1100"] == 1310


async def test_a_rate_of_a_day_that_a_rule_computes_is_found(company: Company) -> None:
    text = rules().replace('date = "issue_date"', 'date = "month_end(issue_date)"')
    await company.use_rules(text)
    quotes = [Quote("EUR", "USD", "spot", date(2026, 3, day), Decimal(f"1.{day:02}")) for day in (9, 10, 30)]
    await set_rates(company.speaking, quotes, "test")
    await company.state(changed(INVOICE, currency="EUR"), changed(INVOICE, external_id="in_2", currency="GBP"))
    await company.look()
    assert await company.issues() == {("MISSING_RATE", "in_2"): True}
    assert (await company.nets())["1100"] == 1547
    shown = await preview(company.database, company.ledger.ledger_id, load(text), [key("in_1"), key("in_2")])
    assert [each.verdict for each in shown] == ["UNCHANGED", "ISSUE"]


async def test_a_payment_a_payroll_run_and_a_bank_line_become_entries(company: Company) -> None:
    await company.use_rules((Path(__file__).parent / "starter_rules.toml").read_text())
    payment = Payment(
        external_id="ch_1", type=PaymentType.PAYMENT, status=PaymentStatus.SUCCEEDED, source_status="succeeded",
        currency="USD", amount=1190, fee=40, net=1150, occurred_on=date(2026, 3, 12), invoice_external_id="in_1",
    )  # fmt: skip
    await company.state(INVOICE, payment)
    slips = (
        Kit.slip(gross=700_00, net=600_00, department="R&D"),
        Kit.slip("s2", gross=500_00, net=400_00, department="HQ"),
    )
    run = Kit.run(currency="USD", gross=1200_00, employee_taxes=200_00, deductions=0, reimbursements=0, net=1000_00,
                  employer_taxes=90_00, payslips=slips)  # fmt: skip
    await company.state(run, source="payroll")
    account = BankAccount(external_id="DE02120300000000202051", currency="USD", iban="DE02120300000000202051")
    moved = Kit.moved("t1", -1000_00, date(2026, 4, 1), currency="USD")
    await company.state(Kit.statement("s1", moved, account=account, to_date=date(2026, 4, 30)), source="bank")
    await company.look()
    assert await company.issues() == {}
    assert await company.statuses() == {"in_1": "POSTED", "ch_1": "POSTED", "run-1": "POSTED", "t1": "POSTED"}
    await company.state(changed(payment, status=PaymentStatus.FAILED), gone=[("invoice", "in_1")])
    await company.state(gone=[("payroll_run", "run-1")], source="payroll")
    await company.state(gone=[("bank_statement", "s1")], source="bank")
    await company.look()
    assert (await company.nets(), await company.issues()) == ({}, {})
    texts = await company.owner.fetch(
        "SELECT to_jsonb(entry)::text FROM ledger.entry UNION ALL SELECT to_jsonb(line)::text FROM ledger.line"
    )
    assert not any("Ada" in row[0] for row in texts)


async def test_a_document_that_cannot_be_recorded_holds_up_no_other(company: Company) -> None:
    await company.owner.execute("ALTER TABLE pipeline.posting ADD CONSTRAINT odd CHECK (external_id <> 'in_5')")
    names = [f"in_{number}" for number in range(12)]
    await company.state(*[changed(INVOICE, external_id=name) for name in names])
    while await company.to_do() != ["in_5"]:
        await company.pipeline.run_all()
    while (await company.owner.fetchval("SELECT attempts FROM pipeline.todo")) == 0:
        await company.pipeline.run_all()
    assert (await company.pipeline.run_all()).taken == 0
    await company.owner.execute("ALTER TABLE pipeline.posting DROP CONSTRAINT odd")
    await company.hurry()
    await company.look()
    assert (await company.nets())["1100"] == 12 * 1190


async def test_documents_wait_for_rules_that_can_be_used(company: Company) -> None:
    await company.use_rules("not = a rule file")
    await company.state(INVOICE)
    assert (await company.look()).taken == 0
    await company.use_rules(rules())
    assert (await company.look()).entries == 1


async def test_an_entry_that_a_person_reversed_is_replaced_by_the_next_version(company: Company) -> None:
    await company.state(INVOICE)
    await company.look()
    by_hand = ReversalDraft(
        ledger=company.ledger, idempotency_key="oops", sequence=1, effective_date=date(2026, 3, 20), posted_by="ann"
    )
    await company.poster.post([by_hand])
    await company.state(changed(INVOICE, subtotal=500, total=690))
    await company.look()
    assert (await company.nets())["1100"] == 690
    assert await company.issues() == {}
