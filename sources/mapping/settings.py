"""What a rule file decides once for all of its rules: texts, whole numbers, true or false, and tables of such. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sources.mapping.language import unknown
from sources.mapping.nodes import Node

Settings = Mapping[str, Any]


def read_settings(root: Node, starter: Node | None) -> Settings:
    """[settings] of a file over those of the built-in rules, which say what kind of value each of theirs takes; tables are joined
    key by key. Faults are noted."""
    inherited = starter.table("settings") if starter else None
    found: dict[str, Any] = dict(inherited.values) if inherited else {}
    own = root.table("settings")
    for name, value in own.values.items() if own else ():
        assert own is not None
        if name not in found and f"settings.{name}" not in repr(root.values.get("rules")):
            own.fault(f"{unknown(name, found)}; no rule uses settings.{name}", name)
        if not _is_taken(value):
            own.fault("must be a text, a whole number, true or false, or a table of such", name)
        elif name in found and type(value) is not type(found[name]):
            own.fault(f"must be {_WORDS[type(found[name])]}", name)
        else:
            before = found.get(name)
            found[name] = {**before, **value} if isinstance(before, dict) else value
    return found


def _is_taken(value: Any) -> bool:
    if isinstance(value, dict):
        return all(type(each) in (str, int, bool) for each in value.values())
    return type(value) in (str, int, bool)


_WORDS: Mapping[type, str] = {str: "a text", int: "a whole number", bool: "true or false", dict: "a table"}
