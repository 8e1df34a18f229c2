"""Plans: a validated operation as a tree of selections, each with what it needs of its rows and a generated shaper."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from graphql import FieldNode

from gateway.planning.arguments import Arguments
from gateway.planning.introspection import INTROSPECTION
from gateway.planning.shaping import Shape
from resolvers.fields import (
    Inline,
    Leaf,
    Link,
    Nested,
    Relation,
    Scopes,
    Stability,
    Stream,
)
from sources.reading import Key, Row, Want

if TYPE_CHECKING:
    from gateway.planning.cost import Values

Path = tuple[str, ...]


class RowSpace:
    """The columns that the selections over one kind of row need, in the order in which they were first asked for."""

    def __init__(self) -> None:
        self._positions: dict[str, int] = {}
        self._nested: dict[str, RowSpace] = {}
        self._types: dict[str, RowSpace] = {}
        self.fields: set[str] = set()

    def position(self, column: str) -> int:
        return self._positions.setdefault(column, len(self._positions))

    def nested(self, column: str) -> RowSpace:
        self.position(column)
        return self._nested.setdefault(column, RowSpace())

    def of_type(self, typename: str) -> RowSpace:
        return self._types.setdefault(typename, RowSpace())

    def want(self) -> Want:
        return Want(
            tuple(self._positions),
            {column: space.want() for column, space in self._nested.items()},
            {typename: space.want() for typename, space in self._types.items()},
            frozenset(self.fields),
        )


@dataclass(slots=True, eq=False)
class FieldPlan:
    """One response field of a selection."""

    name: str
    field_name: str
    nodes: list[FieldNode]
    path: Path
    nullable: bool
    is_list: bool = False
    item_nullable: bool = False
    abstract: bool = False
    source: Leaf | Inline | Nested | Link | Stream | None = None
    write: Callable[[Any], str] | None = None
    constant: str | None = None
    positions: tuple[int, ...] = ()
    selections: dict[str, Selection] = field(default_factory=dict)
    want: Want = field(default_factory=Want)
    arguments: Arguments | None = None
    introspection_cost: int = 0
    stability: Stability = Stability.VOLATILE

    @property
    def node(self) -> FieldNode:
        return self.nodes[0]

    @property
    def selection(self) -> Selection:
        """Of a field whose type is not abstract."""
        return next(iter(self.selections.values()))

    def keys(self, rows: Sequence[Row]) -> list[Key]:
        """By which a link's relation loads what stands below each row."""
        if len(self.positions) > 1:
            return list(map(itemgetter(*self.positions), rows))
        return [tuple([row[position] for position in self.positions]) for row in rows]

    @property
    def introspects(self) -> bool:
        return self.field_name in INTROSPECTION


@dataclass(slots=True, eq=False)
class Selection:
    """What is selected of one concrete type. `values`: how many it may hold, once they were counted."""

    typename: str
    fields: list[FieldPlan]
    children: list[FieldPlan]
    shape: Shape
    kept: KeptPart | None = None
    values: Values | None = None

    @property
    def stability(self) -> Stability:
        return max((plan.stability for plan in self.fields), default=Stability.NAMED)


HOLE = "\0"
"""Stands in a kept text where a field is written anew each time; JSON text never holds it."""


@dataclass(slots=True, eq=False)
class KeptPart:
    """The fields of a selection whose text is kept, when the selection's own fields are those that are not (its holes).

    `number`: of this part among all plans. `identity`: of the selection's rows, the `key_length` values of the key and those
    of the version. `core`: how the text is written from rows of `want`, which `relation` loads by the key.
    """

    number: int
    relation: Relation
    identity: Callable[[Row], Key]
    key_length: int
    core: Selection
    want: Want


@dataclass(frozen=True, slots=True)
class Demanded:
    """A scope that the field at this path needs."""

    path: Path
    scopes: Scopes


@dataclass(slots=True)
class Plan:
    """`demands`: the scopes of every field that is selected; `linked`: fields with arguments, for binding; `switches`: what
    @skip and @include variables were; `number`: of this plan among all; `statements`: how many its last run took, and
    `prepares`: something has to happen before them. `asking`: the root fields that read, and `single`: the only one of
    them, where what it asks for can be loaded for several operations at once. `keepable`: the answer depends on nothing but
    the versions of the ledgers that the arguments name. `scopes`: all that are demanded, beside those that the arguments of
    `demanding` fields tell."""

    root: Selection
    demands: list[Demanded]
    linked: list[FieldPlan]
    switches: tuple[bool, ...]
    number: int = field(default_factory=itertools.count(1).__next__)
    statements: int = 0
    asking: list[FieldPlan] = field(init=False)
    single: FieldPlan | None = field(init=False, default=None)
    prepares: bool = field(init=False)
    introspects: bool = field(init=False)
    keepable: bool = field(init=False)
    scopes: frozenset[str] = field(init=False)
    demanding: list[FieldPlan] = field(init=False)

    def __post_init__(self) -> None:
        fields = self.root.fields
        self.asking = [plan for plan in fields if plan.constant is None and not plan.introspects]
        self.prepares = any(isinstance(each.source, Link) and each.source.prepare is not None for each in self.linked)
        if len(self.asking) == 1 and not self.prepares and isinstance(self.asking[0].source, Link):
            self.single = self.asking[0] if self.asking[0].source.by else None
        self.introspects = any(plan.introspects for plan in fields)
        stable = all(_of_one_ledger(plan) and plan.stability <= Stability.POSTED for plan in self.asking)
        self.keepable = bool(self.asking) and stable and not self.introspects
        self.scopes = frozenset(itertools.chain.from_iterable(demanded.scopes for demanded in self.demands))
        self.demanding = [each for each in self.linked if isinstance(each.source, Link) and each.source.demand]

    def allows(self, scopes: frozenset[str]) -> bool:
        """Whether these scopes are all that it can need, so that nobody has to look what one of its fields lacks."""
        return not self.demanding and self.scopes <= scopes


def _of_one_ledger(plan: FieldPlan) -> bool:
    return isinstance(plan.source, Link) and plan.source.ledger is not None
