"""Which codes the names and tables of a rule file stand for."""

from __future__ import annotations

from sources.mapping.standing import Standing

RULES = """
extends = "starter"
[accounts]
receivable = { table = "debtors", key = "source" }
payable = "creditors"
creditors = { code = "creditor" }
expense = { expression = "'6000'" }
bad_debt = "bad_debt"
[tables.debtors]
shop = "1200"
default = "plain"
[tables.bank_accounts]
DE99 = "1000"
GB11 = "nobody"
"""


def test_names_stand_for_codes_names_and_whole_tables() -> None:
    standing = Standing(RULES.replace('default = "plain"', 'default = "1100"'))
    assert standing.codes("receivable") == ("1100", "1200")
    assert standing.codes("payable") == ("creditor",)


def test_what_the_file_does_not_say_stands_for_nothing() -> None:
    standing = Standing(RULES)
    assert [standing.codes(name) for name in ("expense", "bad_debt", "unheard_of")] == [(), (), ()]
    assert standing.codes("receivable") == ("1200",)


def test_tables_of_the_file_come_over_those_of_the_built_in_rules() -> None:
    assert Standing(RULES).table("bank_accounts") == {"DE99": "1000"}
    assert Standing('[accounts]\na = "1"').table("bank_accounts") == {}
    assert Standing(RULES).table("sales_tax") == {}  # its default is a name that the file gives no code


def test_a_file_keeps_the_built_in_rules_that_it_extended() -> None:
    standing = Standing('extends = "starter"', '[accounts]\nreceivable = "1250"')
    assert standing.codes("receivable") == ("1250",)
