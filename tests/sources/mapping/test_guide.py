"""The guide to mapping rules says what is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from sources.mapping.evaluator import FUNCTIONS
from sources.mapping.facts import KINDS
from sources.mapping.lines import LINE_KEYS, POSTING_KEYS
from sources.mapping.model import UnmappedCode
from sources.mapping.rules import RULE_KEYS, load
from tests.sources.mapping.kit import ACCOUNTS, book, invoice, line, postings, rules, tax

GUIDE = (Path(__file__).parents[3] / "docs" / "mapping-rules.md").read_text(encoding="utf-8")


def section(title: str) -> set[str]:
    """The words in code of the first column of a section's table."""
    rows = re.findall(r"^\| (`[^|]*) \|", GUIDE.split(f"## {title}\n")[1].split("\n## ")[0], re.MULTILINE)
    return {word for row in rows for word in re.findall(r"`([a-zA-Z_]+)", row)}


def test_the_guide_names_every_key_function_and_code() -> None:
    assert section("Which rule") == set(RULE_KEYS)
    assert section("Postings") == set(POSTING_KEYS)
    assert section("Lines") == set(LINE_KEYS)
    assert section("Expressions") == set(FUNCTIONS)
    assert section("What does not map") == set(UnmappedCode)
    assert all(f"`{kind}`" in GUIDE for kind in KINDS)


def test_every_other_example_goes_with_the_starter_rules() -> None:
    """Under the accounts that they all take for given."""
    examples = [block.split("```")[0] for block in GUIDE.split("```toml\n")[2:]]
    assert len(examples) >= 4
    for example in examples:
        load(_TOP + example)


_TOP = 'extends = "starter"\n' + "".join(
    f'accounts.{name} = "{code}"\n' for name, code in tomllib.loads(ACCOUNTS)["accounts"].items()
)


def test_the_guides_example_posts() -> None:
    """An invoice over two months, and its release."""
    ruleset = rules(GUIDE.split("```toml\n")[1].split("```")[0])
    row = invoice(
        line(5_900, service_from="2026-01-01", service_to="2026-02-28"), taxes=[tax(413, rate="7")], number="SUB-1"
    )
    entry, january, february = postings(ruleset, "invoice", row)
    assert book(entry) == [("1210", 6_313), ("2420", -5_900), ("2215", -413)]
    assert book(january) == [("2420", 3_100), ("4100", -2_170), ("4300", -930)]
    assert book(february) == [("2420", 2_800), ("4100", -1_960), ("4300", -840)]
    assert postings(ruleset, "invoice", row | {"number": "A-1"})[0].rule == "sales-invoice"
