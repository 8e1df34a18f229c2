"""Random valid documents over a schema, with their variables: what differential tests run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLSchema,
    Undefined,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_composite_type,
    is_enum_type,
    is_input_object_type,
    is_interface_type,
    is_list_type,
    is_non_null_type,
    is_required_argument,
    is_required_input_field,
)
from hypothesis import strategies as st

Pools = Mapping[str, Sequence[Any]]
"""Values to draw from, by argument or input field name, by "Type.field(argument)", by "Input.field"; whole inputs by "Input"."""
WHOLE = 0.7
"""How often an input comes whole from its pool, where there is one."""


WAYS = ("nodes", "edges", "node")
"""Fields of connections that lead to what is listed, without which most documents would say little."""


@dataclass(frozen=True)
class Document:
    """A text with several operations names the one to run. `others`: other values of its variables."""

    text: str
    variables: dict[str, Any]
    operation_name: str | None
    others: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Documents:
    """Which documents: of one operation type, over some or all of its root fields, never selecting the fields in `leave`
    ("Type.field"). `inputs`: how often an optional input field is stated."""

    schema: GraphQLSchema
    pools: Pools
    operation: str = "query"
    depth: int = 5
    roots: frozenset[str] | None = None
    leave: frozenset[str] = frozenset()
    inputs: float = 0.2

    def strategy(self) -> st.SearchStrategy[Document]:
        return st.integers(0, 2**48).map(self.document)

    def document(self, seed: int) -> Document:
        """The same for the same seed."""
        return _Writer(self, Random(seed)).document()


@dataclass
class _Writer:
    """One document in the making. `left`: how many more fields it may have."""

    of: Documents
    random: Random
    left: int = 40
    aliases: int = 0
    declared: dict[str, str] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)
    fragments: dict[str, tuple[str, str]] = field(default_factory=dict)

    def document(self) -> Document:
        kind: Any = {"query": self.of.schema.query_type, "mutation": self.of.schema.mutation_type}[self.of.operation]
        fields = {name: each for name, each in kind.fields.items() if self.of.roots is None or name in self.of.roots}
        names = self.random.choices(sorted(fields), k=self.random.choice((1, 1, 2, 3)))
        parts = [self.field(kind, name, fields[name], self.of.depth) for name in names]
        if self.of.operation == "query" and self.maybe(0.1):
            parts.insert(self.random.randrange(len(parts) + 1), self.introspection())
        body = " ".join(self.grouped(kind, parts))
        declared = f"({', '.join(self.declared.values())})" if self.declared else ""
        name = "It" if self.maybe(0.3) else ""
        texts = [f"{self.of.operation} {name}{declared} {{ {body} }}"]
        texts += [f"fragment {each} on {on} {text}" for each, (on, text) in self.fragments.items()]
        several = bool(name) and self.maybe(0.3)
        texts += ["query Another { __typename }"] if several else []
        self.random.shuffle(texts)
        if self.maybe(0.05):
            self.given["nobodyAskedFor"] = 1
        chosen = name if several or (name and self.maybe(0.5)) else None
        return Document(" ".join(texts), self.given, chosen, self.others)

    def maybe(self, chance: float) -> bool:
        return self.random.random() < chance

    # ------------------------------------------------------------ selections

    def field(self, parent: Any, name: str, definition: GraphQLField, depth: int, mixed: bool = False) -> str:
        """`mixed`: other types' fields may stand beside it, with another type under the same name."""
        self.left -= 1
        arguments = [
            f"{argument}: {self.argument(f'{parent.name}.{name}', argument, given)}"
            for argument, given in definition.args.items()
            if is_required_argument(given) or self.maybe(0.25)
        ]
        alias = ""
        if definition.args or (mixed and self.maybe(0.7)) or self.maybe(0.1):
            self.aliases += 1
            alias = f"a{self.aliases}: "
        head = f"{alias}{name}" + (f"({', '.join(arguments)})" if arguments else "")
        named = get_named_type(definition.type)
        if not is_composite_type(named):
            return head + self.switches()
        texts = [f"{head}{self.switches()} {self.selection(named, depth - 1)}"]
        if self.maybe(0.08):  # the same field once more: their selections are merged
            texts.append(f"{head}{self.switches()} {self.selection(named, depth - 1)}")
        return " ".join(texts)

    def selection(self, kind: Any, depth: int, mixed: bool = False) -> str:
        parts = ["__typename"] if self.maybe(0.2) else []
        if is_abstract_type(kind):
            parts += self.members(kind, depth)
        if hasattr(kind, "fields"):
            parts += self.fields(kind, depth, mixed or is_abstract_type(kind))
        self.random.shuffle(parts)
        return f"{{ {' '.join(self.grouped(kind, parts) or ['__typename'])} }}"

    def fields(self, kind: Any, depth: int, mixed: bool) -> list[str]:
        open_ = [
            name
            for name, each in kind.fields.items()
            if f"{kind.name}.{name}" not in self.of.leave
            and (not is_composite_type(get_named_type(each.type)) or (depth > 0 and self.left > 0))
        ]
        chosen = self.random.choices(sorted(open_), k=self.random.randrange(1, 6)) if open_ else []
        chosen += [name for name in open_ if self.left > 0 and name in WAYS and self.maybe(0.7)]
        return [self.field(kind, name, kind.fields[name], depth, mixed) for name in chosen]

    def members(self, kind: Any, depth: int) -> list[str]:
        """Fragments on types that may stand in an abstract one's place, other interfaces among them."""
        possible = {member.name for member in self.of.schema.get_possible_types(kind)}
        others = [
            each
            for each in self.of.schema.type_map.values()
            if each.name in possible
            or (is_interface_type(each) and possible & {one.name for one in self.of.schema.get_possible_types(each)})
        ]
        chosen = self.random.choices(sorted(others, key=lambda each: each.name), k=self.random.randrange(4))
        return [self.fragment(each.name, self.selection(each, depth, mixed=True)) for each in chosen]

    def grouped(self, kind: Any, parts: list[str]) -> list[str]:
        """The parts, some of them moved into fragments, and perhaps a fragment that was written for another place."""
        if parts and self.maybe(0.2):
            at = self.random.randrange(len(parts))
            inner = f"{{ {' '.join(parts[at:])} }}"
            on = kind.name if self.maybe(0.7) else None
            parts = [*parts[:at], self.fragment(on, inner)]
        known = [name for name, (on, _) in self.fragments.items() if on == kind.name]
        if known and self.maybe(0.3):
            parts = [*parts, f"...{self.random.choice(known)}{self.switches()}"]
        return parts

    def fragment(self, on: str | None, text: str) -> str:
        if on is not None and self.maybe(0.4):
            name = f"F{len(self.fragments)}"
            self.fragments[name] = (on, text)
            return f"...{name}{self.switches()}"
        return f"...{f' on {on}' if on else ''}{self.switches()} {text}"

    def switches(self) -> str:
        if not self.maybe(0.1):
            return ""
        chosen = self.random.choice((("include",), ("skip",), ("skip", "include"), ("include", "skip")))
        return "".join(f" @{each}(if: {self.switch(each == 'include')})" for each in chosen)

    def switch(self, kept: bool) -> str:
        """Mostly so that the field is kept."""
        on = kept if self.maybe(0.7) else not kept
        if self.maybe(0.4):
            return json.dumps(on)
        earlier = [name for name in self.declared if name.startswith("b")]
        if earlier and self.maybe(0.5):
            return f"${self.random.choice(earlier)}"
        if self.maybe(0.7):
            name = self.declare("b", "Boolean!", "")
            self.given[name], self.others[name] = on, self.maybe(0.5)
        else:
            name = self.declare("b", self.random.choice(("Boolean", "Boolean!")), json.dumps(on))
            for values in (self.given, self.others):
                if self.maybe(0.3):
                    values[name] = not on
        return f"${name}"

    def introspection(self) -> str:
        if self.maybe(0.3):
            return self.random.choice(("__schema { queryType { name } types { name } }", "__typename"))
        name = self.random.choice(("Query", "JournalEntry", "EntryOrder", "Node", "PostEntryInput", "Nothing"))
        shown = json.dumps(name)
        if self.maybe(0.4):
            defaulted = self.maybe(0.5)
            variable = self.declare("n", "String" if defaulted else "String!", shown if defaulted else "")
            for values in (self.given, self.others):
                if not defaulted or self.maybe(0.5):
                    values[variable] = None if defaulted and self.maybe(0.5) else name
            shown = f"${variable}"
        fields = "fields { name type { kind ofType { name } } args { name defaultValue } }"
        return f"i: __type(name: {shown}) {{ kind name {fields} enumValues {{ name }} }}"

    # ------------------------------------------------------------ arguments

    def argument(self, place: str, name: str, definition: GraphQLArgument) -> str:
        defaulted = definition.default_value is not Undefined
        return self.value(f"{place}({name})", name, definition.type, defaulted=defaulted)

    def value(self, place: str, name: str, kind: Any, *, defaulted: bool = False) -> str:
        """A literal, a variable, or a literal with variables in it."""
        if self.maybe(0.25):
            return self.variable(place, name, kind, defaulted)
        bare = get_nullable_type(kind)
        if bare is kind and self.maybe(0.08):
            return "null"
        if is_list_type(bare):
            if self.maybe(0.1):  # one value stands for a list of one
                return literal(self.plain(place, name, bare.of_type), bare.of_type)
            items = [self.value(place, name, bare.of_type) for _ in range(self.random.choice((0, 1, 1, 2, 2, 3)))]
            return f"[{', '.join(items)}]"
        if is_input_object_type(bare):
            if self.of.pools.get(bare.name) and self.maybe(WHOLE):
                return literal(self.random.choice(self.of.pools[bare.name]), bare)
            stated = [
                f"{each}: {self.value(f'{bare.name}.{each}', each, given.type, defaulted=given.default_value is not Undefined)}"
                for each, given in bare.fields.items()
                if is_required_input_field(given) or self.maybe(self.of.inputs)
            ]
            return f"{{{', '.join(stated)}}}"
        return literal(self.scalar(place, name, bare), bare)

    def variable(self, place: str, name: str, kind: Any, defaulted: bool) -> str:
        """Given, given as null, absent with or without a default; where null is not allowed it may still arrive."""
        bare = get_nullable_type(kind)
        required = is_non_null_type(kind)
        value_or_null = literal(self.plain(place, name, bare), bare)
        default = value_or_null if value_or_null != "null" and self.maybe(0.3) else ""
        nullable = (not required or bool(default) or defaulted) and self.maybe(0.8)
        declared = self.declare("v", f"{bare}{'' if nullable else '!'}", default)
        for values in (self.given, self.others):
            chance = self.random.random()
            if chance < 0.1 and nullable:
                values[declared] = None
            elif chance > 0.35 or (not nullable and not default):
                values[declared] = self.plain(place, name, bare)
        return f"${declared}"

    def declare(self, prefix: str, kind: str, default: str) -> str:
        name = f"{prefix}{len(self.declared)}"
        self.declared[name] = f"${name}: {kind}{f' = {default}' if default else ''}"
        return name

    def plain(self, place: str, name: str, kind: Any) -> Any:
        """A value as JSON has it."""
        bare = get_nullable_type(kind)
        if bare is kind and self.maybe(0.05):
            return None
        if is_list_type(bare):
            return [self.plain(place, name, bare.of_type) for _ in range(self.random.randrange(4))]
        if is_input_object_type(bare):
            if self.of.pools.get(bare.name) and self.maybe(WHOLE):
                return self.random.choice(self.of.pools[bare.name])
            return {
                each: self.plain(f"{bare.name}.{each}", each, given.type)
                for each, given in bare.fields.items()
                if is_required_input_field(given) or self.maybe(self.of.inputs)
            }
        return self.scalar(place, name, bare)

    def scalar(self, place: str, name: str, kind: Any) -> Any:
        if is_enum_type(kind):
            return self.random.choice(sorted(kind.values))
        if kind.name == "Boolean":
            return self.maybe(0.5)
        return self.random.choice(self.of.pools.get(place) or self.of.pools[name])


def literal(value: Any, kind: Any) -> str:
    """A JSON value as a GraphQL literal."""
    bare = get_nullable_type(kind)
    if value is None:
        return "null"
    if is_list_type(bare):
        return f"[{', '.join(literal(item, bare.of_type) for item in value)}]"
    if is_input_object_type(bare):
        fields = [f"{name}: {literal(item, bare.fields[name].type)}" for name, item in value.items()]
        return f"{{{', '.join(fields)}}}"
    return str(value) if is_enum_type(bare) else json.dumps(value)
