"""The starter rules: each kind of document posts what a bookkeeper would, and always in balance."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from sources.mapping.facts import ITEMS, KINDS, NAMES
from sources.mapping.model import InvalidRules, UnmappedCode
from sources.mapping.rules import load
from sources.mapping.starter import STARTER_NAME, starter_text
from sources.mirror import tables
from tests.sources.mapping.kit import (
    DAY,
    book,
    invoice,
    line,
    mapped,
    payment,
    payroll_run,
    postings,
    prove,
    rules,
    slip,
    starter,
    tax,
    transaction,
    unmapped,
)

STARTER = starter()


# ---------------------------------------------------------------- what is posted


def test_a_sales_invoice() -> None:
    """Receivable by customer, revenue by line, tax by rate, and what the document itself rounds off."""
    row = invoice(
        line(10_000, description="Seats", tax_code="s"),
        line(-500, description="Discount"),
        taxes=[tax(1_900, code="s", rate="19"), tax(5, rate="7")],
        rounding=-5,
    )
    ruleset = starter('[tables.sales_tax]\n"7" = "2215"\n')
    (found,) = postings(ruleset, "invoice", row)
    assert book(found) == [
        ("1210", 11_400),
        ("4100", -10_000),
        ("4100", 500),
        ("2210", -1_900),
        ("2215", -5),
        ("7400", 5),
    ]
    assert (found.name, found.rule, found.effective_date, found.journal) == ("invoice", "sales-invoice", DAY, "SALES")
    assert (found.description, found.reference) == ("Invoice A-1 Blue Harbor", "A-1")
    assert found.lines[0].dimensions == (("customer", "cus_1"),)
    assert (found.lines[1].description, found.lines[1].tax_code) == ("Seats", "s")
    prove(found)


def test_an_invoice_without_lines_and_taxes() -> None:
    (found,) = postings(STARTER, "invoice", {**invoice(subtotal=1_000, tax=190), "lines": []})
    assert book(found) == [("1210", 1_190), ("4100", -1_000), ("2210", -190)]


def test_a_credit_note_is_the_other_way_round() -> None:
    row = invoice(line(1_000), taxes=[tax(190)], kind="CREDIT_NOTE", status="PAID")
    (found,) = postings(STARTER, "invoice", row)
    assert book(found) == [("1210", -1_190), ("4100", 1_000), ("2210", 190)]


def test_a_purchase_bill_and_its_credit_note() -> None:
    row = invoice(line(1_000), taxes=[tax(190)], direction="PAYABLE")
    (bill,) = postings(STARTER, "invoice", row)
    assert book(bill) == [("2110", -1_190), ("5100", 1_000), ("1600", 190)]
    assert bill.lines[0].dimensions == (("vendor", "cus_1"),)
    (note,) = postings(STARTER, "invoice", row | {"kind": "CREDIT_NOTE"})
    assert book(note) == [(account, -amount) for account, amount in book(bill)]


def test_what_is_not_collected_is_written_off() -> None:
    """On the day that the source says; what was paid of it stays."""
    marked = {"status_transitions": {"marked_uncollectible_at": 1_775_001_600}}
    row = invoice(line(1_000), status="UNCOLLECTIBLE", amount_due=400, raw=marked)
    _, written = postings(STARTER, "invoice", row)
    assert (written.name, written.effective_date, book(written)) == (
        "write-off",
        date(2026, 4, 1),
        [("6900", 400), ("1210", -400)],
    )
    assert postings(STARTER, "invoice", row | {"raw": {}})[1].effective_date == DAY


@pytest.mark.parametrize("status", ["DRAFT", "PENDING_APPROVAL", "VOID"])
@pytest.mark.parametrize("direction", ["RECEIVABLE", "PAYABLE"])
def test_an_invoice_that_is_not_in_force_posts_nothing(status: str, direction: str) -> None:
    """Even where its figures are not right yet."""
    assert mapped(STARTER, "invoice", invoice(status=status, direction=direction, total=1)) == ()


def test_a_status_that_is_not_known_waits_for_a_person() -> None:
    found = unmapped(STARTER, "invoice", invoice(status="UNKNOWN", source_status="odd"))
    assert found.code == UnmappedCode.NO_RULE
    assert "direction RECEIVABLE, kind INVOICE, status UNKNOWN, source_status odd" in found.message


@pytest.mark.parametrize(
    ("kind", "amount", "control"),
    [("PAYMENT", 900, "1210"), ("REFUND", -900, "1210"), ("PAYMENT", -900, "2110"), ("REFUND", 900, "2110")],
)
def test_what_a_source_of_books_says_was_paid_from_or_to_the_bank(kind: str, amount: int, control: str) -> None:
    """Which side it settles is told by its sign; the bank's own line empties bank clearing."""
    (found,) = postings(STARTER, "payment", payment(kind, amount, bank_account="090"))
    assert book(found) == [("1199", amount), (control, -amount)]
    assert found.rule == "bank-payment"
    elsewhere = starter('[tables.payment_accounts]\n"090" = "1110"\n')
    (found,) = postings(elsewhere, "payment", payment(kind, amount, bank_account="090"))
    assert book(found) == [("1110", amount), (control, -amount)]


