"""Relay connections: edges and nodes are two views of the same rows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Generic, TypeVar

import strawberry

from resolvers.fields import Relation, Stability, argument, boolean, graph_type, inline, integer, linked, nested, text
from resolvers.scalars import BigInt
from sources.errors import InvalidArgument
from sources.reading import DEFAULT_PAGE, Order, Row, Want, decode_cursor, encode_cursor

T = TypeVar("T")

First = Annotated[int | None, argument("The first so many; 50 when absent, at most 1,000.")]
After = Annotated[str | None, argument("Only what comes behind this cursor.")]
Last = Annotated[int | None, argument("The last so many; not together with first.")]
Before = Annotated[str | None, argument("Only what comes before this cursor.")]


@graph_type("Where a page stands in its list.", stability=Stability.POSTED)
class PageInfo:
    has_next_page: bool = boolean("There is more behind this page.", "has_next")
    has_previous_page: bool = boolean("There is more before this page.", "has_previous")
    start_cursor: str | None = text("Cursor of the page's first item.", "start")
    end_cursor: str | None = text("Cursor of the page's last item: pass it as `after` for the next page.", "end")


@strawberry.type(name="Edge", description="An item of a page with its cursor.")
class Edge(Generic[T]):
    __stability__ = Stability.POSTED

    cursor: str = text("The item's place in the list.", "cursor")
    node: T = inline("The item.")


@strawberry.type(name="Connection", description="A page of a list.")
class Connection(Generic[T]):
    __stability__ = Stability.POSTED

    edges: list[Edge[T]] = nested("The page's items with their cursors.", "rows")
    nodes: list[T] = nested("The page's items.", "rows")
    page_info: PageInfo = nested("Where the page stands in the list.", "page_info")
    total_count: BigInt = integer("How many items the whole list has; counted only when asked for.", "total_count")


_PAGE_ARGUMENTS = tuple(
    inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=strawberry.UNSET, annotation=annotation)
    for name, annotation in (("first", First), ("after", After), ("last", Last), ("before", Before))
)


def paged(description: str, relation: Relation, **options: Any) -> Callable[[Any], Any]:
    """As `linked`, for a field that gives a Connection: the arguments of its page come behind those of the signature."""

    def wrap(function: Any) -> Any:
        own = inspect.signature(function)
        function.__signature__ = own.replace(parameters=[*own.parameters.values(), *_PAGE_ARGUMENTS])
        return linked(description, relation, **options)(function)

    return wrap


# ---------------------------------------------------------------- pages that are computed, not read


def first_after(args: Mapping[str, Any], order: Order, most: int) -> tuple[int, list[Any] | None]:
    """(how many items, the key of the one behind which they come; None: from the begin) as `first` and `after` say. Raises
    InvalidArgument and InvalidCursor."""
    first = min(DEFAULT_PAGE, most) if args.get("first") is None else args["first"]
    if not 0 <= first <= most:
        raise InvalidArgument(f"first must be between 0 and {most}")
    return first, None if args.get("after") is None else decode_cursor(order, args["after"])


def info_row(want: Want, order: Order, keys: Sequence[Sequence[Any]], *, has_next: bool, has_previous: bool) -> Row:
    """The row of a PageInfo, where `want` is of the page; `keys`: of its items, as the order has them."""
    info = {
        "has_next": has_next,
        "has_previous": has_previous,
        "start": encode_cursor(order, keys[0]) if keys else None,
        "end": encode_cursor(order, keys[-1]) if keys else None,
    }
    return want.nested.get("page_info", Want()).row(info)
