"""What an accountant looks for in the built-in rules: taxes, fees, write-offs, disputes, and accounts by what is sold or bought."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from sources.mapping.model import InvalidRules, MappedPosting, UnmappedCode
from sources.mapping.rates import Rates
from tests.sources.mapping.kit import (
    DAY,
    book,
    functional,
    invoice,
    line,
    payment,
    postings,
    prove,
    rule,
    spot,
    starter,
    tax,
    transaction,
    unmapped,
)

STARTER = starter()
TAXES = '[tables.sales_tax]\n"7" = "2215"\neu19 = "2217"\n[tables.purchase_tax]\n"7" = "1607"\n'


def only(*arguments: Any, **more: Any) -> MappedPosting:
    (found,) = postings(*arguments, **more)
    prove(found)
    return found


# ---------------------------------------------------------------- taxes


def test_each_tax_goes_to_the_account_of_its_code_else_of_its_rate() -> None:
    row = invoice(
        line(10_000),
        taxes=[tax(1_900, code="eu19", rate="7"), tax(70, code="odd", rate="7"), tax(5, code="odd", rate="5")],
    )
    assert book(only(starter(TAXES), "invoice", row))[2:] == [("2217", -1_900), ("2215", -70), ("2210", -5)]


@pytest.mark.parametrize(("kind", "sign"), [("INVOICE", 1), ("CREDIT_NOTE", -1)])
def test_taxes_stated_by_line_alone_go_by_the_lines_codes(kind: str, sign: int) -> None:
    lines = [line(10_000, tax=1_900, tax_code="eu19"), line(1_000, tax=70, tax_code="7"), line(500)]
    found = only(starter(TAXES), "invoice", invoice(*lines, tax=1_970, kind=kind))
    assert book(found)[4:] == [("2217", -1_900 * sign), ("2215", -70 * sign)]
    assert found.lines[4].tax_code == "eu19"
    bill = only(starter(TAXES), "invoice", invoice(*lines, tax=1_970, kind=kind, direction="PAYABLE"))
    assert book(bill)[4:] == [("1600", 1_900 * sign), ("1607", 70 * sign)]


def test_lines_that_do_not_state_all_of_the_tax_state_none_of_it() -> None:
    row = invoice(line(10_000, tax=1_800, tax_code="eu19"), tax=1_900)
    assert book(only(starter(TAXES), "invoice", row))[2:] == [("2210", -1_900)]


@pytest.mark.parametrize("direction", ["RECEIVABLE", "PAYABLE"])
def test_a_credit_note_of_several_rates_with_a_discount_and_a_rounding(direction: str) -> None:
    """Each line and tax the other way round, and the cent that the document itself rounds off."""
    row = invoice(
        line(10_000, description="Seats"),
        line(-1_500, description="Discount"),
        taxes=[tax(1_615, rate="19"), tax(7, rate="7")],
        rounding=1,
        kind="CREDIT_NOTE",
        direction=direction,
    )
    found = only(starter(TAXES), "invoice", row)
    (turned,) = postings(starter(TAXES), "invoice", row | {"kind": "INVOICE"})
    assert book(found) == [(account, -amount) for account, amount in book(turned)]
    assert sum(amount for account, amount in book(found) if account in ("4100", "5100")) in (8_500, -8_500)
    assert book(found)[-1] == ("7400", 1 if direction == "RECEIVABLE" else -1)


REVERSED = '[settings.reverse_charge]\nRC19 = "19"\nRC7 = 7\n[tables.reverse_charge_output]\nRC19 = "2219"\n'


@pytest.mark.parametrize(("kind", "sign"), [("INVOICE", 1), ("CREDIT_NOTE", -1)])
def test_tax_that_the_receiver_owes_is_posted_on_both_sides(kind: str, sign: int) -> None:
    """The supplier gets what the bill says; what we owe the state we deduct."""
    taxes = [tax(0, code="RC19", taxable=10_000), tax(0, code="RC7", taxable=150), tax(19, code="home", taxable=100)]
    row = invoice(line(10_250), taxes=taxes, direction="PAYABLE", kind=kind)
    bill, charged = postings(starter(REVERSED), "invoice", row)
    prove(charged)
    assert book(bill)[0] == ("2110", -10_269 * sign)
    assert (charged.name, book(charged)) == (
        "reverse-charge",
        [("1600", 1_900 * sign), ("1600", 10 * sign), ("2219", -1_900 * sign), ("2210", -10 * sign)],
    )
    assert [each.tax_code for each in charged.lines] == ["RC19", "RC7"] * 2
    assert len(postings(STARTER, "invoice", row)) == 1


def test_a_code_of_reverse_charge_on_a_line_will_do() -> None:
    """Of a source that states codes by line, and no tax where none is charged."""
    row = invoice(line(10_000, tax=0, tax_code="RC19"), line(300, tax_code="none"), direction="PAYABLE")
    _, charged = postings(starter(REVERSED), "invoice", row)
    assert book(charged) == [("1600", 1_900), ("2219", -1_900)]


def test_reverse_charge_needs_the_amount_that_is_taxed() -> None:
    found = unmapped(starter(REVERSED), "invoice", invoice(taxes=[tax(0, code="RC19")], direction="PAYABLE"))
    assert (found.code, "a field is empty" in found.message) == (UnmappedCode.EXPRESSION_FAILED, True)


# ---------------------------------------------------------------- accounts by what is sold or bought


def test_lines_go_by_the_sources_account_else_by_product() -> None:
    ruleset = starter('[tables.revenue_accounts]\n"4.1" = "4400"\nprod_a = "4110"\n')
    lines = [
        line(1, account="4.1", product="prod_a"),
        line(2, account="9", product="prod_a"),
        line(3, product="b"),
        line(4),
    ]
    assert book(only(ruleset, "invoice", invoice(*lines)))[1:] == [
        ("4400", -1),
        ("4110", -2),
        ("4100", -3),
        ("4100", -4),
    ]


def test_bills_go_by_vendor_where_nothing_else_is_known() -> None:
    ruleset = starter('[tables.expense_accounts]\nprod_a = "5110"\ncus_1 = "5300"\n')
    row = invoice(line(1, product="prod_a"), line(2), direction="PAYABLE")
    assert book(only(ruleset, "invoice", row))[1:] == [("5110", 1), ("5300", 2)]


# ---------------------------------------------------------------- what is given up, and what is paid elsewhere


def test_the_tax_of_what_is_written_off_comes_back_where_the_rules_say_so() -> None:
    """In proportion to what is left unpaid. By default all of it is a loss."""
    row = invoice(
        line(10_000), taxes=[tax(1_900, rate="19"), tax(100, rate="7")], status="UNCOLLECTIBLE", amount_due=6_000
    )
    ruleset = starter("[settings]\nwrite_off_reverses_tax = true\n" + TAXES)
    _, written = postings(ruleset, "invoice", row)
    prove(written)
    assert book(written) == [
        ("6900", 6_000),
        ("1210", -6_000),
        ("2210", 950),
        ("2215", 50),
        ("6900", -950),
        ("6900", -50),
    ]
    _, written = postings(ruleset, "invoice", row | {"taxes": None, "amount_due": 3})
    assert book(written) == [("6900", 3), ("1210", -3)]
    _, written = postings(ruleset, "invoice", row | {"taxes": None})
    assert book(written)[2:] == [("2210", 1_000), ("6900", -1_000)]
    _, written = postings(starter(TAXES), "invoice", row)
    assert book(written) == [("6900", 6_000), ("1210", -6_000)]


def test_what_was_paid_past_the_processor_settles_the_invoice() -> None:
    row = invoice(status="PAID", amount_due=0, paid_elsewhere=10_000, paid_elsewhere_on=date(2026, 4, 1))
    _, paid = postings(STARTER, "invoice", row)
    prove(paid)
    assert (paid.name, paid.effective_date, book(paid)) == (
        "paid-elsewhere",
        date(2026, 4, 1),
        [("1170", 10_000), ("1210", -10_000)],
    )


# ---------------------------------------------------------------- fees


def details(fee: int, part: int) -> dict[str, Any]:
    parts = [{"amount": fee - part, "type": "stripe_fee"}, {"amount": part, "type": "tax"}]
    return {"balance_transaction": {"fee_details": parts}}


def test_tax_in_a_processors_fee_is_input_tax() -> None:
    row = payment("PAYMENT", 10_000, fee=119, net=9_881, raw=details(119, 19))
    assert book(only(STARTER, "payment", row)) == [
        ("1140", 10_000),
        ("1210", -10_000),
        ("5400", 100),
        ("1600", 19),
        ("1140", -119),
    ]
    ruleset = starter('[tables.fee_tax]\nbilling = "5400"\n')
    assert ("5400", 19) in book(only(ruleset, "payment", row))


def test_tax_of_fees_that_is_charged_by_itself_is_input_tax() -> None:
    row = payment("FEE", -190, fee=0, net=-190, raw={"reporting_category": "tax"})
    assert book(only(STARTER, "payment", row)) == [("1140", -190), ("1600", 190)]
    dispute = payment(
        "DISPUTE",
        -500,
        fee=1_785,
        net=-2_285,
        raw={"balance_transactions": [details(1_785, 285)["balance_transaction"]]},
    )
    assert book(only(STARTER, "payment", dispute))[2:] == [("5400", 1_500), ("1600", 285), ("1140", -1_785)]


def test_a_tax_that_is_no_whole_number_of_minor_units_is_left_in_the_fee() -> None:
    """Króna have no minor unit in ISO 4217, and two decimals at Stripe."""
    row = payment("PAYMENT", 1_000, fee=7, net=993, currency="ISK", raw=details(700, 133))
    assert book(postings(STARTER, "payment", row, functional="ISK")[0])[2:] == [("5400", 7), ("1140", -7)]
    row |= {"raw": details(700, 100)}
    assert book(postings(STARTER, "payment", row, functional="ISK")[0])[2:] == [("5400", 6), ("1600", 1), ("1140", -7)]


# ---------------------------------------------------------------- disputes and other currencies

LATER = DAY + timedelta(days=30)
RATES = Rates([spot("EUR", "USD", "1.10"), spot("EUR", "USD", "1.20", LATER)])


def test_a_lost_dispute_becomes_a_loss() -> None:
    taken, lost = postings(STARTER, "payment", payment("DISPUTE", -1_000, source_status="lost"))
    prove(lost)
    assert book(taken) == [("1140", -1_000), ("1150", 1_000)]
    assert (lost.name, lost.effective_date, book(lost)) == ("loss", DAY, [("5410", 1_000), ("1150", -1_000)])


def test_what_came_back_of_a_lost_dispute_is_not_lost() -> None:
    row = payment("DISPUTE", -1_000, source_status="lost", exchange={"returned": 300})
    assert book(postings(STARTER, "payment", row)[1]) == [("5410", 700), ("1150", -700)]
    later = payment(
        "DISPUTE", 300, source_status="lost", exchange={"parent": {"type": "DISPUTE", "occurred_on": "2026-01-15"}}
    )
    assert len(postings(STARTER, "payment", later)) == 1


def test_what_comes_back_of_a_dispute_leaves_it_at_the_rate_that_it_came_in_by() -> None:
    parent = {"type": "DISPUTE", "occurred_on": DAY.isoformat(), "before": 0}
    row = payment("DISPUTE", 1_000, currency="EUR", occurred_on=LATER, exchange={"parent": parent})
    assert functional(only(STARTER, "payment", row, RATES)) == [("1140", 1_200), ("1150", -1_100), ("4800", -100)]


def test_parts_of_a_settlement_convert_to_what_the_whole_did() -> None:
    """Three payments of a cent, a receivable of three: 3 at 1.50 are 4.5, and the parts 2 each."""
    rates = Rates([spot("EUR", "USD", "1.5")])
    whole = functional(only(STARTER, "invoice", invoice(line(3), currency="EUR"), rates))[0][1]
    parts = [
        payment("PAYMENT", 1, currency="EUR", settles={"issue_date": DAY}, exchange={"before": before})
        for before in range(3)
    ]
    found = [only(STARTER, "payment", row, rates) for row in parts]
    assert -sum(amount for each in found for account, amount in functional(each) if account == "1210") == whole == 4
    assert [account for each in found for account, _ in functional(each)].count("7400") == 2  # a rounding, no gain


def test_a_credit_note_takes_revenue_back_at_the_rate_of_its_invoice() -> None:
    settles = {"issue_date": DAY.isoformat(), "currency": "EUR", "before": 0}
    row = invoice(kind="CREDIT_NOTE", status="PAID", currency="EUR", issue_date=LATER, exchange={"settles": settles})
    found = only(STARTER, "invoice", row, RATES)
    assert (found.effective_date, functional(found)) == (LATER, [("1210", -11_000), ("4100", 11_000)])


def test_a_payout_leaves_clearing_by_what_came_in() -> None:
    """100 EUR at 1.10 less a fee of 3 came in; 97 EUR go out at 1.20. Of what is not known the day's rate counts."""
    carried = [{"amount": -10_000, "on": DAY.isoformat()}, {"amount": 300, "on": DAY.isoformat()}]
    row = payment("PAYOUT", -9_700, currency="EUR", occurred_on=LATER, exchange={"carried": carried})
    assert functional(only(STARTER, "payment", row, RATES)) == [("1140", -10_670), ("1199", 11_640), ("4800", -970)]
    row |= {"amount": -9_800}
    assert functional(only(STARTER, "payment", row, RATES))[0] == ("1140", -10_790)