def test_a_processors_payment_fee_refund_dispute_and_payout() -> None:
    """All of them together leave clearing empty; the payout stands in bank clearing, where the bank's line finds it."""
    movements = [
        payment("PAYMENT", 10_000, fee=320, net=9_680),
        payment("REFUND", -2_000, fee=-50, net=-1_950),
        payment("FEE", -100),
        payment("DISPUTE", -1_000, fee=1_500, net=-2_500),
        payment("TRANSFER", 30),
        payment("PAYOUT", -5_160),
    ]
    totals: dict[str, int] = {}
    for row in movements:
        (found,) = postings(STARTER, "payment", row)
        prove(found)
        for account, amount in book(found):
            totals[account] = totals.get(account, 0) + amount
    assert totals == {"1140": 0, "1210": -8_000, "5400": 1_870, "1150": 1_000, "1160": -30, "1199": 5_160}
    (arrived,) = postings(STARTER, "bank_transaction", transaction(5_160))
    assert book(arrived) == [("1110", 5_160), ("1199", -5_160)]


@pytest.mark.parametrize("status", ["PENDING", "FAILED", "CANCELED"])
def test_money_that_has_not_moved_posts_nothing(status: str) -> None:
    assert mapped(STARTER, "payment", payment("PAYOUT", -1, status=status)) == ()


def test_each_processor_has_its_clearing_account() -> None:
    (found,) = postings(starter('[tables.processors]\nbilling = "1145"\n'), "payment", payment("PAYOUT", -5))
    assert book(found) == [("1145", -5), ("1199", 5)]


def test_a_payroll_run_and_its_payment() -> None:
    accrual, paid = postings(STARTER, "payroll_run", payroll_run())
    assert book(accrual) == [
        ("6100", 500_000),
        ("6130", 5_000),
        ("2220", -100_000),
        ("2330", -20_000),
        ("2310", -385_000),
        ("6110", 60_000),
        ("2220", -60_000),
        ("6120", 15_000),
        ("2320", -15_000),
    ]
    assert (accrual.effective_date, paid.effective_date) == (date(2026, 1, 31), date(2026, 2, 3))
    assert (paid.name, book(paid)) == ("payment", [("2310", 385_000), ("1199", -385_000)])


def test_gross_is_by_department_where_payslips_state_one() -> None:
    slips = [slip(300_000, 235_000, "Sales"), slip(150_000, 120_000, "Engineering"), slip(50_000, 30_000, "Sales")]
    ruleset = starter('[tables.departments]\nSales = "6101"\n')
    accrual, _ = postings(ruleset, "payroll_run", payroll_run(payslips=slips))
    assert book(accrual)[:2] == [("6100", 150_000), ("6101", 350_000)]
    assert accrual.lines[1].dimensions == (("department", "Sales"),)
    slips[0] = slip(300_000, 235_000)
    accrual, _ = postings(ruleset, "payroll_run", payroll_run(payslips=slips))
    assert book(accrual)[0] == ("6100", 500_000)


def test_a_run_that_states_net_and_cost_alone_takes_the_rest_from_its_payslips() -> None:
    """As Xero's do: what is withheld is gross less net, what the employer pays is the cost less gross."""
    parts = dict.fromkeys(
        ["gross", "employee_taxes", "deductions", "reimbursements", "employer_taxes", "employer_contributions"]
    )
    row = payroll_run(**parts, payslips=[slip(300_000, 235_000), slip(200_000, 150_000)])
    accrual, _ = postings(STARTER, "payroll_run", row)
    assert book(accrual) == [
        ("6100", 500_000),
        ("2220", -115_000),
        ("2310", -385_000),
        ("6110", 75_000),
        ("2220", -75_000),
    ]
    found = unmapped(STARTER, "payroll_run", payroll_run(**parts))
    assert (found.code, "no gross" in found.message) == (UnmappedCode.MISSING_FIELD, True)


def test_no_ones_name_gets_into_a_posting_or_a_message() -> None:
    """Not of who is paid, and not of whom a bank's line names."""
    row = payroll_run(payslips=[slip(500_000, 385_000, "Sales")])
    for changes in ({}, {"net": 1}, {"gross": 1}, {"source_status": "?"}, {"currency": "EUR"}, {"pay_date": None}):
        for kind, each in (("payroll_run", row), ("bank_transaction", transaction(5))):
            found = repr(mapped(STARTER, kind, each | changes))
            assert "Quince" not in found
            assert "e-77" not in found


