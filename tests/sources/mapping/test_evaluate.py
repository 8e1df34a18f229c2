"""What rules can say: which documents they take, splits, deferrals, accounts by table and expression, currencies."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.mapping.compiled import RuleSet
from sources.mapping.model import Policy, UnmappedCode
from sources.mapping.rates import Rates
from tests.sources.mapping.kit import (
    DAY,
    book,
    functional,
    invoice,
    line,
    mapped,
    postings,
    rule,
    rules,
    spot,
    starter,
    unmapped,
)

STARTER = starter()


SIMPLE = '{ account = "10", debit = "total" }, { account = "20", credit = "total" }'


# ---------------------------------------------------------------- which rule


@pytest.mark.parametrize(
    ("more", "takes"),
    [
        ('when = { status = "OPEN" }', True),
        ('when = { status = ["PAID", "OPEN"], currency = "USD" }', True),
        ('when = { status = "PAID" }', False),
        ('when = { party.external_id = "cus_1", issue_date = 2026-01-15 }', True),
        ('when = { raw.metadata.group = "gold" }', True),
        ('when = { raw.metadata.missing.more = "gold" }', False),
        ("when = { total = 10000 }", True),
        ('sources = ["billing", "x"]', True),
        ('sources = ["x"]', False),
        ("if = \"total > 5000 and party.name == 'Blue Harbor'\"", True),
        ('if = "total < 0"', False),
    ],
)
def test_a_rule_takes_the_documents_that_it_says(more: str, takes: bool) -> None:
    row = invoice(raw={"metadata": {"group": "gold"}})
    found = mapped(rule(SIMPLE, more), "invoice", row)
    assert isinstance(found, tuple) is takes


def test_the_first_rule_that_takes_a_document_is_the_one() -> None:
    text = """
[[rules]]
name = "large"
kind = "invoice"
if = "total > 100"
policy = "proposed"
  [[rules.postings]]
  name = "a"
  date = "issue_date"
  description = "Large"
  lines = [{ account = "10", debit = "total" }, { account = "20", credit = "total" }]
[[rules]]
name = "rest"
kind = "invoice"
postings = []
"""
    (large,) = postings(rules(text), "invoice", invoice())
    assert (large.rule, large.policy) == ("large", Policy.PROPOSED)
    assert postings(rules(text), "invoice", invoice(line(1))) == ()


def test_a_condition_that_cannot_be_computed_is_told_with_its_place() -> None:
    found = unmapped(rule(SIMPLE, 'if = "due_date > issue_date"'), "invoice", invoice())
    assert found.code == UnmappedCode.EXPRESSION_FAILED
    assert found.message == "due_date > issue_date cannot be computed: a field is empty (own.toml:2)"


# ---------------------------------------------------------------- lines


def test_shares_split_an_amount_to_the_last_unit() -> None:
    lines = (
        '{ account = "10", debit = "total" }, '
        '{ credit = "total", split = [{ share = 1, account = "a.1" }, { share = "1", account = "a.2" }, { share = 1, account = "a.3" }] }'
    )
    (found,) = postings(rule(lines), "invoice", invoice(line(100)))
    assert book(found) == [("10", 100), ("a.1", -34), ("a.2", -33), ("a.3", -33)]
    (found,) = postings(rule(lines), "invoice", invoice(line(-2)))
    assert book(found) == [("10", -2), ("a.1", 1), ("a.2", 1)]


def test_accounts_by_table_and_expression() -> None:
    top = '''[accounts]
sales = "4000"
goods = { table = "goods", key = "item.tax_code or ''" }
[tables.goods]
seats = "4100"
default = "sales"'''
    lines = (
        '{ account = { expression = "\'12\' + lower(currency)" }, debit = "total" }, '
        '{ account = "goods", each = "lines", if = "item.amount > 0", credit = "item.amount" }'
    )
    (found,) = postings(rule(lines, top=top), "invoice", invoice(line(5, tax_code="seats"), line(7), line(0)))
    assert book(found) == [("12usd", 12), ("4100", -5), ("4000", -7)]


def test_an_expression_may_give_a_name_that_is_stated_or_is_told() -> None:
    lines = '{ account = { expression = "lower(party.name)" }, debit = "total" }, { account = "20", credit = "total" }'
    ruleset = rule(lines, top='[accounts]\nharbor = "1299"')
    assert book(postings(ruleset, "invoice", invoice(party_name="Harbor"))[0])[0] == ("1299", 10_000)
    for name in ("boats", ""):
        found = unmapped(ruleset, "invoice", invoice(party_name=name))
        assert found.code == UnmappedCode.UNKNOWN_ACCOUNT_NAME


@pytest.mark.parametrize(
    ("lines", "code", "words"),
    [
        ('{ account = "10", debit = "total" }, { account = "20", credit = "tax" }', "UNBALANCED", "debits exceed its credits by 100.00 USD"),
        ('{ account = "10", debit = "total / 3" }', "EXPRESSION_FAILED", "whole number of minor units: use round"),
        (f'{{ account = "10", debit = "total * {10**14}" }}, {{ account = "20", credit = "total * {10**14}" }}', "EXPRESSION_FAILED", "minor units"),
        ('{ account = "10", debit = "raw.amount" }', "MISSING_FIELD", "no raw.amount"),
        ('{ account = "10", debit = "number" }', "EXPRESSION_FAILED", "whole number"),
        ('{ account = "10", debit = "raw.half" }', "EXPRESSION_FAILED", "whole number"),
        ('{ account = "10", debit = "raw.half * 2" }', "EXPRESSION_FAILED", "floating-point"),
        ('{ account = "10", debit = "raw.yes" }', "EXPRESSION_FAILED", "whole number"),
        ('{ account = "10", debit = "total", currency = "number" }', "EXPRESSION_FAILED", "no code of ISO 4217"),
        ('{ account = "10", debit = "total", rate_on = "due_date" }', "MISSING_FIELD", "no rate_on"),
        ('{ account = "10", debit = "total", description = "{lines}" }', "EXPRESSION_FAILED", "list cannot be written"),
    ],
)  # fmt: skip
def test_what_a_rule_cannot_do_with_a_document_is_told(lines: str, code: str, words: str) -> None:
    found = unmapped(rule(lines), "invoice", invoice(raw={"half": 0.5, "yes": True}))
    assert (found.code, words in found.message) == (code, True), found
    assert found.hint


def test_a_document_without_its_date_is_told() -> None:
    found = unmapped(STARTER, "invoice", invoice(issue_date=None))
    assert found.code == UnmappedCode.MISSING_FIELD
    assert "the document has no accounting_date or issue_date" in found.message


def test_long_texts_are_shortened_and_stay_apart() -> None:
    lines = '{ account = "10", debit = "total", dimensions = { a = "{number}", b = "{due_date}" } }, { account = "20", credit = "total" }'
    ruleset = rule(lines, posting='reference = "{number}"')
    (one,) = postings(ruleset, "invoice", invoice(number="x" * 300, party_name="y" * 2_000))
    (other,) = postings(ruleset, "invoice", invoice(number="x" * 301, party_name=""))
    assert (len(one.description), other.description) == (1_000, "own")
    assert one.reference is not None
    assert len(one.reference) == 255
    assert one.reference != other.reference
    assert one.lines[0].dimensions == (("a", one.reference),)


# ---------------------------------------------------------------- over time


DEFERRAL = """
[[rules.postings]]
  name = "release"
  date = "issue_date"
  description = "Release of {number}"
  spread = { from = "item.service_from", to = "item.service_to", every = "month" }
  lines = [
    { account = "2420", debit = "item.amount", each = "lines", if = "item.service_to != None" },
    { account = "4200", credit = "item.amount", each = "lines", if = "item.service_to != None" },
  ]
