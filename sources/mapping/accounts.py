"""Accounts as rules state them: by name, by code, by lookup table, by expression. No I/O.

A text of a-z, digits and _ that begins with a letter is a name of [accounts]; any other is a code of the ledger, and
{ code = "cash" } is a code that looks like a name. A name may itself stand for a table or an expression; an entry of a table
is a code, or a name that stands for one.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sources.mapping.compiled import Account, NotMapped
from sources.mapping.language import Getter, Scope, Vocabulary, meant, shown, unknown
from sources.mapping.model import UnmappedCode
from sources.mapping.nodes import Node
from sources.mapping.starter import STARTER_NAME

NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
"""The form of a name for an account; any other text is a code."""
_PLAIN_FORMS: Final = 'a name, a code or { code = "…" }'
_FORMS: Final = 'a name, a code, { code = "…" }, { table = "…", key = "…" } or { expression = "…" }'
MAX_CODE: Final = 255
MAX_NESTING: Final = 8

_ABSENT: Final[Account] = ""
"""Stands for an account that was noted as a fault."""


class Accounts:
    """The named accounts and tables of a rule file and of what it extends; the file's own come first."""

    def __init__(self) -> None:
        self._accounts: dict[str, Node] = {}
        self._tables: dict[str, dict[str, Node]] = {}
        self._mentioned: set[str] = set()
        self._used_tables: dict[str, dict[str, Account]] = {}
        self._computed = False
        self._file = ""

    def add(self, root: Node) -> None:
        """Takes in [accounts] and [tables] of a file; what is there already is replaced, key by key."""
        self._file = root.text.file
        accounts = root.table("accounts")
        if accounts is not None:
            for name in accounts.values:
                if not NAME.fullmatch(name):
                    accounts.fault("a name begins with a-z and goes on with a-z, 0-9 and _", name)
                self._accounts[name] = accounts
        tables = root.table("tables")
        if tables is not None:
            for name in tables.values:
                table = tables.table(name)
                entries = self._tables.setdefault(name, {})
                if table is not None:
                    entries.update(dict.fromkeys(table.values, table))

    def unused(self, root: Node) -> None:
        """Notes the file's own accounts and tables that no rule calls for: most likely misspelt."""
        if self._computed:
            return
        for kind, known, used in (
            ("accounts", self._accounts, self._mentioned),
            ("tables", self._tables, set(self._used_tables)),
        ):
            stated = root.values.get(kind)
            if not isinstance(stated, dict):
                continue
            for name in stated:
                if name in known and name not in used:
                    close = meant(name, used.difference(stated))
                    root.fault(f"no rule uses {name}{close or '; leave it out'}", kind, name)

    def of(self, node: Node, key: str, vocabulary: Vocabulary) -> Account:
        """The account stated under `key`. Faults are noted."""
        return self._of(node.values.get(key), node, key, vocabulary, ())

    def named(self, name: str, vocabulary: Vocabulary) -> Account:
        """The account of this name, for what the program itself posts; where none is stated it raises when it is needed."""
        self._mentioned.add(name)
        return self._stated(name, vocabulary, ()) if name in self._accounts else self._missing(name)

    def _of(self, value: Any, node: Node, key: str, vocabulary: Vocabulary | None, before: tuple[str, ...]) -> Account:
        """Without a vocabulary: a code, or a name that stands for one."""
        if isinstance(value, str) and value.strip():
            if not NAME.fullmatch(value):
                return self._code(value, node, key)
            return self._by_name(value, node, key, vocabulary, before)
        forms = _FORMS if vocabulary else _PLAIN_FORMS
        if not isinstance(value, dict):
            node.fault(f"{key} is missing: state {forms}" if value is None else f"must be {forms}", key)
            return _ABSENT
        inner = node.under(value, key)
        if set(value) == {"code"}:
            return self._code(inner.string("code"), inner, "code")
        if vocabulary and set(value) == {"table", "key"}:
            return self._by_table(inner, vocabulary)
        if vocabulary and set(value) == {"expression"}:
            return self._by_expression(inner, vocabulary)
        node.fault(f"must be {forms}", key)
        return _ABSENT

    def _code(self, code: str | None, node: Node, key: str) -> Account:
        if code is None:
            return _ABSENT
        if len(code) > MAX_CODE or not code.isprintable():
            node.fault(f"a code has at most {MAX_CODE} printable characters", key)
        return code

    def _by_name(
        self, name: str, node: Node, key: str, vocabulary: Vocabulary | None, before: tuple[str, ...]
    ) -> Account:
        self._mentioned.add(name)
        if name in before or len(before) >= MAX_NESTING:
            node.fault(f"the names {', '.join((*before, name))} go round in a circle", key)
            return _ABSENT
        if name in self._accounts:
            return self._stated(name, vocabulary, (*before, name))
        if node.text.own:
            known = unknown(name, {*self._accounts, *self._mentioned} - {name})
            node.fault(f'{known}; state {name} = "…" under [accounts], or {{ code = "{name}" }} for a code', key)
            return _ABSENT
        return self._missing(name)

    def _stated(self, name: str, vocabulary: Vocabulary | None, before: tuple[str, ...]) -> Account:
        node = self._accounts[name]
        return self._of(node.values[name], node, name, vocabulary, before or (name,))

    def _missing(self, name: str) -> Account:
        message = f"the rules call for the account {name}, which {_whose(self._file)} does not state"
        hint = _to_state(f'{name} = "…" with a code of the ledger', "accounts", self._file)

        def missing(scope: Scope) -> str:
            raise NotMapped(UnmappedCode.UNKNOWN_ACCOUNT_NAME, message, hint)

        return missing

    def _by_table(self, node: Node, vocabulary: Vocabulary) -> Account:
        name, key = node.string("table"), node.expression("key", vocabulary)
        if name is None or key is None:
            return _ABSENT
        if name not in self._tables:
            node.fault(f"{unknown(name, self._tables)}; state it as [tables.{name}]", "table")
            return _ABSENT
        if name not in self._used_tables:
            stated = self._tables[name].items()
            self._used_tables[name] = {
                entry: self._of(table.values[entry], table, entry, None, ()) for entry, table in stated
            }
        return _lookup(name, key, self._used_tables[name], self._file)

    def _by_expression(self, node: Node, vocabulary: Vocabulary) -> Account:
        # Of the built-in rules, whose expressions give codes, no name is meant.
        self._computed = self._computed or node.text.own
        compute = node.expression("expression", vocabulary)
        if compute is None:
            return _ABSENT
        named: dict[str, Account] = {}
        for name in self._accounts:
            value = self._accounts[name].values[name]
            if isinstance(value, str) and not NAME.fullmatch(value):
                named[name] = value
        return _computed(compute, named, self._missing)


