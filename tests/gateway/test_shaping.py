"""Pages written column by column say what rows written one by one would, and what orjson makes of the values."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.planning.shaping import Part, generate, leaf, namespace
from gateway.planning.writing import WORDS
from tests.examples import examples

EXPONENTS = {"EUR": 2, "JPY": 0, "BHD": 3}
TABLE = namespace({**WORDS, "exponents": EXPONENTS, "codes": {1: "us"}})
ESCAPED = [
    '"',
    "\\",
    '",\n  "',
    '","',
    '\\",\n',
    "\n",
    "\r",
    "\t",
    "\0",
    "\x1f",
    "\x7f",
    "[",
    "]",
    "null",
    "",
    "\\u0041",
]
ASTRAL = ["\U0001f468\u200d\U0001f469", "\U0010ffff", "\ud7ff\ue000", "\u2028\u2029\u0085", "\ufeff\uffff", "é", "ÿĀ"]
CLEAN = ["Invoice 1", "rent", "R-77"]
TEXTS = st.one_of(st.sampled_from(CLEAN + ESCAPED + ASTRAL), st.text(max_size=6))

LEAVES = [
    "str({0})",
    "'\"' + {1} + '\"'",
    "quote({2})",
    "('null' if {3} is None else quote({3}))",
    "money({0}, exponents[{4}])",
    "debit({0}, exponents[{4}])",
    "credit({0}, exponents[{4}])",
    "('null' if {5} is None else money({5}, exponents[{4}]))",
    "'\"entry:' + codes[1] + ':' + str({0}) + ':' + {1} + '\"'",
    "quote('account:' + codes[1] + ':' + {2})",
    "timestamp({6})",
    "('true' if {5} else 'false')",
    "dumps([{2}, {3}])",
]
ROWS = st.tuples(
    st.integers(-(2**63), 2**63 - 1) | st.integers(-1_000, 1_000),
    st.sampled_from(["2025-01-31", "EUR"]),
    TEXTS,
    st.none() | TEXTS,
    st.sampled_from(["EUR", "EUR", "EUR", "JPY", "BHD"]),
    st.none() | st.integers(-10, 10),
    st.sampled_from(["2026-11-22 21:00:00.123456+00", "2026-11-22 21:00:00.5+00", "2026-11-22 21:00:00+00"]),
)


def expressions() -> list[str]:
    return [each.format(*[f"r[{n}]" for n in range(7)]) for each in LEAVES]


def written(rows: list[Any], children: list[list[str]]) -> list[str]:
    """By one generated function: every leaf, and then every child."""
    parts = []
    for number, expression in enumerate(expressions()):
        parts += [Part(text=f'{"," if number else "{"}"f{number}":'), Part(expression=expression)]
    for number in range(len(children)):
        parts += [Part(text=f',"c{number}":'), Part(child=number)]
    return generate([*parts, Part(text="}")], len(children), TABLE)(rows, *children)


def one_by_one(rows: list[Any], children: list[list[str]]) -> list[str]:
    texts = []
    for at, row in enumerate(rows):
        pairs = [f'"f{number}":{leaf(each, TABLE)(row)}' for number, each in enumerate(expressions())]
        pairs += [f'"c{number}":{child[at]}' for number, child in enumerate(children)]
        texts.append(f"{{{','.join(pairs)}}}")
    return texts


@given(st.lists(ROWS, max_size=6))
@examples(150)
def test_columns_say_what_rows_say(rows: list[Any]) -> None:
    """Any texts, nulls and amounts in any of the rows, mixed currencies among them."""
    children = [[f"[{n}]" for n in range(len(rows))], ["null"] * len(rows)]
    assert written(rows, children) == one_by_one(rows, children)


def test_texts_of_a_column_are_what_orjson_makes_of_each() -> None:
    """One text that needs escaping in each place of a page of clean ones; nulls first, last, in between, alone."""
    shape = generate([Part(expression="('null' if r[0] is None else quote(r[0]))")], 0, TABLE)
    for odd in (*ESCAPED, *ASTRAL, None):
        for at in range(len(CLEAN) + 1):
            column = [*CLEAN[:at], odd, *CLEAN[at:]]
            assert shape([(text,) for text in column]) == [orjson.dumps(text).decode() for text in column]
        for column in ([odd], [odd, odd], [None, odd], [odd, None], [None, odd, None]):
            assert shape([(text,) for text in column]) == [orjson.dumps(text).decode() for text in column]
    assert shape([]) == []


def test_amounts_of_a_page_have_the_decimals_of_their_currency() -> None:
    """Two decimals throughout, none, three, and all mixed; zero, below one, negative, the largest."""
    shape = generate([Part(expression="money(r[0], exponents[r[1]])")], 0, TABLE)
    amounts = [0, 1, 99, 100, -1, -99, -100, 2**63 - 1, -(2**63)]
    said = {
        "EUR": ["0.00", "0.01", "0.99", "1.00", "-0.01", "-0.99", "-1.00"],
        "JPY": ["0", "1", "99", "100", "-1", "-99", "-100"],
        "BHD": ["0.000", "0.001", "0.099", "0.100", "-0.001", "-0.099", "-0.100"],
    }
    said["EUR"] += ["92233720368547758.07", "-92233720368547758.08"]
    said["JPY"] += ["9223372036854775807", "-9223372036854775808"]
    said["BHD"] += ["9223372036854775.807", "-9223372036854775.808"]
    for currency, expected in said.items():
        assert shape([(amount, currency) for amount in amounts]) == [f'"{text}"' for text in expected]
    mixed = [(amount, currency) for currency in said for amount in amounts]
    assert shape(mixed) == [f'"{text}"' for texts in said.values() for text in texts]
