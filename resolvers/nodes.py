"""Global object identification: readable, stable ids of the form kind:ledger:rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import strawberry

from resolvers.context import Context
from resolvers.fields import Prepare, Relation, Scopes, argument, linked, written
from sources.errors import InvalidArgument
from sources.reading import Failure, Key, Results, Tagged, Want

MAX_IDS = 1_000


@strawberry.interface(description="Anything with an id that stays the same for ever.")
class Node:
    id: strawberry.ID = written("Readable and stable: kind, ledger code and key.", (), "'null'")


@dataclass(frozen=True, slots=True)
class NodeKind:
    """A type that `node` can find. `parse` turns what follows "kind:ledger:" into the key beside the ledger's id, or
    None when it is malformed; `relation` loads by (ledger_id, key)."""

    typename: str
    scopes: Scopes
    relation: Relation
    parse: Callable[[str], Any]
    prepare: Prepare | None = None


KINDS: dict[str, NodeKind] = {}
"""By the id's first part; the domain modules register theirs."""


@dataclass(frozen=True, slots=True)
class NodeId:
    kind: NodeKind
    ledger: str
    key: Any


def parse_id(text: str) -> NodeId | None:
    """None for an id that this graph never gave out."""
    name, _, rest = text.partition(":")
    ledger, _, tail = rest.partition(":")
    kind = KINDS.get(name)
    if kind is None or "\0" in text:
        return None
    key = kind.parse(tail)
    return None if key is None else NodeId(kind, ledger, key)


def natural(text: str) -> int | None:
    """A canonical natural number that fits a bigint."""
    good = text.isascii() and text.isdigit() and len(text) <= 18 and (text == "0" or text[0] != "0")
    return int(text) if good else None


def demand(args: Mapping[str, Any]) -> Scopes:
    """The scopes that the types of these ids need; none for more ids than `load_nodes` takes, which it refuses."""
    ids = _ids(args)
    parsed = [parse_id(text) for text in ids] if len(ids) <= MAX_IDS else []
    return tuple(sorted({scope for node in parsed if node for scope in node.kind.scopes}))


async def prepare(context: Context, want: Want, args: Mapping[str, Any]) -> None:
    ids = _ids(args)
    for text in ids if len(ids) <= MAX_IDS else ():
        node = parse_id(text)
        if node and node.kind.prepare:
            await node.kind.prepare(context, want.types[node.kind.typename], {"id": node})


async def load_node(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    return {(): (await _load(context, [args["id"]], want))[0]}


async def load_nodes(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    most = min(context.page_size, MAX_IDS)
    if len(args["ids"]) > most:
        return {(): Failure(InvalidArgument(f"ids takes at most {most} ids"))}
    return {(): await _load(context, args["ids"], want)}


async def _load(context: Context, ids: Sequence[str], want: Want) -> list[Any]:
    parsed = [parse_id(text) for text in ids]
    ledgers = await context.ledgers(sorted({node.ledger for node in parsed if node}))
    known = {ref.code: ref.ledger_id for ref in ledgers}
    batches: dict[str, tuple[NodeKind, list[Key]]] = {}
    places: dict[tuple[str, Key], list[int]] = defaultdict(list)
    for place, node in enumerate(parsed):
        if node is None or node.ledger not in known:
            continue
        key = (known[node.ledger], node.key)
        typename = node.kind.typename
        if not places[typename, key]:
            batches.setdefault(typename, (node.kind, []))[1].append(key)
        places[typename, key].append(place)
    answers: list[Any] = [None] * len(ids)
    for typename, (kind, keys) in batches.items():
        rows = await kind.relation(context, keys, want.types[typename], {})
        for key in keys:
            for place in places[typename, key]:
                row = rows.get(key)
                answers[place] = row if row is None or isinstance(row, Failure) else Tagged(typename, row)
    return answers


def _ids(args: Mapping[str, Any]) -> Sequence[str]:
    return [args["id"]] if "id" in args else args["ids"]


@strawberry.type
class NodeQuery:
    @linked(
        "Anything by its id; null when there is none, or the caller may not see it.",
        load_node,
        demand=demand,
        prepare=prepare,
    )
    def node(self, id: Annotated[strawberry.ID, argument("An id that this graph gave.")]) -> Node | None: ...

    @linked("Several by their ids, in their order; at most 1,000.", load_nodes, demand=demand, prepare=prepare)
    def nodes(
        self, ids: Annotated[list[strawberry.ID], argument("Ids that this graph gave.")]
    ) -> list[Node | None] | None: ...
