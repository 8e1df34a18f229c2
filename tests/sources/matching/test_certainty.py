"""What is certain of awkward payments, and for each of these rules what speaks against it and makes a proposal of it."""

from __future__ import annotations

from datetime import date

import pytest

from sources.documents import Party
from sources.matching import record, referring
from sources.money import EXPONENTS
from tests.sources.matching.trade import Trade, bill, credit_note, invoice, money
from tests.sources.pipeline.company import changed


async def is_certain(trade: Trade, *parts: tuple[str, str, int], transaction: str = "t1") -> None:
    assert (await trade.live()).get(transaction) == parts
    await trade.is_sound()


async def waits(trade: Trade, transaction: str = "t1") -> list[tuple[tuple[str, str, int], ...]]:
    """What is proposed for a transaction that is not matched by itself."""
    assert transaction not in await trade.live()
    await trade.is_sound()
    return (await trade.proposed()).get(transaction, [])


async def codes(trade: Trade, transaction: str = "t1") -> set[str]:
    rows = await trade.company.owner.fetch(
        "SELECT jsonb_array_elements(reasons) ->> 'code' FROM matching.match WHERE external_id = $1 AND status = 'PROPOSED'",
        transaction,
    )
    return {row[0] for row in rows}


# ---------------------------------------------------------------- short numbers


async def test_a_short_number_counts_with_its_party(trade: Trade) -> None:
    await trade.invoiced(invoice("1042", 49_00), invoice("1043", 49_00, "Hooli Inc"))
    await trade.moved(money("t1", 49_00, "Invoice 1042"))
    await is_certain(trade, ("invoice", "1042", 49_00))


@pytest.mark.parametrize(
    ("text", "name"),
    [("Invoice 1042", "HOOLI"), ("Invoice 1043", "GLOBEX"), ("1042 pieces", "somebody else")],
)
async def test_a_short_number_is_not_certain_where_another_document_would_do(
    trade: Trade, text: str, name: str
) -> None:
    await trade.invoiced(invoice("1042", 49_00), invoice("1043", 49_00, "Hooli Inc"))
    await trade.moved(money("t1", 49_00, text, name=name))
    assert await waits(trade)


async def test_three_figures_from_nobody_known_are_not_certain(trade: Trade) -> None:
    await trade.invoiced(invoice("104", 49_00))
    await trade.moved(money("t1", 49_00, "104 pieces", name="somebody else"))
    assert await waits(trade) == [(("invoice", "104", 49_00),)]


async def test_a_short_number_from_who_resembles_another_party_is_not_certain(trade: Trade) -> None:
    await trade.invoiced(invoice("1042", 49_00), invoice("INV-2026-04567", 70_00, "Hooli North Inc"))
    await trade.moved(money("t1", 49_00, "1042 4567", name="Hooli"))
    await waits(trade)


async def test_letters_and_two_digits_count_with_their_party(trade: Trade) -> None:
    await trade.invoiced(bill("S-77", 100_00), bill("S-78", 120_00))
    await trade.moved(money("t1", -100_00, "invoice S 77", name="Initech"))
    await is_certain(trade, ("invoice", "s-77", -100_00))


async def test_a_part_of_a_bill_with_a_number_of_two_digits(trade: Trade) -> None:
    await trade.invoiced(bill("T-88", 1_785_00, "Tau SpA"))
    await trade.moved(money("t1", -1_000_00, "T-88 first instalment", name="Tau SpA"))
    await is_certain(trade, ("invoice", "t-88", -1_000_00))
    assert (await trade.open())["t-88"] == -785_00


@pytest.mark.parametrize(
    ("text", "name", "paid"),
    [
        ("S-77", "Initech", 60_00),
        ("S-77", "Initech Trading", 100_00),
        ("S-778", "Initech", 100_00),
        ("S-77", None, 100_00),
        ("S-77", "Initech", 120_00),
        ("S-77 7 pieces", "Hooli", 100_00),
    ],
)
async def test_two_digits_alone_are_not_certain(trade: Trade, text: str, name: str | None, paid: int) -> None:
    """A part without a word for it, a name that only resembles, another number, nobody known, another one's amount, another party."""
    await trade.invoiced(bill("S-77", 100_00), bill("S-78", 120_00), bill("H-1", 7_00, "Hooli Inc"))
    await trade.moved(money("t1", -paid, text, name=name))
    found = await waits(trade)
    assert bool(found) is (name != "Hooli")