@pytest.mark.parametrize("changes", [{"status": "PENDING"}, {"provisional": True}])
def test_a_bank_line_that_is_not_final_posts_nothing(changes: dict[str, Any]) -> None:
    assert mapped(STARTER, "bank_transaction", transaction(5, **changes)) == ()


def test_an_account_of_the_bank_that_no_one_named_waits_for_a_person() -> None:
    found = unmapped(STARTER, "bank_transaction", transaction(5, account="GB1"))
    assert found.code == UnmappedCode.NO_TABLE_ENTRY
    assert found.hint == 'State "GB1" = "…", or a default, under [tables.bank_accounts] of acme.toml.'


def test_an_account_of_the_starter_rules_that_no_one_named_waits_for_a_person() -> None:
    found = unmapped(rules('extends = "starter"\n'), "invoice", invoice())
    assert found.code == UnmappedCode.UNKNOWN_ACCOUNT_NAME
    assert found.message == "the rules call for the account receivable, which own.toml does not state"
    assert found.hint == 'State receivable = "…" with a code of the ledger under [accounts] of own.toml.'


@pytest.mark.parametrize(("kind", "row"), [("invoice", invoice()), ("bank_transaction", transaction(5))])
def test_a_ledger_without_rules_of_its_own_is_told_to_have_some(kind: str, row: dict[str, Any]) -> None:
    """Nobody can state a name in the built-in rules."""
    found = unmapped(load('extends = "starter"', STARTER_NAME), kind, row)
    assert found.hint is not None
    assert f"{STARTER_NAME}." not in found.message + found.hint
    assert 'of a file that begins with extends = "starter"' in found.hint
    assert "`ledgergraph map --ledger CODE --file FILE`" in found.hint


def test_nobody_is_told_to_change_a_built_in_rule() -> None:
    missing = unmapped(STARTER, "invoice", invoice(issue_date=None))
    assert missing.hint is not None
    assert "state in a rule of your own, in place of the built-in one (starter.toml:" in missing.hint
    huge = unmapped(STARTER, "invoice", invoice(line(10**16)))
    assert huge.code == UnmappedCode.EXPRESSION_FAILED
    assert huge.hint is not None
    assert "put a rule of your own in place of the built-in one (starter.toml:" in huge.hint


def test_a_name_that_no_rule_uses_is_told_beside_the_built_in_rules() -> None:
    """Rules that were stored once stay usable: a later program does not stop the books."""
    text = 'extends = "starter"\n[accounts]\nrevenu = "4000"\n'
    with pytest.raises(InvalidRules, match="no rule uses revenu: is revenue meant"):
        load(text)
    assert load(text, starter=starter_text()).name == "rules.toml"


# ---------------------------------------------------------------- figures that disagree


@pytest.mark.parametrize(
    ("kind", "row", "identity"),
    [
        ("invoice", invoice(total=1), "total = subtotal + tax + rounding is off by -99.99 USD (0.01 against 100.00)"),
        ("invoice", invoice(line(5), subtotal=4), "subtotal = sum of the lines' amounts is off by -0.01 USD"),
        ("invoice", invoice(line(5), taxes=[tax(2)], tax=3), "tax = sum of the taxes' amounts is off by 0.01 USD"),
        ("payroll_run", payroll_run(net=384_000), "net = gross - employee taxes - deductions + reimbursements is off by -10.00"),
        ("payroll_run", payroll_run(total_cost=1), "total cost = gross + employer taxes + employer contributions"),
        ("payroll_run", payroll_run(payslips=[slip(500_000, 1)]), "net = sum of the payslips' net"),
        ("payroll_run", payroll_run(payslips=[slip(1, 385_000)]), "gross = sum of the payslips' gross"),
        (
            "payroll_run",
            payroll_run(payslips=[slip(500_000, 385_000, employee_taxes=1, deductions=0)]),
            "net = gross - employee taxes - deductions + reimbursements of the payslip slip-9 is off by -1149.99 USD",
        ),
        ("payment", payment("PAYMENT", 100, fee=3, net=98), "net = amount - fee is off by 0.01 USD"),
    ],
)  # fmt: skip
def test_figures_that_disagree_name_the_identity(kind: str, row: dict[str, Any], identity: str) -> None:
    found = unmapped(STARTER, kind, row)
    assert found.code == UnmappedCode.DISAGREEING_FIGURES
    assert identity in found.message


# ---------------------------------------------------------------- what the rules can speak of


@pytest.mark.parametrize("kind", KINDS)
def test_the_names_of_documents_are_columns_of_the_mirror(kind: str) -> None:
    derived = {"party", "departments", "withheld", "employer_costs"}
    derived |= {
        "settles",
        "settled",
        "line_tax",
        "parent",
        "returned",
        "carried",
        "fee_tax",
        "allocations",
        "allocated",
    }
    columns = {column.name for column in tables.METADATA.tables[f"mirror.{kind}"].columns}
    assert NAMES[kind] - derived <= columns
    assert set(ITEMS[kind]) <= NAMES[kind]
