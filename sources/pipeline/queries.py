"""What the graph reads of the pipeline: versions of rules, and proposals. See `sources.reading`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from sources.mirror.logbook import document_id, names_of
from sources.mirror.queries import columns, split
from sources.reading import Conditions, Key, Order, Reader, Results, Row, View, Want, page

Args = Mapping[str, Any]

_ENTRY: Final = ("effective_date", "document_date", "description", "journal", "reference")
_LINE: Final = ("account", "debit", "credit", "currency", "functional_amount", "description", "tax_code")


def draft_row(want: Want, stated: Mapping[str, Any], functional_currency: str) -> Row:
    """An entry's draft as a selection wants it: fields as `sources.ledger.model.EntryDraft` names them, dates and amounts as
    texts; what is absent is null."""
    values: dict[str, Any] = {name: stated.get(name) for name in _ENTRY}
    if "lines" in want.columns:
        inner = want.nested.get("lines", Want())
        values["lines"] = [_line_row(inner, line, functional_currency) for line in stated["lines"]]
    return want.row(values)


def _line_row(want: Want, stated: Mapping[str, Any], functional_currency: str) -> Row:
    values: dict[str, Any] = {name: stated.get(name) for name in _LINE}
    values["currency"] = values["currency"] or functional_currency
    if "dimensions" in want.columns:
        inner = want.nested.get("dimensions", Want())
        pairs = stated.get("dimensions") or ()
        values["dimensions"] = [inner.row({"name": name, "value": value}) for name, value in pairs]
    return want.row(values)


def _draft(want: Want, stored: str) -> Row:
    functional_currency, stated = orjson.loads(stored)
    return draft_row(want, stated, functional_currency)


MAPPING = View("mapping.ruleset m", columns("m", "ledger_id version name text created_at created_by active"))
PROPOSAL = View(
    "pipeline.proposal p",
    columns("p", "ledger_id proposal_id source created_at decided_at decided_by")
    | {
        "kind": "upper(p.kind)",
        "posting": "p.name",
        "rule": "made.rule",
        "ruleset_version": "made.ruleset_version",
        "state": "coalesce(p.decision, 'WAITING')",
        "draft": "jsonb_build_array(l.functional_currency, p.draft)",
    }
    | document_id("p"),
    joins={
        "made": "JOIN pipeline.posting made ON made.ledger_id = p.ledger_id AND made.source = p.source AND made.kind = p.kind "
        "AND made.account = p.account AND made.external_id = p.external_id AND made.name = p.name "
        "AND made.generation = p.generation AND made.number = p.number",
        "l": "JOIN ledger.ledger l ON l.ledger_id = p.ledger_id",
    },
    decoders={"draft": _draft},
)

MAPPINGS_BY_VERSION = Order("mappings", (("version", "int"),), descending=True)
PROPOSALS_BY_ID = Order("proposals", (("proposal_id", "bigint"),))


async def mappings(reader: Reader, _keys: Sequence[Key], want: Want, args: Args) -> Results:
    """Of one ledger, the newest first."""
    where = Conditions()
    where.add("m.ledger_id = {0}", (await reader.ledger(args["ledger"])).ledger_id)
    return {(): want.row(await page(reader, MAPPING, where, MAPPINGS_BY_VERSION, want, args))}


async def mapping_by_version(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    """Keys: (ledger_id, version)."""
    where = "(m.ledger_id, m.version) IN (SELECT * FROM unnest($1::bigint[], $2::integer[]))"
    rows = await reader.fetch(MAPPING.select([*want.columns, "ledger_id", "version"], where), *split(keys))
    return {tuple(row[-2:]): row for row in rows}


async def proposals(reader: Reader, _keys: Sequence[Key], want: Want, args: Args) -> Results:
    """Of one ledger, the oldest first; those that wait, unless `states` says otherwise."""
    where = Conditions()
    where.add("p.ledger_id = {0}", (await reader.ledger(args["ledger"])).ledger_id)
    states = ["WAITING"] if args.get("states") is None else names_of(args["states"])
    if states == ["WAITING"]:
        where.add("p.decision IS NULL")
    else:
        where.add("coalesce(p.decision, 'WAITING') = ANY({0})", states)
    return {(): want.row(await page(reader, PROPOSAL, where, PROPOSALS_BY_ID, want, args))}


async def proposals_by_ids(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    """Keys: (ledger_id, proposal ids); in the order of the ids."""
    pairs = [(ledger_id, number) for ledger_id, numbers in keys for number in numbers]
    where = "(p.ledger_id, p.proposal_id) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]))"
    found = {}
    if pairs:
        rows = await reader.fetch(PROPOSAL.select([*want.columns, "ledger_id", "proposal_id"], where), *split(pairs))
        found = {tuple(row[-2:]): row for row in PROPOSAL.decode(want, rows)}
    return {(ledger_id, numbers): [found[ledger_id, each] for each in numbers] for ledger_id, numbers in keys}