# ---------------------------------------------------------------- the last digits


async def test_the_last_digits_count_with_the_party_and_an_amount_that_no_other_has(trade: Trade) -> None:
    await trade.invoiced(bill("R-88776655", 80_00), bill("R-88776656", 81_00))
    await trade.moved(money("t1", -80_00, "bill 6655", name="Initech"))
    await is_certain(trade, ("invoice", "r-88776655", -80_00))


@pytest.mark.parametrize(
    ("text", "name", "other"),
    [("bill 6655", "Initech", 80_00), ("bill 6655", None, 81_00), ("bill 655", "Initech", 81_00)],
)
async def test_the_last_digits_alone_are_not_certain(trade: Trade, text: str, name: str | None, other: int) -> None:
    """Another one of this amount; nobody knows who pays; too few."""
    await trade.invoiced(bill("R-88776655", 80_00), bill("R-88776656", other))
    await trade.moved(money("t1", -80_00, text, name=name))
    assert await waits(trade)


async def test_a_year_is_not_the_last_digits(trade: Trade) -> None:
    await trade.invoiced(bill("R-88772026", 80_00))
    await trade.moved(money("t1", -80_00, "March 2026", name="Initech"))
    assert await waits(trade) == [(("invoice", "r-88772026", -80_00),)]


# ---------------------------------------------------------------- too much, too little


async def test_a_little_too_much_stays_with_the_party(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 100_00))
    await trade.moved(money("t1", 105_00, "INV-10001"))
    await is_certain(trade, ("invoice", "inv-10001", 100_00), ("on_account", "", 5_00))
    assert await trade.net("receivable") == -5_00


@pytest.mark.parametrize(
    ("paid", "text", "name"),
    [
        (105_00, "INV-10001", "Hooli"),
        (105_00, "INV-10001", None),
        (130_00, "INV-10001", "GLOBEX"),
        (160_00, "INV-10001", "GLOBEX"),
        (105_00, "INV-10001 and deposit", "GLOBEX"),
    ],
)
async def test_too_much_waits_where_it_may_be_for_something_else(
    trade: Trade, paid: int, text: str, name: str | None
) -> None:
    """Another party, nobody known, just what is open of another document, more than half, a word for it."""
    await trade.invoiced(invoice("INV-10001", 100_00), invoice("INV-10002", 30_00), invoice("H-1", 7_00, "Hooli Inc"))
    await trade.moved(money("t1", paid, text, name=name))
    assert bool(await waits(trade)) is (name != "Hooli"), "another party's name makes it too unlikely to be proposed"


async def test_too_much_for_what_is_named_waits_where_it_is_just_what_is_open_of_another(trade: Trade) -> None:
    """The number may be wrong, and the amount right."""
    await trade.invoiced(invoice("INV-10001", 100_00), invoice("INV-10002", 105_00))
    await trade.moved(money("t1", 105_00, "INV-10001"))
    found = await waits(trade)
    assert (("invoice", "inv-10002", 105_00),) in found
    assert (("invoice", "inv-10001", 100_00), ("on_account", "", 5_00)) in found


async def test_more_that_went_out_may_be_what_the_bank_took(trade: Trade) -> None:
    await trade.invoiced(bill("R-887766", 80_00))
    await trade.moved(money("t1", -83_00, "R-887766", name="Initech"))
    assert await waits(trade)


@pytest.mark.parametrize("percent", [2, 3])
async def test_a_cash_discount_is_proposed_and_never_certain(trade: Trade, percent: int) -> None:
    await trade.invoiced(invoice("INV-10001", 1_000_00))
    paid = 1_000_00 - percent * 10_00
    await trade.moved(money("t1", paid, f"INV-10001 less {percent}%"))
    assert (("invoice", "inv-10001", 1_000_00), ("write_off", "", paid - 1_000_00)) in await waits(trade)
    assert "AMOUNT_LESS_DISCOUNT" in await codes(trade)


def test_a_discount_is_of_a_usual_percentage() -> None:
    assert referring.discount(1_000_00, 980_00) == "2"
    assert referring.discount(333_33, 323_33) == "3"
    assert referring.discount(1_000_00, 975_00) == "2.5"
    assert referring.discount(1_000_00, 1_000_00) is None
    assert referring.discount(1_000_00, 983_00) is None
    assert referring.discount(1_000_00, 1_020_00) is None


