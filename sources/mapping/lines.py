"""Reading the postings and lines of a rule. No I/O."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from sources.mapping.accounts import MAX_CODE, Accounts
from sources.mapping.compiled import Account, LineRule, PostingRule, Spread
from sources.mapping.facts import GROUPS, ITEMS, NAMES
from sources.mapping.language import Getter, Vocabulary
from sources.mapping.nodes import Node
from sources.mapping.splitting import whole_weights
from sources.money import DECIMAL

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
"""Of rules and postings."""

_DIMENSION = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_RATE_TYPE = re.compile(r"[a-z][a-z0-9_-]{0,30}", re.ASCII)
_MAX_DIMENSIONS: Final = 16
POSTING_KEYS: Final = (
    *("name", "date", "document_date", "description", "reference", "journal"),
    *("if", "rate_type", "rate_on", "spread", "lines"),
)
LINE_KEYS: Final = (
    *("account", "split", "debit", "credit", "currency", "rate_on", "before", "carried"),
    *("each", "if", "description", "tax_code", "dimensions"),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the lines of one rule are read with."""

    kind: str
    accounts: Accounts
    rate_type: str
    settings: Collection[str] = ()


def vocabulary(kind: str, item: Collection[str] | None = None, settings: Collection[str] = ()) -> Vocabulary:
    """The names of a kind of document, of an item of one of its lists, and of the settings of the rules."""
    return Vocabulary(NAMES[kind] | {"settings"}, item, {**GROUPS, "settings": settings})


def read_posting(node: Node, reading: Reading) -> PostingRule | None:
    """The posting; None where it has a fault that leaves nothing to run."""
    node.only(*POSTING_KEYS)
    names = vocabulary(reading.kind, None, reading.settings)
    name = node.string("name", required=True)
    if name is not None and not NAME.fullmatch(name):
        node.fault("a name has a-z, 0-9, _ and -, at most 63", "name")
    journal = node.string("journal")
    if journal is not None and (len(journal) > MAX_CODE or not journal.isprintable()):
        node.fault(f"a journal has at most {MAX_CODE} printable characters", "journal")
    day = node.expression("date", names, required=True)
    description = node.template("description", names, required=True)
    spread = _read_spread(node, reading.kind)
    lines = [_read_line(each, reading) for each in node.tables("lines", required=True)]
    if "lines" in node.values and isinstance(node.values["lines"], list) and len(lines) < 1:
        node.fault("a posting has lines, each under [[rules.postings.lines]]", "lines")
    if spread is not None and any(line and (line.before or line.carried) for line in lines):
        node.fault("the lines of a posting with a spread take no before and no carried", "spread")
    document_date = node.expression("document_date", names)
    reference = node.template("reference", names)
    condition = node.expression("if", names)
    rate_type = read_rate_type(node) or reading.rate_type
    if name is None or day is None or description is None:
        return None
    return PostingRule(
        where=node.where,
        name=name,
        date=day,
        date_text=node.values["date"],
        rate_on=node.expression("rate_on", names),
        document_date=document_date,
        description=description,
        reference=reference,
        journal=journal,
        condition=condition,
        rate_type=rate_type,
        spread=spread,
        lines=tuple([line for line in lines if line is not None]),
    )


def read_rate_type(node: Node) -> str | None:
    """The type of exchange rates that a file or a posting asks for."""
    stated = node.string("rate_type")
    if stated is not None and not _RATE_TYPE.fullmatch(stated):
        node.fault("a type of rates begins with a-z and goes on with a-z, 0-9, _ and -, at most 31", "rate_type")
    return stated


def _read_spread(node: Node, kind: str) -> Spread | None:
    """Its days may be an item's: what a line without `each` has as such is None."""
    spread = node.table("spread")
    if spread is None:
        return None
    spread.only("from", "to", "every")
    spread.choice("every", ("month",), required=True)
    items = frozenset[str]().union(*ITEMS[kind].values())
    names = vocabulary(kind, items)
    first, last = (spread.expression(key, names, required=True) for key in ("from", "to"))
    return None if first is None or last is None else Spread(first, last)


