"""Runs a plan: loads each level for all its parents, shapes bottom-up, and explains errors where there were any.

The shapers assume that nothing failed. A failure marks the root field, which is then written once more by a walk over
the same loaded rows that knows paths, nulls and errors (GraphQL specification 6.4.4).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, cast

import asyncpg
import structlog
from graphql import GraphQLError

from gateway.errors import describe, error_object
from gateway.kept import KeptTexts
from gateway.planning.plan import HOLE, FieldPlan, KeptPart, Selection
from gateway.requests import ErrorObject
from resolvers.context import Context, SecondStatement
from resolvers.fields import Inline, Link, Nested
from sources.errors import DatabaseUnavailable, InvalidArgument, LedgergraphError, TooMuch
from sources.packing import Columns, Numbered
from sources.reading import Failure, Key, Row, Tagged

log = structlog.get_logger(__name__)

MAX_ERRORS = 1_000
"""That one answer lists: one for each row of a page."""

_WITHOUT_ROW = frozenset((type(None), Failure))
_WHOLE = frozenset((Columns, Numbered))
"""Sequences of rows alone."""

Bound = Mapping[FieldPlan, Any]
"""For each field with arguments its coerced arguments, or the GraphQLError that they do not coerce with."""


class Missing(LedgergraphError):
    """A field that is never null has no value: a broken invariant, masked for clients."""


class _Null(Exception):
    """A null on its way to the next nullable parent, because of an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class Execution:
    """One operation's run over its context."""

    def __init__(
        self, context: Context, bound: Bound, request_id: str, answer_bytes: int, texts: KeptTexts[str] | None = None
    ) -> None:
        self.context = context
        self.errors: list[ErrorObject] = []
        self._untold = 0
        self._bound = bound
        self._request_id = request_id
        self._answer_bytes = answer_bytes
        self._loaded: dict[FieldPlan, Mapping[Key, Any]] = {}
        self._texts: KeptTexts[str] = KeptTexts(0) if texts is None else texts
        self._kept: dict[KeptPart, tuple[Sequence[Row], list[str]]] = {}
        self._broken: dict[KeptPart, Mapping[Key, Any]] = {}
        self._unprepared: dict[FieldPlan, Exception] = {}
        self._failed = False

    @property
    def unprepared(self) -> bool:
        """Whether preparing failed."""
        return bool(self._unprepared)

    async def prepare(self, plan: FieldPlan) -> None:
        """What has to happen before the snapshot opens."""
        args = self._bound.get(plan, {})
        if isinstance(plan.source, Link) and plan.source.prepare and not isinstance(args, GraphQLError):
            try:
                await plan.source.prepare(self.context, plan.want, args)
            except DatabaseUnavailable:
                raise
            except Exception as error:
                self._unprepared[plan] = error

    async def root_field(self, plan: FieldPlan, rows: Sequence[Row]) -> list[str]:
        """The texts of one root field for each root row (`FieldPlan.root_row`), its errors noted."""
        self._failed = False
        try:
            texts = await self._child(plan, rows)
        except TooMuch as error:
            self._tell(error, [plan.name], plan)
            return ["null"] * len(rows)
        return [self._explained(plan, row) for row in rows] if self._failed else texts

    async def rows(self, selection: Selection, rows: Sequence[Row]) -> list[str]:
        """The texts of one level's rows. Raises TooMuch: rows that stand below many parents are loaded once and written for
        each, so that a short document over few rows can stand for a text of any length."""
        if selection.kept is not None:
            return await self._kept_rows(selection, selection.kept, rows)
        children = [await self._child(plan, rows) for plan in selection.children]
        self._check_size(*children)
        return selection.shape(rows, *children)

    def _check_size(self, *columns: Sequence[str]) -> None:
        if sum([sum(map(len, texts)) for texts in columns]) > self._answer_bytes:
            raise TooMuch(f"the answer has more than {self._answer_bytes} bytes: ask for less")

    async def events(self, plan: FieldPlan, rows: Sequence[Row]) -> list[tuple[str, list[ErrorObject]]]:
        """For each event of a stream its text and errors. Raises what a field that is never null failed with: an event left
        out would be a gap, and without the event there is no cursor to tell."""
        selection = plan.selection
        self._failed = False
        texts = await self.rows(selection, rows)
        if not self._failed:
            return [(text, []) for text in texts]
        answers = []
        for row in rows:
            self.errors, self._untold = [], 0
            try:
                text = self._walk(selection, row, [plan.name])
            except _Null as null:
                raise null.error from None
            answers.append((text, self.told()))
        return answers

    # ------------------------------------------------------------ keeping

    async def _kept_rows(self, selection: Selection, kept: KeptPart, rows: Sequence[Row]) -> list[str]:
        """The rows' texts, of which all but the holes is kept."""
        cores = await self._cores(kept, rows)
        self._check_size(cores)
        if not selection.fields:
            return cores
        holes = []
        for plan in selection.fields:
            write = plan.write
            holes.append([write(row) for row in rows] if write is not None else await self._child(plan, rows))
        self._check_size(cores, *holes)
        return [_filled(core, texts) for core, texts in zip(cores, zip(*holes, strict=True), strict=True)]

    async def _cores(self, kept: KeptPart, rows: Sequence[Row]) -> list[str]:
        if isinstance(rows, Numbered):
            found = await self._shelf(kept, rows.same, rows.numbers, rows)
        else:
            found = await self._shelf(kept, (), list(map(kept.identity, rows)), rows)
        self._kept[kept] = rows, found
        return found

    async def _shelf(self, kept: KeptPart, same: Key, items: Sequence[Hashable], rows: Sequence[Row]) -> list[str]:
        """The kept texts of rows by their items; those that are missing are written, and kept. `same`: what the rows have in
        common."""
        shelf = (kept.number, *same)
        found = self._texts.get_all(shelf, items)
        if None in found:
            missing = {item: row for item, row, text in zip(items, rows, found, strict=True) if text is None}
            keys = [kept.identity(row)[: kept.key_length] for row in missing.values()]
            texts = dict(zip(missing, await self._written_cores(kept, keys), strict=True))
            if kept not in self._broken:
                for item, text in texts.items():
                    self._texts.keep(shelf, item, text)
            found = [texts[item] if text is None else text for item, text in zip(items, found, strict=True)]
        return cast("list[str]", found)

    async def _written_cores(self, kept: KeptPart, keys: Sequence[Key]) -> list[str]:
        """A failure (too many lines at once) is remembered with the rows, for the walk that explains it."""
        if not keys:
            return []
        found = await kept.relation(self.context, keys, kept.want, {})
        failed, self._failed = self._failed, False
        texts = await self.rows(kept.core, [found[key] for key in keys])
        if self._failed:
            self._broken[kept] = found
        self._failed = self._failed or failed
        return texts

    # ------------------------------------------------------------ loading

    async def _child(self, plan: FieldPlan, rows: Sequence[Row]) -> list[str]:
        match plan.source:
            case Inline():
                return await self.rows(plan.selection, rows)
            case Nested():
                return await self._values(plan, list(map(itemgetter(plan.positions[0]), rows)))
        keys = plan.keys(rows)
        results = await self._load(plan, keys)
        texts = await self._values(plan, list(results.values()))
        by_key = dict(zip(results, texts, strict=True))
        return list(map(by_key.__getitem__, keys))

    async def _load(self, plan: FieldPlan, keys: Sequence[Key]) -> Mapping[Key, Any]:
        """A result for each distinct key; the relation is asked for those that are whole."""
        assert isinstance(plan.source, Link)
        whole = [key for key in dict.fromkeys(keys) if None not in key]
        args = self._bound.get(plan, {})
        found: Mapping[Key, Any] = {}
        if isinstance(args, GraphQLError):
            found = dict.fromkeys(whole, Failure(InvalidArgument(args.message)))
        elif plan in self._unprepared:
            found = dict.fromkeys(whole, Failure(self._unprepared[plan]))
        elif whole:
            found = await self._guarded(plan, whole, args)
        results = {key: found.get(key) for key in keys}
        if not plan.nullable and None in results.values():
            results = {
                key: Failure(Missing(str(plan.path))) if value is None else value for key, value in results.items()
            }
        self._loaded[plan] = results
        return results

    async def _guarded(self, plan: FieldPlan, keys: Sequence[Key], args: Mapping[str, Any]) -> Mapping[Key, Any]:
        assert isinstance(plan.source, Link)
        try:
            return await plan.source.relation(self.context, keys, plan.want, args)
        except DatabaseUnavailable as error:
            if not plan.source.writes:
                raise
            return dict.fromkeys(keys, Failure(error))
        except (asyncpg.InvalidCachedStatementError, SecondStatement):
            raise
        except LedgergraphError as error:
            return dict.fromkeys(keys, Failure(error))
        except Exception as error:
            log.debug("a field failed", path=plan.path, error=repr(error))
            return dict.fromkeys(keys, Failure(error))

    async def _values(self, plan: FieldPlan, values: Sequence[Any]) -> list[str]:
        if not plan.is_list:
            return await self._objects(plan, values)
        whole = [value for value in values if value is not None and value.__class__ is not Failure]
        if len(values) == 1 and whole:
            return [f"[{','.join(await self._objects(plan, whole[0]))}]"]
        texts = await self._objects(plan, list(chain.from_iterable(whole)))
        answers, at = [], 0
        for value in values:
            if self._note(value):
                answers.append(f"[{','.join(texts[at : at + len(value)])}]")
                at += len(value)
            else:
                answers.append("null")
        return answers

    async def _objects(self, plan: FieldPlan, values: Sequence[Any]) -> list[str]:
        if not plan.abstract:
            if values.__class__ in _WHOLE or _WITHOUT_ROW.isdisjoint(map(type, values)):
                return await self.rows(plan.selection, values)
            present = [value for value in values if value is not None and value.__class__ is not Failure]
            texts = iter(await self.rows(plan.selection, present))
            return [next(texts) if self._note(value) else "null" for value in values]
        by_type: dict[str, list[Row]] = {}
        for value in values:
            if isinstance(value, Tagged):
                by_type.setdefault(value.typename, []).append(value.row)
        shaped = {name: iter(await self.rows(plan.selections[name], rows)) for name, rows in by_type.items()}
        return [next(shaped[value.typename]) if self._note(value) else "null" for value in values]

    def _note(self, value: Any) -> bool:
        """Whether there is a value; a failure is noted."""
        if value.__class__ is Failure:
            self._failed = True
            return False
        return value is not None

    # ------------------------------------------------------------ explaining

    def told(self) -> list[ErrorObject]:
        """The errors, at most MAX_ERRORS, and then how many there are beside them."""
        if not self._untold:
            return self.errors
        message = f"{self._untold} more errors are not listed: ask for less"
        return [*self.errors, error_object("LIMIT_EXCEEDED", message, self._request_id)]

    def _tell(self, error: Exception, path: Sequence[str | int], plan: FieldPlan) -> None:
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(describe(error, self._request_id, path, _locations(plan)))
        else:
            self._untold += 1

    def _explained(self, plan: FieldPlan, row: Row) -> str:
        try:
            return self._field(plan, row, [plan.name])
        except _Null:
            return "null"

    def _walk(self, selection: Selection, row: Row, path: list[str | int]) -> str:
        if selection.kept is not None:
            return self._walk_kept(selection, selection.kept, row, path)
        parts = [f'"{plan.name}":{self._nullable(plan, row, [*path, plan.name])}' for plan in selection.fields]
        return f"{{{','.join(parts)}}}"

    def _walk_kept(self, selection: Selection, kept: KeptPart, row: Row, path: list[str | int]) -> str:
        identity = kept.identity(row)
        loaded = self._broken.get(kept, {}).get(identity[: kept.key_length])
        if loaded is None:
            texts = [self._nullable(plan, row, [*path, plan.name]) for plan in selection.fields]
            rows, cores = self._kept[kept]
            return _filled(cores[list(map(kept.identity, rows)).index(identity)], texts)
        holes = {plan.name: plan for plan in selection.fields}
        parts = [
            f'"{plan.name}":{self._nullable(plan, loaded, [*path, plan.name])}'
            if plan.constant != HOLE
            else f'"{plan.name}":{self._nullable(holes[plan.name], row, [*path, plan.name])}'
            for plan in kept.core.fields
        ]
        return f"{{{','.join(parts)}}}"

    def _nullable(self, plan: FieldPlan, row: Row, path: list[str | int]) -> str:
        try:
            return self._field(plan, row, path)
        except _Null:
            if plan.nullable:
                return "null"
            raise

    def _field(self, plan: FieldPlan, row: Row, path: list[str | int]) -> str:
        if plan.constant is not None:
            return plan.constant
        if plan.write is not None:
            return plan.write(row)
        match plan.source:
            case Inline():
                return self._value(plan, row, path)
            case Nested():
                value = row[plan.positions[0]]
            case _:
                value = self._loaded[plan][tuple([row[position] for position in plan.positions])]
        if isinstance(value, Failure) or not plan.is_list or value is None:
            return self._value(plan, value, path)
        return f"[{','.join(self._item(plan, item, [*path, number]) for number, item in enumerate(value))}]"

    def _item(self, plan: FieldPlan, item: Any, path: list[str | int]) -> str:
        try:
            return self._value(plan, item, path)
        except _Null:
            if plan.item_nullable:
                return "null"
            raise

    def _value(self, plan: FieldPlan, value: Any, path: list[str | int]) -> str:
        if isinstance(value, Failure):
            self._tell(value.error, path, plan)
            raise _Null(value.error)
        if value is None:
            return "null"
        if isinstance(value, Tagged):
            return self._walk(plan.selections[value.typename], value.row, path)
        selection = plan.selection
        if selection.typename == "":
            return self._field(selection.fields[0], value, path)
        return self._walk(selection, value, path)


def _filled(core: str, holes: Iterable[str]) -> str:
    """The core's text with the holes' texts in their places."""
    first, *rest = core.split(HOLE)
    return first + "".join([hole + text for hole, text in zip(holes, rest, strict=True)])


def _locations(plan: FieldPlan) -> list[dict[str, int]] | None:
    if plan.node.loc is None:
        return None
    place = plan.node.loc.start_token
    return [{"line": place.line, "column": place.column}]
