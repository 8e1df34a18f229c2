"""The words in which a type says where its fields come from.

    leaf      a scalar written from columns of the type's own row
    inline    an object whose columns stand in the same row
    nested    rows (or one row) that stand inside a column of this row
    link      rows that a relation loads for all parents at once
    stream    a subscription's events, read from a position on

Planner and reference executor read these declarations; nothing here fetches.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol, TypedDict, Unpack

import strawberry

from sources.feed import Log
from sources.reading import Key, Results, Row, Want

SOURCE = "ledgergraph"
"""Key of a field's declaration in its Strawberry metadata."""

Args = Mapping[str, Any]
"""A field's coerced arguments by their GraphQL names; absent ones are absent. Input objects are mappings alike."""

Scopes = tuple[str, ...]


class Stability(IntEnum):
    """What has to stay the same for a field's value to stay the same.

    NAMED: the ledger's chart and names (`names_version`); posted entries never change. POSTED: besides, that nothing was
    posted since. VOLATILE: nothing that is known.
    """

    NAMED = 1
    POSTED = 2
    VOLATILE = 3


class Relation(Protocol):
    """Loads one level for all its parents: for each key a result (`sources.reading.Results`)."""

    async def __call__(self, context: Any, keys: Sequence[Key], want: Want, args: Args, /) -> Results: ...


Prepare = Callable[[Any, Want, Args], Awaitable[None]]
"""Runs before the operation's snapshot is opened: refreshes of sources."""

Demand = Callable[[Args], Scopes]
"""Scopes that only the arguments tell (a node's type)."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """`write`: a Python expression that gives JSON text; {0}, {1} … are the values of the columns `needs`, and the names
    of `gateway.planning.writing.WORDS` may be used. A None in the first column is null."""

    needs: tuple[str, ...]
    write: str
    function: Callable[..., str] | None = None
    scope: Scopes | None = None
    stability: Stability | None = None


@dataclass(frozen=True, slots=True)
class Inline:
    scope: Scopes | None = None
    stability: Stability | None = None


@dataclass(frozen=True, slots=True)
class Nested:
    column: str
    scope: Scopes | None = None
    stability: Stability | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """`key`: columns of the parent's row; a None in it is a null result. `by`: of a root field, the arguments whose values are
    its key, so that it is loaded for several operations at once. `writes`: a mutation. `value`: the field is
    a scalar, written from the columns of the loaded row. `ledger`: the argument that names the one ledger whose books the
    whole field is about."""

    relation: Relation
    key: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    scope: Scopes | None = None
    stability: Stability | None = None
    ledger: str | None = None
    prepare: Prepare | None = None
    demand: Demand | None = None
    writes: bool = False
    value: Leaf | None = None
    size: int = 10
    """How many rows a parent is expected to have where no page size says so: for the cost estimate."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A subscription's events, out of a ledger's `log`. `start` checks the arguments and gives (ledger, position to begin
    behind); `read` gives the rows of the events behind a position, up to and with another one, each with its own position."""

    log: Log
    start: Callable[[Any, Args], Awaitable[tuple[Any, Any]]]
    read: Callable[[Any, Any, Any, Any, Want, Args], Awaitable[list[tuple[Row, Any]]]]
    scope: Scopes | None = None
    stability: Stability | None = None


Declaration = Leaf | Inline | Nested | Link | Stream


class Options(TypedDict, total=False):
    """What every declaration takes: see Leaf."""

    scope: Scopes | None
    stability: Stability | None


def _field(declaration: Declaration, description: str) -> Any:
    return strawberry.field(description=description, metadata={SOURCE: declaration})


def text(description: str, column: str, **options: Unpack[Options]) -> Any:
    """Text as stored."""
    return _field(Leaf((column,), "quote({0})", **options), description)


def word(description: str, column: str, **options: Unpack[Options]) -> Any:
    """Text that never needs escaping: enum values, dates, currency codes, hex."""
    return _field(Leaf((column,), "'\"' + {0} + '\"'", **options), description)


def integer(description: str, column: str, **options: Unpack[Options]) -> Any:
    return _field(Leaf((column,), "str({0})", **options), description)


def boolean(description: str, column: str, **options: Unpack[Options]) -> Any:
    return _field(Leaf((column,), "('true' if {0} else 'false')", **options), description)


def timestamp(description: str, column: str, **options: Unpack[Options]) -> Any:
    """PostgreSQL's text of a timestamptz in UTC."""
    return _field(Leaf((column,), "timestamp({0})", **options), description)


