"""Whatever the documents and the transactions: nothing is allocated twice, and no match is more than its transaction."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.mapping.rates import Quote, Rates
from sources.matching import allocating, clues, record
from sources.matching.deciding import Around, decide
from sources.matching.model import Candidates, Item, ItemKey, Line, Rules, Side
from sources.matching.wages import Payslip, Run
from sources.money import EXPONENTS

DAY = date(2026, 3, 1)
NUMBERS = st.sampled_from(["INV-10001", "INV-10002", "INV-10020", "R-887766", "10003", "2026-7"])
PARTIES = st.sampled_from(["", "GLOBEX", "GLOBEX TRADING", "HOOLI"])
AMOUNTS = st.integers(-5_000, 5_000).filter(bool)


@st.composite
def items(draw: st.DrawFn) -> list[Item]:
    found = []
    for at in range(draw(st.integers(0, 8))):
        amount = draw(st.sampled_from([1_000, 2_500, -300, 4_900, -1_000]) | AMOUNTS)
        left = draw(st.sampled_from([amount, 0, amount // 2 or amount]))
        kind = draw(st.sampled_from(["invoice", "invoice", "invoice", "payment", "payroll_run"]))
        side = Side.RECEIVABLE if kind == "invoice" else Side.CLEARING
        number = draw(NUMBERS) if kind != "payroll_run" else None
        due = draw(st.sampled_from([0, left]))
        key = ItemKey(kind, "s", "", str(at))
        keys = frozenset(clues.keys_of_number(number))
        currency = draw(st.sampled_from(["EUR", "EUR", "USD"]))
        dated = DAY + timedelta(days=draw(st.integers(0, 20)))
        found.append(Item(key, side, currency, amount, left, due, dated, number=number, party=draw(PARTIES), keys=keys))
    return found


@st.composite
def lines(draw: st.DrawFn) -> list[Line]:
    found = []
    for at in range(draw(st.integers(1, 6))):
        amount = draw(st.sampled_from([1_000, 2_000, 4_900, -1_000]) | AMOUNTS)
        text = " ".join(draw(st.lists(NUMBERS | st.sampled_from(["RETURN", "SALARY", "part"]), max_size=3)))
        party = draw(PARTIES)
        dated = DAY + timedelta(days=draw(st.integers(0, 30)))
        key = ItemKey("bank_transaction", "bank", draw(st.sampled_from(["A", "B"])), str(at))
        found.append(
            Line(
                key, "EUR", amount, amount, dated, clues.plain(text), party, None, frozenset(clues.keys_of_text(text)),
                name_is_known=draw(st.booleans()), is_return="RETURN" in text, charges=draw(st.sampled_from([None, 100])),
            )
        )  # fmt: skip
    return found


def around(documents: list[Item]) -> Around:
    """Payslips of every amount in the air, payments all made together, and a rate."""
    runs = [Run(item.key, given=True) for item in documents if item.key.kind == "payroll_run"]
    for run in runs:
        run.payslips += [Payslip(net, party) for net in (1_000, 2_000) for party in ("GLOBEX", "HOOLI")]
    together = [item.key for item in documents if item.key.kind == "payment"]
    quotes = [Quote("USD", "EUR", "spot", DAY + timedelta(days=at), Decimal("0.9")) for at in range(0, 31, 5)]
    return Around(runs=runs, together=[together], rates=Rates(quotes))


@settings(max_examples=400, deadline=None)
@given(items(), lines())
def test_nothing_is_allocated_twice(documents: list[Item], transactions: list[Line]) -> None:
    held = {item.key: item for item in documents}
    for line in transactions:
        held[line.key] = Item(
            line.key, Side.CLEARING, "EUR", line.amount, line.amount, 0, line.dated, party=line.party, keys=line.keys
        )
    before = {key: (item.amount, item.open) for key, item in held.items()}
    keys = list(held)
    mine = {line.key: Candidates(keys, keys, keys, keys) for line in transactions}
    found = decide(transactions, mine, held, {}, Rules(), around(documents))
    certain = [match for matches in found.values() for match in matches if match.certain]
    assert len({match.line for match in certain}) == len(certain)
    used = dict.fromkeys(held, 0)
    for match in certain:
        used[match.line] += sum(each.bank_amount for each in match.allocations)
        for each in match.allocations:
            assert each.amount * each.bank_amount > 0
            if each.is_of_document:
                used[each.key] += allocating.uses(each)
    for key, (amount, left) in before.items():
        assert held[key].open == left - used[key]
        assert held[key].open * amount >= 0
        assert abs(held[key].open) <= abs(amount)
    for line in transactions:
        for match in found[line.key]:
            total = sum(each.bank_amount for each in match.allocations)
            assert total * line.amount > 0
            assert abs(total) <= abs(line.amount)
            assert 0 <= match.score <= 100


@settings(max_examples=300, deadline=None)
@given(st.lists(AMOUNTS, max_size=10), AMOUNTS)
def test_sums_are_right_and_unique_ones_are_unique(amounts: list[int], wanted: int) -> None:
    positions = [[at for at in range(len(amounts)) if mask >> at & 1] for mask in range(1, 2 ** len(amounts))]
    ways = [way for way in positions if sum(amounts[at] for at in way) == wanted]
    found = allocating.sums(amounts, wanted)
    assert len(found) == min(len(ways), 2)
    assert all(sum(amounts[at] for at in way) == wanted for way in found)
    assert allocating.is_sum_of_few(amounts, wanted) == any(len(way) <= 3 for way in ways)


@given(st.integers(-(10**15), 10**15), st.lists(st.integers(1, 10**12), min_size=1, max_size=9))
def test_shares_are_of_the_whole_and_as_their_weights_are(whole: int, weights: list[int]) -> None:
    found = allocating.shares(whole, weights)
    assert sum(found) == whole
    assert all(
        abs(share * sum(weights) - whole * weight) < sum(weights) for share, weight in zip(found, weights, strict=True)
    )


@given(st.text(max_size=80), st.text(max_size=80))
def test_clues_of_any_text_are_bounded(text: str, other: str) -> None:
    keys = clues.keys_of_text(text, other)
    assert len(keys) <= clues.MAX_KEYS
    assert all(len(key) <= clues.MAX_KEY for key in (*keys, *clues.keys_of_number(text)))
    record.payer_account(text, [other])
    record.charges(text, "EUR", EXPONENTS)
    record.is_return(clues.plain(text), other)
    assert clues.resemblance(clues.party_name(text), clues.party_name(other)) in (0, 1, 2)


def test_numbers_are_met_however_they_are_written() -> None:
    number = clues.keys_of_number("INV-2026/00123")
    for text in ("inv 2026 00123", "INV202600123", "Rg. 2026-00123 vom 1.2.", "payment 123", "INV-2026-00123/part"):
        assert number & clues.keys_of_text(text), text
    assert clues.keys_of_number("539007547034") & clues.keys_of_text("RF18 5390 0754 7034")
    assert clues.keys_of_number("10003") & clues.keys_of_text("invoices 10001-10005")
    assert clues.keys_of_number("313947143000901") & clues.keys_of_text("21 00000 00003 13947 14300 09017")
    assert not clues.keys_of_number("INV-10001") & clues.keys_of_text("INV-10010")
    assert clues.is_near("INV10012", "INV10021")
    assert not clues.is_near("INV10012", "INV10012")
    assert clues.party_name("Acme Ltd.") == clues.party_name("ACME LIMITED")
    assert clues.resemblance(clues.party_name("Müller Söhne GmbH"), clues.party_name("MUELLER SOEHNE")) == 2


@pytest.mark.parametrize(
    ("name", "other", "alike"),
    [
        ("Kunde 1", "Kunde 2", 0),
        ("Kunde 10", "KUNDE 11 GmbH", 0),
        ("Kunde10", "Kunde11", 0),
        ("Apartments Kastanienallee 12345", "Apartments Kastanienallee 12346", 0),
        ("Filiale 3 Hooli Handels GmbH", "Filiale 4 Hooli Handels GmbH", 0),
        ("Kunde 1 GmbH", "KUNDE 1", 2),
        ("Globex 24", "GLOBEX", 1),
        ("Studio 54", "STUDIO 54 HAUPTSTR 9 10115 BERLIN", 1),
        ("Acme Handles GmbH", "ACME HANDLED", 1),
    ],
)
def test_names_that_differ_in_a_number_are_of_two(name: str, other: str, alike: int) -> None:
    assert clues.resemblance(clues.party_name(name), clues.party_name(other)) == alike
    assert clues.resemblance(clues.party_name(other), clues.party_name(name)) == alike