def _whose(file: str) -> str:
    return "no rule file of the ledger" if file == STARTER_NAME else file


def _to_state(entry: str, table: str, file: str) -> str:
    """What to do where something is not stated. A ledger without rules of its own needs a file first."""
    if file != STARTER_NAME:
        return f"State {entry} under [{table}] of {file}."
    command = "`ledgergraph map --ledger CODE --file FILE`"
    return f'State {entry} under [{table}] of a file that begins with extends = "starter", and make it the ledger\'s rules by {command}.'


def _lookup(name: str, key: Getter, entries: dict[str, Account], file: str) -> Account:
    default = entries.get("default")

    def find(scope: Scope) -> str:
        value = key(scope)
        if type(value) is tuple:  # the first of several that the table has
            stated = [each for each in map(shown, value) if each]
            wanted = next((each for each in stated if each in entries), stated[0] if stated else "")
        else:
            wanted = shown(value)
        found = entries.get(wanted, default)
        if found is None:
            message = f"the table {name} has nothing for {wanted[:100]!r} and no default"
            hint = _to_state(f'"{wanted[:100]}" = "…", or a default,', f"tables.{name}", file)
            raise NotMapped(UnmappedCode.NO_TABLE_ENTRY, message, hint)
        return found if isinstance(found, str) else found(scope)

    return find


def _computed(compute: Getter, named: dict[str, Account], missing: Any) -> Account:
    def find(scope: Scope) -> str:
        code = shown(compute(scope)).strip()[:MAX_CODE]
        found = named.get(code) or (missing(code) if NAME.fullmatch(code) or not code else code)
        return found if isinstance(found, str) else str(found(scope))

    return find
