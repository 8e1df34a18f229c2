"""Rules of ledgers: their versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import strawberry

from resolvers.context import Context
from resolvers.fields import argument, boolean, graph_type, input_field, integer, link, linked, nested, text, timestamp
from resolvers.issues import ADMIN
from resolvers.ledgers import Ledger
from resolvers.paging import Connection, paged
from resolvers.proposals import APPROVE
from resolvers.results import ChangeRejected, not_found, refused, unknown_ledger
from resolvers.scalars import DateTime
from resolvers.sources import READ
from sources.errors import InvalidArgument, NotFound
from sources.ledger.model import LedgerRef, Reason, RejectionCode
from sources.ledger.queries import ledger_by_id
from sources.mapping.model import InvalidRules
from sources.pipeline import queries, rulesets, taking
from sources.reading import Key, Results, Tagged, Want


@graph_type("A version of a ledger's rules: it never changes.")
class MappingVersion:
    ledger: Ledger = link("The ledger that they are for.", ledger_by_id, ("ledger_id",))
    version: int = integer("1, 2, 3 …", "version")
    name: str = text("What they are called.", "name")
    active: bool = boolean("Documents are mapped by them from now on.", "active")
    created_at: DateTime = timestamp("When they were stored.", "created_at")
    created_by: str = text("Who stored them.", "created_by")
    text: str = text("The rules, TOML.", "text")


MappingVersionConnection = Connection[MappingVersion]


@strawberry.type(description="One mistake in rules.")
class MappingFault:
    file: str = text("The file: the rules' own, or that of the built-in ones.", "file")
    line: int = integer("Its line, from 1.", "line")
    key: str = text("The key, such as rules[2].postings[0].date; empty: none in particular.", "key")
    message: str = text("What is wrong.", "message")


@strawberry.type(description="The rules cannot be read: nothing was stored.")
class MappingInvalid:
    faults: list[MappingFault] = nested("Every mistake, in the order of the lines.", "faults")


@strawberry.type(description="The rules are stored.")
class MappingSaved:
    mapping: MappingVersion = link("Their version.", queries.mapping_by_version, ("ledger_id", "version"))


MappingResult = Annotated[
    MappingSaved | MappingInvalid | ChangeRejected,
    strawberry.union("MappingResult", description="What became of rules."),
]


@strawberry.input(description="Rules to store, or a stored version to make active: exactly one of text and version.")
class SaveMappingInput:
    ledger: str = strawberry.field(description="The ledger's code.")
    text: str | None = input_field("The rules, TOML; a text that is stored already keeps its version.")
    version: int | None = input_field("A stored version.")
    name: str | None = input_field('What new rules are called; absent: "rules.toml".')
    activate: bool = strawberry.field(
        default=False,
        description="true: documents are mapped by them from now on; what is posted stays. Needs mappings:approve besides.",
    )


def invalid(want: Want, fault: InvalidRules) -> Results:
    """The result that is a MappingInvalid."""
    mine = want.types["MappingInvalid"]
    inner = mine.nested.get("faults", Want())
    return {(): Tagged("MappingInvalid", mine.row({"faults": [inner.row(asdict(each)) for each in fault.faults]}))}


def approval(args: Mapping[str, Any]) -> tuple[str, ...]:
    """What activating rules demands besides."""
    return APPROVE if args["input"].get("activate") else ()


async def save_mapping(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    given = args["input"]
    body, version, activate = given.get("text"), given.get("version"), given["activate"]
    if (body is None) == (version is None):
        raise InvalidArgument("give either text or version")
    refs = await context.ledgers([given["ledger"]])
    reasons = [] if refs else [unknown_ledger(given["ledger"])]
    if refs and activate and given["ledger"] in context.services.ruled_by_files:
        message = (
            f"the rules of {given['ledger']} are those of the file that the gateway's settings name: change it there"
        )
        reasons.append(Reason(RejectionCode.FIXED_BY_SETTINGS, message, ("activate",)))
    if reasons:
        return refused(reasons, want)
    name = given.get("name") or "rules.toml"
    try:
        if body is not None:
            await context.services.rules.load(body, name)
        stored = await _store(context, refs[0], body, version, name, activate=activate)
    except InvalidRules as fault:
        return invalid(want, fault)
    except NotFound as fault:
        return refused([not_found(fault, "version")], want)
    context.services.wake_pipeline()
    values = {"ledger_id": refs[0].ledger_id, "version": stored}
    return {(): Tagged("MappingSaved", want.types["MappingSaved"].row(values))}


async def _store(
    context: Context, ref: LedgerRef, body: str | None, version: int | None, name: str, *, activate: bool
) -> int:
    async with context.services.database.writer() as connection, connection.transaction():
        await taking.see(connection, ref.ledger_id)
        if body is not None:
            by = context.caller.subject
            version = (await rulesets.save(connection, ref.ledger_id, text=body, name=name, created_by=by)).version
        assert version is not None
        if activate:
            return (await rulesets.activate(connection, ref.ledger_id, version)).version
        return (await rulesets.read(connection, ref.ledger_id, version)).version


@strawberry.type
class MappingQuery:
    @paged("The versions of a ledger's rules, the newest first.", queries.mappings, scope=READ)
    def mappings(
        self,
        ledger: Annotated[str, argument("The ledger's code.")],
    ) -> MappingVersionConnection | None: ...


@strawberry.type
class MappingMutation:
    @linked(
        "Stores rules of a ledger, and makes them active if asked to.",
        save_mapping,
        scope=ADMIN,
        demand=approval,
        writes=True,
    )
    def save_mapping(self, input: Annotated[SaveMappingInput, argument("The rules.")]) -> MappingResult | None: ...
