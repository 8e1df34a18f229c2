"""Expressions compute exactly with a document's fields, and can do nothing else."""

from __future__ import annotations

import contextlib
import warnings
from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.mapping.language import BadExpression, ExpressionFailed, Vocabulary, as_date, expression, template

FIELDS = {
    "total": 12_345,
    "tax": None,
    "name": "Blue Harbor",
    "day": date(2026, 1, 31),
    "paid": True,
    "lines": [1, 2],
    "half": 0.5,
    "party": {"name": "Ada", "items": "its own field", "group": {"code": "x"}},
    "item": {"amount": 7, "quantity": "2.50"},
}
VOCABULARY = Vocabulary(FIELDS, {"amount", "quantity"}, {"party": {"name", "items", "group"}})


def value(text: str) -> Any:
    return expression(text, VOCABULARY)(FIELDS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("total", 12_345),
        ("party.name", "Ada"),
        ("party.items", "its own field"),
        ("party.group.code", "x"),
        ("party.group.missing.more", None),
        ("name.upper", None),
        ("item.amount", 7),
        ("total * 19 / 100", Fraction(234_555, 100)),
        ("round(total * 0.19)", 2_346),
        ("round(total * 0.1)", 1_234),
        ("round(0.5) + round(1.5) + round(2.5)", 4),
        ("total // 100 + total % 100", 168),
        ("-total + 1", -12_344),
        ("abs(-3) + min(1, 2) + max(1, 2)", 6),
        ("0.1 + 0.2 == 0.3", True),
        ("2 * 0.5", 1),
        ("tax or 0", 0),
        ("name if tax == None else tax", "Blue Harbor"),
        ("total > 100 and name == 'Blue Harbor'", True),
        ("name in ['Ada', 'Blue Harbor'] and 'Blue' in name", True),
        ("not lines", False),
        ("lower(name) + '/' + upper(name)", "blue harbor/BLUE HARBOR"),
        ("starts_with(name, 'Blue') and not ends_with(name, 'Blue')", True),
        ("round(number(item.quantity) * 100)", 250),
        ("date('2026-01-31') == day", True),
        ("day >= date('2026-01-01') and day < date('2027-01-01')", True),
        ("month_end(date('2024-02-05'))", date(2024, 2, 29)),
        ("day(1767225600)", date(2026, 1, 1)),
        ("day(tax)", None),
        ("1 < 2 < 3 != 4", True),
        ("'{' + name + '}'", "{Blue Harbor}"),
    ],
)
def test_what_expressions_give(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@given(st.integers(-(10**18), 10**18), st.decimals(-1000, 1000, places=4))
def test_arithmetic_is_exact(total: int, factor: Any) -> None:
    found = expression(f"total * {factor:f} / 3", Vocabulary({"total"}))({"total": total})
    assert found == Fraction(total) * Fraction(factor) / 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("totl", "is total meant"),
        ("total.", "is no expression"),
        ("", "is no expression"),
        ("total total", "is no expression"),
        ("item.amont", "is item.amount meant"),
        ("party.__class__", "party.__class__ is not known"),
        ("name.__class__.__mro__()", "calls what is no function"),
        ("().__class__.__bases__[0].__subclasses__()", "calls what is no function|has a"),
        ("(1).real", "dot after a value"),
        ("'a'.join(lines)", "calls what is no function"),
        ("name.format(total)", "calls what is no function"),
        ("__import__('os').system('true')", "calls what is no function"),
        ("__import__('os')", "is not known"),
        ("open('/etc/passwd')", "is not known"),
        ("eval('1')", "is not known"),
        ("lines[0]", "Subscript"),
        ("[x for x in lines]", "ListComp"),
        ("(lambda: 1)()", "calls what is no function"),
        ("lambda: 1", "Lambda"),
        ("{'a': 1}", "Dict"),
        ("{1, 2}", "Set"),
        ("f'{name}'", "JoinedStr"),
        ("(total := 3)", "NamedExpr"),
        ("9 ** 9 ** 9", "Pow"),
        ("1 << 1000000", "LShift"),
        ("total | 1", "BitOr"),
        ("total is None", "has a Is"),
        ("1e400", "digits on both sides"),
        ("1e-999999999", "digits on both sides"),
        ("1. + 1", "digits on both sides"),
        ("1j", "complex"),
        ("b'x'", "bytes"),
        ("...", "ellipsis"),
        ("abs(-1, 2)", "too many positional arguments"),
        ("abs(value=1)", "missing|without names"),
        ("min(*lines)", "Starred"),
        ("day(seconds=1)", "without names|missing"),
        ("'\\d'", "is no expression"),
        ("1if total else 2", "is no expression"),
        ("a\0b", "is no expression"),
        ("total +" * 200 + "1", "at most 500"),
        ("-" * 60 + "1", "too deeply nested"),
        ("(" * 240 + "1" + ")" * 240, "is no expression|too deeply"),
        ("+".join(["1"] * 150), "too long or too deeply nested"),
    ],
)
def test_what_the_language_does_not_have_is_refused_when_it_is_read(text: str, reason: str) -> None:
    """Nothing of it is ever run; no warning of Python's parser comes through."""
    with pytest.raises(BadExpression, match=reason):
        expression(text, VOCABULARY)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tax + 1", "a field is empty"),
        ("name + 1", "a text is no number"),
        ("name * 1000000", "a text is no number"),
        ("lines * 1000000", "a list is no number"),
        ("paid + 1", "true or false is no number"),
        ("half + 1", "floating-point"),
        ("total / 0", "divides by zero"),
        ("total // 0", "divides by zero"),
        ("total % 0", "divides by zero"),
        ("tax > 1", "a field is empty"),
        ("name > 1", "a text is no number"),
        ("day > '2026'", "no number"),
        ("1 in total", "needs a list or a text"),
        ("total in name", "no text"),
        ("lower(total)", "no text"),
        ("number(name)", "no decimal number"),
        ("date(name)", "a text is no date"),
        ("day(-1)", "seconds since 1970"),
        ("round(name)", "no number"),
        ("*".join(["total"] * 40), "too large"),
        ("1 / (" + "*".join(["total"] * 40) + ")", "too large"),
        ("+".join(["name"] * 40), None),
    ],
)
def test_values_that_cannot_be_computed_with_are_told(text: str, reason: str | None) -> None:
    """The message says what is wrong, and no value of a field."""
    if reason is None:
        assert len(value(text)) == 440
        return
    with pytest.raises(ExpressionFailed, match=reason) as failure:
        value(text)
    assert "Blue Harbor" not in str(failure.value)
    assert "12345" not in str(failure.value)


