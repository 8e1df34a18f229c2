"""How much an answer may hold, estimated before anything is fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError

from gateway.planning.plan import FieldPlan, Selection
from resolvers.fields import Link
from sources.reading import DEFAULT_PAGE

_SIZES = ("first", "last", "ids")
"""Arguments that say how many rows a field may have."""


@dataclass(frozen=True, slots=True)
class Values:
    """About how many values one object of a selection may hold: `constant`, and those below fields whose rows the request's
    arguments count, each with what a row of it may hold."""

    constant: int
    counted: tuple[tuple[FieldPlan, tuple[Values, ...]], ...]

    @staticmethod
    def of(selection: Selection) -> Values:
        """Every field counts once for each row that a page or list may have."""
        constant = len(selection.fields) + sum(plan.introspection_cost for plan in selection.fields)
        counted: list[tuple[FieldPlan, tuple[Values, ...]]] = []
        if selection.kept is not None:
            core = Values.of(selection.kept.core)
            constant += core.constant
            counted += core.counted
        for plan in selection.children:
            below = tuple([Values.of(each) for each in plan.selections.values()])
            if any(each.counted for each in below) or (plan.arguments and plan.arguments.decides(_SIZES)):
                counted.append((plan, below))
            else:
                known = plan.arguments.known if plan.arguments else {}
                constant += _rows(plan, known) * max((each.constant for each in below), default=0)
        return Values(constant, tuple(counted))

    def count(self, bound: Mapping[FieldPlan, Any]) -> int:
        """With a request's arguments."""
        total = self.constant
        for plan, below in self.counted:
            args = bound.get(plan)
            rows = _rows(plan, {} if args is None or isinstance(args, GraphQLError) else args)
            total += rows * max([each.count(bound) for each in below], default=0)
        return total


def cost(selection: Selection, bound: Mapping[FieldPlan, Any]) -> int:
    """About how many values an answer may hold."""
    if selection.values is None:
        selection.values = Values.of(selection)
    return selection.values.count(bound)


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