def money(description: str, column: str, currency: str = "currency", **options: Unpack[Options]) -> Any:
    """Minor units in column, in the currency that another column names."""
    return _field(Leaf((column, currency), "money({0}, exponents[{1}])", **options), description)


def functional_money(description: str, column: str, **options: Unpack[Options]) -> Any:
    """Minor units in column, in the functional currency of the row's ledger."""
    return _field(Leaf((column, "ledger_id"), "money({0}, functional[{1}])", **options), description)


def written(description: str, needs: tuple[str, ...], write: str, **options: Unpack[Options]) -> Any:
    """A scalar by an expression of its own: see Leaf."""
    return _field(Leaf(needs, write, **options), description)


def computed(description: str, needs: tuple[str, ...], function: Callable[..., str], **options: Unpack[Options]) -> Any:
    """A scalar whose JSON text a function makes from columns."""
    arguments = ", ".join(f"{{{n}}}" for n in range(len(needs)))
    return _field(Leaf(needs, f"function({arguments})", function, **options), description)


def inline(description: str, **options: Unpack[Options]) -> Any:
    return _field(Inline(**options), description)


def nested(description: str, column: str, **options: Unpack[Options]) -> Any:
    return _field(Nested(column, **options), description)


def link(description: str, relation: Relation, key: tuple[str, ...], **options: Any) -> Any:
    """A field without arguments that a relation loads."""
    return _field(Link(relation, key, **options), description)


def linked(description: str, relation: Relation, key: tuple[str, ...] = (), **options: Any) -> Callable[[Any], Any]:
    """As `link`, for a field with arguments: decorates a function whose signature declares them."""
    return declared(description, Link(relation, key, **options))


def declared(description: str, declaration: Declaration) -> Callable[[Any], Any]:
    def wrap(function: Any) -> Any:
        return strawberry.field(function, description=description, metadata={SOURCE: declaration})

    return wrap


def streamed(description: str, declaration: Stream) -> Callable[[Any], Any]:
    """A subscription field; the function is an async generator signature that is never run."""

    def wrap(function: Any) -> Any:
        return strawberry.subscription(function, description=description, metadata={SOURCE: declaration})

    return wrap


def argument(description: str) -> Any:
    return strawberry.argument(description=description)


def input_field(description: str, **options: Any) -> Any:
    """A field of an input; without `default` given and optional it may be absent."""
    return strawberry.field(description=description, default=strawberry.UNSET, **options)


SCOPES: dict[str, Scopes] = {}
"""Scopes that a type's fields need, by type name, where the field does not say otherwise."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A type whose objects never change: the text of their NAMED fields is kept by `key`, for as long as the values of
    `version` are the same. `relation` loads rows by the key. All are columns of the type's rows."""

    relation: Relation
    key: tuple[str, ...]
    version: tuple[str, ...]


def graph_type(
    description: str,
    *,
    scope: Scopes = (),
    stability: Stability = Stability.VOLATILE,
    fragment: Fragment | None = None,
) -> Callable[[type], Any]:
    """A Strawberry type whose fields need these scopes and are so stable unless they say otherwise; a scope of ()
    inherits what led to it."""

    def wrap(cls: type) -> Any:
        SCOPES[cls.__name__] = scope
        cls.__stability__ = stability  # type: ignore[attr-defined]
        cls.__fragment__ = fragment  # type: ignore[attr-defined]
        return strawberry.type(description=description)(cls)

    return wrap