def test_texts_stay_short() -> None:
    fields = {"name": "x" * 1_500}
    with pytest.raises(ExpressionFailed, match="too long"):
        expression("name + name", Vocabulary(fields))(fields)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    """And what is read can be computed, or says why not."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for read in (expression, template):
            try:
                compute = read(text, VOCABULARY)
            except BadExpression:
                continue
            with contextlib.suppress(ExpressionFailed):
                compute(FIELDS)


WORDS = (
    "total name tax item.amount party.name ( ) [ ] , . + - * / // % ** << and or not in is if else for x lambda : = == < 1 0.5 "
    "'a' __class__ abs round min max number date day month_end lower None True 99999999999999999999"
)


@given(st.lists(st.sampled_from(WORDS.split()), max_size=25).map(" ".join))
def test_any_words_of_the_language_are_read_or_refused(text: str) -> None:
    try:
        compute = expression(text, VOCABULARY)
    except BadExpression:
        return
    try:
        found = compute(FIELDS)
    except ExpressionFailed:
        return
    assert not isinstance(found, float) or text.strip() == "half"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Invoice {total} {party.name}", "Invoice 12345 Ada"),
        ("{tax}", ""),
        ("A {tax} B", "A B"),
        ("{name or total}", "Blue Harbor"),
        ("{day}", "2026-01-31"),
        ("{{{total}}}", "{12345}"),
        ("  spaced\n\tout  ", "spaced out"),
        ("plain", "plain"),
    ],
)
def test_what_templates_give(text: str, expected: str) -> None:
    assert template(text, VOCABULARY)(FIELDS) == expected


@pytest.mark.parametrize("text", ["{", "}", "{total", "{nothing}", "{}", "{a{b}}", "x" * 1_001])
def test_templates_that_cannot_be_filled_in_are_refused(text: str) -> None:
    with pytest.raises(BadExpression):
        template(text, VOCABULARY)


@pytest.mark.parametrize("text", ["{lines}", "{half}", "{paid}", "{party}", "{total / 2}"])
def test_what_is_no_text_does_not_get_into_one(text: str) -> None:
    with pytest.raises(ExpressionFailed):
        template(text, VOCABULARY)(FIELDS)


@given(st.text(max_size=200))
def test_a_templates_text_is_one_printable_line(name: str) -> None:
    """Whatever a source states: the ledger takes it."""
    found = template("{name}", Vocabulary({"name"}))({"name": name})
    assert not any(
        character < " " or "\x7f" <= character <= "\x9f" or "\ud800" <= character <= "\udfff" for character in found
    )
    assert found == found.strip()


def test_dates_are_read_from_their_texts() -> None:
    assert as_date("2026-01-31") == as_date(date(2026, 1, 31)) == date(2026, 1, 31)
    assert as_date(None) is None
    for wrong in ("31.1.2026", 5, True, []):
        with pytest.raises(ExpressionFailed, match="no date"):
            as_date(wrong)
