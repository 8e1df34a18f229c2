"""Ledgers: their types, queries and mutations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import strawberry

from resolvers.context import Context
from resolvers.fields import Stability, argument, graph_type, input_field, integer, link, linked, text, word, written
from resolvers.nodes import KINDS, Node, NodeKind
from resolvers.results import ChangeRejected, rejected
from resolvers.scalars import BigInt, Date
from sources.ledger import administration, queries
from sources.ledger.model import ChangeRejected as Refusal
from sources.reading import Key, Results, Tagged, Want

READ = ("ledger:read",)
ADMIN = ("ledger:admin",)
ANY: tuple[str, ...] = ()


@graph_type("One entity's set of books.", scope=READ, stability=Stability.NAMED)
class Ledger(Node):
    id: strawberry.ID = written("ledger:CODE", ("ledger_id",), "'\"ledger:' + codes[{0}] + '\"'", scope=ANY)
    code: str = text("Never changes; ids derive from it.", "code", scope=ANY)
    name: str = text("Its name for people.", "name", scope=ANY)
    functional_currency: str = word(
        "ISO 4217 code of the currency that it is kept in.", "functional_currency", scope=ANY
    )
    last_sequence: BigInt = integer(
        "Sequence of the newest posted entry; 0 for an empty ledger.", "last_sequence", stability=Stability.POSTED
    )
    posting_cursor: str = written(
        "Cursor of the newest posted entry: subscribe with it as `after` to miss nothing since this answer.",
        ("last_sequence", "last_hash"),
        "quote(cursor_of({0}, {1}))",
        stability=Stability.POSTED,
    )
    locked_through: Date | None = word(
        "Entries dated up to this day are refused; null: nothing is locked.",
        "locked_through",
        stability=Stability.VOLATILE,
    )


KINDS["ledger"] = NodeKind("Ledger", READ, queries.ledger_node, lambda rest: None if rest else "")


@strawberry.input(description="A new ledger.")
class CreateLedgerInput:
    code: str = strawberry.field(description="[a-z0-9][a-z0-9_-]*, at most 63 characters; never changes.")
    name: str = strawberry.field(description="Its name for people.")
    functional_currency: str = strawberry.field(description="ISO 4217 code; never changes.")


@strawberry.input(description="A ledger's new name.")
class UpdateLedgerInput:
    code: str = strawberry.field(description="The ledger's code.")
    name: str = strawberry.field(description="Its new name.")


@strawberry.input(
    description="Entries dated up to `through` are refused from then on; an earlier date than before reopens; "
    "null reopens all."
)
class LockPeriodsInput:
    ledger: str = strawberry.field(description="The ledger's code.")
    through: Date | None = input_field("The last locked day; null: nothing is locked.")


@strawberry.type(description="The ledger as it is now.")
class LedgerSaved:
    ledger: Ledger = link("The ledger.", queries.ledger_by_id, ("ledger_id",))


LedgerResult = Annotated[
    LedgerSaved | ChangeRejected, strawberry.union("LedgerResult", description="What became of a change to a ledger.")
]


async def _saved(context: Context, outcome: Any, want: Want) -> Results:
    if isinstance(outcome, Refusal):
        return {(): rejected("ChangeRejected", outcome.reasons, want)}
    await context.ledger(outcome.code)  # ids are written with its code, which this process may not have met yet
    return {(): Tagged("LedgerSaved", want.types["LedgerSaved"].row({"ledger_id": outcome.ledger_id}))}


async def create_ledger(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    given = args["input"]
    outcome = await administration.create_ledger(
        context.services.database,
        context.caller,
        code=given["code"],
        name=given["name"],
        functional_currency=given["functionalCurrency"],
    )
    return await _saved(context, outcome, want)


async def update_ledger(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    given = args["input"]
    outcome = await administration.update_ledger(
        context.services.database, context.caller, code=given["code"], name=given["name"]
    )
    return await _saved(context, outcome, want)


async def lock_periods(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    given = args["input"]
    outcome = await administration.lock_periods(
        context.services.database, context.caller, ledger=given["ledger"], through=given.get("through")
    )
    return await _saved(context, outcome, want)


@strawberry.type
class LedgerQuery:
    ledgers: list[Ledger] | None = link(
        "Every ledger that the caller may see, in order of code.", queries.ledgers, (), scope=READ
    )

    @linked("One ledger; null when there is none, or the caller may not see it.", queries.ledger, scope=READ)
    def ledger(self, code: Annotated[str, argument("The ledger's code.")]) -> Ledger | None: ...


@strawberry.type
class LedgerMutation:
    @linked("Creates a ledger; one that exists just so is a success.", create_ledger, scope=ADMIN, writes=True)
    def create_ledger(self, input: Annotated[CreateLedgerInput, argument("The ledger.")]) -> LedgerResult | None: ...

    @linked("Renames a ledger.", update_ledger, scope=ADMIN, writes=True)
    def update_ledger(self, input: Annotated[UpdateLedgerInput, argument("The change.")]) -> LedgerResult | None: ...

    @linked("Locks or reopens periods.", lock_periods, scope=ADMIN, writes=True)
    def lock_periods(self, input: Annotated[LockPeriodsInput, argument("How far to lock.")]) -> LedgerResult | None: ...