# ---------------------------------------------------------------- banks


def test_what_goes_from_one_bank_to_another_is_booked_once() -> None:
    """Both banks state it, and a payout is stated by the processor and by the bank: clearing is empty then."""
    ruleset = starter("DE2 = '1111'\n")
    rows = [
        ("bank_transaction", transaction(-5_000)),
        ("bank_transaction", transaction(5_000, account="DE2")),
        ("payment", payment("PAYOUT", -700)),
        ("bank_transaction", transaction(700, account="DE2")),
    ]
    totals: dict[str, int] = {}
    for kind, row in rows:
        for account, amount in book(only(ruleset, kind, row)):
            totals[account] = totals.get(account, 0) + amount
    assert totals == {"1110": -5_000, "1111": 5_700, "1199": 0, "1140": -700}


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("write_off_reverses_tax = 1", "must be true or false"),
        ("reverse_charge = 'x'", "must be a table"),
        ("reverse_charges = {}", "reverse_charges is not known: is reverse_charge meant?; no rule uses"),
        ("reverse_charge = { x = 1.5 }", "must be a text, a whole number, true or false, or a table of such"),
    ],
)
def test_a_setting_that_no_rule_can_use_is_told(text: str, fault: str) -> None:
    with pytest.raises(InvalidRules) as found:
        starter(f"[settings]\n{text}\n")
    assert fault in str(found.value)