"""


def deferral() -> RuleSet:
    own = """[[rules]]
name = "deferred"
kind = "invoice"
  [[rules.postings]]
  name = "invoice"
  date = "issue_date"
  description = "{number}"
  lines = [
    { account = "1210", debit = "total" },
    { account = "2420", credit = "item.amount", each = "lines", if = "item.service_to != None" },
    { account = "4100", credit = "item.amount", each = "lines", if = "item.service_to == None" },
  ]
"""
    return rules(own + DEFERRAL)


def test_a_deferral_is_released_by_the_days_of_each_month() -> None:
    """Dated the months' ends; what has no period is revenue at once."""
    row = invoice(line(3_650, service_from="2026-01-17", service_to="2027-01-16"), line(10))
    entry, *released = postings(deferral(), "invoice", row)
    assert book(entry) == [("1210", 3_660), ("2420", -3_650), ("4100", -10)]
    assert [each.name for each in released][:2] == ["release/2026-01", "release/2026-02"]
    assert [book(each)[0][1] for each in released] == [150, 280, 310, 300, 310, 300, 310, 310, 300, 310, 300, 310, 160]
    assert all(sum(amount for _, amount in book(each)) == 0 for each in released)
    assert (released[1].effective_date, released[1].document_date) == (date(2026, 2, 28), DAY)
    assert released[1].description == "Release of A-1 (2026-02)"


@given(
    st.lists(st.tuples(st.integers(-(10**9), 10**9), st.dates(date(2025, 1, 1), date(2027, 1, 1)), st.integers(0, 400)), min_size=1, max_size=4),
    st.sampled_from(["USD", "EUR", "JPY"]),
)  # fmt: skip
def test_releases_sum_to_what_was_deferred(parts: list[tuple[int, date, int]], currency: str) -> None:
    rates = Rates([spot("EUR", "USD", "1.0837"), spot("USD", "JPY", "156.21")])
    lines = [line(amount, service_from=day, service_to=day + timedelta(days=length)) for amount, day, length in parts]
    ruleset = starter(deferral_rules())
    found = postings(ruleset, "invoice", invoice(*lines, currency=currency), rates)
    deferred: dict[str, int] = {}
    for each in found:
        assert sum(amount for _, amount in functional(each)) == 0
        for account, amount in book(each):
            deferred[account] = deferred.get(account, 0) + amount
    assert deferred.get("2420", 0) == 0
    assert deferred.get("4200", 0) == -sum(amount for amount, _, _ in parts)


def deferral_rules() -> str:
    return (
        """
[[rules]]
name = "deferred"
kind = "invoice"
  [[rules.postings]]
  name = "invoice"
  date = "issue_date"
  description = "{number}"
  lines = [{ account = "1210", debit = "total" }, { account = "2420", credit = "total" }]
"""
        + DEFERRAL
    )


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"service_to": "2026-01-31"}, "MISSING_FIELD", "both ends"),
        ({"service_from": "2026-02-01", "service_to": "2026-01-31"}, "EXPRESSION_FAILED", "ends before it begins"),
        ({"service_from": "1999-01-01", "service_to": "2026-01-31"}, "EXPRESSION_FAILED", "more than 120 months"),
        ({"service_from": "soon", "service_to": "2026-01-31"}, "EXPRESSION_FAILED", "is no date"),
    ],
)
def test_a_period_that_makes_no_sense_is_told(fields: dict[str, Any], code: str, words: str) -> None:
    found = unmapped(deferral(), "invoice", invoice(line(10, **fields)))
    assert (found.code, words in found.message) == (code, True), found