async def test_a_credit_note_taken_off_counts_where_the_text_says_so(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 100_00), credit_note("CN-10002", 30_00))
    await trade.moved(money("t1", 70_00, "INV-10001 less credit"))
    await is_certain(trade, ("invoice", "inv-10001", 100_00), ("invoice", "cn-10002", -30_00))


async def test_of_two_credit_notes_that_would_do_none_is_certain(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 100_00), credit_note("CN-10002", 30_00), credit_note("CN-10003", 30_00))
    await trade.moved(money("t1", 70_00, "INV-10001 less credit"))
    assert await waits(trade)


# ---------------------------------------------------------------- money that came back with a fee


async def test_a_return_whose_fee_the_bank_states_takes_back_what_was_paid(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 49_00))
    await trade.moved(money("t1", 49_00, "INV-10001"))
    await trade.moved(money("t2", -52_00, "RETURN INV-10001 incl. fee EUR 3.00", day=date(2026, 3, 17)))
    await is_certain(trade, ("invoice", "inv-10001", -49_00), ("fee", "", -3_00), transaction="t2")
    assert (await trade.net("receivable"), await trade.net("bank_fees")) == (49_00, 3_00)


@pytest.mark.parametrize("text", ["RETURN INV-10001", "RETURN INV-10001 fee EUR 13.00", "RETURN INV-10001 fee EUR 3"])
async def test_a_return_whose_fee_nobody_states_waits(trade: Trade, text: str) -> None:
    await trade.invoiced(invoice("INV-10001", 49_00))
    await trade.moved(money("t1", 49_00, "INV-10001"))
    await trade.moved(money("t2", -52_00, text, day=date(2026, 3, 17)))
    assert await waits(trade, "t2")


async def test_a_return_of_one_of_several_with_the_same_reference_waits(trade: Trade) -> None:
    """A mandate's number is in every payment of a customer."""
    await trade.moved(
        *(money(f"m{month}", 49_00, "mandate MD-778899", day=date(2026, month, 2)) for month in (1, 2, 3))
    )
    await trade.moved(money("t2", -52_00, "RETURN MD-778899 fee EUR 3.00", day=date(2026, 3, 17)))
    await waits(trade, "t2")


async def test_a_reference_that_very_many_share_says_nothing(trade: Trade) -> None:
    """However few of these are of the days in question."""
    old = [money(f"m{at}", 49_00, "mandate MD-778899", day=date(2024, 1, 1 + at)) for at in range(25)]
    await trade.moved(*old, money("m99", 49_00, "mandate MD-778899", day=date(2026, 3, 2)))
    await trade.moved(money("t2", -52_00, "RETURN MD-778899 fee EUR 3.00", day=date(2026, 3, 17)))
    await waits(trade, "t2")


# ---------------------------------------------------------------- who else names it


async def test_what_another_transaction_that_waits_names_with_the_same_amount_is_not_certain(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 49_00), invoice("H-20002", 7_00, "Hooli Inc"))
    await trade.moved(money("t1", 49_00, "INV-10001", name="Hooli"))
    assert await waits(trade) == [(("invoice", "inv-10001", 49_00),)]
    await trade.moved(money("t2", 49_00, "INV-10001", day=date(2026, 3, 20)))
    assert await waits(trade, "t2") == [(("invoice", "inv-10001", 49_00),)]
    assert "CLAIMED" in await codes(trade, "t2")


async def test_another_amount_is_no_claim(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 49_00), invoice("H-20002", 7_00, "Hooli Inc"))
    await trade.moved(money("t1", 20_00, "INV-10001", name="Hooli"))
    await trade.moved(money("t2", 49_00, "INV-10001", day=date(2026, 3, 20)))
    await is_certain(trade, ("invoice", "inv-10001", 49_00), transaction="t2")


# ---------------------------------------------------------------- the customer's number, and what the bank says


async def test_the_number_of_the_customer_counts_as_the_party(trade: Trade) -> None:
    customer = Party(name="Globex GmbH", external_id="771234")
    await trade.invoiced(changed(invoice("INV-2026-00042", 49_00), party=customer))
    await trade.moved(money("t1", 49_00, "customer 771234 invoice 00042", name=None))
    await is_certain(trade, ("invoice", "inv-2026-00042", 49_00))


