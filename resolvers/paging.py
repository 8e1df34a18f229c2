"""Relay connections: edges and nodes are two views of the same rows."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

import strawberry

from resolvers.fields import Stability, argument, boolean, graph_type, inline, integer, nested, text
from resolvers.scalars import BigInt

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
