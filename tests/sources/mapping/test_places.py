"""Where the keys of a rule file stand is known in every form that TOML has."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sources.mapping.places import places
from sources.mapping.starter import starter_text


def lines_by_reading(text: str) -> dict[Any, int]:
    return dict(places(text))


def test_keys_are_found_in_every_form_that_toml_has() -> None:
    text = "\n".join(
        [
            "# a comment with [brackets] and = signs",
            'a.b."c d" = 1',
            "text = '''",
            "x = 1",
            "'''",
            'more = """\\',
            '  a \\""" "b" [',
            '"""',
            "list = [ # [",
            "  1, '#]',",
            "  { q = [2,",
            "    3], 'r' = \"}\" },",
            "]",
            "when = 2026-01-01 10:00:00",
            "[t.'u v']",
            "w = true",
            "[[z]]",
            "[[z.y]]",
            "k = 1",
            "[[z.y]]",
            "k = 2",
            "[z.y.m]",
            "n = 1",
            "[[z]]",
            '"\\u0041" = 1',
        ]
    )
    tomllib.loads(text)
    found = places(text)
    expected = {
        ("a", "b", "c d"): 2,
        ("text",): 3,
        ("more",): 6,
        ("list", 0): 10,
        ("list", 2): 11,
        ("list", 2, "q", 1): 12,
        ("list", 2, "r"): 12,
        ("when",): 14,
        ("t", "u v", "w"): 16,
        ("z", 0, "y", 0, "k"): 19,
        ("z", 0, "y", 1, "k"): 21,
        ("z", 0, "y", 1, "m", "n"): 23,
        ("z", 1): 24,
        ("z", 1, "A"): 25,
    }
    assert {path: found[path] for path in expected} == expected


def paths(value: Any, before: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path for key, each in inner for path in ({(*before, key)} | paths(each, (*before, key)))}


def test_every_key_of_the_starter_rules_is_found() -> None:
    text = starter_text()
    assert paths(tomllib.loads(text)) <= set(places(text))


VALUES = st.sampled_from(
    ["1", "'a b'", '"\\" ]"', "[]", "[1, [2], ]", "{}", "{ x = 1, y.z = 'q' }", "'''\n]\n'''", '"""a"""', "[\n # c\n {a=1}]", "1.5", "true"]
)  # fmt: skip
KEYS = st.sampled_from(["a", "b-1", '"c d"', "'e.f'", "g.h", '"\\u00e9"'])


@given(st.lists(st.one_of(st.tuples(KEYS, VALUES), st.sampled_from(["[t]", "[[u]]", "[[u.v]]", "[u.w]"])), max_size=12))
def test_whatever_tomllib_reads_is_found(parts: list[Any]) -> None:
    """Every path of its values has a line."""
    text = "\n".join(part if isinstance(part, str) else f"{part[0]} = {part[1]}  # {part[1][:1]}" for part in parts)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = places(text)
    assert paths(values) <= set(found)
    assert all(1 <= line <= text.count("\n") + 1 for line in found.values())