# ---------------------------------------------------------------- what the bank says that it kept


def entry(*, charges: str = "", ordered: str = "") -> dict[str, str]:
    return {"xml": f"<Ntry>{ordered}<Chrgs>{charges}</Chrgs></Ntry>"}


KEPT = '<Rcrd><Amt Ccy="EUR">15.00</Amt><CdtDbtInd>DBIT</CdtDbtInd></Rcrd>'


async def test_charges_of_an_entry_are_what_the_bank_kept(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 1_100_00))
    await trade.moved(money("t1", 1_085_00, "INV-10001", raw=entry(charges=KEPT)))
    await is_certain(trade, ("invoice", "inv-10001", 1_100_00), ("fee", "", -15_00))
    assert await trade.net("bank_fees") == 15_00


async def test_charges_of_one_transfer_for_many_invoices(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 700_00), invoice("INV-10002", 400_00))
    await trade.moved(money("t1", 1_085_00, "INV-10001, INV-10002", raw=entry(charges=KEPT)))
    await is_certain(trade, ("invoice", "inv-10001", 700_00), ("invoice", "inv-10002", 400_00), ("fee", "", -15_00))


async def test_charges_on_top_of_a_bill(trade: Trade) -> None:
    await trade.invoiced(bill("R-887766", 80_00))
    await trade.moved(money("t1", -95_00, "R-887766", name="Initech", raw=entry(charges=KEPT)))
    await is_certain(trade, ("invoice", "r-887766", -80_00), ("fee", "", -15_00))
    assert (await trade.net("bank_fees"), await trade.net("payable")) == (15_00, 0)


async def test_what_was_ordered_in_the_same_currency_says_what_the_banks_kept(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 1_100_00))
    ordered = '<AmtDtls><InstdAmt><Amt Ccy="EUR">1100.00</Amt></InstdAmt></AmtDtls>'
    await trade.moved(money("t1", 1_085_00, "INV-10001", raw=entry(ordered=ordered)))
    await is_certain(trade, ("invoice", "inv-10001", 1_100_00), ("fee", "", -15_00))


@pytest.mark.parametrize(
    "charges", [KEPT.replace("EUR", "USD"), KEPT.replace("15.00", "14.00"), KEPT.replace("DBIT", "CRDT"), KEPT * 2]
)
async def test_other_charges_than_what_is_missing_say_nothing(trade: Trade, charges: str) -> None:
    await trade.invoiced(invoice("INV-10001", 1_100_00))
    await trade.moved(money("t1", 1_085_00, "INV-10001", raw=entry(charges=charges)))
    assert await waits(trade)
    assert "AMOUNT_LESS_FEE" in await codes(trade)


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("<Chrgs><TtlChrgsAndTaxAmt Ccy='EUR'>2.50</TtlChrgsAndTaxAmt></Chrgs>", 2_50),
        ('<Chrgs><Amt Ccy="EUR">5</Amt></Chrgs>\n<Chrgs><Amt Ccy="EUR">2.5</Amt></Chrgs>', 7_50),
        (
            '<Chrgs><TtlChrgsAndTaxAmt Ccy="EUR">7.50</TtlChrgsAndTaxAmt><Rcrd><Amt Ccy="EUR">9</Amt></Rcrd></Chrgs>',
            7_50,
        ),
        ('<Chrgs><Rcrd><Amt Ccy="EUR">5</Amt><Tax><Amt Ccy="EUR">1</Amt></Tax></Rcrd></Chrgs>', 5_00),
        (
            '<n:Chrgs><n:Rcrd><n:Amt Ccy="EUR">5</n:Amt></n:Rcrd></n:Chrgs><a/><Chrgs><Amt Ccy="EUR">5.0</Amt></Chrgs>',
            5_00,
        ),
        ('<Chrgs><Amt Ccy="EUR">5</Amt></Chrgs><a/><Chrgs><Amt Ccy="EUR">6</Amt></Chrgs>', None),
        ("/CHGS/EUR2,50", 2_50),
        ("/CHGS/USD2,50", None),
        ("<Chrgs/>", None),
    ],
)
def test_charges_are_read_in_every_form(raw: str, kept: int | None) -> None:
    assert record.charges(raw, "EUR", EXPONENTS) == kept
