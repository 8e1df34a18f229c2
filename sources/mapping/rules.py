"""Rule files: TOML, read and checked into a RuleSet. Every mistake is told with its file, line and key. No I/O.

name = "Acme US"
extends = "starter"            # the built-in rules, after the file's own; one of the same name is replaced by the file's
rate_type = "spot"             # which exchange rates; "spot" where it is not stated
[settings]                     # what the rules decide by, as settings.name
[three_way_match]              # by how much bills may differ from their orders
[accounts]                     # name = account
[tables.tax]                   # key = account; `default` for all else
[[rules]]                      # the first one that takes a document is the one; postings = [] posts nothing
[[rules.postings]]
[[rules.postings.lines]]
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from sources.mapping.accounts import Accounts
from sources.mapping.compiled import Rule, RuleSet
from sources.mapping.facts import KINDS, NAMES, VALUES
from sources.mapping.language import BadExpression, Getter, Vocabulary, expression, unknown
from sources.mapping.lines import NAME, Reading, read_posting, read_rate_type, vocabulary
from sources.mapping.model import InvalidRules, Policy, RuleFault
from sources.mapping.nodes import MAX_FAULTS, Node, RuleText, TooManyFaults
from sources.mapping.places import Path, TooManyParts, places
from sources.mapping.rates import DEFAULT_TYPE
from sources.mapping.settings import Settings, read_settings
from sources.mapping.starter import STARTER_FILE, starter_text
from sources.mapping.tolerances import read_tolerance

MAX_TEXT: Final = 1_000_000
"""Characters of a rule file."""

_STARTER: Final = "starter"
_TOP_KEYS: Final = ("name", "extends", "rate_type", "settings", "three_way_match", "accounts", "tables", "rules")
RULE_KEYS: Final = ("name", "kind", "sources", "when", "if", "policy", "postings")
_IN_COMMON: Final = frozenset.intersection(*NAMES.values())
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


def load(text: str, file: str = "rules.toml", starter: str | None = None) -> RuleSet:
    """Reads and checks a rule file. `file` is what messages call it; `starter`: the built-in rules as they were when it was kept,
    None: as they are now. Raises InvalidRules."""
    root = _parse(text, file, own=True)
    digest = hashlib.sha256(text.encode("utf-8", "replace"))
    extended, kept = None, starter is not None
    if root.values.get("extends") == _STARTER:
        starter = starter or starter_text()
        digest.update(b"\0" + starter.encode())
        extended = _parse(starter, STARTER_FILE, own=False)
    try:
        return _read(root, extended, digest.digest(), kept=kept)
    except TooManyFaults:
        raise _faulty(root, extended) from None


def _read(root: Node, starter: Node | None, digest: bytes, *, kept: bool) -> RuleSet:
    file = root.text.file
    root.only(*_TOP_KEYS)
    name = root.string("name") or file
    rate_type = read_rate_type(root) or DEFAULT_TYPE
    if "extends" in root.values:
        root.choice("extends", (_STARTER,))
    accounts = Accounts()
    if starter:
        accounts.add(starter)
    accounts.add(root)
    settings = read_settings(root, starter)
    own = _read_rules(root, accounts, rate_type, settings)
    inherited = _read_rules(starter, accounts, rate_type, settings) if starter else []
    common = Vocabulary(_IN_COMMON)
    rounding, gain, loss = (accounts.named(each, common) for each in ("rounding", "exchange_gain", "exchange_loss"))
    if not kept:  # what was taken once is not refused by a later program
        accounts.unused(root)
    tolerance = read_tolerance(root)
    if root.text.faults or (starter and starter.text.faults):
        raise _faulty(root, starter)
    replaced = {rule.name for rule in own}
    rules = own + [rule for rule in inherited if rule.name not in replaced]
    by_kind = {kind: tuple([rule for rule in rules if rule.kind == kind]) for kind in KINDS}
    return RuleSet(name, file, digest, by_kind, rounding, gain, loss, settings, tolerance=tolerance)


def _faulty(*roots: Node | None) -> InvalidRules:
    faults = {fault: None for root in roots if root for fault in root.text.faults}
    return InvalidRules(tuple(sorted(faults, key=lambda fault: (fault.file, fault.line))[:MAX_FAULTS]))


def _parse(text: str, file: str, *, own: bool) -> Node:
    if len(text) > MAX_TEXT:
        raise InvalidRules((RuleFault(file, 1, "", f"a rule file has at most {MAX_TEXT:,} characters"),))
    text = text.replace("\r\n", "\n")
    found: Mapping[Path, int] = {}
    try:
        found = places(text)
    except TooManyParts as error:
        raise InvalidRules((RuleFault(file, error.line, "", str(error)),)) from None
    except (LookupError, RecursionError, ValueError):
        pass  # no TOML: tomllib says why
    try:
        text.encode()
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = _PLACE.search(message)
        line = int(place[1]) if place and place[1] else text.count("\n") + 1
        raise InvalidRules((RuleFault(file, line, "", f"is no TOML: {_PLACE.sub('', message)}"),)) from None
    except (RecursionError, ValueError):
        raise InvalidRules(
            (RuleFault(file, 1, "", "is no TOML: not UTF-8, nested too deeply, or a number too long"),)
        ) from None
    return Node(RuleText(file, own, found), (), values)


# ---------------------------------------------------------------- rules


def _read_rules(root: Node, accounts: Accounts, rate_type: str, settings: Settings) -> list[Rule]:
    found: list[Rule] = []
    names: set[str] = set()
    for node in root.tables("rules"):
        rule = _read_rule(node, accounts, rate_type, settings)
        name = node.values.get("name")
        if isinstance(name, str):
            if name in names:
                node.fault(f"there are two rules with the name {name}", "name")
            names.add(name)
        if rule is not None:
            found.append(rule)
    return found


def _read_rule(node: Node, accounts: Accounts, rate_type: str, settings: Settings) -> Rule | None:
    node.only(*RULE_KEYS)
    name = node.string("name", required=True)
    if name is not None and not NAME.fullmatch(name):
        node.fault("a name has a-z, 0-9, _ and -, at most 63", "name")
    kind = node.choice("kind", KINDS, required=True)
    policy = node.choice("policy", [each.value for each in Policy]) if "policy" in node.values else None
    sources = node.strings("sources")
    if kind is None:
        return None
    when = _read_when(node, kind)
    condition = node.expression("if", vocabulary(kind, None, settings))
    postings = _read_postings(node, Reading(kind, accounts, rate_type, settings))
    return Rule(
        where=node.where,
        name=name or "",
        kind=kind,
        sources=frozenset(sources) if sources else None,
        when=when,
        condition=condition,
        policy=Policy(policy) if policy else Policy.AUTOMATIC,
        postings=postings,
    )


def _read_postings(node: Node, reading: Reading) -> Any:
    if "postings" not in node.values:
        node.fault("a rule states its postings, each under [[rules.postings]], or postings = [] to post nothing")
        return ()
    found = []
    names: set[str] = set()
    for each in node.tables("postings"):
        posting = read_posting(each, reading)
        if posting is not None:
            if posting.name in names:
                each.fault(f"the rule has two postings with the name {posting.name}", "name")
            names.add(posting.name)
            found.append(posting)
    return tuple(found)


def _read_when(node: Node, kind: str) -> tuple[tuple[Getter, tuple[Any, ...]], ...]:
    when = node.table("when")
    found = []
    for path, value in _flat(when.values if when else {}):
        assert when is not None
        try:
            getter = expression(".".join(path), vocabulary(kind))
        except BadExpression as error:
            when.fault(str(error), *path)
            continue
        values = value if isinstance(value, list) else [value]
        if not values or not all(type(each) in (str, int, bool, date) for each in values):
            when.fault("must be a text, a whole number, true or false, a date, or a list of such", *path)
            continue
        known = VALUES.get((kind, ".".join(path)))
        for each in values:
            if known is not None and each not in known:
                when.fault(f"{unknown(str(each), known)}; it is one of {', '.join(sorted(known))}", *path)
        found.append((getter, tuple(values)))
    return tuple(found)


def _flat(values: Mapping[str, Any], before: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """`when = { party.external_id = "x" }` is a table in a table."""
    found = []
    for key, value in values.items():
        found += _flat(value, (*before, key)) if isinstance(value, dict) else [((*before, key), value)]
    return found
