"""Rule files are read whole or refused with every mistake, by file, line and key."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.mapping.model import InvalidRules, RuleFault
from sources.mapping.rules import MAX_TEXT, load
from tests.sources.mapping.kit import ACCOUNTS

GOOD = """
name = "Own"
[accounts]
cash = "1000"
sales = "4000"
[tables.tax]
default = "cash"
[[rules]]
name = "sale"
kind = "invoice"
when = { direction = "RECEIVABLE" }
  [[rules.postings]]
  name = "sale"
  date = "issue_date"
  description = "Sale {number}"
    [[rules.postings.lines]]
    account = "cash"
    debit = "total"
    [[rules.postings.lines]]
    account = { table = "tax", key = "item.code" }
    credit = "item.amount"
    each = "taxes"
    [[rules.postings.lines]]
    split = [
      { share = "1", account = "sales" },
      { share = 2.5, account = "sales" },
    ]
    credit = "subtotal"
"""


def faults(text: str) -> list[RuleFault]:
    with pytest.raises(InvalidRules) as refused:
        load(text, "us.toml")
    return list(refused.value.faults)


def possible_faults(text: str) -> tuple[RuleFault, ...]:
    try:
        load(text)
    except InvalidRules as refused:
        return refused.faults
    return ()


def changed(old: str, new: str) -> str:
    good = GOOD.replace("2.5", '"2.5"')
    assert old in good
    return good.replace(old, new, 1)


def test_a_good_file_is_read() -> None:
    ruleset = load(GOOD.replace("2.5", '"2.5"'), "us.toml")
    assert ruleset.name == "Own"
    (rule,) = ruleset.rules["invoice"]
    assert (rule.name, rule.where, len(rule.postings[0].lines)) == ("sale", "us.toml:8", 3)
    assert rule.postings[0].lines[2].weights == (2, 5)


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "message"),
    [
        ('name = "Own"', 'nam = "Own"', 2, "nam", "is name meant?"),
        ('name = "Own"', "name = 1", 2, "name", "must be a text"),
        ('name = "Own"', 'extends = "strter"', 2, "extends", "is starter meant?"),
        ('name = "Own"', 'rate_type = ""', 2, "rate_type", "must not be blank"),
        ('name = "Own"', 'rate_type = "ECB"', 2, "rate_type", "a type of rates begins with a-z"),
        ('cash = "1000"', "cash = 1000", 4, "accounts.cash", "must be a name, a code"),
        ('cash = "1000"', 'cash = ""', 4, "accounts.cash", "must be a name, a code"),
        ('cash = "1000"', 'cash = "sales"\nsale = "1"', 5, "accounts.sale", "no rule uses sale"),
        ('cash = "1000"', 'Cash = "1"\ncash = "1000"', 4, "accounts.Cash", "a name begins with a-z"),
        ('sales = "4000"', 'sales = "cash"\nbank = "1"', 6, "accounts.bank", "no rule uses bank; leave it out"),
        ('default = "cash"', 'default = "csh"', 7, "tables.tax.default", "is cash meant?"),
        ('default = "cash"', "default = 5", 7, "tables.tax.default", "must be a name, a code"),
        ('default = "cash"', 'default = { table = "tax", key = "number" }', 7, "tables.tax.default", "must be a name"),
        ("[tables.tax]", "[tables.vat]", 6, "tables.vat", "no rule uses vat"),
        ("[tables.tax]", "[tables.vat]", 20, "rules[0].postings[0].lines[1].account.table", "state it as [tables.tax]"),
        ("[[rules]]", "[rules]", 8, "rules", "must be tables"),
        ('name = "sale"', "", 8, "rules[0].name", "name is missing"),
        ('name = "sale"', 'name = "A sale"', 9, "rules[0].name", "a name has a-z"),
        ('kind = "invoice"', 'kind = "invoce"', 10, "rules[0].kind", "is invoice meant?"),
        ('kind = "invoice"', "", 8, "rules[0].kind", "kind is missing"),
        ('kind = "invoice"', 'kind = "invoice"\nsources = "x"', 11, "rules[0].sources", "must be a list of texts"),
        ('kind = "invoice"', 'kind = "invoice"\nsources = []', 11, "rules[0].sources", "must be a list of texts"),
        ('kind = "invoice"', 'kind = "invoice"\npolicy = "auto"', 11, "rules[0].policy", "is automatic meant?"),
        ('kind = "invoice"', 'kind = "invoice"\nif = "totl > 0"', 11, "rules[0].if", "is total meant?"),
        ('kind = "invoice"', 'kind = "invoice"\nif = "total >"', 11, "rules[0].if", "is no expression"),
        ('kind = "invoice"', 'kind = "invoice"\nif = true', 11, "rules[0].if", "must be a text"),
        ('direction = "RECEIVABLE"', 'direktion = "X"', 11, "rules[0].when.direktion", "is direction meant?"),
        ('direction = "RECEIVABLE"', 'direction = "RECEIVEABLE"', 11, "rules[0].when.direction", "is RECEIVABLE meant?"),
        ('direction = "RECEIVABLE"', "direction = []", 11, "rules[0].when.direction", "or a list of such"),
        ('direction = "RECEIVABLE"', "total = 1.5", 11, "rules[0].when.total", "or a list of such"),
        ('direction = "RECEIVABLE"', 'party.nam = "x"', 11, "rules[0].when.party.nam", "is party.name meant?"),
        ('  date = "issue_date"\n', "", 12, "rules[0].postings[0].date", "date is missing"),
        ('"issue_date"', '"isue_date"', 14, "rules[0].postings[0].date", "is issue_date meant?"),
        ('"issue_date"', "2026-01-01", 14, "rules[0].postings[0].date", "must be a text"),
        ("{number}", "{numbr}", 15, "rules[0].postings[0].description", "is number meant?"),
        ("{number}", "{number", 15, "rules[0].postings[0].description", "lone {"),
        ("{number}", "{item.amount}", 15, "rules[0].postings[0].description", "there is no item here"),
        ('  date = "issue_date"', '  date = "issue_date"\njurnal = "X"', 15, "rules[0].postings[0].jurnal", "is journal meant?"),
        ('  date = "issue_date"', '  date = "issue_date"\nspread = {}', 15, "rules[0].postings[0].spread.every", "missing"),
        ('account = "cash"', 'account = "csh"', 17, "rules[0].postings[0].lines[0].account", "is cash meant?"),
        ('account = "cash"', 'account = "cash"\ncredit = "tax"', 18, "rules[0].postings[0].lines[0].credit", "one of debit"),
        ('account = "cash"', 'account = { name = "x" }', 17, "rules[0].postings[0].lines[0].account", "must be a name"),
        ('account = "cash"', 'account = { expression = "x" }', 17, "rules[0].postings[0].lines[0].account.expression", "known"),
        ('account = "cash"\n', "\n", 16, "rules[0].postings[0].lines[0].account", "account is missing"),
        ('debit = "total"', 'debit = "total"\neach = "line"', 19, "rules[0].postings[0].lines[0].each", "is lines meant?"),
        ('debit = "total"', "debit = 5", 18, "rules[0].postings[0].lines[0].debit", "must be a text"),
        ('debit = "total"', 'deebit = "total"', 18, "rules[0].postings[0].lines[0].deebit", "is debit meant?"),
        ('debit = "total"', 'debit = "open(1)"', 18, "rules[0].postings[0].lines[0].debit", "open is not known"),
        ('debit = "total"', 'debit = "item.amount"', 18, "rules[0].postings[0].lines[0].debit", "there is no item here"),
        ('credit = "item.amount"', 'credit = "item.amt"', 21, "rules[0].postings[0].lines[1].credit", "not known"),
        ('key = "item.code"', 'key = "item.cod"', 20, "rules[0].postings[0].lines[1].account.key", "is item.code meant?"),
        ('debit = "total"', 'debit = "total"\ndimensions = { A = "x" }', 19, "rules[0].postings[0].lines[0].dimensions.A", "a-z"),
        ('debit = "total"', 'debit = "total"\ndimensions = { a = 1 }', 19, "rules[0].postings[0].lines[0].dimensions.a", "a text"),
        ('share = "1"', 'share = "-1"', 24, "rules[0].postings[0].lines[2].split", "a share is negative"),
        ('share = "1"', 'share = "a"', 25, "rules[0].postings[0].lines[2].split[0].share", "must be a number"),
        ('share = "2.5"', "share = 2.5", 26, "rules[0].postings[0].lines[2].split[1].share", "must be a number"),
        ('share = "2.5"', 'shares = "2"', 26, "rules[0].postings[0].lines[2].split[1].shares", "is share meant?"),
        ('credit = "subtotal"', 'credit = "subtotal"\naccount = "cash"', 24, "rules[0].postings[0].lines[2].split", "one of"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_where_it_stands(old: str, new: str, line: int, key: str, message: str) -> None:
    found = faults(changed(old, new))
    assert any(fault.line == line and fault.key == key and message in fault.message for fault in found), found
    assert all(fault.file == "us.toml" and str(fault).startswith(f"us.toml:{fault.line}: ") for fault in found)


def test_every_mistake_is_told_at_once() -> None:
    text = changed('kind = "invoice"', 'kind = "invoice"\npolicy = "x"').replace('debit = "total"', 'debit = "totl"')
    assert [fault.key for fault in faults(text)] == ["rules[0].policy", "rules[0].postings[0].lines[0].debit"]


def test_two_rules_or_postings_of_one_name_are_refused() -> None:
    good = GOOD.replace("2.5", '"2.5"')
    twice = faults(good + good[good.index("[[rules]]") :])
    assert [(fault.line, fault.key) for fault in twice] == [(30, "rules[1].name")]
    assert "two rules with the name sale" in twice[0].message
    posting = good[good.index("  [[rules.postings]]") :]
    twice = faults(good + posting)
    assert [(fault.line, fault.key) for fault in twice] == [(30, "rules[0].postings[1].name")]


def test_a_rule_says_that_it_posts_nothing() -> None:
    """One that forgot its postings is refused."""
    rule = '[[rules]]\nname = "drafts"\nkind = "invoice"\n'
    assert load(rule + "postings = []").rules["invoice"][0].postings == ()
    assert "postings = [] to post nothing" in faults(rule)[0].message
    assert (
        "has lines"
        in faults(rule + '[[rules.postings]]\nname = "a"\ndate = "issue_date"\ndescription = "x"\nlines = []')[
            0
        ].message
    )


def test_a_name_may_stand_for_a_name() -> None:
    assert load(changed('cash = "1000"', 'cash = "sales"')).rules["invoice"][0].postings[0].lines[0].account == "4000"


def test_names_that_go_round_in_a_circle_are_refused() -> None:
    text = changed('cash = "1000"', 'cash = "sales"').replace('sales = "4000"', 'sales = "cash"')
    assert {fault.key for fault in faults(text)} == {"accounts.cash", "accounts.sales"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = ", 1),
        ("\n\na = 1\na = 2\n", 4),
        ("[[rules]]\nname = 'x'\n[rules]\n", 3),
        ('x = """\n\n', 3),
        ("x = \x01", 1),
        ("\n[", 2),
        ("a = " + "[" * 5_000, 1),
        ("a = '\ud800'", 1),
        ("a" * (MAX_TEXT + 1), 1),
    ],
)
def test_what_is_no_toml_is_refused_with_its_line(text: str, line: int) -> None:
    (fault,) = faults(text)
    assert fault.line == line
    assert fault.message


