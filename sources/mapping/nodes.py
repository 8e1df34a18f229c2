"""Reading a rule file's values by key, with every mistake noted where it stands. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sources.mapping.language import BadExpression, Getter, Vocabulary, expression, template, unknown
from sources.mapping.model import RuleFault
from sources.mapping.places import Path, line_of

MAX_FAULTS: Final = 100
"""As many mistakes are told at once."""
_MOST_NOTED: Final = 1_000
"""Rules that share an account or table note its mistake each."""


class TooManyFaults(Exception):
    """Nothing more is read of a file with so many mistakes."""


@dataclass(slots=True)
class RuleText:
    """One file: its name, where its keys stand, and the mistakes found so far. `own`: the user's, not a built-in one."""

    file: str
    own: bool
    places: Mapping[Path, int]
    faults: list[RuleFault] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Node:
    """A table of the file. Whatever is asked for and is not right is noted as a fault and answered as absent."""

    text: RuleText
    path: Path
    values: Mapping[str, Any]

    @property
    def where(self) -> str:
        return f"{self.text.file}:{line_of(self.text.places, self.path)}"

    def fault(self, message: str, *keys: str | int) -> None:
        path = (*self.path, *keys)
        self.text.faults.append(RuleFault(self.text.file, line_of(self.text.places, path), key_text(path), message))
        noted = len(self.text.faults)
        if noted >= _MOST_NOTED or (noted >= MAX_FAULTS and len(set(self.text.faults)) >= MAX_FAULTS):
            raise TooManyFaults

    def only(self, *known: str) -> None:
        """Notes keys that are not among these."""
        for key in self.values:
            if key not in known:
                self.fault(f"{unknown(key, known)}; the keys here are {', '.join(known)}", key)

    def get(self, key: str, kind: type, words: str, *, required: bool = False) -> Any:
        value = self.values.get(key)
        if value is None:
            if required:
                self.fault(f"{key} is missing: state {words}", key)
            return None
        if type(value) is not kind:
            self.fault(f"must be {words}", key)
            return None
        return value

    def string(self, key: str, *, required: bool = False) -> str | None:
        """A text that is not blank."""
        value = self.get(key, str, "a text", required=required)
        if value is not None and not value.strip():
            self.fault("must not be blank", key)
            return None
        return None if value is None else str(value)

    def strings(self, key: str) -> tuple[str, ...] | None:
        """A list of at least one text."""
        value = self.get(key, list, "a list of texts")
        if value is None:
            return None
        if not value or not all(isinstance(each, str) and each.strip() for each in value):
            self.fault("must be a list of texts", key)
            return None
        return tuple(value)

    def choice(self, key: str, known: Collection[str], *, required: bool = False) -> str | None:
        value = self.string(key, required=required)
        if value is not None and value not in known:
            self.fault(f"{unknown(value, known)}; it is one of {', '.join(known)}", key)
            return None
        return value

    def table(self, key: str, *, required: bool = False) -> Node | None:
        value = self.get(key, dict, "a table", required=required)
        return None if value is None else self.under(value, key)

    def tables(self, key: str, *, required: bool = False) -> list[Node]:
        value = self.get(key, list, "tables, each under [[…]]", required=required)
        found = []
        for index, each in enumerate(value or ()):
            if isinstance(each, dict):
                found.append(self.under(each, key, index))
            else:
                self.fault("must be a table", key, index)
        return found

    def under(self, values: Mapping[str, Any], *keys: str | int) -> Node:
        return Node(self.text, (*self.path, *keys), values)

    def expression(self, key: str, vocabulary: Vocabulary, *, required: bool = False) -> Getter | None:
        text = self.string(key, required=required)
        try:
            return None if text is None else expression(text, vocabulary)
        except BadExpression as error:
            self.fault(str(error), key)
            return None

    def template(self, key: str, vocabulary: Vocabulary, *, required: bool = False) -> Getter | None:
        text = self.string(key, required=required)
        try:
            return None if text is None else template(text, vocabulary)
        except BadExpression as error:
            self.fault(str(error), key)
            return None


def key_text(path: Path) -> str:
    """("rules", 2, "postings", 0) -> "rules[2].postings[0]"."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
