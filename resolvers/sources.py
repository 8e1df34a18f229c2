"""Source systems and how fresh their documents are; what the fields that read documents have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from enum import Enum
from typing import Annotated, Any

import strawberry

from resolvers.context import Context
from resolvers.fields import Relation, argument, boolean, graph_type, integer, link, text, timestamp, word
from resolvers.ledgers import Ledger
from resolvers.scalars import BigInt, DateTime
from sources.errors import InvalidArgument, LedgergraphError, Unavailable
from sources.ledger.queries import ledger_by_id
from sources.mirror import queries
from sources.mirror.freshness import relevant, visible_to
from sources.mirror.queries import Within
from sources.mirror.settings import SourceSettings
from sources.reading import Failure, Key, Results, Row, Want

READ = ("sources:read",)
_STATED = frozenset({"status", "last_success_at", "last_error", "as_of", "documents", "cursor"})

Codes = Annotated[list[str] | None, argument("Of these ledgers; absent: of every ledger that the caller may see.")]
SourceNames = Annotated[list[str] | None, argument("Of these sources; absent: of every source.")]
MaxAge = Annotated[
    int | None,
    argument("How many seconds old the documents may be; 0: ask the source now; absent: the source's own setting."),
]


@strawberry.enum(description="The state of a source system.")
class SourceStatus(Enum):
    OK = strawberry.enum_value("OK", description="Its documents are held, and the last pull read everything.")
    SYNCING = strawberry.enum_value("SYNCING", description="It is being read for the first time.")
    DEGRADED = strawberry.enum_value(
        "DEGRADED", description="Its documents are held, but the last pull failed or left something unread."
    )
    DOWN = strawberry.enum_value("DOWN", description="None of its documents are held.")


async def source_by_name(context: Context, keys: Sequence[Key], want: Want, _args: Mapping[str, Any]) -> Results:
    """Keys: (name,)."""
    names = {key[0] for key in keys}
    rows = await _rows(context, [each for each in context.services.refresher.configured if each.name in names], want)
    left = names - rows.keys()
    for name, kind, success in await queries.former_sources(context, left) if left else ():
        values = dict.fromkeys(_STATED) | {"name": name, "kind": kind, "ledger_id": None, "last_success_at": success}
        rows[name] = want.row(
            {**values, "status": SourceStatus.DOWN.value, "last_error": "It is not configured any more."}
        )
    return {(name,): row for name, row in rows.items()}


async def load_sources(context: Context, _keys: Sequence[Key], want: Want, _args: Mapping[str, Any]) -> Results:
    configured = context.services.refresher.configured
    rows = await _rows(context, [each for each in configured if visible_to(context.caller, each)], want)
    return {(): [rows[name] for name in sorted(rows)]}


async def _rows(context: Context, settings: Sequence[SourceSettings], want: Want) -> dict[str, Row]:
    """Rows by name; states are read only where they are asked for."""
    held = {}
    if settings and _STATED & set(want.columns):
        held = await queries.source_states(context, settings)
    known = await context.services.directory.resolve({code for each in settings for code in each.ledgers})
    rows = {}
    for each in settings:
        values: dict[str, Any] = {"name": each.name, "kind": each.kind, "ledger_id": None}
        if each.home in known and context.caller.may_see(each.home):
            values["ledger_id"] = known[each.home].ledger_id
        if each.name in held:
            state = held[each.name]
            status, error = context.services.refresher.status(each.name, state.held, known, context.caller)
            # A cursor may name what belongs to other ledgers, such as files.
            whole = all(context.caller.may_see(code) for code in each.ledgers)
            values |= {"status": status.value, "last_error": error, "cursor": state.cursor if whole else None}
            values |= {"as_of": state.as_of, "last_success_at": state.last_success_at, "documents": state.documents}
        rows[each.name] = want.row(values)
    return rows


@graph_type("A source system that documents come from.")
class Source:
    name: str = text("As the configuration names it.", "name")
    kind: str = text("What kind of system it is: stripe, xero-payroll, bank-statements, tryton.", "kind")
    ledger: Ledger | None = link(
        "The ledger that its documents belong to, unless a bank account is placed elsewhere; null: it does not exist "
        "yet, or the caller may not see it.",
        ledger_by_id,
        ("ledger_id",),
    )
    status: SourceStatus = word("Its state.", "status", scope=READ)
    last_success_at: DateTime | None = timestamp(
        "When a pull last came to its end without a failure.", "last_success_at", scope=READ
    )
    last_error: str | None = text("Why it is not OK; null: it is.", "last_error", scope=READ)
    as_of: DateTime | None = timestamp(
        "Its documents are held as it stated them then, or later; null: it was not read to its end yet.",
        "as_of",
        scope=READ,
    )
    documents_read: BigInt | None = integer(
        "How many documents it has stated so far, each version counted: it grows while a pull goes on.",
        "documents",
        scope=READ,
    )
    cursor: str | None = text(
        "Where the next pull goes on, in its connector's own words, cut after 1,000 characters; null: it begins anew, or the source "
        "feeds ledgers that the caller may not see.",
        "cursor",
        scope=READ,
    )


@graph_type("How old the answer's documents of one source are.")
class Freshness:
    source: str = text("The source's name.", "source")
    as_of: DateTime | None = timestamp("The documents are as the source stated them then, or later.", "as_of")
    stale: bool = boolean("Older than asked for, because the source could not be read; error says why.", "stale")
    error: str | None = text("Why it could not be read.", "error")


@strawberry.type
class SourceQuery:
    sources: list[Source] | None = link(
        "The source systems that feed ledgers which the caller may see, by name.", load_sources, (), scope=READ
    )


# ---------------------------------------------------------------- for fields that read documents


async def refresh(context: Context, gives: str, args: Mapping[str, Any]) -> None:
    """Before the snapshot: pulls the sources that a field needs where they are older than it asks for. What is wrong with
    the arguments is for the field itself to say."""
    try:
        settings, max_age = _needed(context, gives, args)
    except Unavailable:
        raise
    except LedgergraphError:
        return
    names = [each.name for each in settings]
    answers = await context.services.refresher.ensure(names, max_age, asking=context.asking)
    for name, found in answers.items():
        context.freshness[name] = found.merged(context.freshness.get(name))


async def reach(context: Context, gives: str, args: Mapping[str, Any]) -> tuple[Within, list[Row]] | Failure:
    """What a field may draw on, and the freshness of each of its sources (columns: source, as_of, stale, error). A source of
    which no copy is held fails the field: a partial list would look whole. Raises InvalidArgument and NotFound."""
    settings, max_age = _needed(context, gives, args)
    codes = args.get("ledgers")
    refs = (
        await context.ledgers(None) if codes is None else [await context.ledger(code) for code in dict.fromkeys(codes)]
    )
    if any(each.name not in context.freshness for each in settings):
        await refresh(context, gives, args)
    rows: list[Row] = []
    for each in settings:
        found = context.freshness[each.name].judged(each.max_age if max_age is None else max_age)
        if found.failure is not None:
            return Failure(found.failure)
        as_of = found.as_of.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00") if found.as_of else None
        rows.append((found.source, as_of, found.stale, found.error))
    return Within([ref.ledger_id for ref in refs], [each.name for each in settings]), rows


def freshness_rows(want: Want, rows: Sequence[Row]) -> list[Row]:
    """Rows of `reach` as a selection wants them."""
    wanted = want.nested.get("freshness", Want())
    return [wanted.row(dict(zip(("source", "as_of", "stale", "error"), row, strict=True))) for row in rows]


async def refresh_source(context: Context, gives: str, name: str) -> None:
    """As `refresh`, for one document by its id: its source, as old as its own setting lets it be; once for all ids."""
    if name not in context.freshness and any(each.name == name for each in context.services.refresher.configured):
        await refresh(context, gives, {"sources": [name]})


async def sound(
    context: Context, relation: Relation, keys: Sequence[Key], want: Want, args: Mapping[str, Any]
) -> dict[Key, Any]:
    """Documents by the keys of their ids, (ledger_id, (source, …)). Those of a source of which no copy is held fail; those of
    a source that is configured no more are unknown."""
    configured = {each.name for each in context.services.refresher.configured}
    found: dict[Key, Any] = {}
    flat: dict[Key, Key] = {}
    for key in keys:
        fresh = context.freshness.get(key[1][0])
        if fresh is not None and fresh.failure is not None:
            found[key] = Failure(fresh.failure)
        elif key[1][0] in configured:
            flat[key] = (key[0], *key[1])
    rows = await relation(context, list(flat.values()), want, args) if flat else {}
    return found | {key: rows.get(document) for key, document in flat.items()}


def _needed(context: Context, gives: str, args: Mapping[str, Any]) -> tuple[list[SourceSettings], float | None]:
    max_age = args.get("maxAge")
    if max_age is not None and max_age < 0:
        raise InvalidArgument("maxAge must be 0 or more seconds")
    configured = context.services.refresher.configured
    ledgers, names = args.get("ledgers"), args.get("sources")
    return relevant(configured, context.caller, gives, ledgers=ledgers, names=names), max_age
