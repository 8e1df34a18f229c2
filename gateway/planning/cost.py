"""How much an answer may hold, estimated before anything is fetched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.planning.plan import FieldPlan, Selection
from resolvers.fields import (
    Link,
)
from sources.reading import DEFAULT_PAGE


def cost(selection: Selection, bound: Mapping[FieldPlan, Any], times: int = 1) -> int:
    """About how many values an answer may hold: every field counts once for each row that a page or list may have."""
    total: int = times * len(selection.fields) + sum(plan.introspection_cost for plan in selection.fields)
    if selection.kept is not None:
        total += cost(selection.kept.core, bound, times)
    for plan in selection.children:
        args = bound.get(plan)
        rows = times * _rows(plan, args if isinstance(args, Mapping) else {})
        total += max((cost(below, bound, rows) for below in plan.selections.values()), default=0)
    return total


def _rows(plan: FieldPlan, args: Mapping[str, Any]) -> int:
    for name in ("first", "last"):
        if isinstance(args.get(name), int):
            size: int = args[name]
            return max(size, 1)
    if "ids" in args:
        return max(len(args["ids"]), 1)
    definition = plan.arguments.definition if plan.arguments else None
    if definition is not None and "first" in definition.args:
        return DEFAULT_PAGE
    sized = isinstance(plan.source, Link) and (plan.is_list or plan.source.size > 10)
    return plan.source.size if sized and isinstance(plan.source, Link) else 1