def test_own_rules_have_settings_of_their_own() -> None:
    top = "[settings]\nshares = { a = 30 }\n"
    lines = (
        '{ account = "10", debit = "lookup(settings.shares, number)" }, '
        '{ account = "20", credit = "lookup(settings.shares, number) or 0" }'
    )
    assert book(postings(rule(lines, top=top), "invoice", invoice(number="a"))[0]) == [("10", 30), ("20", -30)]
    assert unmapped(rule(lines, top=top), "invoice", invoice(number="b")).code == UnmappedCode.MISSING_FIELD


@pytest.mark.parametrize(
    ("line_", "posting", "fault"),
    [
        (
            '{ debit = "1", rate_on = "issue_date", before = "1", split = [{ share = 1, account = "1" }] }',
            "",
            "takes no split",
        ),
        ('{ account = "1", debit = "1", before = "1" }', "", "before needs rate_on"),
        (
            '{ account = "1", debit = "1", rate_on = "issue_date", before = "1" }',
            'spread = { from = "issue_date", to = "issue_date", every = "month" }',
            "take no before and no carried",
        ),
    ],
)
def test_what_is_taken_out_in_part_is_one_amount_on_one_account(line_: str, posting: str, fault: str) -> None:
    with pytest.raises(InvalidRules) as found:
        rule(line_, posting=posting)
    assert fault in str(found.value)