def _read_line(node: Node, reading: Reading) -> LineRule | None:
    node.only(*LINE_KEYS)
    each = node.choice("each", tuple(sorted(ITEMS[reading.kind]))) if "each" in node.values else None
    names = vocabulary(reading.kind, ITEMS[reading.kind][each] if each else None, reading.settings)
    side = _side(node)
    amount = node.expression(side, names) if side else None
    account: Account = ""
    weights: tuple[int, ...] = ()
    shares: tuple[Account, ...] = ()
    if "split" not in node.values:
        account = reading.accounts.of(node, "account", names)
    elif "account" in node.values:
        node.fault("a line takes one of account and split", "split")
    else:
        weights, shares = _read_split(node, reading.accounts, names)
    _check_carried(node)
    line = _rest_of_line(node, names)
    if side is None or amount is None:
        return None
    return LineRule(
        where=node.where,
        account=account,
        amount=amount,
        amount_text=node.values[side],
        sign=1 if side == "debit" else -1,
        each=each,
        weights=weights,
        shares=shares,
        **line,
    )


def _rest_of_line(node: Node, names: Vocabulary) -> Mapping[str, Any]:
    return {
        "condition": node.expression("if", names),
        "currency": node.expression("currency", names),
        "rate_on": node.expression("rate_on", names),
        "before": node.expression("before", names),
        "carried": node.expression("carried", names),
        "description": node.template("description", names),
        "tax_code": node.template("tax_code", names),
        "dimensions": _read_dimensions(node, names),
    }


def _check_carried(node: Node) -> None:
    """What is taken out of the books in part, or as the sum of what came in, is one amount on one account."""
    if "split" in node.values and ("before" in node.values or "carried" in node.values):
        node.fault("a line with before or carried takes no split", "split")
    if "before" in node.values and "rate_on" not in node.values:
        node.fault("before needs rate_on: the day whose rate the whole is in the books by", "before")


def _side(node: Node) -> str | None:
    sides = [side for side in ("debit", "credit") if side in node.values]
    if len(sides) == 1:
        return sides[0]
    node.fault("a line takes one of debit and credit", *sides[1:])
    return None


def _read_split(node: Node, accounts: Accounts, names: Vocabulary) -> tuple[tuple[int, ...], tuple[Account, ...]]:
    weights, shares = [], []
    for each in node.tables("split"):
        each.only("share", "account")
        shares.append(accounts.of(each, "account", names))
        weights.append(_share(each))
    if None in weights:
        return (), ()
    try:
        return whole_weights([weight for weight in weights if weight is not None]), tuple(shares)
    except ValueError as error:
        node.fault(str(error), "split")
        return (), ()


def _share(node: Node) -> Fraction | None:
    stated = node.values.get("share")
    if type(stated) is int and abs(stated) < 10**40:
        return Fraction(stated)
    if isinstance(stated, str) and DECIMAL.fullmatch(stated):
        return Fraction(stated)
    node.fault('share must be a number such as 1 or "33.3"', "share")
    return None


def _read_dimensions(node: Node, names: Vocabulary) -> tuple[tuple[str, Getter], ...]:
    dimensions = node.table("dimensions")
    if dimensions is None:
        return ()
    if len(dimensions.values) > _MAX_DIMENSIONS:
        node.fault(f"a line takes at most {_MAX_DIMENSIONS} dimensions", "dimensions")
    found = []
    for name in sorted(dimensions.values):
        if not _DIMENSION.fullmatch(name):
            dimensions.fault("a dimension's name begins with a-z and goes on with a-z, 0-9 and _, at most 63", name)
        value = dimensions.template(name, names)
        if value is not None:
            found.append((name, value))
    return tuple(found)