def test_a_files_own_rules_come_first_and_replace_the_starters() -> None:
    own = '[[rules]]\nname = "sales-invoice"\nkind = "invoice"\npostings = []\n'
    starter, replaced = load(ACCOUNTS), load(ACCOUNTS + own)
    names = [rule.name for rule in starter.rules["invoice"]]
    assert [rule.name for rule in replaced.rules["invoice"]] == names
    assert replaced.rules["invoice"][0].postings == ()
    assert starter.digest != replaced.digest
    assert load(ACCOUNTS, "other.toml").digest == starter.digest


def test_the_digest_covers_what_a_file_extends() -> None:
    """So that a release with other starter rules makes another version."""
    assert load('extends = "starter"').digest != load("").digest


def test_windows_line_ends_are_line_ends() -> None:
    text = changed('debit = "total"', 'debit = "totl"').replace("\n", "\r\n")
    assert [fault.line for fault in faults(text)] == [18]


# ---------------------------------------------------------------- whatever it holds


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    assert all(fault.line >= 1 for fault in possible_faults(text))


WORDS = "name kind rules postings lines account debit split share when table key date each if"
JUNK: Any = st.recursive(
    st.one_of(st.integers(), st.booleans(), st.text(max_size=5), st.sampled_from(["invoice", "lines", "total", "1"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(WORDS.split()),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def as_toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(sign):08x}" for sign in value if not "\ud800" <= sign <= "\udfff") + '"'
    if isinstance(value, list):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_toml(key)} = {as_toml(each)}" for key, each in value.items()) + "}"
    return str(value)


@given(st.dictionaries(st.sampled_from(["name", "extends", "accounts", "tables", "rules"]), JUNK, max_size=4), JUNK)
def test_values_of_any_shape_are_read_or_refused(top: dict[str, Any], rule: Any) -> None:
    """Where a table should be a number, and a list a text."""
    top["rules"] = [rule, {"name": "a", "kind": "invoice", "postings": [rule]}]
    text = "\n".join(f"{key} = {as_toml(value)}" for key, value in top.items())
    assert all(fault.message for fault in possible_faults(text))


@pytest.mark.parametrize(
    "text",
    [
        ".".join(["a"] * 400_000) + " = 1",
        "[" + ".".join(["a"] * 400_000) + "]",
        ".".join(['"a b"'] * 100_000) + " = 1",
        '[[rules]]\nname = "a"\nkind = "invoice"\npostings = []\n[rules.when]\n' + ".".join(["raw"] * 5_000) + " = 1",
    ],
)
def test_keys_of_many_parts_are_refused_at_once(text: str) -> None:
    with pytest.raises(InvalidRules, match="a key has more than 32 parts"):
        load(text)


def test_no_more_is_read_of_a_file_with_many_mistakes() -> None:
    accounts = "[accounts]\n" + "".join(f'known_{number} = "1"\n' for number in range(3_000))
    lines = "".join(
        f"[[rules]]\nname = 'r{number}'\nkind = 'invoice'\n[[rules.postings]]\nname = 'a'\ndate = 'issue_date'\n"
        f"description = 'x'\nlines = [{{ account = 'other_{number}', debit = 'total' }}]\n"
        for number in range(3_000)
    )
    with pytest.raises(InvalidRules) as told:
        load(accounts + lines)
    assert [fault.key for fault in told.value.faults[:2]] == [
        f"rules[{number}].postings[0].lines[0].account" for number in range(2)
    ]
    assert len(told.value.faults) == 100
